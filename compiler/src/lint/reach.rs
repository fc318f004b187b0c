//! Rules that are never reached: in every world, rules before them decide every packet that they match.
//!
//! First the rule's own corners, which show most rules to be reached; then one rule that holds it as a box; then its
//! diagram without those of the rules that decide its packets, as far as the budget goes. A rule that socket lookups ask
//! about is covered only by others of them, since a lookup also comes for packets that no packet hook has seen.

use std::collections::{BTreeMap, BTreeSet};

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::SourceId;

use super::UNREACHABLE;
use super::boxes::contains;
use super::list::{Exhausted, List, head};
use super::sample::Sample;
use crate::diagram::Node;
use crate::policy::{Action, GroupId, Policy, Rule, RuleId};

/// So many corners of a rule are looked at.
pub(super) const CORNERS: usize = 4;

/// So many rules may together cover one.
const MAX_COVERING: usize = 64;

/// So many covering rules are shown.
const SHOWN: usize = 3;

/// Reports the rules of a list that are never reached, and gives them. An included rule is reported only if its own file
/// covers it.
pub(super) fn check(
    list: &mut List<'_>,
    own: SourceId,
    found: &mut Vec<Diagnostic>,
) -> BTreeSet<RuleId> {
    let mut unreachable = BTreeSet::new();
    // By the first of the rules that a redirect by a map became: who covers all of them, unless one is reached.
    let mut covered: BTreeMap<RuleId, Option<BTreeSet<RuleId>>> = BTreeMap::new();
    let mut halves = BTreeMap::new();
    let mut told = 0;
    for (id, rule) in list.rules.clone() {
        let first = head(id, rule);
        if first == id && list.is_over(told) {
            list.stop(id);
            break;
        }
        let known = covered
            .entry(first)
            .or_insert_with(|| Some(BTreeSet::new()));
        let half = half_of(list.policy, rule);
        if known.is_none() && half.is_none() {
            continue;
        }
        let covers = covering(list, id, rule);
        if let Some(covers) = &covers {
            unreachable.insert(id);
            told += usize::from(first == id && rule.place.span.source == own);
            halves.extend(half.map(|writer| (id, (first, writer, covers.clone()))));
        }
        *known = known.take().zip(covers).map(|(mut known, more)| {
            known.extend(more);
            known
        });
    }
    let mut tell = |first: RuleId, what: Unreached<'_>, mut covers: BTreeSet<RuleId>| {
        covers.retain(|id| head(*id, &list.policy.rules[*id]) != first);
        let source = |id: RuleId| list.policy.rules[id].place.span.source;
        let at_home = covers.iter().all(|cover| source(*cover) == source(first));
        if source(first) == own || at_home {
            found.push(report(list.policy, first, what, &covers));
        }
    };
    halves.retain(|_, (first, ..)| covered[first].is_none());
    for (first, covers) in covered {
        if let Some(covers) = covers {
            tell(first, Unreached::Rule, covers);
        }
    }
    for (first, writer, covers) in halves.into_values() {
        tell(first, Unreached::Half(writer), covers);
    }
    unreachable
}

/// What is never reached.
enum Unreached<'p> {
    Rule,
    /// What this group writes, of a shortcut between two.
    Half(&'p str),
}

/// Whose writes a half of a shortcut between two groups is about.
fn half_of<'p>(policy: &'p Policy, rule: &Rule) -> Option<&'p str> {
    match rule.action {
        Action::Shortcut(near) if near.from != near.to => Some(&policy.groups[near.from].name),
        _ => None,
    }
}

/// The rules that decide all that this one matches; nothing if it is reached, matches nothing, or cannot be told.
fn covering(list: &mut List<'_>, id: RuleId, rule: &Rule) -> Option<BTreeSet<RuleId>> {
    let scopes = list.scopes(rule);
    let mut covers = BTreeSet::new();
    for &scope in &scopes {
        covers.extend(covering_in(list, id, rule, scope)?);
    }
    (!scopes.is_empty()).then_some(covers)
}

