//! Boxes as a tree is grown from them: bounds in planes of at most 64 bits, side by side in memory.
//!
//! Takes the boxes of a family; gives their bounds. The halves of an IPv6 address are planes of their own: a prefix says
//! something about the lower half only where it fixes the upper one, so its box is a box in these planes too. Not here:
//! what is done with them.

use super::items::{Dimension, Item};

/// One part of a packet that a node can look at.
#[derive(Clone, Copy, Debug)]
pub struct Plane {
    /// The dimension.
    pub dimension: Dimension,
    /// Bits of the dimension below this part.
    pub shift: u8,
    /// Bits of this part.
    pub bits: u8,
}

const fn plane(dimension: Dimension, shift: u8, bits: u8) -> Plane {
    Plane {
        dimension,
        shift,
        bits,
    }
}

/// The maximum number of planes of a family.
pub(super) const MAX_PLANES: usize = 7;

/// Bounds in every plane of a family, inclusive; the last plane is the class, and of it the hull.
pub trait Flat: Copy + Send + Sync {
    /// The planes.
    const PLANES: &'static [Plane];

    /// The bounds of a box.
    fn of(item: &Item) -> Self;

    /// The bounds in one plane.
    fn bounds(&self, plane: usize) -> (u64, u64);

    /// The classes, one bit each.
    fn classes(&self) -> u64;

    /// The number of its question; 0 for none.
    fn question(&self) -> u8;
}

/// Bounds of an IPv4 box: one line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Narrow {
    bounds: [(u32, u32); 5],
    classes: u64,
    question: u8,
}

impl Flat for Narrow {
    const PLANES: &'static [Plane] = &[
        plane(Dimension::To, 0, 32),
        plane(Dimension::From, 0, 32),
        plane(Dimension::ToPort, 0, 16),
        plane(Dimension::FromPort, 0, 16),
        plane(Dimension::Class, 0, 6),
    ];

    fn of(item: &Item) -> Self {
        let mut bounds = [(0, 0); 5];
        for (bounds, plane) in bounds.iter_mut().zip(Self::PLANES) {
            let (low, high) = item.range(plane.dimension);
            *bounds = (low as u32, high as u32);
        }
        Self {
            bounds,
            classes: item.classes,
            question: item.question,
        }
    }

    #[inline]
    fn bounds(&self, plane: usize) -> (u64, u64) {
        let (low, high) = self.bounds[plane];
        (low.into(), high.into())
    }

    fn classes(&self) -> u64 {
        self.classes
    }

    fn question(&self) -> u8 {
        self.question
    }
}

/// Bounds of an IPv6 box: two lines of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Wide {
    bounds: [(u64, u64); MAX_PLANES],
    classes: u64,
    question: u8,
}

impl Flat for Wide {
    const PLANES: &'static [Plane] = &[
        plane(Dimension::To, 64, 64),
        plane(Dimension::To, 0, 64),
        plane(Dimension::From, 64, 64),
        plane(Dimension::From, 0, 64),
        plane(Dimension::ToPort, 0, 16),
        plane(Dimension::FromPort, 0, 16),
        plane(Dimension::Class, 0, 6),
    ];

    fn of(item: &Item) -> Self {
        let mut bounds = [(0, 0); MAX_PLANES];
        for (bounds, plane) in bounds.iter_mut().zip(Self::PLANES) {
            let (low, high) = item.range(plane.dimension);
            let upper_differ = low >> 64 != high >> 64;
            *bounds = match plane.shift {
                0 if plane.bits == 64 && upper_differ => (0, u64::MAX),
                shift => ((low >> shift) as u64, (high >> shift) as u64),
            };
        }
        Self {
            bounds,
            classes: item.classes,
            question: item.question,
        }
    }

    #[inline]
    fn bounds(&self, plane: usize) -> (u64, u64) {
        self.bounds[plane]
    }

    fn classes(&self) -> u64 {
        self.classes
    }

    fn question(&self) -> u8 {
        self.question
    }
}
