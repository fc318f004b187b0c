//! Fast answers are those of the reference meaning, and sums are those of counting by hand.

use std::net::IpAddr;

use sockc_grammar::source::SourceMap;

use super::quick::{Port, Quick};
use super::{Count, Recorded, Replay, Report, Sockets};
use crate::coverage;
use crate::decide::decide;
use crate::event::{Fragment, Header, Parsed, SocketAnswer, Transport};
use crate::files::Texts;
use crate::packet::text::{Described, DescribedWorld};
use crate::pipeline;
use crate::policy::{ClassId, Direction, Policy};
use crate::protocol::IpProtocol;
use crate::testing::Rng;
use crate::testing::{Options, random_policy};
use crate::testing::{arbitrary_header, edge_headers};

fn resolved(text: &str) -> Policy {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text);
    let outcome = pipeline::check(&mut sources, id, "test", &mut Texts::default());
    outcome
        .policy
        .unwrap_or_else(|| panic!("{:#?}\n{text}", outcome.diagnostics))
}

/// Asks twice, so that what is remembered is compared too.
fn agrees(policy: &Policy, headers: &[Header]) -> usize {
    let mut quick = Quick::new(policy);
    let mut rules = 0;
    let sockets = [
        SocketAnswer::None,
        SocketAnswer::Listening,
        SocketAnswer::Established,
    ];
    for (number, header) in headers.iter().chain(headers).enumerate() {
        for direction in [Direction::In, Direction::Out] {
            let class = number % policy.classes.len();
            let port = Port {
                class: ClassId::from_u32(u32::try_from(class).unwrap()),
                attached: number % 5 != 0,
            };
            let socket = sockets[number % 3];
            let packet = Parsed::Ip(header.clone());
            let found = quick.ask(direction, port, &packet, socket);
            let found = quick.outcome(found);
            let asked = coverage::event(port.attached, direction, port.classes(), &packet, socket);
            let Some(event) = asked else {
                assert_eq!(found.decider, None);
                continue;
            };
            let described = Described::plain(event, socket);
            let world = DescribedWorld::new(policy, &described);
            let decision = decide(policy, &described.event, &world);
            assert_eq!(
                (found.verdict, found.mark),
                (decision.verdict, decision.mark),
                "{described:?}"
            );
            if port.attached {
                assert_eq!(found.decider, Some(decision.decider), "{described:?}");
                rules += usize::from(matches!(decision.decider, crate::event::Decider::Rule(_)));
            }
        }
    }
    rules
}

#[test]
fn fast_answers_are_those_of_the_reference_meaning() {
    let mut rules = 0;
    for seed in 0..60 {
        let text = random_policy(seed, Options::whole(5 + seed as usize % 60));
        let policy = resolved(&text);
        let mut rng = Rng::new(seed);
        let mut headers = edge_headers(&policy, &mut rng, 200);
        headers.extend((0..50).map(|_| arbitrary_header(&mut rng)));
        rules += agrees(&policy, &headers);
    }
    // Most packets are made for a rule: if hardly any were decided by one, nothing was compared.
    assert!(rules > 5_000, "{rules}");
}

fn tcp(from: (&str, u16), to: (&str, u16), flags: u8) -> Header {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    Header {
        from: address(from.0),
        to: address(to.0),
        protocol: IpProtocol::TCP,
        transport: Transport::Tcp {
            from: from.1,
            to: to.1,
            flags,
        },
        length: 40,
        ..Header::PLAIN
    }
}

fn udp(from: (&str, u16), to: (&str, u16)) -> Header {
    let (from_port, to_port) = (from.1, to.1);
    Header {
        protocol: IpProtocol::UDP,
        transport: Transport::Ports {
            from: from_port,
            to: to_port,
        },
        ..tcp(from, to, 0)
    }
}

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const HERE: &str = "192.0.2.1";
const THERE: &str = "198.51.100.7";

