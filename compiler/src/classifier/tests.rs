//! Walks through strata, and through the bytes of their tables, against a linear scan of the boxes: random sets, hostile
//! sets, packets at the edges of boxes.

mod buckets;
mod bytes;
mod crossing;
mod many_ports;

use std::collections::{BTreeSet, HashSet};

use super::grow::MAX_LIST;
use super::stratum::hash;
use super::stratum::{MAX_LIST_BYTES, words};
use super::tables::record_size;
use super::*;
use crate::policy::{AddressSet, Addresses, Endpoint, ProtocolMatch, Side as End};
use crate::protocol::IpProtocol;
use crate::ranges::RangeSet;
use crate::testing::Rng;
use bytes::{Answer, answer};

/// A packet's values by [`Dimension::index`].
type Packet = [u128; 5];

/// A range of addresses.
#[derive(Clone, Copy)]
enum Block {
    V4(u32, u8),
    V6(u128, u8),
}

const ANY: (u16, u16) = (0, u16::MAX);

fn end(block: Block, ports: (u16, u16)) -> Option<End> {
    let addresses = match block {
        Block::V4(address, length) => {
            let free = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            let range = (address & !free, address | free);
            AddressSet {
                v4: RangeSet::from_ranges([range]),
                ..AddressSet::default()
            }
        }
        Block::V6(address, length) => {
            let free = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            let range = (address & !free, address | free);
            AddressSet {
                v6: RangeSet::from_ranges([range]),
                ..AddressSet::default()
            }
        }
    };
    Some(End::Endpoints {
        negated: false,
        endpoints: vec![Endpoint {
            addresses: Addresses::Ranges(addresses),
            ports: (ports != ANY).then(|| RangeSet::from_ranges([ports])),
        }],
    })
}

fn matching(protocol: Option<u8>, from: Option<End>, to: Option<End>) -> Match {
    let protocols = protocol.map(|number| ProtocolMatch {
        family: None,
        number: IpProtocol(number),
        icmp: Vec::new(),
    });
    Match {
        protocols: protocols.into_iter().collect(),
        from,
        to,
        ..Match::default()
    }
}

fn members(matches: &[Match]) -> Vec<Member<'_>> {
    let member = |(rank, matches)| Member {
        matches,
        group: 1 + rank % 3,
        slot: slot_of(rank),
        rate: None,
    };
    (0..).zip(matches).map(member).collect()
}

/// Counters that do not stand in a row; of each 16 members the second half shares one, though they are of different groups, as
/// rules that a redirect by a map became.
fn slot_of(rank: u32) -> u32 {
    let (row, place) = (rank / 16, rank % 16);
    2 * (16 * row + place.min(8)) + 7
}

/// The first rank that matches, by asking every box.
fn scanned(side: &FamilyRules, packet: &Packet) -> Option<u32> {
    let first = side.items.iter().find(|item| item.holds(packet));
    first.map(|item| item.rank)
}

/// The first rank that matches, by the strata.
fn walked(side: &FamilyRules, family: Family, packet: &Packet) -> Option<u32> {
    let mut best: Option<u32> = None;
    for stratum in &side.strata {
        if best.is_some_and(|best| best < stratum.first_rank) {
            continue;
        }
        let children = &stratum.grown.children;
        let mut word = match stratum.root {
            Root::Tree(word) => word,
            Root::Hash {
                shape,
                count,
                first,
            } => {
                let [from, to] = [Dimension::From, Dimension::To].map(|one| packet[one.index()]);
                let all = words(from, to, family);
                let kept: Vec<u64> = all.iter().zip(shape.masks()).map(|(a, b)| a & b).collect();
                children[(first + hash(&kept, count)) as usize]
            }
        };
        while let Word::Node(cut, first) = word {
            let value = packet[cut.dimension.index()] >> cut.shift;
            word = children[first as usize + (value as usize & ((1 << cut.bits) - 1))];
        }
        let Word::List(list) = word else {
            continue;
        };
        let list = stratum.grown.lists[list as usize].iter();
        let found = list
            .map(|&index| &side.items[index as usize])
            .find(|item| item.holds(packet));
        best = found.map(|item| item.rank).into_iter().chain(best).min();
    }
    best
}

