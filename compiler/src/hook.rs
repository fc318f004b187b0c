//! What each hook is: a room each, of which the rest of the compiler reads a [`HookSpec`].
//!
//! A room says which fields its hook reads and which verbs it says, with the reason for each it does not; what all that
//! it sees has in common; and how its programs are named, loaded and ended. Placement, the diagrams, the messages and the
//! runtime read that and name no hook. Not here: the code that reads a field there (`lower/hook`).

mod cgroup_in;
mod connect;
mod sk_lookup;
mod sk_msg;
mod sk_skb;
mod tc;
mod xdp;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::artifact::{AttachPoint, Section};
use crate::field::{Field, FieldKind};
pub use crate::policy::Hook;
pub(crate) use crate::policy::Verb;
use crate::policy::{Direction, Family};
use crate::protocol::IpProtocol;

/// Whether a hook can do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// It can.
    Yes,
    /// It can, but a rule runs there only if it says `at` this hook, for this reason.
    IfAsked(&'static str),
    /// It cannot, for this reason.
    No(&'static str),
}

use Ability::{IfAsked, No, Yes};

/// What a hook meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Packets on an interface.
    Packet,
    /// What the kernel asks about packets that passed those.
    Lookup,
    /// What the processes of a group do with their sockets.
    Process,
}

/// A map of a group's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Population {
    /// Those whose writes are seen, and which shortcuts lead to.
    Peers,
    /// Those whose data is seen as it arrives.
    Readers,
}

/// What all that a hook sees has in common.
pub struct Sight {
    /// Fields that have one value.
    pub fixed: &'static [(Field, u32)],
    /// The only protocols; none named: all.
    pub protocols: &'static [IpProtocol],
    /// Kinds of fields that need not be read though the hook cannot, because nothing that has them comes there.
    pub absent: &'static [FieldKind],
    /// Whether nothing of an established socket comes there, so that a condition on that alone is known.
    pub unconnected: bool,
    /// Whether one frame may hold several packets, joined by the stack.
    pub joined: bool,
}

impl Sight {
    /// Whether anything of a family and a protocol comes there.
    fn has(&self, family: Family, protocol: IpProtocol) -> bool {
        let mut fixed = self.fixed.iter();
        let fits = |&(field, value)| field != Field::Family || value == family as u32;
        let known = self.protocols.is_empty() || self.protocols.contains(&protocol);
        known && fixed.all(fits)
    }

    /// Whatever a packet may be.
    const PACKETS: Self = Self {
        fixed: &[],
        protocols: &[],
        absent: &[],
        unconnected: false,
        joined: false,
    };
}

/// Return codes.
#[derive(Clone, Copy, Debug)]
pub struct Codes {
    /// Goes on.
    pub pass: i32,
    /// Ends here.
    pub drop: i32,
}

/// What a rate cannot be part of at a hook that can meter.
pub struct Metering {
    /// Rules that refuse.
    pub refusals: Ability,
    /// Rates of connections.
    pub connections: Ability,
}

impl Metering {
    const ALL: Self = Self {
        refusals: Yes,
        connections: Yes,
    };
}

/// What a reject becomes where a hook can say one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The packet is answered as if nobody listened.
    Answer,
    /// The code of a drop says it.
    Code,
}

/// Why what no rule of a list decides counts at a hook, or does not.
pub struct Ends {
    /// It counts, and the hook is the first that has something to do.
    pub first: &'static str,
    /// It counts, and a hook before this one lets it pass.
    pub after: &'static str,
    /// It does not count.
    pub uncounted: &'static str,
}

impl Ends {
    const ONLY: Self = Self {
        first: "ends the only list there is",
        after: "ends the only list there is",
        uncounted: "ends the only list there is",
    };
}