/// A recording of the machine `HERE`.
fn replayed(old: &str, new: &str, sockets: Sockets, headers: &[Header]) -> Report {
    let (old, new) = (resolved(old), resolved(new));
    report(Replay::new(&old, &new, sockets), headers)
}

fn report(mut replay: Replay<'_>, headers: &[Header]) -> Report {
    let here: IpAddr = HERE.parse().unwrap();
    if replay.must_learn() {
        for header in headers {
            replay.learn(&Parsed::Ip(header.clone()));
        }
        replay.learnt();
    }
    for header in headers {
        let direction = if header.from == here {
            Direction::Out
        } else {
            Direction::In
        };
        replay.packet(&Recorded {
            packet: Parsed::Ip(header.clone()),
            direction,
            interface: None,
            length: header.length,
        });
    }
    replay.report()
}

/// How often each fate is kept.
fn fates(text: &str, headers: &[Header]) -> Vec<(&'static str, u64)> {
    let report = replayed(text, text, Sockets::Traffic, headers);
    assert_eq!(report.changed, Count::default());
    let kept = report.kept.iter();
    kept.map(|(fate, count)| (fate.verdict, count.packets))
        .collect()
}

#[test]
fn packets_bytes_and_flows_are_counted_by_pair() {
    let old = "default in drop\nweb: allow tcp to any:80\n";
    let new = "default in drop\nsecure: allow tcp to any:443\nweb: allow tcp from 198.51.100.0/24 to any:80\n";
    let headers = [
        tcp((THERE, 1000), (HERE, 80), SYN),
        tcp((THERE, 1000), (HERE, 443), SYN),
        tcp((THERE, 1000), (HERE, 443), ACK),
        tcp((THERE, 1001), (HERE, 443), SYN),
        tcp(("203.0.113.1", 5), (HERE, 80), SYN),
        tcp((THERE, 5), (HERE, 22), SYN),
    ];
    let report = replayed(old, new, Sockets::Traffic, &headers);
    let pair = |number: usize| {
        let pair = &report.pairs[number];
        (
            pair.from.verdict,
            pair.to.verdict,
            pair.count.packets,
            pair.count.bytes,
            pair.flows,
        )
    };
    assert_eq!(report.pairs.len(), 2);
    assert_eq!(pair(0), ("drop", "allow", 3, 120, 2));
    assert_eq!(pair(1), ("allow", "drop", 1, 40, 1));
    let top = &report.pairs[0].top;
    assert_eq!(top[0].0, "tcp from 198.51.100.7:1000 to 192.0.2.1:443");
    assert_eq!((top[0].1.packets, top[1].1.packets), (2, 1));
    assert_eq!((report.changed.packets, report.changed_flows), (4, 3));
    assert_eq!((report.whole.packets, report.flows), (6, 5));
    let kept: u64 = report.kept.iter().map(|(_, count)| count.packets).sum();
    assert_eq!(kept, 2);
    assert_eq!(report.assumptions, Vec::<&str>::new());
    let example = report.pairs[1].example.as_deref();
    assert_eq!(example, Some("tcp from 203.0.113.1:5 to 192.0.2.1:80"));
}

/// Each frame has other addresses: they are told where a rule asks for them.
#[test]
fn an_example_has_the_frame_that_a_rule_asks_for() {
    let header = Header {
        ether_from: 0x02_42_ac_11_00_07,
        ..tcp((THERE, 5), (HERE, 80), SYN)
    };
    let example = |new: &str| {
        let report = replayed(
            "default in drop\n",
            new,
            Sockets::None,
            std::slice::from_ref(&header),
        );
        report.pairs[0].example.clone().unwrap()
    };
    let plain = "tcp from 198.51.100.7:5 to 192.0.2.1:80";
    assert_eq!(example("default in allow\n"), plain);
    assert_eq!(
        example("default in drop\nallow if ether from 02:42:ac:11:00:07\n"),
        format!("{plain} with ether from 02:42:ac:11:00:07")
    );
}

