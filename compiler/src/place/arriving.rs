//! The chains of the packet hooks for packets that arrive: XDP, then TC ingress, for each class of interfaces.
//!
//! Where each rule runs is settled in [`homes`]; here its entries are made. A rule stands at its home as what it is,
//! ahead of it as a pass; after it an allow keeps its place, and what drops or sends packets elsewhere is gone, as they are.

mod homes;

use sockc_grammar::diagnostic::Diagnostic;

use super::{Chain, ChainDefault, ChainRule, Effect, Part, at_home, rules_on};
use crate::diagram::{BudgetExceeded, Store};
use crate::hook::Hook;
use crate::policy::{Action, Arriving, ClassId, DefaultVerdict, Direction, Policy, Rule, RuleId};
use homes::Homes;
pub(crate) use homes::changes_on_the_way;

/// What meets a packet first, and what meets it last before its socket is looked up.
const EARLY: Hook = Hook::ARRIVING[0];
const LATE: Hook = Hook::ARRIVING[1];

/// The chains of XDP and TC ingress, as far as there is anything to do, by hook and class.
pub(super) fn chains(
    policy: &Policy,
    store: &mut Store,
    errors: &mut Vec<Diagnostic>,
) -> Result<Vec<Chain>, BudgetExceeded> {
    let mut chains = Vec::new();
    for class in policy.classes.keys() {
        let homes = Homes::settle(policy, class, store, errors)?;
        for (hook, wanted) in [(EARLY, homes.early), (LATE, homes.late)] {
            if wanted {
                chains.push(homes.chain(policy, class, hook));
            }
        }
    }
    chains.sort_by_key(|chain| (chain.hook, chain.class));
    Ok(chains)
}

impl Homes {
    fn chain(&self, policy: &Policy, class: ClassId, hook: Hook) -> Chain {
        let entries = rules_on(policy, Direction::In, class)
            .flat_map(|(id, rule)| self.entries(policy, hook, id, rule))
            .collect();
        let line = policy.default_of(Direction::In);
        let waits = hook == EARLY && self.default_waits;
        Chain {
            hook,
            group: None,
            class: Some(class),
            entries,
            default: ChainDefault {
                verdict: line
                    .filter(|_| !waits)
                    .map_or(DefaultVerdict::Allow, |line| line.verdict),
                counts: match hook {
                    EARLY => !self.default_waits,
                    _ => self.default_waits || self.default_twice || !self.early,
                },
            },
        }
    }

    /// What a rule is at a packet hook.
    fn entries(&self, policy: &Policy, hook: Hook, id: RuleId, rule: &Rule) -> Vec<ChainRule> {
        let home = self.rules[id];
        if home == Some(hook) && matches!(rule.action, Action::Intercept(_)) {
            return intercepted(id);
        }
        if home == Some(hook) {
            return vec![at_home(id, rule, self.reason(rule, hook, policy.arriving))];
        }
        let entry = |effect, part, reason| ChainRule {
            rule: id,
            effect,
            counts: false,
            part,
            reason,
        };
        let last = hook == LATE || !self.late;
        match (rule.action, home) {
            (Action::Count, _) => Vec::new(),
            (Action::Redirect(socket), _) if last && policy.sockets[socket].drop_if_absent => {
                let watch = entry(
                    Effect::RedirectPass,
                    Part::NewFlows,
                    "drops new flows while its socket is absent",
                );
                let others = entry(
                    Effect::Pass,
                    Part::All,
                    "connections that exist are not moved",
                );
                // `at sk_lookup` says that it is not about them.
                if rule.in_lookup() {
                    vec![watch]
                } else {
                    vec![watch, others]
                }
            }
            (Action::Redirect(_), _) if !rule.in_lookup() => {
                vec![entry(
                    Effect::Pass,
                    Part::All,
                    "waits for the socket lookup",
                )]
            }
            (_, Some(Hook::LOOKUP)) => vec![entry(
                Effect::Pass,
                Part::NewFlows,
                "new flows wait for the socket lookup",
            )],
            (_, Some(LATE)) => vec![entry(Effect::Pass, Part::All, "waits for tc")],
            (Action::Allow, _) => vec![entry(
                Effect::Allow,
                Part::All,
                "xdp has let these pass; keeps its place",
            )],
            // What XDP has taken does not come here. What comes may be joined of segments that the rule did not match.
            _ => Vec::new(),
        }
    }

    fn reason(&self, rule: &Rule, hook: Hook, list: Arriving) -> &'static str {
        if rule.at == Some(hook) {
            hook.spec().reason
        } else if hook == LATE {
            self.why_late(rule, list)
        } else {
            "xdp is the earliest hook, and can evaluate it"
        }
    }
}

/// A redirect `at tc`, where it runs: what is new comes to the socket, in one piece; the rest of what it matches goes on to where
/// it belongs, with the mark by which it is delivered.
fn intercepted(rule: RuleId) -> Vec<ChainRule> {
    let entry = |effect, part, reason| ChainRule {
        rule,
        effect,
        counts: true,
        part,
        reason,
    };
    vec![
        entry(
            Effect::Drop,
            Part::NewFragments,
            "the kernel forgets the socket of a fragment",
        ),
        entry(Effect::Intercept, Part::NewFlows, LATE.spec().reason),
        entry(
            Effect::Allow,
            Part::All,
            "connections that exist are not moved",
        ),
    ]
}
