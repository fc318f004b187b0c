//! Types of ICMP, as tools ask for them.
//!
//! Takes numbers; gives what a rule asks. Not here: how a tool calls the types.

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::rule::Asks;
use super::what::What;

/// How many types or codes of ICMP a rule names.
const MOST_TYPES: usize = 40;

/// Any of these types of ICMP of the family.
pub(super) fn types(values: &RangeSet<u128>, family: Family) -> Result<Asks, String> {
    let ranges = values.ranges().iter();
    let types: Vec<u128> = ranges.flat_map(|&(low, high)| low..=high).collect();
    if types.len() > MOST_TYPES {
        return Err(
            "all types of ICMP but some are meant; a rule names those that it is about".to_owned(),
        );
    }
    let types = types.into_iter().filter_map(|one| u8::try_from(one).ok());
    Ok(Asks {
        cases: types.map(|one| What::icmp(family, one, None)).collect(),
        ..Asks::default()
    })
}

/// Leaves of cases with types those that have one of these codes.
pub(super) fn with_codes(cases: &mut Vec<What>, codes: &RangeSet<u128>) -> Result<(), String> {
    let codes = codes.ranges().iter().flat_map(|&(low, high)| low..=high);
    let codes: Vec<u8> = codes.map_while(|one| u8::try_from(one).ok()).collect();
    if codes.len() > MOST_TYPES {
        return Err(
            "all codes of ICMP but some are meant; a rule names those that it is about".to_owned(),
        );
    }
    if !cases.iter().all(|case| case.icmp.is_some()) {
        return Err("a code of ICMP is meant without a type".to_owned());
    }
    cases.retain_mut(|case| {
        let types = case.icmp.take().unwrap_or_default().into_iter();
        let coded = types.flat_map(|(kind, had)| {
            let meant = codes
                .iter()
                .filter(move |code| had.is_none_or(|had| had == **code));
            meant.map(move |code| (kind, Some(*code)))
        });
        case.icmp.insert(coded.collect()).first().is_some()
    });
    Ok(())
}

/// Types of ICMP as netfilter's tools call them.
pub(super) const ICMP: [(&str, u8); 15] = [
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("info-request", 15),
    ("info-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
];
/// The same of ICMPv6.
pub(super) const ICMP6: [(&str, u8); 18] = [
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("mld-listener-reduction", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141),
    ("mld2-listener-report", 143),
];
