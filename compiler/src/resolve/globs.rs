//! Which patterns of interface names one name can match together: exactly, by walking all patterns at once.
//!
//! Takes patterns of letters, `*` (any letters, also none) and `?` (one letter); gives every set of them that some name
//! matches while it matches none of the others. Names are what the kernel allows: 1 to 15 letters, without `/`, `:` and
//! blanks. `lo` is matched only by its name: who writes `*` thinks of the network.

mod walk;

use std::collections::{BTreeMap, BTreeSet};

use crate::glob;
use walk::{Piece, Walk};

/// The most letters of a name (`IFNAMSIZ` less the zero byte).
const MAX_NAME_LENGTH: usize = 15;

/// The walk ends without an answer when it has met so many states.
const MAX_STATES: usize = 1 << 14;

/// Every set of patterns (by their numbers, sorted) that one name matches and no other pattern, with one of the shortest
/// names that do; the empty set is always among them, with the empty name. `None` if there are too many to tell.
pub(crate) fn combinations(patterns: &[&str]) -> Option<BTreeMap<Vec<usize>, String>> {
    let pieces: Vec<Vec<Piece>> = patterns.iter().map(|pattern| pieces(pattern)).collect();
    let other = other_letter(&pieces);
    let mut walk = Walk::new(pieces);
    let mut found = BTreeMap::from([(Vec::new(), String::new())]);
    // The start itself is met only when letters lead back to it.
    let mut met = BTreeSet::new();
    let mut level = vec![(walk.start()?, String::new())];
    for _ in 0..MAX_NAME_LENGTH {
        let mut next = Vec::new();
        for (state, name) in &level {
            for (letter, state) in walk.next(state)? {
                if met.contains(&state) {
                    continue;
                }
                if met.len() >= MAX_STATES {
                    return None;
                }
                let mut name = name.clone();
                name.push(letter.unwrap_or(other));
                let mut combination = walk.matched(&state)?;
                if combination.iter().any(|&number| patterns[number] == "lo") {
                    combination.retain(|&number| patterns[number] == "lo");
                }
                found.entry(combination).or_insert_with(|| name.clone());
                met.insert(state.clone());
                next.push((state, name));
            }
        }
        level = next;
    }
    Some(found)
}

/// Whether a pattern matches a name, as the machine's interfaces are matched.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    pattern == name || glob::is_pattern(pattern) && name != "lo" && glob::matches(pattern, name)
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = pattern
        .chars()
        .map(|letter| match letter {
            '*' => Piece::Many,
            '?' => Piece::One,
            letter => Piece::Letter(letter),
        })
        .collect();
    pieces.dedup_by(|later, earlier| *later == Piece::Many && *earlier == Piece::Many);
    pieces
}

/// A letter that no pattern names.
fn other_letter(pieces: &[Vec<Piece>]) -> char {
    let named = |letter: char| {
        pieces
            .iter()
            .flatten()
            .any(|piece| *piece == Piece::Letter(letter))
    };
    let usual = ('0'..='9').chain('a'..='z').chain('A'..='Z');
    usual
        .chain('\u{100}'..)
        .find(|&letter| !named(letter))
        .unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    fn found(patterns: &[&str]) -> Vec<Vec<usize>> {
        combinations(patterns).unwrap().into_keys().collect()
    }

    #[test]
    fn literal_names_exclude_each_other() {
        assert_eq!(found(&["eth0", "eth1"]), [vec![], vec![0], vec![1]]);
        assert_eq!(found(&["eth0", "eth0"]), [vec![], vec![0, 1]]);
    }

    #[test]
    fn patterns_meet_only_where_a_name_can() {
        type Row<'a> = (&'a [&'a str], &'a [&'a [usize]]);
        let table: [Row<'_>; 9] = [
            (&["eth*", "eth0"], &[&[], &[0], &[0, 1]]),
            (&["eth*", "*0"], &[&[], &[0], &[0, 1], &[1]]),
            (&["br-*", "eth*"], &[&[], &[0], &[1]]),
            (&["a?", "?b"], &[&[], &[0], &[0, 1], &[1]]),
            // What the first matches, the other does too.
            (&["a?", "a*"], &[&[], &[0, 1], &[1]]),
            (&["*"], &[&[], &[0]]),
            // Longer than any name: alone 16 letters, and 8 at each end.
            (&["abcdefghijklmnop"], &[&[]]),
            (&["abcdefgh*", "*ijklmnop"], &[&[], &[0], &[1]]),
            (&["a/b*", "a b"], &[&[]]),
        ];
        for (patterns, expected) in table {
            assert_eq!(found(patterns), expected, "{patterns:?}");
        }
    }

    #[test]
    fn each_combination_has_a_name_that_matches_exactly_it() {
        let patterns = ["eth*", "*0", "br-?", "lo", "*a*"];
        for (numbers, name) in combinations(&patterns).unwrap() {
            let found: Vec<usize> = (0..patterns.len())
                .filter(|&number| matches(patterns[number], &name))
                .collect();
            assert_eq!(found, numbers, "{name}");
        }
    }

    /// Every name of up to six letters, by a matcher that knows nothing of walks.
    #[test]
    fn a_walk_finds_what_names_one_by_one_show() {
        let letters = ['a', 'b', '0'];
        let mut names = vec![String::new()];
        let mut from = 0;
        for _ in 0..6 {
            let to = names.len();
            for at in from..to {
                let longer = letters.map(|letter| format!("{}{letter}", names[at]));
                names.extend(longer);
            }
            from = to;
        }
        let mut random = Rng::new(7);
        let mut pattern = || -> String {
            let length = 1 + random.below(6);
            let piece = |_| ['a', 'b', '*', '*', '?'][random.below(5)];
            (0..length).map(piece).collect()
        };
        for _ in 0..300 {
            let patterns = [pattern(), pattern(), pattern()];
            let patterns = patterns.each_ref().map(String::as_str);
            let matched = |name: &str| -> Vec<usize> {
                let matches = |number: &usize| matches(patterns[*number], name);
                (0..patterns.len()).filter(matches).collect()
            };
            let found = combinations(&patterns).unwrap();
            for name in names.iter().skip(1) {
                let numbers = matched(name);
                let shown = found.get(&numbers);
                assert!(
                    shown.is_some_and(|shown| shown.len() <= name.len()),
                    "{patterns:?}: {name}"
                );
            }
            for (numbers, name) in found.iter().filter(|(_, name)| !name.is_empty()) {
                assert_eq!(matched(name), *numbers, "{patterns:?}: {name}");
            }
        }
    }

    #[test]
    fn lo_is_matched_only_by_its_name() {
        assert_eq!(found(&["l*", "lo"]), [vec![], vec![0], vec![1]]);
        assert!(matches("lo", "lo") && !matches("l*", "lo") && matches("l*", "lo1"));
    }

    #[test]
    fn many_names_are_quick_and_too_many_patterns_end() {
        let names: Vec<String> = (0..400).map(|number| format!("veth{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(found(&names).len(), 401);
        let patterns: Vec<String> = ('a'..='t').map(|letter| format!("*{letter}*")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        assert_eq!(combinations(&patterns), None);
    }
}
