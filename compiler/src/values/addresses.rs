//! Addresses, prefixes and ranges as written: what they cover, or what is wrong with them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::ast::Address;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Span;

use super::codes;
use crate::policy::{AddressSet, Direction};

/// The first and the last address of a prefix, or what is wrong with it.
pub(crate) fn prefix(
    address: IpAddr,
    length: u64,
    span: Span,
) -> Result<(IpAddr, IpAddr), Box<Diagnostic>> {
    let (longest, family) = match address {
        IpAddr::V4(_) => (32u64, "IPv4"),
        IpAddr::V6(_) => (128, "IPv6"),
    };
    let host_bits = longest
        .checked_sub(length)
        .and_then(|bits| u32::try_from(bits).ok());
    let Some(host_bits) = host_bits else {
        let error = Diagnostic::error(
            codes::PREFIX_TOO_LONG,
            format!("the prefix length {length} is too long"),
            span,
            format!("an {family} prefix has at most {longest} bits"),
        );
        return Err(Box::new(
            error.help(format!("write `{address}/{longest}`, or a shorter length")),
        ));
    };
    let (low, high) = covered(address, host_bits);
    if low != address {
        let error = Diagnostic::error(
            codes::HOST_BITS,
            format!("the prefix `{address}/{length}` has host bits set"),
            span,
            format!("bits after the first {length} are not zero"),
        );
        return Err(Box::new(error.help(format!(
            "write `{low}/{length}` for the network, or `{address}` for the one address"
        ))));
    }
    Ok((low, high))
}

/// A range of addresses of one family, or what is wrong with it.
pub(crate) fn range(
    low: IpAddr,
    high: IpAddr,
    span: Span,
) -> Result<(IpAddr, IpAddr), Box<Diagnostic>> {
    if low.is_ipv4() != high.is_ipv4() {
        let error = Diagnostic::error(
            codes::MIXED_FAMILIES,
            format!("the range `{low}-{high}` goes from one family to the other"),
            span,
            "one end is IPv4, the other IPv6",
        );
        return Err(Box::new(
            error.help("write one range for each family; a set holds both"),
        ));
    }
    if low > high {
        let shown = format!("`{low}-{high}`");
        return Err(Box::new(reversed(&shown, format!("{high}-{low}"), span)));
    }
    Ok((low, high))
}

/// A range whose end lies before its start.
pub(crate) fn reversed(range: &str, corrected: String, span: Span) -> Diagnostic {
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
pub(crate) fn mapped(address: &Address) -> Option<String> {
    match address {
        Address::Any | Address::Set(_) | Address::Own => None,
        Address::Range(low, high) => Some(format!("{}-{}", mapped_v4(low)?, mapped_v4(high)?)),
        Address::Prefix { address, length } => {
            let v4 = mapped_v4(address)?;
            match length {
                None | Some(128) => Some(v4.to_string()),
                Some(length @ 97..128) => Some(format!("{v4}/{}", length - 96)),
                Some(_) => None,
            }
        }
    }
}

/// The IPv4 address that an IPv6 one stands for.
fn mapped_v4(address: &IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => v6.to_ipv4_mapped(),
    }
}

