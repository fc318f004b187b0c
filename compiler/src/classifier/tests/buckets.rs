//! Buckets: what is in them, and where it goes on.

use super::super::bucket::HELD;
use super::super::{Tables, build};
use super::*;

/// So many hosts, most of them once; some have several rules, and some so many that a tree tells them apart.
fn hosts(dice: &mut Rng, count: usize, family: Family) -> Vec<Match> {
    let mut rules = Vec::new();
    for number in 0..count {
        let host = match family {
            // In a /14: less than all of the address is no good hash.
            Family::V4 => Block::V4(0x0a00_0000 | dice.word() & 0x3_ffff, 32),
            Family::V6 => Block::V6(u128::from(dice.bits()) << 64 | 1, 128),
        };
        let same = match number % 1_000 {
            0 => 30,
            1..50 => 3,
            _ => 1,
        };
        for _ in 0..same {
            let port = dice.half() & 0x3ff;
            rules.push(matching(Some(6), None, end(host, (port, port))));
        }
    }
    rules
}

fn made(rules: &[Match]) -> Tables {
    let members = members(rules);
    let (services, sides) = build(&members).unwrap();
    Tables::new(&members, &services, &sides).unwrap()
}

#[test]
fn first_records_stand_in_buckets_and_others_are_found_from_there() {
    let rules = hosts(&mut Rng::new(30), 100_000, Family::V4);
    let tables = made(&rules);
    let buckets = tables.v4.strata.iter().find_map(|one| one.buckets.as_ref());
    // Some have a tree alone, and some a list that goes on.
    assert_eq!(buckets.unwrap().children, [true; HELD]);
    assert!(check("hosts", &rules, 2_000) > 500);
}

/// Where tables are near, children take less room; and two records of IPv6 would lie in two lines.
#[test]
fn few_hosts_and_hosts_of_ipv6_have_no_buckets() {
    for (count, family) in [(1_000, Family::V4), (100_000, Family::V6)] {
        let tables = made(&hosts(&mut Rng::new(31), count, family));
        let strata = tables.v4.strata.iter().chain(&tables.v6.strata);
        let mut hashed = strata.clone().map(|one| one.root);
        assert!(hashed.any(|root| matches!(root, Root::Hash { .. })));
        assert!(strata.clone().all(|one| one.buckets.is_none()));
    }
}
