//! What is known of the packets that come to a place of a tree: the bits that the nodes above have looked at.
//!
//! Takes cuts; gives which children of a node a box is in, and which boxes need not be compared with. Not here: which cut.

use super::cut::Cut;
use super::flat::{Flat, MAX_PLANES, Plane};

/// A part of all packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cube {
    /// For each plane the bits that are known, and their values.
    known: [(u64, u64); MAX_PLANES],
    /// The classes that packets may have.
    classes: u64,
}

/// A number whose low bits are set.
pub(super) fn low_bits(bits: u32) -> u64 {
    match bits {
        0 => 0,
        bits => u64::MAX >> (64 - bits.min(64)),
    }
}

impl Cube {
    /// Every packet of these classes.
    #[must_use]
    pub(super) fn whole(classes: u64) -> Self {
        Self {
            known: [(0, 0); MAX_PLANES],
            classes,
        }
    }

    /// Only packets with these bits of a plane.
    pub(super) fn fix(&mut self, plane: usize, mask: u64, value: u64) {
        let (bits, values) = &mut self.known[plane];
        *bits |= mask;
        *values = *values & !mask | value & mask;
    }

    /// The packets of a child; `classes` is the number of the plane of classes.
    #[must_use]
    pub(super) fn child(
        &self,
        cut: Cut,
        plane: usize,
        shift: u32,
        value: u32,
        classes: usize,
    ) -> Self {
        let mut inner = *self;
        let mask = low_bits(cut.bits.into()) << shift;
        inner.fix(plane, mask, u64::from(value) << shift);
        if plane == classes {
            let (mask, value) = inner.known[plane];
            inner.classes = (0..64)
                .filter(|class| class & mask == value)
                .fold(0, |set, class| set | 1 << class)
                & self.classes;
        }
        inner
    }

    /// The bits of a plane that are known.
    pub(super) fn known(&self, plane: usize) -> u64 {
        self.known[plane].0
    }

    /// The range of a plane that the known bits from the highest on leave.
    #[must_use]
    pub(super) fn within(&self, plane: usize, kind: Plane) -> (u64, u64) {
        let (mask, value) = self.known[plane];
        let all = low_bits(kind.bits.into());
        let free = low_bits(64 - (all & !mask).leading_zeros());
        (value & !free, value & !free | free)
    }

    /// The least and the greatest value that packets here may have in a plane.
    fn span(&self, plane: usize, kind: Plane) -> (u64, u64) {
        let (mask, value) = self.known[plane];
        (value, value | low_bits(kind.bits.into()) & !mask)
    }

    /// What these boxes can match here: packets outside of all of them need no answer, so it does not matter which box is
    /// thought to hold those.
    #[must_use]
    pub(super) fn spans<'a, F: Flat + 'a>(&self, boxes: impl Iterator<Item = &'a F>) -> Spans {
        let mut hull = [(u64::MAX, 0); MAX_PLANES];
        let mut classes = 0;
        for one in boxes {
            classes |= one.classes();
            for (plane, (least, greatest)) in hull.iter_mut().enumerate().take(F::PLANES.len()) {
                let (low, high) = one.bounds(plane);
                *least = low.min(*least);
                *greatest = high.max(*greatest);
            }
        }
        let mut bounds = [(0, 0); MAX_PLANES];
        for (plane, kind) in F::PLANES.iter().enumerate() {
            bounds[plane] = clipped(self.span(plane, *kind), hull[plane]);
        }
        Spans {
            bounds,
            known: self.known,
            classes: self.classes & classes,
        }
    }
}

/// The least and the greatest values in a cube.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    bounds: [(u64, u64); MAX_PLANES],
    known: [(u64, u64); MAX_PLANES],
    classes: u64,
}

impl Spans {
    /// Whether a box can match here.
    pub(super) fn meets<F: Flat>(&self, one: &F) -> bool {
        one.classes() & self.classes != 0
            && (0..F::PLANES.len() - 1).all(|plane| {
                let (low, high) = one.bounds(plane);
                let (least, greatest) = self.bounds[plane];
                let (mask, value) = self.known[plane];
                // Bits above the highest in which the bounds differ have one value in the whole box.
                let fixed = !low_bits(64 - (low ^ high).leading_zeros());
                low <= greatest && least <= high && (low ^ value) & mask & fixed == 0
            })
    }

    /// Whether a box holds all packets here.
    pub(super) fn inside<F: Flat>(&self, one: &F) -> bool {
        self.classes & !one.classes() == 0
            && (0..F::PLANES.len() - 1).all(|plane| {
                let (low, high) = one.bounds(plane);
                let (least, greatest) = self.bounds[plane];
                low <= least && greatest <= high
            })
    }

    /// Whether one box holds all packets here that another one holds.
    pub(super) fn covers<F: Flat>(&self, one: &F, other: &F) -> bool {
        self.classes & other.classes() & !one.classes() == 0
            && (0..F::PLANES.len() - 1).all(|plane| {
                let (low, high) = one.bounds(plane);
                let (first, last) = other.bounds(plane);
                let (least, greatest) = self.bounds[plane];
                low <= first.max(least) && last.min(greatest) <= high
            })
    }
}

/// The first and the last child of a node that a range is in: bits from `shift` on, within what is known.
#[inline]
pub(super) fn children((low, high): (u64, u64), shift: u32, bits: u32) -> (u32, u32) {
    let mask = (1 << bits) - 1;
    if low > high || (low ^ high) >> shift >> bits != 0 {
        return (0, mask);
    }
    ((low >> shift) as u32 & mask, (high >> shift) as u32 & mask)
}

/// A range within another.
#[inline]
pub(super) fn clipped(range: (u64, u64), within: (u64, u64)) -> (u64, u64) {
    (range.0.max(within.0), range.1.min(within.1))
}
