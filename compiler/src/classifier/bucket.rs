//! Buckets: entries of a hashed stratum that hold their first records themselves.
//!
//! ```text
//! child   4 bytes   ─▶ list elsewhere: record, record, …
//! bucket 32 bytes: record, record | what is left ─▶ list or node
//! ```
//!
//! A packet whose bucket has all records of its key loads one line of memory, and not a child and then a record that the child
//! names. Buckets take more room, so they are for keys that hardly share theirs. Takes the hashes of boxes; gives how many buckets
//! there should be, if any. Not here: the bytes (`bucket_table`), and what time costs (`cost`).

use super::cost::{BEYOND, Entries, WORTH, slots};
use super::grow::{Grown, Word};
use super::stratum::{MAX_LIST_BYTES, place};
use super::tables::record_size;
use crate::policy::Family;

/// Records that a bucket holds. Where there are more, the last place says where the others are.
pub(crate) const HELD: usize = 2;

/// Buckets for so many keys: more would be memory that is not used, fewer hold too many keys each.
const BUCKETS: usize = 4;
const KEYS: usize = 3;

/// Bytes of a bucket.
#[must_use]
pub(crate) fn size(family: Family) -> usize {
    HELD * record_size(family, false)
}

/// How many of so many records stand in the bucket.
#[must_use]
pub(super) fn held(records: usize) -> usize {
    match records <= HELD {
        true => records,
        false => HELD - 1,
    }
}

/// How many buckets boxes should get whose hashes these are, in order; `None` where children are better. There would be `children`
/// of them.
#[must_use]
pub(super) fn count(family: Family, hashes: &[(u64, u32)], children: u32) -> Option<u32> {
    // Two records of IPv4 are half a line; two of IPv6 would be spread over two.
    if family != Family::V4 {
        return None;
    }
    let keys = hashes.chunk_by(|one, other| one.0 == other.0).count();
    let most = MAX_LIST_BYTES / size(family);
    let count = (keys * BUCKETS).div_ceil(KEYS).clamp(1, most) as u32;
    let (apart, together) = (filled(hashes, children), filled(hashes, count));
    let bytes = children as usize * 4 + apart.records * record_size(family, false);
    // Of near tables no load is saved; where many boxes share a hash, their entries are trees and not what is counted here.
    if bytes <= BEYOND[0].0 || hashes.len() > HELD * keys {
        return None;
    }
    let apart = Entries {
        met: apart.met,
        elsewhere: 1.0,
    };
    let left = together.records - together.held;
    let together = Entries {
        met: together.met,
        elsewhere: left as f64 / together.records.max(1) as f64,
    };
    (slots(together, bytes) + WORTH < slots(apart, bytes)).then_some(count)
}

/// What stands in so many entries.
struct Filled {
    records: usize,
    held: usize,
    /// Records that a packet meets until its own, on average.
    met: f64,
}

fn filled(hashes: &[(u64, u32)], count: u32) -> Filled {
    let (mut met, mut within) = (0, 0);
    for same in hashes.chunk_by(|one, other| place(one.0, count) == place(other.0, count)) {
        met += same.len() * (same.len() + 1) / 2;
        within += held(same.len());
    }
    Filled {
        records: hashes.len(),
        held: within,
        met: met as f64 / hashes.len().max(1) as f64,
    }
}

/// How many of the first records of each list stand in buckets alone: none of a list that a node names too.
#[must_use]
pub(super) fn in_buckets(grown: &Grown, count: u32) -> Vec<usize> {
    if count == 0 {
        return vec![0; grown.lists.len()];
    }
    let mut within: Vec<usize> = grown.lists.iter().map(|list| held(list.len())).collect();
    for word in grown.children.iter().skip(count as usize) {
        if let Word::List(list) = *word {
            within[list as usize] = 0;
        }
    }
    within
}

/// Bytes of buckets, nodes and lists.
#[must_use]
pub(super) fn bytes(grown: &Grown, count: u32, family: Family) -> usize {
    let within = in_buckets(grown, count);
    let lists = grown.lists.iter().zip(within);
    let left: usize = lists.map(|(list, within)| list.len() - within).sum();
    let nodes = grown.children.len() - count as usize;
    count as usize * size(family) + nodes * 4 + left * record_size(family, false)
}
