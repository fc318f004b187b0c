//! What a live map has for a packet, in its table and in its trie.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sockc_random::Rng;

use crate::artifact::{Artifact, LiveMapPlan};
use crate::entry_table::{
    DEPTH, HEAD, IN_TRIE, KINDS, Key, Kind, PLAN_AT, PLANS, Piece, Plan, STATE, TRIE_SIDE,
    head_bits, value,
};
use crate::interpret::{Lookup, Maps, SocketModel};
use crate::policy::{Action, Condition, LiveMap, Policy};
use crate::protocol::IpProtocol;
use crate::tests::parts::{rule, socket};

use super::made::{built, policy};
use super::questions::{key_address, looked_up, lookup};

/// `redirect by @tenants`, with two sockets that it may name.
fn live_map() -> Policy {
    let mut policy = policy([]);
    let plain = rule(Action::Allow);
    let sockets = [
        policy.sockets.push(socket(false)),
        policy.sockets.push(socket(true)),
    ];
    let map = policy.live_maps.push(LiveMap {
        name: "tenants".into(),
        max: 100,
        start: Vec::new(),
        place: plain.place.clone(),
    });
    for socket in sockets {
        let mut rule = rule(Action::Redirect(socket));
        rule.matches.conditions = vec![Condition::Entry { map, socket }];
        policy.rules.push(rule);
    }
    policy
}

/// A key of a live map, as `LiveMapPlan` says.
fn map_key(class: u32, protocol: u8, address: &str, length: u32) -> Vec<u8> {
    let (family, _, bytes) = key_address(address.parse().unwrap());
    let mut key = (64 + length).to_ne_bytes().to_vec();
    key.extend(class.to_ne_bytes());
    key.extend([protocol, family, 0, 0]);
    key.extend(bytes);
    key
}

/// A program, its maps, and what was put into its table.
struct Tenants {
    artifact: Artifact,
    maps: Maps,
    nodes: u32,
    kinds: Vec<Kind>,
    chains: BTreeMap<u32, u32>,
}

impl Tenants {
    fn new() -> Self {
        let artifact = built(live_map());
        let mut maps = Maps::new(&artifact.maps);
        let sockets = maps.named("sockets").unwrap();
        for named in &artifact.manifest.sockets {
            for slot in &named.slots {
                let address = SocketAddr::new(slot.address, slot.port);
                let id = u64::from(slot.index) + 1;
                let model = match slot.protocol {
                    IpProtocol::TCP => SocketModel::listener(id, address),
                    _ => SocketModel::udp(id, address),
                };
                maps.update_socket(sockets, &slot.index.to_ne_bytes(), model, 0)
                    .unwrap();
            }
        }
        Self {
            artifact,
            maps,
            nodes: 0,
            kinds: Vec::new(),
            chains: BTreeMap::new(),
        }
    }

    fn put(&mut self, of: impl Fn(&LiveMapPlan) -> &String, key: u32, value: &[u8]) {
        let name = of(&self.artifact.manifest.maps[0]).clone();
        self.put_bytes(&name, &key.to_ne_bytes(), value);
    }

    fn put_bytes(&mut self, name: &str, key: &[u8], value: &[u8]) {
        let map = self.maps.named(name).unwrap();
        self.maps.update(map, key, value, 0).unwrap();
    }

    /// Writes the word that says what holds.
    fn ask(&mut self, word: u32) {
        let mut state = word.to_ne_bytes().to_vec();
        state.resize(STATE as usize, 0);
        self.put(|plan| &plan.state, 0, &state);
    }

