//! The chain of the socket lookup: redirects, rules `at sk_lookup`, and the allows ahead of them.
//!
//! An allow stands here only if it overlaps a rule of the lookup after it: to the others the ordinary lookup, which
//! is what an allow means here, comes anyway. Drops of the packet hooks are not here; the packets they take make no
//! lookup.

use sockc_grammar::diagnostic::Diagnostic;

use super::needs::unreadable;
use super::{Chain, ChainDefault, ChainRule, Effect, Part, at_home, codes};
use crate::decide::is_at_home;
use crate::diagram::classify::{Scope, new_flow, rule_diagram};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::hook::Hook;
use crate::policy::{Action, DefaultVerdict, Direction, Policy, Rule, RuleId};

/// The chain, if any rule is at home in it.
pub(super) fn chain(
    policy: &Policy,
    store: &mut Store,
    errors: &mut Vec<Diagnostic>,
) -> Result<Option<Chain>, BudgetExceeded> {
    if !has_lookup(policy) {
        return Ok(None);
    }
    let entries = After::new(policy).entries(store, errors)?;
    Ok(Some(Chain {
        hook: Hook::LOOKUP,
        group: None,
        class: None,
        entries,
        default: ChainDefault {
            verdict: DefaultVerdict::Allow,
            counts: false,
        },
    }))
}

/// Whether any rule of the policy is at home in a socket lookup.
#[must_use]
pub(crate) fn has_lookup(policy: &Policy) -> bool {
    policy
        .rules_of(Direction::In)
        .any(|(_, rule)| is_at_home(rule))
}

/// The rules of the lookup that stand after a place in the list, nearest last.
struct After<'a> {
    policy: &'a Policy,
    own: Vec<(RuleId, Node)>,
    any: Node,
}

impl<'a> After<'a> {
    fn new(policy: &'a Policy) -> Self {
        Self {
            policy,
            own: Vec::new(),
            any: Node::FALSE,
        }
    }

    /// The entries, found from the end of the list to its beginning.
    fn entries(
        mut self,
        store: &mut Store,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<Vec<ChainRule>, BudgetExceeded> {
        let mut entries = Vec::new();
        let rules: Vec<_> = self.policy.rules_of(Direction::In).collect();
        let left = left_over(store, &rules)?;
        let mut found = Vec::new();
        for ((id, rule), matched) in rules.into_iter().zip(left).rev() {
            if is_at_home(rule) {
                self.add(store, id, rule)?;
                entries.push(at_home(id, rule, reason(rule)));
            } else if rule.action == Action::Allow {
                entries.extend(self.allow(store, (id, rule), matched, &mut found)?);
            }
        }
        entries.reverse();
        errors.extend(found.into_iter().rev());
        Ok(entries)
    }

    fn add(&mut self, store: &mut Store, id: RuleId, rule: &Rule) -> Result<(), BudgetExceeded> {
        let matched = lookups(store, id, rule)?;
        self.own.push((id, matched));
        self.any = store.or(matched, self.any)?;
        Ok(())
    }

    /// An allow of a packet hook, seen from the lookup.
    fn allow(
        &self,
        store: &mut Store,
        (id, rule): (RuleId, &Rule),
        matched: Node,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<Option<ChainRule>, BudgetExceeded> {
        if self.own.is_empty() {
            return Ok(None);
        }
        if !store.intersects(matched, self.any)? {
            return Ok(None);
        }
        if let Some(why) = unreadable(id, rule, Hook::LOOKUP) {
            let own = self.nearest(store, matched)?;
            errors.extend(own.map(|own| codes::allow_ahead(rule, own, why)));
            return Ok(None);
        }
        Ok(Some(ChainRule {
            rule: id,
            effect: Effect::Allow,
            counts: false,
            part: Part::All,
            reason: "comes before a rule of the lookup that it overlaps",
        }))
    }

    /// The first rule of the lookup after it that takes some of these packets.
    fn nearest(
        &self,
        store: &mut Store,
        matched: Node,
    ) -> Result<Option<&'a Rule>, BudgetExceeded> {
        for &(id, own) in self.own.iter().rev() {
            if store.intersects(own, matched)? {
                return Ok(Some(&self.policy.rules[id]));
            }
        }
        Ok(None)
    }
}

/// For each rule, the packets of it for which a lookup is made and that no rule ahead of it has taken there.
fn left_over(store: &mut Store, rules: &[(RuleId, &Rule)]) -> Result<Vec<Node>, BudgetExceeded> {
    let mut taken = Node::FALSE;
    let mut left = Vec::with_capacity(rules.len());
    for &(id, rule) in rules {
        let all = lookups(store, id, rule)?;
        let free = store.not(taken)?;
        left.push(store.and(all, free)?);
        let readable = rule.action == Action::Allow && unreadable(id, rule, Hook::LOOKUP).is_none();
        if rule.action.decides() && (is_at_home(rule) || readable) {
            taken = store.or(taken, all)?;
        }
    }
    Ok(left)
}

/// The packets of a rule for which a lookup is made.
fn lookups(store: &mut Store, id: RuleId, rule: &Rule) -> Result<Node, BudgetExceeded> {
    let matched = rule_diagram(store, id, rule, Scope::default())?;
    let new = new_flow(store)?;
    store.and(matched, new)
}

fn reason(rule: &Rule) -> &'static str {
    match rule.action {
        Action::Redirect(_) => "only the socket lookup can hand a packet to a socket",
        _ => Hook::LOOKUP.spec().reason,
    }
}
