//! The table of a live set in the kernel's memory: the elements that programs find without the trie.
//!
//! Takes elements and their times; writes them so that whoever searches meanwhile, and whoever comes after a kill, finds each as it
//! was or as it is. A node keeps its key for as long as its side lasts; an element that goes leaves a node without a time, which it gets
//! back when it comes again. So no program that follows a chain is led to another one. What has no room, or would be
//! too far down its chain, is refused here and is for the trie. Not here: which side holds, and when a side may be emptied.

use std::collections::BTreeMap;
use std::io;

use sockc_compiler::artifact::{MapKind, SetPlan, SetTablePlan};
use sockc_compiler::entry_table::{HEAD, Key, Kind, NODE, side_nodes};
use sockc_compiler::member_table::{
    ALONE_AT, BASE_AT, DEPTH, ELEMENTS_AT, KINDS, NODES_AT, PLAN, SEED_AT, TIME_AT, head_bits, key,
    kind, place, room,
};

use super::members::foreign;
use super::nodes::{self, Chain, node_at};
use crate::error::{Error, at};
use crate::prefix::Prefix;
use crate::sys::shared::{Shared, Words};

/// How often another seed is tried where chains get too long.
const SEEDS: u64 = 8;
/// A side is written anew when it is full and one in so many of its nodes is no element.
const WORN: u32 = 4;

/// An element and until when it is there.
pub(crate) type Timed = (Prefix, u64);

/// The arrays of a table.
#[derive(Debug)]
pub(crate) struct MemberTable {
    /// The maximum number of elements of the set.
    max: u32,
    plans: Shared,
    heads: Shared,
    nodes: Shared,
}

impl MemberTable {
    /// Opens the arrays; `open` finds them by name.
    pub(crate) fn open(
        plan: &SetPlan,
        table: &SetTablePlan,
        writable: bool,
        open: impl Fn(&str, MapKind) -> Result<std::os::fd::OwnedFd, Error>,
    ) -> Result<Self, Error> {
        let shared = |name: &str, value: u32| {
            let array = Shared::new(open(name, MapKind::Array)?, value, writable);
            array.map_err(at(format!("open {name}")))
        };
        Ok(Self {
            max: plan.max,
            plans: shared(&table.plans, PLAN)?,
            heads: shared(&table.heads, HEAD)?,
            nodes: shared(&table.nodes, NODE)?,
        })
    }

    fn word(&self, side: u8, at: usize) -> io::Result<u32> {
        self.plans.word(PLAN as usize * usize::from(side) + at)
    }

    fn set_word(&self, side: u8, at: usize, value: u32) -> io::Result<()> {
        let at = PLAN as usize * usize::from(side) + at;
        self.plans.set_word(at, value)
    }

    fn seed(&self, side: u8) -> io::Result<u64> {
        self.plans.wide(PLAN as usize * usize::from(side) + SEED_AT)
    }

    /// Whether the trie has nothing of a side.
    pub(crate) fn is_alone(&self, side: u8) -> io::Result<bool> {
        Ok(self.word(side, ALONE_AT)? != 0)
    }

    /// Says so, or has programs ask the trie from now on.
    pub(crate) fn set_alone(&self, side: u8, alone: bool) -> io::Result<()> {
        self.set_word(side, ALONE_AT, alone.into())
    }

    /// The kinds of a family that a side has.
    fn kinds(&self, side: u8, v6: bool) -> io::Result<Vec<Kind>> {
        let mut found = Vec::new();
        for number in 0..KINDS {
            let (at, bytes) = place(v6, number);
            match self.word(side, at + bytes)? {
                0 => break,
                meta => found.push(Kind::of_meta(meta)),
            }
        }
        Ok(found)
    }

    /// Has programs look for a kind of keys too; `false` if they look for as many as they can.
    fn take_kind(&self, side: u8, of: Kind) -> io::Result<bool> {
        let kinds = self.kinds(side, of.v6)?;
        if kinds.contains(&of) {
            return Ok(true);
        }
        if kinds.len() == KINDS {
            return Ok(false);
        }
        let (at, bytes) = place(of.v6, kinds.len());
        for (word, mask) in of.mask().iter().enumerate().take(bytes / 4) {
            self.set_word(side, at + 4 * word, *mask)?;
        }
        // A program that sees this sees the mask, or finds nothing by half of it.
        self.set_word(side, at + bytes, of.meta())?;
        Ok(true)
    }

