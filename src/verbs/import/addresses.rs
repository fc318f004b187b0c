//! Addresses, prefixes and ranges as files of other tools have them.
//!
//! Takes a text; gives the family, and the first and the last address as numbers. Not here: whose addresses they are.

use std::net::{IpAddr, Ipv4Addr};

use sockc_compiler::policy::Family;

use super::what::{bits, block};

/// The first and the last address.
pub(super) type Range = (u128, u128);

/// An address or a prefix; bits beyond the length are cleared, as firewalld and ipset do.
pub(super) fn prefix(text: &str) -> Option<(Family, Range)> {
    let (host, length) = text
        .split_once('/')
        .map_or((text, None), |(host, length)| (host, Some(length)));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (family, number) = match host.parse().ok()? {
        IpAddr::V4(address) => (Family::V4, u128::from(u32::from(address))),
        IpAddr::V6(address) => (Family::V6, u128::from(address)),
    };
    let length: u32 = match length {
        None => bits(family),
        Some(mask) if family == Family::V4 && mask.contains('.') => {
            let mask = u32::from(mask.parse::<Ipv4Addr>().ok()?);
            (mask.leading_ones() + mask.trailing_zeros() >= 32).then(|| mask.leading_ones())?
        }
        Some(length) => length.parse().ok()?,
    };
    Some((family, block(number, length, family)?))
}

/// An address, a prefix, or all from one address to another.
pub(super) fn range(text: &str) -> Option<(Family, Range)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let ((family, (low, _)), (other, (_, high))) = (prefix(low)?, prefix(high)?);
    (family == other && low <= high).then_some((family, (low, high)))
}

/// The fewest prefixes that a range is, each with its length.
pub(super) fn prefixes((low, high): Range, family: Family) -> Vec<(Range, u32)> {
    let mut found = Vec::new();
    let mut next = Some(low);
    while let Some(at) = next.filter(|at| *at <= high) {
        let fits = |length: &u32| {
            let block = block(at, *length, family);
            block.is_some_and(|(first, last)| first == at && last <= high)
        };
        let length = (0..bits(family)).find(fits).unwrap_or(bits(family));
        let (first, last) = block(at, length, family).unwrap_or((at, at));
        found.push(((first, last), length));
        next = last.checked_add(1);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_in_every_form_and_cleared() {
        let v4 = |text: &str| range(text).map(|(_, range)| range);
        assert_eq!(v4("10.0.0.1"), Some((0x0a00_0001, 0x0a00_0001)));
        assert_eq!(v4("10.0.0.1/8"), Some((0x0a00_0000, 0x0aff_ffff)));
        assert_eq!(v4("10.1.2.3/255.255.0.0"), Some((0x0a01_0000, 0x0a01_ffff)));
        assert_eq!(v4("10.0.0.1-10.0.0.9"), Some((0x0a00_0001, 0x0a00_0009)));
        assert_eq!(v4("0.0.0.0/0"), Some((0, 0xffff_ffff)));
        assert_eq!(v4("::/0"), Some((0, u128::MAX)));
        assert_eq!(v4("[2001:db8::1]").map(|range| range.0 & 0xffff), Some(1));
        for wrong in [
            "10.0.0.1/33",
            "10.0.0.0/255.0.255.0",
            "x",
            "10.0.0.1/",
            "10.0.0.9-10.0.0.1",
            "10.0.0.1-::1",
        ] {
            assert_eq!(v4(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_range_is_the_fewest_prefixes() {
        let of = |low, high| {
            let all = prefixes((low, high), Family::V4).into_iter();
            all.map(|((first, _), length)| (first, length))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(0, 0xffff_ffff), [(0, 0)]);
        assert_eq!(of(1, 6), [(1, 32), (2, 31), (4, 31), (6, 32)]);
        assert_eq!(of(8, 11), [(8, 30)]);
        assert_eq!(prefixes((0, u128::MAX), Family::V6), [((0, u128::MAX), 0)]);
    }
}
