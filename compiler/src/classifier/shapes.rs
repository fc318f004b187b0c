//! Which parts of both addresses are worth hashing.
//!
//! Takes boxes; gives the [`Tuple`] that takes many of them with few of the same key, judged by a sample. Not here: strata.

use super::flat::Flat;
use super::intern::quick;
use super::stratum::{Boxes, Tuple};
use crate::policy::Family;

/// A prefix of fewer bits says little about its side.
pub(super) const SHORT: u8 = 8;

/// Boxes that are looked at.
const SAMPLE: usize = 1024;

/// Fewest boxes that a stratum is worth.
const MIN_BOXES: usize = 64;

/// One in so many boxes has to be taken.
const SHARE: usize = 16;

/// The shape that takes many boxes with few of the same key.
pub(super) fn best_shape<F: Flat>(boxes: Boxes<'_, F>, left: &[u32]) -> Option<Tuple> {
    let family = boxes.family;
    let lengths: &[u8] = match family {
        Family::V4 => &[0, 8, 12, 16, 20, 24, 28, 32],
        Family::V6 => &[0, 16, 24, 32, 40, 48, 56, 64, 128],
    };
    let sample: Vec<u32> = left
        .iter()
        .step_by(left.len().div_ceil(SAMPLE).max(1))
        .copied()
        .collect();
    let scale = left.len() as f64 / sample.len().max(1) as f64;
    let mut keys = Vec::with_capacity(sample.len());
    let mut best: Option<(f64, Tuple)> = None;
    for &from in lengths {
        for &to in lengths {
            let shape = Tuple { family, from, to };
            if from == 0 && to == 0 {
                continue;
            }
            keys.clear();
            for &index in &sample {
                let item = &boxes.items[index as usize];
                if shape.takes(item) {
                    keys.push(quick(&shape.key(item)));
                }
            }
            let taken = keys.len() as f64 * scale;
            let least = MIN_BOXES.max(left.len() / SHARE) as f64;
            if taken < least || best.is_some_and(|(most, _)| taken <= most) {
                continue;
            }
            let value = taken / burden(&mut keys, scale);
            if best.is_none_or(|(most, _)| value > most) {
                best = Some((value, shape));
            }
        }
    }
    best.map(|(_, shape)| shape)
}

/// How much boxes of the same key cost: 1 where there are few.
fn burden(keys: &mut [u64], scale: f64) -> f64 {
    keys.sort_unstable();
    let pairs: usize = keys
        .chunk_by(|one, other| one == other)
        .map(|same| same.len() * (same.len() - 1))
        .sum();
    let crowd = 1.0 + pairs as f64 / keys.len().max(1) as f64 * scale;
    1.0 + (crowd / 4.0).max(1.0).log2() / 4.0
}
