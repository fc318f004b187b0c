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

/// Code points by name.
pub(super) const DSCP: [(&str, u8); 22] = [
    ("cs0", 0),
    ("cs1", 8),
    ("cs2", 16),
    ("cs3", 24),
    ("cs4", 32),
    ("cs5", 40),
    ("cs6", 48),
    ("cs7", 56),
    ("df", 0),
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("ef", 46),
];
