//! `live set` declarations: how many elements, for how long, and what they start with.
//!
//! Not here: live maps, and how rules use a live set.

use std::net::IpAddr;

use sockc_grammar::ast::{Address, Name, SetDecl, SetTerm, SetValue};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::addresses::own_in_set;
use super::codes;
use super::report::Report;
use crate::policy::SetKind;
use crate::reading::{List, Lists};
use crate::values::addresses::{covered, mapped, mapped_address, prefix, range};

/// The maximum number of elements that a live set or map may be declared with: what the tables of every kernel hold.
const MAX_ELEMENTS: u64 = 1 << 24;

/// The live set that is declared; `None` if something is wrong with it, which is reported.
pub(super) fn live_set(decl: &SetDecl, lists: &Lists, report: &mut Report) -> Option<SetKind> {
    let max = size("set", &decl.name, decl.max.as_ref(), report);
    let start = match &decl.value {
        None => Some(Vec::new()),
        Some(value) => start(value, &decl.name, lists, report),
    };
    let (max, mut start) = (max?, start?);
    start.sort_unstable();
    start.dedup();
    fits("set", start.len(), max, &decl.name, report)?;
    Some(SetKind::Live {
        max,
        expires: decl.expires.as_ref().map(|expires| expires.value),
        start,
    })
}

/// The `max` of a live set or map, which it needs.
pub(super) fn size(
    kind: &str,
    name: &Name,
    max: Option<&Spanned<u64>>,
    report: &mut Report,
) -> Option<u32> {
    let Some(max) = max else {
        report.error(
            codes::NO_MAX,
            format!("the live {kind} `{}` has no `max`", name.value),
            name.span,
            "how much it can hold is not said",
            format!("write `live {kind} {} max 1000`: room for so many elements is taken when it is applied", name.value),
        );
        return None;
    };
    if !(1..=MAX_ELEMENTS).contains(&max.value) {
        report.error(
            codes::NO_MAX,
            format!("a live {kind} cannot hold {} elements", max.value),
            max.span,
            format!("from 1 to {MAX_ELEMENTS}"),
            "write how many elements there may be at most",
        );
        return None;
    }
    u32::try_from(max.value).ok()
}

/// Whether what it starts with is no more than it can hold.
pub(super) fn fits(
    kind: &str,
    count: usize,
    max: u32,
    name: &Name,
    report: &mut Report,
) -> Option<()> {
    if u32::try_from(count).is_ok_and(|count| count <= max) {
        return Some(());
    }
    report.error(
        codes::START_TOO_LONG,
        format!(
            "the live {kind} `{}` starts with {count} elements",
            name.value
        ),
        name.span,
        format!("it can hold {max}"),
        format!("write `max {count}`, or more"),
    );
    None
}

/// The prefixes that a live set starts with; every wrong element is reported.
fn start(
    value: &SetValue,
    name: &Name,
    lists: &Lists,
    report: &mut Report,
) -> Option<Vec<(IpAddr, u8)>> {
    let elements = match value {
        SetValue::Addresses {
            first: SetTerm::File { path, max },
            rest,
        } if rest.is_empty() => {
            // One that is wrong has been reported.
            let list = lists.get(&path.span)?.as_ref()?;
            list_fits(list, max.as_ref(), report)?;
            return report.checked(prefixes_of_list(list, |_| path.span));
        }
        SetValue::Addresses {
            first: SetTerm::Elements(elements),
            rest,
        } if rest.is_empty() => elements,
        SetValue::Addresses { .. } => {
            report.error(
                codes::LIVE_ARITHMETIC,
                format!("the live set `{}` cannot be made of other sets", name.value),
                name.span,
                "what it starts with is neither elements in braces nor one file",
                "write the elements it starts with in braces, or one `file`; name both sets in the rules that need both",
            );
            return None;
        }
        SetValue::Ports(items) => {
            report.error(
                codes::LIVE_RANGE,
                format!("the live set `{}` cannot hold ports", name.value),
                items.first().map_or(name.span, |item| item.span),
                "live sets hold addresses and prefixes",
                format!(
                    "declare a set that does not change: `set {} = ports {{ … }}`",
                    name.value
                ),
            );
            return None;
        }
    };
    let found: Vec<_> = elements
        .iter()
        .map(|element| element_prefixes(element, report))
        .collect();
    let found: Option<Vec<_>> = found.into_iter().collect();
    Some(found?.into_iter().flatten().collect())
}

/// Whether a list is no longer than its set allows.
pub(super) fn list_fits(
    list: &List,
    max: Option<&Spanned<u64>>,
    report: &mut Report,
) -> Option<()> {
    let Some(max) = max.filter(|max| list.elements > max.value) else {
        return Some(());
    };
    report.error(
        codes::LIST_TOO_LONG,
        format!("the list has {} elements", list.elements),
        max.span,
        format!("at most {} are allowed here", max.value),
        format!(
            "write `max {}`, or more, if the list is right",
            list.elements
        ),
    );
    None
}

/// The prefixes of a list, each as a line of it says; or the first line that is none, of which `place` says where it stands.
pub(crate) fn prefixes_of_list(
    list: &List,
    place: impl Fn((IpAddr, IpAddr)) -> Span,
) -> Result<Vec<(IpAddr, u8)>, Box<Diagnostic>> {
    let prefix = |(low, high)| match prefixes_of(low, high)[..] {
        [one] => Ok(one),
        _ => Err(Box::new(no_range(low, high, place((low, high))))),
    };
    list.written().map(prefix).collect()
}

