//! Addresses, prefixes and ranges as written, to sets of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::ast::Address;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::report::Report;
use super::sets::Sets;
use crate::policy::AddressSet;
use crate::ranges::RangeSet;

/// Ranges on their way to become a set: merged once, however many there are.
#[derive(Default)]
pub(super) struct Gathered {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Gathered {
    /// The set of everything gathered.
    pub(super) fn finish(self) -> AddressSet {
        AddressSet {
            v4: RangeSet::from_ranges(self.v4),
            v6: RangeSet::from_ranges(self.v6),
        }
    }

    fn add_set(&mut self, set: &AddressSet) {
        self.v4.extend(set.v4.ranges());
        self.v6.extend(set.v6.ranges());
    }

    /// Adds what is written. `None` if it is wrong, which is reported.
    pub(super) fn add(
        &mut self,
        address: &Spanned<Address>,
        sets: &Sets<'_>,
        report: &mut Report,
    ) -> Option<()> {
        let span = address.span;
        match &address.value {
            Address::Any => self.add_set(&AddressSet::any()),
            Address::Prefix { address, length } => {
                self.add_prefix(*address, *length, span, report)?;
            }
            Address::Range(low, high) => self.add_range(*low, *high, span, report)?,
            Address::Set(name) => self.add_set(sets.addresses(name, report)?),
        }
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
                self.v4.push((low.to_bits(), high.to_bits()));
            }
            (IpAddr::V6(low), IpAddr::V6(high)) if low <= high => {
                self.v6.push((low.to_bits(), high.to_bits()));
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

/// The first and the last address of the prefix that `address` lies in, `host_bits` being at most its family's width.
fn covered(address: IpAddr, host_bits: u32) -> (IpAddr, IpAddr) {
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
