//! Live sets: what is in the kernel's trie after each change, and over an apply.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, LpmTrie, Map, MapData};
use sockc_compiler::artifact::{AttachPoint, MapKind, SetPlan};
use sockc_random::Rng;
use sockc_runtime::{
    Error, Expiry, Missing, Options, Prefix, set_add, set_del, set_list, set_load, set_test,
};

use crate::policy::*;
use crate::space::{Space, inside};

const LONG: Expiry = Expiry::After(Duration::from_secs(1000));
const SHORT: Expiry = Expiry::After(Duration::from_millis(30));
/// Long enough for another command meanwhile, and short enough to be waited for.
const BRIEF: Duration = Duration::from_secs(3);

pub(crate) fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().unwrap();
    let host = Prefix::host(address);
    Prefix::new(address, length.parse().unwrap_or(host.length())).unwrap()
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| prefix(text)).collect()
}

/// A policy with the set `banned`, in a map whose name depends on the policy's.
pub(crate) fn banning(name: &str, max: u32) -> Policy {
    let (trie, state) = (format!("set_{name}"), format!("cur_{name}"));
    policy(name)
        .on(&["lo"])
        .rule(AttachPoint::TcIn, "in", TC_OK)
        .map(&trie, MapKind::LpmTrie, [24, 24, 2 * max + 2, 1])
        .map(&state, MapKind::Array, [4, 24, 1, 0])
        .with(|manifest| {
            manifest.sets.push(SetPlan {
                name: "banned".to_owned(),
                map: trie.clone(),
                state: state.clone(),
                max,
                expires: None,
                start: vec![("192.0.2.0".parse().unwrap(), 24)],
                table: None,
            });
        })
}

/// The side of the set that programs ask, and its trie.
fn maps(space: &Space) -> (u64, LpmTrie<MapData, [u8; 20], [u64; 3]>) {
    let pinned = |name: &str| {
        let mut tree = space.tree().into_iter();
        let path = tree.find(|path| path.contains(name) && !path.ends_with("-due"));
        MapData::from_pin(path.unwrap()).unwrap()
    };
    let state = Array::<_, [u64; 3]>::try_from(Map::Array(pinned("/map/cur_"))).unwrap();
    let [side, ..] = state.get(&0, 0).unwrap();
    let trie = LpmTrie::try_from(Map::LpmTrie(pinned("/map/set_"))).unwrap();
    (side, trie)
}

/// Whether a program would find an address in the set of the generation in force.
fn is_member(space: &Space, address: &str) -> bool {
    let (side, trie) = maps(space);
    let mut data = [0; 20];
    let bits = match address.parse().unwrap() {
        IpAddr::V4(address) => {
            data[0] = 4;
            data[1..5].copy_from_slice(&address.octets());
            32
        }
        IpAddr::V6(address) => {
            data[0] = 6;
            data[1..17].copy_from_slice(&address.octets());
            128
        }
    };
    data[0] += u8::try_from(side).unwrap();
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    let now = Duration::from(now).as_nanos();
    let found = trie.get(&Key::new(8 + bits, data), 0);
    found.is_ok_and(|[member, ..]| u128::from(member) > now)
}

fn listed(options: &Options) -> Vec<String> {
    let set = set_list(options, "banned").unwrap();
    let elements = set.elements.iter().map(|one| one.prefix.to_string());
    elements.collect()
}

#[test]
fn what_is_added_is_in_and_what_is_removed_is_not() {
    inside(|space| {
        let options = &space.options;
        banning("p", 10).apply(options).unwrap();
        assert_eq!(listed(options), ["192.0.2.0/24"], "what it starts with");
        let both = prefixes(&["203.0.113.7", "2001:db8::/32"]);
        assert_eq!(set_add(options, "banned", &both, LONG).unwrap().elements, 3);
        for address in ["192.0.2.9", "203.0.113.7", "2001:db8::1"] {
            assert!(is_member(space, address), "{address}");
            assert!(
                set_test(options, "banned", address.parse().unwrap())
                    .unwrap()
                    .is_some()
            );
        }
        assert!(!is_member(space, "203.0.113.8"));
        assert!(!is_member(space, "2001:db9::1"));
        set_del(
            options,
            "banned",
            &prefixes(&["192.0.2.0/24", "2001:db8::/32"]),
            Missing::Refused,
        )
        .unwrap();
        assert!(!is_member(space, "192.0.2.9"));
        assert_eq!(listed(options), ["203.0.113.7"]);
    });
}

