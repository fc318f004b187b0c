//! Flags of TCP, as tools ask for them.
//!
//! Takes bits; gives what a rule asks of the flags. Not here: how a tool writes them.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::rule::Asks;
use super::what::{Asked, What, any_of};

/// The flags of TCP, each a bit.
const FLAGS: [(&str, u8); 8] = [
    ("fin", 1),
    ("syn", 2),
    ("rst", 4),
    ("psh", 8),
    ("ack", 16),
    ("urg", 32),
    ("ece", 64),
    ("cwr", 128),
];

/// The bit of a flag.
pub(super) fn bit(name: &str) -> Option<u8> {
    let known = FLAGS.iter().find(|(known, _)| *known == name);
    known.map(|&(_, bit)| bit)
}

/// TCP whose flags, of those in a mask, are one of these sets; or none of them.
pub(super) fn of_flags(mask: u8, sets: &[u8], negated: bool, family: Family) -> Asks {
    let mut what = What::protocol(family, 6);
    what.to.ports = Some(RangeSet::full());
    let mut may: Vec<u8> = sets
        .iter()
        .copied()
        .filter(|set| set & !mask == 0)
        .collect();
    may.sort_unstable();
    may.dedup();
    if may.is_empty() || mask == 0 {
        let holds = may.is_empty() == negated;
        return match holds {
            true => what.into(),
            false => Asks::default(),
        };
    }
    let texts: Vec<String> = may.iter().map(|set| said(mask, *set)).collect();
    let first = may.first().copied().unwrap_or_default();
    let example = named_flags(first);
    let with = (!example.is_empty()).then(|| format!("tcp flags {example}"));
    let asked = Asked::unless(negated, any_of(texts), with);
    what.conditions.push(asked);
    what.into()
}

/// TCP of whose flags any is set.
pub(super) fn any_flag(bits: u8, family: Family) -> Asks {
    let mut what = What::protocol(family, 6);
    what.to.ports = Some(RangeSet::full());
    if bits == 0 {
        return Asks::default();
    }
    let set = FLAGS.iter().filter(|(_, bit)| bits & bit != 0);
    let texts: Vec<String> = set.map(|(_, bit)| said(*bit, *bit)).collect();
    what.conditions.push(Asked {
        with: texts.first().cloned(),
        text: any_of(texts),
    });
    what.into()
}

fn named_flags(bits: u8) -> String {
    let set = FLAGS.iter().filter(|(_, bit)| bits & bit != 0);
    let names: Vec<&str> = set.map(|(name, _)| *name).collect();
    names.join(" ")
}

fn said(mask: u8, set: u8) -> String {
    let mut words = Vec::new();
    for (name, _) in FLAGS.iter().filter(|(_, bit)| set & bit != 0) {
        words.push((*name).to_owned());
    }
    for (name, _) in FLAGS.iter().filter(|(_, bit)| mask & !set & bit != 0) {
        words.push(format!("no {}", name));
    }
    format!("tcp flags {}", words.join(" "))
}
