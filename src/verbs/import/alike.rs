//! Rules next to each other that send packets to one place, and differ in the addresses of one side alone, as one rule.
//!
//! Takes the rules of a chain from one on; gives the one that they are, and how many. A call is written out for each rule that makes it, so a list of
//! addresses that are logged and dropped by a chain would be that chain once for each. A packet that two of them call for goes through the chain
//! twice, so these share no address. What stands ahead of a rule about all interfaces but some is repeated in the same way. Not here: other rules
//! that decide themselves, which become one when all are there (`runs`).

use std::collections::BTreeMap;

use sockc_compiler::ranges::RangeSet;

use super::goal::Goal;
use super::line::{Line, Origin};
use super::rule::Rule;
use super::what::{Of, What};

/// So many rules become one; fewer are as well read, and counted, one by one.
pub(super) const FEWEST: usize = 5;

/// The rule that the rules from one on are, which was read as these parts, if they are so many; where packets pass through, those that name
/// interfaces stay apart.
pub(super) fn from(
    read: &dyn Fn(&[Line], usize) -> Vec<Rule>,
    rules: &[Line],
    (at, parts): (usize, &[Rule]),
    passes: bool,
) -> Option<(Rule, usize)> {
    let first = parts.first()?.clone();
    if !is_plain(rules.get(at)?, parts, passes) {
        return None;
    }
    let plain = |at: usize| {
        let line = rules.get(at)?;
        let mut parts = read(rules, at);
        is_plain(line, &parts, passes)
            .then(|| parts.pop())
            .flatten()
    };
    let runs = [Of::From, Of::To].map(|varies| {
        let mut all = BTreeMap::new();
        let mut count = 0;
        let mut next = Some(first.clone());
        while next.is_some_and(|next| takes(&first, &next, varies, &mut all)) {
            count += 1;
            next = plain(at + count);
        }
        (varies, all, count)
    });
    let longest = runs.into_iter().max_by_key(|(.., count)| *count);
    let (varies, all, count) = longest.filter(|(.., count)| *count >= FEWEST)?;
    let all = RangeSet::from_ranges(all);
    let mut rule = first;
    for case in &mut rule.cases {
        case.side_mut(varies).addresses = all.clone();
    }
    Some((rule, count))
}

/// Whether a line is one rule that sends packets elsewhere, of which nothing is to be told, and that is about one kind of packets.
fn is_plain(line: &Line, parts: &[Rule], passes: bool) -> bool {
    let [rule] = parts else {
        return false;
    };
    let Some(case) = case(rule) else {
        return false;
    };
    let goes = match rule.goal {
        Some(Goal::Jump(_) | Goal::Goto(_) | Goal::Return) => true,
        // Ahead of it stands what comes behind it.
        Some(Goal::Accept | Goal::Drop | Goal::Reject(_)) => {
            case.unsaid_interfaces().next().is_some()
        }
        _ => false,
    };
    let says = rule.log.is_some() || !rule.changed.is_empty() || !rule.notes.is_empty();
    let is_command = Origin::written(line.origin.as_ref()).is_some();
    let has_interface = case.on.is_some()
        || case.leaves.is_some()
        || case.on_zone.is_some()
        || case.to_zone.is_some();
    let is_apart = case.rate.is_some() || passes && has_interface;
    goes && !says && !is_command && !is_apart && rule.unread.is_none()
}

/// What the rule is about, if it is one thing.
fn case(rule: &Rule) -> Option<&What> {
    match rule.cases.as_slice() {
        [only] => Some(only),
        _ => None,
    }
}

/// Whether a rule is like the first but for addresses that none had so far, which it adds to theirs, each range by its first one.
fn takes(first: &Rule, next: &Rule, varies: Of, all: &mut BTreeMap<u128, u128>) -> bool {
    let (Some(one), Some(other)) = (case(first), case(next)) else {
        return false;
    };
    let side = one.side(varies);
    let is_named = side.set.is_some() || side.live.is_some();
    let own = other.side(varies).addresses.ranges();
    let is_held = |&(low, high): &(u128, u128)| {
        let before = all.range(..=high).next_back();
        before.is_some_and(|(_, end)| *end >= low)
    };
    // A rule of the list has one comment, and a call is none.
    let goes = !matches!(
        first.goal,
        Some(Goal::Accept | Goal::Drop | Goal::Reject(_))
    );
    let is_said = goes || next.comment == first.comment;
    let is_like = next.goal == first.goal && is_said && !is_named && one.is_but_for(other, varies);
    if !is_like || own.iter().any(is_held) {
        return false;
    }
    all.extend(own.iter().copied());
    true
}
