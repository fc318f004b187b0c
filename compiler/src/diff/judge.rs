//! The reference meaning of one of the policies, for many packets: only rules that may match are asked.
//!
//! Which these are is found without what the comparison knows, so that it cannot confirm its own mistakes. Not here: which
//! packets are asked about.

use std::sync::OnceLock;

use crate::candidates::Flat;
use crate::decide::decide_among;
use crate::event::{Decision, Event, Header, World};
use crate::policy::{Direction, Policy, RuleId};

/// Decides for a policy.
pub(super) struct Judge<'p> {
    policy: &'p Policy,
    /// Of each direction, made when it is first asked about.
    lists: [(Direction, OnceLock<Flat>); Direction::ALL.len()],
    /// The rules that have a rate.
    pub(super) rated: Vec<RuleId>,
}

impl<'p> Judge<'p> {
    pub(super) fn of(policy: &'p Policy) -> Self {
        let rated = policy.rules.iter().filter(|(_, rule)| rule.rate.is_some());
        Self {
            policy,
            lists: Direction::ALL.map(|direction| (direction, OnceLock::new())),
            rated: rated.map(|(id, _)| id).collect(),
        }
    }

    /// What the policy says of an event.
    pub(super) fn decide(&self, event: &Event, world: &dyn World) -> Decision {
        // What cannot be read matches no rule.
        let candidates = event.header().map_or_else(Vec::new, |header| {
            self.candidates(event.direction(), header)
        });
        decide_among(self.policy, event, world, &candidates)
    }

    /// The rules of a direction that may match, in order.
    fn candidates(&self, direction: Direction, header: &Header) -> Vec<RuleId> {
        let lists = self.lists.iter().filter(|(one, _)| *one == direction);
        let found = lists.map(|(_, list)| list.get_or_init(|| self.list(direction)));
        found.flat_map(|list| list.around(header)).collect()
    }

    fn list(&self, direction: Direction) -> Flat {
        let rules: Vec<_> = self.policy.rules_of(direction).collect();
        let matches = rules.iter().map(|(id, rule)| (*id, &rule.matches));
        Flat::new(self.policy, matches)
    }
}