    /// Puts a key into the table, of a side; `values` are one more than the numbers of sockets, for TCP and UDP in each view.
    fn insert(&mut self, side: u32, key: Key, values: [[u16; 2]; 2]) {
        let max = self.artifact.manifest.maps[0].max;
        self.nodes += 1;
        self.kinds.push(key.kind());
        let plan = Plan {
            seed: 3,
            side,
            kinds: self.kinds.clone(),
        };
        let head = side << head_bits(max) | key.hash(plan.seed, head_bits(max));
        let next = self.chains.insert(head, self.nodes).unwrap_or_default();
        let id = self.nodes;
        self.put(|plan| &plan.nodes, id, &key.node(next, values.map(value)));
        let mut first = id.to_ne_bytes().to_vec();
        first.resize(HEAD as usize, 0);
        self.put(|plan| &plan.heads, head, &first);
        self.put(|plan| &plan.plans, side * PLANS, &plan.bytes(max).unwrap());
    }

    fn port(&mut self, port: u32, class: u32) {
        self.put(|plan| &plan.classes, port, &class.to_ne_bytes());
    }

    fn add(&mut self, class: u32, protocol: u8, address: &str, length: u32, socket: u32) {
        let key = map_key(class, protocol, address, length);
        let value = [(socket + 1).to_ne_bytes(), length.to_ne_bytes()].concat();
        let name = self.artifact.manifest.maps[0].trie.clone();
        self.put_bytes(&name, &key, &value);
    }

    /// The name of the socket that a lookup gives.
    fn steers(&mut self, lookup: Lookup) -> Option<String> {
        let outcome = looked_up(&self.artifact, &mut self.maps, lookup);
        let assigned = u32::try_from(outcome.assigned?.id - 1).unwrap();
        let mut sockets = self.artifact.manifest.sockets.iter();
        let named = sockets.find(|one| one.slots.iter().any(|slot| slot.index == assigned));
        Some(named.unwrap().name.clone())
    }
}

#[test]
fn the_most_specific_entry_of_a_trie_wins() {
    let mut tenants = Tenants::new();
    tenants.ask(IN_TRIE);
    let names: Vec<String> = tenants
        .artifact
        .manifest
        .sockets
        .iter()
        .map(|socket| socket.name.clone())
        .collect();
    let (first, second) = (Some(names[0].clone()), Some(names[1].clone()));
    tenants.port(443, 9);
    tenants.add(u32::MAX, 6, "198.51.100.0", 24, 0);
    tenants.add(9, 6, "198.51.100.0", 24, 1);
    tenants.add(u32::MAX, 6, "198.51.100.7", 32, 0);
    tenants.add(9, 17, "0.0.0.0", 0, 1);
    tenants.add(u32::MAX, 17, "0.0.0.0", 0, 0);
    tenants.add(9, 6, "2001:db8::", 32, 1);
    let mut steers = |protocol, local: &str| {
        let remote = if local.starts_with('[') {
            "[2001:db8::9]:4000"
        } else {
            "192.0.2.1:4000"
        };
        tenants.steers(lookup(protocol, remote, local))
    };
    assert_eq!(steers(6, "198.51.100.1:80"), first);
    assert_eq!(steers(6, "198.51.100.1:443"), second);
    assert_eq!(steers(6, "198.51.100.7:443"), first);
    assert_eq!(steers(6, "198.51.101.7:443"), None);
    assert_eq!(steers(17, "203.0.113.1:443"), second);
    assert_eq!(steers(17, "203.0.113.1:444"), first);
    assert_eq!(steers(6, "[2001:db8::1]:443"), second);
    assert_eq!(steers(6, "[2001:db8::1]:80"), None);
    assert_eq!(steers(6, "[2001:db9::1]:443"), None);
}

#[test]
fn one_write_changes_which_side_of_a_trie_holds() {
    let mut tenants = Tenants::new();
    tenants.port(443, 9);
    tenants.add(9, 6, "198.51.100.0", 24, 0);
    // The other side knows another port by the same class.
    tenants.port(1 << 16 | 80, 9);
    let mut key = map_key(9, 6, "198.51.100.0", 24);
    key[10] = 1;
    let value = [2_u32.to_ne_bytes(), 24_u32.to_ne_bytes()].concat();
    let name = tenants.artifact.manifest.maps[0].trie.clone();
    tenants.put_bytes(&name, &key, &value);
    for side in [0, 1, 0] {
        tenants.ask(IN_TRIE | (TRIE_SIDE * side));
        let mut found = |local| tenants.steers(lookup(6, "192.0.2.1:4000", local)).is_some();
        assert_eq!(found("198.51.100.1:443"), side == 0);
        assert_eq!(found("198.51.100.1:80"), side == 1);
    }
}