/// A packet at an edge of a box, or just next to it, in each dimension.
fn aimed(side: &FamilyRules, dice: &mut Rng, family: Family) -> Packet {
    let item = &side.items[dice.below(side.items.len())];
    let mut packet = [0; 5];
    for dimension in Dimension::ALL {
        let (low, high) = item.range(dimension);
        let all = boxes::low_bits(dimension.bits(family));
        let value = match dice.below(8) {
            0 => low.wrapping_sub(1) & all,
            1 => high.wrapping_add(1) & all,
            2 | 3 => low + (high - low) / 2,
            4 | 5 => high,
            _ => low,
        };
        packet[dimension.index()] = value;
    }
    packet[Dimension::Class.index()] = match dice.below(8) {
        0 => dice.below(4) as u128,
        _ => item.classes.trailing_zeros().into(),
    };
    packet
}

fn random(dice: &mut Rng, family: Family) -> Packet {
    let mut packet = [0; 5];
    for dimension in Dimension::ALL {
        let value = u128::from(dice.bits()) << 64 | u128::from(dice.bits());
        packet[dimension.index()] = value & boxes::low_bits(dimension.bits(family));
    }
    packet[Dimension::Class.index()] = dice.below(4) as u128;
    packet
}

fn assert_limits(side: &FamilyRules, family: Family) {
    assert!(side.strata.len() <= 6, "{} strata", side.strata.len());
    for stratum in &side.strata {
        let grown = &stratum.grown;
        let records: usize = grown.lists.iter().map(Vec::len).sum();
        assert!(
            (records + MAX_LIST + 1) * record_size(family, stratum.holds_ports) <= MAX_LIST_BYTES
        );
        assert!(grown.children.len() <= 1 << 20 && grown.depth <= 14);
        assert!(grown.lists.iter().all(|list| list.len() <= MAX_LIST));
        // The code leaves a list at the first rank that is no better than what it has.
        let rank = |&index: &u32| side.items[index as usize].rank;
        assert!(grown.lists.iter().all(|list| list.is_sorted_by_key(rank)));
        let ranks = grown.lists.iter().flatten();
        let first = ranks.map(|&index| side.items[index as usize].rank).min();
        assert!(first.is_none_or(|first| stratum.first_rank <= first));
    }
}

/// Builds, and compares packets; gives how many of them matched.
fn check(name: &str, matches: &[Match], packets: usize) -> usize {
    let members = members(matches);
    let (services, sides) = build(&members).unwrap_or_else(|unfit| panic!("{name}: {unfit:?}"));
    let tables = Tables::new(&members, &services, &sides).unwrap();
    let mut dice = Rng::new(packets as u64);
    let mut matched = 0;
    for (side, family) in sides.iter().zip([Family::V4, Family::V6]) {
        if side.items.is_empty() {
            continue;
        }
        assert_limits(side, family);
        for number in 0..packets {
            let packet = match number % 4 {
                0 => random(&mut dice, family),
                _ => aimed(side, &mut dice, family),
            };
            let wanted = scanned(side, &packet);
            let found = walked(side, family, &packet);
            assert_eq!(found, wanted, "{name}, {family:?}: {packet:x?}");
            let told = answer(&tables, family, &packet);
            assert_eq!(told, wanted.map(of_rank), "{name}, {family:?}: {packet:x?}");
            matched += usize::from(found.is_some());
        }
    }
    matched
}

/// What the tables have to say of the member of a number.
fn of_rank(rank: u32) -> Answer {
    Answer {
        group: 1 + rank % 3,
        slot: slot_of(rank),
    }
}

/// A block of one of some prefixes, or any.
fn block(dice: &mut Rng, family: Family, spread: usize) -> Block {
    match family {
        Family::V4 => {
            let lengths = [0, 3, 8, 16, 20, 24, 28, 32];
            let length = lengths[dice.below(lengths.len())];
            let high = (dice.below(spread) as u32).wrapping_mul(0x0101_8040);
            Block::V4(high ^ dice.word() >> 8, length)
        }
        Family::V6 => {
            let lengths = [0, 16, 32, 48, 56, 64, 72, 128];
            let length = lengths[dice.below(lengths.len())];
            let high = (dice.below(spread) as u128) << 80 | 0x2001_0db8 << 96;
            Block::V6(high | u128::from(dice.bits() & 0xff00_ffff), length)
        }
    }
}

