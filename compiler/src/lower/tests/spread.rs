//! Names with members: which of them a flow is given, at the socket lookup and at TC, and which are passed over.

use std::net::SocketAddr;

use super::{NEXT, built, header};
use crate::bpf::asm;
use crate::bpf::constant::{SK_PASS, TC_ACT_SHOT, TCP_ESTABLISHED, XDP_DROP, XDP_PASS};
use crate::bpf::insn::Insn;
use crate::event::{Header, Transport};
use crate::interpret::{Execution, Input, Lookup, Maps, Quiet, Skb, SocketModel, Xdp, run};
use crate::packet::build::Frame;
use crate::pipeline::Built;
use crate::policy::{INTERCEPTED, Spread};
use crate::protocol::IpProtocol;
use crate::spread::order;

const MEMBERS: u32 = 5;
const FLOWS: u16 = 20;

/// What stands in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Empty,
    /// A socket of TCP that does not listen, one of UDP that is closed.
    Idle,
    Serves,
}

/// `words` stand behind the socket, `at` behind the rule.
fn policy(words: &str, at: &str) -> Built {
    built(&format!(
        "default in allow
        socket many = registered members {MEMBERS}{words}
        redirect tcp, udp to port 80 to sock many{at}\n"
    ))
}

fn maps(built: &Built, place: impl Fn(u32) -> Place) -> Maps {
    let mut maps = Maps::new(&built.artifact.maps);
    let sockets = maps.named("sockets").unwrap();
    let many = &built.artifact.manifest.sockets[0];
    for slot in &many.slots {
        let (number, _) = many.member(slot).unwrap();
        let (member, id) = (number - 1, u64::from(number - 1));
        let at = |port| SocketAddr::new(slot.address, port);
        let model = match (place(member), slot.protocol) {
            (Place::Empty, _) => continue,
            (Place::Serves, IpProtocol::TCP) => SocketModel::listener(id, at(1)),
            (Place::Serves, _) => SocketModel::udp(id, at(1)),
            (Place::Idle, IpProtocol::TCP) => {
                SocketModel::listener(id, at(1)).connected(TCP_ESTABLISHED, at(2))
            }
            (Place::Idle, _) => SocketModel::udp(id, at(0)),
        };
        maps.update_socket(sockets, &slot.index.to_ne_bytes(), model, 0)
            .unwrap();
    }
    maps
}

