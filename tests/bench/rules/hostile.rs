//! Rule sets that hurt: each removes one of the assumptions that classifiers live on.
//!
//! Takes a generator of numbers and a size; gives rules. Half of what is IPv6 is the mix `DUAL` of `generate`.

use std::net::Ipv4Addr;

use sockc_testing::Rng;

use super::generate::{different, global, routable};
use super::{ANY_PORT, Prefix, Rule};

/// Eight machines, and ranges of ports that overlap at random: addresses tell nothing apart.
pub(crate) fn ranges(rng: &mut Rng, size: usize) -> Vec<Rule> {
    let mut host = || Prefix::of(Ipv4Addr::from_bits(routable(rng.word())).into(), 32);
    let hosts: Vec<Prefix> = (0..8).map(|_| host()).collect();
    different(size, || {
        let sports = if rng.chance(1, 2) {
            ANY_PORT
        } else {
            span(rng)
        };
        Rule {
            from: Prefix::any(false),
            to: hosts[rng.below(hosts.len())],
            sports,
            dports: span(rng),
            protocol: Some(if rng.chance(1, 2) { 6 } else { 17 }),
        }
    })
}

/// A range of any width up to some thousand.
fn span(rng: &mut Rng) -> (u16, u16) {
    let width = 1 << rng.below(13);
    let first = rng.half().min(u16::MAX - width);
    (first, first + rng.half() % width)
}

/// Chains of prefixes, the longest first, on both sides at once. Their number is odd, so that neighbours in a chain have
/// different verdicts where verdicts take turns.
pub(crate) fn nested(rng: &mut Rng, size: usize) -> Vec<Rule> {
    const LENGTHS: [u8; 8] = [32, 30, 28, 24, 20, 16, 12, 8];
    let mut end = || Ipv4Addr::from_bits(routable(rng.word())).into();
    let count = size.div_ceil(LENGTHS.len()) | 1;
    let chains: Vec<_> = (0..count).map(|_| (end(), end())).collect();
    let rule = |length: u8, (from, to)| Rule {
        from: Prefix::of(from, length - 8),
        to: Prefix::of(to, length),
        sports: ANY_PORT,
        dports: ANY_PORT,
        protocol: None,
    };
    let lengths = LENGTHS.into_iter();
    let mut rules: Vec<Rule> = lengths
        .flat_map(|length| chains.iter().map(move |chain| rule(length, *chain)))
        .collect();
    rules.truncate(size);
    rules
}

/// Each rule says something of one field only, in turn: every pair of them overlaps.
pub(crate) fn one_field(rng: &mut Rng, size: usize) -> Vec<Rule> {
    let mut turn = 0;
    different(size, || {
        turn += 1;
        let wild = Rule {
            from: Prefix::any(false),
            to: Prefix::any(false),
            sports: ANY_PORT,
            dports: ANY_PORT,
            protocol: None,
        };
        let length = 16 + rng.byte() % 17;
        let prefix = Prefix::of(Ipv4Addr::from_bits(routable(rng.word())).into(), length);
        let six = Prefix::of(
            std::net::Ipv6Addr::from_bits(global(rng)).into(),
            2 * length,
        );
        match turn % 6 {
            0 => Rule {
                from: prefix,
                ..wild
            },
            1 => Rule { to: prefix, ..wild },
            2 => Rule {
                sports: span(rng),
                ..wild
            },
            3 => Rule {
                dports: span(rng),
                ..wild
            },
            // From 140 on nobody walks or parses them.
            4 => Rule {
                protocol: Some(140 + rng.byte() % 100),
                ..wild
            },
            _ => Rule {
                from: Prefix::any(true),
                to: six,
                ..wild
            },
        }
    })
}