fn ports(dice: &mut Rng) -> (u16, u16) {
    let port = dice.half();
    match dice.below(5) {
        0 | 1 => (port & 0x3ff, port & 0x3ff),
        2 => (port.min(1024), port.max(1024)),
        3 => (port, port.saturating_add(dice.half() & 0xff)),
        _ => ANY,
    }
}

fn some_rule(dice: &mut Rng, family: Family, spread: usize) -> Match {
    let sides = [0, 1].map(|_| {
        let block = block(dice, family, spread);
        end(block, ports(dice))
    });
    let [from, to] = sides.map(|side| side.filter(|_| !dice.chance(1, 4)));
    let protocol = [Some(6), Some(17), Some(6), None][dice.below(4)];
    matching(protocol, from, to)
}

#[test]
fn random_sets_are_answered_as_by_a_scan() {
    for family in [Family::V4, Family::V6] {
        for (seed, count, spread) in [(1, 1, 1), (2, 10, 3), (3, 100, 7), (4, 400, 40)] {
            let mut dice = Rng::new(seed);
            let rules = (0..count).map(|_| some_rule(&mut dice, family, spread));
            let rules: Vec<Match> = rules.collect();
            let matched = check("random", &rules, 2_000);
            assert!(matched > 200, "{family:?}, {count}: {matched}");
        }
    }
}

/// Hosts and networks with services, as in a list of who may speak to whom.
fn services(dice: &mut Rng, count: usize, family: impl Fn(&mut Rng) -> Family) -> Vec<Match> {
    let rule = |_| {
        let family = family(dice);
        let narrow = |dice: &mut Rng| match family {
            Family::V4 => Block::V4(dice.word(), 24 + 8 * (dice.byte() & 1)),
            Family::V6 => Block::V6(
                0x2001_0db8 << 96 | u128::from(dice.word()) << 64 | u128::from(dice.byte()),
                64 + 64 * (dice.byte() & 1),
            ),
        };
        let port = [22, 53, 80, 443, 8080][dice.below(5)];
        let from = narrow(dice);
        let to = narrow(dice);
        let from = (!dice.chance(1, 3)).then(|| end(from, ANY)).flatten();
        let to = end(to, (port, port)).filter(|_| from.is_none() || !dice.chance(1, 5));
        matching(Some(6), from, to)
    };
    (0..count).map(rule).collect()
}

#[test]
fn large_sets_of_both_families_are_built() {
    let mut dice = Rng::new(7);
    let either = |dice: &mut Rng| [Family::V4, Family::V6][dice.below(2)];
    let rules = services(&mut dice, 100_000, either);
    assert!(check("both families", &rules, 200) > 100);
}

#[test]
fn sets_that_need_more_lists_than_a_map_holds_become_several_strata() {
    let mut dice = Rng::new(8);
    let rules = services(&mut dice, 300_000, |_| Family::V4);
    assert!(check("300,000", &rules, 100) > 15);
    let mut dice = Rng::new(9);
    let rules = services(&mut dice, 150_000, |_| Family::V6);
    assert!(check("150,000 of IPv6", &rules, 100) > 15);
}

#[test]
fn few_addresses_with_many_ranges_of_ports_are_built() {
    let mut dice = Rng::new(10);
    let rule = |number: usize| {
        let low = dice.half();
        let high = low.saturating_add(dice.half() >> dice.below(12));
        let host = Block::V4(0x0a00_0000 + number as u32 / 1_000, 32);
        matching(Some(6), None, end(host, (low, high)))
    };
    let rules: Vec<Match> = (0..10_000).map(rule).collect();
    assert!(check("ranges of ports", &rules, 2_000) > 500);
}