#[test]
fn an_address_is_a_member_while_anything_that_covers_it_is() {
    inside(|space| {
        let options = &space.options;
        banning("p", 10).apply(options).unwrap();
        set_add(options, "banned", &prefixes(&["10.1.2.3"]), SHORT).unwrap();
        set_add(options, "banned", &prefixes(&["10.0.0.0/8"]), LONG).unwrap();
        set_add(options, "banned", &prefixes(&["10.9.9.9"]), SHORT).unwrap();
        set_add(
            options,
            "banned",
            &prefixes(&["10.1.0.0/16"]),
            Expiry::Never,
        )
        .unwrap();
        thread::sleep(Duration::from_millis(40));
        assert!(is_member(space, "10.1.2.3"), "by what covers it");
        assert!(is_member(space, "10.9.9.9"), "by what was there before it");
        let by = set_test(options, "banned", "10.9.9.9".parse().unwrap())
            .unwrap()
            .unwrap();
        assert_eq!(by.prefix, prefix("10.0.0.0/8"));
        assert!(by.left.unwrap() > Duration::from_secs(900));
        let half = Expiry::After(Duration::from_secs(500));
        set_add(options, "banned", &prefixes(&["10.8.8.8"]), half).unwrap();
        let by = set_test(options, "banned", "10.8.8.8".parse().unwrap());
        let by = by.unwrap().unwrap();
        assert_eq!(by.prefix, prefix("10.0.0.0/8"), "what holds it longest");
        set_del(
            options,
            "banned",
            &prefixes(&["10.8.8.8"]),
            Missing::Refused,
        )
        .unwrap();
        assert_eq!(
            listed(options),
            ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24"]
        );
        set_del(
            options,
            "banned",
            &prefixes(&["10.0.0.0/8"]),
            Missing::Refused,
        )
        .unwrap();
        assert!(!is_member(space, "10.9.9.9"));
        assert!(is_member(space, "10.1.2.3"), "by the other one");
    });
}

#[test]
fn what_the_policy_declares_expires_unless_it_is_said_otherwise() {
    inside(|space| {
        let options = &space.options;
        banning("p", 10)
            .with(|manifest| manifest.sets[0].expires = Some(1_000_000))
            .apply(options)
            .unwrap();
        let add = |address, expiry| set_add(options, "banned", &prefixes(&[address]), expiry);
        add("10.0.0.1", Expiry::Declared).unwrap();
        add("10.0.0.2", Expiry::Never).unwrap();
        let expires = |address: &str| {
            let by = set_test(options, "banned", address.parse().unwrap());
            by.unwrap().unwrap().left.is_some()
        };
        assert!(expires("192.0.2.9") && expires("10.0.0.1") && !expires("10.0.0.2"));
    });
}

/// The elements of the trie, with until when their addresses are members and until when they are there themselves.
fn held(space: &Space) -> Vec<(Prefix, u64, u64)> {
    let (side, trie) = maps(space);
    let elements = trie.iter().map(|entry| {
        let (key, [member, own, length]) = entry.unwrap();
        let data = key.data();
        assert_eq!(
            u64::from(data[0]),
            4 + side,
            "nothing is left of the other side"
        );
        assert_eq!(length, u64::from(key.prefix_len() - 8));
        let address = std::net::Ipv4Addr::new(data[1], data[2], data[3], data[4]);
        let length = u8::try_from(length).unwrap();
        (Prefix::new(address.into(), length).unwrap(), member, own)
    });
    elements.collect()
}