#[test]
fn malformed_packets_get_the_default_and_others_than_ip_pass() {
    let (old, new) = (
        resolved("default in drop\n"),
        resolved("default in allow\n"),
    );
    let mut replay = Replay::new(&old, &new, Sockets::None);
    for packet in [Parsed::Malformed, Parsed::NotIp, Parsed::Malformed] {
        replay.packet(&Recorded {
            packet,
            direction: Direction::In,
            interface: None,
            length: 60,
        });
    }
    let report = replay.report();
    assert_eq!((report.not_ip, report.malformed), (1, 2));
    let pair = &report.pairs[0];
    assert_eq!(
        (pair.count.packets, pair.count.bytes, pair.flows),
        (2, 120, 0)
    );
    assert_eq!((pair.from.verdict, pair.to.verdict), ("drop", "allow"));
}

const ESTABLISHED: &str = "default in drop\ndefault out allow\nallow if socket established\n";
const LISTENING: &str = "default in drop\ndefault out allow\nallow if socket listening\n";

#[test]
fn an_answered_handshake_listens_first_and_is_established_then() {
    let handshake = [
        tcp((THERE, 1000), (HERE, 80), SYN),
        tcp((HERE, 80), (THERE, 1000), SYN | ACK),
        tcp((THERE, 1000), (HERE, 80), ACK),
        tcp((THERE, 1000), (HERE, 80), ACK),
        tcp((HERE, 80), (THERE, 1000), ACK),
        tcp((THERE, 1000), (HERE, 80), ACK | RST),
        tcp((THERE, 1000), (HERE, 80), ACK),
    ];
    // After the reset the port still listens.
    assert_eq!(fates(LISTENING, &handshake), [("allow", 5), ("drop", 2)]);
    assert_eq!(fates(ESTABLISHED, &handshake), [("allow", 4), ("drop", 3)]);
    let refused = [
        tcp((THERE, 1000), (HERE, 81), SYN),
        tcp((HERE, 81), (THERE, 1000), RST | ACK),
        tcp((THERE, 1000), (HERE, 81), ACK),
    ];
    for policy in [LISTENING, ESTABLISHED] {
        assert_eq!(fates(policy, &refused), [("allow", 1), ("drop", 2)]);
    }
}

#[test]
fn who_begins_a_connection_has_a_connected_socket() {
    let outgoing = [
        tcp((HERE, 1000), (THERE, 80), SYN),
        tcp((THERE, 80), (HERE, 1000), SYN | ACK),
        udp((HERE, 1000), (THERE, 53)),
        udp((THERE, 53), (HERE, 1000)),
    ];
    assert_eq!(fates(ESTABLISHED, &outgoing), [("allow", 4)]);
    let asked = [
        udp((THERE, 1000), (HERE, 53)),
        udp((HERE, 53), (THERE, 1000)),
        udp((THERE, 1000), (HERE, 54)),
    ];
    assert_eq!(fates(LISTENING, &asked), [("allow", 2), ("drop", 1)]);
}

#[test]
fn a_connection_that_began_before_the_recording_is_known_by_its_answers() {
    let midway = [
        tcp((THERE, 1000), (HERE, 80), ACK),
        tcp((HERE, 80), (THERE, 1000), ACK),
    ];
    assert_eq!(fates(ESTABLISHED, &midway), [("allow", 2)]);
    assert_eq!(fates(ESTABLISHED, &midway[..1]), [("drop", 1)]);
    let none = replayed(ESTABLISHED, ESTABLISHED, Sockets::None, &midway);
    assert_eq!(none.kept.len(), 2);
}

#[test]
fn later_fragments_find_no_socket() {
    let later = Header {
        fragment: Fragment::Later,
        transport: Transport::None,
        ..udp((THERE, 53), (HERE, 1000))
    };
    let headers = [udp((HERE, 1000), (THERE, 53)), later];
    assert_eq!(fates(ESTABLISHED, &headers), [("allow", 1), ("drop", 1)]);
}

