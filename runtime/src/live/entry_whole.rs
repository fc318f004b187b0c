//! A whole live map: what its entries make of the table, or of the trie where the table cannot hold them, and how that is put in
//! force by one write.
//!
//! Takes entries that were checked; writes them into the side that does not hold, and then the word that says which side
//! holds. A side is emptied only when no program can be asking it. Not here: changes in place.

use std::io;

use sockc_compiler::entry_table::{DEPTH, Key, PLANS, Plan, head_bits, side_nodes, value};

use super::entries::{Entry, winners};
use super::entry_trie::Sides;
use super::image::{EntryRecord, Image, Node, Now, foreign};
use super::trie_contents::Contents;

/// What entries make.
pub(crate) enum Made {
    /// Keys of the table and where they lead, and the plan's seed and kinds.
    Table(Vec<(Key, u32)>, Plan),
    /// Too much for a table.
    Trie(Contents),
}

/// How often another seed is tried where chains get too long.
const SEEDS: u64 = 16;

impl Made {
    /// What entries make in a map of at most so many.
    pub(crate) fn new(max: u32, entries: &[Entry]) -> Self {
        let keys = keys(entries);
        let mut plan = Plan {
            seed: 0,
            side: 0,
            kinds: keys.iter().map(|(key, _)| key.kind()).collect(),
        };
        plan.kinds.sort_unstable();
        plan.kinds.dedup();
        let fits = keys.len() <= side_nodes(max) as usize && plan.bytes(max).is_some();
        let seed = (1..=SEEDS).find(|seed| fits && are_short(max, *seed, &keys));
        match seed {
            Some(seed) => Self::Table(keys, Plan { seed, ..plan }),
            None => Self::Trie(Contents::new(entries)),
        }
    }
}

/// The keys of entries.
fn keys(entries: &[Entry]) -> Vec<(Key, u32)> {
    let mut sorted = entries.to_vec();
    sorted.sort_unstable_by_key(|entry| entry.prefix);
    let mut keys = Vec::with_capacity(entries.len());
    for group in sorted.chunk_by(|one, other| one.prefix == other.prefix) {
        for (piece, numbers) in winners(group) {
            let prefix = group[0].prefix;
            let key = Key::new(prefix.address(), prefix.length(), piece);
            keys.push((key, value(numbers)));
        }
    }
    keys
}

/// Whether programs look at every node of every chain.
fn are_short(max: u32, seed: u64, keys: &[(Key, u32)]) -> bool {
    let bits = head_bits(max);
    let mut lengths = vec![0_u8; 1 << bits];
    keys.iter().all(|(key, _)| {
        let length = lengths.get_mut(key.hash(seed, bits) as usize);
        length.is_some_and(|length| {
            *length += 1;
            usize::from(*length) <= DEPTH
        })
    })
}

/// Makes the map hold exactly these entries. `fresh` if no program runs that might ask it.
pub(crate) fn put(
    image: &Image,
    trie: &dyn Sides,
    (entries, made): (&[Entry], &Made),
    fresh: bool,
) -> io::Result<()> {
    let now = image.now()?;
    let side = 1 - now.side();
    let next = Now {
        view: now.other(),
        plan: side * PLANS,
        in_trie: matches!(made, Made::Trie(_)),
    };
    let count = u32::try_from(entries.len()).map_err(io::Error::other)?;
    image.set_unsettled(true)?;
    if !fresh {
        // One that read the word before it was written last still asks the side that it found.
        (image.wait)()?;
    }
    let written = empty_trie(image, trie, side)
        .and_then(|()| image.clear(side))
        .and_then(|()| write(image, trie, side, (entries, made)));
    if let Err(error) = written {
        // What cannot be taken away now is removed by the next change.
        let _ = empty_trie(image, trie, side);
        return Err(error);
    }
    image.set_count(next.view, count)?;
    image.set_now(next)?;
    // The new entries are in force; what is left of the old ones, the next change removes.
    let settle = || {
        image.set_count(now.view, count)?;
        image.set_unsettled(false)?;
        if now.in_trie {
            (image.wait)()?;
        }
        empty_trie(image, trie, now.side())
    };
    let _: io::Result<()> = settle();
    Ok(())
}

fn write(
    image: &Image,
    trie: &dyn Sides,
    side: u32,
    (entries, made): (&[Entry], &Made),
) -> io::Result<()> {
    for entry in entries {
        image.add_record(side, &EntryRecord::new(entry, 3))?;
    }
    match made {
        Made::Trie(contents) => {
            image.set_uses_trie(side, true)?;
            trie.fill(side, contents)
        }
        Made::Table(keys, plan) => {
            let plan = Plan {
                side,
                ..plan.clone()
            };
            for (key, value) in keys {
                let node = Node {
                    key: *key,
                    values: [*value; 2],
                };
                image.add_node(&plan, &node)?;
            }
            let bytes = plan.bytes(image.max).ok_or_else(foreign)?;
            image.set_plan(side * PLANS, &bytes)
        }
    }
}

/// Takes what there may be out of a side of the trie that no program asks.
fn empty_trie(image: &Image, trie: &dyn Sides, side: u32) -> io::Result<()> {
    if !image.uses_trie(side)? {
        return Ok(());
    }
    trie.empty(side)?;
    image.set_uses_trie(side, false)
}