/// Everything about a hook but the code that runs there.
pub struct HookSpec {
    /// The word that `at` takes.
    pub name: &'static str,
    /// What the text of a placement calls it.
    pub title: &'static str,
    /// The name of its program; those of several classes or groups have more after it.
    pub program: &'static str,
    /// The type of its programs.
    pub section: Section,
    /// Where a program hangs; the number is that of a group in the manifest.
    pub attach: fn(usize) -> AttachPoint,
    /// Whose list it runs.
    pub direction: Direction,
    /// What it meets.
    pub stage: Stage,
    /// Whether it is the one of its direction that can do most of what a rule without `at` may say. What processes do meets
    /// every hook of its direction that sees its protocol.
    pub usual: bool,
    /// The field whose value a program of it knows, where it hangs on interfaces of one class: the class of those.
    pub holds_on: Field,
    /// What all that it sees has in common.
    pub sees: Sight,
    /// Whether it can tell the values of fields of a kind.
    pub reads: fn(FieldKind) -> Ability,
    /// Whether it can say a verb.
    pub does: fn(Verb) -> Ability,
    /// Whether an allow there can set the packet mark.
    pub sets_mark: Ability,
    /// Which rates it keeps.
    pub meters: Metering,
    /// What a reject is.
    pub reject: Refusal,
    /// What its programs return.
    pub codes: Codes,
    /// Why what ends its list counts there, or does not.
    pub ends: Ends,
    /// Why a rule is there that could be nowhere else: it says `at` this hook, or its direction has no other for it.
    pub reason: &'static str,
    /// The map of their group that sockets have to be taken into before it sees what is done with them, if they have to be.
    pub takes_in: Option<Population>,
    /// Why it is no hook of a direction that is not its own.
    pub elsewhere: fn(Direction) -> &'static str,
}

impl Hook {
    /// The hooks that packets meet that arrive: the one that has them first, and the one that has what that lets pass.
    pub(crate) const ARRIVING: [Self; 2] = [Self::Xdp, Self::TcIn];

    /// The hook that packets meet that leave.
    pub(crate) const LEAVING: Self = Self::TcOut;

    /// The hook that packets meet that pass through, ahead of that one.
    pub(crate) const PASSING: Self = Self::TcForward;

    /// The hook whose redirects leave without meeting those two: the kernel gives such a frame to the driver (`ndo_xdp_xmit`).
    pub(crate) const PAST_LEAVING: Self = Self::Xdp;

    /// The hook that is asked for the socket of a packet.
    pub(crate) const LOOKUP: Self = Self::SkLookup;