    /// The place of the head of a key's chain.
    fn head_at(&self, side: u8, key: &Key) -> io::Result<usize> {
        let hash = key.hash(self.seed(side)?, head_bits(self.max));
        Ok((self.word(side, BASE_AT)? | hash) as usize * HEAD as usize)
    }

    /// The chain of a key; what is beyond what programs look at is none of it.
    fn chain(&self, side: u8, key: &Key) -> io::Result<Chain> {
        let first = self.heads.word(self.head_at(side, key)?)?;
        nodes::find(&self.nodes, first, key, DEPTH)?.ok_or_else(foreign)
    }

    /// The node of a prefix, whether it is an element or was one.
    pub(crate) fn find(&self, side: u8, element: Prefix) -> io::Result<Option<u32>> {
        let key = key_of(element);
        match self.kinds(side, key.kind().v6)?.contains(&key.kind()) {
            true => Ok(self.chain(side, &key)?.node),
            false => Ok(None),
        }
    }

    /// Until when the prefix of a node is an element; 0 if it is none.
    pub(crate) fn time(&self, id: u32) -> io::Result<u64> {
        self.nodes.wide(node_at(id) + TIME_AT)
    }

    /// Gives a node another time, or 0.
    pub(crate) fn set_time(&self, side: u8, id: u32, until: u64) -> io::Result<()> {
        let before = self.time(id)?;
        self.nodes.set_wide(node_at(id) + TIME_AT, until)?;
        let by = i32::from(until != 0) - i32::from(before != 0);
        let elements = self.word(side, ELEMENTS_AT)?;
        self.set_word(side, ELEMENTS_AT, elements.saturating_add_signed(by))
    }

    /// Puts a prefix in that has no node; `false` if that is for the trie.
    pub(crate) fn put(&self, side: u8, (element, until): Timed) -> io::Result<bool> {
        let key = key_of(element);
        let count = self.word(side, NODES_AT)?;
        if count >= side_nodes(room(self.max)) || !self.take_kind(side, key.kind())? {
            return Ok(false);
        }
        let chain = self.chain(side, &key)?;
        if chain.length >= DEPTH {
            return Ok(false);
        }
        let (id, head) = (self.first(side) + count, self.head_at(side, &key)?);
        self.write(id, &key, self.heads.word(head)?)?;
        // What is in a chain is counted: its number is not given out again. It is an element from its time on.
        self.set_word(side, NODES_AT, count + 1)?;
        self.heads.set_word(head, id)?;
        self.set_time(side, id, until)?;
        Ok(true)
    }

    /// Writes a node without a time.
    fn write(&self, id: u32, key: &Key, next: u32) -> io::Result<()> {
        let bytes = key.node(next, [0; 2]);
        for (place, word) in (node_at(id)..).step_by(4).zip(bytes.chunks_exact(4)) {
            let word = word.first_chunk().copied().unwrap_or_default();
            self.nodes.set_word(place, u32::from_ne_bytes(word))?;
        }
        Ok(())
    }

    /// The number of the first node of a side; the very first node is none.
    fn first(&self, side: u8) -> u32 {
        1 + u32::from(side) * side_nodes(room(self.max))
    }

    /// Whether a side has no room for so many more because of what is no element any more.
    pub(crate) fn is_worn(&self, side: u8, coming: usize) -> io::Result<bool> {
        let (count, elements) = (self.word(side, NODES_AT)?, self.word(side, ELEMENTS_AT)?);
        let full = count as usize + coming > side_nodes(room(self.max)) as usize;
        Ok(full && count.saturating_sub(elements) > count / WORN)
    }

    /// The elements of a side.
    pub(crate) fn elements(&self, side: u8) -> io::Result<Vec<Timed>> {
        let count = self.word(side, NODES_AT)?;
        if count > side_nodes(room(self.max)) {
            return Err(foreign());
        }
        let mut found = Vec::with_capacity(self.word(side, ELEMENTS_AT)?.min(count) as usize);
        for id in self.first(side)..self.first(side) + count {
            match self.time(id)? {
                0 => {}
                until => found.push((
                    prefix_of(&nodes::key(&self.nodes, id)?).ok_or_else(foreign)?,
                    until,
                )),
            }
        }
        Ok(found)
    }

