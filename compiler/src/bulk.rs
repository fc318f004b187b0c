//! Bulk rules: many rules that speak of nothing but what stands in the header, seen as a few groups.
//!
//! A diagram cannot hold tens of thousands of rules, tables can (see `classifier`). So where a direction has many such
//! rules, its list is *reduced*: rules of one kind between two others become one rule, with the one condition that the
//! first bulk rule which matches is of this group (`Condition::FirstMatch`). Everything after it sees the reduced policy:
//! placement, diagrams, the composition check, code. None of them knows what the groups match, and what they say holds
//! whatever that is: placement may put a rule at a later hook than it had to.
//!
//! *Plain* rules name protocols, addresses and ports. Others ask more of the header: flags, fragments, ICMP types, lengths, hops,
//! traffic classes, tags, marks, addresses that are `not` some. They are bulk too ([`Conditions`]), where whoever asks for the
//! first match finds the same one:
//!
//! - All packet hooks of the direction can read what they ask. So a mark, and a tag, are asked in tables of what leaves alone.
//! - Where XDP and TC both ask, what changes between them (flags and lengths, since segments are joined) is asked in neither.
//! - A socket lookup, which is given no header, does not ask them: where there is one, only rules that take packets away
//!   ask more than it knows.
//! - All their conditions together tell few enough classes of packets apart (`conditions`).
//!
//! Some ask what the header does not tell: whether there is a socket, whether an address is in a live set, whether a named socket
//! is absent. Under the same rules they are bulk too, as far as they ask few different questions (`questions`): the answer of the
//! first match is that of the first rule that matches with its question. Such questions change nothing, so it does not matter who
//! else asks them; but where sockets are taken in by what rules say of them (`send`), no rule asks, since the answer may change.
//!
//! Rates take tokens where they are asked. So rules for packets that have one are bulk where one hook alone asks for the first match, and
//! where nothing but bulk rules could keep their packets from them (`rated`).
//!
//! Takes a policy; gives a [`Bulk`], or nothing where there are few plain rules. `decide`, `expect`, `explain`, the lints,
//! counters and the manifest keep to the whole policy. Not here: how the first match is found.
//!
//! Every chain of packet hooks asks for the first match among all bulk rules of its direction and interface, so that the answer
//! is the same in all of them; one of a group among those that are about it. A socket lookup leaves out the rules that drop packets or send them elsewhere: who gets that far was not
//! taken, or met no packet hook, where they do not hold.
//!
//! [`Condition::FirstMatch`](crate::policy::Condition::FirstMatch) asks for it; to users a group is `first match 3`, by its number.

mod conditions;
mod grouping;
mod members;
mod questions;
mod rated;
#[cfg(test)]
mod tests;
pub(crate) mod tree;

use cranelift_entity::{PrimaryMap, SecondaryMap};

use crate::lower::CounterSlots;
use crate::policy::{Action, Direction, Policy, RuleId};

pub(crate) use grouping::{obstacle, plain};

/// Plain rules of a direction from which on they are bulk.
///
/// Below, it is always a compare tree: of so few rules it takes less than 20 ns and some hundred instructions
/// ([`tree::cost`]), and needs no tables. From there on it is always tables. A tree of rules that speak of one field would
/// be as fast up to some hundreds; but one of rules that speak of several fields has more leaves than rules, up to their
/// product, and how many is not known before its diagram is built, which may fail. What tables cost grows little with the
/// number of rules.
pub(crate) const MIN_RULES: usize = 64;

/// What large lists of plain rules become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Structure {
    /// Tables where there are `MIN_RULES` plain rules or more in a direction.
    #[default]
    Chosen,
    /// Compare trees, always.
    Tree,
    /// Tables, always.
    Tables,
}

impl Structure {
    /// Plain rules of a direction from which on they are bulk, if they ever are.
    #[must_use]
    pub fn least(self) -> Option<usize> {
        match self {
            Self::Chosen => Some(MIN_RULES),
            Self::Tree => None,
            Self::Tables => Some(1),
        }
    }
}

