//! Groups of bulk rules: one leaf decides for all of them, and each counts for itself.

use std::net::SocketAddr;

use sockc_grammar::source::SourceMap;

use crate::artifact::{Artifact, Section};
use crate::bpf::constant::SK_DROP;
use crate::event::{Fragment, Header, Transport};
use crate::files::Texts;
use crate::interpret::{Bare, Input, Maps, SocketModel, run};
use crate::packet::build::Frame;
use crate::pipeline::compile;
use crate::protocol::IpProtocol;
use crate::target::Target;

use super::made::{run_on, tables};
use super::questions::{looked_up, lookup};

const DROP: i32 = 1;
const PASS: i32 = 2;

fn built(text: &str) -> Artifact {
    let mut sources = SourceMap::default();
    let id = sources.add("t.sk", text);
    let target = Target::baseline();
    let outcome = compile(
        &mut sources,
        id,
        "t",
        tables(&target),
        &mut Texts::default(),
    );
    assert!(!outcome.failed(), "{outcome:?}");
    let built = outcome.built.unwrap();
    assert!(built.bulk.is_some());
    built.artifact
}

fn to_port(port: u16) -> Header {
    Header {
        from: "192.0.2.1".parse().unwrap(),
        to: "198.51.100.1".parse().unwrap(),
        protocol: IpProtocol::TCP,
        transport: Transport::Tcp {
            from: 40_000,
            to: port,
            flags: 2,
        },
        length: 60,
        ..Header::PLAIN
    }
}

/// The packets that each counter has counted, after what the programs said of these packets.
fn counted(artifact: &Artifact, packets: &[(Header, i32)]) -> Vec<u64> {
    let mut maps = Maps::new(&artifact.maps);
    for (header, wanted) in packets {
        let frame = Frame::new(header.clone()).bytes();
        let code = run_on(artifact, &mut maps, frame).code();
        assert_eq!(code, *wanted, "{header:?}");
    }
    values(artifact, &maps)
}

fn values(artifact: &Artifact, maps: &Maps) -> Vec<u64> {
    let slots = 0..artifact.manifest.counters.len() as u32;
    slots.map(|slot| maps.counted(slot).unwrap()[0]).collect()
}

/// The last counter of a block of the map is followed by the first of the next one, and each counts for itself, in tables and
/// beside them.
#[test]
fn counters_stand_in_blocks() {
    let rules = (1..=600).map(|port| match port % 100 {
        0 => format!("count tcp to port {port}\n"),
        _ => format!("allow tcp to port {port}\n"),
    });
    let artifact = built(&format!("default in drop\n{}", rules.collect::<String>()));
    let ports = [1, 255, 256, 257, 300, 512, 513, 599, 600, 601];
    let packets = ports.map(|port| match port {
        300 | 600 | 601 => (to_port(port), DROP),
        _ => (to_port(port), PASS),
    });
    let counted = counted(&artifact, &packets);
    let hit = (1..).zip(&counted).filter(|(_, count)| **count > 0);
    // The last is the default's.
    let wanted = ports.map(|port| (port, if port == 601 { &3 } else { &1 }));
    assert_eq!(hit.collect::<Vec<_>>(), wanted);
}

#[test]
fn every_rule_of_a_group_counts_for_itself() {
    let artifact = built(
        "default in drop
         allow tcp to port 1
         drop tcp to port 2
         allow tcp to port 3
         allow tcp to port {1, 4}",
    );
    let packets = [
        (to_port(1), PASS),
        (to_port(2), DROP),
        (to_port(3), PASS),
        (to_port(3), PASS),
        (to_port(4), PASS),
        (to_port(5), DROP),
    ];
    assert_eq!(counted(&artifact, &packets), [1, 1, 2, 1, 1, 0]);
}

/// `count` rules run after the decision and use the same slots of the stack.
#[test]
fn what_counts_in_between_does_not_change_whose_counter_it_is() {
    let artifact = built(
        "default in drop
         allow tcp to port 1
         count tcp to port 2-9
         allow tcp to port 2
         allow tcp to port 3
         count tcp to port 3-9",
    );
    let packets = [(to_port(1), PASS), (to_port(3), PASS), (to_port(4), DROP)];
    assert_eq!(counted(&artifact, &packets), [1, 2, 0, 1, 1, 1, 0]);
}

