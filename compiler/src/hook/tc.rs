//! TC: packets that arrive, after XDP, packets that leave, and of these those that came in by another interface.
//!
//! It goes on with -1 (`TCX_NEXT`, `TC_ACT_UNSPEC`), so that programs after ours still run.

use super::{Ability, Codes, Ends, HookSpec, Metering, No, Refusal, Sight, Stage, Verb, Yes};
use crate::artifact::{AttachPoint, Section};
use crate::bpf::constant::{TC_ACT_SHOT, TCX_NEXT};
use crate::field::{Field, FieldKind};
use crate::policy::Direction;

/// Why no packet hook says what becomes of a packet's socket.
pub(super) const LATER: Ability =
    No("which socket gets a packet is decided later, by the socket lookup");
/// Why packet hooks and lookups have no part in `send`.
pub(super) const PACKETS: &str = "it sees packets, not what a process writes";
pub(super) const NO_WRITES: Ability = No(PACKETS);
const NO_SOCKET: Ability =
    No("a packet that passes through has no socket on this machine, whose lookup could find one");
const TO_NONE: Ability = No(
    "a packet that passes through is given to no named socket, so which of them are there is none of its business",
);
const ROUTED: &str = "where it leaves is decided by then; steer it where it arrives";
const ADDRESSED: Ability = No(
    "the frame's own addresses are those of this hop by then: this machine's, and those of the neighbour that gets it",
);
const HAS_SOCKET: Ability = No("a packet that leaves has its socket already");

const JOINED: Sight = Sight {
    joined: true,
    ..Sight::PACKETS
};
const CODES: Codes = Codes {
    pass: TCX_NEXT,
    drop: TC_ACT_SHOT,
};

pub(super) static ARRIVING: HookSpec = HookSpec {
    name: "tc",
    title: "tc in",
    program: "tc_in",
    section: Section::Classifier,
    attach: |_| AttachPoint::TcIn,
    direction: Direction::In,
    stage: Stage::Packet,
    usual: true,
    holds_on: Field::Interface,
    sees: JOINED,
    reads: |_| Yes,
    does: |verb| match verb {
        Verb::Allow | Verb::Drop | Verb::Count | Verb::Reject | Verb::Forward | Verb::Intercept => {
            Yes
        }
        Verb::Redirect => LATER,
        Verb::Shortcut | Verb::Feed => NO_WRITES,
    },
    sets_mark: Yes,
    meters: Metering::ALL,
    reject: Refusal::Answer,
    codes: CODES,
    ends: Ends {
        first: "every rule of a packet hook is at tc",
        after: "a count at tc must see these packets",
        uncounted: "xdp has decided these already",
    },
    reason: "it says `at tc`",
    takes_in: None,
    elsewhere,
};

pub(super) static LEAVING: HookSpec = LEAVES;

const LEAVES: HookSpec = HookSpec {
    name: "tc",
    title: "tc out",
    program: "tc_out",
    section: Section::Classifier,
    attach: |_| AttachPoint::TcOut,
    direction: Direction::Out,
    stage: Stage::Packet,
    usual: true,
    holds_on: Field::Interface,
    sees: JOINED,
    reads: |kind| match kind {
        FieldKind::Absent | FieldKind::Entry => HAS_SOCKET,
        FieldKind::Ether => ADDRESSED,
        _ => Yes,
    },
    does: |verb| match verb {
        Verb::Allow | Verb::Drop | Verb::Count | Verb::Forward => Yes,
        Verb::Reject => No("a packet that leaves has no peer that could be answered; write `drop`"),
        Verb::Redirect | Verb::Intercept => HAS_SOCKET,
        Verb::Shortcut | Verb::Feed => NO_WRITES,
    },
    sets_mark: Yes,
    meters: Metering::ALL,
    reject: Refusal::Code,
    codes: CODES,
    ends: Ends::ONLY,
    reason: "tc is the hook of packets that leave",
    takes_in: None,
    elsewhere,
};

pub(super) static PASSING: HookSpec = HookSpec {
    title: "tc forward",
    program: "tc_forward",
    direction: Direction::Forward,
    holds_on: Field::Leaving,
    // No lookup finds a socket here for what is on its way between others.
    sees: Sight {
        fixed: &[(Field::Socket, 0)],
        ..JOINED
    },
    reads: |kind| match kind {
        FieldKind::Socket => NO_SOCKET,
        FieldKind::Absent | FieldKind::Entry => TO_NONE,
        FieldKind::Ether => ADDRESSED,
        _ => Yes,
    },
    does: |verb| match verb {
        Verb::Allow | Verb::Drop | Verb::Count | Verb::Reject => Yes,
        Verb::Forward => No(ROUTED),
        Verb::Redirect | Verb::Intercept => NO_SOCKET,
        Verb::Shortcut | Verb::Feed => NO_WRITES,
    },
    reject: Refusal::Answer,
    reason: "packets that pass through are decided where they leave",
    ..LEAVES
};

fn elsewhere(_: Direction) -> &'static str {
    PACKETS
}
