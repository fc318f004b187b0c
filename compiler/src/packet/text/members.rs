//! The members of live sets in words, both ways.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::ast::Address;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::case::mistake;
use super::codes;
use crate::policy::AddressSet;
use crate::ranges::RangeSet;
use crate::values::addresses::covered;
use crate::values::codes as values;

/// The addresses that are listed.
pub(super) fn read(elements: &[Spanned<Address>]) -> Result<AddressSet, Box<Diagnostic>> {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for element in elements {
        match ends(element)? {
            (IpAddr::V4(low), IpAddr::V4(high)) if low <= high => {
                v4.push((low.to_bits(), high.to_bits()));
            }
            (IpAddr::V6(low), IpAddr::V6(high)) if low <= high => {
                v6.push((low.to_bits(), high.to_bits()));
            }
            _ => return Err(no_element(element.span)),
        }
    }
    Ok(AddressSet {
        v4: RangeSet::from_ranges(v4),
        v6: RangeSet::from_ranges(v6),
    })
}

/// The first and the last address of an element.
fn ends(element: &Spanned<Address>) -> Result<(IpAddr, IpAddr), Box<Diagnostic>> {
    match &element.value {
        Address::Range(low, high) => Ok((*low, *high)),
        Address::Prefix { address, length } => prefix(*address, *length, element.span),
        Address::Any | Address::Set(_) | Address::Own => Err(no_element(element.span)),
    }
}

/// The length of a prefix that has no host bits set.
pub(super) fn prefix_of(
    address: IpAddr,
    length: Option<u64>,
    span: Span,
) -> Result<u8, Box<Diagnostic>> {
    prefix(address, length, span)?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    // What is longer was refused.
    let length = length.and_then(|length| u8::try_from(length).ok());
    Ok(length.unwrap_or(longest))
}

fn prefix(
    address: IpAddr,
    length: Option<u64>,
    span: Span,
) -> Result<(IpAddr, IpAddr), Box<Diagnostic>> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(longest);
    let host = longest.checked_sub(length);
    let Some(host) = host.and_then(|bits| u32::try_from(bits).ok()) else {
        return Err(mistake(
            values::PREFIX_TOO_LONG,
            format!("the prefix length {length} is too long"),
            span,
            format!("such a prefix has at most {longest} bits"),
            format!("write a number from 0 to {longest}"),
        ));
    };
    let (low, high) = covered(address, host);
    if low != address {
        return Err(mistake(
            values::HOST_BITS,
            format!("the prefix `{address}/{length}` has host bits set"),
            span,
            format!("bits after the first {length} are not zero"),
            format!("write `{low}/{length}`"),
        ));
    }
    Ok((low, high))
}

fn no_element(span: Span) -> Box<Diagnostic> {
    mistake(
        codes::DOES_NOT_FIT,
        "a live set holds addresses and prefixes",
        span,
        "neither an address, nor a prefix, nor a range",
        "write addresses, such as `192.0.2.1` or `10.0.0.0/8`",
    )
}

/// The members as a list, without braces.
pub(super) fn words(members: &AddressSet) -> String {
    let v4 = members.v4.ranges().iter().map(|&(low, high)| {
        let ends = (Ipv4Addr::from_bits(low), Ipv4Addr::from_bits(high));
        range(ends, low, u128::from(low ^ high), 32)
    });
    let v6 = members.v6.ranges().iter().map(|&(low, high)| {
        let ends = (Ipv6Addr::from_bits(low), Ipv6Addr::from_bits(high));
        range(ends, low, low ^ high, 128)
    });
    v4.chain(v6).collect::<Vec<_>>().join(", ")
}

/// A range as an address, a prefix if it is one, or both ends; `differing` are the bits that the ends differ in.
fn range<Address: std::fmt::Display, Bits: Into<u128>>(
    (low, high): (Address, Address),
    first: Bits,
    differing: u128,
    width: u32,
) -> String {
    // A prefix ends in bits that are all 0 in its first address and all 1 in its last.
    let is_prefix = differing & differing.wrapping_add(1) == 0 && first.into() & differing == 0;
    if differing == 0 {
        low.to_string()
    } else if is_prefix {
        format!("{low}/{}", width - differing.count_ones())
    } else {
        format!("{low}-{high}")
    }
}
