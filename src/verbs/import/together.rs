//! Rules next to each other that take packets out of a chain, and together all that come to them.
//!
//! Takes the rules of a chain from one on; says whether the next ones, each about a part, leave nothing for the rest of the chain. So what
//! stands behind the call is written once, and not once for each part. Not here: what becomes of packets that are left.

use sockc_compiler::ranges::{Bound, RangeSet};

use super::goal::Goal;
use super::line::Line;
use super::rule::Rule;
use super::what::{Of, What};

/// A rule that takes packets out, and those of its packets that come to it.
pub(super) type Out<'a> = (&'a Line, Rule, Vec<What>);

/// Whether a line is one rule that takes packets out of its chain, and does nothing else.
pub(super) fn takes_out(parts: &[Rule]) -> bool {
    let [rule] = parts else {
        return false;
    };
    let is_plain = rule.unread.is_none() && rule.log.is_none();
    let has_rate = rule.cases.iter().any(|case| case.rate.is_some());
    rule.goal == Some(Goal::Return) && is_plain && !has_rate
}

/// The rules from one on that take all packets that are `within` out of the chain, if several do so together.
pub(super) fn all_out<'a>(
    read: &dyn Fn(&[Line], usize) -> Vec<Rule>,
    rules: &'a [Line],
    at: usize,
    within: &What,
) -> Option<Vec<Out<'a>>> {
    let mut out = Vec::new();
    let mut whole: Option<What> = None;
    for (number, line) in rules.iter().enumerate().skip(at) {
        let parts = read(rules, number);
        if !takes_out(&parts) {
            return None;
        }
        let [rule] = <[Rule; 1]>::try_from(parts).ok()?;
        let met = taken_out(&rule, within)?;
        for one in &met {
            whole = Some(match whole {
                Some(whole) => either(&whole, one)?,
                None => nameless(one),
            });
        }
        out.push((line, rule, met));
        if whole.as_ref() == Some(&nameless(within)) {
            return Some(out);
        }
    }
    None
}

/// The packets that a rule takes out.
fn taken_out(rule: &Rule, within: &What) -> Option<Vec<What>> {
    let met = rule.cases.iter().map(|case| within.and(case));
    Some(
        met.collect::<Result<Vec<_>, _>>()
            .ok()?
            .into_iter()
            .flatten()
            .collect(),
    )
}

/// What is one or the other, where they differ in nothing but addresses of one side.
fn either(one: &What, other: &What) -> Option<What> {
    let other = &nameless(other);
    let side = [Of::To, Of::From]
        .into_iter()
        .find(|of| one.is_but_for(other, *of))?;
    let mut both = one.clone();
    both.side_mut(side).addresses = union(&one.side(side).addresses, &other.side(side).addresses);
    Some(both)
}

/// The same by addresses alone: a name says which they are.
fn nameless(what: &What) -> What {
    let mut what = what.clone();
    what.from.set = None;
    what.to.set = None;
    what
}

fn union<T: Bound>(one: &RangeSet<T>, other: &RangeSet<T>) -> RangeSet<T> {
    RangeSet::from_ranges([one.ranges(), other.ranges()].concat())
}
