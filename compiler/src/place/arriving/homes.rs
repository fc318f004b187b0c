//! Where each rule for arriving packets runs and counts, on one class of interfaces.
//!
//! The choice: a rule runs at XDP if XDP can evaluate it, unless it says otherwise. A rule that XDP cannot evaluate is a
//! pass there for every packet that it might match; the rules after it for such packets follow it to TC, or they would
//! be asked too early. So do drops after a `count … at tc` of the same packets, since the count must see them, and the
//! default. An allow by rate, length or TCP flags follows as soon as there is a chain at TC: tokens have been taken and
//! segments joined by then, so TC could not tell whether it had matched.
//! If no rule is left at XDP and some are at TC, there is no XDP chain. A list that is for TC as a whole begins there: only
//! rules that say `at xdp` run ahead of it.

use cranelift_entity::SecondaryMap;
use sockc_grammar::diagnostic::Diagnostic;

use super::{EARLY, LATE};
use crate::chain::sight::{over_approximated, seen_from};
use crate::diagram::classify::{Scope, rule_diagram};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::field::{Field, FieldKind};
use crate::hook::Hook;
use crate::place::needs::{can_unasked, fields, why_not};
use crate::place::{codes, rules_on};
use crate::policy::{Action, Arriving, ClassId, DefaultVerdict, Direction, Policy, Rule, RuleId};

/// Where the rules for arriving packets, and their default, count.
pub(super) struct Homes {
    pub(super) rules: SecondaryMap<RuleId, Option<Hook>>,
    /// Whether there is a chain at XDP.
    pub(super) early: bool,
    /// Whether there is a chain at TC.
    pub(super) late: bool,
    /// Whether XDP lets pass, uncounted, what only the default decides.
    pub(super) default_waits: bool,
    /// Whether the default, which drops at XDP, also decides at TC what XDP could not.
    pub(super) default_twice: bool,
}

impl Homes {
    pub(super) fn settle(
        policy: &Policy,
        class: ClassId,
        store: &mut Store,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<Self, BudgetExceeded> {
        let mut rules = SecondaryMap::new();
        for (id, rule) in rules_on(policy, Direction::In, class) {
            rules[id] = Some(first_choice(id, rule, policy.arriving.hook()));
        }
        loop {
            let mut found = Vec::new();
            let pass = Pass::over(policy, class, store, &mut rules, &mut found)?;
            let homes = Self::of(policy, class, rules, &pass);
            let allows: Vec<RuleId> = homes.late_allows(policy, class).collect();
            if allows.is_empty() {
                push_new(errors, found);
                return Ok(homes);
            }
            rules = homes.rules;
            for id in allows {
                rules[id] = Some(LATE);
                let rule = &policy.rules[id];
                if rule.at == Some(EARLY) {
                    push_new(errors, vec![codes::asked_again(rule)]);
                }
            }
        }
    }

    fn of(
        policy: &Policy,
        class: ClassId,
        rules: SecondaryMap<RuleId, Option<Hook>>,
        pass: &Pass<'_>,
    ) -> Self {
        let line = policy.default_of(Direction::In);
        let rejects = line.is_some_and(|line| line.verdict == DefaultVerdict::Reject);
        let watches = |rule: &Rule| matches!(rule.action, Action::Redirect(socket) if policy.sockets[socket].drop_if_absent);
        let waiting = || {
            line.is_some() || rules_on(policy, Direction::In, class).any(|(_, rule)| watches(rule))
        };
        let wanted = policy.arriving.hook() == Some(LATE);
        let late = rejects
            || pass.default_waits
            || rules.values().any(|home| *home == Some(LATE))
            || wanted && waiting();
        let early = rules.values().any(|home| *home == Some(EARLY)) || !late && waiting();
        Self {
            early,
            late,
            default_waits: pass.default_waits || rejects || wanted,
            default_twice: pass.default_twice,
            rules,
        }
    }

    /// Allows that would run at XDP although there is a chain at TC, which would find another answer: a rate has been
    /// asked by then, and segments have been joined.
    fn late_allows<'a>(
        &'a self,
        policy: &'a Policy,
        class: ClassId,
    ) -> impl Iterator<Item = RuleId> + 'a {
        rules_on(policy, Direction::In, class)
            .filter(|(id, rule)| {
                self.late
                    && self.rules[*id] == Some(EARLY)
                    && rule.action == Action::Allow
                    && fields(*id, rule).into_iter().any(changes_on_the_way)
            })
            .map(|(id, _)| id)
    }

    /// Why a rule that does not say `at tc` runs there.
    pub(super) fn why_late(&self, rule: &Rule, list: Arriving) -> &'static str {
        // Which rule it is does not matter for what it wants.
        why_not(RuleId::from_u32(0), rule, EARLY).unwrap_or(match list {
            Arriving::Named(LATE) => "the default names tc for the whole list",
            Arriving::Costly => {
                "a program at xdp costs every packet that passes on these interfaces"
            }
            _ => "a rule at tc ahead of it must see these packets",
        })
    }
}

/// Whether a field of one packet may be another at TC than at XDP.
pub(crate) fn changes_on_the_way(field: Field) -> bool {
    matches!(
        field.kind(),
        FieldKind::Rate | FieldKind::Length | FieldKind::TcpFlags
    )
}

