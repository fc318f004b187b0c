//! The chains of the packet hooks for packets that arrive: XDP, then TC ingress.
//!
//! The choice: a rule runs at XDP unless it says otherwise. A drop behind a `count … at tc` of the same packets moves
//! to TC, since the count must see them; so does the default. If no rule is left at XDP and some are at TC, there is
//! no XDP chain.

use cranelift_entity::SecondaryMap;
use sockc_grammar::diagnostic::Diagnostic;

use super::{Chain, DefaultEntry, Effect, Entry, at_home, codes};
use crate::diagram::classify::{Scope, rule_diagram};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::hook::Hook;
use crate::policy::{Action, DefaultVerdict, Direction, Policy, Rule, RuleId};

/// Where the rules for arriving packets, and their default, count.
struct Homes {
    rules: SecondaryMap<RuleId, Option<Hook>>,
    xdp: bool,
    tc: bool,
    default: Hook,
}

/// The chains of XDP and TC ingress, as far as there is anything to do.
pub(super) fn chains(
    policy: &Policy,
    store: &mut Store,
    errors: &mut Vec<Diagnostic>,
) -> Result<Vec<Chain>, BudgetExceeded> {
    let homes = Homes::settle(policy, store, errors)?;
    Ok([(Hook::Xdp, homes.xdp), (Hook::TcIn, homes.tc)]
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(hook, _)| homes.chain(policy, hook))
        .collect())
}

/// The hook that a rule by itself runs at.
fn first_choice(rule: &Rule) -> Hook {
    match (rule.action, rule.at) {
        (Action::Redirect(_), _) => Hook::SkLookup,
        (Action::Allow | Action::Count, Some(Hook::SkLookup)) => Hook::SkLookup,
        (_, Some(Hook::TcIn)) => Hook::TcIn,
        _ => Hook::Xdp,
    }
}

impl Homes {
    fn settle(
        policy: &Policy,
        store: &mut Store,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<Self, BudgetExceeded> {
        let mut rules = SecondaryMap::new();
        for (id, rule) in policy.rules_of(Direction::In) {
            rules[id] = Some(first_choice(rule));
        }
        let default_waits = Counted::default().move_drops(policy, store, &mut rules, errors)?;
        let tc = rules.values().any(|home| *home == Some(Hook::TcIn));
        let watches = |rule: &Rule| matches!(rule.action, Action::Redirect(socket) if policy.sockets[socket].drop_if_absent);
        let xdp = rules.values().any(|home| *home == Some(Hook::Xdp))
            || !tc
                && (policy.default_of(Direction::In).is_some()
                    || policy
                        .rules_of(Direction::In)
                        .any(|(_, rule)| watches(rule)));
        let default = if xdp && !default_waits {
            Hook::Xdp
        } else {
            Hook::TcIn
        };
        Ok(Self {
            rules,
            xdp,
            tc,
            default,
        })
    }

    fn chain(&self, policy: &Policy, hook: Hook) -> Chain {
        let entries = policy
            .rules_of(Direction::In)
            .flat_map(|(id, rule)| self.entries(policy, hook, id, rule))
            .collect();
        let line = policy.default_of(Direction::In);
        let waits = hook == Hook::Xdp && self.default == Hook::TcIn;
        Chain {
            hook,
            group: None,
            class: Some(Policy::plain_class()),
            entries,
            default: DefaultEntry {
                verdict: line
                    .filter(|_| !waits)
                    .map_or(DefaultVerdict::Allow, |line| line.verdict),
                counts: self.default == hook,
            },
        }
    }

    /// What a rule is at a packet hook.
    fn entries(&self, policy: &Policy, hook: Hook, id: RuleId, rule: &Rule) -> Vec<Entry> {
        let home = self.rules[id];
        if home == Some(hook) {
            return vec![at_home(id, rule, self.reason(rule, hook))];
        }
        let entry = |effect, new_flows_only, reason| Entry {
            rule: id,
            effect,
            counts: false,
            new_flows_only,
            reason,
        };
        let last = hook == Hook::TcIn || !self.tc;
        match (rule.action, home) {
            (Action::Count, _) => Vec::new(),
            (Action::Redirect(socket), _) if last && policy.sockets[socket].drop_if_absent => vec![
                entry(
                    Effect::RedirectPass,
                    true,
                    "drops new flows while its socket is absent",
                ),
                entry(Effect::Pass, false, "connections that exist are not moved"),
            ],
            (Action::Redirect(_), _) => {
                vec![entry(Effect::Pass, false, "waits for the socket lookup")]
            }
            (_, Some(Hook::SkLookup)) => {
                vec![entry(
                    Effect::Pass,
                    true,
                    "new flows wait for the socket lookup",
                )]
            }
            (_, Some(Hook::TcIn)) => vec![entry(Effect::Pass, false, "waits for tc")],
            (Action::Drop, _) => vec![entry(Effect::Drop, false, "xdp has dropped these already")],
            _ => vec![entry(
                Effect::Allow,
                false,
                "xdp has let these pass; keeps its place",
            )],
        }
    }

    fn reason(&self, rule: &Rule, hook: Hook) -> &'static str {
        match (hook, rule.at) {
            (Hook::TcIn, Some(Hook::TcIn)) => "it says `at tc`",
            (Hook::TcIn, _) => "a count at tc ahead of it must see these packets",
            (_, Some(Hook::Xdp)) => "it says `at xdp`",
            _ => "xdp is the earliest hook, and can evaluate it",
        }
    }
}

