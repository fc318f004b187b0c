//! The boxes of one family as ranges in five dimensions.
//!
//! Takes the members of a classifier; gives their boxes by rank. Not here: how they are split.

use super::boxes::{Boxed, Prefix, boxes, low_bits};
use super::services::Services;
use super::{Member, Unfit};
use crate::policy::Family;

/// What packets are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The sender's address.
    From,
    /// The receiver's address.
    To,
    /// The sender's port.
    FromPort,
    /// The receiver's port.
    ToPort,
    /// The class of the protocol.
    Class,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 5] = [
        Self::To,
        Self::From,
        Self::ToPort,
        Self::FromPort,
        Self::Class,
    ];

    /// How many bits its values have.
    #[must_use]
    pub fn bits(self, family: Family) -> u32 {
        match self {
            Self::From | Self::To => width(family),
            Self::FromPort | Self::ToPort => 16,
            Self::Class => 6,
        }
    }

    /// Its place in an array.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Bits of an address.
#[must_use]
pub fn width(family: Family) -> u32 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// A range of values, inclusive.
pub type Range = (u128, u128);

/// One box.
#[derive(Clone, Debug)]
pub struct Item {
    /// The sender's addresses.
    pub from: Prefix,
    /// The receiver's addresses.
    pub to: Prefix,
    /// The number of its service.
    pub service: u16,
    /// The rank of its member: the first is 0.
    pub rank: u32,
    /// By [`Dimension::index`]; of the classes, the hull.
    ranges: [Range; 5],
    /// The classes, one bit each.
    pub classes: u64,
}

impl Item {
    /// Its range in a dimension.
    #[must_use]
    pub fn range(&self, dimension: Dimension) -> Range {
        self.ranges[dimension.index()]
    }

    /// Whether a packet is in it: its values by [`Dimension::index`].
    #[must_use]
    pub fn holds(&self, values: &[u128; 5]) -> bool {
        let class = values[Dimension::Class.index()];
        self.classes >> class & 1 == 1
            && self
                .ranges
                .iter()
                .zip(values)
                .all(|((low, high), value)| low <= value && value <= high)
    }

    /// Whether everything that the other one matches is matched by this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let inside = |dimension: Dimension| {
            let (outer, inner) = (self.range(dimension), other.range(dimension));
            outer.0 <= inner.0 && inner.1 <= outer.1
        };
        other.classes & !self.classes == 0 && Dimension::ALL.into_iter().all(inside)
    }
}

/// The boxes of every member in a family, in order of rank.
pub fn items(
    members: &[Member<'_>],
    services: &mut Services,
    family: Family,
) -> Result<Vec<(u32, Boxed, u16)>, Unfit> {
    let mut found = Vec::with_capacity(members.len());
    for (rank, member) in (0u32..).zip(members) {
        for one in boxes(member.matches, family) {
            let service = services.intern(one.service).ok_or(Unfit::Services)?;
            found.push((rank, one, service));
        }
    }
    Ok(found)
}

/// The same as ranges, once the classes are known.
#[must_use]
pub fn ranged(found: &[(u32, Boxed, u16)], services: &Services, family: Family) -> Vec<Item> {
    let one = |&(rank, boxed, service): &(u32, Boxed, u16)| {
        let classes = services.classes(service);
        let port = |(low, high): (u16, u16)| (u128::from(low), u128::from(high));
        Item {
            from: boxed.from,
            to: boxed.to,
            service,
            rank,
            ranges: [
                addresses(boxed.from, family),
                addresses(boxed.to, family),
                port(boxed.service.from),
                port(boxed.service.to),
                hull(classes),
            ],
            classes,
        }
    };
    found.iter().map(one).collect()
}

fn addresses(prefix: Prefix, family: Family) -> Range {
    let free = low_bits(width(family) - u32::from(prefix.length));
    (prefix.address & !free, prefix.address | free)
}

fn hull(classes: u64) -> Range {
    let low = classes.trailing_zeros().min(63);
    let high = 63 - classes.leading_zeros().min(63);
    (low.into(), high.max(low).into())
}