/// Errors that were not found for another class of interfaces already.
fn push_new(errors: &mut Vec<Diagnostic>, found: Vec<Diagnostic>) {
    for one in found {
        if !errors.contains(&one) {
            errors.push(one);
        }
    }
}

/// The hook that a rule by itself runs at, in a list that is for some hook.
fn first_choice(id: RuleId, rule: &Rule, list: Option<Hook>) -> Hook {
    match (rule.action, rule.at.or(list)) {
        (Action::Redirect(_), _) => Hook::LOOKUP,
        (_, Some(hook)) if hook != EARLY => hook,
        _ if can_unasked(id, rule, EARLY) => EARLY,
        _ => LATE,
    }
}

/// One pass over the list, from its beginning: which rules have to follow others to TC.
struct Pass<'a> {
    policy: &'a Policy,
    class: ClassId,
    /// The packets that some `count` at TC so far counts, by rule and all together.
    counts: Vec<(RuleId, Node)>,
    counted: Node,
    /// The packets that XDP lets pass for rules so far which might not match them at TC, by rule and all together.
    passes: Vec<(RuleId, Node)>,
    passed: Node,
    default_waits: bool,
    default_twice: bool,
}

impl<'a> Pass<'a> {
    fn over(
        policy: &'a Policy,
        class: ClassId,
        store: &mut Store,
        homes: &mut SecondaryMap<RuleId, Option<Hook>>,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<Self, BudgetExceeded> {
        let mut pass = Self {
            policy,
            class,
            counts: Vec::new(),
            counted: Node::FALSE,
            passes: Vec::new(),
            passed: Node::FALSE,
            default_waits: false,
            default_twice: false,
        };
        for (id, rule) in rules_on(policy, Direction::In, class) {
            if homes[id] == Some(EARLY) {
                pass.follow(store, id, homes, errors)?;
            }
            if homes[id] == Some(LATE) {
                pass.add(store, id, rule)?;
            }
        }
        pass.settle_default(store)?;
        Ok(pass)
    }

    fn matched(&self, store: &mut Store, id: RuleId) -> Result<Node, BudgetExceeded> {
        let rule = &self.policy.rules[id];
        let matched = rule_diagram(store, id, rule, Scope::default())?;
        seen_from(store, LATE, Some(self.class), matched)
    }

    /// A rule at XDP goes to TC if something ahead of it must see its packets there first.
    fn follow(
        &mut self,
        store: &mut Store,
        id: RuleId,
        homes: &mut SecondaryMap<RuleId, Option<Hook>>,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<(), BudgetExceeded> {
        if self.passed == Node::FALSE && self.counted == Node::FALSE {
            return Ok(());
        }
        let rule = &self.policy.rules[id];
        let matched = self.matched(store, id)?;
        let asked = rule.at == Some(EARLY);
        if store.intersects(matched, self.passed)? {
            homes[id] = Some(LATE);
            if asked {
                let ahead = self.first(store, &self.passes, matched, rule)?;
                errors.push(codes::too_early(ahead, rule));
            }
            return Ok(());
        }
        let takes = matches!(
            rule.action,
            Action::Drop | Action::Reject | Action::Forward(_)
        );
        if takes && store.intersects(matched, self.counted)? {
            homes[id] = Some(LATE);
            if asked {
                let count = self.first(store, &self.counts, matched, rule)?;
                errors.push(codes::count_unseen(count, rule));
            }
        }
        Ok(())
    }

    /// A rule at TC: what it counts there, or what XDP has to let pass for it.
    fn add(&mut self, store: &mut Store, id: RuleId, rule: &Rule) -> Result<(), BudgetExceeded> {
        let matched = self.matched(store, id)?;
        if !rule.action.decides() {
            self.counts.push((id, matched));
            self.counted = store.or(matched, self.counted)?;
            return Ok(());
        }
        let wide = over_approximated(store, EARLY, matched)?;
        if wide != matched {
            self.passes.push((id, wide));
            self.passed = store.or(wide, self.passed)?;
        }
        Ok(())
    }

    /// The first of these rules for some of the packets; `other` if there is none.
    fn first(
        &self,
        store: &mut Store,
        rules: &[(RuleId, Node)],
        packets: Node,
        other: &'a Rule,
    ) -> Result<&'a Rule, BudgetExceeded> {
        for &(id, matched) in rules {
            if store.intersects(matched, packets)? {
                return Ok(&self.policy.rules[id]);
            }
        }
        Ok(other)
    }

    /// Whether a packet that TC must see can fall through the whole list to the default.
    fn settle_default(&mut self, store: &mut Store) -> Result<(), BudgetExceeded> {
        let Some(line) = self.policy.default_of(Direction::In) else {
            return Ok(());
        };
        if self.passed == Node::FALSE && self.counted == Node::FALSE {
            return Ok(());
        }
        let mut deciders = Vec::new();
        for (id, rule) in rules_on(self.policy, Direction::In, self.class) {
            if rule.action.decides() {
                deciders.push(self.matched(store, id)?);
            }
        }
        let decided = store.any(&deciders)?;
        let left = store.not(decided)?;
        let passed = store.intersects(self.passed, left)?;
        if line.verdict == DefaultVerdict::Allow {
            self.default_waits = passed;
        } else {
            self.default_waits = store.intersects(self.counted, left)?;
            self.default_twice = passed;
        }
        Ok(())
    }
}
