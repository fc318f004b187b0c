//! The table of a live map: a hash table that programs search with their own instructions while a runtime changes it.
//!
//! Takes prefixes and ranges of ports; gives the keys that stand for them and the bytes of what is kept. Programs
//! (`lower/answers/entry.rs`) and runtimes go by what stands here; [`LiveMapPlan`](crate::artifact::LiveMapPlan) says which
//! map of the object holds what. Not here: who writes what in which order.
//!
//! A *piece* is a range of ports that all begin with the same bits, as a prefix of addresses is one of addresses. A key is a
//! prefix and a piece; what tells keys apart besides their bits is their *kind*: family and both lengths. A program has a
//! list of the kinds in use, the most specific first, cuts the packet to each of them in turn and looks for that key. So the first key
//! that is found is the most specific one.

use std::net::IpAddr;

/// Kinds of a family that a program tries.
pub const KINDS: usize = 16;
/// Nodes of a chain that a program looks at.
pub const DEPTH: usize = 8;

/// Bytes of the state.
pub const STATE: u32 = 64;
/// In the word that says what holds: which of a node's two values.
pub const VIEW: u32 = 1;
/// In it: the trie holds, not the table.
pub const IN_TRIE: u32 = 2;
/// In it: the side of the trie.
pub const TRIE_SIDE: u32 = 4;
/// In it: where the number of the plan begins.
pub const PLAN_AT: u32 = 8;

/// What programs ask, and what is filled while they do.
pub const SIDES: u32 = 2;
/// Plans of a side: one, and one more for each kind that comes to it.
pub const PLANS: u32 = 2 * KINDS as u32 + 1;
/// Bytes of a plan.
pub const PLAN: u32 = V6_AT + V6_KIND * KINDS as u32;
/// Where in a plan the seed of its hashes stands.
pub(crate) const SEED_AT: i16 = 0;
/// Where in a plan the number of the first head of its side stands.
pub(crate) const BASE_AT: i16 = 8;
/// Where in a plan the kinds of IPv4 begin, and bytes of one: a mask, then what [`Kind::cut`] says.
pub(crate) const V4_AT: u32 = 16;
pub(crate) const V4_KIND: u32 = 8;
/// The same of IPv6.
pub(crate) const V6_AT: u32 = V4_AT + V4_KIND * KINDS as u32;
pub(crate) const V6_KIND: u32 = 24;

/// Bytes of a head: the number of the first node of its chain, 0 for none, and padding.
pub const HEAD: u32 = 8;
/// Bytes of a node.
pub const NODE: u32 = 32;
/// Where in a node the rest of its key stands after the words of the address: the port, and above it the number of the kind. In a key of
/// IPv4 it is the second of these words as well.
pub const META_AT: u8 = 16;
/// Where in a node the number of the next one stands, 0 for none.
pub const NEXT_AT: u8 = 20;
/// Where in a node its two values stand: each a `u16` for TCP and one for UDP, one more than a socket's number, 0 for none.
pub const VALUES_AT: u8 = 24;

/// By what hashes are mixed.
pub(crate) const MIX: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9];

/// Nodes of a side of the table of a live map of so many entries: one for each entry, and some for those that came and went.
#[must_use]
pub fn side_nodes(max: u32) -> u32 {
    max.saturating_add(max / 4).saturating_add(64)
}

/// Nodes that the table has room for; the first is none.
#[must_use]
pub fn nodes(max: u32) -> u32 {
    side_nodes(max).saturating_mul(SIDES).saturating_add(1)
}

/// Bits of the number of a head: there are at least twice as many heads as entries.
#[must_use]
pub fn head_bits(max: u32) -> u32 {
    (u32::BITS - max.saturating_sub(1).leading_zeros() + 1).clamp(6, 26)
}

/// Heads that the table has.
#[must_use]
pub fn heads(max: u32) -> u32 {
    SIDES << head_bits(max)
}

/// A range of ports that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece {
    /// Its first port.
    pub port: u16,
    /// How many leading bits its ports have in common.
    pub bits: u8,
}

/// The fewest pieces that make up a range of ports, which is inclusive. A port's piece of a range holds that of any range
/// within it, so the longest piece is one of the narrowest range.
#[must_use]
pub fn pieces((first, last): (u16, u16)) -> Vec<Piece> {
    let (mut at, end) = (u32::from(first), u32::from(last) + 1);
    let mut found = Vec::new();
    while at < end {
        let aligned = at.trailing_zeros().min(16);
        let fitting = (end - at).ilog2();
        let free = aligned.min(fitting);
        found.push(Piece {
            port: at as u16,
            bits: (16 - free) as u8,
        });
        at += 1 << free;
    }
    found
}

/// What keys have in common that a program looks for at once. The more specific one is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// The length of the prefix.
    pub length: u8,
    /// The bits of the piece.
    pub bits: u8,
    /// Whether it is of IPv6.
    pub v6: bool,
}

impl Kind {
    /// The number that tells the kind from all others; never 0.
    fn number(self) -> u32 {
        1 << 15 | u32::from(self.v6) << 13 | u32::from(self.bits) << 8 | u32::from(self.length)
    }

    /// The kind of a number.
    #[must_use]
    pub fn of_meta(meta: u32) -> Self {
        let number = meta >> 16;
        Self {
            length: number as u8,
            bits: (number >> 8) as u8 & 0x1f,
            v6: number >> 13 & 1 == 1,
        }
    }

    /// What a key of no port has behind its address.
    #[must_use]
    pub fn meta(self) -> u32 {
        self.number() << 16
    }

