//! Which combinations of numbers a list of entries has.
//!
//! Takes entries in the order in which they decide; gives the combinations, taken apart by the first number, then by the next: so no
//! combination stands there twice, and equal ones are one. Not here: what the numbers stand for.

use std::collections::{BTreeMap, BTreeSet};

/// Numbers from one to another, in order and apart.
pub(super) type Ranges = Vec<(u128, u128)>;

/// An entry: for each number the first and the last, and whether it says that such combinations are members.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The first and the last of each number.
    pub(super) ranges: Vec<(u128, u128)>,
    /// Whether they are members.
    pub(super) is_member: bool,
}

/// Combinations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Region {
    /// None of them are members.
    Nothing,
    /// All of them are.
    Everything,
    /// By the next number, every one of which stands in one of these.
    Split(Vec<(Ranges, Region)>),
}

impl Region {
    /// The members: of several blocks that have a combination, the first one decides. Each number is at most that of `lasts`.
    pub(super) fn of(blocks: &[Block], lasts: &[u128]) -> Self {
        let blocks: Vec<&Block> = blocks.iter().collect();
        from(&blocks, lasts, 0)
    }

    /// All combinations that are members, or all that are not: the numbers of each, as far as they matter.
    pub(super) fn paths(&self, members: bool) -> Vec<Vec<&Ranges>> {
        match self {
            Self::Nothing => (!members).then(Vec::new).into_iter().collect(),
            Self::Everything => members.then(Vec::new).into_iter().collect(),
            Self::Split(groups) => {
                let paths = groups.iter().flat_map(|(ranges, rest)| {
                    let rest = rest.paths(members).into_iter();
                    rest.map(move |path| [vec![ranges], path].concat())
                });
                paths.collect()
            }
        }
    }
}

/// The members by the numbers from one on.
fn from(blocks: &[&Block], lasts: &[u128], at: usize) -> Region {
    let Some(&last) = lasts.get(at) else {
        return match blocks.first() {
            Some(block) if block.is_member => Region::Everything,
            _ => Region::Nothing,
        };
    };
    let mut groups: BTreeMap<Region, Ranges> = BTreeMap::new();
    for (range, inside) in apart(blocks, at, last) {
        let inside: Vec<&Block> = inside
            .iter()
            .filter_map(|one| blocks.get(*one))
            .copied()
            .collect();
        join(
            groups.entry(from(&inside, lasts, at + 1)).or_default(),
            range,
        );
    }
    let mut groups: Vec<(Ranges, Region)> = groups
        .into_iter()
        .map(|(rest, ranges)| (ranges, rest))
        .collect();
    match groups.as_slice() {
        [(_, Region::Nothing | Region::Everything)] => groups.remove(0).1,
        _ => Region::Split(groups),
    }
}

/// A number taken apart where a block begins or ends, with the blocks that each piece is in.
fn apart(blocks: &[&Block], at: usize, last: u128) -> Vec<((u128, u128), BTreeSet<usize>)> {
    let mut edges: BTreeMap<u128, Edge> = BTreeMap::new();
    for (number, block) in blocks.iter().enumerate() {
        let Some(&(low, high)) = block.ranges.get(at) else {
            continue;
        };
        edges.entry(low).or_default().begin.push(number);
        if high < last {
            edges.entry(high + 1).or_default().end.push(number);
        }
    }
    let mut pieces = Vec::new();
    let (mut inside, mut low) = (BTreeSet::new(), 0);
    for (edge, Edge { begin, end }) in edges {
        if edge > low {
            pieces.push(((low, edge - 1), inside.clone()));
        }
        end.iter().for_each(|one| {
            inside.remove(one);
        });
        inside.extend(begin);
        low = edge;
    }
    pieces.push(((low, last), inside));
    pieces
}

/// The blocks that begin at a number, and those that ended ahead of it.
#[derive(Default)]
struct Edge {
    begin: Vec<usize>,
    end: Vec<usize>,
}

/// Adds a range that lies behind all others.
fn join(ranges: &mut Ranges, (low, high): (u128, u128)) {
    match ranges.last_mut() {
        Some(last) if last.1.checked_add(1) == Some(low) => last.1 = high,
        _ => ranges.push((low, high)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(ranges: &[(u128, u128)], is_member: bool) -> Block {
        Block {
            ranges: ranges.to_vec(),
            is_member,
        }
    }

    #[test]
    fn the_first_block_decides_and_no_combination_stands_there_twice() {
        let blocks = [
            block(&[(5, 5), (0, 9)], false),
            block(&[(0, 9), (3, 4)], true),
            block(&[(0, 9), (4, 6)], true),
        ];
        let region = Region::of(&blocks, &[19, 9]);
        assert_eq!(region.paths(true), [[&vec![(0, 4), (6, 9)], &vec![(3, 6)]]]);
        let not = region.paths(false);
        assert_eq!(not.len(), 2, "{not:?}");
        assert!(not.contains(&vec![&vec![(5, 5), (10, 19)]]), "{not:?}");
        assert!(
            not.contains(&vec![&vec![(0, 4), (6, 9)], &vec![(0, 2), (7, 9)]]),
            "{not:?}"
        );
    }

    /// Numbers that look drawn, and are the same each time.
    fn drawn(seed: &mut u64, below: u128) -> u128 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u128::from(*seed >> 33) % below
    }

    #[test]
    fn each_combination_stands_in_one_path_and_in_the_right_ones() {
        let mut seed = 1;
        for _ in 0..300 {
            let count = drawn(&mut seed, 7);
            let blocks: Vec<Block> = (0..count)
                .map(|_| {
                    let ranges = [(); 3].map(|()| {
                        let low = drawn(&mut seed, 6);
                        (low, (low + drawn(&mut seed, 4)).min(5))
                    });
                    block(&ranges, drawn(&mut seed, 3) > 0)
                })
                .collect();
            let region = Region::of(&blocks, &[5, 5, 5]);
            for number in 0..216 {
                let at = [number % 6, number / 6 % 6, number / 36];
                let is_in = |(low, high): &(u128, u128), one: u128| (*low..=*high).contains(&one);
                let has = |block: &&Block| {
                    let mut pairs = block.ranges.iter().zip(at);
                    pairs.all(|(range, one)| is_in(range, one))
                };
                let first = blocks.iter().find(has).is_some_and(|one| one.is_member);
                for members in [true, false] {
                    let paths = region.paths(members).into_iter().filter(|path| {
                        let mut pairs = path.iter().zip(at);
                        pairs.all(|(ranges, one)| ranges.iter().any(|range| is_in(range, one)))
                    });
                    assert_eq!(
                        paths.count(),
                        usize::from(first == members),
                        "{blocks:?} {at:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_and_everything_are_no_combination_and_one() {
        assert_eq!(Region::of(&[], &[9]), Region::Nothing);
        let all = Region::of(&[block(&[(0, 9), (0, u128::MAX)], true)], &[9, u128::MAX]);
        assert_eq!(all, Region::Everything);
        assert_eq!((all.paths(true).len(), all.paths(false).len()), (1, 0));
    }
}
