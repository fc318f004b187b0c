//! Addresses, prefixes and ranges as written, to sets of addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::ast::Address;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::overlaps::{Part, overlaps};
use super::report::Report;
use super::sets::Sets;
use crate::policy::AddressSet;
use crate::ranges::RangeSet;

/// Ranges on their way to become a set: merged once, however many there are.
#[derive(Default)]
pub(super) struct Gathered {
    v4: Vec<Part<u32>>,
    v6: Vec<Part<u128>>,
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
            Address::Prefix { address, length } => {
                self.add_prefix(*address, *length, span, report)?;
            }
            Address::Range(low, high) => self.add_range(*low, *high, span, report)?,
            Address::Set(name) => self.add_set(sets.addresses(name, report)?),
        }
        self.elements += 1;
        Some(())
    }

    fn add_prefix(
        &mut self,
        address: IpAddr,
        length: Option<u64>,
        span: Span,
        report: &mut Report,
    ) -> Option<()> {
        let (longest, family) = match address {
            IpAddr::V4(_) => (32, "IPv4"),
            IpAddr::V6(_) => (128, "IPv6"),
        };
        let length = length.unwrap_or(longest);
        let Some(host_bits) = longest
            .checked_sub(length)
            .and_then(|bits| u32::try_from(bits).ok())
        else {
            report.error(
                codes::PREFIX_TOO_LONG,
                format!("the prefix length {length} is too long"),
                span,
                format!("an {family} prefix has at most {longest} bits"),
                format!("write `{address}/{longest}`, or a shorter length"),
            );
            return None;
        };
        let (low, high) = covered(address, host_bits);
        if low != address {
            report.error(
                codes::HOST_BITS,
                format!("the prefix `{address}/{length}` has host bits set"),
                span,
                format!("bits after the first {length} are not zero"),
                format!(
                    "write `{low}/{length}` for the network, or `{address}` for the one address"
                ),
            );
            return None;
        }
        self.add_range(low, high, span, report)
    }

    fn add_range(
        &mut self,
        low: IpAddr,
        high: IpAddr,
        span: Span,
        report: &mut Report,
    ) -> Option<()> {
        let range = format!("`{low}-{high}`");
        match (low, high) {
            (IpAddr::V4(low), IpAddr::V4(high)) if low <= high => {
                self.v4
                    .push((self.elements, (low.to_bits(), high.to_bits())));
            }
            (IpAddr::V6(low), IpAddr::V6(high)) if low <= high => {
                self.v6
                    .push((self.elements, (low.to_bits(), high.to_bits())));
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                report.error(
                    codes::MIXED_FAMILIES,
                    format!("the range {range} goes from one family to the other"),
                    span,
                    "one end is IPv4, the other IPv6",
                    "write one range for each family; a set holds both",
                );
                return None;
            }
            _ => {
                report.push(reversed(&range, format!("{high}-{low}"), span));
                return None;
            }
        }
        Some(())
    }
}

/// A range whose end lies before its start.
pub(super) fn reversed(range: &str, corrected: String, span: Span) -> Diagnostic {
    Diagnostic::error(
        codes::REVERSED_RANGE,
        format!("the range {range} is reversed"),
        span,
        "its end lies before its start",
    )
    .help(format!("write `{corrected}`"))
}

/// How the IPv4 addresses are written that IPv6 ones stand for, if that is what they do (`::ffff:10.0.0.9`).
///
/// The whole block `::ffff:0:0/96` is no such case: it is named to drop packets that forge such addresses.
fn mapped(address: &Address) -> Option<String> {
    let v4 = |address: &IpAddr| match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => v6.to_ipv4_mapped(),
    };
    match address {
        Address::Any | Address::Set(_) => None,
        Address::Range(low, high) => Some(format!("{}-{}", v4(low)?, v4(high)?)),
        Address::Prefix { address, length } => {
            let v4 = v4(address)?;
            match length {
                None | Some(128) => Some(v4.to_string()),
                Some(length @ 97..128) => Some(format!("{v4}/{}", length - 96)),
                Some(_) => None,
            }
        }
    }
}

fn mapped_address(v4: &str, span: Span) -> Diagnostic {
    Diagnostic::warning(
        codes::MATCHES_NOTHING,
        "an IPv4-mapped address matches no IPv4 packet",
        span,
        "programs see IPv4 so; packets carry the IPv4 address itself",
    )
    .help(format!("write `{v4}`"))
}

/// The first and the last address of the prefix that `address` lies in, `host_bits` being at most its family's width.
pub(crate) fn covered(address: IpAddr, host_bits: u32) -> (IpAddr, IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            let mask = 1u32.checked_shl(host_bits).map_or(u32::MAX, |bit| bit - 1);
            let bits = v4.to_bits();
            (
                Ipv4Addr::from_bits(bits & !mask).into(),
                Ipv4Addr::from_bits(bits | mask).into(),
            )
        }
        IpAddr::V6(v6) => {
            let mask = 1u128
                .checked_shl(host_bits)
                .map_or(u128::MAX, |bit| bit - 1);
            let bits = v6.to_bits();
            (
                Ipv6Addr::from_bits(bits & !mask).into(),
                Ipv6Addr::from_bits(bits | mask).into(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_cover_from_one_address_to_all() {
        let table = [
            ("10.1.2.3", 0, "10.1.2.3", "10.1.2.3"),
            ("10.1.2.3", 8, "10.1.2.0", "10.1.2.255"),
            ("10.1.2.3", 32, "0.0.0.0", "255.255.255.255"),
            (
                "2001:db8::1",
                96,
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            ),
            ("::", 128, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ];
        for (address, host_bits, low, high) in table {
            let parse = |text: &str| text.parse::<IpAddr>().unwrap();
            assert_eq!(
                covered(parse(address), host_bits),
                (parse(low), parse(high))
            );
        }
    }
}
