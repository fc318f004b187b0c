//! Which rules of two lists are the same, and which belong together.
//!
//! Takes the lists of a direction; gives their rules side by side, in an order that is that of both. A packet that
//! matches none of the rules that stand alone, and matches both or neither of each pair, meets the same verdicts in the
//! same order in both lists: so all differences lie where that is not so. Not here: what a difference is.
//!
//! In the literature: a longest common subsequence (J. W. Hunt, T. G. Szymanski, 1977), with the rest paired by likeness.

use std::collections::HashMap;
use std::hash::Hash;

/// A rule of one list or of both, by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair {
    /// The same rule.
    Same(usize, usize),
    /// Two that belong together: what became of a rule.
    Changed(usize, usize),
    /// Only in the old list.
    Old(usize),
    /// Only in the new list.
    New(usize),
}

/// The maximum number of pairs of rules between two that are the same for which the best fit is looked for.
const MAX_COMPARED: usize = 10_000;

/// Aligns two lists. `sense` is what makes rules the same; `likeness` is how much of two that are not is alike, 0 if they
/// have nothing to do with each other.
pub(super) fn align<K: Hash + Eq>(
    old: &[K],
    new: &[K],
    likeness: impl Fn(usize, usize) -> u32,
) -> Vec<Pair> {
    let mut pairs = Vec::with_capacity(old.len().max(new.len()));
    let mut done = (0, 0);
    for (left, right) in same(old, new).into_iter().chain([(old.len(), new.len())]) {
        between(done.0..left, done.1..right, &likeness, &mut pairs);
        if left < old.len() {
            pairs.push(Pair::Same(left, right));
        }
        done = (left + 1, right + 1);
    }
    pairs
}

/// The longest run of equal items, in the order of both; equal items are taken in turn.
fn same<K: Hash + Eq>(old: &[K], new: &[K]) -> Vec<(usize, usize)> {
    let mut places: HashMap<&K, Vec<usize>> = HashMap::new();
    for (place, key) in old.iter().enumerate().rev() {
        places.entry(key).or_default().push(place);
    }
    let matched: Vec<(usize, usize)> = new
        .iter()
        .enumerate()
        .filter_map(|(place, key)| Some((places.get_mut(key)?.pop()?, place)))
        .collect();
    increasing(&matched)
}

/// The longest subsequence whose first numbers increase (patience sorting).
fn increasing(matched: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // For each length the item that ends a subsequence of it with the smallest number.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(matched.len());
    for (index, (first, _)) in matched.iter().enumerate() {
        let length = ends.partition_point(|&end| matched[end].0 < *first);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(index);
        } else {
            ends[length] = index;
        }
    }
    let mut run = Vec::with_capacity(ends.len());
    let mut at = ends.last().copied();
    while let Some(index) = at {
        run.push(matched[index]);
        at = before[index];
    }
    run.reverse();
    run
}

