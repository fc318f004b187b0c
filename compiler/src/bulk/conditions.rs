//! Which conditions of bulk rules are told apart by the class of a packet.
//!
//! A classifier has 64 classes ([`Classes`]), and conditions that do not exclude each other multiply. So those of most rules come
//! first, as long as there are classes left; a rule whose conditions find no place stays in the tree. Takes the rules
//! that could be bulk; gives those that are, and the others. Not here: what else keeps a rule out (`grouping`).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::classifier::{Classes, header_conditions};
use crate::policy::{Condition, Policy, RuleId};

/// The maximum number of different lists of conditions for which a place is looked for: that takes a diagram each.
const MAX_TRIED: usize = 256;

/// The rules whose conditions all classes together can tell, and those that are left over.
pub(super) fn told_apart(policy: &Policy, bulk: Vec<RuleId>) -> (Vec<RuleId>, Vec<RuleId>) {
    let of = |id: &RuleId| header_conditions(&policy.rules[*id].matches);
    if bulk.iter().all(|id| of(id).is_empty()) {
        return (bulk, Vec::new());
    }
    let mut rules: HashMap<Cow<'_, [Condition]>, Vec<RuleId>> = HashMap::new();
    for id in &bulk {
        rules.entry(of(id)).or_default().push(*id);
    }
    let mut lists: Vec<(Cow<'_, [Condition]>, Vec<RuleId>)> = rules.into_iter().collect();
    // Rules without conditions take their places first, whatever comes of the others.
    lists.sort_by_key(|(list, rules)| (!list.is_empty(), Reverse(rules.len()), rules[0]));
    let mut classes = Classes::new();
    let mut told: HashSet<&[Condition]> = HashSet::from([&[][..]]);
    for (list, rules) in lists.iter().take(MAX_TRIED) {
        let matches = rules.iter().map(|id| &policy.rules[*id].matches);
        if classes.take(matches, list) {
            told.insert(list);
        } else if list.is_empty() {
            break;
        }
    }
    bulk.into_iter().partition(|id| told.contains(&*of(id)))
}
