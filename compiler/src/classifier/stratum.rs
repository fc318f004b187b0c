//! A stratum: boxes that share a tree, found by a hash of parts of both addresses or by the tree alone.
//!
//! Takes the boxes of a stratum and how they are found; gives the [`Stratum`]. Not here: which boxes share one.

use std::collections::HashMap;

use super::boxes::low_bits;
use super::grow::{Grower, Grown, Region, TooMuch, Word};
use super::items::{Dimension, Item, width};
use crate::policy::Family;

/// The odd constants that address words are multiplied by: the fraction of the golden ratio and three more (the ones of
/// splitmix64 and of xxHash64, which mix well).
pub const MULTIPLIERS: [u64; 4] = [
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xc2b2_ae3d_27d4_eb4f,
];

/// Prefix lengths of the sender's and the receiver's side that a hash is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The family of the addresses.
    pub family: Family,
    /// Bits of the sender's address.
    pub from: u8,
    /// Bits of the receiver's address.
    pub to: u8,
}

impl Shape {
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
    pub fn masks(self) -> Vec<u64> {
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
pub fn words(from: u128, to: u128, family: Family) -> Vec<u64> {
    match family {
        Family::V4 => vec![(from as u64) << 32 | to as u64],
        Family::V6 => vec![
            (from >> 64) as u64,
            from as u64,
            (to >> 64) as u64,
            to as u64,
        ],
    }
}

/// The place in a table of two to the power of `bits` entries.
#[must_use]
pub fn hash(words: &[u64], bits: u32) -> u32 {
    let mixed = words.iter().zip(MULTIPLIERS).fold(0u64, |sum, (word, by)| {
        sum.wrapping_add(word.wrapping_mul(by))
    });
    let mixed = mixed ^ mixed >> 29;
    (mixed.wrapping_mul(MULTIPLIERS[1]) >> (64 - bits)) as u32
}

/// How a walk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// At the child with the number of the hash.
    Hash {
        /// What is hashed.
        shape: Shape,
        /// The logarithm of the number of children.
        bits: u32,
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
}

/// How much room trees get.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Boxes in all lists.
    pub records: usize,
    /// Bytes that nodes and copies may add.
    pub bytes: usize,
}

impl Stratum {
    /// A stratum of these boxes, by rank.
    pub fn build(
        items: &[Item],
        list: &[u32],
        shape: Option<Shape>,
        family: Family,
        room: Room,
    ) -> Result<Self, TooMuch> {
        let mut grower = Grower::new(items, family, room.records);
        let root = match shape {
            Some(shape) => hashed(&mut grower, items, list, shape, (family, room.bytes))?,
            None => Root::Tree(grower.tree(list, &Region::whole(family), 0, room.bytes)?),
        };
        Ok(Self {
            root,
            grown: grower.finish(),
            boxes: list.len(),
        })
    }
}

fn hashed(
    grower: &mut Grower<'_>,
    items: &[Item],
    list: &[u32],
    shape: Shape,
    (family, budget): (Family, usize),
) -> Result<Root, TooMuch> {
    let mut keys: HashMap<(u128, u128), u32> = HashMap::with_capacity(list.len());
    for &index in list {
        *keys.entry(shape.key(&items[index as usize])).or_default() += 1;
    }
    // Two of three entries taken: shorter lists would cost cache.
    let bits = (keys.len() * 3 / 2)
        .next_power_of_two()
        .trailing_zeros()
        .clamp(1, 17);
    let mut slots: Vec<Vec<u32>> = vec![Vec::new(); 1 << bits];
    for &index in list {
        let (from, to) = shape.key(&items[index as usize]);
        slots[hash(&words(from, to, family), bits) as usize].push(index);
    }
    let first = grower.reserve(1 << bits)?;
    for (child, slot) in (first..).zip(&slots) {
        let region = region(items, slot, shape, family);
        let share = budget * slot.len() / list.len().max(1);
        let word = grower.tree(slot, &region, 0, share)?;
        grower.set(child, word);
    }
    Ok(Root::Hash { shape, bits, first })
}

/// The region of a slot.
fn region(items: &[Item], slot: &[u32], shape: Shape, family: Family) -> Region {
    let mut region = Region::whole(family);
    let Some((&first, others)) = slot.split_first() else {
        return region;
    };
    let key = shape.key(&items[first as usize]);
    let alone = others
        .iter()
        .all(|&other| shape.key(&items[other as usize]) == key);
    if alone {
        let block = |address: u128, length: u8| {
            let free = low_bits(width(family) - u32::from(length));
            (address, address | free)
        };
        // Packets of other keys match nothing here, so what holds for this key alone is as good as sure.
        let sides = [
            (Dimension::From, block(key.0, shape.from)),
            (Dimension::To, block(key.1, shape.to)),
        ];
        for (side, block) in sides {
            region.within[side.index()] = block;
            region.sure[side.index()] = block;
        }
    }
    region
}
