//! Options about senders, receivers, ports and interfaces.
//!
//! Takes an option; gives what it asks, as sets of numbers and names. Not here: what else stands in a header.

use std::net::IpAddr;

use sockc_compiler::names;
use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::options::Given;
use crate::verbs::import::interfaces::{self, End};
use crate::verbs::import::kinds::{self, Kinds};
use crate::verbs::import::list::List;
use crate::verbs::import::rule::Asks;
use crate::verbs::import::what::{Pattern, Side, What, bits, block, every};

/// Whether an option is read here.
pub(super) fn takes(name: &str) -> bool {
    matches!(
        name,
        "-s" | "-d"
            | "-i"
            | "-o"
            | "--src-range"
            | "--dst-range"
            | "--src-type"
            | "--dst-type"
            | "--sport"
            | "--dport"
            | "--sports"
            | "--dports"
            | "--ports"
    )
}

/// What an option asks.
pub(super) fn asks(given: &Given, family: Family, list: List) -> Result<Asks, String> {
    let value = given.value()?;
    match given.name.as_str() {
        "-s" | "-d" => Ok(on_side(given, family, prefixes(value, family)?).into()),
        "--src-range" | "--dst-range" => Ok(on_side(given, family, range(value, family)?).into()),
        "--src-type" | "--dst-type" => kind_of_address(given, family, list),
        "-i" | "-o" => interface(given, family, list),
        "--ports" => Ok(of_either(ports(value)?, given.negated, family)),
        _ => {
            let mut ports = ports(value)?;
            if given.negated {
                ports = RangeSet::full().minus(&ports);
            }
            let mut what = What::any(family);
            side(&mut what, given).ports = Some(ports);
            Ok(what.into())
        }
    }
}

/// The side that an option is about.
fn side<'a>(what: &'a mut What, given: &Given) -> &'a mut Side {
    match given.name.as_str() {
        "-s" | "--src-range" | "--src-type" | "--sport" | "--sports" => &mut what.from,
        _ => &mut what.to,
    }
}

/// Addresses of a side; all others where the option is negated.
fn on_side(given: &Given, family: Family, addresses: RangeSet<u128>) -> What {
    let mut what = What::any(family);
    side(&mut what, given).addresses = match given.negated {
        true => every(family).minus(&addresses),
        false => addresses,
    };
    what
}

/// Reads addresses with masks, separated by commas.
fn prefixes(text: &str, family: Family) -> Result<RangeSet<u128>, String> {
    let all = text.split(',').map(|one| prefix(one, family));
    Ok(RangeSet::from_ranges(all.collect::<Result<Vec<_>, _>>()?))
}

fn prefix(text: &str, family: Family) -> Result<(u128, u128), String> {
    let bits = bits(family);
    let (host, mask) = text.split_once('/').unwrap_or((text, ""));
    let low = address(host, family)?;
    let length = match mask.parse::<u32>() {
        _ if mask.is_empty() => bits,
        Ok(length) if length <= bits => length,
        _ => length_of(address(mask, family)?, bits)
            .ok_or_else(|| format!("the mask {mask} has gaps, so it is no prefix"))?,
    };
    block(low, length, family).ok_or_else(|| format!("the prefix /{length} is too long"))
}

/// The length of a prefix of so many bits whose mask this is, if it is the mask of one.
fn length_of(mask: u128, bits: u32) -> Option<u32> {
    let length = mask.count_ones();
    let shift = bits - length;
    let ones = match length {
        0 => 0,
        128 => u128::MAX,
        _ => ((1 << length) - 1) << shift,
    };
    (mask == ones).then_some(length)
}

/// An address of the family, as a number.
fn address(text: &str, family: Family) -> Result<u128, String> {
    match (text.parse(), family) {
        (Ok(IpAddr::V4(address)), Family::V4) => Ok(u32::from(address).into()),
        (Ok(IpAddr::V6(address)), Family::V6) => Ok(address.into()),
        (_, Family::V4) => Err(format!("{text:?} is no IPv4 address")),
        (_, Family::V6) => Err(format!("{text:?} is no IPv6 address")),
    }
}

/// Reads a range of addresses, or one.
fn range(text: &str, family: Family) -> Result<RangeSet<u128>, String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (address(low, family)?, address(high, family)?);
    match low <= high {
        true => Ok(RangeSet::from_ranges([(low, high)])),
        false => Err(format!("the range {text} ends before it begins")),
    }
}

/// Reads ports and ranges of ports, separated by commas. A side of a range that is left out is the first or the last port.
fn ports(text: &str) -> Result<RangeSet<u16>, String> {
    let one = |part: &str, otherwise: u16| match part {
        "" => Ok(otherwise),
        _ => part
            .parse()
            .ok()
            .or_else(|| names::service(part))
            .ok_or_else(|| format!("{part:?} is no port")),
    };
    let all = text.split(',').map(|part| {
        let (low, high) = match part.split_once(':') {
            Some((low, high)) => (one(low, 0)?, one(high, u16::MAX)?),
            None if part.is_empty() => return Err("a port is left out".to_owned()),
            None => (one(part, 0)?, one(part, 0)?),
        };
        match low <= high {
            true => Ok((low, high)),
            false => Err(format!("the ports {part} end before they begin")),
        }
    });
    Ok(RangeSet::from_ranges(all.collect::<Result<Vec<_>, _>>()?))
}

