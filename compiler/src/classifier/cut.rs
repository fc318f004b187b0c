//! Which bits a node of a cut tree looks at.
//!
//! Takes the boxes of a node; gives the [`Cut`] that shortens their lists most for the room it takes, if any does.

use super::boxes::low_bits;
use super::grow::Region;
use super::items::{Dimension, Item, Range};
use crate::policy::Family;

/// A few neighbouring bits of one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cut {
    /// The dimension.
    pub dimension: Dimension,
    /// Bits behind the last one looked at.
    pub shift: u8,
    /// How many are looked at: 1, 2, 4 or 8.
    pub bits: u8,
}

/// A cut, and the bits above it that the boxes which differ have in common.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// The cut.
    pub cut: Cut,
    /// The common bits, in place; the bits of the cut and below are 0.
    pub base: u128,
}

/// How many bits a node may look at.
pub const WIDTHS: [u8; 4] = [8, 4, 2, 1];

impl Cut {
    /// How many bits it looks at or stands before.
    fn above(self) -> u32 {
        u32::from(self.shift) + u32::from(self.bits)
    }
}

/// Bytes of a box in a list, and of a child.
const RECORD: usize = 16;
const CHILD: usize = 4;

/// The best cut of these boxes that adds at most so many bytes.
pub fn best(boxes: &[&Item], region: &Region, family: Family, allowed: usize) -> Option<Chosen> {
    let mut best: Option<(f64, Chosen)> = None;
    for dimension in Dimension::ALL {
        let Some((top, first)) = highest(boxes, region, dimension) else {
            continue;
        };
        for bits in WIDTHS {
            let cut = window(dimension, top, bits, family);
            let Some(price) = price(boxes, region, cut, allowed) else {
                continue;
            };
            if best.is_none_or(|(least, _)| price < least) {
                let base = first & !low_bits(cut.above());
                best = Some((price, Chosen { cut, base }));
            }
        }
    }
    best.map(|(_, chosen)| chosen)
}

/// The highest bit in which boxes differ that do not hold the whole region, and the first value of one of them; `None`
/// where they do not differ.
fn highest(boxes: &[&Item], region: &Region, dimension: Dimension) -> Option<(u32, u128)> {
    let within = region.within[dimension.index()];
    let mut first = None;
    let mut differing = 0;
    for item in boxes {
        let (low, high) = clipped(item.range(dimension), within);
        if (low, high) == within {
            continue;
        }
        let first = *first.get_or_insert(low);
        differing |= (low ^ first) | (high ^ first);
    }
    let first = first.filter(|_| differing != 0)?;
    Some((127 - differing.leading_zeros(), first))
}

fn clipped(range: Range, within: Range) -> Range {
    (range.0.max(within.0), range.1.min(within.1))
}

/// The bits from the highest on down. Those of one node stand in one 64-bit word.
fn window(dimension: Dimension, top: u32, bits: u8, family: Family) -> Cut {
    let mut shift = (top + 1).saturating_sub(u32::from(bits));
    if top >= 64 {
        shift = shift.max(64);
    }
    let room = dimension.bits(family) - shift;
    Cut {
        dimension,
        shift: shift as u8,
        bits: bits.min(
            WIDTHS
                .into_iter()
                .find(|&one| u32::from(one) <= room)
                .unwrap_or(1),
        ),
    }
}

/// What a packet that some box matches pays after this cut; `None` where it brings nothing or takes too much room.
fn price(boxes: &[&Item], region: &Region, cut: Cut, allowed: usize) -> Option<f64> {
    let size = 1usize << cut.bits;
    let mut edges = vec![0i64; size + 1];
    for item in boxes {
        let (first, last) = children(item, region, cut);
        edges[first as usize] += 1;
        edges[last as usize + 1] -= 1;
    }
    let (mut here, mut total, mut squares) = (0i64, 0i64, 0i64);
    for edge in &edges[..size] {
        here += edge;
        total += here;
        squares += here * here;
    }
    let length = boxes.len() as f64;
    let expected = squares as f64 / total.max(1) as f64;
    if expected > 0.9 * length {
        return None;
    }
    let taken = taken(total as usize, boxes.len(), size);
    if taken > allowed {
        return None;
    }
    Some(expected * (1.0 + 0.5 * taken as f64 / allowed as f64))
}

/// Bytes that a node adds: its children, and the boxes that stand in several of them.
pub fn taken(total: usize, before: usize, children: usize) -> usize {
    total.saturating_sub(before) * RECORD + children * CHILD
}

/// The first and the last child that a box is in.
pub fn children(item: &Item, region: &Region, cut: Cut) -> (u32, u32) {
    let within = region.within[cut.dimension.index()];
    let (low, high) = clipped(item.range(cut.dimension), within);
    let mask = low_bits(cut.bits.into()) as u32;
    let above = |value: u128| value & !low_bits(cut.above());
    if low > high || above(low) != above(high) {
        return (0, mask);
    }
    let child = |value: u128| (value >> cut.shift) as u32 & mask;
    (child(low), child(high))
}

/// The region of a child.
pub fn child(region: &Region, chosen: Chosen, value: u32) -> Region {
    let Chosen { cut, base } = chosen;
    let index = cut.dimension.index();
    let low = base | u128::from(value) << cut.shift;
    let part = (low, low | low_bits(cut.shift.into()));
    let mut inner = *region;
    inner.within[index] = part;
    // Only where no bit was left out does the child say where the packet lies.
    if region.sure[index] == (base, base | low_bits(cut.above())) {
        inner.sure[index] = part;
    }
    inner
}
