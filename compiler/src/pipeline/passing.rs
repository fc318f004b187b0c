//! What rules of `forward` need of the machine: the class of the interface by which a packet came in.
//!
//! Takes a policy; gives which classes they ask for, so that a runtime can say what of them does not hold. Not here: the map that
//! the classes stand in, which socket lookups ask as well.

use std::collections::BTreeSet;

use cranelift_entity::EntityRef;

use crate::artifact::PassingPlan;
use crate::decide::Lookups;
use crate::policy::Policy;

/// The plan; `None` for a policy that asks what passes through for no interface by which it came in.
pub(super) fn plan(policy: &Policy) -> Option<PassingPlan> {
    let passing = policy.rules.values().filter(|rule| rule.direction.passes());
    let came_in: BTreeSet<usize> = passing
        .flat_map(|rule| rule.matches.on.iter().flatten())
        .map(|class| class.index())
        .collect();
    let lookups = Lookups::of(policy);
    let mut rules = policy.rules.iter();
    (!came_in.is_empty()).then(|| PassingPlan {
        came_in: came_in.into_iter().collect(),
        lookups: rules.any(|(id, rule)| lookups.ask(id, rule) && rule.matches.on.is_some()),
    })
}
