//! Which rules with rates are bulk, and on which level each is asked.
//!
//! A rate takes tokens when it is asked, so it may be asked only where its rule is reached. Code that asks for the first match
//! knows what the bulk rules ahead say, but not what becomes of the others: so a rule with a rate is bulk only if it
//! shares no packets with a deciding rule ahead of it that is none. Of bulk rules with rates that share packets the later has
//! the greater level, and there are few levels ([`MAX_LEVELS`]); rules for different customers share one.
//!
//! Takes the rules that could be bulk; gives those that are, and the others. Which rules may share packets is asked of the ranges
//! around what they match ([`Index`]), which are never too small, and then of the two ([`disjoint`]).

use cranelift_entity::SecondaryMap;

use crate::apart::disjoint;
use crate::candidates::{Index, Looks};
use crate::classifier::MAX_LEVELS;
use crate::policy::{Direction, Match, Policy, RuleId};

/// Rules that are looked at for each one with a rate; where more would have to be, those behind are no bulk.
const LOOKS: u64 = 1_000;

/// The same for few of them.
const LEAST_LOOKS: u64 = 1_000_000;

/// The rules without rates, and those with one that may be asked with the first match, whose levels are noted; and the others.
pub(super) fn in_levels(
    policy: &Policy,
    direction: Direction,
    bulk: Vec<RuleId>,
    levels: &mut SecondaryMap<RuleId, u8>,
) -> (Vec<RuleId>, Vec<RuleId>) {
    let is_rated = |id: &RuleId| policy.rules[*id].rate.is_some();
    let rated: Vec<RuleId> = bulk.iter().copied().filter(is_rated).collect();
    if rated.is_empty() {
        return (bulk, Vec::new());
    }
    let mut is_bulk: SecondaryMap<RuleId, bool> = SecondaryMap::with_default(false);
    bulk.iter().for_each(|&id| is_bulk[id] = true);
    let asked = policy.rules_of(direction);
    let asked = asked.filter(|(id, rule)| rule.action.decides() && (!is_bulk[*id] || is_rated(id)));
    let asked: Vec<(RuleId, &Match)> = asked.map(|(id, rule)| (id, &rule.matches)).collect();
    let index = Index::new(policy, asked.into_iter());
    let looks = Looks::new(LEAST_LOOKS.max(LOOKS * rated.len() as u64));
    for &id in &rated {
        // Whoever is behind cannot be told apart any more.
        if looks.are_gone() {
            is_bulk[id] = false;
            continue;
        }
        match level(policy, (&index, &looks), id, levels) {
            Some(level) => levels[id] = level,
            None => is_bulk[id] = false,
        }
    }
    bulk.into_iter().partition(|&id| is_bulk[id])
}

/// The level of a rule, one more than those of all ahead of it with which it shares packets; none if one of these has no level, or the
/// last one.
fn level(
    policy: &Policy,
    (index, looks): (&Index, &Looks),
    rule: RuleId,
    levels: &SecondaryMap<RuleId, u8>,
) -> Option<u8> {
    let mut last = Some(0);
    let ahead = 0..rule.as_u32();
    let matches = &policy.rules[rule].matches;
    let sufficed = index.sharing(policy, matches, ahead, looks, &mut |other| {
        if disjoint(policy, matches, &policy.rules[other].matches) {
            return true;
        }
        let level = levels[other];
        last = last.filter(|_| (1..MAX_LEVELS).contains(&usize::from(level)));
        last = last.map(|last| level.max(last));
        last.is_some()
    });
    last.filter(|_| sufficed).map(|last| last + 1)
}
