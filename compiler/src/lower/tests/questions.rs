//! What a runtime fills and changes while programs run: live sets, live maps, sockets, namespaces, classes of interfaces.

use std::net::{IpAddr, SocketAddr};

use sockc_grammar::source::SourceMap;

use crate::artifact::{Artifact, Program};
use crate::event::{Header, Transport};
use crate::hook::Hook;
use crate::interpret::{
    Bare, Execution, Input, Kernel, Lookup, LookupKind, Maps, Netns, SocketModel, Tuple, Xdp, run,
};
use crate::member_table::STATE;
use crate::packet::build::Frame;
use crate::pipeline::compile_policy;
use crate::policy::{
    Action, Addresses, Class, ClassId, Condition, Endpoint, NetnsId, Policy, Set, SetKind, Side,
    SocketState,
};
use crate::protocol::IpProtocol;
use crate::target::Target;
use crate::tests::parts::{rule, socket};

use super::made::{at, built, built_for, policy};

const DROP: i32 = 1;
const PASS: i32 = 2;

fn program<'a>(artifact: &'a Artifact, name: &str) -> &'a Program {
    let mut programs = artifact.programs.iter();
    programs.find(|program| program.name == name).unwrap()
}

fn datagram(from: &str, to: &str, port: u16) -> Vec<u8> {
    packet(17, from, to, port)
}

fn packet(protocol: u8, from: &str, to: &str, port: u16) -> Vec<u8> {
    let transport = match protocol {
        6 => Transport::Tcp {
            from: 40_000,
            to: port,
            flags: 2,
        },
        17 => Transport::Ports {
            from: 40_000,
            to: port,
        },
        _ => Transport::None,
    };
    let header = Header {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        protocol: IpProtocol(protocol),
        transport,
        length: 60,
        ..Header::PLAIN
    };
    Frame::new(header).bytes()
}

/// What `xdp_in` says.
fn arrives(artifact: &Artifact, maps: &mut Maps, frame: Vec<u8>, world: &mut dyn Kernel) -> i32 {
    let input = Input::Xdp(Xdp::new(frame));
    run(program(artifact, "xdp_in"), maps, input, world)
        .unwrap()
        .code()
}

pub(super) fn looked_up(artifact: &Artifact, maps: &mut Maps, lookup: Lookup) -> Execution {
    let lookup = Input::Lookup(lookup);
    let program = program(artifact, "lookup");
    run(program, maps, lookup, &mut Bare::default()).unwrap()
}

pub(super) fn lookup(protocol: u8, remote: &str, local: &str) -> Lookup {
    Lookup {
        protocol: IpProtocol(protocol),
        remote: remote.parse().unwrap(),
        local: local.parse().unwrap(),
        ingress_ifindex: 3,
    }
}

/// The bytes of an address as they stand in keys.
pub(super) fn key_address(address: IpAddr) -> (u8, u8, [u8; 16]) {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            (4, 32, bytes)
        }
        IpAddr::V6(v6) => (6, 128, v6.octets()),
    }
}

/// A key of a live set, as `SetPlan` says.
pub(super) fn set_key(address: &str, length: u32) -> Vec<u8> {
    let (family, _, bytes) = key_address(address.parse().unwrap());
    let mut key = (8 + length).to_ne_bytes().to_vec();
    key.push(family);
    key.extend(bytes);
    key.resize(24, 0);
    key
}