/// Pairs what stands between two that are the same, so that as much as possible is alike.
fn between(
    old: std::ops::Range<usize>,
    new: std::ops::Range<usize>,
    likeness: &impl Fn(usize, usize) -> u32,
    pairs: &mut Vec<Pair>,
) {
    let fits = old.len().saturating_mul(new.len()) <= MAX_COMPARED;
    let table = if fits {
        Table::of(&old, &new, likeness)
    } else {
        Table::default()
    };
    let (mut left, mut right) = (old.start, new.start);
    while left < old.end || right < new.end {
        match table.step(left - old.start, right - new.start) {
            Step::Both => {
                pairs.push(Pair::Changed(left, right));
                left += 1;
                right += 1;
            }
            Step::Old if left < old.end => {
                pairs.push(Pair::Old(left));
                left += 1;
            }
            _ if right < new.end => {
                pairs.push(Pair::New(right));
                right += 1;
            }
            _ => {
                pairs.push(Pair::Old(left));
                left += 1;
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Both,
    Old,
    New,
}

/// For each pair of places the best likeness of what follows, and the step that leads to it.
#[derive(Default)]
struct Table {
    width: usize,
    steps: Vec<(u32, Step)>,
}

impl Table {
    fn of(
        old: &std::ops::Range<usize>,
        new: &std::ops::Range<usize>,
        likeness: &impl Fn(usize, usize) -> u32,
    ) -> Self {
        let width = new.len() + 1;
        let mut steps = vec![(0, Step::Old); (old.len() + 1) * width];
        for left in (0..old.len()).rev() {
            for right in (0..new.len()).rev() {
                let at = left * width + right;
                let like = likeness(old.start + left, new.start + right);
                let both = match like {
                    0 => 0,
                    like => like + steps[at + width + 1].0,
                };
                let (skip_old, skip_new) = (steps[at + width].0, steps[at + 1].0);
                steps[at] = if both > skip_old && both > skip_new {
                    (both, Step::Both)
                } else if skip_new > skip_old {
                    (skip_new, Step::New)
                } else {
                    (skip_old, Step::Old)
                };
            }
        }
        Self { width, steps }
    }

    fn step(&self, left: usize, right: usize) -> Step {
        let known = self.steps.get(left * self.width + right);
        let inside = right + 1 < self.width;
        known
            .filter(|_| inside)
            .map_or(Step::Old, |(_, step)| *step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(old: &str, new: &str) -> Vec<Pair> {
        let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
        // A letter and its capital are alike.
        align(&old, &new, |left, right| {
            u32::from(old[left].eq_ignore_ascii_case(&new[right]))
        })
    }

    #[test]
    fn what_is_in_both_in_the_same_order_is_the_same() {
        use Pair::{New, Old, Same};
        assert_eq!(
            aligned("abcd", "abxcd"),
            [Same(0, 0), Same(1, 1), New(2), Same(2, 3), Same(3, 4)]
        );
        assert_eq!(aligned("abc", "ac"), [Same(0, 0), Old(1), Same(2, 1)]);
        // What moved stands alone on both sides.
        assert_eq!(
            aligned("abc", "cab"),
            [New(0), Same(0, 1), Same(1, 2), Old(2)]
        );
        assert_eq!(aligned("", ""), []);
    }

    #[test]
    fn what_became_of_a_rule_stands_beside_it() {
        use Pair::{Changed, New, Old, Same};
        assert_eq!(
            aligned("abc", "aBc"),
            [Same(0, 0), Changed(1, 1), Same(2, 2)]
        );
        assert_eq!(
            aligned("xaby", "xABCy"),
            [Same(0, 0), Changed(1, 1), Changed(2, 2), New(3), Same(3, 4)]
        );
        assert_eq!(aligned("ab", "cB"), [Old(0), New(0), Changed(1, 1)]);
    }

    /// One that is a little like the first is more like the second.
    #[test]
    fn of_several_the_most_alike_stands_beside_a_rule() {
        use Pair::{Changed, New, Old};
        let likeness = |old: usize, new: usize| u32::try_from(1 + old + new).unwrap();
        assert_eq!(
            align(&["a"], &["b", "c"], likeness),
            [New(0), Changed(0, 1)]
        );
        assert_eq!(
            align(&["a", "b"], &["c"], likeness),
            [Old(0), Changed(1, 0)]
        );
    }

    /// How many letters of two words can stand next to their like, by trying everything.
    fn most(old: &[char], new: &[char]) -> usize {
        let (Some((one, old_rest)), Some((other, new_rest))) =
            (old.split_first(), new.split_first())
        else {
            return 0;
        };
        let both = one
            .eq_ignore_ascii_case(other)
            .then(|| 1 + most(old_rest, new_rest));
        let skipped = most(old_rest, new).max(most(old, new_rest));
        both.map_or(skipped, |both| both.max(skipped))
    }

    #[test]
    fn as_much_as_possible_stands_beside_its_like() {
        let mut dice = crate::tests::dice::Dice::new(8);
        for _ in 0..300 {
            let mut word = |letters: [char; 3]| -> String {
                let length = dice.below(7);
                (0..length).map(|_| letters[dice.below(3)]).collect()
            };
            let (old, new) = (word(['a', 'b', 'c']), word(['A', 'B', 'C']));
            let pairs = aligned(&old, &new);
            let paired = pairs
                .iter()
                .filter(|pair| matches!(pair, Pair::Changed(..)));
            let letters = |word: &str| word.chars().collect::<Vec<_>>();
            assert_eq!(
                paired.count(),
                most(&letters(&old), &letters(&new)),
                "{old} {new}"
            );
        }
    }

    #[test]
    fn every_rule_stands_somewhere_once_and_in_order() {
        let mut dice = crate::tests::dice::Dice::new(7);
        for _ in 0..500 {
            let mut word = || -> String {
                let length = dice.below(12);
                (0..length)
                    .map(|_| ['a', 'b', 'A', 'c', 'C'][dice.below(5)])
                    .collect()
            };
            let (old, new) = (word(), word());
            let pairs = aligned(&old, &new);
            let lefts = pairs.iter().filter_map(|pair| match pair {
                Pair::Same(left, _) | Pair::Changed(left, _) | Pair::Old(left) => Some(*left),
                Pair::New(_) => None,
            });
            let rights = pairs.iter().filter_map(|pair| match pair {
                Pair::Same(_, right) | Pair::Changed(_, right) | Pair::New(right) => Some(*right),
                Pair::Old(_) => None,
            });
            assert!(lefts.eq(0..old.len()), "{old} {new} {pairs:?}");
            assert!(rights.eq(0..new.len()), "{old} {new} {pairs:?}");
        }
    }
}
