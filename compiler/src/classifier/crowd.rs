//! Where the most boxes cross: what is told of rules that no tables hold.
//!
//! Takes the members of a classifier; gives those that stand in the most crowded of some places. Not here: tables.

use super::items::{Dimension, Item, items, ranged};
use super::{Member, Services};
use crate::policy::Family;

/// Places that are looked at: corners of boxes, evenly spread over the list.
const PLACES: usize = 256;

/// The members that all match a packet which very many match, by their numbers, in order.
#[must_use]
pub(crate) fn crowd(members: &[Member<'_>]) -> Vec<u32> {
    let mut services = Services::default();
    let mut of = |family| items(members, &mut services, family).unwrap_or_default();
    let found = [(Family::V4, of(Family::V4)), (Family::V6, of(Family::V6))];
    if services.classify().is_none() {
        return Vec::new();
    }
    let crowds = found
        .iter()
        .map(|(family, found)| fullest(&ranged(found, &services, *family)));
    crowds.max_by_key(Vec::len).unwrap_or_default()
}

/// The members whose boxes hold the place that the most boxes hold.
fn fullest(items: &[Item]) -> Vec<u32> {
    let step = items.len().div_ceil(PLACES).max(1);
    let crowds = items.iter().step_by(step).map(|item| {
        let corner = corner(item);
        let holding = items.iter().filter(|one| one.holds(&corner));
        let mut ranks: Vec<u32> = holding.map(|one| one.rank).collect();
        ranks.dedup();
        ranks
    });
    crowds.max_by_key(Vec::len).unwrap_or_default()
}

/// The upper end of a box in each dimension.
fn corner(item: &Item) -> [u128; 5] {
    let mut corner = [0; 5];
    for dimension in Dimension::ALL {
        corner[dimension.index()] = item.range(dimension).1;
    }
    corner
}
