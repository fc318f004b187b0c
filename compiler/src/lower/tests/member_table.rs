//! Whether an address is in the table of a live set, or in the trie next to it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_random::Rng;

use crate::artifact::Artifact;
use crate::entry_table::{HEAD, Key, Kind, side_nodes};
use crate::interpret::Maps;
use crate::member_table::{
    ALONE_AT, BASE_AT, DEPTH, KINDS, PLAN, SEED_AT, STATE, TIME_AT, head_bits, key, place, room,
};

use super::questions::{drops_at, live_set, set_key};

const MAX: u32 = 100;

/// A prefix and until when it is there, by its key.
type There = BTreeMap<Key, ((IpAddr, u8), u64)>;

/// A program and the maps of its set.
struct Banned {
    artifact: Artifact,
    maps: Maps,
    /// Of each side.
    plans: [Vec<u8>; 2],
    nodes: [u32; 2],
    kinds: [Vec<Kind>; 2],
    chains: BTreeMap<u32, (u32, usize)>,
}

impl Banned {
    fn new() -> Self {
        let artifact = super::made::built(live_set());
        let maps = Maps::new(&artifact.maps);
        let mut plans = [(); 2].map(|()| vec![0; PLAN as usize]);
        for (side, plan) in plans.iter_mut().enumerate() {
            plan[SEED_AT] = 7;
            let base = (side as u32) << head_bits(MAX);
            plan[BASE_AT..BASE_AT + 4].copy_from_slice(&base.to_ne_bytes());
        }
        Self {
            artifact,
            maps,
            plans,
            nodes: [0; 2],
            kinds: [Vec::new(), Vec::new()],
            chains: BTreeMap::new(),
        }
    }

    fn put(&mut self, name: &str, key: &[u8], value: &[u8]) {
        let map = self.maps.named(name).unwrap();
        self.maps.update(map, key, value, 0).unwrap();
    }

    fn write_plan(&mut self, side: usize) {
        let table = self.artifact.manifest.sets[0].table.clone().unwrap();
        let plan = self.plans[side].clone();
        self.put(&table.plans, &(side as u32).to_ne_bytes(), &plan);
    }

    /// Says whether programs have to ask the trie.
    fn alone(&mut self, side: usize, alone: bool) {
        self.plans[side][ALONE_AT] = alone.into();
        self.write_plan(side);
    }

    /// Which side holds.
    fn ask(&mut self, side: u8) {
        let mut state = vec![side];
        state.resize(STATE as usize, 0);
        let name = self.artifact.manifest.sets[0].state.clone();
        self.put(&name, &[0; 4], &state);
    }

    /// Puts a prefix in; `false` if it does not fit.
    fn insert(&mut self, side: usize, key: Key, until: u64) -> bool {
        let kind = key.kind();
        let of_family = |one: &&Kind| one.v6 == kind.v6;
        let kinds = self.kinds[side].iter().filter(of_family).count();
        let bits = head_bits(MAX);
        let head = (side as u32) << bits | key.hash(7, bits);
        let (next, length) = self.chains.get(&head).copied().unwrap_or_default();
        let known = self.kinds[side].contains(&kind);
        if length == DEPTH || !known && kinds == KINDS {
            return false;
        }
        if !known {
            let (at, bytes) = place(kind.v6, kinds);
            let mask: Vec<u8> = kind
                .mask()
                .iter()
                .flat_map(|word| word.to_ne_bytes())
                .collect();
            self.plans[side][at..at + bytes].copy_from_slice(&mask[..bytes]);
            self.plans[side][at + bytes..at + bytes + 4].copy_from_slice(&key.meta.to_ne_bytes());
            self.kinds[side].push(kind);
            self.write_plan(side);
        }
        self.nodes[side] += 1;
        let id = side as u32 * side_nodes(room(MAX)) + self.nodes[side];
        let table = self.artifact.manifest.sets[0].table.clone().unwrap();
        let mut node = key.node(next, [0; 2]);
        node[TIME_AT..].copy_from_slice(&until.to_ne_bytes());
        self.put(&table.nodes, &id.to_ne_bytes(), &node);
        let mut first = id.to_ne_bytes().to_vec();
        first.resize(HEAD as usize, 0);
        self.put(&table.heads, &head.to_ne_bytes(), &first);
        self.chains.insert(head, (id, length + 1));
        true
    }