    /// Counts the elements of a side again.
    pub(crate) fn recount(&self, side: u8) -> io::Result<()> {
        let elements = u32::try_from(self.elements(side)?.len()).map_err(io::Error::other)?;
        self.set_word(side, ELEMENTS_AT, elements)
    }

    /// The prefixes by which programs find an address in the table, and their times.
    pub(crate) fn covering(&self, side: u8, host: Prefix) -> io::Result<Vec<Timed>> {
        let mut found = Vec::new();
        for kind in self.kinds(side, host.address().is_ipv6())? {
            let cut = Prefix::truncate(host.address(), kind.length).ok_or_else(foreign)?;
            if let Some(id) = self.find(side, cut)? {
                found.push((cut, self.time(id)?));
            }
        }
        Ok(found)
    }

    /// Fills a side that no program asks with elements, each of which comes once. Gives those that are for the trie.
    pub(crate) fn fill(&self, side: u8, elements: &[Timed]) -> io::Result<Vec<Timed>> {
        self.clear(side)?;
        let base = u32::from(side) << head_bits(self.max);
        self.set_word(side, BASE_AT, base)?;
        for kind in most_used(elements) {
            self.take_kind(side, kind)?;
        }
        let seed = self.best_seed(elements);
        self.plans
            .set_wide(PLAN as usize * usize::from(side) + SEED_AT, seed)?;
        let mut rest = Vec::new();
        for element in elements {
            if !self.put(side, *element)? {
                rest.push(*element);
            }
        }
        self.set_alone(side, rest.is_empty())?;
        Ok(rest)
    }

    /// The first seed by which every chain is short enough, or any.
    fn best_seed(&self, elements: &[Timed]) -> u64 {
        let bits = head_bits(self.max);
        let is_short = |seed: &u64| {
            let mut lengths = vec![0_u8; 1 << bits];
            elements.iter().all(|(element, _)| {
                let length = &mut lengths[key_of(*element).hash(*seed, bits) as usize];
                *length = length.saturating_add(1);
                usize::from(*length) <= DEPTH
            })
        };
        (1..=SEEDS).find(is_short).unwrap_or(1)
    }

    /// Empties a side that no program asks.
    fn clear(&self, side: u8) -> io::Result<()> {
        if self.word(side, NODES_AT)? != 0 {
            let first = usize::from(side) << head_bits(self.max);
            for head in first..first + (1 << head_bits(self.max)) {
                let at = head * HEAD as usize;
                if self.heads.word(at)? != 0 {
                    self.heads.set_word(at, 0)?;
                }
            }
        }
        for at in (0..PLAN as usize).step_by(4) {
            self.set_word(side, at, 0)?;
        }
        Ok(())
    }
}

/// The kinds that most elements are of, as many of each family as programs look for.
fn most_used(elements: &[Timed]) -> Vec<Kind> {
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    for (element, _) in elements {
        let kind = kind(element.address().is_ipv6(), element.length());
        *counts.entry(kind).or_default() += 1;
    }
    let mut kinds: Vec<(Kind, usize)> = counts.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let of = |v6: bool| kinds.iter().filter(move |(kind, _)| kind.v6 == v6);
    let both = of(false).take(KINDS).chain(of(true).take(KINDS));
    both.map(|(kind, _)| *kind).collect()
}

fn key_of(element: Prefix) -> Key {
    key(element.address(), element.length())
}

fn prefix_of(key: &Key) -> Option<Prefix> {
    let kind = key.kind();
    let mut bytes = [0; 16];
    let words = if kind.v6 { 4 } else { 1 };
    let places = bytes.chunks_exact_mut(4).zip(key.words).take(words);
    for (place, word) in places {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    let family = if kind.v6 { 6 } else { 4 };
    Prefix::from_bytes(family, bytes, kind.length.into())
}

#[cfg(test)]
pub(crate) mod tests;
