//! XDP: packets that arrive, as the driver has them, ahead of everything else.

use super::{
    Ability, Codes, Ends, HookSpec, IfAsked, Metering, No, Refusal, Sight, Stage, Verb, Yes,
};
use crate::artifact::{AttachPoint, Section};
use crate::bpf::constant::{XDP_DROP, XDP_PASS};
use crate::field::{Field, FieldKind};
use crate::policy::Direction;

/// Whether a driver sends frames that a program turns round or moves is known only where they run.
const DRIVER: Ability = IfAsked("not every driver can send a frame from xdp; tc always can");
const UNMARKED: Ability = No("a frame has no mark before the stack has taken it over");

pub(super) static HOOK: HookSpec = HookSpec {
    name: "xdp",
    title: "xdp",
    program: "xdp_in",
    section: Section::Xdp,
    attach: |_| AttachPoint::Xdp,
    direction: Direction::In,
    stage: Stage::Packet,
    usual: false,
    holds_on: Field::Interface,
    sees: Sight::PACKETS,
    reads,
    does,
    sets_mark: UNMARKED,
    meters: Metering::ALL,
    reject: Refusal::Answer,
    codes: Codes {
        pass: XDP_PASS,
        drop: XDP_DROP,
    },
    ends: Ends {
        first: "xdp is the earliest hook",
        after: "xdp is the earliest hook",
        uncounted: "a count at tc must see these packets",
    },
    reason: "it says `at xdp`",
    takes_in: None,
    elsewhere: |direction| match direction.of_processes() {
        true => super::tc::PACKETS,
        false => "XDP sees only packets that arrive",
    },
};

fn reads(kind: FieldKind) -> Ability {
    match kind {
        FieldKind::Vlan => IfAsked("most interfaces take the tag off before xdp sees the frame"),
        FieldKind::Mark => UNMARKED,
        FieldKind::Tuple
        | FieldKind::Fragment
        | FieldKind::Icmp
        | FieldKind::TcpFlags
        | FieldKind::Length
        | FieldKind::IpHeader
        | FieldKind::Ether
        | FieldKind::Interface
        | FieldKind::FirstMatch
        | FieldKind::Member
        | FieldKind::Absent
        | FieldKind::Entry
        | FieldKind::Socket
        | FieldKind::Rate => Yes,
    }
}

fn does(verb: Verb) -> Ability {
    match verb {
        Verb::Allow | Verb::Drop | Verb::Count => Yes,
        Verb::Reject | Verb::Forward => DRIVER,
        Verb::Redirect | Verb::Intercept => super::tc::LATER,
        Verb::Shortcut | Verb::Feed => super::tc::NO_WRITES,
    }
}
