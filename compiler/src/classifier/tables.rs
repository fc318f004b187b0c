//! The bytes of a classifier's tables.
//!
//! Takes strata and services; gives tables that code walks without helper calls, and what the code has to know of them.
//! All numbers stand in the byte order of BPF's little-endian targets. Not here: which map a table is in.
//!
//! ```text
//! child   u32  node: base (20 bits) | log2 of bits (2) | shift (6) | word (3) | 0
//!              list: first record (20 bits) … | 1
//! record  the address words, the bounds of both ports where a stratum's records hold them, then u64:
//!         masks (11 bits) | service (19) | last (1) | group (13) | rank (20)
//! ```
//!
//! Words of a packet: for IPv4 both addresses (the sender's high), then `class << 32 | from port << 16 | to port`; for IPv6
//! four words of addresses, then the same. A list is over after the record with `last`, and before one whose rank is not
//! smaller than the best so far; the first record of a table is an empty list. Ranks are those of [`Ranks`]: they say which counter
//! counts.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::asked::Questions;
use super::bucket::in_buckets;
use super::bucket_table::{self, Buckets};
use super::cut::Cut;
use super::grow::{Grown, MAX_LIST, Word};
use super::intern::Quick;
use super::items::{Dimension, Item};
use super::service_table::ServiceTable;
use super::services::ClassOf;
use super::stratum::{Root, Stratum, words};
use super::{FamilyRules, Member, Ranks, Rated, Services, Unfit};
use crate::diagram::flatten::Flat;
use crate::policy::Family;

/// Set in a child that is a list.
pub(crate) const LIST: u32 = 1 << 31;
/// Bits of a child that are an index.
pub(crate) const INDEX_BITS: u32 = 20;
/// Where the logarithm of a node's bits stands.
pub(crate) const SIZE_AT: u32 = 20;
/// Where a node's shift stands.
pub(crate) const SHIFT_AT: u32 = 22;
/// Where a node's word stands.
pub(crate) const WORD_AT: u32 = 28;

/// Bits of a record that are its masks.
pub(crate) const MASK_BITS: u32 = 11;
/// Where a record's service stands.
pub const SERVICE_AT: u32 = MASK_BITS;
/// Bits of it.
pub const SERVICE_BITS: u32 = 19;
/// The bit of a list's last record.
pub(crate) const LAST_AT: u32 = SERVICE_AT + SERVICE_BITS;
/// Where a record's group stands.
pub const GROUP_AT: u32 = LAST_AT + 1;
/// Bits of it.
pub(crate) const GROUP_BITS: u32 = 13;
/// Where a record's rank stands.
pub const RANK_AT: u32 = GROUP_AT + GROUP_BITS;
/// What is no rank: that of what is found while nothing is. With questions, ranks have one bit less: a match that asks is kept in
/// 32 bits with its group.
const NO_RANK: u32 = (1 << (64 - RANK_AT)) - 1;

/// The tables of one stratum.
#[derive(Clone, Debug)]
pub struct StratumTables {
    /// How a walk begins; a tree's word is in `start`.
    pub root: Root,
    /// The child that a walk through a tree begins with.
    pub start: u32,
    /// The children of all nodes; those that a hash finds first, unless these are buckets.
    pub children: Vec<u8>,
    /// The buckets that a hash finds.
    pub buckets: Option<Buckets>,
    /// The records of all lists, and as many after them as a list may have.
    pub records: Vec<u8>,
    /// How many records begin a list or stand in one.
    pub record_count: u32,
    /// The maximum number of nodes on a way, the hash not counted.
    pub depth: u32,
    /// The maximum number of records of a list.
    pub longest: usize,
    /// The words that nodes look at, by increasing number.
    pub words: Vec<u32>,
    /// The smallest rank in it.
    pub first_rank: u32,
    /// Whether records hold the bounds of their ports.
    pub holds_ports: bool,
}

impl StratumTables {
    /// Each of its tables.
    pub fn tables(&self) -> impl Iterator<Item = &[u8]> {
        let buckets = self.buckets.iter().map(|buckets| &*buckets.bytes);
        [&*self.children, &*self.records].into_iter().chain(buckets)
    }
}

