//! Constant sets: the tables say of every boundary and its neighbours what the ranges say, at every hook.

use std::net::IpAddr;

use super::made::{built, policy, run_on};
use crate::artifact::{Artifact, TABLE_LIMIT};
use crate::event::{Header, Transport};
use crate::interpret::Maps;
use crate::packet::build::Frame;
use crate::policy::{Action, AddressSet, Addresses, Endpoint, Policy, Set, SetKind, Side};
use crate::protocol::IpProtocol;
use crate::ranges::{Bound, RangeSet};
use crate::tests::dice::Dice;
use crate::tests::parts::rule;

/// `drop from @set`, with everything else allowed.
fn dropping(set: AddressSet) -> Policy {
    with_set(policy([]), set)
}

/// The policy with one more rule, `drop from @set`.
fn with_set(mut policy: Policy, set: AddressSet) -> Policy {
    let mut rule = rule(Action::Drop);
    let place = rule.place.clone();
    let set = policy.sets.push(Set {
        name: "large".into(),
        kind: SetKind::Constant(set),
        place,
    });
    rule.matches.from = Some(Side::Endpoints {
        negated: false,
        endpoints: vec![Endpoint {
            addresses: Addresses::Set(set),
            ports: None,
        }],
    });
    policy.rules.push(rule);
    policy
}

struct Dropper {
    artifact: Artifact,
    maps: Maps,
}

impl Dropper {
    fn new(set: &AddressSet) -> Self {
        let artifact = built(dropping(set.clone()));
        let maps = Maps::new(&artifact.maps);
        Self { artifact, maps }
    }

    fn drops(&mut self, from: IpAddr) -> bool {
        let to = match from {
            IpAddr::V4(_) => "192.0.2.1".parse().unwrap(),
            IpAddr::V6(_) => "2001:db8::1".parse().unwrap(),
        };
        let header = Header {
            from,
            to,
            protocol: IpProtocol::UDP,
            transport: Transport::Ports { from: 1, to: 2 },
            length: 60,
            ..Header::PLAIN
        };
        let frame = Frame::new(header).bytes();
        run_on(&self.artifact, &mut self.maps, frame).code() == 1
    }
}

/// Addresses at and next to the ends of ranges, and at the ends of all.
fn edges<T: Bound>(set: &RangeSet<T>) -> Vec<T> {
    let ends = set.ranges().iter().flat_map(|&(low, high)| [low, high]);
    let near = ends.flat_map(|end| [end.previous(), Some(end), end.next()]);
    near.flatten().chain([T::MIN, T::MAX]).collect()
}

fn check(set: AddressSet) {
    let mut dropper = Dropper::new(&set);
    let v4 = edges(&set.v4).into_iter().map(|one| IpAddr::V4(one.into()));
    let v6 = edges(&set.v6).into_iter().map(|one| IpAddr::V6(one.into()));
    for address in v4.chain(v6) {
        assert_eq!(
            dropper.drops(address),
            set.contains(address),
            "{address} of {set:?}"
        );
    }
}

fn both(v4: &[(u32, u32)], v6: &[(u128, u128)]) -> AddressSet {
    AddressSet {
        v4: RangeSet::from_ranges(v4.iter().copied()),
        v6: RangeSet::from_ranges(v6.iter().copied()),
    }
}

#[test]
fn small_sets_have_the_right_ends() {
    const LAST4: u32 = u32::MAX;
    const LAST6: u128 = u128::MAX;
    check(both(&[], &[]));
    check(both(&[(0, LAST4)], &[(0, LAST6)]));
    check(both(&[(0, 0)], &[(0, 0)]));
    check(both(&[(LAST4, LAST4)], &[(LAST6, LAST6)]));
    check(both(&[(0, 0), (LAST4, LAST4)], &[(0, 0), (LAST6, LAST6)]));
    check(both(
        &[(0, 6), (8, LAST4)],
        &[(0, 1 << 64), ((1 << 64) + 2, LAST6)],
    ));
    check(both(&[(7, 7)], &[(1 << 96, (2 << 96) - 1)]));
}

/// Every number of boundaries around powers of two; prefixes of IPv6 of every number of words.
#[test]
fn random_sets_have_the_right_boundaries() {
    let mut dice = Dice::new(7);
    for prefixes in [1usize, 2, 3, 4, 7, 8, 9, 31, 33] {
        for length in [16u32, 32, 33, 48, 64, 65, 96, 97, 128] {
            let v4 = (0..prefixes).map(|_| {
                let low = random(&mut dice) as u32 & (u32::MAX << (32 - length.min(32)));
                (low, low | u32::MAX.checked_shr(length).unwrap_or(0))
            });
            let v4: Vec<_> = v4.collect();
            let v6 = (0..prefixes).map(|_| {
                let low = random(&mut dice) & (u128::MAX << (128 - length));
                (low, low | u128::MAX.checked_shr(length).unwrap_or(0))
            });
            check(both(&v4, &v6.collect::<Vec<_>>()));
        }
    }
}

