//! Rule sets like those that people write: mixes of prefix lengths, ports and protocols.
//!
//! Addresses come from a limited number of sites, as they do in one network, and prefixes are cut from them. The mixes are
//! our own choice of round numbers. What nobody sane writes is in `hostile`.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_testing::Rng;

use super::{ANY_PORT, Prefix, Rule};

/// How much of an address a rule names, in bits of IPv4; IPv6 has twice as many, and 128 for 32.
#[derive(Clone, Copy)]
enum Reach {
    Any,
    /// From this length to that.
    Net(u8, u8),
    Host,
}

/// Which ports a rule names.
#[derive(Clone, Copy)]
enum Ports {
    Any,
    /// Those of clients: 1024 and above.
    High,
    /// One that is known by name.
    Service,
    /// A range of up to a few hundred.
    Span,
}

use Ports::{High, Service, Span};
use Reach::{Host, Net};

/// Weighted choices of every part of a rule.
pub(crate) struct Mix {
    /// Source and destination together: that they go together is what families differ in.
    pairs: &'static [(usize, Reach, Reach)],
    sports: &'static [(usize, Ports)],
    dports: &'static [(usize, Ports)],
    protocols: &'static [(usize, Option<u8>)],
    /// How many of a hundred are IPv6.
    ipv6: usize,
}

/// Ports that services are known by.
const SERVICES: [u16; 24] = [
    21, 22, 23, 25, 53, 67, 80, 110, 123, 143, 161, 179, 389, 443, 445, 514, 587, 636, 993, 1433,
    3306, 5060, 5432, 8080,
];

/// Access lists in front of servers.
pub(crate) const ACL: Mix = Mix {
    pairs: &[
        (35, Net(20, 28), Host),
        (25, Net(16, 24), Net(24, 30)),
        (15, Reach::Any, Host),
        (15, Host, Host),
        (8, Reach::Any, Net(22, 28)),
        (2, Host, Reach::Any),
    ],
    sports: &[(96, Ports::Any), (4, High)],
    dports: &[(25, Ports::Any), (55, Service), (10, Span), (10, High)],
    protocols: &[(65, Some(6)), (20, Some(17)), (5, Some(1)), (10, None)],
    ipv6: 0,
};

/// The same in both families.
pub(crate) const DUAL: Mix = Mix { ipv6: 50, ..ACL };

/// Firewalls at an edge.
pub(crate) const FIREWALL: Mix = Mix {
    pairs: &[
        (25, Reach::Any, Host),
        (20, Host, Reach::Any),
        (25, Net(20, 30), Net(20, 32)),
        (20, Host, Host),
        (7, Reach::Any, Net(16, 28)),
        (3, Reach::Any, Reach::Any),
    ],
    sports: &[(60, Ports::Any), (15, High), (20, Service), (5, Span)],
    dports: &[(25, Ports::Any), (20, High), (45, Service), (10, Span)],
    protocols: &[
        (50, Some(6)),
        (30, Some(17)),
        (6, Some(1)),
        (2, Some(47)),
        (12, None),
    ],
    ipv6: 0,
};

/// Lists of flows between machines.
pub(crate) const IPC: Mix = Mix {
    pairs: &[
        (50, Host, Host),
        (15, Net(24, 30), Host),
        (15, Host, Net(24, 30)),
        (12, Net(16, 24), Net(16, 24)),
        (8, Net(8, 16), Host),
    ],
    sports: &[(55, Ports::Any), (20, Service), (15, High), (10, Span)],
    dports: &[(40, Ports::Any), (40, Service), (10, High), (10, Span)],
    protocols: &[
        (55, Some(6)),
        (25, Some(17)),
        (5, Some(1)),
        (5, Some(50)),
        (10, None),
    ],
    ipv6: 0,
};

/// Tries for each rule before a family is taken to have no more.
const TRIES: usize = 20;

/// Rules of a mix, all different.
pub(crate) fn from_mix(mix: &Mix, rng: &mut Rng, size: usize) -> Vec<Rule> {
    let sites = Sites::new(rng, size);
    different(size, || one(mix, &sites, rng))
}

/// So many different rules, or as many as come up.
pub(crate) fn different(size: usize, mut next: impl FnMut() -> Rule) -> Vec<Rule> {
    let mut seen = HashSet::new();
    let mut rules = Vec::with_capacity(size);
    for _ in 0..size * TRIES {
        if rules.len() == size {
            break;
        }
        let rule = next();
        if seen.insert(rule) {
            rules.push(rule);
        }
    }
    rules
}

fn one(mix: &Mix, sites: &Sites, rng: &mut Rng) -> Rule {
    let ipv6 = rng.chance(mix.ipv6, 100);
    let weights = mix.pairs.iter().map(|(weight, ..)| *weight);
    let (_, from, to) = mix.pairs[weighted(weights, rng)];
    let protocol = mix.protocols[weighted(mix.protocols.iter().map(|one| one.0), rng)].1;
    let with_ports = protocol.is_none_or(|number| number == 6 || number == 17);
    let mut side = |choices: &[(usize, Ports)]| {
        let chosen = choices[weighted(choices.iter().map(|one| one.0), rng)].1;
        if with_ports {
            ports(chosen, rng)
        } else {
            ANY_PORT
        }
    };
    let (sports, dports) = (side(mix.sports), side(mix.dports));
    Rule {
        from: sites.prefix(from, ipv6, rng),
        to: sites.prefix(to, ipv6, rng),
        sports,
        dports,
        // ICMP has another number there.
        protocol: if ipv6 && protocol == Some(1) {
            Some(58)
        } else {
            protocol
        },
    }
}

