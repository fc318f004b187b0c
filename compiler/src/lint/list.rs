//! One direction's rules, as the lints of reach look at them: who may match a packet, and the diagrams of rules.
//!
//! Not here: what a lint makes of that.

use super::index::Index;
use super::sample::Sample;
use crate::decide::{Seen, is_new_flow, matches, readable_at_lookup};
use crate::diagram::classify::{Scope, rule_diagram};
use crate::diagram::possible::possible;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::event::Event;
use crate::field::Field;
use crate::hook::Hook;
use crate::policy::{Action, Direction, GroupId, Policy, Rule, RuleId, Side};
use crate::witness::Witness;

/// Nodes for the rules of one direction that cannot be told quickly: about a tenth of a second.
const BUDGET: usize = 300_000;

/// The rules of a direction.
pub(super) struct List<'a> {
    /// The policy.
    pub(super) policy: &'a Policy,
    /// The direction.
    pub(super) direction: Direction,
    /// Its rules, in order.
    pub(super) rules: Vec<(RuleId, &'a Rule)>,
    index: Index,
    store: Store,
    possible: Option<Node>,
    /// The last rule that takes part in socket lookups whatever stands behind it.
    last_lookup: Option<RuleId>,
}

impl<'a> List<'a> {
    /// The list of a direction.
    pub(super) fn new(policy: &'a Policy, direction: Direction) -> Self {
        let rules: Vec<_> = policy.rules_of(direction).collect();
        let steers = |rule: &Rule| {
            matches!(rule.action, Action::Redirect(_)) || rule.at == Some(Hook::SkLookup)
        };
        let deciding = rules.iter().filter(|(_, rule)| rule.action.decides());
        let last = rules.iter().rev().find(|(_, rule)| steers(rule));
        Self {
            index: Index::new(policy, deciding.map(|(id, rule)| (*id, &rule.matches))),
            store: Store::with(BUDGET, &Field::of(policy)),
            possible: None,
            last_lookup: last.map(|(id, _)| *id),
            policy,
            direction,
            rules,
        }
    }

    /// Whether socket lookups ask about the rule too, also for packets that no packet hook has seen.
    pub(super) fn in_lookups(&self, id: RuleId, rule: &Rule) -> bool {
        let ahead = self.last_lookup.is_some_and(|last| id <= last);
        ahead
            && match rule.action {
                Action::Redirect(_) => true,
                Action::Allow => readable_at_lookup(rule),
                _ => rule.at == Some(Hook::SkLookup),
            }
    }

    /// Whose packets or writes the rule may be for: for sends the groups, else nobody's in particular.
    pub(super) fn scopes(&self, rule: &Rule) -> Vec<Option<GroupId>> {
        if self.direction != Direction::Send {
            return vec![None];
        }
        let groups = self.policy.groups.keys();
        groups
            .filter(|group| concerns(rule, Some(*group)))
            .map(Some)
            .collect()
    }

    /// Deciding rules that match the sample, in no order.
    pub(super) fn deciders(
        &self,
        sample: &Sample<'_>,
        scope: Option<GroupId>,
    ) -> impl Iterator<Item = RuleId> {
        self.index.around(&sample.header).filter(move |id| {
            let rule = &self.policy.rules[*id];
            concerns(rule, scope) && sample.is_of(*id, rule)
        })
    }

    /// Some packet of a diagram, and the deciding rules that match it, in no order.
    pub(super) fn deciders_in(&self, node: Node, scope: Option<GroupId>) -> Option<Vec<RuleId>> {
        let values = self.store.satisfy(node, 1)?;
        let witness = Witness::new(values, self.direction, scope);
        let class = match witness.event {
            Event::Packet { class, .. } => Some(class),
            _ => None,
        };
        let header = &witness.header;
        let seen = Seen::new(self.policy, self.direction, class, header, &witness);
        let around = self.index.around(header).filter(|id| {
            let rule = &self.policy.rules[*id];
            concerns(rule, scope) && is_of(&seen, *id, rule)
        });
        Some(around.collect())
    }

    /// 1 for the packets that there can be.
    pub(super) fn possible(&mut self) -> Result<Node, BudgetExceeded> {
        if let Some(known) = self.possible {
            return Ok(known);
        }
        let node = possible(&mut self.store, self.policy, self.direction)?;
        self.possible = Some(node);
        Ok(node)
    }

    /// 1 for what the rule matches.
    pub(super) fn diagram(
        &mut self,
        id: RuleId,
        group: Option<GroupId>,
    ) -> Result<Node, BudgetExceeded> {
        rule_diagram(&mut self.store, id, &self.policy.rules[id], Scope { group })
    }

    /// 1 where the first is and the second is not.
    pub(super) fn without(&mut self, from: Node, taken: Node) -> Result<Node, BudgetExceeded> {
        let rest = self.store.not(taken)?;
        self.store.and(from, rest)
    }

    /// 1 where both are.
    pub(super) fn both(&mut self, one: Node, other: Node) -> Result<Node, BudgetExceeded> {
        self.store.and(one, other)
    }
}

/// Whether a rule of the list matches what is seen; one `at sk_lookup` is for new flows only.
pub(super) fn is_of(seen: &Seen<'_>, id: RuleId, rule: &Rule) -> bool {
    (rule.at != Some(Hook::SkLookup) || is_new_flow(seen.header, seen.socket(None)))
        && matches(seen, id, rule)
}

/// Whether a rule is about writes of the group.
pub(super) fn concerns(rule: &Rule, scope: Option<GroupId>) -> bool {
    let Some(group) = scope else {
        return true;
    };
    !matches!(rule.action, Action::Shortcut(within) if within != group)
        && !matches!(rule.matches.from, Some(Side::Group(from)) if from != group)
}

/// The first of the rules that a redirect by a map became; of other rules, the rule.
pub(super) fn head(id: RuleId, rule: &Rule) -> RuleId {
    rule.head.unwrap_or(id)
}
