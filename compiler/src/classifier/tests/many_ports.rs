//! Rules of very many different ports: records hold the ports, and the table of services stays small.

use super::super::stratum::NEAR_SERVICES;
use super::super::{SERVICE_SIZE, Tables, build};
use super::*;

/// Hosts or networks, each with ports of its own.
fn different(dice: &mut Rng, count: usize, family: Family) -> Vec<Match> {
    let rule = |_| {
        let to = match family {
            Family::V4 => Block::V4(dice.word(), 24 + dice.byte() % 9),
            Family::V6 => Block::V6(u128::from(dice.bits()) << 64, 48 + dice.byte() % 17),
        };
        let from = (dice.half() & 0x7fff, 0x8000 | dice.half());
        let to = end(to, (dice.half() & 0x7fff, 0x8000 | dice.half()));
        matching(
            [Some(6), Some(17)][dice.below(2)],
            end(everyone(family), from),
            to,
        )
    };
    (0..count).map(rule).collect()
}

fn everyone(family: Family) -> Block {
    match family {
        Family::V4 => Block::V4(0, 0),
        Family::V6 => Block::V6(0, 0),
    }
}

/// How many bytes the table of services has, and how many strata hold ports.
fn sizes(rules: &[Match]) -> (usize, usize) {
    let members = members(rules);
    let (services, sides) = build(&members).unwrap();
    let tables = Tables::new(&members, &services, &sides).unwrap();
    let strata = tables.v4.strata.iter().chain(&tables.v6.strata);
    let holding = strata.filter(|one| one.holds_ports);
    (tables.services.len(), holding.count())
}

#[test]
fn records_hold_ports_where_a_table_of_them_would_be_far() {
    for family in [Family::V4, Family::V6] {
        let mut dice = Rng::new(20);
        let rules = different(&mut dice, 3 * NEAR_SERVICES, family);
        let (bytes, holding) = sizes(&rules);
        assert!(
            holding > 0 && bytes <= NEAR_SERVICES * SERVICE_SIZE,
            "{bytes} {holding}"
        );
        assert!(check("many ports", &rules, 2_000) > 500);
        let few = different(&mut dice, NEAR_SERVICES / 2, family);
        assert_eq!(sizes(&few).1, 0);
    }
}

/// More than any table of services could hold.
#[test]
fn there_may_be_any_number_of_different_ports() {
    let rules = different(&mut Rng::new(21), 160_000, Family::V4);
    assert!(check("160,000 different ports", &rules, 60) > 15);
}
