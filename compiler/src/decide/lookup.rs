//! Which rules the socket lookup asks for packets that met no packet hook.
//!
//! Takes a policy; gives whether a rule is among them: redirects, rules that say `at sk_lookup`, and the `allow`s ahead of
//! one of these that a lookup can read. An `allow` after the last of them means the ordinary lookup, which comes anyway:
//! no program asks it, and nobody says that it decides. Not here: what a rule matches.

use crate::policy::{Action, Direction, Policy, Rule, RuleId};

use super::asked::is_of_lookup;
use super::readable_at_lookup;

/// The rules of a policy that lookups ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookups {
    /// The last rule that is at home in the lookup.
    last: Option<RuleId>,
}

impl Lookups {
    /// Those of a policy.
    pub(crate) fn of(policy: &Policy) -> Self {
        let home =
            |(_, rule): &(RuleId, &Rule)| rule.direction == Direction::In && is_at_home(rule);
        let last = policy.rules.iter().rev().find(home).map(|(id, _)| id);
        Self { last }
    }

    /// Whether lookups ask the rule.
    pub(crate) fn ask(self, id: RuleId, rule: &Rule) -> bool {
        let ahead = self.last.is_some_and(|last| id <= last);
        let readable = rule.action == Action::Allow && readable_at_lookup(rule);
        rule.direction == Direction::In && (is_at_home(rule) || (ahead && readable))
    }
}

/// Whether the lookup is the rule's home.
pub(crate) fn is_at_home(rule: &Rule) -> bool {
    match rule.action {
        Action::Redirect(_) => true,
        Action::Allow | Action::Count | Action::Reject => is_of_lookup(rule),
        Action::Intercept(_)
        | Action::Drop
        | Action::Forward(_)
        | Action::Shortcut(_)
        | Action::Feed(_) => false,
    }
}