fn random(dice: &mut Dice) -> u128 {
    (0..8).fold(0, |bits, _| bits << 16 | dice.below(1 << 16) as u128)
}

#[test]
fn a_million_prefixes_take_several_tables() {
    let v4: Vec<(u32, u32)> = (0..1_000_000u32)
        .map(|number| (number << 12 | 5, number << 12 | 8))
        .collect();
    let v6: Vec<(u128, u128)> = (0..1_000_000u128)
        .map(|number| {
            (
                0x2001 << 112 | number << 65,
                0x2001 << 112 | number << 65 | u128::from(u64::MAX),
            )
        })
        .collect();
    let set = both(&v4, &v6);
    let mut dropper = Dropper::new(&set);
    let tables: Vec<(&str, usize)> = dropper
        .artifact
        .maps
        .values()
        .filter(|map| map.is_table())
        .filter_map(|map| Some((map.name.as_str(), map.data.as_ref()?.len())))
        .collect();
    assert_eq!(tables.len(), 3 + 4, "{tables:?}");
    assert!(tables.iter().all(|&(_, size)| size <= TABLE_LIMIT));
    let mut dice = Dice::new(3);
    for number in (0..2_000)
        .map(|_| dice.below(1_000_000))
        .chain(separators(1 << 18))
        .chain(separators((TABLE_LIMIT / 4 - (1 << 16)) / 2))
    {
        let (low, high) = v4[number];
        for address in [low - 1, low, high, high + 1] {
            let address = IpAddr::V4(address.into());
            assert_eq!(dropper.drops(address), set.contains(address), "{address}");
        }
        let (low, high) = v6[number];
        for address in [low - 1, low, high, high + 1] {
            let address = IpAddr::V6(address.into());
            assert_eq!(dropper.drops(address), set.contains(address), "{address}");
        }
    }
}

/// Prefixes around the boundaries that stand between two tables, each of which has the boundaries of so many.
fn separators(prefixes: usize) -> impl Iterator<Item = usize> {
    let between = (1..8).map(move |table| table * prefixes);
    between
        .flat_map(|middle| middle - 2..middle + 2)
        .filter(|&number| number < 1_000_000)
}

/// Many prefixes that are near each other, few elsewhere, none in most places: pieces of an index of very different sizes.
#[test]
fn an_index_leads_to_the_right_piece() {
    let mut dice = Dice::new(11);
    let near = (0..100u32).map(|number| (0x0a00_0000 | number << 3, 2));
    let far = (0..3_000).map(|_| (random(&mut dice) as u32 & !0xff, 0xfe));
    let ends = [(0, 3), (u32::MAX - 3, 3)];
    let ranges: Vec<(u32, u32)> = near
        .chain(far)
        .chain(ends)
        .map(|(low, more)| (low, low + more))
        .collect();
    let set = both(&ranges, &[]);
    let artifact = built(dropping(set.clone()));
    let tables = artifact.maps.values().filter(|map| map.is_table());
    let sizes: Vec<u32> = tables.map(|table| table.value_size).collect();
    // Four bytes a boundary, a piece's length after them, and a quarter at most for the index. Without one the boundaries
    // would be filled up to a power of two.
    assert!(
        matches!(sizes[..], [size] if size < 6_400 * 5 && 6_000 * 4 < size),
        "{sizes:?}"
    );
    check(set);
    // The index leads after the last boundary: everything there is in the set.
    let up = ranges.iter().copied().filter(|(low, _)| *low < 0xe000_0000);
    let up: Vec<(u32, u32)> = up.chain([(0xe000_0000, u32::MAX)]).collect();
    check(both(&up, &[]));
}

#[test]
fn more_large_sets_than_a_program_may_have_maps_share_few() {
    let mut policy = policy([]);
    for number in 0..80u32 {
        let low = |prefix: u32| prefix << 20 | number << 8;
        let v4: Vec<_> = (0..400)
            .map(|prefix| (low(prefix), low(prefix) | 3))
            .collect();
        policy = with_set(policy, both(&v4, &[]));
    }
    let artifact = built(policy);
    let used: std::collections::BTreeSet<_> = artifact.programs[0]
        .relocations
        .iter()
        .map(|one| one.map)
        .collect();
    // Counters, those of drops that somebody asks to see, and one table.
    assert_eq!(used.len(), 4, "{:?}", artifact.maps);
}
