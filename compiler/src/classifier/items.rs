//! The boxes of one family as ranges in five dimensions.
//!
//! Takes the members of a classifier; gives their boxes by rank. Not here: how they are split.

use super::asked::header_conditions;
use super::boxes::{Boxed, Parts, Prefix, low_bits};
use super::services::Services;
use super::{Member, Unfit};
use crate::policy::Family;

listed! {
    /// What packets are told apart by.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Dimension {
        /// The receiver's address.
        To,
        /// The sender's address.
        From,
        /// The receiver's port.
        ToPort,
        /// The sender's port.
        FromPort,
        /// The class of the packet.
        Class,
    }
}

impl Dimension {
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
pub(super) fn width(family: Family) -> u32 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// A range of values, inclusive.
pub(super) type Range = (u128, u128);

/// One box.
#[derive(Clone, Debug)]
pub struct Item {
    /// The sender's addresses.
    pub from: Prefix,
    /// The receiver's addresses.
    pub to: Prefix,
    /// The family of the addresses.
    pub family: Family,
    /// The number of its service.
    pub service: u32,
    /// The number of its member: the first is 0. Those of smaller numbers come first, as in their [`super::Ranks`].
    pub rank: u32,
    /// The sender's ports and the receiver's.
    ports: [(u16, u16); 2],
    /// The classes, one bit each.
    pub classes: u64,
    /// The number of its question; 0 for none.
    pub question: u8,
}

impl Item {
    /// Its range in a dimension; of the classes, the hull.
    #[must_use]
    pub fn range(&self, dimension: Dimension) -> Range {
        match dimension {
            Dimension::From => addresses(self.from, self.family),
            Dimension::To => addresses(self.to, self.family),
            Dimension::FromPort => ports(self.ports[0]),
            Dimension::ToPort => ports(self.ports[1]),
            Dimension::Class => hull(self.classes),
        }
    }

    /// Whether a packet is in it: its values by [`Dimension::index`].
    #[must_use]
    pub fn holds(&self, values: &[u128; 5]) -> bool {
        let class = values[Dimension::Class.index()];
        self.classes >> class & 1 == 1
            && Dimension::ALL.into_iter().all(|dimension| {
                let (low, high) = self.range(dimension);
                (low..=high).contains(&values[dimension.index()])
            })
    }
}

/// The boxes of every member in a family, in order of rank.
pub(super) fn items(
    members: &[Member<'_>],
    services: &mut Services,
    family: Family,
) -> Result<Vec<(u32, Boxed, u32)>, Unfit> {
    let mut found = Vec::new();
    let mut parts = Parts::default();
    for (rank, member) in (0u32..).zip(members) {
        let conditions = services
            .number(&header_conditions(member.matches))
            .ok_or(Unfit::Services)?;
        let mut fits = true;
        parts.boxes(member.matches, family, |mut one| {
            one.service.conditions = conditions;
            match services.intern(one.service) {
                Some(service) => found.push((rank, one, service)),
                None => fits = false,
            }
        });
        if !fits {
            return Err(Unfit::Services);
        }
    }
    Ok(found)
}

/// The same as ranges, once the classes are known.
#[must_use]
pub(super) fn ranged(
    found: &[(u32, Boxed, u32)],
    services: &Services,
    family: Family,
) -> Vec<Item> {
    let one = |&(rank, boxed, service): &(u32, Boxed, u32)| Item {
        from: boxed.from,
        to: boxed.to,
        family,
        service,
        rank,
        ports: [boxed.service.from, boxed.service.to],
        classes: services.classes(service),
        question: 0,
    };
    // What no packet can be stands nowhere.
    let items = found.iter().map(one).filter(|item| item.classes != 0);
    items.collect()
}

fn ports((low, high): (u16, u16)) -> Range {
    (low.into(), high.into())
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
