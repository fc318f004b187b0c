//! Addresses and ports at the ends of what rules say of a side.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::policy::{Addresses, Endpoint, Family, Match, Policy, Rule, RuleId, SetId, Side};

/// So many ends of a side are tried.
const MAX_ENDS: usize = 8;

/// An address that rules seldom name, in each family (RFC 2544, RFC 5180).
const PLAIN_V4: Ipv4Addr = Ipv4Addr::new(198, 19, 77, 201);
const PLAIN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0x2, 0, 0x77, 0, 0, 0, 0xc9);

/// A port that rules seldom name.
const PLAIN_PORT: u16 = 47_811;

/// One end of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    /// The live set that the address is to be in.
    pub(super) member: Option<SetId>,
}

/// Whether a match names ports on either side.
pub(super) fn names_ports(matches: &Match) -> bool {
    let sides = [&matches.from, &matches.to].into_iter().flatten();
    sides.flat_map(endpoints).any(|one| one.ports.is_some())
}

fn endpoints(side: &Side) -> &[Endpoint] {
    match side {
        Side::Endpoints { endpoints, .. } => endpoints,
        Side::Group(_) => &[],
    }
}

/// Ends of a side that some of the rules speak of, the plain one if none does.
pub(super) fn ends<'a>(
    policy: &Policy,
    rules: &[(RuleId, &'a Rule)],
    side: impl Fn(&'a Match) -> Option<&'a Side>,
    family: Family,
    variant: usize,
) -> Vec<Ends> {
    let mut found = Vec::new();
    for (_, rule) in rules {
        for endpoint in side(&rule.matches).map(endpoints).unwrap_or_default() {
            if found.len() < MAX_ENDS {
                of_endpoint(policy, endpoint, family, variant, &mut found);
            }
        }
    }
    found.truncate(MAX_ENDS);
    if variant % 2 == 1 {
        found.reverse();
    }
    if rules.len() > 1 {
        found.extend(crossed(&found));
    }
    found.push(Ends {
        address: plain(family),
        port: PLAIN_PORT,
        member: None,
    });
    found
}

/// Where one rule names addresses and another ports or a live set, both match only what has both.
fn crossed(ends: &[Ends]) -> Vec<Ends> {
    let pairs = ends
        .iter()
        .flat_map(|one| ends.iter().map(move |other| (one, other)));
    let differ = |(one, other): &(&Ends, &Ends)| {
        one.address != other.address && (one.port, one.member) != (other.port, other.member)
    };
    let mixed = pairs.filter(differ).map(|(one, other)| Ends {
        address: one.address,
        ..*other
    });
    mixed.take(MAX_ENDS).collect()
}

fn plain(family: Family) -> IpAddr {
    match family {
        Family::V4 => PLAIN_V4.into(),
        Family::V6 => PLAIN_V6.into(),
    }
}

/// The lowest and the highest address of an endpoint, with a port of it.
fn of_endpoint(
    policy: &Policy,
    endpoint: &Endpoint,
    family: Family,
    variant: usize,
    found: &mut Vec<Ends>,
) {
    let member = match &endpoint.addresses {
        Addresses::Set(set) if endpoint.addresses.constant(policy).is_none() => Some(*set),
        _ => None,
    };
    let port = match endpoint.ports.as_ref().map(|ports| ports.ranges()) {
        None => PLAIN_PORT,
        Some(ranges) if variant < 2 => ranges.first().map_or(PLAIN_PORT, |first| first.0),
        Some(ranges) => ranges.last().map_or(PLAIN_PORT, |last| last.1),
    };
    let mut push = |address| {
        found.push(Ends {
            address,
            port,
            member,
        });
    };
    let Some(set) = endpoint.addresses.constant(policy) else {
        return push(plain(family));
    };
    match family {
        Family::V4 if set.v4.is_full() => push(plain(family)),
        Family::V4 => {
            let ranges = set.v4.ranges();
            for bits in ranges
                .first()
                .map(|one| one.0)
                .into_iter()
                .chain(ranges.last().map(|one| one.1))
            {
                push(Ipv4Addr::from_bits(bits).into());
            }
        }
        Family::V6 if set.v6.is_full() => push(plain(family)),
        Family::V6 => {
            let ranges = set.v6.ranges();
            for bits in ranges
                .first()
                .map(|one| one.0)
                .into_iter()
                .chain(ranges.last().map(|one| one.1))
            {
                push(Ipv6Addr::from_bits(bits).into());
            }
        }
    }
}
