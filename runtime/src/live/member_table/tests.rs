//! The table of a live set against what was put into it, in arrays of the kernel.

use std::collections::BTreeMap;

use sockc_compiler::member_table::{heads, nodes};
use sockc_random::Rng;

use super::*;
use crate::lab::permitted;

/// A table for so many elements; nothing where the test may not run.
pub(crate) fn made(max: u32) -> Option<MemberTable> {
    if !permitted() {
        return None;
    }
    let shared = |value: u32, entries: u32| {
        let array = Shared::create("t", value, entries).unwrap();
        Shared::new(array, value, true).unwrap()
    };
    Some(MemberTable {
        max,
        plans: shared(PLAN, 2),
        heads: shared(HEAD, heads(max)),
        nodes: shared(NODE, nodes(max)),
    })
}

fn host(number: u32) -> Prefix {
    Prefix::host(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into())
}

/// Some prefix of one of four lengths of each family.
fn drawn(rng: &mut Rng) -> Prefix {
    let (length, host) = match rng.one_in(3) {
        true => (
            [32, 48, 127, 128][rng.below(4)],
            std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) | (rng.below(64) as u128 * 3)).into(),
        ),
        false => (
            [8, 24, 31, 32][rng.below(4)],
            std::net::Ipv4Addr::from_bits(0x0a00_0000 | (rng.below(64) as u32 * 5)).into(),
        ),
    };
    Prefix::truncate(host, length).unwrap()
}

#[test]
fn what_is_put_in_and_taken_out_one_by_one_is_what_is_found() {
    let Some(table) = made(200) else { return };
    let mut rng = Rng::new(3);
    for side in [0, 1] {
        assert_eq!(table.fill(side, &[]).unwrap(), []);
        let mut model: BTreeMap<Prefix, u64> = BTreeMap::new();
        for _ in 0..2000 {
            let (element, until) = (drawn(&mut rng), 1 + rng.below(9) as u64);
            let node = table.find(side, element).unwrap();
            match (node, model.contains_key(&element)) {
                (Some(node), _) if rng.one_in(2) => {
                    table.set_time(side, node, 0).unwrap();
                    model.remove(&element);
                }
                (Some(node), _) => {
                    table.set_time(side, node, until).unwrap();
                    model.insert(element, until);
                }
                (None, true) => panic!("{element} is lost"),
                (None, false) => {
                    assert!(table.put(side, (element, until)).unwrap(), "{element}");
                    model.insert(element, until);
                }
            }
            let probe = Prefix::host(drawn(&mut rng).address());
            let found = table.covering(side, probe).unwrap().into_iter();
            let found: BTreeMap<_, _> = found.filter(|(_, until)| *until > 0).collect();
            let wanted = model.iter().filter(|(element, _)| element.covers(probe));
            assert_eq!(found, wanted.map(|(one, until)| (*one, *until)).collect());
        }
        let all: BTreeMap<_, _> = table.elements(side).unwrap().into_iter().collect();
        assert_eq!(all, model);
        assert_eq!(table.word(side, ELEMENTS_AT).unwrap() as usize, model.len());
    }
}

#[test]
fn a_side_that_is_filled_holds_what_it_takes_and_gives_the_rest_back() {
    let Some(table) = made(100) else { return };
    // One length more than programs look for; the one with the fewest elements is for the trie.
    let of = |length: u8| {
        (0..if length == 9 { 1 } else { 3 }).map(move |number: u32| {
            let address = std::net::Ipv4Addr::from_bits(number << 24);
            (Prefix::truncate(address.into(), length).unwrap(), 7)
        })
    };
    let all: Vec<Timed> = (8..=8 + KINDS as u8).flat_map(of).collect();
    let rest = table.fill(1, &all).unwrap();
    assert_eq!(rest, of(9).collect::<Vec<_>>());
    assert!(!table.is_alone(1).unwrap());
    assert_eq!(table.elements(1).unwrap().len(), all.len() - 1);
    assert_eq!(table.elements(0).unwrap(), []);
    assert!(!table.put(1, of(9).next().unwrap()).unwrap());
    assert_eq!(table.fill(1, &all[..1]).unwrap(), []);
    assert!(table.is_alone(1).unwrap());
    assert_eq!(table.elements(1).unwrap(), all[..1]);
}

#[test]
fn nothing_is_put_further_down_a_chain_than_programs_look() {
    let Some(table) = made(10) else { return };
    table.fill(0, &[]).unwrap();
    let (seed, bits) = (table.seed(0).unwrap(), head_bits(10));
    let same = (0..)
        .map(host)
        .filter(|one| key_of(*one).hash(seed, bits) == 5);
    let same: Vec<Prefix> = same.take(DEPTH + 1).collect();
    for one in &same[..DEPTH] {
        assert!(table.put(0, (*one, NEVER)).unwrap());
    }
    assert!(!table.put(0, (same[DEPTH], NEVER)).unwrap());
    assert!(
        same[..DEPTH]
            .iter()
            .all(|one| table.find(0, *one).unwrap().is_some())
    );
}

#[test]
fn a_side_is_worn_where_what_went_takes_the_room() {
    let Some(table) = made(10) else { return };
    table.fill(0, &[]).unwrap();
    let nodes = side_nodes(10);
    for number in 0..nodes {
        assert!(table.put(0, (host(number), NEVER)).unwrap());
    }
    assert!(
        !table.put(0, (host(nodes), NEVER)).unwrap(),
        "there is no room"
    );
    assert!(!table.is_worn(0, 1).unwrap(), "all of it are elements");
    for number in 0..nodes / 2 {
        let node = table.find(0, host(number)).unwrap().unwrap();
        table.set_time(0, node, 0).unwrap();
    }
    assert!(table.is_worn(0, 1).unwrap());
    assert!(!table.is_worn(0, 0).unwrap(), "nothing comes");
    table.set_word(0, ELEMENTS_AT, nodes).unwrap();
    table.recount(0).unwrap();
    assert!(table.is_worn(0, 1).unwrap());
}

const NEVER: u64 = u64::MAX;
