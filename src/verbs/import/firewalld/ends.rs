//! Senders and receivers of firewalld: addresses, hardware addresses, and sets.
//!
//! Takes them as they are written; gives what a rule asks of one side of a packet. Not here: what sets hold, and which zone has which
//! senders.

use std::net::IpAddr;

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::ipsets::{Holds, Sets};
use crate::verbs::import::hardware;
use crate::verbs::import::list::List;
use crate::verbs::import::rule::Asks;
use crate::verbs::import::what::{Named, Side, What, bits, block, every, last};

/// Who sends or receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Addresses of a family.
    Addresses(Family, (u128, u128)),
    /// A hardware address.
    Hardware(String),
    /// A set.
    Set(String),
}

/// A side of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    From,
    To,
}

/// Reads an address, a prefix, or a hardware address.
pub(super) fn read(text: &str) -> Result<End, String> {
    if hardware::is_one(text) {
        return Ok(End::Hardware(text.to_owned()));
    }
    match prefix(text) {
        Some((family, range)) => Ok(End::Addresses(family, range)),
        None => Err(format!(
            "`{text}` is no address, no prefix and no hardware address; write one such as 192.0.2.0/24"
        )),
    }
}

/// An address or a prefix as its first and last address; bits beyond the length are cleared, as firewalld does.
pub(super) fn prefix(text: &str) -> Option<(Family, (u128, u128))> {
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
            let mask = u32::from(mask.parse::<std::net::Ipv4Addr>().ok()?);
            (mask.leading_ones() + mask.trailing_zeros() >= 32).then(|| mask.leading_ones())?
        }
        Some(length) => length.parse().ok()?,
    };
    Some((family, block(number, length, family)?))
}

/// What one of these, or none of them, asks of a side; no case where it is of the other family.
pub(super) fn asks(
    end: &End,
    negated: bool,
    of: Of,
    (sets, family, list): (&Sets, Family, List),
) -> Result<Asks, String> {
    match end {
        End::Addresses(own, _) if *own != family => Ok(Asks::default()),
        End::Addresses(_, range) => {
            Ok(addresses(RangeSet::from_ranges([*range]), negated, None, (of, family)).into())
        }
        End::Hardware(address) => hardware::asks(word(of), &[address], negated, family, list),
        End::Set(name) => in_set(name, negated, of, (sets, family, list)),
    }
}

fn word(of: Of) -> &'static str {
    match of {
        Of::From => "from",
        Of::To => "to",
    }
}

fn side(what: &mut What, of: Of) -> &mut Side {
    match of {
        Of::From => &mut what.from,
        Of::To => &mut what.to,
    }
}

/// Packets with one of these addresses at a side, or with none of them.
pub(super) fn addresses(
    addresses: RangeSet<u128>,
    negated: bool,
    name: Option<String>,
    (of, family): (Of, Family),
) -> What {
    let mut what = What::any(family);
    let side = side(&mut what, of);
    side.addresses = match negated {
        true => every(family).minus(&addresses),
        false => addresses,
    };
    side.set = name.map(|name| Named { name, negated });
    what
}

fn in_set(
    name: &str,
    negated: bool,
    of: Of,
    (sets, family, list): (&Sets, Family, List),
) -> Result<Asks, String> {
    let Some(set) = sets.of(name) else {
        return Err(format!("there is no set {name}"));
    };
    if let Some(why) = set.unknown(name) {
        return Err(why);
    }
    match &set.holds {
        Holds::Addresses(held) if set.family == family => Ok(addresses(
            held.clone(),
            negated,
            Some(sets.name_of(name).to_owned()),
            (of, family),
        )
        .into()),
        Holds::Hardware(held) => {
            let held: Vec<&str> = held.iter().map(String::as_str).collect();
            hardware::asks(word(of), &held, negated, family, list)
        }
        Holds::Ports(_) if negated && set.family == family => Err(format!(
            "all are meant whose address, protocol and port are not together in the set {name}; a rule names those that it is about"
        )),
        Holds::Ports(held) if set.family == family => {
            let held = held.iter().map(|(host, port)| {
                let mut what = addresses(RangeSet::from_ranges([*host]), false, None, (of, family));
                what.protocols = RangeSet::from_ranges([(port.protocol, port.protocol)]);
                side(&mut what, of).ports = Some(RangeSet::from_ranges([port.range]));
                what
            });
            Ok(Asks {
                cases: held.collect(),
                ..Asks::default()
            })
        }
        Holds::Other(why) => Err(why.clone()),
        Holds::Addresses(_) | Holds::Ports(_) => Ok(Asks::default()),
    }
}

/// Whether these are all addresses of a family, which no set of firewalld holds.
pub(super) fn is_every(family: Family, (low, high): (u128, u128)) -> bool {
    low == 0 && high == last(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_in_every_form_and_cleared() {
        let v4 = |text: &str| prefix(text).map(|(_, range)| range);
        assert_eq!(v4("10.0.0.1"), Some((0x0a00_0001, 0x0a00_0001)));
        assert_eq!(v4("10.0.0.1/8"), Some((0x0a00_0000, 0x0aff_ffff)));
        assert_eq!(v4("10.1.2.3/255.255.0.0"), Some((0x0a01_0000, 0x0a01_ffff)));
        assert_eq!(v4("0.0.0.0/0"), Some((0, 0xffff_ffff)));
        assert_eq!(v4("::/0"), Some((0, u128::MAX)));
        assert_eq!(v4("[2001:db8::1]").map(|range| range.0 & 0xffff), Some(1));
        for wrong in ["10.0.0.1/33", "10.0.0.0/255.0.255.0", "x", "10.0.0.1/"] {
            assert_eq!(v4(wrong), None, "{wrong}");
        }
        assert!(matches!(read("02:42:ac:11:00:02"), Ok(End::Hardware(_))));
        assert!(read("lan").is_err());
    }
}
