//! What is compared, one after the other: packets that arrive, packets that leave, lookups, what each group sends.
//!
//! Not here: how.

use super::joint::{Joint, Which};
use super::report::About;
use crate::policy::{Action, DefaultVerdict, Direction, GroupId, Match, RuleId};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) about: About,
    /// For what is sent: whose sockets send it, by its shared id.
    pub(super) group: Option<GroupId>,
}

impl Topic {
    /// Every one there is for two policies.
    pub(super) fn all(joint: &Joint<'_>) -> Vec<Self> {
        let packets = [About::In, About::Out, About::Lookup].into_iter();
        let packets = packets
            .map(|about| Self { about, group: None })
            .filter(|topic| topic.about != About::Lookup || has_lookup(joint));
        // What a group sends that one policy does not know is nothing that rules change.
        let known = |group: &GroupId| {
            let sides = Which::BOTH.map(|which| joint.side(which).own_group(*group));
            sides.iter().all(Option::is_some)
        };
        let groups = joint.tables.groups.keys().filter(known);
        let groups = groups.flat_map(|group| {
            let directions = Direction::ALL.into_iter().filter(|one| one.of_processes());
            directions.map(move |direction| Self {
                about: About::Process(direction),
                group: Some(group),
            })
        });
        packets.chain(groups).collect()
    }

    /// Whose list it is.
    pub(super) fn direction(self) -> Direction {
        match self.about {
            About::In | About::Lookup | About::MalformedIn => Direction::In,
            About::Out | About::MalformedOut => Direction::Out,
            About::Process(direction) => direction,
        }
    }

    /// Whether a rule can decide here.
    pub(super) fn asks(self, joint: &Joint<'_>, which: Which, id: RuleId) -> bool {
        let side = joint.side(which);
        let action = side.actions[id];
        match self.about {
            About::Lookup => action.decides() && side.lookups.ask(id, side.rule(id)),
            About::Process(_) => action.decides() && self.is_for(action, &side.matches[id]),
            _ => action.decides(),
        }
    }

    fn is_for(self, action: Action, matches: &Match) -> bool {
        self.group
            .is_some_and(|group| action.is_for(group) && matches.is_for(group))
    }

    /// What becomes of what no rule decides.
    pub(super) fn default(self, joint: &Joint<'_>, which: Which) -> DefaultVerdict {
        if self.about == About::Lookup {
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