    /// What a port with all bits set above it is cut to: its piece, and above it the number of the kind.
    fn cut(self) -> u32 {
        let mask = u16::MAX.checked_shl(16 - u32::from(self.bits));
        self.number() << 16 | u32::from(mask.unwrap_or(0))
    }

    /// The mask of the addresses, as words as they stand in memory.
    #[must_use]
    pub fn mask(self) -> [u32; 4] {
        let all: u32 = if self.v6 { 128 } else { 32 };
        let length = u32::from(self.length).min(all);
        let bits = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        words(bits.to_be_bytes())
    }
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The address, zero beyond the prefix, as words as they stand in memory. Behind one of IPv4 stands what `meta` is, so
    /// that a program compares all of such a key at once.
    pub words: [u32; 4],
    /// The port and the number of the kind.
    pub meta: u32,
}

impl Key {
    /// The key of a prefix and a piece. Bits beyond the prefix are cut off.
    #[must_use]
    pub fn new(address: IpAddr, length: u8, piece: Piece) -> Self {
        let kind = Kind {
            length,
            bits: piece.bits,
            v6: address.is_ipv6(),
        };
        let bytes = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96).to_be_bytes(),
            IpAddr::V6(address) => address.octets(),
        };
        let mut cut = words(bytes);
        for (word, mask) in cut.iter_mut().zip(kind.mask()) {
            *word &= mask;
        }
        let meta = (u32::from(piece.port) | 0xffff_0000) & kind.cut();
        if !kind.v6 {
            cut[1] = meta;
        }
        Self { words: cut, meta }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of_meta(self.meta)
    }

    /// The number of the head of the chain that the key is in, below 2 to the power of `bits`.
    #[must_use]
    pub fn hash(&self, seed: u64, bits: u32) -> u32 {
        let [a, b, c, d] = self.words.map(u64::from);
        let meta = u64::from(self.meta);
        let folded = |value: u64| value ^ value >> 32;
        let high = folded(((a | b << 32) ^ seed).wrapping_mul(MIX[0]));
        let mixed = match self.kind().v6 {
            false => high.wrapping_mul(MIX[1]),
            true => {
                let low = folded((high ^ (c | d << 32)).wrapping_mul(MIX[1]));
                (low ^ meta).wrapping_mul(MIX[0])
            }
        };
        (mixed >> (64 - bits)) as u32
    }

    /// The node that holds it.
    #[must_use]
    pub fn node(&self, next: u32, values: [u32; 2]) -> [u8; NODE as usize] {
        let mut node = [0; NODE as usize];
        let [a, b, c, d] = self.words;
        let all = [a, b, c, d, self.meta, next, values[0], values[1]];
        for (place, word) in node.chunks_exact_mut(4).zip(all) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        node
    }
}

/// A value of a node: for TCP and for UDP one more than a socket's number, 0 for none.
#[must_use]
pub fn value([tcp, udp]: [u16; 2]) -> u32 {
    let ([a, b], [c, d]) = (tcp.to_ne_bytes(), udp.to_ne_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

/// What a program goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What hashes begin with.
    pub seed: u64,
    /// The side of the heads and nodes.
    pub side: u32,
    /// The kinds in use.
    pub kinds: Vec<Kind>,
}

impl Plan {
    /// The kinds of a family, the most specific first; `None` if there are more than programs try.
    fn of(&self, v6: bool) -> Option<Vec<Kind>> {
        let mut kinds: Vec<Kind> = self.kinds.clone();
        kinds.retain(|kind| kind.v6 == v6);
        kinds.sort_unstable_by(|one, other| other.cmp(one));
        kinds.dedup();
        (kinds.len() <= KINDS).then_some(kinds)
    }

    /// Its bytes in the table of a map of so many entries; `None` if a family has more kinds than programs try.
    #[must_use]
    pub fn bytes(&self, max: u32) -> Option<Vec<u8>> {
        let mut bytes = self.seed.to_ne_bytes().to_vec();
        bytes.extend((self.side << head_bits(max)).to_ne_bytes());
        bytes.resize(V4_AT as usize, 0);
        for kind in self.of(false)? {
            bytes.extend(kind.mask()[0].to_ne_bytes());
            bytes.extend(kind.cut().to_ne_bytes());
        }
        bytes.resize(V6_AT as usize, 0);
        for kind in self.of(true)? {
            bytes.extend(kind.mask().iter().flat_map(|word| word.to_ne_bytes()));
            bytes.extend(kind.cut().to_ne_bytes());
            bytes.extend([0; 4]);
        }
        bytes.resize(PLAN as usize, 0);
        Some(bytes)
    }

    /// The plan of these bytes, of a side.
    #[must_use]
    pub fn read(bytes: &[u8], side: u32) -> Self {
        let seed = bytes
            .first_chunk()
            .map_or(0, |seed| u64::from_ne_bytes(*seed));
        let of = |first: u32, size: u32, cut: u32| {
            (0..KINDS as u32).map(move |number| (first + size * number + cut) as usize)
        };
        let cuts = of(V4_AT, V4_KIND, 4).chain(of(V6_AT, V6_KIND, 16));
        let cuts = cuts.map(|at| word(bytes, at)).filter(|cut| *cut != 0);
        Self {
            seed,
            side,
            kinds: cuts.map(Kind::of_meta).collect(),
        }
    }
}

/// A word of a plan's bytes.
fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// The words of an address as they stand in memory.
fn words(bytes: [u8; 16]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = bytes
            .first_chunk()
            .map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    }
    words
}

#[cfg(test)]
mod tests;