#[test]
fn more_flows_than_can_be_told_apart_are_counted_as_packets() {
    let (old, new) = (
        resolved("default in drop\n"),
        resolved("default in allow\n"),
    );
    let headers = [1, 2, 3, 1].map(|port| tcp((THERE, port), (HERE, 80), SYN));
    let report = report(Replay::with_most(&old, &new, Sockets::Traffic, 2), &headers);
    assert_eq!((report.flows, report.beyond), (2, 1));
    assert_eq!((report.changed.packets, report.changed_flows), (4, 2));
}

#[test]
fn an_interface_that_a_policy_is_not_on_lets_packets_pass() {
    let old = resolved("interfaces eth0\ndefault in drop\n");
    let new =
        resolved("interfaces eth*\nzone wan = eth1\ndefault in drop\nallow tcp on zone wan\n");
    let mut replay = Replay::new(&old, &new, Sockets::None);
    for interface in ["eth0", "eth1", "eth2", "wlan0"] {
        replay.packet(&Recorded {
            packet: Parsed::Ip(tcp((THERE, 1), (HERE, 2), SYN)),
            direction: Direction::In,
            interface: Some(interface),
            length: 60,
        });
    }
    let report = replay.report();
    // eth1 keeps its verdict, eth2 is new and drops.
    assert_eq!(report.changed.packets, 1);
    assert_eq!(
        report.pairs[0].was,
        crate::diff::report::Decider::NotAttached
    );
    assert_eq!(report.pairs[0].to.verdict, "drop");
}

#[test]
fn what_passes_through_is_said_not_to_be_asked() {
    let packet = [udp((THERE, 9), (HERE, 53))];
    let said = |old: &str| {
        let new = "default forward drop\ndefault out allow\n";
        replayed(old, new, Sockets::None, &packet)
            .assumptions
            .clone()
    };
    let through =
        "no packet passes through: a recording does not say by which interface what leaves came in";
    assert_eq!(said("default out allow\n"), [through]);
    let none = replayed(
        "default out allow\n",
        "default in drop\n",
        Sockets::None,
        &packet,
    );
    assert!(!none.assumptions.contains(&through));
}

#[test]
fn what_a_recording_lacks_is_said_where_rules_ask_for_it() {
    let packet = [udp((THERE, 9), (HERE, 53))];
    let said = |rule: &str| {
        let new = format!("default in allow\n{rule}\n");
        let report = replayed("default in allow\n", &new, Sockets::None, &packet);
        report.assumptions.clone()
    };
    assert_eq!(said("drop udp to self:53"), ["`self` holds no address"]);
    let frames = said("drop udp to any:53 if ether from 02:00:00:00:00:01");
    assert!(frames[0].contains("without their Ethernet frames") && frames.len() == 1);
    assert_eq!(said("drop udp to any:53"), Vec::<&str>::new());
}

#[test]
fn what_fits_no_rate_is_not_said_to_fit() {
    let drops = |rate: &str| format!("default in allow\ndrop udp to any:53 above {rate}\n");
    let long = |length| Header {
        length,
        ..udp((THERE, 9), (HERE, 53))
    };
    let said = |rate: &str| {
        let text = drops(rate);
        let report = replayed(
            "default in allow\n",
            &text,
            Sockets::None,
            &[long(1000), long(1001)],
        );
        let assumptions = report.assumptions.clone();
        (report.changed.packets, assumptions)
    };
    // The longer one takes more tokens than a full bucket has.
    assert_eq!(
        said("9000 bytes/second burst 1000"),
        (
            1,
            vec!["every packet fits every rate but those of bytes whose burst it is longer than"]
        )
    );
    assert_eq!(
        said("9 packets/second"),
        (0, vec!["every packet fits every rate"])
    );
}