/// So many keys of one chain as programs look at are found, and of more the oldest is not.
#[test]
fn a_chain_is_looked_at_as_far_as_it_is_said() {
    let mut tenants = Tenants::new();
    let bits = head_bits(tenants.artifact.manifest.maps[0].max);
    let every = Piece { port: 0, bits: 0 };
    let key = |number: u32| Key::new(Ipv4Addr::from_bits(number).into(), 32, every);
    let wanted = key(1).hash(3, bits);
    let of_chain = (1..).filter(|number| key(*number).hash(3, bits) == wanted);
    let chain: Vec<u32> = of_chain.take(DEPTH + 1).collect();
    let finds = |tenants: &mut Tenants, number: u32| {
        let local = format!("{}:80", Ipv4Addr::from_bits(number));
        tenants
            .steers(lookup(6, "192.0.2.1:4000", &local))
            .is_some()
    };
    for (number, one) in chain.iter().enumerate() {
        tenants.insert(0, key(*one), [[1, 0], [0, 0]]);
        assert_eq!(finds(&mut tenants, chain[0]), number < DEPTH, "{number}");
        assert!(finds(&mut tenants, *one));
    }
}

/// Two addresses of one chain that differ in one half alone are two keys.
#[test]
fn keys_of_ipv6_are_told_apart_by_each_half() {
    for half in [0, 64] {
        let mut tenants = Tenants::new();
        let bits = head_bits(tenants.artifact.manifest.maps[0].max);
        let every = Piece { port: 0, bits: 0 };
        let address = |number: u128| Ipv6Addr::from_bits((0x2001_0db8 << 96) + (number << half));
        let key = |number: u128| Key::new(address(number).into(), 128, every);
        let hash = |number: u128| key(number).hash(3, bits);
        let other = (2..).find(|number| hash(*number) == hash(1)).unwrap();
        tenants.insert(0, key(1), [[1, 0], [0, 0]]);
        let mut finds = |number: u128| {
            let local = format!("[{}]:80", address(number));
            let sought = lookup(6, "[2001:db8:9::9]:4000", &local);
            tenants.steers(sought).is_some()
        };
        assert!(finds(1));
        assert!(!finds(other), "{}", address(other));
    }
}

#[test]
fn a_word_says_which_plan_and_which_value_hold() {
    let mut tenants = Tenants::new();
    let names: Vec<String> = tenants
        .artifact
        .manifest
        .sockets
        .iter()
        .map(|socket| socket.name.clone())
        .collect();
    let [first, second] = [0, 1].map(|number: usize| Some(names[number].clone()));
    let host = Piece {
        port: 443,
        bits: 16,
    };
    let key = |address: &str| Key::new(address.parse().unwrap(), 32, host);
    tenants.insert(0, key("198.51.100.7"), [[1, 2], [2, 0]]);
    tenants.insert(1, key("198.51.100.8"), [[2, 2], [1, 1]]);
    let mut found = |word: u32, protocol, local: &str| {
        tenants.ask(word);
        tenants.steers(lookup(protocol, "192.0.2.1:4000", local))
    };
    let side = PLANS << PLAN_AT;
    assert_eq!(found(0, 6, "198.51.100.7:443"), first);
    assert_eq!(found(0, 17, "198.51.100.7:443"), second);
    assert_eq!(found(1, 6, "198.51.100.7:443"), second);
    assert_eq!(found(1, 17, "198.51.100.7:443"), None);
    assert_eq!(found(0, 6, "198.51.100.7:444"), None);
    assert_eq!(found(0, 6, "198.51.100.8:443"), None);
    assert_eq!(found(side, 6, "198.51.100.8:443"), second);
    assert_eq!(found(side | 1, 17, "198.51.100.8:443"), first);
    assert_eq!(found(side, 6, "198.51.100.7:443"), None);
}

