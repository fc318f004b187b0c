//! Addresses, prefixes and ranges as written, to sets of addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sockc_grammar::ast::Address;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::overlaps::{ElementRange, overlaps};
use super::report::Report;
use super::sets::Sets;
use crate::policy::AddressSet;
use crate::ranges::RangeSet;
use crate::values::addresses::{mapped, mapped_address, prefix, range};

/// Ranges on their way to become a set: merged once, however many there are.
#[derive(Default)]
pub(super) struct Gathered {
    v4: Vec<ElementRange<u32>>,
    v6: Vec<ElementRange<u128>>,
    /// How many elements have been added, which is the number of the next.
    elements: usize,
}

impl Gathered {
    /// The set of everything gathered.
    pub(super) fn finish(self) -> AddressSet {
        AddressSet {
            v4: RangeSet::from_ranges(self.v4.into_iter().map(|(_, range)| range)),
            v6: RangeSet::from_ranges(self.v6.into_iter().map(|(_, range)| range)),
        }
    }

    /// Each element that overlaps another, with that other, both counted from 0 in the order they were added.
    pub(super) fn overlaps(&self) -> BTreeMap<usize, usize> {
        let mut found = overlaps(&self.v6);
        found.extend(overlaps(&self.v4));
        found
    }

    fn add_set(&mut self, set: &AddressSet) {
        let element = self.elements;
        self.v4
            .extend(set.v4.ranges().iter().map(|&range| (element, range)));
        self.v6
            .extend(set.v6.ranges().iter().map(|&range| (element, range)));
    }

    /// Adds what is written. `None` if it is wrong, which is reported.
    pub(super) fn add(
        &mut self,
        address: &Spanned<Address>,
        sets: &Sets<'_>,
        report: &mut Report,
    ) -> Option<()> {
        let span = address.span;
        if let Some(v4) = mapped(&address.value) {
            report.push(mapped_address(&v4, span));
        }
        match &address.value {
            Address::Any => self.add_set(&AddressSet::any()),
            Address::Prefix {
                address,
                length: None,
            } => self.add_range((*address, *address)),
            Address::Prefix {
                address,
                length: Some(length),
            } => self.add_range(checked(prefix(*address, *length, span), report)?),
            Address::Range(low, high) => {
                self.add_range(checked(range(*low, *high, span), report)?);
            }
            Address::Set(name) => self.add_set(sets.addresses(name, report)?),
            Address::Own => {
                own_in_set(span, report);
                return None;
            }
        }
        self.elements += 1;
        Some(())
    }

    fn add_range(&mut self, (low, high): (IpAddr, IpAddr)) {
        match (low, high) {
            (IpAddr::V4(low), IpAddr::V4(high)) => {
                self.v4
                    .push((self.elements, (low.to_bits(), high.to_bits())));
            }
            (IpAddr::V6(low), IpAddr::V6(high)) => {
                self.v6
                    .push((self.elements, (low.to_bits(), high.to_bits())));
            }
            // `range` and `prefix` give ends of one family.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
        }
    }
}

/// Reports `self` as a part of a set.
pub(super) fn own_in_set(span: Span, report: &mut Report) {
    report.error(
        codes::LIVE_ARITHMETIC,
        "`self` cannot be part of a set",
        span,
        "the addresses of this machine change while the policy is in force",
        "name `self` in the rules that need it, next to the set: `to self, @set`",
    );
}

/// What is reported unless it is wrong.
fn checked<T>(found: Result<T, Box<Diagnostic>>, report: &mut Report) -> Option<T> {
    found.map_err(|wrong| report.push(*wrong)).ok()
}