/// The place that a weighted choice falls on.
fn weighted(weights: impl Iterator<Item = usize> + Clone, rng: &mut Rng) -> usize {
    let mut left = rng.below(weights.clone().sum());
    for (place, weight) in weights.enumerate() {
        if left < weight {
            return place;
        }
        left -= weight;
    }
    0
}

fn ports(kind: Ports, rng: &mut Rng) -> (u16, u16) {
    match kind {
        Ports::Any => ANY_PORT,
        High => (1024, u16::MAX),
        Service => {
            let port = SERVICES[rng.below(SERVICES.len())];
            (port, port)
        }
        Span => {
            let first = rng.half().min(65_000);
            (first, first + 1 + rng.half() % 500)
        }
    }
}

/// The networks that a set is about.
struct Sites {
    four: Vec<u32>,
    six: Vec<u128>,
}

impl Sites {
    /// One site for about sixteen rules.
    fn new(rng: &mut Rng, size: usize) -> Self {
        let count = (size / 16).max(4);
        Self {
            four: (0..count)
                .map(|_| routable(rng.word()) & 0xffff_f000)
                .collect(),
            six: (0..count)
                .map(|_| global(rng) & (u128::MAX << 80))
                .collect(),
        }
    }

    fn prefix(&self, reach: Reach, ipv6: bool, rng: &mut Rng) -> Prefix {
        let length = match reach {
            Reach::Any => return Prefix::any(ipv6),
            Net(least, most) => least + rng.byte() % (most - least + 1),
            Host => 32,
        };
        if ipv6 {
            // A site is a /48, and most of its machines have small numbers.
            let site = self.six[rng.below(self.six.len())];
            let address = site | u128::from(rng.half()) << 64 | u128::from(rng.half());
            let length = if length == 32 { 128 } else { 2 * length };
            Prefix::of(Ipv6Addr::from_bits(address).into(), length)
        } else {
            let site = self.four[rng.below(self.four.len())];
            let address = Ipv4Addr::from_bits(site | rng.word() & 0xfff);
            Prefix::of(address.into(), length)
        }
    }
}

/// An address that a host may have: neither 0/8, 127/8, nor 224/3.
pub(crate) fn routable(bits: u32) -> u32 {
    match bits >> 24 {
        0 | 127 => bits ^ 0x0a00_0000,
        224.. => bits & 0x1fff_ffff | 0x2000_0000,
        _ => bits,
    }
}

/// An address of 2000::/3, which the stack takes from anywhere.
pub(crate) fn global(rng: &mut Rng) -> u128 {
    let bits = u128::from(rng.bits()) << 64 | u128::from(rng.bits());
    bits >> 3 | 1 << 125
}

/// `udp from any to ADDRESS:PORT`, no two alike: what hash tables are made for.
pub(crate) fn exact(rng: &mut Rng, size: usize) -> Vec<Rule> {
    different(size, || {
        let address: IpAddr = Ipv4Addr::from_bits(routable(rng.word())).into();
        let port = rng.half();
        Rule {
            from: Prefix::any(false),
            to: Prefix::of(address, 32),
            sports: ANY_PORT,
            dports: (port, port),
            protocol: Some(17),
        }
    })
}

/// `tcp to ADDRESS:PORT`: of a thousand addresses of a /14 one has thirty ports, and 49 have three. Of less than that, no hash is
/// good that leaves out a part of the address.
pub(crate) fn hosts(rng: &mut Rng, size: usize) -> Vec<Rule> {
    let (mut number, mut left, mut host) = (0, 0, Prefix::any(false));
    different(size, || {
        if left == 0 {
            host = Prefix::of(
                Ipv4Addr::from_bits(0x0a00_0000 | rng.word() & 0x3_ffff).into(),
                32,
            );
            left = match number % 1_000 {
                0 => 30,
                1..50 => 3,
                _ => 1,
            };
            number += 1;
        }
        left -= 1;
        let port = rng.half() & 0x3ff;
        Rule {
            from: Prefix::any(false),
            to: host,
            sports: ANY_PORT,
            dports: (port, port),
            protocol: Some(6),
        }
    })
}

/// `udp from PREFIX to PREFIX:RANGE`. No two overlap, which sets of intervals do not take: the destinations differ.
pub(crate) fn intervals(rng: &mut Rng, size: usize) -> Vec<Rule> {
    let mut taken = HashSet::new();
    different(size, || {
        let mut to = routable(rng.word()) & 0xffff_ff00;
        while !taken.insert(to) {
            to = routable(rng.word()) & 0xffff_ff00;
        }
        let first = rng.half().min(60_000);
        let from = Ipv4Addr::from_bits(routable(rng.word()));
        Rule {
            from: Prefix::of(from.into(), 8 + rng.byte() % 17),
            to: Prefix::of(Ipv4Addr::from_bits(to).into(), 24 + rng.byte() % 9),
            sports: ANY_PORT,
            dports: (first, first + 1 + rng.half() % 5000),
            protocol: Some(17),
        }
    })
}