/// A key of one of a few prefixes and pieces, of as many kinds as programs try.
fn drawn(rng: &mut Rng, kinds: &[(u8, u8)]) -> (IpAddr, u8, Piece) {
    let (length, bits) = kinds[rng.below(kinds.len())];
    let port = 1_u16 << rng.below(12) | rng.below(2) as u16;
    let piece = Piece {
        port: if bits == 0 {
            0
        } else {
            port >> (16 - bits) << (16 - bits)
        },
        bits,
    };
    let tail = 1_u32 << rng.below(8) | rng.below(2) as u32;
    match length {
        0..=32 if rng.one_in(2) => (
            Ipv4Addr::from_bits(0x0a00_0000 | tail).into(),
            length,
            piece,
        ),
        _ => {
            let bits = 0x2001_0db8_u128 << 96 | u128::from(tail) << 96 >> 28 | u128::from(tail);
            (Ipv6Addr::from_bits(bits).into(), length, piece)
        }
    }
}

#[test]
fn random_tables_answer_with_the_most_specific_key() {
    let mut rng = Rng::new(46);
    for _ in 0..30 {
        let mut tenants = Tenants::new();
        let names: Vec<String> = tenants
            .artifact
            .manifest
            .sockets
            .iter()
            .map(|socket| socket.name.clone())
            .collect();
        let kinds: Vec<(u8, u8)> = (0..KINDS)
            .map(|_| {
                let length = [8, 20, 24, 28, 31, 32, 48, 64, 65, 127, 128][rng.below(11)];
                (length, [0, 0, 8, 15, 16, 16][rng.below(6)])
            })
            .collect();
        let mut table: BTreeMap<Key, [u16; 2]> = BTreeMap::new();
        for _ in 0..60 {
            let (address, length, piece) = drawn(&mut rng, &kinds);
            let numbers = [(); 2].map(|()| rng.below(3) as u16);
            table.insert(Key::new(address, length, piece), numbers);
        }
        for (key, numbers) in &table {
            tenants.insert(0, *key, [*numbers, [0, 0]]);
        }
        for _ in 0..60 {
            let (address, _, piece) = drawn(&mut rng, &kinds);
            for protocol in IpProtocol::WITH_SOCKETS {
                let place = usize::from(protocol == IpProtocol::UDP);
                let mut all: Vec<Kind> = table.keys().map(Key::kind).collect();
                all.sort_unstable_by(|one, other| other.cmp(one));
                all.retain(|kind| kind.v6 == address.is_ipv6());
                let mut hits = all.iter().filter_map(|kind| {
                    let shift = 16 - u32::from(kind.bits);
                    let port = piece.port.checked_shr(shift).unwrap_or(0);
                    let port = port.checked_shl(shift).unwrap_or(0);
                    let piece = Piece {
                        port,
                        bits: kind.bits,
                    };
                    let found = table.get(&Key::new(address, kind.length, piece))?;
                    Some(found[place]).filter(|number| *number != 0)
                });
                let wanted = hits
                    .next()
                    .map(|number| names[usize::from(number) - 1].clone());
                let local = SocketAddr::new(address, piece.port).to_string();
                let remote = match address {
                    IpAddr::V4(_) => "192.0.2.1:4000",
                    IpAddr::V6(_) => "[2001:db8::9]:4000",
                };
                let found = tenants.steers(lookup(protocol.0, remote, &local));
                assert_eq!(found, wanted, "{protocol} {local} of {table:?}");
            }
        }
    }
}
