//! The plainest packet of a region: wishes that narrow it as long as something is left.

use std::net::IpAddr;

use sockc_compiler::diagram::{BudgetExceeded, Node, Store, values};
use sockc_compiler::event::Header;
use sockc_compiler::field::{FROM, Field, TO};
use sockc_compiler::header_field::{self, HeaderField, row};
use sockc_compiler::policy::{Family, Policy};

/// A region and what has been asked of it.
pub(super) struct Narrowed<'a> {
    pub(super) store: &'a mut Store,
    pub(super) region: Node,
}

impl Narrowed<'_> {
    /// Only this range, even if nothing is left.
    pub(super) fn must(&mut self, field: Field, low: u32, high: u32) -> Result<(), BudgetExceeded> {
        let range = self
            .store
            .range(field, low, high, Node::TRUE, Node::FALSE)?;
        self.region = self.store.and(self.region, range)?;
        Ok(())
    }

    /// This range if something is left; whether it is.
    pub(super) fn wish(
        &mut self,
        field: Field,
        low: u32,
        high: u32,
    ) -> Result<bool, BudgetExceeded> {
        let range = self
            .store
            .range(field, low, high, Node::TRUE, Node::FALSE)?;
        self.wish_node(range)
    }

    /// The first of these ranges that is possible, if any.
    fn first_range(&mut self, field: Field, ranges: &[(u32, u32)]) -> Result<(), BudgetExceeded> {
        for &(low, high) in ranges {
            if self.wish(field, low, high)? {
                break;
            }
        }
        Ok(())
    }

    /// Ordinary values for all that a packet's text leaves out then. The lab cannot set the mark that a packet
    /// comes with, and its interfaces take frames for their own hardware address alone.
    pub(super) fn plain(&mut self, policy: &Policy, family: Family) -> Result<(), BudgetExceeded> {
        for &mark in row(HeaderField::Mark).variables {
            self.must(mark, 0, 0)?;
        }
        let own = row(HeaderField::EtherTo);
        for (half, part) in own.parts(Header::PLAIN.ether_to) {
            self.must(half, part, part)?;
        }
        // One that is at the end of its way would not get far on a real network.
        self.first_range(Field::Ttl, &[(64, 64), (2, 255), (1, 1)])?;
        let fields = header_field::rows().filter(|row| !row.shapes());
        for plain in fields.filter_map(|row| Some(row.parts(row.plain_code()?))) {
            for (variable, part) in plain {
                self.wish(variable, part, part)?;
            }
        }
        let echo = match family {
            Family::V4 => 8 << 8,
            Family::V6 => 128 << 8,
        };
        self.wish(Field::Icmp, echo, echo)?;
        for netns in policy.namespaces.keys() {
            self.wish(Field::SocketIn(netns), 0, 0)?;
        }
        Ok(())
    }

    fn wish_node(&mut self, wish: Node) -> Result<bool, BudgetExceeded> {
        let narrower = self.store.and(self.region, wish)?;
        let possible = narrower != Node::FALSE;
        if possible {
            self.region = narrower;
        }
        Ok(possible)
    }

    /// The first of these values that is possible, if any.
    pub(super) fn first_of(&mut self, field: Field, values: &[u8]) -> Result<(), BudgetExceeded> {
        let ranges: Vec<(u32, u32)> = values.iter().map(|&one| (one.into(), one.into())).collect();
        self.first_range(field, &ranges)
    }

    /// Documentation addresses, or at least ordinary ones, the two ends apart.
    pub(super) fn addresses(&mut self, family: Family) -> Result<(), BudgetExceeded> {
        for (fields, own) in [(TO, TO_WISHES), (FROM, FROM_WISHES)] {
            let wishes = own.iter().chain(ORDINARY);
            for (low, high) in wishes.filter_map(|(low, high)| ends(low, high, family)) {
                if self.wish(fields[0], low, high)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Not the same address at both ends, if there is a choice.
    pub(super) fn apart(&mut self, family: Family) -> Result<(), BudgetExceeded> {
        let Some(values) = self.lowest() else {
            return Ok(());
        };
        let (header, _) = values::header_of(&values);
        if header.from != header.to {
            return Ok(());
        }
        let last = |fields: [Field; 4]| match family {
            Family::V4 => fields[0],
            Family::V6 => fields[3],
        };
        for field in [last(TO), last(FROM)] {
            let value = values.get(field);
            let other = self
                .store
                .range(field, value, value, Node::FALSE, Node::TRUE)?;
            if self.wish_node(other)? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn lowest(&self) -> Option<values::FieldValues> {
        self.store.satisfy(self.region, 1)
    }
}

/// Ranges of addresses, by preference, as first and last address.
type Wishes = &'static [(&'static str, &'static str)];

/// The receiver's first choice.
const TO_WISHES: Wishes = &[
    ("192.0.2.1", "192.0.2.254"),
    ("2001:db8:7::", "2001:db8:7::"),
];
/// The sender's first choice.
const FROM_WISHES: Wishes = &[
    ("198.51.100.1", "198.51.100.254"),
    ("2001:db9::", "2001:db9::"),
];
/// Addresses that a stack takes from a wire without ado.
const ORDINARY: Wishes = &[
    ("1.0.0.1", "126.255.255.254"),
    ("128.0.0.1", "223.255.255.254"),
    ("2000::", "3fff::"),
    ("fc00::", "fdff::"),
];

/// The ends of a wish in the first 32 bits, if it is of this family.
fn ends(low: &str, high: &str, family: Family) -> Option<(u32, u32)> {
    let first = |text: &str| match text.parse().ok()? {
        IpAddr::V4(address) if family == Family::V4 => Some(address.to_bits()),
        IpAddr::V6(address) if family == Family::V6 => u32::try_from(address.to_bits() >> 96).ok(),
        _ => None,
    };
    Some((first(low)?, first(high)?))
}
