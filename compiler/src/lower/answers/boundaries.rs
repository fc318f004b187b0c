//! A constant set of addresses as tables of boundaries, ready to be searched by code.
//!
//! Cut the addresses of a family into runs that are wholly in the set or wholly outside; the boundaries are the last
//! addresses of all runs but the very last one. An address is as many runs from the start as boundaries are smaller than
//! it, and runs take turns, so the parity of that number is the answer. Comparing with "smaller" makes the largest
//! address a padding that never counts: a table has 2^k - 1 places, so that a search of k steps never leaves it.
//!
//! Trailing words that are all ones in every boundary cannot change a comparison and are left out: prefixes of IPv6 up
//! to /64 compare two words of four. A set larger than a table has several, with a boundary between each two.
//!
//! A large table of one word has an index: for each value of an address' first bits, how many boundaries come before all
//! such addresses. The search begins there, and needs only as many steps as the fullest of these pieces does. What stands
//! after the piece is larger than the address and never counts, so nothing has to say where the piece ends.

use crate::artifact::MapId;
use crate::bpf::limits::ARRAY_VALUE;
use crate::policy::AddressSet;
use crate::ranges::{Bound, RangeSet};
use crate::tables::{LINE, TableRef, Tables};

/// An address as words in host order, the first word first; IPv4 has one, and ones after it.
pub(super) type Words = [u32; 4];

/// A constant set, as code searches it.
#[derive(Clone, Debug)]
pub(crate) struct SetTables {
    /// For IPv4.
    pub v4: Search,
    /// For IPv6.
    pub v6: Search,
}

/// The addresses of one family.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// How many words of an address are compared: 1, 2 or 4, so that places have sizes that shifts can multiply by.
    pub words: usize,
    /// Whether the smallest address is in the set.
    pub starts_inside: bool,
    /// The tables, by increasing addresses; none if no boundary is there.
    pub parts: Vec<Part>,
}

/// One table.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Where it begins.
    pub place: TableRef,
    /// Where the search begins for each value of the first bits; without it, at the table's first place.
    pub index: Option<Index>,
    /// Steps of a search: wherever it begins, there are 2^steps - 1 places of as many words as are compared.
    pub steps: u32,
    /// Larger addresses are looked for in the next table; `None` in the last one.
    pub last: Option<Words>,
}

/// Where the searches of a table begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Index {
    /// Where it begins itself: for each value of the first bits, a `u32` with the bytes before the place.
    pub place: TableRef,
    /// How many bits of an address are after those that it is asked by.
    pub shift: u32,
    /// The largest number that stands in it.
    pub most: u32,
}

/// One table that has no map yet.
struct Table {
    data: Vec<u8>,
    index: Option<Beginnings>,
    steps: u32,
    last: Option<Words>,
}

/// An index that has no map yet.
struct Beginnings {
    /// For each value of the first bits, how many boundaries come before; increasing.
    before: Vec<u32>,
    /// The maximum number of boundaries between two of these, or after the last.
    fullest: usize,
    shift: u32,
}

/// Places of one word in a table as large as a map's value can be before Linux 6.0.
const LARGE: usize = ARRAY_VALUE / 4;

/// Places that a search from the last boundary may look at after it: no piece of a large table is fuller.
const AFTER_LAST: usize = 1 << 16;

/// An index is worth its memory and the two loads more if it saves so many steps.
const WORTH: u32 = 4;

impl SetTables {
    /// The maps that hold the tables.
    #[must_use]
    pub(crate) fn maps(&self) -> Vec<MapId> {
        let parts = self.v4.parts.iter().chain(&self.v6.parts);
        let places = parts.flat_map(|part| {
            let index = part.index.map(|index| index.place);
            index.into_iter().chain([part.place])
        });
        let mut maps: Vec<MapId> = places.map(|place| place.map).collect();
        maps.sort_unstable();
        maps.dedup();
        maps
    }

    /// The tables of a set, whose names begin with `name`.
    pub(crate) fn new(set: &AddressSet, name: &str, packed: &mut Tables<'_>) -> Self {
        let mut search = |family: &str, starts_inside: bool, boundaries: &[Words]| {
            let words = compared(boundaries);
            let mut parts = Vec::new();
            for (number, table) in tables(boundaries, words, packed.limit())
                .into_iter()
                .enumerate()
            {
                let name = format!("{name}_{family}_{number}");
                let index = table.index.map(|index| index.placed(&name, packed));
                parts.push(Part {
                    place: packed.push(name, &table.data, LINE),
                    index,
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
    let most = if words == 1 && limit == 4 * LARGE {
        LARGE - AFTER_LAST
    } else {
        1 << (limit / (4 * words)).max(2).ilog2()
    };
    let mut tables = Vec::new();
    let mut rest = boundaries;
    while let Some((table, after)) = rest.split_at_checked(most - 1)
        && let Some((&last, after)) = after.split_first()
    {
        tables.push(table_of(table, words, Some(last)));
        rest = after;
    }
    tables.push(table_of(rest, words, None));
    tables
}

/// A table of at least one place, padded.
fn table_of(boundaries: &[Words], words: usize, last: Option<Words>) -> Table {
    let whole = (boundaries.len() + 1).next_power_of_two().max(2).ilog2();
    let index =
        Beginnings::of(boundaries).filter(|index| words == 1 && index.steps() + WORTH <= whole);
    let steps = index.as_ref().map_or(whole, Beginnings::steps);
    let places = match index {
        Some(_) => boundaries.len() + (1 << steps) - 1,
        None => (1 << steps) - 1,
    };
    let mut data = Vec::with_capacity(places * words * 4);
    for boundary in boundaries {
        for word in &boundary[..words] {
            data.extend(word.to_le_bytes());
        }
    }
    data.resize(places * words * 4, u8::MAX);
    Table {
        data,
        index,
        steps,
        last,
    }
}

impl Beginnings {
    /// The index by an eighth as many pieces as there are boundaries, so that it is small next to the table.
    fn of(boundaries: &[Words]) -> Option<Self> {
        let bits = boundaries.len().checked_ilog2()?.saturating_sub(3).min(16);
        let shift = 32u32.checked_sub(bits).filter(|_| bits > 0)?;
        let pieces = boundaries.chunk_by(|left, right| left[0] >> shift == right[0] >> shift);
        let fullest = pieces.map(<[Words]>::len).max()?;
        let mut before = Vec::with_capacity(1 << bits);
        let mut passed = 0;
        for piece in 0..1u32 << bits {
            let rest = boundaries[passed..].iter();
            passed += rest.take_while(|words| words[0] >> shift < piece).count();
            before.push(u32::try_from(passed).ok()?);
        }
        Some(Self {
            before,
            fullest,
            shift,
        })
    }

    /// Steps of a search in the fullest piece.
    fn steps(&self) -> u32 {
        (self.fullest + 1).next_power_of_two().ilog2().max(1)
    }

    fn placed(self, name: &str, packed: &mut Tables<'_>) -> Index {
        let bytes = |before: &u32| (before * 4).to_le_bytes();
        let data: Vec<u8> = self.before.iter().flat_map(bytes).collect();
        Index {
            place: packed.push(format!("{name}_index"), &data, LINE),
            shift: self.shift,
            most: self.before.last().map_or(0, |before| before * 4),
        }
    }
}