/// First packets of both protocols and families.
fn flows() -> impl Iterator<Item = Header> {
    let ends = [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")];
    let kinds = ends
        .into_iter()
        .flat_map(|ends| IpProtocol::WITH_SOCKETS.map(|protocol| (ends, protocol)));
    kinds.flat_map(|((from, to), protocol)| {
        (1..=FLOWS).map(move |port| Header {
            protocol,
            transport: match protocol {
                IpProtocol::TCP => Transport::Tcp {
                    from: port,
                    to: 80,
                    flags: 2,
                },
                _ => Transport::Ports { from: port, to: 80 },
            },
            ..header(from, to)
        })
    })
}

/// What a program does with a flow.
fn ran(built: &Built, name: &str, flow: &Header, place: impl Fn(u32) -> Place) -> Execution {
    let mut programs = built.artifact.programs.iter();
    let program = programs.find(|one| one.name == name).unwrap();
    let (from, to) = match flow.transport {
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => (from, to),
        Transport::Icmp { .. } | Transport::None => panic!("no flow"),
    };
    let input = match name {
        "xdp_in" => Input::Xdp(Xdp::new(Frame::new(flow.clone()).bytes())),
        "tc_in" => Input::Skb(Skb::new(Frame::new(flow.clone()).bytes())),
        _ => Input::Lookup(Lookup {
            protocol: flow.protocol,
            remote: SocketAddr::new(flow.from, from),
            local: SocketAddr::new(flow.to, to),
            ingress_ifindex: 1,
        }),
    };
    run(program, &mut maps(built, place), input, &mut Quiet).unwrap()
}

#[test]
fn the_first_in_the_order_of_the_flow_that_serves_gets_it() {
    let spreads = [
        ("", Spread::ByFlow),
        (" spread by source", Spread::BySource),
    ];
    for (words, spread) in spreads {
        for (at, name, passes) in [("", "lookup", SK_PASS), (" at tc", "tc_in", NEXT)] {
            let built = policy(&format!("{words} if absent drop"), at);
            for flow in flows() {
                let order: Vec<u32> = order(&flow, spread, MEMBERS).unwrap().collect();
                for gone in 0..=order.len() {
                    // Of those that do not serve, every other one is not there.
                    let place = |member| match order[..gone].iter().position(|one| *one == member) {
                        None => Place::Serves,
                        Some(turn) if turn % 2 == 0 => Place::Idle,
                        Some(_) => Place::Empty,
                    };
                    let outcome = ran(&built, name, &flow, place);
                    let given = outcome.assigned.map(|socket| socket.id as u32);
                    assert_eq!(given, order.get(gone).copied(), "{name} {gone} {flow:?}");
                    let code = match (given, name) {
                        (Some(_), _) => passes,
                        (None, "tc_in") => TC_ACT_SHOT,
                        (None, _) => 0,
                    };
                    assert_eq!(outcome.code(), code, "{name} {gone} {flow:?}");
                    if given.is_some() && name == "tc_in" {
                        assert_eq!(outcome.mark, Some(INTERCEPTED));
                    }
                }
            }
        }
    }
}

/// Names that share alike have one walk; what they give where nobody is there is their own.
#[test]
fn what_is_absent_at_tc_is_dropped_or_answered_as_the_name_says() {
    let built = built(
        "default in allow
        socket quiet = registered members 4 if absent drop
        socket loud = registered members 4
        redirect tcp to port 79 to sock quiet at tc
        redirect tcp to port 80 to sock loud at tc\n",
    );
    let tcp = flows().next().unwrap();
    let outcome = ran(&built, "tc_in", &tcp, |_| Place::Empty);
    assert_eq!(outcome.assigned, None);
    assert!(![TC_ACT_SHOT, NEXT].contains(&outcome.code()));
    let other = Header {
        transport: Transport::Tcp {
            from: 1,
            to: 79,
            flags: 2,
        },
        ..tcp
    };
    assert_eq!(
        ran(&built, "tc_in", &other, |_| Place::Empty).code(),
        TC_ACT_SHOT
    );
}

/// A name is there as long as somebody is in one of its places, and a closed socket is nobody.
#[test]
fn who_watches_for_absent_sockets_sees_no_closed_one() {
    let built = policy(" if absent drop", "");
    for flow in flows() {
        for (place, there) in [
            (Place::Empty, false),
            (Place::Serves, true),
            // One that does not listen is told by the lookup.
            (Place::Idle, flow.protocol == IpProtocol::TCP),
        ] {
            for number in [0, MEMBERS - 1] {
                let place = |member| match member == number {
                    true => place,
                    false => Place::Empty,
                };
                let code = ran(&built, "xdp_in", &flow, place).code();
                let wanted = if there { XDP_PASS } else { XDP_DROP };
                assert_eq!(code, wanted, "{number} {flow:?}");
            }
        }
    }
}

/// At the end of a turn stand twenty jumps that go nowhere. With fewer Linux 5.10 walks the ways of each turn over and over.
#[test]
fn the_verifier_is_made_to_remember_each_turn() {
    let built = policy(" if absent drop", "");
    for name in ["lookup", "xdp_in"] {
        let mut programs = built.artifact.programs.iter();
        let program = programs.find(|one| one.name == name).unwrap();
        let runs = program.insns.chunk_by(|one, next| one == next);
        let nowhere = runs.filter(|run| run[0] == asm::ja(0));
        let lengths: Vec<usize> = nowhere.map(<[Insn]>::len).collect();
        // One loop for each family.
        assert_eq!(lengths, [20; 2], "{name}");
    }
}