/// Ports of the sender or of the receiver: two cases that share no packet. Negated, both sides have others.
fn of_either(ports: RangeSet<u16>, negated: bool, family: Family) -> Asks {
    let others = RangeSet::full().minus(&ports);
    let case = |from: &RangeSet<u16>, to: &RangeSet<u16>| {
        let mut what = What::any(family);
        what.from.ports = Some(from.clone());
        what.to.ports = Some(to.clone());
        what
    };
    let cases = match negated {
        true => vec![case(&others, &others)],
        false => vec![case(&ports, &RangeSet::full()), case(&others, &ports)],
    };
    Asks {
        cases,
        ..Asks::default()
    }
}

/// Interfaces. What arrives leaves by none, and what leaves came in by none: there a name is never the packet's.
fn interface(given: &Given, family: Family, list: List) -> Result<Asks, String> {
    let name = given.value()?;
    if name.contains(['*', '?']) {
        return Err(format!(
            "the interface {name:?} has a letter in its name that stands for others here"
        ));
    }
    // `+` alone is every name, and that of no interface, too.
    let pattern = match name.strip_suffix('+') {
        Some("") => None,
        Some(begins) => Some(Pattern::Begins(begins.to_owned())),
        None => Some(Pattern::One(name.to_owned())),
    };
    let end = match given.name.as_str() {
        "-i" => End::CameIn,
        _ => End::Leaves,
    };
    Ok(interfaces::asks(
        end,
        pattern.as_slice(),
        given.negated,
        family,
        list,
    ))
}

/// Kinds of addresses. Which addresses are this machine's and which a subnet has for broadcast, only the machine knows; of what
/// arrives for this machine (INPUT) an address is its own where it is none of many.
fn kind_of_address(given: &Given, family: Family, list: List) -> Result<Asks, String> {
    let kind = given.value()?;
    let is_received = list == List::In && given.name == "--dst-type";
    let Some(kinds) = Kinds::named(kind, is_received, family) else {
        return Err(format!("`{given}`: {}", kinds::UNKNOWN));
    };
    let mut what = on_side(given, family, kinds.addresses);
    if kinds.is_own {
        side(&mut what, given).set = Some(kinds::own(given.negated));
    }
    Ok(Asks {
        cases: vec![what],
        changed: kinds.changed.map(ToOwned::to_owned),
        note: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::options::options;
    use super::*;
    use crate::verbs::import::text::clauses;

    fn said(text: &str, list: List) -> Result<Vec<String>, String> {
        let given = options(text).unwrap().remove(0);
        let asks = asks(&given, Family::V4, list)?;
        Ok(asks
            .cases
            .iter()
            .map(|what| clauses(what, list, false))
            .collect())
    }

    #[test]
    fn addresses_and_ports_are_read_in_all_their_forms() {
        for (text, clauses) in [
            ("-s 10.0.0.1", " from 10.0.0.1"),
            ("-s 10.0.0.9/255.255.255.0", " from 10.0.0.0/24"),
            ("-d 10.0.0.0/8,192.0.2.1/32", " to 10.0.0.0/8, 192.0.2.1"),
            ("! -d 10.0.0.0/8", " to not 10.0.0.0/8"),
            ("-s 0.0.0.0/0", ""),
            ("--src-range 10.0.0.1-10.0.0.9", " from 10.0.0.1-10.0.0.9"),
            ("--dport 22", " to port 22"),
            ("--dport ssh", " to port 22"),
            ("! --dport 22", " to not port 22"),
            ("--sport :1023", " from port 0-1023"),
            ("--dports 80,443,8000:8099", " to port {80, 443, 8000-8099}"),
            ("! --ports 53", " from not port 53 to not port 53"),
            ("-i eth+", " on interface eth*"),
            ("-i +", ""),
            ("-o +", ""),
            ("! -i lo", ""),
            ("! -o eth0", ""),
            ("--dst-type MULTICAST", " to 224.0.0.0/4"),
            ("--dst-type LOCAL", " to self"),
            ("! --dst-type LOCAL", " to not self"),
            ("--dst-type BROADCAST", " to 255.255.255.255"),
        ] {
            assert_eq!(said(text, List::In).unwrap(), [clauses], "{text}");
        }
        assert_eq!(
            said("--ports 53", List::In).unwrap(),
            [" from port 53", " from not port 53 to port 53"]
        );
        for never in ["-o eth0", "! -i +", "! -o +"] {
            assert_eq!(said(never, List::In).unwrap().len(), 0, "{never}");
        }
        assert_eq!(said("-o eth0", List::Out).unwrap(), [" on interface eth0"]);
    }

    #[test]
    fn what_no_rule_can_say_is_refused() {
        for (text, list) in [
            ("-s 10.0.0.0/255.0.255.0", List::In),
            ("-s 10.0.0.0/33", List::In),
            ("-s example.net", List::In),
            ("-s ::1", List::In),
            ("--src-range 10.0.0.9-10.0.0.1", List::In),
            ("--dport 70000", List::In),
            ("--dports 80,,81", List::In),
            ("--dport 9:1", List::In),
            ("-i e*", List::In),
            ("--dst-type LOCAL", List::Out),
            ("--src-type LOCAL", List::In),
            ("--dst-type ANYCAST", List::In),
        ] {
            assert!(said(text, list).is_err(), "{text}");
        }
    }
}
