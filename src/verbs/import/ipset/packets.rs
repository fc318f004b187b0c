//! Which packets have what a set holds.
//!
//! Takes what a set holds, and which side of a packet each part of its entries is about; gives cases that share no packet. Not here: sets
//! that hold sets, and which sets a rule can ask for at all.

use std::iter;

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::entry::Tag;
use super::kind::Part;
use super::matching::Match;
use super::members::Members;
use super::ports;
use super::region::Ranges;
use crate::verbs::import::hardware;
use crate::verbs::import::interfaces::{self, End};
use crate::verbs::import::list::List;
use crate::verbs::import::marks::{self, Mark};
use crate::verbs::import::rule::Asks;
use crate::verbs::import::what::{Named, Of, Pattern, What};

/// More cases than these are not made of one match.
const MOST_CASES: usize = 4096;

/// Numbers of a part of a set's entries, and the side of a packet that they are of.
struct Numbers<'a> {
    part: Part,
    of: Of,
    tags: &'a [Tag],
    ranges: &'a Ranges,
    asked: &'a Match,
}

impl Members {
    /// What a rule asks that is about these members, or about all that is none. `name` is how the policy calls the set.
    pub(super) fn asks(
        &self,
        name: &str,
        asked: &Match,
        (family, list): (Family, List),
    ) -> Result<Asks, String> {
        if self.is_of_addresses() {
            return Ok(self.of_addresses(name, asked, family).into());
        }
        let mut all = Asks::default();
        for path in self.region_of(asked.returned).paths(!asked.negated) {
            let met = self.of_path(&path, asked, (family, list))?;
            all.cases.extend(met.cases);
            all.changed = all.changed.or(met.changed);
            all.note = all.note.or(met.note);
            if all.cases.len() > MOST_CASES {
                return Err(format!(
                    "the set {name} is more than {MOST_CASES} rules of one list"
                ));
            }
        }
        Ok(all)
    }

    /// Packets with an address of these at a side, or with none. The set of the policy has what is in the set.
    fn of_addresses(&self, name: &str, asked: &Match, family: Family) -> What {
        let held = self.addresses(asked.returned, family);
        let named = Named {
            remarks: self.remarks.clone(),
            ..Named::new(name.to_owned(), asked.negated)
        };
        let named = Some(named).filter(|_| !held.is_empty() && !asked.returned);
        What::addressed(held, asked.negated, named, (asked.of(0), family))
    }

    /// Packets with one of these combinations.
    fn of_path(
        &self,
        path: &[&Ranges],
        asked: &Match,
        (family, list): (Family, List),
    ) -> Result<Asks, String> {
        let mut all = Asks::from(What::any(family));
        let parts = self.parts.iter().zip(&self.tags).zip(path);
        for (at, ((part, tags), ranges)) in parts.enumerate() {
            let numbers = Numbers {
                part: *part,
                of: asked.of(at),
                tags,
                ranges,
                asked,
            };
            let further = numbers.asks((family, list))?;
            all.cases = both(&all.cases, &further.cases)?;
            all.changed = all.changed.or(further.changed);
            all.note = all.note.or(further.note);
        }
        Ok(all)
    }
}

/// What is in a case of each.
pub(super) fn both(some: &[What], further: &[What]) -> Result<Vec<What>, String> {
    let pairs = some
        .iter()
        .flat_map(|one| iter::repeat(one).zip(further))
        .map(|(one, other)| one.and(other));
    let met: Result<Vec<Option<What>>, String> = pairs.collect();
    Ok(met?.into_iter().flatten().collect())
}

impl Numbers<'_> {
    /// Packets with one of these at their side.
    fn asks(&self, (family, list): (Family, List)) -> Result<Asks, String> {
        match self.part {
            Part::Host | Part::Net => {
                let held = RangeSet::from_ranges(self.ranges.iter().copied());
                Ok(What::addressed(held, false, None, (self.of, family)).into())
            }
            Part::Port | Part::PlainPort => self.ports(family),
            Part::Interface | Part::Hardware | Part::Mark => self.named((family, list)),
        }
    }

    fn ports(&self, family: Family) -> Result<Asks, String> {
        let found = ports::packets(self.ranges, &self.asked.within, (self.of, family))?;
        // The kernel does not look at later fragments of IPv6.
        let is_later = !self.asked.negated && family == Family::V6 && found.is_of_others;
        let changed = found.changed.or(is_later.then_some(ports::LATER));
        Ok(Asks {
            cases: found.cases,
            changed: changed.map(ToOwned::to_owned),
            note: None,
        })
    }

    /// What has a name: these, or where all that have no number are among them, all but the others.
    fn named(&self, (family, list): (Family, List)) -> Result<Asks, String> {
        let has = |number: usize| {
            let number = number as u128;
            let mut ranges = self.ranges.iter();
            ranges.any(|(low, high)| (*low..=*high).contains(&number))
        };
        let negated = has(self.tags.len());
        let named = self.tags.iter().enumerate();
        let named = named.filter(|(number, _)| has(*number) != negated);
        let named: Vec<&Tag> = named.map(|(_, tag)| tag).collect();
        if named.is_empty() && negated {
            return Ok(What::any(family).into());
        }
        match self.part {
            Part::Hardware => {
                let texts: Vec<&str> = named.into_iter().filter_map(Tag::hardware).collect();
                hardware::asks(self.of.word(), &texts, negated, family, list)
            }
            Part::Mark => {
                let marks: Vec<Mark> = named.into_iter().filter_map(Tag::mark).collect();
                Ok(marks::asks(&marks, negated, family, list))
            }
            _ => {
                let patterns: Vec<Pattern> = named.into_iter().filter_map(Tag::interface).collect();
                let end = match self.of {
                    Of::From => End::CameIn,
                    Of::To => End::Leaves,
                };
                Ok(interfaces::asks(end, &patterns, negated, family, list))
            }
        }
    }
}
