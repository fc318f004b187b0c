//! The bytes of buckets.
//!
//! ```text
//! bucket  as many records as it holds; in place of the last one what is left: u64 child, u64 0
//! ```
//!
//! A record never ends with 0, since groups begin at 1. What is left of a list begins after the records that stand in the bucket;
//! a tree is all that is left, so that its child stands in the first place. An empty bucket begins with a record that ends a list. Not
//! here: which boxes get buckets ([`super::bucket`]).

use super::Unfit;
use super::bucket::{self, HELD, held};
use super::grow::Word;
use super::items::Item;
use super::stratum::{Root, Stratum};
use super::tables::{LIST, Named, Ranked, Records, encoded};
use crate::policy::Family;

/// The buckets of a stratum.
#[derive(Clone, Debug)]
pub struct Buckets {
    /// All of them.
    pub bytes: Vec<u8>,
    /// Whether some have a child in this place.
    pub children: [bool; HELD],
}

/// How many of the children of a stratum are buckets instead.
#[must_use]
pub(super) fn count(stratum: &Stratum) -> u32 {
    match stratum.root {
        Root::Hash { count, .. } if stratum.buckets => count,
        _ => 0,
    }
}

/// The buckets of a stratum; `lists` are where lists begin, and how many of their first records are left out there.
pub(super) fn buckets(
    stratum: &Stratum,
    (members, items): (Ranked<'_>, &[Item]),
    family: Family,
    (starts, within): (&[u32], &[usize]),
    (masks, services): Named<'_, '_>,
) -> Result<Option<Buckets>, Unfit> {
    let count = count(stratum);
    if count == 0 {
        return Ok(None);
    }
    let grown = &stratum.grown;
    let mut records = Records::none(family);
    let mut children = [false; HELD];
    for (number, &word) in (1..=count as usize).zip(&grown.children) {
        let (here, child) = match word {
            Word::Node(..) => (0, Some(encoded(word, starts, family, count))),
            Word::List(list) => {
                let (number, list) = (list as usize, &grown.lists[list as usize]);
                let here = held(list.len());
                for (place, &index) in list[..here].iter().enumerate() {
                    let (item, last) = (&items[index as usize], place + 1 == list.len());
                    records.record(members, item, last, (masks, services))?;
                }
                if here == 0 {
                    records.nothing();
                }
                let left = list.len() > here;
                let after = || LIST | (starts[number] + (here - within[number]) as u32);
                (here, left.then(after))
            }
        };
        if let Some(child) = child {
            records.child(child);
            children[here] = true;
        }
        records.fill(number * bucket::size(family));
    }
    let bytes = records.bytes;
    Ok(Some(Buckets { bytes, children }))
}