/// The tables of one family.
#[derive(Clone, Debug)]
pub struct FamilyTables {
    /// The masks of pairs of prefix lengths, a power of two of entries.
    pub masks: Vec<u8>,
    /// The strata.
    pub strata: Vec<StratumTables>,
}

/// Everything that code needs.
#[derive(Clone, Debug)]
pub struct Tables {
    /// What tells the class of a packet.
    pub classes: ClassOf,
    /// The services.
    pub services: Vec<u8>,
    /// The ranks in records, and which counter each counts at.
    pub ranks: Ranks,
    /// For IPv4.
    pub v4: FamilyTables,
    /// For IPv6.
    pub v6: FamilyTables,
    /// The diagram of each question, by its number less one.
    pub questions: Vec<Flat>,
    /// Bits of a record's group that are the group. Those above are the number of its question, or of its rate's level.
    pub group_bits: u32,
    /// The rates of the members, whose levels have the numbers after those of questions.
    pub rated: Rated,
}

impl Tables {
    /// The tables of what was built of these members.
    pub fn new(
        members: &[Member<'_>],
        services: &Services,
        sides: &[FamilyRules; 2],
    ) -> Result<Self, Unfit> {
        let ranks = Ranks::new(members.iter().map(|one| one.slot));
        if ranks.last() >= Some(NO_RANK) {
            return Err(Unfit::Size);
        }
        let questions = Questions::of(members)?;
        let group_bits = GROUP_BITS - questions.bits();
        if questions.bits() > 0 && ranks.last() >= Some(NO_RANK >> 1) {
            return Err(Unfit::Size);
        }
        if members.iter().any(|one| one.group >= 1 << group_bits) {
            return Err(Unfit::Groups);
        }
        let [v4, v6] = sides;
        let mut named = ServiceTable::new(services, sides)?;
        let v4 = family((members, &ranks, group_bits), &mut named, v4, Family::V4)?;
        let v6 = family((members, &ranks, group_bits), &mut named, v6, Family::V6)?;
        Ok(Self {
            classes: services.told_by(),
            services: named.bytes(),
            v4,
            v6,
            questions: questions.diagrams()?,
            group_bits,
            rated: Rated::new(members, &ranks)?,
            ranks,
        })
    }

    /// Why maps of so many bytes do not hold them, if they do not.
    #[must_use]
    pub fn beyond(&self, limit: usize) -> Option<Unfit> {
        let strata = self.v4.strata.iter().chain(&self.v6.strata);
        let largest = strata
            .map(|stratum| stratum.tables().map(<[u8]>::len).max().unwrap_or(0))
            .fold(self.rated.largest(), usize::max);
        [
            (self.services.len(), Unfit::Services),
            (self.v4.masks.len(), Unfit::Lengths),
            (self.v6.masks.len(), Unfit::Lengths),
            (largest, Unfit::Size),
        ]
        .into_iter()
        .find_map(|(size, why)| (size > limit).then_some(why))
    }
}

/// The words of an address pair in a record.
#[must_use]
pub(crate) fn address_words(family: Family) -> usize {
    match family {
        Family::V4 => 1,
        Family::V6 => 4,
    }
}

/// Bytes of the bounds of ports that a record may hold.
pub(crate) const PORTS_SIZE: usize = 16;

/// Bytes of a record, which may hold its ports.
#[must_use]
pub(crate) fn record_size(family: Family, holds_ports: bool) -> usize {
    8 * address_words(family) + if holds_ports { PORTS_SIZE } else { 0 } + 8
}

/// The members, their ranks, and how many bits are a group.
pub(super) type Ranked<'a> = (&'a [Member<'a>], &'a Ranks, u32);

/// What records name by number.
pub(super) type Named<'n, 's> = (&'n mut Masks, &'n mut ServiceTable<'s>);

fn family(
    members: Ranked<'_>,
    services: &mut ServiceTable<'_>,
    side: &FamilyRules,
    family: Family,
) -> Result<FamilyTables, Unfit> {
    let mut masks = Masks::new(family);
    let strata = side
        .strata
        .iter()
        .map(|stratum| one_stratum(members, &side.items, stratum, (&mut masks, services)))
        .collect::<Result<_, _>>()?;
    Ok(FamilyTables {
        masks: masks.bytes(),
        strata,
    })
}

fn one_stratum(
    members: Ranked<'_>,
    items: &[Item],
    stratum: &Stratum,
    (masks, services): Named<'_, '_>,
) -> Result<StratumTables, Unfit> {
    let grown = &stratum.grown;
    let mut records = Records::new(masks.family, stratum.holds_ports);
    let slots = bucket_table::count(stratum);
    let within = in_buckets(grown, slots);
    for (list, &within) in grown.lists.iter().zip(&within) {
        records.list(members, items, &list[within..], (masks, services))?;
    }
    let family = masks.family;
    let lists = (&*records.starts, &*within);
    let of = (members, items);
    let buckets = bucket_table::buckets(stratum, of, family, lists, (masks, services))?;
    let encoded = |word: Word| encoded(word, &records.starts, family, slots);
    let start = match stratum.root {
        Root::Tree(word) => encoded(word),
        Root::Hash { .. } => LIST,
    };
    let children = grown.children.iter().skip(slots as usize);
    let children = children.map(|&word| encoded(word));
    let words = used_words(stratum, family);
    let listed = grown.lists.iter().flatten();
    Ok(StratumTables {
        root: stratum.root,
        start,
        children: children.flat_map(u32::to_le_bytes).collect(),
        record_count: records.count,
        // A node all of whose children became the same is none: where no node is left, no step is made.
        depth: if words.is_empty() { 0 } else { grown.depth },
        longest: longest(grown, &within),
        buckets,
        words,
        first_rank: listed
            .map(|&item| items[item as usize].rank)
            .min()
            .map_or(0, |first| members.1.of(first)),
        holds_ports: stratum.holds_ports,
        records: records.finish(),
    })
}

/// The longest of what is left of lists.
fn longest(grown: &Grown, within: &[usize]) -> usize {
    let lists = grown.lists.iter().zip(within);
    let left = lists.map(|(list, within)| list.len() - within);
    left.max().unwrap_or(0)
}

fn used_words(stratum: &Stratum, family: Family) -> Vec<u32> {
    let root = match stratum.root {
        Root::Tree(word) => Some(word),
        Root::Hash { .. } => None,
    };
    let nodes = stratum.grown.children.iter().copied().chain(root);
    let mut used: Vec<u32> = nodes
        .filter_map(|word| match word {
            Word::Node(cut, _) => Some(place(cut, family).0),
            Word::List(_) => None,
        })
        .collect();
    used.sort_unstable();
    used.dedup();
    used
}

/// The first so many children are no children but buckets.
pub(super) fn encoded(word: Word, starts: &[u32], family: Family, slots: u32) -> u32 {
    match word {
        Word::List(list) => LIST | starts[list as usize],
        Word::Node(cut, base) => {
            let base = base - slots;
            let (word, shift) = place(cut, family);
            let size = u32::from(cut.bits).trailing_zeros();
            base | size << SIZE_AT | shift << SHIFT_AT | word << WORD_AT
        }
    }
}

/// The word that a cut looks at, and its shift there.
fn place(cut: Cut, family: Family) -> (u32, u32) {
    let shift = u32::from(cut.shift);
    let last = address_words(family) as u32;
    match (cut.dimension, family) {
        (Dimension::ToPort, _) => (last, shift),
        (Dimension::FromPort, _) => (last, shift + 16),
        (Dimension::Class, _) => (last, shift + 32),
        (Dimension::From, Family::V4) => (0, shift + 32),
        (Dimension::To, Family::V4) => (0, shift),
        (Dimension::From, Family::V6) => (u32::from(shift < 64), shift % 64),
        (Dimension::To, Family::V6) => (2 + u32::from(shift < 64), shift % 64),
    }
}

/// The masks of pairs of prefix lengths.
pub(super) struct Masks {
    family: Family,
    known: HashMap<(u8, u8), u16, BuildHasherDefault<Quick>>,
    words: Vec<u64>,
}

impl Masks {
    fn new(family: Family) -> Self {
        Self {
            family,
            known: HashMap::default(),
            words: Vec::new(),
        }
    }

    fn number(&mut self, item: &Item) -> Result<u16, Unfit> {
        let pair = (item.from.length, item.to.length);
        if let Some(&number) = self.known.get(&pair) {
            return Ok(number);
        }
        let number = u16::try_from(self.known.len()).map_err(|_| Unfit::Lengths)?;
        if number >= 1 << MASK_BITS {
            return Err(Unfit::Lengths);
        }
        let shape = super::stratum::Tuple {
            family: self.family,
            from: pair.0,
            to: pair.1,
        };
        self.words.extend(shape.masks());
        self.known.insert(pair, number);
        Ok(number)
    }

    fn bytes(self) -> Vec<u8> {
        let entries = self.known.len().max(1).next_power_of_two();
        let mut words = self.words;
        words.resize(entries * address_words(self.family), 0);
        words.into_iter().flat_map(u64::to_le_bytes).collect()
    }
}

/// The records of a stratum.
pub(super) struct Records {
    family: Family,
    holds_ports: bool,
    pub(super) bytes: Vec<u8>,
    /// Where each list begins.
    starts: Vec<u32>,
    count: u32,
}

impl Records {
    fn new(family: Family, holds_ports: bool) -> Self {
        let mut records = Self {
            holds_ports,
            ..Self::none(family)
        };
        records.nothing();
        records
    }

    /// None yet, of those without ports.
    pub(super) fn none(family: Family) -> Self {
        Self {
            family,
            holds_ports: false,
            bytes: Vec::new(),
            starts: Vec::new(),
            count: 0,
        }
    }

    /// A record that ends every list: no rank is smaller than the best by then.
    pub(super) fn nothing(&mut self) {
        self.bytes.resize(self.bytes.len() + self.size() - 8, 0);
        self.bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        self.count += 1;
    }

    /// Where a walk goes on, in the place of a record.
    pub(super) fn child(&mut self, child: u32) {
        self.bytes.extend_from_slice(&child.to_le_bytes());
        self.fill(self.bytes.len() + self.size() - 4);
    }

    /// Zeros up to this number of bytes.
    pub(super) fn fill(&mut self, bytes: usize) {
        self.bytes.resize(bytes, 0);
    }

    fn size(&self) -> usize {
        record_size(self.family, self.holds_ports)
    }

    fn list(
        &mut self,
        (members, ranks, group_bits): Ranked<'_>,
        items: &[Item],
        list: &[u32],
        (masks, services): Named<'_, '_>,
    ) -> Result<(), Unfit> {
        if list.is_empty() {
            self.starts.push(0);
            return Ok(());
        }
        if self.count as usize + list.len() >= 1 << INDEX_BITS {
            return Err(Unfit::Size);
        }
        self.starts.push(self.count);
        for (place, &index) in list.iter().enumerate() {
            let item = &items[index as usize];
            let last = place + 1 == list.len();
            self.record((members, ranks, group_bits), item, last, (masks, services))?;
        }
        Ok(())
    }

    pub(super) fn record(
        &mut self,
        (members, ranks, group_bits): Ranked<'_>,
        item: &Item,
        last: bool,
        (masks, services): Named<'_, '_>,
    ) -> Result<(), Unfit> {
        for word in words(item.from.address, item.to.address, self.family) {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        if self.holds_ports {
            for word in services.bounds(item) {
                self.bytes.extend_from_slice(&word.to_le_bytes());
            }
        }
        let service = services.number(item, self.holds_ports)?;
        let group = members[item.rank as usize].group;
        let word = u64::from(ranks.of(item.rank)) << RANK_AT
            | (u64::from(item.question) << group_bits | u64::from(group)) << GROUP_AT
            | u64::from(last) << LAST_AT
            | u64::from(service) << SERVICE_AT
            | u64::from(masks.number(item)?);
        self.bytes.extend_from_slice(&word.to_le_bytes());
        self.count += 1;
        Ok(())
    }

    /// After the last list stand records that end every list, as [`Self::nothing`] does: a lost end of a list could
    /// not become a wrong answer there.
    fn finish(mut self) -> Vec<u8> {
        let after = MAX_LIST * self.size();
        self.bytes.resize(self.bytes.len() + after, 0xff);
        self.bytes
    }
}