#[test]
fn chains_of_nested_networks_are_built() {
    let mut dice = Rng::new(11);
    let mut rules = Vec::new();
    while rules.len() < 10_000 {
        let (one, other) = (dice.word(), dice.word());
        for length in (0..=32).rev() {
            let from = end(Block::V4(one, length), ANY);
            let to = end(Block::V4(other, 32 - length), ANY);
            rules.push(match dice.below(3) {
                0 => matching(Some(6), from, to),
                1 => matching(None, from, None),
                _ => matching(Some(17), None, end(Block::V4(other, length), ANY)),
            });
        }
    }
    assert!(check("nested", &rules, 2_000) > 500);
}

#[test]
fn rules_that_name_one_field_are_built() {
    let mut dice = Rng::new(12);
    let any = || end(Block::V4(0, 0), ANY);
    let rule = |_| {
        let port = dice.half();
        let host = end(Block::V4(dice.word(), 32 - (dice.byte() & 15)), ANY);
        match dice.below(5) {
            0 => matching(None, host, None),
            1 => matching(None, None, host),
            2 => matching(None, end(Block::V4(0, 0), (port, port)), any()),
            3 => matching(None, any(), end(Block::V4(0, 0), (port, port))),
            _ => matching(Some(dice.byte() % 40), None, None),
        }
    };
    let rules: Vec<Match> = (0..10_000).map(rule).collect();
    let kinds: HashSet<_> = rules.iter().map(|rule| rule.protocols.len()).collect();
    assert_eq!(kinds.len(), 2);
    assert!(check("one field", &rules, 2_000) > 500);
}

#[test]
fn ranges_that_all_overlap_are_built_right_or_refused() {
    let mut dice = Rng::new(13);
    let rule = |_| {
        let [from, to] = [0, 1].map(|_| (dice.half() / 2, 0x8000 + dice.half() / 2));
        let [from, to] = [from, to].map(|ports| end(Block::V4(0, 0), ports));
        matching(Some(6), from, to)
    };
    let rules: Vec<Match> = (0..3_000).map(rule).collect();
    match build(&members(&rules)) {
        Ok(_) => assert!(check("overlapping", &rules, 1_000) > 100),
        Err(unfit) => assert_eq!(unfit, Unfit::Size),
    }
}

#[test]
fn the_same_rules_give_the_same_tables() {
    let mut dice = Rng::new(14);
    let rules = services(&mut dice, 3_000, |_| Family::V4);
    let made = || format!("{:?}", build(&members(&rules)).unwrap().1[0].strata);
    assert_eq!(made(), made());
}

/// Senders of IPv6 by prefixes of /16 to /64, which differ in the upper half only; hardly anything is said of receivers.
#[test]
fn senders_of_ipv6_are_told_apart_by_the_upper_half() {
    let mut dice = Rng::new(15);
    for count in [100, 400, 2_000] {
        let rule = |_| {
            let length = [16, 24, 32, 40, 48, 56, 64][dice.below(7)];
            let high = u128::from(dice.bits() >> 3 | 1 << 61) << 64;
            let from = end(Block::V6(high, length), ANY);
            matching([Some(6), None][dice.below(2)], from, None)
        };
        let rules: Vec<Match> = (0..count).map(rule).collect();
        assert!(check("senders", &rules, 4_000) > 1_000);
    }
}

/// Receivers in one network of IPv6: nodes look at the lower half.
#[test]
fn receivers_of_ipv6_are_told_apart_by_the_lower_half() {
    let mut dice = Rng::new(17);
    for count in [100, 400] {
        let rule = |_| {
            let length = [72, 80, 96, 112, 128][dice.below(5)];
            let low = u128::from(dice.bits());
            let to = end(Block::V6(0x2001_0db8 << 96 | low, length), ANY);
            matching([Some(6), None][dice.below(2)], None, to)
        };
        let rules: Vec<Match> = (0..count).map(rule).collect();
        assert!(check("receivers", &rules, 4_000) > 1_000);
    }
}

