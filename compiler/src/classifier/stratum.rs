//! A stratum: boxes that share a tree, found by a hash of parts of both addresses or by the tree alone.
//!
//! Takes the boxes of a stratum and how they are found; gives the [`Stratum`]. Not here: which boxes share one.
//!
//! A stratum is a partition of the tuple space (Srinivasan et al., 1999): boxes whose prefixes are long enough for its hash.

use std::array::IntoIter;
use std::iter::Take;
use std::ops::Deref;

use super::boxes::low_bits;
use super::bucket;
use super::cube::{self, Cube};
use super::flat::{Flat, Plane};
use super::grow::{Grower, Grown, TooMuch, Word};
use super::items::{Dimension, Item, width};
use super::tables::record_size;
use crate::policy::Family;

/// The odd constants that address words are multiplied by: the fraction of the golden ratio and three more (the ones of
/// splitmix64 and of xxHash64, which mix well).
pub(crate) const MULTIPLIERS: [u64; 4] = [
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xc2b2_ae3d_27d4_eb4f,
];

/// Prefix lengths of the sender's and the receiver's side that a hash is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The family of the addresses.
    pub family: Family,
    /// Bits of the sender's address.
    pub from: u8,
    /// Bits of the receiver's address.
    pub to: u8,
}

impl Tuple {
    /// Whether a box says as many bits of both addresses.
    #[must_use]
    pub fn takes(self, item: &Item) -> bool {
        self.from <= item.from.length && self.to <= item.to.length
    }

    /// The bits of a box that are hashed.
    #[must_use]
    pub fn key(self, item: &Item) -> (u128, u128) {
        let width = width(self.family);
        (
            masked(item.from.address, self.from, width),
            masked(item.to.address, self.to, width),
        )
    }

    /// The 64-bit words of a key's masks, in the order in which they are hashed: for IPv4 both addresses in one.
    #[must_use]
    pub(crate) fn masks(self) -> Words {
        let width = width(self.family);
        words(
            masked(u128::MAX, self.from, width),
            masked(u128::MAX, self.to, width),
            self.family,
        )
    }
}

fn masked(address: u128, length: u8, width: u32) -> u128 {
    let free = low_bits(width - u32::from(length));
    address & low_bits(width) & !free
}

/// Both addresses as words: for IPv4 one, the sender's in the high half; for IPv6 four.
#[must_use]
pub(super) fn words(from: u128, to: u128, family: Family) -> Words {
    match family {
        Family::V4 => Words {
            all: [(from as u64) << 32 | to as u64, 0, 0, 0],
            count: 1,
        },
        Family::V6 => Words {
            all: [
                (from >> 64) as u64,
                from as u64,
                (to >> 64) as u64,
                to as u64,
            ],
            count: 4,
        },
    }
}

/// The words of a pair of addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    all: [u64; 4],
    count: usize,
}

impl IntoIterator for Words {
    type Item = u64;
    type IntoIter = Take<IntoIter<u64, 4>>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter().take(self.count)
    }
}

impl Deref for Words {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.all[..self.count]
    }
}

/// The place in a table of `count` entries.
#[must_use]
pub(crate) fn hash(words: &[u64], count: u32) -> u32 {
    place(mixed(words), count)
}

/// The same of a hash that was calculated: its upper half as a fraction of all there is. Of a power of two these are its first bits.
#[must_use]
pub(super) fn place(mixed: u64, count: u32) -> u32 {
    (((mixed >> 32) * u64::from(count)) >> 32) as u32
}

/// The hash before it is cut to a number of bits.
fn mixed(words: &[u64]) -> u64 {
    let sum = words.iter().zip(MULTIPLIERS).fold(0u64, |sum, (word, by)| {
        sum.wrapping_add(word.wrapping_mul(by))
    });
    (sum ^ sum >> 29).wrapping_mul(MULTIPLIERS[1])
}

/// How a walk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// At the child with the number of the hash.
    Hash {
        /// What is hashed.
        shape: Tuple,
        /// The number of children.
        count: u32,
        /// The first child.
        first: u32,
    },
    /// At this tree.
    Tree(Word),
}

/// Boxes that share a tree.
#[derive(Clone, Debug)]
pub struct Stratum {
    /// How a walk begins.
    pub root: Root,
    /// Nodes and lists.
    pub grown: Grown,
    /// How many boxes there are.
    pub boxes: usize,
    /// The smallest rank of its boxes: where a smaller one is known, the walk can be left out.
    pub first_rank: u32,
    /// Whether its records hold the bounds of their ports, and not only the number of a service.
    pub holds_ports: bool,
    /// Whether what is found by the hash are buckets, and not children.
    pub buckets: bool,
}

/// How much room a stratum gets.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Boxes in all lists.
    pub records: usize,
    /// Bytes that nodes and copies may add.
    pub bytes: usize,
    /// Whether records may hold ports, which makes them larger.
    pub ports: bool,
}

/// The boxes of a family: as they are, and as trees are grown from them.
#[derive(Debug)]
pub struct Boxes<'a, F> {
    /// As they are.
    pub items: &'a [Item],
    /// Their bounds.
    pub flats: &'a [F],
    /// The family.
    pub family: Family,
    /// The classes that any box matches.
    pub classes: u64,
}

