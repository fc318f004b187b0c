//! Rules that are in no tables whatever the others are: what a policy that is too large is told of them.
//!
//! Takes a policy; gives for each list that has many such rules what they are. Not here: rules that tables leave out for others.

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;
use sockc_grammar::diagnostic::Diagnostic;

use super::compilation::TOO_LARGE;
use crate::bulk::{Bulk, obstacle};
use crate::policy::{Direction, Policy, RuleId};

/// Fewer are no reason for the size of a policy.
const FEW: usize = 16;

/// Of each list with many rules that no tables hold: why they do not. Those of groups are in tables.
pub(super) fn of(policy: &Policy, bulk: Option<&Bulk>) -> Vec<(Direction, Diagnostic)> {
    let mut others = SecondaryMap::with_default(true);
    let groups = bulk.iter().flat_map(|bulk| &bulk.groups);
    for &id in groups.flat_map(|group| &group.members) {
        others[id] = false;
    }
    let lists = Direction::ALL.into_iter();
    lists
        .filter_map(|direction| Some((direction, of_list(policy, direction, &others)?)))
        .collect()
}

fn of_list(
    policy: &Policy,
    direction: Direction,
    others: &SecondaryMap<RuleId, bool>,
) -> Option<Diagnostic> {
    let mut found: BTreeMap<&str, Vec<RuleId>> = BTreeMap::new();
    for (id, rule) in policy.rules_of(direction).filter(|(id, _)| others[*id]) {
        if let Some(why) = obstacle(rule) {
            found.entry(why).or_default().push(id);
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(_, rules)| std::cmp::Reverse(rules.len()));
    let all: usize = found.iter().map(|(_, rules)| rules.len()).sum();
    let first = found.first().and_then(|(_, rules)| rules.first());
    let first = &policy.rules[*first.filter(|_| all >= FEW)?].place;
    let kinds = found
        .iter()
        .map(|(why, rules)| format!("{} {why}", rules.len()));
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    let what = format!("{all} rules are in no tables ({kinds})");
    Some(Diagnostic::error(
        TOO_LARGE,
        what,
        first.span,
        "this is one of them",
    ))
}
