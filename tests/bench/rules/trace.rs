//! The headers that rule sets are asked about: of packets that hit a rule, and of packets that are anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_testing::Rng;

use super::generate::{global, routable};
use super::{Header, Prefix, Rule, RuleSet, WITH_PORTS};

/// Protocols of rules that name none, and of packets that are anything; none of them is an extension header.
const COMMON: [u8; 8] = [6, 6, 6, 17, 17, 17, 132, 47];

/// Headers inside of rules, each drawn alike. An earlier rule may decide them all the same.
pub(crate) fn hits(set: &RuleSet, rng: &mut Rng, count: usize) -> Vec<Header> {
    let hit = |_| {
        let rule = rng.pick(&set.rules)?;
        Some(inside(rule, rng))
    };
    (0..count).filter_map(hit).collect()
}

/// A header inside of a rule.
pub(crate) fn inside(rule: &Rule, rng: &mut Rng) -> Header {
    let any: &[u8] = if rule.has_ports() {
        &WITH_PORTS
    } else {
        &COMMON
    };
    let protocol = rule.protocol.unwrap_or(any[rng.below(any.len())]);
    Header {
        from: address_in(rule.from, rng),
        to: address_in(rule.to, rng),
        sport: port_in(rule.sports, rng),
        dport: port_in(rule.dports, rng),
        protocol,
    }
}

fn port_in((low, high): (u16, u16), rng: &mut Rng) -> u16 {
    let span = usize::from(high - low) + 1;
    low + u16::try_from(rng.below(span)).unwrap_or(0)
}

fn address_in(prefix: Prefix, rng: &mut Rng) -> IpAddr {
    match prefix.address {
        IpAddr::V4(four) => {
            let free = u32::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
            let random = if prefix.length == 0 {
                routable(rng.word())
            } else {
                rng.word()
            };
            Ipv4Addr::from_bits(four.to_bits() | random & free).into()
        }
        IpAddr::V6(six) => {
            let free = u128::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
            Ipv6Addr::from_bits(six.to_bits() | global(rng) & free).into()
        }
    }
}

/// Headers whose fields are random, half of them IPv6 where the set has IPv6: the traffic of a flood.
pub(crate) fn random(set: &RuleSet, rng: &mut Rng, count: usize) -> Vec<Header> {
    let ipv6 = usize::from(set.has_ipv6());
    let header = |_| {
        let six = rng.chance(ipv6, 2);
        let mut address = || -> IpAddr {
            if six {
                Ipv6Addr::from_bits(global(rng)).into()
            } else {
                Ipv4Addr::from_bits(routable(rng.word())).into()
            }
        };
        Header {
            from: address(),
            to: address(),
            sport: rng.half(),
            dport: rng.half(),
            protocol: COMMON[rng.below(COMMON.len())],
        }
    };
    (0..count).map(header).collect()
}