    fn in_trie(&mut self, side: u8, address: IpAddr, length: u8, until: u64) {
        let mut key = set_key(&address.to_string(), length.into());
        key[4] += side;
        let mut value = [until.to_ne_bytes(), until.to_ne_bytes()].concat();
        value.extend(u64::from(length).to_ne_bytes());
        let name = self.artifact.manifest.sets[0].map.clone();
        self.put(&name, &key, &value);
    }

    fn drops(&mut self, from: IpAddr, now: u64) -> bool {
        drops_at(&self.artifact, &mut self.maps, &from.to_string(), now)
    }
}

/// A prefix of few networks.
fn drawn(rng: &mut Rng) -> (IpAddr, u8) {
    if rng.one_in(2) {
        let length = [32, 48, 64, 96, 127, 128][rng.below(6)];
        let bits = 0x2001_0db8_u128 << 96
            | (rng.below(2) as u128) << 64
            | (rng.below(2) as u128) << 40
            | rng.below(4) as u128;
        return (Ipv6Addr::from_bits(bits).into(), length);
    }
    let length = [8, 16, 24, 30, 31, 32][rng.below(6)];
    let bits = 0x0a00_0000
        | (rng.below(3) as u32) << 16
        | (rng.below(2) as u32) << 8
        | rng.below(8) as u32;
    (Ipv4Addr::from_bits(bits).into(), length)
}

fn covers((outer, length): (IpAddr, u8), address: IpAddr) -> bool {
    outer.is_ipv4() == address.is_ipv4() && key(outer, length) == key(address, length)
}

#[test]
fn an_address_is_a_member_while_anything_that_covers_it_has_not_expired() {
    let mut members = 0;
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut banned = Banned::new();
        let mut there: [There; 2] = Default::default();
        for _ in 0..40 {
            let (prefix, side) = (drawn(&mut rng), rng.below(2));
            let until = [0, 500, 600, u64::MAX][rng.below(4)];
            let key = key(prefix.0, prefix.1);
            if !there[side].contains_key(&key) && banned.insert(side, key, until) {
                there[side].insert(key, (prefix, until));
            }
        }
        for side in [0, 1] {
            banned.alone(side, true);
        }
        for side in [0, 1, 0] {
            banned.ask(side as u8);
            for _ in 0..60 {
                let (from, _) = drawn(&mut rng);
                let now = [0, 499, 500, 601][rng.below(4)];
                let mut all = there[side].values();
                let wanted = all.any(|(prefix, until)| covers(*prefix, from) && *until > now);
                assert_eq!(banned.drops(from, now), wanted, "seed {seed}: {from} {now}");
                members += usize::from(wanted);
            }
        }
    }
    assert!(members > 300, "{members}");
}

#[test]
fn the_trie_is_asked_unless_it_is_said_to_be_empty() {
    let mut banned = Banned::new();
    let [listed, other]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    assert!(banned.insert(0, key(listed, 32), u64::MAX));
    assert!(banned.insert(0, key(v6, 128), 5));
    banned.in_trie(0, other, 32, u64::MAX);
    banned.in_trie(0, v6, 64, 9);
    banned.in_trie(1, listed, 32, u64::MAX);
    for (alone, wanted) in [(false, true), (true, false)] {
        banned.alone(0, alone);
        assert!(banned.drops(listed, 0));
        assert_eq!(banned.drops(other, 0), wanted);
        assert_eq!(
            [4, 8, 9].map(|now| banned.drops(v6, now)),
            [true, wanted, false]
        );
    }
    banned.ask(1);
    assert!(banned.drops(listed, 0), "by the trie of the other side");
    assert!(!banned.drops(other, 0) && !banned.drops(v6, 0));
}

/// The last node of the longest chain is found, and one after it is not looked for.
#[test]
fn a_chain_is_followed_to_its_end() {
    let mut banned = Banned::new();
    banned.alone(0, true);
    let bits = head_bits(MAX);
    let hosts = (0..).map(|number| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number)));
    let same = hosts.filter(|one| key(*one, 32).hash(7, bits) == 3);
    let same: Vec<IpAddr> = same.take(DEPTH + 1).collect();
    for one in &same[..DEPTH] {
        assert!(banned.insert(0, key(*one, 32), u64::MAX));
    }
    for one in &same[..DEPTH] {
        assert!(banned.drops(*one, 0));
    }
    assert!(!banned.drops(same[DEPTH], 0));
}
