//! What a way to split boxes costs a packet.
//!
//! Takes strata and packets that their boxes match; gives nanoseconds by measured costs, and bytes. Not here: the choice.

use super::grow::{Grown, Word};
use super::items::{Dimension, Item, width};
use super::stratum::{Root, Stratum, hash, words};
use crate::policy::Family;

/// What a walk costs, by the measured costs of its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Nanoseconds a packet that some rule matches.
    pub time: f64,
    /// Bytes of the tables.
    pub bytes: usize,
    /// Nodes that such a packet meets.
    pub nodes: f64,
    /// Boxes that it is compared with.
    pub compared: f64,
}

/// Nanoseconds to begin a walk, for a node, and for a box that is compared (measured on Linux 6.18, x86-64).
const START: f64 = 3.0;
const NODE: f64 = 4.0;
const COMPARE: f64 = 3.0;

/// Bytes of the caches, and what a load costs that gets beyond (`facts`: dependent loads of 256 KiB, 1 MiB, 4 MiB).
const BEYOND: [(usize, f64); 3] = [(64 << 10, 1.0), (512 << 10, 5.0), (2 << 20, 25.0)];

/// A packet, by [`Dimension::index`].
pub type Probe = [u128; 5];

/// Most packets that are tried.
const MOST_PROBES: usize = 1_000;

/// Packets that boxes match, from all over the list: the corners of boxes in turn.
#[must_use]
pub fn probes(items: &[Item], family: Family) -> Vec<Probe> {
    let step = items.len().div_ceil(MOST_PROBES).max(1);
    let fill = super::boxes::low_bits(width(family));
    items
        .iter()
        .step_by(step)
        .enumerate()
        .map(|(number, item)| {
            let mut probe = [0; 5];
            let mut seed = number as u128;
            for dimension in Dimension::ALL {
                // A number that differs from probe to probe, spread over the free bits.
                seed = seed
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                    .rotate_left(41)
                    ^ 0x5bd1;
                let (low, high) = item.range(dimension);
                probe[dimension.index()] = match dimension {
                    Dimension::Class => low,
                    _ => low + (seed & fill) % (high - low).saturating_add(1),
                };
            }
            probe
        })
        .collect()
}

/// What the walks of these packets through all strata cost on average.
#[must_use]
pub fn cost(strata: &[Stratum], items: &[Item], probes: &[Probe]) -> Cost {
    let mut sum = Cost {
        bytes: strata.iter().map(|one| bytes(&one.grown)).sum(),
        ..Cost::default()
    };
    for probe in probes {
        let mut best = u32::MAX;
        for stratum in strata {
            let (nodes, compared) = walk(stratum, items, probe, &mut best);
            sum.nodes += f64::from(nodes);
            sum.compared += f64::from(compared);
        }
    }
    let count = probes.len().max(1) as f64;
    sum.nodes /= count;
    sum.compared /= count;
    let beyond = BEYOND.iter().rev().find(|(size, _)| sum.bytes > *size);
    let miss = beyond.map_or(0.0, |(_, miss)| *miss);
    sum.time = strata.len() as f64 * (START + miss) + NODE * sum.nodes + COMPARE * sum.compared;
    sum
}

/// Bytes of nodes and lists.
fn bytes(grown: &Grown) -> usize {
    let records: usize = grown.lists.iter().map(Vec::len).sum();
    grown.children.len() * 4 + records * 16
}

fn walk(stratum: &Stratum, items: &[Item], probe: &Probe, best: &mut u32) -> (u32, u32) {
    let grown = &stratum.grown;
    let (mut nodes, mut compared) = (0, 0);
    let mut word = match stratum.root {
        Root::Tree(word) => word,
        Root::Hash { shape, bits, first } => {
            nodes += 1;
            let family = shape.family;
            let address = |side: Dimension| probe[side.index()];
            let all = words(address(Dimension::From), address(Dimension::To), family);
            let masks = shape.masks();
            let kept: Vec<u64> = all
                .iter()
                .zip(masks)
                .map(|(word, mask)| word & mask)
                .collect();
            grown.children[(first + hash(&kept, bits)) as usize]
        }
    };
    while let Word::Node(cut, first) = word {
        nodes += 1;
        let child = (probe[cut.dimension.index()] >> cut.shift) as u32 & ((1 << cut.bits) - 1);
        word = grown.children[(first + child) as usize];
    }
    let Word::List(list) = word else {
        return (nodes, compared);
    };
    for &index in &grown.lists[list as usize] {
        let item = &items[index as usize];
        if item.rank >= *best {
            break;
        }
        compared += 1;
        if item.holds(probe) {
            *best = item.rank;
            break;
        }
    }
    (nodes, compared)
}
