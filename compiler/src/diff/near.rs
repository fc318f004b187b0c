//! The pairs of a list that may meet a region, without a look at all of them.
//!
//! Takes what pairs are inside of; gives places in the list. Made where much of a list is not the same, since then as many
//! regions are looked at as there are rules. Not here: whether a pair really meets the region.

use super::block::Cover;
use super::draw::Covers;
use super::lists::Pair;
use crate::candidates::{Dimensions, Index, Looks};
use crate::policy::{Family, RuleId};

/// So many pairs may be gone through, for all regions together, before an index is worth its making.
const MAX_SCANNED: usize = 4_000_000;

/// From this part of a list on, going through all of it is quicker than putting in order what an index finds.
const PART: usize = 16;

/// So many are put in order all the same.
const FEW: usize = 256;

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
        let mut families = [Vec::new(), Vec::new()];
        for (place, &pair) in (0..).zip(pairs) {
            for (list, shape) in families.iter_mut().zip(shapes(&covers.pair(pair))) {
                list.extend(shape.map(|shape| (RuleId::from_u32(place), shape)));
            }
        }
        Self {
            index: Index::of_shapes(families),
            count: pairs.len(),
        }
    }

    /// The places of those that may meet a cover, in order; `None` where they are so many that all may as well be asked.
    pub(super) fn places(&self, cover: &Cover) -> Option<Vec<usize>> {
        let most = (self.count / PART).max(FEW);
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
