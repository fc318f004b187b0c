//! Which boxes share a stratum.
//!
//! Takes the boxes of a family; tries several ways to split them and gives the one whose walk costs least by the measured
//! costs below. Not here: how a stratum is made.

use std::collections::HashMap;

use super::cost::{Cost, cost, probes};
use super::items::{Dimension, Item};
use super::stratum::{Room, Shape, Stratum};
use crate::policy::Family;

/// Most strata: each is one more walk for every packet.
const MOST: usize = 6;

/// The strata of a family.
pub fn strata(items: &[Item], family: Family) -> Option<Vec<Stratum>> {
    let all: Vec<u32> = (0..items.len() as u32).collect();
    let mut best: Option<(f64, Vec<Stratum>)> = None;
    let probes = probes(items, family);
    for most in 0..=3 {
        let Some(found) = split(items, &all, family, most) else {
            continue;
        };
        let cost: Cost = cost(&found, items, &probes);
        if best.as_ref().is_none_or(|(least, _)| cost.time < *least) {
            best = Some((cost.time, found));
        }
    }
    best.map(|(_, found)| found)
}

/// At most so many hashed strata, then trees.
fn split(items: &[Item], all: &[u32], family: Family, most: usize) -> Option<Vec<Stratum>> {
    let mut left = all.to_vec();
    let mut found = Vec::new();
    let room = Room {
        records: 4 * all.len() + 65_536,
        bytes: 32 * all.len() + 65_536,
    };
    for _ in 0..most {
        let Some(shape) = best_shape(items, &left, family) else {
            break;
        };
        let (taken, rest): (Vec<u32>, Vec<u32>) = left
            .iter()
            .partition(|&&index| shape.takes(&items[index as usize]));
        found.push(Stratum::build(items, &taken, Some(shape), family, room).ok()?);
        left = rest;
    }
    trees(items, left, family, 2, &mut found)?;
    (found.len() <= MOST).then_some(found)
}

/// The rest as trees: one, or where that takes too much, two kinds of boxes apart, and so on.
fn trees(
    items: &[Item],
    left: Vec<u32>,
    family: Family,
    apart: u32,
    found: &mut Vec<Stratum>,
) -> Option<()> {
    if left.is_empty() {
        return Some(());
    }
    let room = Room {
        records: 8 * left.len() + 8_192,
        bytes: 64 * left.len() + 32_768,
    };
    if let Ok(stratum) = Stratum::build(items, &left, None, family, room) {
        found.push(stratum);
        return Some(());
    }
    if apart == 0 {
        return None;
    }
    let even = |kind: &&Kind| {
        let yes = left
            .iter()
            .filter(|&&index| kind(&items[index as usize]))
            .count();
        yes.min(left.len() - yes)
    };
    let kind = KINDS.iter().max_by_key(even)?;
    let (yes, no) = left
        .into_iter()
        .partition(|&index| kind(&items[index as usize]));
    trees(items, yes, family, apart - 1, found)?;
    trees(items, no, family, apart - 1, found)
}

/// A kind of boxes that disturb others in a tree.
type Kind = fn(&Item) -> bool;

/// Boxes that say little about one dimension stand in many children of nodes that look at it.
const KINDS: [Kind; 4] = [
    |item| item.from.length < 8,
    |item| item.to.length < 8,
    |item| item.range(Dimension::FromPort) == (0, 0xffff),
    |item| item.range(Dimension::ToPort) == (0, 0xffff),
];

/// The shape that takes many boxes with few of the same key.
fn best_shape(items: &[Item], left: &[u32], family: Family) -> Option<Shape> {
    let lengths: &[u8] = match family {
        Family::V4 => &[0, 8, 12, 16, 20, 24, 28, 32],
        Family::V6 => &[0, 16, 24, 32, 40, 48, 56, 64, 128],
    };
    let mut best: Option<(f64, Shape)> = None;
    for &from in lengths {
        for &to in lengths {
            let shape = Shape { family, from, to };
            if from == 0 && to == 0 {
                continue;
            }
            let taken = left
                .iter()
                .filter(|&&index| shape.takes(&items[index as usize]))
                .count();
            if taken < 64
                || taken * 8 < left.len()
                || best.is_some_and(|(most, _)| taken as f64 <= most)
            {
                continue;
            }
            let value = value(items, left, shape);
            if best.is_none_or(|(most, _)| value > most) {
                best = Some((value, shape));
            }
        }
    }
    best.map(|(_, shape)| shape)
}

/// How many boxes a shape takes, less where they crowd at the same keys.
fn value(items: &[Item], left: &[u32], shape: Shape) -> f64 {
    let mut keys: HashMap<(u128, u128), u64> = HashMap::new();
    let mut taken = 0u64;
    for &index in left {
        let item = &items[index as usize];
        if shape.takes(item) {
            taken += 1;
            *keys.entry(shape.key(item)).or_default() += 1;
        }
    }
    let crowd = keys.values().map(|n| n * n).sum::<u64>() as f64 / taken.max(1) as f64;
    taken as f64 / (1.0 + (crowd / 4.0).max(1.0).log2() / 4.0)
}