/// The rules that a redirect by a map became share a counter, and yet the first of them decides that matches; what stands behind
/// them counts for itself.
#[test]
fn the_first_rule_of_a_map_wins_though_all_of_them_share_a_counter() {
    let artifact = built(
        "socket one = registered
         socket two = registered
         map m = { 192.0.2.0/24:53 -> sock one, 192.0.2.0/28:53 -> sock two, 192.0.2.1:53 -> sock one }
         redirect tcp to 203.0.113.1:53 to sock two
         redirect tcp by @m
         redirect tcp to 203.0.113.2:53 to sock two
         redirect tcp by @m
         redirect tcp to 203.0.113.3:53 to sock one",
    );
    let mut maps = Maps::new(&artifact.maps);
    let sockets = maps.named("sockets").unwrap();
    for (id, socket) in (1..).zip(&artifact.manifest.sockets) {
        for slot in &socket.slots {
            let model = SocketModel::listener(id, SocketAddr::new(slot.address, 53));
            let put = maps.update_socket(sockets, &slot.index.to_ne_bytes(), model, 0);
            put.unwrap();
        }
    }
    for (to, wanted) in [
        ("203.0.113.1:53", 2),
        ("192.0.2.1:53", 1),
        ("192.0.2.2:53", 2),
        ("192.0.2.99:53", 1),
        ("203.0.113.2:53", 2),
        ("203.0.113.3:53", 1),
    ] {
        let ran = looked_up(&artifact, &mut maps, lookup(6, "198.51.100.1:4000", to));
        assert_eq!(ran.assigned.map(|socket| socket.id), Some(wanted), "{to}");
    }
    assert_eq!(values(&artifact, &maps)[..5], [1, 3, 1, 0, 1]);
}

#[test]
fn a_later_fragment_has_no_ports_to_win_by() {
    let artifact = built(
        "default in drop
         allow tcp to port 1-65535
         allow tcp from 192.0.2.0/24",
    );
    let later = Header {
        fragment: Fragment::Later,
        transport: Transport::None,
        ..to_port(1)
    };
    let packets = [(to_port(1), PASS), (later, PASS)];
    assert_eq!(counted(&artifact, &packets), [1, 1, 0, 0]);
}

/// Ports are asked of packets that have them, and a protocol of one family of that family only.
#[test]
fn what_a_packet_does_not_have_matches_nothing() {
    let artifact = built(
        "default in drop
         allow from port 1-65535
         allow icmp",
    );
    let of = |protocol, transport| Header {
        protocol,
        transport,
        ..to_port(1)
    };
    let echo = of(IpProtocol::ICMP, Transport::Icmp { kind: 8, code: 0 });
    let over_v6 = Header {
        from: "2001:db8::1".parse().unwrap(),
        to: "2001:db8::2".parse().unwrap(),
        ..of(IpProtocol::ICMP, Transport::None)
    };
    let later = Header {
        fragment: Fragment::Later,
        ..of(IpProtocol::TCP, Transport::None)
    };
    let packets = [
        (to_port(1), PASS),
        (echo, PASS),
        (over_v6, DROP),
        (of(IpProtocol::GRE, Transport::None), DROP),
        (later, DROP),
    ];
    assert_eq!(counted(&artifact, &packets), [1, 1, 3, 0]);
}

/// What a queue without a socket does not get is counted beside the rule that won, and not beside another.
#[test]
fn what_nobody_takes_is_counted_beside_each_rule() {
    let artifact = built(
        "group pods = cgroup \"/pods\"
         default send allow
         socket cache = registered
         redirect send tcp from group pods to port 1 to input of sock cache
         redirect send tcp from group pods to port 2 to input of sock cache
         redirect send tcp from group pods to port 3 to input of sock cache",
    );
    let mut maps = Maps::new(&artifact.maps);
    let program = artifact.programs.iter().find(|one| one.name == "send");
    for port in [2, 3, 3] {
        let [from, to] = [9, port].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let input = Input::of_process(Section::SkMsg, IpProtocol::TCP, from, to).unwrap();
        let ran = run(program.unwrap(), &mut maps, input, &mut Bare::default());
        assert_eq!(ran.unwrap().code(), SK_DROP);
    }
    let rows = values(&artifact, &maps);
    assert_eq!(rows[..6], [0, 0, 1, 1, 2, 2]);
}
