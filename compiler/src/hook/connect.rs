//! connect: a process of a group says whom it wants to reach, by connect(2) or in sendto(2) of a UDP socket.
//!
//! Linux has a place for each call and family, all on the group's cgroup (`BPF_CGROUP_INET4_CONNECT` and the others,
//! `net/ipv4/af_inet.c`, `net/ipv4/udp.c`), and each call meets one of them. What returns 0 fails with EPERM. The
//! sender's address is not chosen yet, so nothing is known of it.

use super::{Ability, Codes, Ends, HookSpec, Metering, No, Refusal, Sight, Stage, Verb, Yes};
use crate::artifact::{AttachPoint, Section};
use crate::field::{Field, FieldKind};
use crate::policy::Direction;
use crate::protocol::IpProtocol;

const CALL: Ability = No("a process that connects has sent no packet yet");
const NO_SOCKET: Ability = No("the socket is the one that connects");
const METER: Ability = No("a process tries a refused call again, which would take tokens again");
/// What a program says of a call that fails with EPERM.
const FAILS: i32 = 0;
/// And of one that goes on.
const GOES_ON: i32 = 1;
const BOTH: &[IpProtocol] = &[IpProtocol::TCP, IpProtocol::UDP];
const DATAGRAMS: &[IpProtocol] = &[IpProtocol::UDP];
const ANY_FAMILY: &[(Field, u32)] = &[(Field::Fragment, 0), (Field::Socket, 0)];
const V4: &[(Field, u32)] = &[(Field::Family, 0), (Field::Fragment, 0), (Field::Socket, 0)];

pub(super) static CONNECT4: HookSpec = HookSpec {
    usual: true,
    ..call(
        "connect4",
        Section::Connect4,
        AttachPoint::Connect4,
        V4,
        BOTH,
    )
};
pub(super) static CONNECT6: HookSpec = call(
    "connect6",
    Section::Connect6,
    AttachPoint::Connect6,
    ANY_FAMILY,
    BOTH,
);
pub(super) static SENDMSG4: HookSpec = call(
    "sendmsg4",
    Section::Sendmsg4,
    AttachPoint::Sendmsg4,
    V4,
    DATAGRAMS,
);
pub(super) static SENDMSG6: HookSpec = call(
    "sendmsg6",
    Section::Sendmsg6,
    AttachPoint::Sendmsg6,
    ANY_FAMILY,
    DATAGRAMS,
);

const fn call(
    name: &'static str,
    section: Section,
    attach: fn(usize) -> AttachPoint,
    fixed: &'static [(Field, u32)],
    protocols: &'static [IpProtocol],
) -> HookSpec {
    HookSpec {
        name: "connect",
        title: name,
        program: name,
        section,
        attach,
        direction: Direction::Connect,
        stage: Stage::Process,
        usual: false,
        holds_on: Field::Interface,
        sees: Sight {
            fixed,
            protocols,
            absent: &[],
            unconnected: false,
            joined: false,
        },
        reads,
        does,
        sets_mark: CALL,
        meters: Metering {
            refusals: METER,
            connections: METER,
        },
        reject: Refusal::Code,
        codes: Codes {
            pass: GOES_ON,
            drop: FAILS,
        },
        ends: Ends::ONLY,
        reason: "it is where the call is made",
        takes_in: None,
        elsewhere: |_| "it sees whom a process wants to reach, not packets or data",
    }
}

fn reads(kind: FieldKind) -> Ability {
    match kind {
        FieldKind::Fragment
        | FieldKind::TcpFlags
        | FieldKind::Length
        | FieldKind::IpHeader
        | FieldKind::Vlan
        | FieldKind::Ether
        | FieldKind::Mark => CALL,
        FieldKind::Icmp => No("only TCP and UDP connect"),
        FieldKind::Interface => No("a process that connects has no interface yet"),
        FieldKind::Absent | FieldKind::Entry | FieldKind::Socket => NO_SOCKET,
        FieldKind::Rate => METER,
        FieldKind::Tuple | FieldKind::Member | FieldKind::FirstMatch => Yes,
    }
}

fn does(verb: Verb) -> Ability {
    match verb {
        Verb::Allow | Verb::Drop | Verb::Count | Verb::Reject => Yes,
        Verb::Forward => No("it sees calls, not packets"),
        Verb::Redirect | Verb::Intercept => NO_SOCKET,
        Verb::Shortcut | Verb::Feed => No("no data is there to be moved yet"),
    }
}