/// The prefixes of an element: one, or for `any` one of each family.
fn element_prefixes(element: &Spanned<Address>, report: &mut Report) -> Option<Vec<(IpAddr, u8)>> {
    let span = element.span;
    match &element.value {
        Address::Any => Some(everything().to_vec()),
        Address::Prefix { address, length } => {
            Some(vec![one_prefix(*address, *length, span, report)?])
        }
        Address::Range(low, high) => {
            match range(*low, *high, span) {
                Ok((low, high)) => report.push(no_range(low, high, span)),
                Err(wrong) => report.push(*wrong),
            }
            None
        }
        Address::Own => {
            own_in_set(span, report);
            None
        }
        Address::Set(other) => {
            report.error(
                codes::LIVE_ARITHMETIC,
                format!("a live set cannot be made of `@{}`", other.value),
                span,
                "live sets hold addresses and prefixes",
                "write the elements it starts with; name both sets in the rules that need both",
            );
            None
        }
    }
}

/// The prefixes of `any`.
pub(super) fn everything() -> [(IpAddr, u8); 2] {
    use std::net::{Ipv4Addr, Ipv6Addr};
    [
        (Ipv4Addr::UNSPECIFIED.into(), 0),
        (Ipv6Addr::UNSPECIFIED.into(), 0),
    ]
}

/// An address or a prefix as written.
pub(super) fn one_prefix(
    address: IpAddr,
    length: Option<u64>,
    span: Span,
    report: &mut Report,
) -> Option<(IpAddr, u8)> {
    if let Some(v4) = mapped(&Address::Prefix { address, length }) {
        report.push(mapped_address(&v4, span));
    }
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(longest);
    match prefix(address, length, span) {
        // The length is at most 128 here.
        Ok(_) => Some((address, u8::try_from(length).ok()?)),
        Err(wrong) => {
            report.push(*wrong);
            None
        }
    }
}

/// The first and the last address of a prefix without host bits.
pub(super) fn covered_by(address: IpAddr, length: u8) -> (IpAddr, IpAddr) {
    let longest: u32 = if address.is_ipv4() { 32 } else { 128 };
    covered(address, longest.saturating_sub(length.into()))
}

/// So many prefixes of a range are shown.
const SHOWN: usize = 8;

fn no_range(low: IpAddr, high: IpAddr, span: Span) -> Diagnostic {
    let prefixes = prefixes_of(low, high);
    let shown: Vec<String> = prefixes
        .iter()
        .take(SHOWN)
        .map(|(address, length)| format!("{address}/{length}"))
        .collect();
    let more = prefixes.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Diagnostic::error(
        codes::LIVE_RANGE,
        format!("the range `{low}-{high}` is no prefix"),
        span,
        "the elements of a live set are looked up by prefix",
    )
    .help(format!("write its prefixes: {}{more}", shown.join(", ")))
}

/// The fewest prefixes that hold exactly the addresses of a range of one family.
pub(super) fn prefixes_of(low: IpAddr, high: IpAddr) -> Vec<(IpAddr, u8)> {
    let (width, low, high) = match (low, high) {
        (IpAddr::V4(low), IpAddr::V4(high)) => {
            (32, u128::from(low.to_bits()), u128::from(high.to_bits()))
        }
        (IpAddr::V6(low), IpAddr::V6(high)) => (128, low.to_bits(), high.to_bits()),
        _ => return Vec::new(),
    };
    let address = |bits: u128| -> IpAddr {
        match u32::try_from(bits) {
            Ok(bits) if width == 32 => std::net::Ipv4Addr::from_bits(bits).into(),
            _ => std::net::Ipv6Addr::from_bits(bits).into(),
        }
    };
    let mut prefixes = Vec::new();
    let mut next = Some(low).filter(|low| *low <= high);
    while let Some(start) = next {
        // The largest block that begins here and does not reach beyond the end.
        let mut host_bits = start.trailing_zeros().min(width);
        let last = |host_bits: u32| {
            start
                | 1u128
                    .checked_shl(host_bits)
                    .map_or(u128::MAX, |bit| bit - 1)
        };
        while last(host_bits) > high {
            host_bits -= 1;
        }
        let length = u8::try_from(width - host_bits).unwrap_or(128);
        prefixes.push((address(start), length));
        next = last(host_bits).checked_add(1).filter(|next| *next <= high);
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_the_fewest_prefixes() {
        let table: [(&str, &str, &[&str]); 6] = [
            ("10.0.0.0", "10.0.0.255", &["10.0.0.0/24"]),
            (
                "10.0.0.1",
                "10.0.0.4",
                &["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"],
            ),
            ("0.0.0.0", "255.255.255.255", &["0.0.0.0/0"]),
            (
                "255.255.255.255",
                "255.255.255.255",
                &["255.255.255.255/32"],
            ),
            ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &["::/0"]),
            (
                "2001:db8::1",
                "2001:db8::2",
                &["2001:db8::1/128", "2001:db8::2/128"],
            ),
        ];
        for (low, high, expected) in table {
            let found: Vec<String> = prefixes_of(low.parse().unwrap(), high.parse().unwrap())
                .iter()
                .map(|(address, length)| format!("{address}/{length}"))
                .collect();
            assert_eq!(found, expected);
        }
    }
}