/// The packets that some `count … at tc` so far in the list counts.
#[derive(Default)]
struct Counted {
    rules: Vec<(RuleId, Node)>,
    any: Option<Node>,
}

impl Counted {
    /// Moves drops of counted packets from XDP to TC. Tells whether the default has to wait for TC too.
    fn move_drops(
        mut self,
        policy: &Policy,
        store: &mut Store,
        homes: &mut SecondaryMap<RuleId, Option<Hook>>,
        errors: &mut Vec<Diagnostic>,
    ) -> Result<bool, BudgetExceeded> {
        for (id, rule) in policy.rules_of(Direction::In) {
            if rule.action == Action::Count && homes[id] == Some(Hook::TcIn) {
                self.add(store, id, rule)?;
            }
            let Some(counted) = self.any else { continue };
            if rule.action != Action::Drop || homes[id] != Some(Hook::Xdp) {
                continue;
            }
            let dropped = rule_diagram(store, id, rule, Scope::default())?;
            if !store.meet(dropped, counted)? {
                continue;
            }
            homes[id] = Some(Hook::TcIn);
            if rule.at == Some(Hook::Xdp) {
                errors.push(self.blame(policy, store, rule, dropped)?);
            }
        }
        self.reaches_default(policy, store)
    }

    fn add(&mut self, store: &mut Store, id: RuleId, rule: &Rule) -> Result<(), BudgetExceeded> {
        let matched = rule_diagram(store, id, rule, Scope::default())?;
        self.rules.push((id, matched));
        self.any = Some(store.or(matched, self.any.unwrap_or(Node::FALSE))?);
        Ok(())
    }

    /// The message for the first count that a drop `at xdp` takes packets from.
    fn blame(
        &self,
        policy: &Policy,
        store: &mut Store,
        drop: &Rule,
        dropped: Node,
    ) -> Result<Diagnostic, BudgetExceeded> {
        let mut count = drop;
        for &(id, matched) in &self.rules {
            if store.meet(matched, dropped)? {
                count = &policy.rules[id];
                break;
            }
        }
        Ok(codes::count_unseen(count, drop))
    }

    /// Whether a counted packet can fall through the whole list to a default that drops.
    fn reaches_default(&self, policy: &Policy, store: &mut Store) -> Result<bool, BudgetExceeded> {
        let drops = policy
            .default_of(Direction::In)
            .is_some_and(|line| line.verdict != DefaultVerdict::Allow);
        let (true, Some(counted)) = (drops, self.any) else {
            return Ok(false);
        };
        let mut deciders = Vec::new();
        for (id, rule) in policy.rules_of(Direction::In) {
            if rule.action.decides() {
                deciders.push(rule_diagram(store, id, rule, Scope::default())?);
            }
        }
        let decided = store.any(&deciders)?;
        let left = store.not(decided)?;
        store.meet(counted, left)
    }
}