#[test]
fn an_element_has_the_latest_time_of_all_that_cover_it_whatever_the_order() {
    inside(|space| {
        let options = &space.options;
        banning("p", 40).apply(options).unwrap();
        set_load(options, "banned", &[], LONG).unwrap();
        let mut rng = Rng::new(7);
        let mut below = |end| rng.below(end);
        for round in 0..400 {
            let length = u8::try_from(24 + below(9)).unwrap();
            // The first addresses of a block are often prefixes of several lengths.
            let last = [0, 0, 128, below(256)][below(4)];
            let address = [10, 0, 0, u8::try_from(last).unwrap()];
            let element = Prefix::truncate(address.into(), length).unwrap();
            let expiry = match below(3) {
                0 => Expiry::Never,
                _ => Expiry::After(Duration::from_secs(1000 + below(1000) as u64)),
            };
            let size = match below(3) {
                0 => set_del(options, "banned", &[element], Missing::Ignored),
                _ => set_add(options, "banned", &[element], expiry).map(|added| added.elements),
            };
            let held = held(space);
            match size {
                Ok(size) => assert_eq!(held.len(), size, "round {round}"),
                Err(error) => assert!(matches!(error, Error::SetFull { .. }), "{error}"),
            }
            for (element, member, own) in &held {
                let covering = held.iter().filter(|(outer, ..)| outer.covers(*element));
                let latest = covering.map(|(.., own)| own).max();
                assert_eq!(Some(member), latest, "round {round}: {element} until {own}");
            }
        }
        // What was counted on the way is what is there.
        let listed = set_list(options, "banned").unwrap().elements.len();
        assert_eq!(
            sockc_runtime::set_names(options).unwrap()[0].elements,
            listed
        );
        assert_eq!(held(space).len(), listed);
    });
}

#[test]
fn what_has_expired_goes_with_the_next_change_and_is_not_counted() {
    inside(|space| {
        let options = &space.options;
        banning("p", 10).apply(options).unwrap();
        set_load(
            options,
            "banned",
            &prefixes(&["10.0.0.1", "10.0.0.2"]),
            Expiry::After(BRIEF),
        )
        .unwrap();
        set_add(options, "banned", &prefixes(&["10.0.0.0/8"]), LONG).unwrap();
        thread::sleep(BRIEF + Duration::from_millis(10));
        let named = sockc_runtime::set_names(options).unwrap();
        assert_eq!(named[0].elements, 1);
        assert_eq!(held(space).len(), 3, "nothing was changed since");
        assert_eq!(listed(options), ["10.0.0.0/8"]);
        assert_eq!(
            set_add(options, "banned", &prefixes(&["10.0.0.3"]), Expiry::Never)
                .unwrap()
                .elements,
            2
        );
        assert_eq!(held(space).len(), 2);
        assert!(is_member(space, "10.0.0.1"), "by what covers it");
    });
}

#[test]
fn a_refusal_changes_nothing_and_says_what_to_do() {
    inside(|space| {
        let options = &space.options;
        let nothing = set_list(options, "banned").unwrap_err();
        assert!(matches!(nothing, Error::NothingInForce), "{nothing}");
        banning("p", 3).apply(options).unwrap();
        let hosts = prefixes(&["203.0.113.1", "203.0.113.2"]);
        set_add(options, "banned", &hosts, Expiry::After(BRIEF)).unwrap();
        let full = set_add(options, "banned", &prefixes(&["::1"]), LONG).unwrap_err();
        assert!(
            full.to_string().contains("at most 3 elements: 3 are in it"),
            "{full}"
        );
        thread::sleep(BRIEF + Duration::from_millis(10));
        // What has expired makes room.
        assert_eq!(
            set_add(options, "banned", &prefixes(&["::1"]), LONG)
                .unwrap()
                .elements,
            2
        );
        let misses = set_del(
            options,
            "banned",
            &prefixes(&["::1", "192.0.2.1"]),
            Missing::Refused,
        )
        .unwrap_err();
        assert!(
            misses.to_string().contains("by the element 192.0.2.0/24"),
            "{misses}"
        );
        assert_eq!(listed(options), ["192.0.2.0/24", "::1"]);
        let unknown = set_list(options, "baned").unwrap_err();
        assert!(
            unknown.to_string().contains("did you mean \"banned\"?"),
            "{unknown}"
        );
        let unknown = set_list(options, "x").unwrap_err();
        assert!(
            unknown.to_string().contains("it declares banned"),
            "{unknown}"
        );
    });
}