pub(super) fn live_set() -> Policy {
    let mut rule = at(Hook::Xdp, Action::Drop);
    let mut policy = policy([]);
    let set = policy.sets.push(Set {
        name: "banned".into(),
        kind: SetKind::Live {
            max: 100,
            expires: Some(1000),
            start: Vec::new(),
        },
        place: rule.place.clone(),
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

/// Whether what an address sends at a time is dropped.
pub(super) fn drops_at(artifact: &Artifact, maps: &mut Maps, from: &str, now: u64) -> bool {
    let to = if from.contains(':') {
        "::1"
    } else {
        "10.0.0.1"
    };
    let world = &mut Bare { now, random: 0 };
    arrives(artifact, maps, datagram(from, to, 53), world) == DROP
}

#[test]
fn members_of_live_sets_expire() {
    let artifact = built(live_set());
    let plan = &artifact.manifest.sets[0];
    let mut maps = Maps::new(&artifact.maps);
    let map = maps.named(&plan.map).unwrap();
    let mut add = |address: &str, length: u32, until: u64| {
        let mut value = [until.to_ne_bytes(), until.to_ne_bytes()].concat();
        value.extend(u64::from(length).to_ne_bytes());
        maps.update(map, &set_key(address, length), &value, 0)
            .unwrap();
    };
    add("192.0.2.0", 25, u64::MAX);
    add("192.0.2.129", 32, 500);
    add("2001:db8::", 32, u64::MAX);
    add("2001:db8:0:1::", 64, 500);
    add("2001:db8:0:1::7", 128, u64::MAX);
    let mut drops = |from: &str, now: u64| drops_at(&artifact, &mut maps, from, now);
    assert!(drops("192.0.2.0", 0) && drops("192.0.2.127", u64::MAX - 1));
    assert!(!drops("192.0.2.128", 0) && !drops("192.0.1.255", 0));
    assert!(drops("192.0.2.129", 499) && !drops("192.0.2.129", 500));
    assert!(drops("2001:db8::1", 0) && !drops("2001:db9::1", 0));
    assert!(drops("2001:db8:0:1::8", 499) && !drops("2001:db8:0:1::8", 500));
    assert!(drops("2001:db8:0:1::7", 500));
}

/// The side of a live set's trie that its state names is asked, and no other.
#[test]
fn one_write_changes_which_side_of_a_live_set_holds() {
    let artifact = built(live_set());
    let plan = &artifact.manifest.sets[0];
    let mut maps = Maps::new(&artifact.maps);
    let (trie, state) = (maps.named(&plan.map), maps.named(&plan.state));
    let [first, second] = ["192.0.2.1", "2001:db8::1"];
    for (address, length, side) in [(first, 32, 0), (second, 128, 1)] {
        let mut key = set_key(address, length);
        key[4] += side;
        maps.update(trie.unwrap(), &key, &[u8::MAX; 24], 0).unwrap();
    }
    for side in [0, 1, 0] {
        let mut value = [0; STATE as usize];
        value[0] = side;
        maps.update(state.unwrap(), &[0; 4], &value, 0).unwrap();
        let mut drops = |from: &str, to: &str| {
            let world = &mut Bare::default();
            arrives(&artifact, &mut maps, datagram(from, to, 53), world) == DROP
        };
        assert_eq!(drops(first, "10.0.0.1"), side == 0);
        assert_eq!(drops(second, "::1"), side == 1);
    }
}

#[test]
fn a_prefix_of_length_0_is_of_one_family() {
    let artifact = built(live_set());
    let mut maps = Maps::new(&artifact.maps);
    let map = maps.named(&artifact.manifest.sets[0].map).unwrap();
    let never = [u8::MAX; 24];
    maps.update(map, &set_key("::", 0), &never, 0).unwrap();
    let world = &mut Bare::default();
    let v6 = datagram("ff00::1", "::1", 53);
    assert_eq!(arrives(&artifact, &mut maps, v6, world), DROP);
    let v4 = datagram("6.0.0.1", "10.0.0.1", 53);
    assert_eq!(arrives(&artifact, &mut maps, v4, world), PASS);
}

/// `drop at xdp if sock proxy absent`
#[test]
fn a_socket_is_absent_while_its_slot_is_empty() {
    let mut policy = policy([]);
    let proxy = policy.sockets.push(socket(false));
    let mut rule = at(Hook::Xdp, Action::Drop);
    rule.matches.conditions = vec![Condition::SockAbsent(proxy)];
    policy.rules.push(rule);
    let artifact = built(policy);
    let mut maps = Maps::new(&artifact.maps);
    let sockets = maps.named("sockets").unwrap();
    let slots = artifact.manifest.sockets[0].slots.clone();
    let world = &mut Bare::default();
    let frame = |protocol| packet(protocol, "192.0.2.1", "10.0.0.1", 80);
    for protocol in [6, 17, 47] {
        assert_eq!(arrives(&artifact, &mut maps, frame(protocol), world), DROP);
    }
    let tcp4 = slots
        .iter()
        .find(|slot| slot.protocol == IpProtocol::TCP && slot.address.is_ipv4());
    let tcp4 = tcp4.unwrap();
    let model = SocketModel::listener(1, SocketAddr::new(tcp4.address, tcp4.port));
    maps.update_socket(sockets, &tcp4.index.to_ne_bytes(), model, 0)
        .unwrap();
    assert_eq!(arrives(&artifact, &mut maps, frame(6), world), PASS);
    assert_eq!(arrives(&artifact, &mut maps, frame(17), world), DROP);
    assert_eq!(arrives(&artifact, &mut maps, frame(47), world), DROP);
    let v6 = packet(6, "2001:db8::1", "2001:db8::2", 80);
    assert_eq!(arrives(&artifact, &mut maps, v6, world), DROP);
}

/// A world with a listener in the namespace 7, and in the packet's own.
struct Elsewhere;

impl Kernel for Elsewhere {
    fn lookup(&mut self, _: LookupKind, tuple: Tuple, netns: Netns) -> Option<SocketModel> {
        let there = matches!(netns, Netns::Id(7) | Netns::Current);
        there.then(|| SocketModel::listener(1, tuple.destination))
    }
    fn now(&mut self) -> u64 {
        0
    }
    fn netns_cookie(&mut self) -> u64 {
        1
    }
}

/// `drop if socket listening in netns "blue"`
#[test]
fn sockets_are_looked_up_in_other_namespaces() {
    let mut policy = policy([]);
    policy.namespaces.push("red".into());
    let blue: NetnsId = policy.namespaces.push("blue".into());
    let mut rule = at(Hook::Xdp, Action::Drop);
    rule.matches.conditions = vec![Condition::Socket {
        test: SocketState::Listening,
        netns: Some(blue),
    }];
    policy.rules.push(rule);
    let artifact = built(policy);
    let mut maps = Maps::new(&artifact.maps);
    let namespaces = maps.named("namespaces").unwrap();
    let frame = packet(6, "192.0.2.1", "10.0.0.1", 80);
    let mut said = |id: u32| {
        let value = id.to_ne_bytes();
        maps.update(namespaces, &1u32.to_ne_bytes(), &value, 0)
            .unwrap();
        arrives(&artifact, &mut maps, frame.clone(), &mut Elsewhere)
    };
    assert_eq!(
        said(0),
        PASS,
        "one that is not known is not the packet's own"
    );
    assert_eq!(said(7), PASS);
    assert_eq!(said(8), DROP);
}

/// `redirect on interface wan0 to sock proxy`
fn steered_on_wan() -> (Policy, ClassId) {
    let mut policy = policy([]);
    let proxy = policy.sockets.push(socket(false));
    let wan = policy.classes.push(Class {
        zone: None,
        patterns: vec!["wan0".into()],
    });
    let mut rule = rule(Action::Redirect(proxy));
    rule.matches.on = Some(vec![wan]);
    policy.rules.push(rule);
    (policy, wan)
}

#[test]
fn a_lookup_knows_the_class_of_the_interface() {
    let (policy, wan) = steered_on_wan();
    let target = Target::baseline().with_lookup_interface();
    let artifact = built_for(policy, &target).artifact;
    let mut maps = Maps::new(&artifact.maps);
    let interfaces = maps.named("interfaces").unwrap();
    let asked = lookup(6, "192.0.2.1:4000", "10.0.0.1:80");
    let said = looked_up(&artifact, &mut maps, asked).code();
    assert_eq!(said, 1, "an interface that nobody knows is of class 0");
    let class = (wan.as_u32() + 1).to_ne_bytes();
    maps.update(interfaces, &3u32.to_ne_bytes(), &class, 0)
        .unwrap();
    let said = looked_up(&artifact, &mut maps, asked).code();
    assert_eq!(said, 0, "the socket is not there");
}

#[test]
fn only_newer_kernels_tell_a_lookup_the_interface() {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", "");
    let (policy, _) = steered_on_wan();
    let outcome = compile_policy(policy, &sources, id, &Target::baseline());
    let codes: Vec<&str> = outcome.diagnostics.iter().map(|one| one.code.0).collect();
    assert_eq!(codes, ["E0403"]);
}
