//! Live maps: what a program would find after each change, and over an apply.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use aya::maps::lpm_trie::Key as TrieKey;
use aya::maps::{Array, LpmTrie, Map, MapData};
use sockc_compiler::artifact::{AttachPoint, LiveEntryPlan, LiveMapPlan, MapKind, map_keys};
use sockc_compiler::bpf::constant::BPF_F_MMAPABLE;
use sockc_compiler::entry_table::{
    HEAD, IN_TRIE, Key, META_AT, NEXT_AT, NODE, PLAN, PLAN_AT, PLANS, Piece, Plan, SIDES, STATE,
    TRIE_SIDE, VALUES_AT, VIEW, heads, nodes,
};
use sockc_runtime::{
    Error, Missing, Options, Removed, entry_text, map_add, map_del, map_list, map_put,
};

use crate::policy::*;
use crate::space::{Space, inside};

const ALL: (u16, u16) = (0, u16::MAX);

pub(crate) fn entry(prefix: &str, ports: (u16, u16), socket: &str) -> LiveEntryPlan {
    let (address, length) = prefix.split_once('/').unwrap();
    LiveEntryPlan {
        prefix: (address.parse().unwrap(), length.parse().unwrap()),
        ports,
        protocol: None,
        socket: socket.to_owned(),
    }
}

/// A policy with TCP sockets of these numbers, named by them, and a live map.
pub(crate) fn tenants(name: &str, sockets: &[u32], max: u32) -> Policy {
    tenants_with_room(name, sockets, max, map_keys(max))
}

/// The same, its trie with room for so many keys in both sides together.
fn tenants_with_room(name: &str, sockets: &[u32], max: u32, keys: u32) -> Policy {
    let arrays = [
        ("now_0", STATE, 1),
        ("plans_0", PLAN, SIDES * PLANS),
        ("heads_0", HEAD, heads(max)),
        ("nodes_0", NODE, nodes(max)),
    ];
    let mut policy = policy(name)
        .on(&["lo"])
        .rule(AttachPoint::TcIn, "in", TC_OK)
        .map("map_0", MapKind::LpmTrie, [28, 8, keys, 1])
        .map("map_0_ports", MapKind::Array, [4, 4, 2 * 65536, 0])
        .with(|manifest| {
            manifest.maps.push(LiveMapPlan {
                name: "tenants".to_owned(),
                state: "now_0".to_owned(),
                plans: "plans_0".to_owned(),
                heads: "heads_0".to_owned(),
                nodes: "nodes_0".to_owned(),
                trie: "map_0".to_owned(),
                classes: "map_0_ports".to_owned(),
                max,
                start: vec![entry("10.0.0.0/8", ALL, "s1")],
            });
        });
    for (array, value, entries) in arrays {
        let sizes = [4, value, entries, BPF_F_MMAPABLE];
        policy = policy.map(array, MapKind::Array, sizes);
    }
    for number in sockets {
        policy = policy.socket(*number, 6, &format!("127.0.0.1:{}", 7000 + number));
    }
    policy
}

fn pinned(space: &Space, end: &str) -> MapData {
    let mut tree = space.tree().into_iter();
    MapData::from_pin(tree.find(|path| path.ends_with(end)).unwrap()).unwrap()
}

