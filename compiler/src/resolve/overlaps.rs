//! Elements of one set that share values with others: they are merged, and the policy's author is told how many.
//!
//! Takes ranges with the element that each comes from; gives the elements that others made superfluous or cut short.
//! Not here: the merging, which is [`crate::ranges`]'s.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::report::Report;
use crate::ranges::Bound;

/// A range, and the number of the element that it comes from. The ranges of one element do not overlap.
pub(super) type ElementRange<T> = (usize, (T, T));

/// Each element that begins inside another one, with that other; of two that begin alike, the smaller or later one.
pub(super) fn overlaps<T: Bound>(parts: &[ElementRange<T>]) -> BTreeMap<usize, usize> {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable_by_key(|&(element, (low, high))| (low, Reverse(high), element));
    let mut found = BTreeMap::new();
    let mut reach: Option<(T, usize)> = None;
    for (element, (low, high)) in sorted {
        if let Some((end, other)) = reach
            && low <= end
        {
            found.entry(element).or_insert(other);
        }
        if reach.is_none_or(|(end, _)| high > end) {
            reach = Some((high, element));
        }
    }
    found
}

/// Warns of the elements that overlap others, at the first of them.
pub(super) fn warn<E>(
    overlaps: &BTreeMap<usize, usize>,
    elements: &[Spanned<E>],
    report: &mut Report,
) {
    let span = |element: &usize| elements.get(*element).map(|element| element.span);
    let first = overlaps.first_key_value();
    let Some((first, other)) = first.and_then(|(element, other)| span(element).zip(span(other)))
    else {
        return;
    };
    report.push(merged(overlaps.len(), first, other));
}

fn merged(count: usize, first: Span, other: Span) -> Diagnostic {
    let (message, label) = if count == 1 {
        (
            "1 element of the set overlaps another and was merged".to_owned(),
            "this one",
        )
    } else {
        (
            format!("{count} elements of the set overlap others and were merged"),
            "the first of them",
        )
    };
    Diagnostic::warning(codes::ELEMENTS_OVERLAP, message, first, label)
        .also(other, "overlaps this")
        .help("write what is in the set once; it means the same")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_inside_another_overlaps_it_and_neighbours_do_not() {
        /// Ranges, and for each that overlaps one before it: which, and with which.
        type Row<'a> = (&'a [(u16, u16)], &'a [(usize, usize)]);
        let table: [Row<'_>; 7] = [
            (&[(0, 9), (10, 19)], &[]),
            (&[(10, 19), (0, 9)], &[]),
            (&[(0, 9), (9, 19)], &[(1, 0)]),
            (&[(4, 5), (0, 9)], &[(0, 1)]),
            (&[(4, 5), (4, 5), (4, 5)], &[(1, 0), (2, 0)]),
            (
                &[(0, 9), (1, 2), (8, 12), (12, 13)],
                &[(1, 0), (2, 0), (3, 2)],
            ),
            (&[(0, u16::MAX), (u16::MAX, u16::MAX)], &[(1, 0)]),
        ];
        for (ranges, expected) in table {
            let parts: Vec<ElementRange<u16>> = ranges.iter().copied().enumerate().collect();
            let found: Vec<_> = overlaps(&parts).into_iter().collect();
            assert_eq!(found, expected, "{ranges:?}");
        }
    }

    #[test]
    fn an_element_of_several_ranges_counts_once() {
        let parts = [(0, (0u16, 1)), (0, (5, 6)), (1, (1, 5))];
        assert_eq!(overlaps(&parts), BTreeMap::from([(0, 1), (1, 0)]));
    }
}