    /// What it is.
    #[must_use]
    pub fn spec(self) -> &'static HookSpec {
        match self {
            Self::Xdp => &xdp::HOOK,
            Self::TcIn => &tc::ARRIVING,
            Self::TcForward => &tc::PASSING,
            Self::TcOut => &tc::LEAVING,
            Self::SkLookup => &sk_lookup::HOOK,
            Self::SkMsg => &sk_msg::HOOK,
            Self::SkSkb => &sk_skb::HOOK,
            Self::CgroupSkb => &cgroup_in::HOOK,
            Self::Connect4 => &connect::CONNECT4,
            Self::Connect6 => &connect::CONNECT6,
            Self::Sendmsg4 => &connect::SENDMSG4,
            Self::Sendmsg6 => &connect::SENDMSG6,
        }
    }

    /// The hooks of a direction, in order.
    pub fn of(direction: Direction) -> impl DoubleEndedIterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |hook| hook.direction() == direction)
    }

    /// The hook of a direction that meets what has this family and protocol; of several the one that meets least else.
    #[must_use]
    pub fn meeting(direction: Direction, family: Family, protocol: IpProtocol) -> Option<Self> {
        let meeting = Self::of(direction).filter(|hook| hook.spec().sees.has(family, protocol));
        meeting.min_by_key(|hook| {
            let sees = &hook.spec().sees;
            (sees.protocols.len(), Reverse(sees.fixed.len()))
        })
    }

    /// Whether the hooks of a direction leave alone what no rule concerns: an allowing default decides nothing there.
    #[must_use]
    pub fn leave_alone(direction: Direction) -> bool {
        Self::of(direction).any(|hook| hook.spec().takes_in.is_some())
    }

    /// The only protocols that rules of a direction may be about, those of all its hooks; none named: all.
    #[must_use]
    pub fn protocols(direction: Direction) -> Vec<IpProtocol> {
        let hooks = Self::of(direction).filter(|hook| hook.is_process());
        let all = hooks.flat_map(|hook| hook.spec().sees.protocols).copied();
        let all: BTreeSet<IpProtocol> = all.collect();
        all.into_iter().collect()
    }

    /// Whether anything of these protocols comes there; of none, anything at all.
    #[must_use]
    pub(crate) fn sees_some(self, protocols: &[IpProtocol]) -> bool {
        let seen = self.spec().sees.protocols;
        protocols.is_empty() || protocols.iter().any(|one| seen.contains(one))
    }

    /// Why no rule of a direction may name fields of a kind; nothing where its usual hook reads them.
    #[must_use]
    pub fn without(direction: Direction, kind: FieldKind) -> &'static str {
        let usual = Self::of(direction).find(|hook| hook.spec().usual);
        match usual.map(|hook| hook.reads_kind(kind)) {
            Some(No(reason) | IfAsked(reason)) => reason,
            Some(Yes) | None => "",
        }
    }

    /// The word that `at` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Whose list it runs.
    #[must_use]
    pub fn direction(self) -> Direction {
        self.spec().direction
    }

    /// Whether it sees packets on an interface.
    #[must_use]
    pub fn is_packet(self) -> bool {
        self.spec().stage == Stage::Packet
    }

    /// Whether it is asked about packets that passed the packet hooks.
    #[must_use]
    pub(crate) fn is_lookup(self) -> bool {
        self.spec().stage == Stage::Lookup
    }

    /// Whether it sees what the processes of a group do.
    #[must_use]
    pub fn is_process(self) -> bool {
        self.spec().stage == Stage::Process
    }

    /// Whether it can tell the value of a field.
    #[must_use]
    pub fn reads(self, field: Field) -> Ability {
        self.reads_kind(field.kind())
    }

    /// Whether it can tell the values of fields of a kind.
    #[must_use]
    pub(crate) fn reads_kind(self, kind: FieldKind) -> Ability {
        (self.spec().reads)(kind)
    }

    /// Whether an allow there can set the packet mark.
    #[must_use]
    pub(crate) fn sets_mark(self) -> Ability {
        self.spec().sets_mark
    }

    /// Whether it can say a verb.
    #[must_use]
    pub fn does(self, verb: Verb) -> Ability {
        (self.spec().does)(verb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_do_what_their_rows_say() {
        assert!(matches!(Hook::SkLookup.does(Verb::Drop), No(_)));
        assert_eq!(Hook::SkLookup.does(Verb::Redirect), Yes);
        assert_eq!(Hook::SkMsg.does(Verb::Shortcut), Yes);
        assert!(matches!(Hook::SkMsg.reads(Field::Length), No(_)));
        assert_eq!(Hook::TcOut.reads(Field::Socket), Yes);
    }

    #[test]
    fn packets_and_lookups_have_the_hooks_that_placement_knows() {
        let packets = |direction| Hook::of(direction).filter(|hook| hook.is_packet());
        assert!(packets(Direction::In).eq(Hook::ARRIVING));
        assert!(packets(Direction::Out).eq([Hook::LEAVING]));
        assert!(packets(Direction::Forward).eq([Hook::PASSING]));
        let lookups = Hook::ALL.into_iter().filter(|hook| hook.is_lookup());
        assert!(lookups.eq([Hook::LOOKUP]));
    }

    #[test]
    fn each_direction_has_one_usual_hook() {
        for hook in Hook::ALL {
            let usual = Hook::of(hook.direction()).filter(|one| one.spec().usual);
            assert_eq!(usual.count(), 1, "{hook:?}");
        }
    }

    /// A program's name, what a person calls a hook, and its place in the kernel tell it from all others; what passes through is
    /// decided where it leaves.
    #[test]
    fn no_two_hooks_are_named_alike() {
        for (at, one) in Hook::ALL.into_iter().enumerate() {
            for other in &Hook::ALL[at + 1..] {
                let (one, other) = (one.spec(), other.spec());
                assert_ne!(one.program, other.program);
                assert_ne!(one.title, other.title);
                let together = one.direction.passes() || other.direction.passes();
                assert!(together || (one.attach)(0) != (other.attach)(0));
            }
        }
    }
}