#[test]
fn a_full_set_is_replaced_as_a_whole() {
    inside(|space| {
        let options = &space.options;
        banning("p", 4).apply(options).unwrap();
        let first = prefixes(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
        assert_eq!(set_load(options, "banned", &first, LONG).unwrap(), 4);
        assert_eq!(
            set_add(options, "banned", &first, Expiry::Never)
                .unwrap()
                .elements,
            4
        );
        let second = prefixes(&["10.0.0.0/8", "10.0.0.3", "10.0.0.4", "::/0"]);
        assert_eq!(set_load(options, "banned", &second, LONG).unwrap(), 4);
        assert_eq!(
            listed(options),
            ["10.0.0.0/8", "10.0.0.3", "10.0.0.4", "::/0"]
        );
        let third = prefixes(&[
            "1.0.0.0/8",
            "2.0.0.0/8",
            "3.0.0.0/8",
            "4.0.0.0/8",
            "5.0.0.0/8",
        ]);
        set_load(options, "banned", &third, LONG).unwrap_err();
        assert!(is_member(space, "10.0.0.9"));
    });
}

#[test]
fn a_hundred_thousand_elements_are_loaded_in_a_second() {
    inside(|space| {
        let options = &space.options;
        banning("p", 100_000).apply(options).unwrap();
        let host = |number: u32| {
            Prefix::host(std::net::Ipv4Addr::from_bits(0x0a00_0000 + 3 * number).into())
        };
        let elements: Vec<Prefix> = (0..100_000).map(host).collect();
        let began = Instant::now();
        assert_eq!(
            set_load(options, "banned", &elements, LONG).unwrap(),
            100_000
        );
        println!("loaded in {} ms", began.elapsed().as_millis());
        assert!(is_member(space, "10.0.0.3"));
        assert!(!is_member(space, "10.0.0.4"));
        assert!(!is_member(space, "192.0.2.1"));
        let full = set_add(options, "banned", &prefixes(&["::1"]), LONG).unwrap_err();
        assert!(
            matches!(
                full,
                Error::SetFull {
                    wanted: 100_001,
                    ..
                }
            ),
            "{full}"
        );
        set_load(options, "banned", &[], LONG).unwrap();
        assert_eq!(listed(options), Vec::<String>::new());
    });
}

#[test]
fn a_set_comes_over_to_the_next_policy() {
    inside(|space| {
        let options = &space.options;
        banning("p", 10).apply(options).unwrap();
        set_load(options, "banned", &prefixes(&["10.0.0.0/8", "::1"]), LONG).unwrap();
        banning("q", 10).apply(options).unwrap();
        assert_eq!(listed(options), ["10.0.0.0/8", "::1"]);
        assert!(is_member(space, "10.1.1.1"));
        banning("r", 20).apply(options).unwrap();
        assert_eq!(
            listed(options),
            ["10.0.0.0/8", "::1"],
            "copied into a larger trie"
        );
        let left = set_list(options, "banned").unwrap().elements[0].left;
        assert!(left.is_some(), "with its time");
        let error = banning("s", 1).apply(options).unwrap_err().to_string();
        assert!(
            error.contains("2 elements are in") && error.contains("`max 1`"),
            "{error}"
        );
        assert_eq!(listed(options), ["10.0.0.0/8", "::1"]);
        // A set that the policy no longer declares is forgotten.
        policy("none").apply(options).unwrap();
        banning("t", 10).apply(options).unwrap();
        assert_eq!(listed(options), ["192.0.2.0/24"]);
    });
}

#[test]
fn an_apply_that_fails_leaves_the_set_as_it_was() {
    inside(|space| {
        let options = &space.options;
        banning("p", 10).apply(options).unwrap();
        set_load(options, "banned", &prefixes(&["::1"]), LONG).unwrap();
        let tree = space.tree();
        for max in [10, 20] {
            let stopping = Options {
                watch: Some(Arc::new(|step: &str| match step {
                    "switch" => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                })),
                ..options.clone()
            };
            banning("q", max).apply(&stopping).unwrap_err();
            assert_eq!(space.tree(), tree);
            assert!(is_member(space, "::1"));
            set_add(options, "banned", &prefixes(&["::2"]), LONG).unwrap();
            assert!(is_member(space, "::2"));
        }
    });
}

#[test]
fn changes_made_at_once_are_all_made() {
    inside(|space| {
        let options = &Options {
            lock_wait: Duration::from_secs(20),
            ..space.options.clone()
        };
        banning("p", 100).apply(options).unwrap();
        set_load(options, "banned", &[], LONG).unwrap();
        thread::scope(|scope| {
            for number in 0..8_u8 {
                scope.spawn(move || {
                    let element = Prefix::host([10, 0, 0, number].into());
                    set_add(options, "banned", &[element], LONG).unwrap();
                });
            }
            scope.spawn(|| banning("q", 100).apply(options).unwrap());
        });
        assert_eq!(listed(options).len(), 8);
    });
}
