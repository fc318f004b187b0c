//! Rules for interfaces that the policy is not on: `on interface eth2` next to `interfaces eth0`.
//!
//! Rules that socket lookups look at, too, match there all the same.

use std::collections::BTreeSet;

use sockc_grammar::diagnostic::Diagnostic;

use super::OUTSIDE;
use crate::coverage::Coverage;
use crate::decide::Lookups;
use crate::policy::{ClassId, Policy, Rule};

/// Reports such rules.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    let coverage = Coverage::of(policy);
    let lookups = Lookups::of(policy);
    for (id, rule) in &policy.rules {
        let Some(classes) = rule.matches.held_on(rule.direction) else {
            continue;
        };
        let covered = classes.iter().any(|class| coverage.covers(*class));
        if !classes.is_empty() && !covered && !lookups.ask(id, rule) {
            found.push(outside(policy, rule, classes));
        }
    }
}

fn outside(policy: &Policy, rule: &Rule, classes: &[ClassId]) -> Diagnostic {
    let listed = policy.interfaces.join(", ");
    let named = names(policy, classes);
    Diagnostic::warning(
        OUTSIDE,
        "the rule is for interfaces that the policy is not on",
        rule.place.span,
        format!("the policy holds on {listed} only, so this never matches"),
    )
    .help(format!(
        "name {named} in `interfaces`; without that line, the policy is on the interfaces of its zones, or where it has none on those that `apply --interface` names"
    ))
}

/// The interfaces of the classes, as they are written. A pattern all of whose classes are of another one as well is left out: other
/// rules name it, or that one stands for its interfaces too.
fn names(policy: &Policy, classes: &[ClassId]) -> String {
    let mut named: Vec<(&str, BTreeSet<ClassId>)> = Vec::new();
    for class in classes {
        let known = &policy.classes[*class];
        let zone = known.zone.iter();
        let zone = zone.flat_map(|zone| &policy.zones[*zone].patterns);
        for pattern in known.patterns.iter().chain(zone) {
            match named.iter_mut().find(|(one, _)| one == pattern) {
                Some((_, of)) => {
                    of.insert(*class);
                }
                None => named.push((pattern, BTreeSet::from([*class]))),
            }
        }
    }
    let wider = |of: &BTreeSet<ClassId>| {
        let mut others = named.iter();
        others.any(|(_, other)| of.len() < other.len() && of.is_subset(other))
    };
    let names = named.iter().filter(|(_, of)| !wider(of));
    let names: Vec<String> = names.map(|(name, _)| format!("`{name}`")).collect();
    names.join(", ")
}
