//! Fields of a header that are compared with conditions of the language.
//!
//! Takes the values that are meant; gives what a rule asks. Not here: how a tool writes values.

use sockc_compiler::ranges::RangeSet;

use super::rule::Asks;
use super::what::{Asked, What, any_of};

/// Nothing, everything, or a condition.
pub(super) fn asked(values: &RangeSet<u128>, last: u128, mut what: What, text: Asked) -> Asks {
    let all = RangeSet::from_ranges([(0, last)]);
    if values.is_empty() {
        return Asks::default();
    }
    if *values != all {
        what.conditions.push(text);
    }
    what.into()
}

/// A field that is compared with single values only.
pub(super) fn points(
    word: &str,
    values: &RangeSet<u128>,
    last: u128,
    what: What,
    name: impl Fn(&u128) -> String,
) -> Asks {
    let others = RangeSet::from_ranges([(0, last)]).minus(values);
    let list = |set: &RangeSet<u128>| -> Vec<String> {
        let points = set.ranges().iter().flat_map(|&(low, high)| low..=high);
        points.map(|one| format!("{word} {}", name(&one))).collect()
    };
    let (plain, not) = (list(values), list(&others));
    let text = match plain.len() <= not.len() {
        true => Asked {
            with: plain.first().cloned(),
            text: any_of(plain),
        },
        false => Asked {
            with: None,
            text: format!("no {}", any_of(not)),
        },
    };
    asked(values, last, what, text)
}