fn covering_in(
    list: &mut List<'_>,
    id: RuleId,
    rule: &Rule,
    scope: Option<GroupId>,
) -> Option<BTreeSet<RuleId>> {
    let own = [(id, rule)];
    for variant in 0..CORNERS {
        let Some(sample) = Sample::of(list.policy, &own, variant) else {
            continue;
        };
        let mut reached = true;
        let mut container: Option<RuleId> = None;
        let looked = list.deciders(&sample, scope, 0..id.as_u32(), |other| {
            if container.is_some_and(|known| known < other) {
                return false;
            }
            if covers(list, other, id, rule) {
                reached = false;
                if contains(list.policy, &list.policy.rules[other], rule) {
                    container = Some(other);
                }
            }
            container != Some(other)
        });
        looked.ok()?;
        if let Some(container) = container {
            return Some(BTreeSet::from([container]));
        }
        if reached {
            return None;
        }
    }
    together(list, id, rule, scope).ok().flatten()
}

/// Whether a deciding rule that matches a packet of a rule keeps it from that rule.
fn covers(list: &List<'_>, other: RuleId, id: RuleId, rule: &Rule) -> bool {
    other < id && (!list.in_lookups(id, rule) || list.in_lookups(other, &list.policy.rules[other]))
}

/// The rules that cover a rule together.
fn together(
    list: &mut List<'_>,
    id: RuleId,
    rule: &Rule,
    scope: Option<GroupId>,
) -> Result<Option<BTreeSet<RuleId>>, Exhausted> {
    list.forget_diagrams();
    let own = list.diagram(id, scope)?;
    let possible = list.possible()?;
    let mut left = list.both(own, possible)?;
    let mut found = BTreeSet::new();
    let covering = |list: &List<'_>, left| {
        let asked = |other: RuleId| {
            list.policy.rules[other].action.decides() && covers(list, other, id, rule)
        };
        list.first_in(left, scope, 0..id.as_u32(), asked)
    };
    while let Some(decider) = covering(list, left) {
        let Some(first) = decider.filter(|_| found.len() < MAX_COVERING) else {
            return Ok(None);
        };
        // A set that is asked as one question may answer otherwise than it would: then nothing is proved.
        if !found.insert(first) {
            return Ok(None);
        }
        let matched = list.diagram(first, scope)?;
        left = list.without(left, matched)?;
    }
    Ok((left == Node::FALSE && !found.is_empty()).then_some(found))
}

fn report(
    policy: &Policy,
    id: RuleId,
    what: Unreached<'_>,
    covers: &BTreeSet<RuleId>,
) -> Diagnostic {
    let (title, matched, help) = match what {
        Unreached::Rule => (
            "the rule is never reached",
            "everything that it matches".to_owned(),
            "leave the rule out, or put it ahead of what covers it",
        ),
        Unreached::Half(writer) => (
            "half of the shortcut is never reached",
            format!("everything that group `{writer}` writes"),
            "the first that fits decides: name one group that holds all ends, `within group NAME`",
        ),
    };
    let decided = match covers.len() {
        1 => format!("a rule before it decides {matched}"),
        many => format!("{many} rules before it decide {matched}"),
    };
    let place = policy.rules[id].place.span;
    let mut warning = Diagnostic::warning(UNREACHABLE, title, place, decided);
    let more = covers.len().saturating_sub(SHOWN);
    for (index, cover) in covers.iter().take(SHOWN).enumerate() {
        let text = match (covers.len(), index + 1 == SHOWN && more > 0) {
            (1, _) => "this one".to_owned(),
            (_, false) => "one of them".to_owned(),
            (_, true) => format!("one of them, and {more} more"),
        };
        warning = warning.also(policy.rules[*cover].place.span, text);
    }
    warning.help(help)
}
