//! A constant set of addresses as tables of boundaries, ready to be searched by code.
//!
//! Cut the addresses of a family into runs that are wholly in the set or wholly outside; the boundaries are the last
//! addresses of all runs but the very last one. An address is as many runs from the start as boundaries are smaller than
//! it, and runs take turns, so the parity of that number is the answer. Comparing with "smaller" makes the largest
//! address a padding that never counts: a table has 2^k - 1 places, so that a search of k steps never leaves it.
//!
//! Trailing words that are all ones in every boundary cannot change a comparison and are left out: prefixes of IPv6 up
//! to /64 compare two words of four. A set larger than a table has several, with a boundary between each two.

use crate::artifact::{MapId, TABLE_LIMIT};
use crate::policy::AddressSet;
use crate::ranges::{Bound, RangeSet};

/// An address as words in host order, the first word first; IPv4 has one, and ones behind it.
pub(super) type Words = [u32; 4];

/// A constant set, as code searches it.
#[derive(Clone, Debug)]
pub struct SetTables {
    /// For IPv4.
    pub v4: Search,
    /// For IPv6.
    pub v6: Search,
}

/// The addresses of one family.
#[derive(Clone, Debug)]
pub struct Search {
    /// How many words of an address are compared: 1, 2 or 4, so that places have sizes that shifts can multiply by.
    pub words: usize,
    /// Whether the smallest address is in the set.
    pub starts_inside: bool,
    /// The tables, by increasing addresses; none if no boundary is there.
    pub parts: Vec<Part>,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Part {
    /// The map that holds it.
    pub map: MapId,
    /// Steps of a search: it has 2^steps - 1 places of as many words as are compared.
    pub steps: u32,
    /// Larger addresses are looked for in the next table; `None` in the last one.
    pub last: Option<Words>,
}

/// One table that has no map yet.
struct Table {
    data: Vec<u8>,
    steps: u32,
    last: Option<Words>,
}

impl SetTables {
    /// The tables of a set; `add` makes a map with such contents, for `v4` or `v6` and the number of the table.
    pub fn new(set: &AddressSet, mut add: impl FnMut(&str, usize, Vec<u8>) -> MapId) -> Self {
        let mut search = |name: &str, starts_inside: bool, boundaries: &[Words]| {
            let words = compared(boundaries);
            let mut parts = Vec::new();
            for (number, table) in tables(boundaries, words, TABLE_LIMIT)
                .into_iter()
                .enumerate()
            {
                parts.push(Part {
                    map: add(name, number, table.data),
                    steps: table.steps,
                    last: table.last,
                });
            }
            Search {
                words,
                starts_inside,
                parts,
            }
        };
        let v4: Vec<Words> = run_ends(&set.v4).map(words_v4).collect();
        let v6: Vec<Words> = run_ends(&set.v6).map(words_v6).collect();
        Self {
            v4: search("v4", set.v4.contains(0), &v4),
            v6: search("v6", set.v6.contains(0), &v6),
        }
    }
}

/// The last addresses of all runs but the very last one, increasing.
fn run_ends<T: Bound>(set: &RangeSet<T>) -> impl Iterator<Item = T> {
    set.ranges().iter().flat_map(|&(low, high)| {
        let inside = high.next().map(|_| high);
        low.previous().into_iter().chain(inside)
    })
}

fn words_v4(address: u32) -> Words {
    [address, u32::MAX, u32::MAX, u32::MAX]
}

fn words_v6(address: u128) -> Words {
    let bytes = address.to_be_bytes();
    let (words, _) = bytes.as_chunks::<4>();
    let mut all = [0; 4];
    for (place, word) in all.iter_mut().zip(words) {
        *place = u32::from_be_bytes(*word);
    }
    all
}

/// How many words tell the boundaries from every address.
fn compared(boundaries: &[Words]) -> usize {
    let needed = |words: &Words| words.iter().rposition(|&word| word != u32::MAX);
    let last = boundaries.iter().filter_map(needed).max();
    (last.unwrap_or(0) + 1).next_power_of_two()
}

/// Cuts boundaries into tables of at most `limit` bytes. Between two tables stands one boundary that is in neither, so
/// that an even number of boundaries lies before each table.
fn tables(boundaries: &[Words], words: usize, limit: usize) -> Vec<Table> {
    if boundaries.is_empty() {
        return Vec::new();
    }
    let most = 1 << (limit / (4 * words)).max(2).ilog2();
    let mut tables = Vec::new();
    let mut rest = boundaries;
    while let Some((table, behind)) = rest.split_at_checked(most - 1)
        && let Some((&last, behind)) = behind.split_first()
    {
        tables.push(table_of(table, words, Some(last)));
        rest = behind;
    }
    tables.push(table_of(rest, words, None));
    tables
}

/// A table of at least one place, padded.
fn table_of(boundaries: &[Words], words: usize, last: Option<Words>) -> Table {
    let places = (boundaries.len() + 1).next_power_of_two().max(2) - 1;
    let mut data = Vec::with_capacity(places * words * 4);
    for boundary in boundaries {
        for word in &boundary[..words] {
            data.extend(word.to_le_bytes());
        }
    }
    data.resize(places * words * 4, u8::MAX);
    Table {
        data,
        steps: (places + 1).ilog2(),
        last,
    }
}
