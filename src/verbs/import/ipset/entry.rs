//! Entries of sets, as ipset writes them.
//!
//! Takes the text of an entry, and what its set says of all entries; gives for each part what it is compared with. Not here: what several
//! entries say together.

use sockc_compiler::policy::Family;

use super::kind::Part;
use super::ports;
use crate::verbs::import::addresses;
use crate::verbs::import::hardware;
use crate::verbs::import::marks::{self, Mark};
use crate::verbs::import::what::{Pattern, block};

/// What a set says of all of its entries.
#[derive(Clone, Copy, Debug)]
pub(in crate::verbs::import) struct Form {
    /// What an entry is made of.
    pub(in crate::verbs::import) parts: &'static [Part],
    /// The family of its addresses.
    pub(in crate::verbs::import) family: Family,
    /// How many bits of addresses are compared, where that is not all.
    pub(in crate::verbs::import) netmask: Option<u32>,
    /// The bits of marks that are compared.
    pub(in crate::verbs::import) markmask: u32,
}

/// An entry.
#[derive(Clone, Debug)]
pub(in crate::verbs::import) struct Entry {
    /// What each part is compared with.
    pub(super) values: Vec<Value>,
    /// The lengths of its prefixes: the longest decides, of several the first.
    pub(super) lengths: Vec<u32>,
    /// Whether what it has is in the set.
    pub(super) is_member: bool,
}

/// What a part of a packet is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Numbers from one to another.
    Range((u128, u128)),
    /// Something that has a name.
    Tag(Tag),
}

/// What has no place among numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tag {
    /// An interface.
    Interface(Pattern),
    /// A hardware address.
    Hardware(String),
    /// A mark.
    Mark(Mark),
}

/// Why an entry is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::verbs::import) enum Wrong {
    /// It is none.
    Mistake(String),
    /// It is one, and no rule can say it.
    Unsaid(String),
}

impl Entry {
    /// Reads an entry: the kernel keeps it as these.
    pub(in crate::verbs::import) fn read(
        text: &str,
        form: &Form,
        is_begin: bool,
        is_member: bool,
    ) -> Result<Vec<Self>, Wrong> {
        let words: Vec<&str> = text.split(',').collect();
        if form.parts == [Part::Host, Part::Hardware] && words.len() == 1 {
            return Err(Wrong::Unsaid(
                "an address without a hardware address gets that of the first packet".to_owned(),
            ));
        }
        if words.len() != form.parts.len() {
            return Err(mistake(text));
        }
        let mut entries = vec![Self {
            values: Vec::new(),
            lengths: Vec::new(),
            is_member,
        }];
        for (part, word) in form.parts.iter().zip(words) {
            let read = values(*part, word, form, is_begin)?;
            let longer = entries
                .iter()
                .flat_map(|one| read.iter().map(|value| one.with(value)));
            entries = longer.collect();
        }
        Ok(entries)
    }

    /// The same with a further part.
    fn with(&self, (value, length): &(Value, Option<u32>)) -> Self {
        let mut longer = self.clone();
        longer.values.push(value.clone());
        longer.lengths.extend(length);
        longer
    }
}

fn mistake(text: &str) -> Wrong {
    Wrong::Mistake(format!(
        "`{text}` is nothing that this set holds; write entries of its family and type"
    ))
}

/// What a word stands for, as a part of entries: any of these, with the length of a prefix whose length matters.
fn values(
    part: Part,
    word: &str,
    form: &Form,
    is_begin: bool,
) -> Result<Vec<(Value, Option<u32>)>, Wrong> {
    let one = |value| Ok(vec![(value, None)]);
    let range = |(low, high): (u16, u16), protocol| {
        (Value::Range(ports::numbers(protocol, (low, high))), None)
    };
    match part {
        Part::Host => one(Value::Range(host(word, form)?)),
        Part::Net => {
            let (family, range) = addresses::range(word).ok_or_else(|| mistake(word))?;
            let range = (family == form.family)
                .then_some(range)
                .ok_or_else(|| mistake(word))?;
            let all = addresses::prefixes(range, family).into_iter();
            Ok(all
                .map(|(range, length)| (Value::Range(range), Some(length)))
                .collect())
        }
        Part::Port => one(Value::Range(ports::read(word, form.family)?)),
        Part::PlainPort => {
            let read = crate::verbs::import::ports::range(word).ok_or_else(|| mistake(word))?;
            Ok(ports::PLAIN.map(|protocol| range(read, protocol)).to_vec())
        }
        Part::Interface => one(Value::Tag(Tag::Interface(interface(word, is_begin)?))),
        Part::Hardware if hardware::is_one(word) => {
            one(Value::Tag(Tag::Hardware(word.to_ascii_lowercase())))
        }
        Part::Hardware => Err(mistake(word)),
        Part::Mark => {
            let wanted = marks::number(word).ok_or_else(|| mistake(word))?;
            let mask = form.markmask;
            one(Value::Tag(Tag::Mark(Mark {
                wanted: wanted & mask,
                mask,
            })))
        }
    }
}

/// An address, or several; of them all those that agree in as many bits as are compared.
fn host(word: &str, form: &Form) -> Result<(u128, u128), Wrong> {
    let (family, (low, high)) = addresses::range(word).ok_or_else(|| mistake(word))?;
    if family != form.family {
        return Err(mistake(word));
    }
    let Some(length) = form.netmask else {
        return Ok((low, high));
    };
    let (first, last) = (block(low, length, family), block(high, length, family));
    match (first, last) {
        (Some((low, _)), Some((_, high))) => Ok((low, high)),
        _ => Err(mistake(word)),
    }
}

fn interface(word: &str, is_begin: bool) -> Result<Pattern, Wrong> {
    if word.starts_with("physdev:") {
        return Err(Wrong::Unsaid(
            "the port of a bridge is not asked; name it as the interface".to_owned(),
        ));
    }
    if word.contains(['*', '?']) {
        return Err(Wrong::Unsaid(format!(
            "the interface {word:?} has a letter in its name that stands for others here"
        )));
    }
    Ok(match is_begin {
        true => Pattern::Begins(word.to_owned()),
        false => Pattern::One(word.to_owned()),
    })
}

impl Tag {
    /// The interface, if it is one.
    pub(super) fn interface(&self) -> Option<Pattern> {
        match self {
            Self::Interface(pattern) => Some(pattern.clone()),
            Self::Hardware(_) | Self::Mark(_) => None,
        }
    }

    /// The hardware address, if it is one.
    pub(super) fn hardware(&self) -> Option<&str> {
        match self {
            Self::Hardware(address) => Some(address),
            Self::Interface(_) | Self::Mark(_) => None,
        }
    }

    /// The mark, if it is one.
    pub(super) fn mark(&self) -> Option<Mark> {
        match self {
            Self::Mark(mark) => Some(*mark),
            Self::Interface(_) | Self::Hardware(_) => None,
        }
    }
}