impl<F> Clone for Boxes<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Boxes<'_, F> {}

/// The maximum number of bytes of all lists of a stratum: a map is no larger.
pub(super) const MAX_LIST_BYTES: usize = 4 << 20;

/// Records that a table has besides those of its lists, at most.
const AFTER_LAST: usize = 64;

/// Different services of a stratum whose table is near at hand: with more, records hold their ports.
pub(super) const NEAR_SERVICES: usize = 2_048;

/// Whether these boxes are of so many services that their records should hold the ports.
pub(super) fn has_many_services(items: &[Item], list: &[u32]) -> bool {
    let services = || list.iter().map(|&index| items[index as usize].service);
    let Some(last) = services().max().filter(|_| list.len() > NEAR_SERVICES) else {
        return false;
    };
    let mut seen = vec![false; last as usize + 1];
    let fresh = services().filter(|&one| !std::mem::replace(&mut seen[one as usize], true));
    fresh.count() > NEAR_SERVICES
}

impl Stratum {
    /// A stratum of these boxes, by rank.
    pub fn build<F: Flat>(
        boxes: Boxes<'_, F>,
        list: &[u32],
        shape: Option<Tuple>,
        room: Room,
    ) -> Result<Self, TooMuch> {
        let holds_ports = room.ports && has_many_services(boxes.items, list);
        let record = record_size(boxes.family, holds_ports);
        let lists = super::grow::Room {
            records: room.records.min(MAX_LIST_BYTES / record - AFTER_LAST),
            record,
        };
        let mut grower = Grower::new(boxes.flats, lists);
        let whole = Cube::whole(boxes.classes);
        let (root, buckets) = match shape {
            Some(shape) => hashed(&mut grower, boxes, list, shape, (room.bytes, !holds_ports))?,
            None => (Root::Tree(grower.tree(list, &whole, room.bytes)?), false),
        };
        Ok(Self {
            root,
            grown: grower.finish(),
            boxes: list.len(),
            first_rank: list
                .first()
                .map_or(u32::MAX, |&first| boxes.items[first as usize].rank),
            holds_ports,
            buckets,
        })
    }

    /// Bytes of its nodes and lists.
    #[must_use]
    pub fn bytes(&self, family: Family) -> usize {
        if let (true, Root::Hash { count, .. }) = (self.buckets, self.root) {
            return bucket::bytes(&self.grown, count, family);
        }
        let records: usize = self.grown.lists.iter().map(Vec::len).sum();
        self.grown.children.len() * 4 + records * record_size(family, self.holds_ports)
    }
}

/// The maximum number of bits of a hash.
const MAX_BITS: u32 = 18;

fn hashed<F: Flat>(
    grower: &mut Grower<'_, F>,
    boxes: Boxes<'_, F>,
    list: &[u32],
    shape: Tuple,
    (budget, may_be_buckets): (usize, bool),
) -> Result<(Root, bool), TooMuch> {
    let key = |&index: &u32| shape.key(&boxes.items[index as usize]);
    let mut keyed: Vec<(u64, u32)> = list
        .iter()
        .map(|index| {
            let (from, to) = key(index);
            (mixed(&words(from, to, boxes.family)), *index)
        })
        .collect();
    keyed.sort_unstable();
    let distinct = keyed.chunk_by(|a, b| a.0 == b.0).count();
    // As many entries as keys, up to twice as many: shorter lists would cost cache.
    let children = 1
        << distinct
            .next_power_of_two()
            .trailing_zeros()
            .clamp(1, MAX_BITS);
    let buckets = bucket::count(boxes.family, &keyed, children).filter(|_| may_be_buckets);
    let count = buckets.unwrap_or(children);
    let first = grower.reserve(count as usize)?;
    let place = |mixed| place(mixed, count);
    let mut slot = Vec::new();
    for same in keyed.chunk_by(|a, b| place(a.0) == place(b.0)) {
        slot.clear();
        slot.extend(same.iter().map(|(_, index)| *index));
        slot.sort_unstable();
        let mut region = Cube::whole(boxes.classes);
        if let Some((one, others)) = slot.split_first()
            && others.iter().all(|other| key(other) == key(one))
        {
            fix::<F>(&mut region, shape, key(one));
        }
        let share = budget * slot.len() / list.len().max(1);
        let word = grower.tree(&slot, &region, share)?;
        grower.set(first + place(same[0].0), word);
    }
    let root = Root::Hash {
        shape,
        count,
        first,
    };
    Ok((root, buckets.is_some()))
}

/// Makes it the region of one key: packets of other keys match nothing there, so what holds for this key alone is as good
/// as known.
fn fix<F: Flat>(region: &mut Cube, shape: Tuple, (from, to): (u128, u128)) {
    let width = width(shape.family);
    for (
        number,
        &Plane {
            dimension,
            shift,
            bits,
        },
    ) in F::PLANES.iter().enumerate()
    {
        let (key, length) = match dimension {
            Dimension::From => (from, shape.from),
            Dimension::To => (to, shape.to),
            _ => continue,
        };
        let mask = (masked(u128::MAX, length, width) >> shift) as u64;
        let part = cube::low_bits(bits.into());
        region.fix(number, mask & part, (key >> shift) as u64);
    }
}
