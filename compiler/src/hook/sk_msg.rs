//! sk_msg: data that a process writes to a TCP socket of a group, which stands in the group's SOCKMAP.

use super::{
    Ability, Codes, Ends, HookSpec, Metering, No, Population, Refusal, Sight, Stage, Verb, Yes,
};
use crate::artifact::{AttachPoint, Section};
use crate::bpf::constant::{SK_DROP, SK_PASS};
use crate::field::{Field, FieldKind};
use crate::policy::Direction;
use crate::protocol::IpProtocol;

const STREAM: Ability = No("what a process writes is a stream, not packets");
const HAS_SOCKET: Ability = No("data that is written has its socket already");

pub(super) static HOOK: HookSpec = HookSpec {
    name: "sk_msg",
    title: "sk_msg",
    program: "send",
    section: Section::SkMsg,
    attach: AttachPoint::SkMsg,
    direction: Direction::Send,
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
        refusals: No("a process tries a refused write again, which would take tokens again"),
        connections: No("the connection of a write has long begun"),
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
    reason: "sk_msg is the hook of what processes write",
    takes_in: Some(Population::Peers),
    elsewhere: |_| "it sees the data of connections, not packets",
};

fn reads(kind: FieldKind) -> Ability {
    match kind {
        FieldKind::Fragment
        | FieldKind::TcpFlags
        | FieldKind::Length
        | FieldKind::IpHeader
        | FieldKind::Vlan
        | FieldKind::Ether
        | FieldKind::Mark => STREAM,
        FieldKind::Icmp => No("the sockets of a group speak TCP"),
        FieldKind::Interface => No("what a process writes has no interface yet"),
        FieldKind::Absent | FieldKind::Entry => HAS_SOCKET,
        FieldKind::Socket => No("the socket is the one that is written to"),
        FieldKind::Tuple | FieldKind::Member | FieldKind::Rate | FieldKind::FirstMatch => Yes,
    }
}

fn does(verb: Verb) -> Ability {
    match verb {
        Verb::Allow | Verb::Drop | Verb::Count | Verb::Reject | Verb::Shortcut | Verb::Feed => Yes,
        Verb::Forward => super::tc::NO_WRITES,
        Verb::Redirect | Verb::Intercept => HAS_SOCKET,
    }
}
