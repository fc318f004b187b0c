//! The pairs of a list that may meet a region, without a look at all of them.
//!
//! Takes what pairs are inside of; gives places in the list. Made where much of a list is not the same, since then as many
//! regions are looked at as there are rules. Not here: whether a pair really meets the region.

use super::block::Cover;
use super::draw::Covers;
use super::lists::Pair;
use crate::candidates::{Dimensions, Index, Looks, Shapes};
use crate::policy::{Family, RuleId};

/// So many pairs may be gone through, for all regions together, before an index is worth its making. Tests always have one, so that
/// the comparison with brute force is one of the index, too.
const MAX_SCANNED: usize = if cfg!(test) { 0 } else { 4_000_000 };

/// From this part of a list on, going through all of it is quicker than putting in order what an index finds.
const FEW: usize = if cfg!(test) { 1 } else { 16 };

/// Pairs, findable by what they meet.
pub(super) struct Near {
    /// By family. What it calls rules are places in the list.
    index: Index,
    count: usize,
}

impl Near {
    /// Whether it is worth while for so many regions.
    pub(super) fn is_worth(pairs: usize, regions: usize) -> bool {
        pairs.saturating_mul(regions) > MAX_SCANNED
    }

    pub(super) fn of(covers: &Covers, pairs: &[Pair]) -> Self {
        let mut families = [(Vec::new(), Shapes::new()), (Vec::new(), Shapes::new())];
        for (place, &pair) in (0..).zip(pairs) {
            let place = RuleId::from_u32(place);
            for ((places, around), shape) in families.iter_mut().zip(shapes(&covers.pair(pair))) {
                if let Some(shape) = shape {
                    places.push(place);
                    around[place] = shape;
                }
            }
        }
        Self {
            index: Index::of_shapes(families),
            count: pairs.len(),
        }
    }

    /// The places of those that may meet a cover, in order; `None` where they are so many that all may as well be asked.
    pub(super) fn places(&self, cover: &Cover) -> Option<Vec<usize>> {
        let most = self.count / FEW;
        let looks = Looks::new(most as u64);
        let mut found = Vec::new();
        let mut take = |place: RuleId| {
            found.push(place.as_u32() as usize);
            true
        };
        let sufficed = self
            .index
            .meeting(&shapes(cover), 0..u32::MAX, &looks, &mut take);
        found.sort_unstable();
        found.dedup();
        sufficed.then_some(found)
    }
}

/// What is around a cover, by family.
fn shapes(cover: &Cover) -> [Option<Dimensions>; 2] {
    [Family::V4, Family::V6].map(|family| {
        let blocks = cover.blocks.iter().filter_map(|one| one.shape(family));
        blocks.reduce(around)
    })
}

fn around(mut one: Dimensions, other: Dimensions) -> Dimensions {
    for (one, other) in one.iter_mut().zip(other) {
        *one = (one.0.min(other.0), one.1.max(other.1));
    }
    one
}
