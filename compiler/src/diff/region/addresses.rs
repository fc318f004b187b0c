//! Addresses as people call them: by the name of a set, by what they are not, or one by one.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::explain::words::ranges;
use crate::policy::{AddressSet, Policy};

/// The maximum number of addresses, prefixes and ranges that are written one by one.
const MAX_LISTED: usize = 4;

/// The maximum number of names of sets that addresses are made up of.
const MAX_NAMES: usize = 3;

/// The constant sets of both policies by name; the new policy's where both have one.
#[derive(Debug, Default)]
pub(in crate::diff) struct Names {
    sets: Vec<(String, AddressSet)>,
}

impl Names {
    pub(in crate::diff) fn of(old: &Policy, new: &Policy) -> Self {
        let mut sets: Vec<(String, AddressSet)> = new.named.clone();
        for (name, set) in &old.named {
            match sets.iter().find(|(other, _)| other == name) {
                None => sets.push((name.clone(), set.clone())),
                Some((_, other)) if other == set => {}
                Some(_) => sets.push((format!("{name} of the old policy"), set.clone())),
            }
        }
        Self { sets }
    }

    /// Addresses in words, and whether the words are those of everything else.
    pub(super) fn words(&self, set: &AddressSet) -> (String, bool) {
        let others = AddressSet {
            v4: set.v4.complement(),
            v6: set.v6.complement(),
        };
        match (self.short(set), self.short(&others)) {
            (Some(one), Some(other)) if other.1 < one.1 => (other.0, true),
            (Some(one), _) => (one.0, false),
            (None, Some(other)) => (other.0, true),
            (None, None) => (cut(set), false),
        }
    }

    /// A few names and prefixes that make up exactly these addresses, if there are any, and how many.
    fn short(&self, set: &AddressSet) -> Option<(String, usize)> {
        if set.v4.is_full() && set.v6.is_full() {
            return Some(("any".into(), 0));
        }
        if let Some((name, _)) = self.sets.iter().find(|(_, named)| named == set) {
            return Some((format!("@{name}"), 1));
        }
        let listed = items(set);
        if listed.len() <= MAX_LISTED {
            return Some((listed.join(", "), listed.len()));
        }
        let mut left = set.clone();
        let mut words = Vec::new();
        for (name, named) in &self.sets {
            let several = items(named).len() > 1;
            if several && words.len() < MAX_NAMES && contains(set, named) && meets(&left, named) {
                words.push(format!("@{name}"));
                left = left.minus(named);
            }
        }
        let rest = items(&left);
        let fits = !words.is_empty() && rest.len() <= MAX_LISTED;
        words.extend(rest);
        fits.then(|| (words.join(", "), words.len()))
    }
}

fn contains(wide: &AddressSet, narrow: &AddressSet) -> bool {
    let left = narrow.minus(wide);
    left.v4.is_empty() && left.v6.is_empty()
}

fn meets(one: &AddressSet, other: &AddressSet) -> bool {
    one.v4.meets(&other.v4) || one.v6.meets(&other.v6)
}

/// The first of many, and how many there are.
fn cut(set: &AddressSet) -> String {
    let items = items(set);
    let shown = items.iter().take(MAX_LISTED - 1);
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    format!("{{ {}, … {} in all }}", shown.join(", "), items.len())
}

/// Every address, prefix and range.
pub(in crate::diff) fn items(set: &AddressSet) -> Vec<String> {
    let mut items = ranges(&set.v4, 32, |bits| Ipv4Addr::from_bits(bits).into());
    items.extend(ranges(&set.v6, 128, |bits| {
        Ipv6Addr::from_bits(bits).into()
    }));
    items
}