/// Senders and receivers, which are in two strata; the third rule is of one of them and inside the second, which is the
/// first of the other: the best of one stratum is the neighbour in rank of what stands in the other.
#[test]
fn strata_are_left_out_only_where_nothing_better_is_in_them() {
    for (family, swapped) in [
        (Family::V4, false),
        (Family::V4, true),
        (Family::V6, false),
        (Family::V6, true),
    ] {
        let mut dice = Rng::new(16);
        let mut host = || match family {
            Family::V4 => Block::V4(dice.word(), 32),
            Family::V6 => Block::V6(u128::from(dice.bits()) << 64 | 1, 128),
        };
        let from = |block| matching(Some(6), end(block, ANY), None);
        let to = |block| matching(Some(6), None, end(block, ANY));
        let (sender, receiver) = (host(), host());
        let mut rules = match swapped {
            false => vec![from(host()), to(receiver)],
            true => vec![to(host()), from(sender)],
        };
        rules.push(matching(Some(6), end(sender, ANY), end(receiver, ANY)));
        for _ in 0..1_000 {
            rules.extend([from(host()), to(host())]);
        }
        let members = members(&rules);
        let (services, sides) = build(&members).unwrap();
        let side = &sides[usize::from(family == Family::V6)];
        assert!(side.strata.len() > 1);
        let tables = Tables::new(&members, &services, &sides).unwrap();
        for item in &side.items {
            let mut packet = [0; 5];
            for dimension in Dimension::ALL {
                packet[dimension.index()] = item.range(dimension).0;
            }
            let told = answer(&tables, family, &packet);
            assert_eq!(told, scanned(side, &packet).map(of_rank), "{packet:x?}");
        }
    }
}

/// Ranges of both ports that overlap, a few at a time, with packets at every end and next to it.
#[test]
fn ranges_of_both_ports_are_answered_at_every_end() {
    for seed in 0..40 {
        let mut dice = Rng::new(100 + seed);
        let count = 8 + dice.below(40);
        let range = |dice: &mut Rng| {
            let port = dice.half() & [0xffff, 0xfff0, 0xff00, 0x0fff][dice.below(4)];
            match dice.below(4) {
                0 => (port, port),
                1 => (port, u16::MAX),
                2 => (port, port.saturating_add(dice.half() >> dice.below(14))),
                _ => (port.min(0x3456), port.max(0x3456)),
            }
        };
        let any = Block::V4(0, 0);
        let rule = |_| {
            let [from, to] = [0, 1].map(|_| range(&mut dice));
            matching(Some(6), end(any, from), end(any, to))
        };
        let rules: Vec<Match> = (0..count).map(rule).collect();
        at_every_end(&rules);
    }
}

fn at_every_end(rules: &[Match]) {
    let members = members(rules);
    let (services, sides) = build(&members).unwrap();
    let tables = Tables::new(&members, &services, &sides).unwrap();
    let side = &sides[0];
    let ends = |dimension| -> BTreeSet<u128> {
        let ranges = side.items.iter().map(|item| item.range(dimension));
        let near = |at: u128| [at.saturating_sub(1), at, (at + 1).min(0xffff)];
        ranges
            .flat_map(|(low, high)| [near(low), near(high)])
            .flatten()
            .collect()
    };
    let mut packet = [0; 5];
    packet[Dimension::Class.index()] = side.items[0].classes.trailing_zeros().into();
    for from in ends(Dimension::FromPort) {
        for to in ends(Dimension::ToPort) {
            packet[Dimension::FromPort.index()] = from;
            packet[Dimension::ToPort.index()] = to;
            let told = answer(&tables, Family::V4, &packet);
            assert_eq!(told, scanned(side, &packet).map(of_rank), "{packet:x?}");
        }
    }
}

/// Were the bit that ends a list lost, the code would read on: what is there must never match.
#[test]
fn nothing_after_the_last_list_can_match() {
    let any = || end(Block::V4(0, 0), ANY);
    let rules: Vec<Match> = (0..9)
        .map(|port| matching(Some(6), any(), end(Block::V4(0, 0), (port, port))))
        .collect();
    let members = members(&rules);
    let (services, sides) = build(&members).unwrap();
    let tables = Tables::new(&members, &services, &sides).unwrap();
    for stratum in &tables.v4.strata {
        let size = record_size(Family::V4, false);
        let after = &stratum.records[stratum.record_count as usize * size..];
        assert_eq!(after.len(), MAX_LIST * size);
        assert!(after.iter().all(|&byte| byte == 0xff));
    }
}
