//! Which plain rules become groups: as many as placement allows.
//!
//! What placement refuses of a group it may allow of its rules. So where it refuses, the plain rules that the refusal is
//! about stay as they are, and it is asked again, a few times; then redirects stay out, and in the end everything that
//! arrives. Takes a policy; gives its [`Analysis`]. Not here: what a group is (`bulk`), what placement refuses (`place`).

use std::collections::BTreeSet;

use cranelift_entity::SecondaryMap;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Span;

use super::analysis::{Analysis, as_it_is};
use super::compilation::{Stop, TOO_LARGE};
use super::outside;
use crate::bulk::{Breadth, Bulk, Conditions, MIN_RULES, Structure, Taking};
use crate::candidates::{Index, Looks};
use crate::chain::Chain;
use crate::classifier::{MAX_BOXES, MAX_CLASSES, MAX_LEVELS, MAX_QUESTIONS, is_in_pieces};
use crate::compose;
use crate::diagram::Store;
use crate::place;
use crate::policy::{Direction, Policy, RuleId};

/// How often rules are taken out of groups before fewer are taken at all.
const TRIES: usize = 4;

/// The maximum number of plain rules that are taken out: a diagram holds so many in any order.
const MAX_SINGLE: usize = 256;

/// Fewer rules in pieces are no reason for the size of a policy.
const FEW: usize = 16;

/// Rules that are looked at to find them.
const LOOKS: u64 = 4_000_000;

/// Places the rules, bulk rules as groups where there are many; of rules that are not plain those of `conditions`.
pub(super) fn place(
    policy: &Policy,
    structure: Structure,
    conditions: Conditions,
) -> Result<Analysis, Stop> {
    let mut refused = None;
    if let Some(least) = structure.least() {
        for arriving in [Breadth::Every, Breadth::Free, Breadth::Nothing] {
            match in_groups(policy, least, Taking::new(arriving, conditions)) {
                Ok(Some(analysis)) => {
                    let refused = refused.filter(|_| arriving == Breadth::Nothing);
                    return Ok(Analysis {
                        refused: refused.or(analysis.refused),
                        ..analysis
                    });
                }
                Ok(None) => {}
                Err(found) => refused = refused.or(found.map(|found| *found)),
            }
        }
    }
    let unclassed = || {
        structure.least()?;
        let taking = Taking::new(Breadth::Every, conditions);
        let bulk = Bulk::of(policy, 1, &taking)?;
        left_out(policy, &bulk)
    };
    Ok(Analysis {
        refused: refused.or_else(|| in_pieces(policy)).or_else(unclassed),
        ..as_it_is(policy)?
    })
}

/// Why many rules are in no tables though they ask for addresses and ports alone: each is for too many pairs of prefixes.
fn in_pieces(policy: &Policy) -> Option<Diagnostic> {
    let rules = policy.rules.values();
    let found: Vec<_> = rules.filter(|rule| is_in_pieces(&rule.matches)).collect();
    let first = found.first().filter(|_| found.len() >= FEW)?;
    let what = format!(
        "{} rules are for ranges of addresses that make more than {MAX_BOXES} pairs of prefixes each",
        found.len()
    );
    let label = "this is one of them";
    Some(Diagnostic::error(TOO_LARGE, what, first.place.span, label))
}

/// Why many rules are in no tables, of those that could be.
fn left_out(policy: &Policy, bulk: &Bulk) -> Option<Diagnostic> {
    in_classes(policy, bulk)
        .or_else(|| in_questions(policy, bulk))
        .or_else(|| in_rates(policy, bulk))
}

/// Why many rules with rates are in no tables: they may not be reached, too many are by one packet, or one would be asked twice.
fn in_rates(policy: &Policy, bulk: &Bulk) -> Option<Diagnostic> {
    let first = bulk.unmetered.first()?;
    let count = Some(bulk.unmetered.len()).filter(|count| *count >= FEW)?;
    let what = format!(
        "{count} rules with rates are not told apart from a rule ahead that is in no table, or from {MAX_LEVELS} with rates, or are asked by both XDP and TC"
    );
    let place = &policy.rules[*first].place;
    let label = "this is one of them";
    Some(Diagnostic::error(TOO_LARGE, what, place.span, label))
}

/// Why many rules are in no tables though they ask for the header alone: their conditions make too many classes.
fn in_classes(policy: &Policy, bulk: &Bulk) -> Option<Diagnostic> {
    let first = bulk.unclassed.first()?;
    let count = Some(bulk.unclassed.len()).filter(|count| *count >= FEW)?;
    let what = format!(
        "with the conditions of {count} rules, tables would tell more than {MAX_CLASSES} kinds of packets apart"
    );
    let place = &policy.rules[*first].place;
    let label = "this is one of them";
    Some(Diagnostic::error(TOO_LARGE, what, place.span, label))
}

