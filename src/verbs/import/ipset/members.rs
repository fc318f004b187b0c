//! What a set holds that does not change: its entries together.
//!
//! Takes entries; gives which combinations of values they have. As in the kernel the entry with the longest prefix decides, which may say
//! that what it has is not in the set. Not here: which packets these are.

use std::rc::Rc;

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::entry::{Entry, Form, Tag, Value};
use super::kind::{Part, has_nomatch};
use super::ports;
use super::region::{Block, Ranges, Region};
use crate::verbs::import::what::{Pattern, Remarks, last};

/// What a set holds.
#[derive(Debug)]
pub(in crate::verbs::import) struct Members {
    pub(super) parts: &'static [Part],
    /// For each part what has no place among numbers, and has its own here.
    pub(super) tags: Vec<Vec<Tag>>,
    /// What is in the set.
    pub(super) region: Region,
    /// What the entries have that say so of what is not in it.
    pub(super) outside: Region,
    /// What is remarked of its entries.
    pub(super) remarks: Rc<Remarks>,
    /// How many entries there are.
    count: usize,
}

impl Members {
    /// What these entries hold, with remarks of some; or why no rule can say it.
    pub(in crate::verbs::import) fn new(
        form: &Form,
        mut entries: Vec<Entry>,
        remarks: Remarks,
    ) -> Result<Self, String> {
        entries.sort_by(|one, other| other.lengths.cmp(&one.lengths));
        let tags: Vec<Vec<Tag>> = (0..form.parts.len()).map(|at| tags(&entries, at)).collect();
        if let Some(twice) = tags.iter().find_map(|tags| overlapping(tags)) {
            return Err(format!(
                "the interface {twice} is one of others there, and which of two entries is meant depends on its name"
            ));
        }
        let lasts: Vec<u128> = (form.parts.iter().zip(&tags))
            .map(|(part, tags)| last_of(*part, tags, form.family))
            .collect();
        let of = |opposite| Region::of(&blocks(form, &entries, &tags, opposite), &lasts);
        let region = of(false);
        let outside = match has_nomatch(form.parts) {
            true => of(true),
            false => region.clone(),
        };
        Ok(Self {
            parts: form.parts,
            tags,
            region,
            outside,
            remarks: Rc::new(remarks),
            count: entries.len(),
        })
    }

    /// Whether there is no entry.
    pub(in crate::verbs::import) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether its entries are addresses alone.
    pub(super) fn is_of_addresses(&self) -> bool {
        matches!(self.parts, [Part::Host | Part::Net])
    }

    /// The addresses of a set whose entries are addresses alone.
    pub(super) fn addresses(&self, returned: bool, family: Family) -> RangeSet<u128> {
        match self.region_of(returned) {
            Region::Nothing => RangeSet::default(),
            Region::Everything => RangeSet::from_ranges([(0, last(family))]),
            Region::Split(groups) => {
                let held = groups
                    .iter()
                    .filter(|(_, rest)| *rest == Region::Everything);
                let held = held.flat_map(|(ranges, _): &(Ranges, Region)| ranges.iter().copied());
                RangeSet::from_ranges(held)
            }
        }
    }

    /// What is in the set, or what is said not to be where that is asked for (`--return-nomatch`).
    pub(super) fn region_of(&self, returned: bool) -> &Region {
        match returned {
            true => &self.outside,
            false => &self.region,
        }
    }
}

/// The last number of a part; behind those of tags that are known, one stands for all others.
fn last_of(part: Part, tags: &[Tag], family: Family) -> u128 {
    match part {
        Part::Host | Part::Net => last(family),
        Part::Port | Part::PlainPort => ports::LAST,
        Part::Interface | Part::Hardware | Part::Mark => tags.len() as u128,
    }
}

/// What has no place among numbers of a part, in order.
fn tags(entries: &[Entry], at: usize) -> Vec<Tag> {
    let values = entries.iter().filter_map(|one| one.values.get(at));
    let tags = values.filter_map(|value| match value {
        Value::Tag(tag) => Some(tag.clone()),
        Value::Range(_) => None,
    });
    let mut tags: Vec<Tag> = tags.collect();
    tags.sort();
    tags.dedup();
    tags
}

/// The name of an interface that is among those of another one.
fn overlapping(tags: &[Tag]) -> Option<&str> {
    let patterns = || {
        tags.iter().filter_map(|tag| match tag {
            Tag::Interface(pattern) => Some(pattern),
            Tag::Hardware(_) | Tag::Mark(_) => None,
        })
    };
    let is_in = |one: &&Pattern| patterns().any(|other| other != *one && other.has(one));
    patterns().find(is_in).map(Pattern::name)
}

/// The entries in the order in which they decide; `opposite` is whether those that say what is not in the set are looked for. Of a set with
/// interfaces the kernel asks the entries of the longest prefix only, whichever interfaces they have (`multi` in `mtype_test_cidrs`,
/// net/netfilter/ipset/ip_set_hash_gen.h): behind these stands that nothing else with the prefix is found.
fn blocks(form: &Form, entries: &[Entry], tags: &[Vec<Tag>], opposite: bool) -> Vec<Block> {
    let ends_there = form.parts.contains(&Part::Interface);
    let mut blocks = Vec::new();
    for same in entries.chunk_by(|one, other| one.lengths == other.lengths) {
        let found = same.iter().map(|one| block(one, tags, opposite));
        blocks.extend(found);
        if ends_there {
            blocks.extend(same.iter().map(|one| last_block(one, tags)));
        }
    }
    blocks
}

fn block(entry: &Entry, tags: &[Vec<Tag>], opposite: bool) -> Block {
    let number_of = |tag: &Tag, tags: &[Tag]| {
        let number = tags.binary_search(tag).unwrap_or(tags.len()) as u128;
        (number, number)
    };
    Block {
        ranges: ranges(entry, tags, number_of),
        is_member: entry.is_member != opposite,
    }
}

/// What has the numbers of an entry, by whatever name, and is not found.
fn last_block(entry: &Entry, tags: &[Vec<Tag>]) -> Block {
    Block {
        ranges: ranges(entry, tags, |_, tags| (0, tags.len() as u128)),
        is_member: false,
    }
}

/// The numbers of an entry, part by part; `of_tag` gives those of what has no place among numbers.
fn ranges(
    entry: &Entry,
    tags: &[Vec<Tag>],
    of_tag: impl Fn(&Tag, &[Tag]) -> (u128, u128),
) -> Vec<(u128, u128)> {
    let values = entry.values.iter().zip(tags);
    values
        .map(|(value, tags)| match value {
            Value::Range(range) => *range,
            Value::Tag(tag) => of_tag(tag, tags),
        })
        .collect()
}