/// The address that is meant by one in a direction of processes: an IPv4-mapped one is the IPv4 address; and where the
/// process says whom it reaches, the unspecified one is this machine, at its loopback address (`ip_route_output_key_hash_rcu`
/// in `net/ipv4/route.c`, `tcp_v6_connect` in `net/ipv6/tcp_ipv6.c`). A datagram that arrives may be from `0.0.0.0` (DHCP).
///
/// The programs of calls do the same before they decide: `crate::lower::hook`.
pub(crate) fn reached(direction: Direction, named: IpAddr) -> IpAddr {
    match named.to_canonical() {
        other if !names_receiver(direction) => other,
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// The same of what is written of addresses. Prefixes and ranges that hold more than such addresses stay as they are.
pub(crate) fn reached_by(direction: Direction, written: &Address) -> Address {
    let reached = |named: IpAddr| reached(direction, named);
    match written {
        Address::Prefix {
            address,
            length: None | Some(128),
        } if address.is_ipv6() => one(reached(*address)),
        Address::Prefix {
            address,
            length: None | Some(32),
        } if address.is_ipv4() => one(reached(*address)),
        Address::Prefix {
            address,
            length: Some(length @ MAPPED_BITS..128),
        } => match mapped_v4(address) {
            Some(v4) => Address::Prefix {
                address: v4.into(),
                length: Some(length - MAPPED_BITS),
            },
            None => written.clone(),
        },
        Address::Range(low, high) if low == high => one(reached(*low)),
        Address::Range(low, high) => match (mapped_v4(low), mapped_v4(high)) {
            (Some(low), Some(high)) => Address::Range(low.into(), high.into()),
            _ => written.clone(),
        },
        Address::Prefix { .. } | Address::Any | Address::Set(_) | Address::Own => written.clone(),
    }
}

fn names_receiver(direction: Direction) -> bool {
    direction.deed().is_some_and(|deed| deed.names_receiver)
}

/// The addresses that nothing of a direction of processes has, since each stands for another.
pub(crate) fn never_reached(direction: Direction) -> AddressSet {
    let block = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().into();
    let whole = AddressSet::of_prefixes([(block, 96)]);
    if !names_receiver(direction) {
        return whole;
    }
    let unspecified = AddressSet::of([Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]);
    AddressSet {
        v4: unspecified.v4,
        v6: unspecified.v6.union(&whole.v6),
    }
}

/// The length of the prefix of IPv4-mapped addresses, `::ffff:0:0/96`.
const MAPPED_BITS: u64 = 96;

fn one(address: IpAddr) -> Address {
    Address::Prefix {
        address,
        length: None,
    }
}

pub(crate) fn mapped_address(v4: &str, span: Span) -> Diagnostic {
    Diagnostic::warning(
        codes::MATCHES_NOTHING,
        "an IPv4-mapped address matches no IPv4 packet",
        span,
        "programs see IPv4 so; packets carry the IPv4 address itself",
    )
    .help(format!("write `{v4}`"))
}

/// The warning for a list of which so many elements match no IPv4 packet, though they look so.
pub(crate) fn mapped_list(count: u64, first: Span) -> Diagnostic {
    let message = if count == 1 {
        "an IPv4-mapped address in this list matches no IPv4 packet".to_owned()
    } else {
        format!("{count} IPv4-mapped addresses in this list match no IPv4 packet")
    };
    Diagnostic::warning(
        codes::MATCHES_NOTHING,
        message,
        first,
        "programs see IPv4 so; packets carry the IPv4 address itself",
    )
    .help("write the IPv4 addresses themselves")
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
    fn what_is_reached_by_an_address_that_stands_for_another() {
        let range =
            |low: &str, high: &str| Address::Range(low.parse().unwrap(), high.parse().unwrap());
        let prefix = |address: &str, length| Address::Prefix {
            address: address.parse().unwrap(),
            length,
        };
        for (written, reached) in [
            (prefix("::ffff:10.0.0.9", None), prefix("10.0.0.9", None)),
            (
                prefix("::ffff:10.0.0.9", Some(128)),
                prefix("10.0.0.9", None),
            ),
            (
                prefix("::ffff:10.0.0.0", Some(104)),
                prefix("10.0.0.0", Some(8)),
            ),
            (prefix("::ffff:0:0", Some(96)), prefix("0.0.0.0", Some(0))),
            (prefix("0.0.0.0", None), prefix("127.0.0.1", None)),
            (prefix("0.0.0.0", Some(32)), prefix("127.0.0.1", None)),
            (prefix("::", None), prefix("::1", None)),
            (prefix("::ffff:0.0.0.0", None), prefix("127.0.0.1", None)),
            (
                range("::ffff:10.0.0.1", "::ffff:10.0.0.9"),
                range("10.0.0.1", "10.0.0.9"),
            ),
            (range("::", "::"), prefix("::1", None)),
        ] {
            assert_eq!(reached_by(Direction::Connect, &written), reached);
        }
        for same in [
            prefix("0.0.0.0", Some(8)),
            prefix("::", Some(0)),
            prefix("::ffff:0:0", Some(95)),
            prefix("10.0.0.9", None),
            prefix("2001:db8::", Some(32)),
            // Too long, which is said where it is read.
            prefix("10.0.0.9", Some(128)),
            prefix("0.0.0.0", Some(100)),
            prefix("::ffff:10.0.0.9", Some(129)),
            range("0.0.0.0", "0.0.0.9"),
            range("::", "::ffff:10.0.0.9"),
            Address::Any,
        ] {
            assert_eq!(reached_by(Direction::Connect, &same), same);
        }
    }

    #[test]
    fn nobody_reaches_what_stands_for_another() {
        for (address, stands_for_another) in [
            ("0.0.0.0", true),
            ("0.0.0.1", false),
            ("::", true),
            ("::1", false),
            ("::fffe:ffff:ffff", false),
            ("::ffff:0.0.0.0", true),
            ("::ffff:255.255.255.255", true),
            ("::1:0:0:0", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            // A datagram that arrives may be from an unspecified address.
            let mapped = address.to_canonical() != address;
            for (direction, stands) in [
                (Direction::Connect, stands_for_another),
                (Direction::Send, stands_for_another),
                (Direction::Receive, mapped),
            ] {
                assert_eq!(reached(direction, address) != address, stands, "{address}");
                let never = never_reached(direction);
                assert_eq!(never.contains(address), stands, "{address}");
            }
        }
    }

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