/// Why many rules are in no tables though they ask nothing that tables cannot: others ask something else.
fn in_questions(policy: &Policy, bulk: &Bulk) -> Option<Diagnostic> {
    let first = bulk.unasked.first()?;
    let count = Some(bulk.unasked.len()).filter(|count| *count >= FEW)?;
    let others = bulk.groups.iter().map(|group| group.members.len());
    // Fewer rules are in a tree whatever they ask.
    if others.sum::<usize>() + count < MIN_RULES {
        return None;
    }
    let what = format!(
        "{count} rules ask for other sockets or sets than the {MAX_QUESTIONS} that most rules ask for"
    );
    let place = &policy.rules[*first].place;
    let label = "this is one of them";
    Some(Diagnostic::error(TOO_LARGE, what, place.span, label))
}

/// Places the rules with these in groups, but for those that have to stand alone. Nothing if there are too few for groups;
/// else what placement has to say, if it says something.
fn in_groups(
    policy: &Policy,
    least: usize,
    mut taking: Taking,
) -> Result<Option<Analysis>, Option<Box<Diagnostic>>> {
    let mut first = None;
    for _ in 0..TRIES {
        let Some(bulk) = Bulk::of(policy, least, &taking) else {
            return match first {
                None => Ok(None),
                Some(first) => Err(Some(Box::new(first))),
            };
        };
        let refused = match placed(&bulk) {
            // Asked again where packets are not what they were, they would be other groups'.
            Ok((_, chains)) if bulk.is_unsettled(policy, &chains) => {
                taking.conditions = Conditions::Lasting;
                continue;
            }
            Ok((store, chains)) => {
                return Ok(Some(Analysis {
                    refused: left_out(policy, &bulk),
                    outside: outside::of(policy, Some(&bulk)),
                    bulk: Some(bulk),
                    store,
                    chains,
                }));
            }
            Err(refused) => refused,
        };
        let goes_on = !refused.is_empty() && stand_alone(policy, &bulk, &refused, &mut taking);
        first = first.or(refused.into_iter().next());
        if !goes_on {
            break;
        }
    }
    Err(first.map(Box::new))
}

/// The chains of a reduced policy, which together mean what it means; or what is refused of it.
fn placed(bulk: &Bulk) -> Result<(Store, Vec<Chain>), Vec<Diagnostic>> {
    let mut store = Store::of(&bulk.policy);
    let chains = place::place(&bulk.policy, &mut store)?;
    compose::check(&bulk.policy, &chains, &mut store).map_err(|_| Vec::new())?;
    Ok((store, chains))
}

/// Takes out of the groups what shares packets with a rule that placement refuses, up to the last rule it names: what
/// stands ahead of that pair may decide what they share, and what stands in it may share nothing. Says whether there was
/// anything to take out.
fn stand_alone(policy: &Policy, bulk: &Bulk, refused: &[Diagnostic], taking: &mut Taking) -> bool {
    let labels = refused
        .iter()
        .flat_map(|one| std::iter::once(&one.primary).chain(&one.secondary));
    let spans: BTreeSet<Span> = labels.map(|label| label.span).collect();
    let mut grouped: SecondaryMap<RuleId, bool> = SecondaryMap::with_default(false);
    let mut named = Vec::new();
    let mut last = 0;
    for group in bulk
        .groups
        .iter()
        .filter(|one| one.direction == Direction::In)
    {
        group.members.iter().for_each(|&id| grouped[id] = true);
        if spans.contains(&bulk.policy.rules[group.rule].place.span) {
            last = last.max(group.members.last().map_or(0, |id| id.as_u32()));
        }
    }
    for (id, rule) in policy.rules_of(Direction::In) {
        if !grouped[id] && spans.contains(&rule.place.span) {
            named.push(rule);
            last = last.max(id.as_u32());
        }
    }
    let plain: Vec<_> = policy
        .rules
        .iter()
        .filter(|(id, _)| grouped[*id])
        .map(|(id, rule)| (id, &rule.matches))
        .collect();
    let index = Index::new(policy, plain.into_iter());
    let mut found = BTreeSet::new();
    let looks = Looks::new(LOOKS);
    for rule in named {
        index.sharing(policy, &rule.matches, 0..last + 1, &looks, &mut |id| {
            found.insert(id);
            found.len() <= MAX_SINGLE
        });
    }
    let before = taking.single.values().filter(|single| **single).count();
    if found.is_empty() || before + found.len() > MAX_SINGLE {
        return false;
    }
    found.into_iter().for_each(|id| taking.single[id] = true);
    true
}

#[cfg(test)]
mod tests;
