//! What rules of `forward` need of the machine: the class of the interface by which a packet came in.
//!
//! Takes a policy; gives which classes they ask for, so that a runtime can say what of them does not hold. Not here: the map that
//! the classes stand in, which socket lookups ask as well.

use std::collections::BTreeSet;

use cranelift_entity::EntityRef;

use crate::artifact::PassingPlan;
use crate::decide::Lookups;
use crate::policy::{Policy, Rule, RuleId};

/// The plan; `None` for a policy that asks what passes through for no interface by which it came in.
pub(super) fn plan(policy: &Policy) -> Option<PassingPlan> {
    let lookups = Lookups::of(policy);
    let came_in = named(policy, |_, rule| rule.direction.passes());
    (!came_in.is_empty()).then(|| PassingPlan {
        came_in,
        lookups: named(policy, |id, rule| lookups.ask(id, rule)),
    })
}

/// The classes that some rules name with `on`.
fn named(policy: &Policy, is_asked: impl Fn(RuleId, &Rule) -> bool) -> Vec<usize> {
    let rules = policy.rules.iter();
    let rules = rules.filter(|(id, rule)| is_asked(*id, rule));
    let classes = rules.flat_map(|(_, rule)| rule.matches.on.iter().flatten());
    let classes: BTreeSet<usize> = classes.map(|class| class.index()).collect();
    classes.into_iter().collect()
}
