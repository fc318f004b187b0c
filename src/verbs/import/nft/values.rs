//! Values as nft prints them in JSON: numbers, names, addresses, prefixes, ranges.
//!
//! Takes a value; gives the first and the last number that it stands for. Not here: whose values they are.

use std::net::IpAddr;

use serde_json::Value;
use sockc_compiler::names;
use sockc_compiler::policy::Family;

use crate::verbs::import::points::DSCP;
use crate::verbs::import::protocols;
use crate::verbs::import::types::{ICMP, ICMP6};
use crate::verbs::import::what::{Pattern, block};

/// How values of a field are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Address(Family),
    Port,
    Protocol,
    IcmpType(Family),
    IcmpCode(Family),
    Dscp,
    Ecn,
    Plain,
}

/// The numbers of a value, from one to another.
pub(super) fn range(kind: Kind, value: &Value) -> Result<(u128, u128), String> {
    let none = || format!("`{value}` is no value that is known here");
    if let Some(range) = value.get("range").and_then(Value::as_array) {
        let [low, high] = range.as_slice() else {
            return Err(none());
        };
        let (low, high) = (one(kind, low)?, one(kind, high)?);
        return if low <= high {
            Ok((low, high))
        } else {
            Err(none())
        };
    }
    if let Some(prefix) = value.get("prefix") {
        let Kind::Address(family) = kind else {
            return Err(none());
        };
        let address = prefix.get("addr").ok_or_else(none)?;
        let length = prefix.get("len").and_then(Value::as_u64);
        let length = length.and_then(|length| u32::try_from(length).ok());
        let low = one(kind, address)?;
        return length
            .and_then(|length| block(low, length, family))
            .ok_or_else(none);
    }
    let one = one(kind, value)?;
    Ok((one, one))
}

/// An element without what else is said of it.
pub(super) fn plain(element: &Value) -> Result<&Value, String> {
    let Some(of) = element.get("elem") else {
        return Ok(element);
    };
    match of.get("timeout").or_else(|| of.get("expires")) {
        Some(_) => Err("an element of its set expires; declare a live set".to_owned()),
        None => of
            .get("val")
            .ok_or_else(|| "an element has no value".to_owned()),
    }
}

/// Interfaces by a name. A number stands for one that is gone.
pub(super) fn pattern(value: &Value) -> Result<Pattern, String> {
    let name = value.as_str();
    let name = name.ok_or_else(|| format!("the interface {value} has no name any more"))?;
    let (begins, is_begin) = match name.strip_suffix('*') {
        Some(begins) => (begins, true),
        None => (name, false),
    };
    // A number stands for an interface that is gone.
    let is_number = name.bytes().all(|one| one.is_ascii_digit());
    let is_strange = |one: char| one.is_control() || "*?\\\"".contains(one);
    match begins.is_empty() || is_number || begins.contains(is_strange) {
        true => Err(format!(
            "{name:?} is no name of an interface that a rule could say"
        )),
        false if is_begin => Ok(Pattern::Begins(begins.to_owned())),
        false => Ok(Pattern::One(begins.to_owned())),
    }
}

/// One value.
fn one(kind: Kind, value: &Value) -> Result<u128, String> {
    let none = || format!("`{value}` is no value that is known here");
    if let Some(number) = value.as_u64() {
        return Ok(number.into());
    }
    let text = value.as_str().ok_or_else(none)?;
    let found = match kind {
        Kind::Address(family) => address(text, family),
        Kind::Port => names::service(text).map(u128::from),
        Kind::Protocol => protocols::number(text).map(u128::from),
        Kind::IcmpType(Family::V4) => named(&ICMP, text),
        Kind::IcmpType(Family::V6) => named(&ICMP6, text),
        Kind::IcmpCode(Family::V4) => named(&ICMP_CODES, text),
        Kind::IcmpCode(Family::V6) => named(&ICMP6_CODES, text),
        Kind::Dscp => named(&DSCP, text),
        Kind::Ecn => named(&ECN, text),
        Kind::Plain => None,
    };
    let plain = || match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    found.or_else(plain).ok_or_else(none)
}

fn address(text: &str, family: Family) -> Option<u128> {
    match (text.parse().ok()?, family) {
        (IpAddr::V4(address), Family::V4) => Some(u32::from(address).into()),
        (IpAddr::V6(address), Family::V6) => Some(address.into()),
        _ => None,
    }
}

fn named(table: &[(&str, u8)], text: &str) -> Option<u128> {
    let found = table.iter().find(|(name, _)| *name == text);
    found.map(|&(_, number)| number.into())
}

const ICMP_CODES: [(&str, u8); 8] = [
    ("net-unreachable", 0),
    ("host-unreachable", 1),
    ("prot-unreachable", 2),
    ("port-unreachable", 3),
    ("frag-needed", 4),
    ("net-prohibited", 9),
    ("host-prohibited", 10),
    ("admin-prohibited", 13),
];
const ICMP6_CODES: [(&str, u8); 6] = [
    ("no-route", 0),
    ("admin-prohibited", 1),
    ("addr-unreachable", 3),
    ("port-unreachable", 4),
    ("policy-fail", 5),
    ("reject-route", 6),
];
const ECN: [(&str, u8); 4] = [("not-ect", 0), ("ect1", 1), ("ect0", 2), ("ce", 3)];
