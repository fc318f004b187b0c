//! sk_skb: data that arrives on a TCP socket of a group, which stands in the group's SOCKHASH of readers.
//!
//! The kernel runs it for each piece of data that TCP has put in order (`sk_psock_verdict_recv` of net/core/skmsg.c), which
//! the sender has been told by then.

use super::{
    Ability, Codes, Ends, HookSpec, Metering, No, Population, Refusal, Sight, Stage, Verb, Yes,
};
use crate::artifact::{AttachPoint, Section};
use crate::bpf::constant::{SK_DROP, SK_PASS};
use crate::field::{Field, FieldKind};
use crate::policy::Direction;
use crate::protocol::IpProtocol;

const STREAM: Ability = No("what a process receives is a stream, not packets");
const HAS_SOCKET: Ability = No("data that has arrived has its socket already");

pub(super) static HOOK: HookSpec = HookSpec {
    name: "sk_skb",
    title: "sk_skb",
    program: "receive",
    section: Section::SkSkb,
    attach: AttachPoint::SkSkb,
    direction: Direction::Receive,
    stage: Stage::Process,
    usual: true,
    holds_on: Field::Interface,
    sees: Sight {
        fixed: &[(Field::Fragment, 0), (Field::Socket, 0)],
        protocols: &[IpProtocol::TCP],
        absent: &[],
        unconnected: false,
        joined: false,
    },
    reads,
    does,
    sets_mark: STREAM,
    meters: Metering {
        refusals: No("what is dropped of a stream is missing in its middle"),
        connections: No("the connection of what is received has long begun"),
    },
    reject: Refusal::Code,
    codes: Codes {
        pass: SK_PASS,
        drop: SK_DROP,
    },
    ends: Ends {
        uncounted: "connections that no rule concerns are left alone",
        ..Ends::ONLY
    },
    reason: "sk_skb is the hook of what processes receive",
    takes_in: Some(Population::Readers),
    elsewhere: |_| "it sees the data that arrives on connections, not packets or calls",
};

pub(super) fn reads(kind: FieldKind) -> Ability {
    match kind {
        FieldKind::Fragment
        | FieldKind::TcpFlags
        | FieldKind::Length
        | FieldKind::IpHeader
        | FieldKind::Vlan
        | FieldKind::Ether
        | FieldKind::Mark => STREAM,
        FieldKind::Icmp => No("the sockets of a group speak TCP"),
        FieldKind::Interface => No("what a process receives has no interface any more"),
        FieldKind::FirstMatch => No("rules for what processes receive are never taken together"),
        FieldKind::Absent | FieldKind::Entry => HAS_SOCKET,
        FieldKind::Socket => No("the socket is the one that reads"),
        FieldKind::Tuple | FieldKind::Member | FieldKind::Rate => Yes,
    }
}

pub(super) fn does(verb: Verb) -> Ability {
    match verb {
        Verb::Allow | Verb::Drop | Verb::Count | Verb::Reject | Verb::Feed => Yes,
        Verb::Forward => No("it sees the data of connections, not packets"),
        Verb::Redirect | Verb::Intercept => HAS_SOCKET,
        Verb::Shortcut => No("the data is at its socket already"),
    }
}
