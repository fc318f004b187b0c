//! What is compared, one after the other: packets that arrive, pass through and leave, lookups, what each group does.
//!
//! Not here: how.

use super::joint::{Joint, Which};
use super::lists::Pair;
use super::report::About;
use crate::policy::{Action, DefaultVerdict, Direction, GroupId, RuleId};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) about: About,
    /// For what processes do: whose, by the shared id of their group.
    pub(super) group: Option<GroupId>,
}

impl Topic {
    /// Every one there is for two policies.
    pub(super) fn all(joint: &Joint<'_>) -> Vec<Self> {
        let packets = [About::In, About::Passing, About::Out, About::Lookup];
        let packets = packets.into_iter();
        let packets = packets
            .map(|about| Self { about, group: None })
            .filter(|topic| topic.about != About::Lookup || has_lookup(joint));
        let groups = joint.tables.groups.keys().flat_map(|group| {
            Direction::all_of_processes().map(move |direction| Self {
                about: About::Process(direction),
                group: Some(group),
            })
        });
        packets.chain(groups).collect()
    }

    /// Whether one of the policies has no rules for it, whatever they say: those of groups touch no other sockets.
    pub(super) fn comes_or_goes(self, joint: &Joint<'_>) -> bool {
        Which::BOTH
            .into_iter()
            .any(|which| !self.is_met(joint, which))
    }

    /// Whether a policy has rules for it, if it has any of this direction.
    pub(super) fn is_met(self, joint: &Joint<'_>, which: Which) -> bool {
        self.group.is_none() || self.own_group(joint, which).is_some()
    }

    /// A policy's own group whose rules hold for it.
    pub(super) fn own_group(self, joint: &Joint<'_>, which: Which) -> Option<GroupId> {
        joint.own_group(which, self.group?)
    }

    /// The same, by its shared id.
    pub(super) fn shared_group(self, joint: &Joint<'_>, which: Which) -> Option<GroupId> {
        let own = self.own_group(joint, which)?;
        joint.side(which).ids.groups.get(own).copied()
    }

    /// Those rules of a pair that can decide here.
    pub(super) fn asked(self, joint: &Joint<'_>, pair: Pair) -> Option<Pair> {
        let asked = |which| pair.of(which).filter(|id| self.asks(joint, which, *id));
        match (asked(Which::Old), asked(Which::New)) {
            (Some(_), Some(_)) => Some(pair),
            (Some(old), None) => Some(Pair::Old(old)),
            (None, Some(new)) => Some(Pair::New(new)),
            (None, None) => None,
        }
    }

    /// Whose list it is.
    pub(super) fn direction(self) -> Direction {
        match self.about {
            About::In | About::Lookup | About::MalformedIn => Direction::In,
            About::Out | About::MalformedOut => Direction::Out,
            About::Passing | About::MalformedPassing => Direction::Forward,
            About::Process(direction) => direction,
        }
    }

    /// Whether a rule can decide here.
    pub(super) fn asks(self, joint: &Joint<'_>, which: Which, id: RuleId) -> bool {
        let side = joint.side(which);
        let action = side.actions[id];
        match self.about {
            About::Lookup => action.decides() && side.lookups.ask(id, side.rule(id)),
            About::Process(_) => {
                let own = self.own_group(joint, which);
                action.decides() && own.is_some_and(|own| side.rule(id).is_for(own))
            }
            _ => action.decides(),
        }
    }

    /// What becomes of what no rule decides.
    pub(super) fn default(self, joint: &Joint<'_>, which: Which) -> DefaultVerdict {
        if self.about == About::Lookup || !self.is_met(joint, which) {
            return DefaultVerdict::Allow;
        }
        let line = joint.side(which).policy.default_of(self.direction());
        line.map_or(DefaultVerdict::Allow, |line| line.verdict)
    }
}

/// Whether a lookup of either policy gives anything but the ordinary one.
fn has_lookup(joint: &Joint<'_>) -> bool {
    Which::BOTH.into_iter().any(|which| {
        let policy = joint.side(which).policy;
        let mut rules = policy.rules_of(Direction::In);
        rules.any(|(_, rule)| match rule.action {
            Action::Redirect(_) => true,
            action => action == Action::Reject && rule.in_lookup(),
        })
    })
}