/// An element of an array.
fn element<const N: usize>(space: &Space, name: &str, index: u32) -> [u8; N] {
    let map = Map::Array(pinned(space, &format!("/map/{name}")));
    let array = Array::<_, [u8; N]>::try_from(map).unwrap();
    array.get(&index, 0).unwrap()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The number of the socket that a program finds for TCP.
fn found(space: &Space, address: &str, port: u16) -> Option<u32> {
    let now = word(&element::<{ STATE as usize }>(space, "now_0", 0), 0);
    if now & IN_TRIE != 0 {
        return found_in_trie(space, now & TRIE_SIDE != 0, address, port);
    }
    let number = now >> PLAN_AT;
    let plan = element::<{ PLAN as usize }>(space, "plans_0", number);
    let plan = Plan::read(&plan, number / PLANS);
    let mut kinds = plan.kinds.clone();
    kinds.retain(|kind| !kind.v6);
    kinds.sort_unstable_by(|one, other| other.cmp(one));
    kinds
        .into_iter()
        .find_map(|kind| {
            let piece = Piece {
                port,
                bits: kind.bits,
            };
            let key = Key::new(address.parse().unwrap(), kind.length, piece);
            let value = value_of(space, &plan, &key, now & VIEW)?;
            Some(value).filter(|number| *number != 0)
        })
        .map(|number| number - 1)
}

/// What a key of the table leads to for TCP, in a view.
fn value_of(space: &Space, plan: &Plan, key: &Key, view: u32) -> Option<u32> {
    let heads = pinned(space, "/map/heads_0").info().unwrap().max_entries();
    let bits = (heads / SIDES).ilog2();
    let head = plan.side << bits | key.hash(plan.seed, bits);
    let mut id = word(&element::<{ HEAD as usize }>(space, "heads_0", head), 0);
    while id != 0 {
        let node = element::<{ NODE as usize }>(space, "nodes_0", id);
        let there = Key {
            words: [0, 4, 8, 12].map(|at| word(&node, at)),
            meta: word(&node, META_AT.into()),
        };
        if there == *key {
            let at = usize::from(VALUES_AT) + 4 * view as usize;
            return Some(u16::from_ne_bytes([node[at], node[at + 1]]).into());
        }
        id = word(&node, NEXT_AT.into());
    }
    None
}

fn found_in_trie(space: &Space, side: bool, address: &str, port: u16) -> Option<u32> {
    let IpAddr::V4(address) = address.parse().unwrap() else {
        return None;
    };
    let class = u32::from(side) << 16 | u32::from(port);
    let class = word(&element::<4>(space, "map_0_ports", class), 0);
    let trie = Map::LpmTrie(pinned(space, "/map/map_0"));
    let trie = LpmTrie::<_, [u8; 24], [u32; 2]>::try_from(trie).unwrap();
    let look = |class: u32| {
        let mut data = [0; 24];
        data[..4].copy_from_slice(&class.to_ne_bytes());
        data[4..7].copy_from_slice(&[6, 4, side.into()]);
        data[8..12].copy_from_slice(&address.octets());
        trie.get(&TrieKey::new(64 + 32, data), 0).ok()
    };
    match (look(class), look(u32::MAX)) {
        (Some([_, one]), Some([other, length])) if length > one => Some(other - 1),
        (one, other) => one.or(other).map(|[socket, _]| socket - 1),
    }
}

fn removed(entry: &LiveEntryPlan, with_socket: bool) -> [Removed; 1] {
    [Removed {
        entry: entry.clone(),
        with_socket,
    }]
}

fn listed(options: &Options) -> Vec<String> {
    let map = map_list(options, "tenants").unwrap();
    map.entries.iter().map(entry_text).collect()
}

#[test]
fn an_entry_takes_the_place_of_the_one_for_the_same_packets() {
    inside(|space| {
        let options = &space.options;
        tenants("p", &[1, 2], 10).apply(options).unwrap();
        let narrow = |socket: &str| entry("10.0.0.0/8", (80, 89), socket);
        // One that is there and one that is not.
        let put = [narrow("s2"), entry("11.0.0.0/8", ALL, "s1")];
        assert_eq!(map_put(options, "tenants", &put).unwrap(), 3);
        assert_eq!(found(space, "10.1.1.1", 80), Some(1));
        map_add(options, "tenants", &[narrow("s1")]).unwrap_err();
        assert_eq!(map_put(options, "tenants", &[narrow("s1")]).unwrap(), 3);
        assert_eq!(found(space, "10.1.1.1", 80), Some(0));
        assert_eq!(found(space, "11.1.1.1", 80), Some(0), "others stay");
        // What is for other packets as well is no such entry.
        let before = listed(options);
        let beside = entry("10.0.0.0/8", (85, 95), "s2");
        map_put(options, "tenants", &[beside]).unwrap_err();
        map_put(options, "tenants", &[narrow("s2"), narrow("s1")]).unwrap_err();
        assert_eq!(listed(options), before);
        assert_eq!(found(space, "10.1.1.1", 80), Some(0));
    });
}

#[test]
fn entries_are_found_from_when_they_are_added_until_they_are_removed() {
    inside(|space| {
        let options = &space.options;
        tenants("p", &[1, 2], 10).apply(options).unwrap();
        assert_eq!(found(space, "10.1.1.1", 80), Some(0), "what it starts with");
        let (narrow, host) = (
            entry("10.0.0.0/8", (80, 89), "s2"),
            entry("10.9.9.9/32", ALL, "s1"),
        );
        let both = [narrow.clone(), host];
        assert_eq!(map_add(options, "tenants", &both).unwrap(), 3);
        assert_eq!(found(space, "10.1.1.1", 80), Some(1));
        assert_eq!(found(space, "10.1.1.1", 90), Some(0));
        assert_eq!(found(space, "10.9.9.9", 80), Some(0), "the longer prefix");
        assert_eq!(found(space, "11.1.1.1", 80), None);
        // A range inside the other one, and then without the other one.
        let inner = entry("10.0.0.0/8", (85, 85), "s1");
        map_add(options, "tenants", &[inner]).unwrap();
        assert_eq!(found(space, "10.1.1.1", 85), Some(0));
        assert_eq!(found(space, "10.1.1.1", 84), Some(1));
        assert_eq!(
            map_del(
                options,
                "tenants",
                &removed(&narrow, false),
                Missing::Refused
            )
            .unwrap(),
            3
        );
        assert_eq!(found(space, "10.1.1.1", 84), Some(0));
        assert_eq!(
            listed(options),
            [
                "10.0.0.0/8:* -> sock s1",
                "10.9.9.9:* -> sock s1",
                "10.0.0.0/8:85 -> sock s1"
            ]
        );
    });
}

#[test]
fn a_refused_change_changes_nothing() {
    inside(|space| {
        let options = &space.options;
        tenants("p", &[1, 2], 5).apply(options).unwrap();
        let before = listed(options);
        let refused = |entries: &[LiveEntryPlan], said: &str| {
            let error = map_add(options, "tenants", entries)
                .unwrap_err()
                .to_string();
            assert!(error.contains(said), "{error}");
            assert_eq!(listed(options), before);
            assert_eq!(found(space, "10.1.1.1", 80), Some(0));
            assert_eq!(found(space, "11.1.1.1", 80), None);
        };
        let other = |port: u16| entry("11.0.0.0/8", (port, port), "s2");
        refused(
            &[entry("11.0.0.0/8", ALL, "s3")],
            "no socket \"s3\"; did you mean",
        );
        refused(&[entry("10.0.0.0/8", ALL, "s2")], "for the same packets");
        refused(
            &[other(80), entry("11.0.0.0/8", (80, 80), "s1")],
            "same packets",
        );
        let overlap = [
            entry("11.0.0.0/8", (80, 90), "s1"),
            entry("11.0.0.0/8", (85, 95), "s2"),
        ];
        refused(&overlap, "neither range is inside");
        refused(&[1, 2, 3, 4, 5].map(other), "at most 5 entries");
        let error = map_del(
            options,
            "tenants",
            &removed(&other(80), true),
            Missing::Refused,
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("is not in the map"), "{error}");
        let error = map_del(
            options,
            "tenants",
            &removed(&entry("10.0.0.0/8", ALL, "s2"), true),
            Missing::Refused,
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`10.0.0.0/8:* -> sock s2`"), "{error}");
        let error = map_list(options, "tenant").unwrap_err().to_string();
        assert!(error.contains("did you mean \"tenants\"?"), "{error}");
    });
}

#[test]
fn a_map_that_is_full_to_the_last_key_can_be_changed() {
    inside(|space| {
        let options = &space.options;
        tenants("p", &[1, 2], 32).apply(options).unwrap();
        // Each of 15 wide ranges is cut by each of 15 ports: (15 + 1) times (15 + 1) keys with the entry that is there.
        let wide = |net: u16| entry(&format!("{}.0.0.0/8", 100 + net), (1, 99), "s2");
        let narrow = |port: u16| entry("11.0.0.0/8", (port, port), "s2");
        let full: Vec<_> = (0..15)
            .flat_map(|number| [wide(number), narrow(80 + number)])
            .collect();
        map_add(options, "tenants", &full).unwrap();
        let before = listed(options);
        let error = map_add(options, "tenants", &[narrow(96)]).unwrap_err();
        let said = "make 272 keys, and it has room for 256";
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(listed(options), before);
        assert_eq!(found(space, "11.1.1.1", 96), None);
        let away = removed(&narrow(80), true);
        map_del(options, "tenants", &away, Missing::Refused).unwrap();
        map_add(options, "tenants", &[narrow(96)]).unwrap();
        assert_eq!(found(space, "11.1.1.1", 80), None);
        assert_eq!(found(space, "11.1.1.1", 81), Some(1));
        assert_eq!(found(space, "11.1.1.1", 96), Some(1));
        assert_eq!(found(space, "114.1.1.1", 96), Some(1));
    });
}

#[test]
fn a_trie_of_another_size_than_its_manifest_speaks_of_is_refused() {
    inside(|space| {
        for keys in [map_keys(10) - 1, map_keys(10) + 1] {
            let policy = tenants_with_room("p", &[1], 10, keys);
            let error = policy.apply(&space.options).unwrap_err();
            assert!(matches!(error, Error::Object { .. }), "{error}");
            let said = format!("the map \"map_0\" has room for {keys} elements");
            assert!(error.to_string().contains(&said), "{error}");
            assert_eq!(space.tree(), Vec::<String>::new());
        }
    });
}

#[test]
fn entries_come_over_to_the_next_policy_with_its_numbers() {
    inside(|space| {
        let options = &space.options;
        tenants("p", &[1, 2], 10).apply(options).unwrap();
        map_add(options, "tenants", &[entry("11.0.0.0/8", (80, 80), "s2")]).unwrap();
        let entries = listed(options);
        tenants("q", &[2, 3, 1], 10).apply(options).unwrap();
        assert_eq!(listed(options), entries);
        assert_eq!(found(space, "11.1.1.1", 80), Some(0));
        assert_eq!(found(space, "10.1.1.1", 80), Some(2));
        for (policy, said) in [
            (tenants("r", &[1], 10), "no socket \"s2\""),
            (tenants("r", &[1, 2], 1), "at most 1 entries"),
        ] {
            let error = policy.apply(options).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert_eq!(listed(options), entries);
            assert_eq!(found(space, "11.1.1.1", 80), Some(0));
        }
    });
}

#[test]
fn an_apply_that_fails_leaves_the_entries() {
    inside(|space| {
        let options = &space.options;
        tenants("p", &[1, 2], 10).apply(options).unwrap();
        let (tree, entries) = (space.tree(), listed(options));
        let stopping = Options {
            watch: Some(Arc::new(|step: &str| match step {
                "switch" => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })),
            ..options.clone()
        };
        let error = tenants("q", &[2, 1], 10).apply(&stopping).unwrap_err();
        assert!(matches!(error, Error::Stopped { .. }), "{error}");
        assert_eq!((space.tree(), listed(options)), (tree, entries));
        assert_eq!(found(space, "10.1.1.1", 80), Some(0));
    });
}

#[test]
fn ten_thousand_entries_are_put_in_at_once() {
    inside(|space| {
        let options = &space.options;
        tenants("p", &[1, 2], 10_001).apply(options).unwrap();
        let many = |number: u32| {
            let prefix = format!("{}/32", std::net::Ipv4Addr::from_bits(0x0b00_0000 + number));
            let port = u16::try_from(number).unwrap();
            entry(&prefix, (port, port + 1), "s2")
        };
        let entries: Vec<_> = (0..10_000).map(many).collect();
        let began = std::time::Instant::now();
        assert_eq!(map_add(options, "tenants", &entries).unwrap(), 10_001);
        println!("put in in {} ms", began.elapsed().as_millis());
        assert_eq!(found(space, "11.0.0.7", 7), Some(1));
        assert_eq!(found(space, "11.0.0.7", 8), Some(1));
        assert_eq!(found(space, "11.0.0.7", 9), None);
    });
}
