//! Rules that cross in every dimension: ranges of both ports between a few large networks, as no hash tells them apart.

use super::super::{Unfit, build};
use super::*;

/// Ranges of both ports between networks that hold each other.
fn crossing(seed: u64, count: usize, family: Family) -> Vec<Match> {
    let mut dice = Rng::new(seed);
    let side = |dice: &mut Rng| {
        let block = match family {
            Family::V4 => Block::V4(dice.word(), 1 + dice.byte() % 5),
            Family::V6 => {
                let global = dice.bits() >> 3 | 1 << 61;
                Block::V6(u128::from(global) << 64, 3 + dice.byte() % 6)
            }
        };
        let width = 5_000 + dice.half() % 15_000;
        let low = dice.half() % (u16::MAX - width);
        end(block, (low, low + width))
    };
    let rule = |_| {
        let [from, to] = [0, 1].map(|_| side(&mut dice));
        matching(Some(6), from, to)
    };
    (0..count).map(rule).collect()
}

/// More cross at a place than a list has room for, wherever a tree cuts; of those of a few ranks, fewer do.
#[test]
fn rules_that_cross_too_often_for_a_tree_are_split_by_rank() {
    let rules = crossing(30, 6_000, Family::V6);
    assert!(check("crossing", &rules, 1_000) > 500);
    let (_, sides) = build(&members(&rules)).unwrap();
    let firsts = sides[1].strata.iter().map(|one| one.first_rank);
    assert_eq!(firsts.collect::<Vec<_>>(), [0, 2_000, 4_000]);
}

#[test]
fn ten_thousand_rules_that_cross_in_four_dimensions_are_built() {
    let rules = crossing(30, 10_000, Family::V6);
    assert!(check("10,000 crossing", &rules, 300) > 150);
}

#[test]
fn rules_that_cross_too_often_for_all_trees_are_refused() {
    let rules = crossing(30, 30_000, Family::V6);
    assert_eq!(build(&members(&rules)).err(), Some(Unfit::Size));
}