/// Which plain rules are taken. What placement has to say of a rule depends on what it matches; where it would refuse a
/// group, fewer rules are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// Every one.
    Every,
    /// Those that placement may put anywhere: no redirects to sockets, and none that names a hook.
    Free,
    /// None.
    Nothing,
}

/// Which rules that are not plain are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// All that ask for the header alone.
    All,
    /// Of packets that arrive those that ask for nothing that changes from one hook to the next.
    Lasting,
    /// None.
    Nothing,
}

/// What is taken of a policy. Placement has nothing to refuse of packets that leave: each direction is reduced by itself,
/// and of those every plain rule is taken.
#[derive(Clone, Debug)]
pub struct Taking {
    /// Of the rules for packets that arrive.
    pub arriving: Breadth,
    /// Of rules that are not plain.
    pub conditions: Conditions,
    /// Rules that stay as they are.
    pub single: SecondaryMap<RuleId, bool>,
}

impl Taking {
    /// So many of the rules for packets that arrive, and none of them single.
    #[must_use]
    pub fn new(arriving: Breadth, conditions: Conditions) -> Self {
        Self {
            arriving,
            conditions,
            single: SecondaryMap::with_default(false),
        }
    }

    fn of(&self, direction: Direction) -> Breadth {
        match direction {
            Direction::In => self.arriving,
            _ => Breadth::Every,
        }
    }
}

/// A policy with its bulk rules reduced to groups.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// The reduced policy. It has no `expect` lines and no policies of other namespaces.
    pub policy: Policy,
    /// The groups, in the order of their first rules.
    pub groups: Vec<Group>,
    /// Rules that are in no group because of their conditions, with which there would be too many classes of packets.
    pub unclassed: Vec<RuleId>,
    /// Rules that are in no group because of their questions: others ask too many different ones.
    pub unasked: Vec<RuleId>,
    /// Rules that are in no group because of their rates: they stand behind rules for the same packets that are in none, or
    /// behind too many with rates.
    pub unmetered: Vec<RuleId>,
    /// For each rule in a group that has a rate the level on which it is asked (`rated`); 0 for the others.
    levels: SecondaryMap<RuleId, u8>,
    /// For each rule of the reduced policy one of the whole policy: itself, or the first of its group.
    origins: PrimaryMap<RuleId, RuleId>,
}

/// Bulk rules that no other rule of their direction stands between, and that differ in what they match only.
#[derive(Clone, Debug)]
pub struct Group {
    /// Whose list they stand in.
    pub direction: Direction,
    /// The group's number in its direction, from 1.
    pub number: u32,
    /// The rule that stands for it in the reduced policy.
    pub rule: RuleId,
    /// Its rules in the whole policy, in order; never empty.
    pub members: Vec<RuleId>,
}

impl Bulk {
    /// The reduced policy, if a direction has at least so many bulk rules.
    #[must_use]
    pub fn of(policy: &Policy, least: usize, taking: &Taking) -> Option<Self> {
        grouping::reduced(policy, least, taking)
    }

    /// The rule of the whole policy that a rule of the reduced one is, or whose group it stands for.
    #[must_use]
    pub fn origin(&self, rule: RuleId) -> RuleId {
        self.origins[rule]
    }

    /// The rules in groups that have a rate, with the levels on which they are asked, from 1.
    pub fn metered(&self) -> impl Iterator<Item = (RuleId, u8)> {
        let members = self.groups.iter().flat_map(|group| &group.members);
        let levels = members.map(|&id| (id, self.levels[id]));
        levels.filter(|(_, level)| *level > 0)
    }

    /// The counters of the rules of the reduced policy. That of a group is never looked at: its rules have their own.
    #[must_use]
    pub fn counters(&self, whole: &CounterSlots) -> CounterSlots {
        let mut rules = SecondaryMap::new();
        for rule in self.policy.rules.keys() {
            rules[rule] = whole.rules[self.origin(rule)];
        }
        CounterSlots {
            rules,
            ..whole.clone()
        }
    }
}

/// Whether rules with this action end the way of their packets, so that no later hook sees them.
#[must_use]
pub(crate) fn is_terminal(action: Action) -> bool {
    matches!(action, Action::Drop | Action::Reject | Action::Forward(_))
}
