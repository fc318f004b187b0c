//! The answers to rejected packets, byte by byte, at both hooks.

use std::net::IpAddr;

use super::made::{at, built, policy, run_on};
use crate::artifact::Artifact;
use crate::event::{Fragment, Header, Parsed, Transport};
use crate::hook::Hook;
use crate::interpret::{Bare, Execution, Input, Maps, Skb, Xdp, run};
use crate::packet::build::{Extension, Frame};
use crate::packet::parse::{Layout, parse};
use crate::policy::{Action, DefaultVerdict};
use crate::protocol::IpProtocol;

const HOOKS: [Hook; 2] = [Hook::Xdp, Hook::TcIn];
const ADDRESSES: [(&str, &str); 2] = [("10.0.0.1", "192.0.2.7"), ("2001:db8::1", "2001:db8::7")];
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const FIN: u8 = 1;
/// The number of `lo`, and of an interface on a wire.
const LO: u32 = 1;
const WIRE: u32 = 7;

fn rejecting(hook: Hook) -> Artifact {
    built(policy([at(hook, Action::Reject)]))
}

fn header(addresses: (&str, &str), protocol: u8, transport: Transport) -> Header {
    Header {
        from: addresses.0.parse().unwrap(),
        to: addresses.1.parse().unwrap(),
        protocol: IpProtocol(protocol),
        transport,
        ..Header::PLAIN
    }
}

fn tcp(addresses: (&str, &str), flags: u8) -> Header {
    let transport = Transport::Tcp {
        from: 40000,
        to: 80,
        flags,
    };
    header(addresses, 6, transport)
}

fn udp(addresses: (&str, &str)) -> Header {
    let transport = Transport::Ports { from: 4000, to: 53 };
    header(addresses, 17, transport)
}

fn answer(hook: Hook, frame: &Frame) -> Option<Vec<u8>> {
    answer_on(hook, WIRE, frame)
}

/// The answer to a frame that comes in by an interface.
fn answer_on(hook: Hook, interface: u32, frame: &Frame) -> Option<Vec<u8>> {
    let artifact = rejecting(hook);
    let mut maps = Maps::new(&artifact.maps);
    let input = match hook {
        Hook::Xdp => Input::Xdp(Xdp {
            ingress_ifindex: interface,
            ..Xdp::new(frame.bytes())
        }),
        _ => Input::Skb(Skb {
            ifindex: interface,
            ingress_ifindex: interface,
            ..Skb::new(frame.bytes())
        }),
    };
    let program = &artifact.programs[0];
    let outcome = run(program, &mut maps, input, &mut Bare::default()).unwrap();
    sent(hook, interface, outcome)
}

fn sent(hook: Hook, interface: u32, outcome: Execution) -> Option<Vec<u8>> {
    match (hook, outcome.code()) {
        (Hook::Xdp, 1) | (Hook::TcIn, 2) => None,
        (Hook::Xdp, 3) => Some(outcome.frame),
        (Hook::TcIn, 7) => {
            assert_eq!(outcome.forwarded.unwrap().ifindex, interface);
            Some(outcome.frame)
        }
        other => panic!("{other:?}"),
    }
}

/// The sum of 16-bit words, which is 0xffff where a checksum is right.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// The packet after the Ethernet header and tags, with its checksums verified; its header, and what follows that.
fn verified(reply: &[u8], offset: usize) -> (Header, Vec<u8>) {
    let Parsed::Ip(header) = parse(reply, Layout::Ethernet) else {
        panic!("{reply:02x?}");
    };
    let packet = &reply[offset..offset + header.length as usize];
    let (start, addresses) = if header.from.is_ipv4() {
        assert_eq!(packet[0], 0x45);
        assert_eq!(sum(&packet[..20]), 0xffff);
        (20, 12..20)
    } else {
        assert_eq!(packet[0], 0x60);
        (40, 8..40)
    };
    let mut covered = packet[start..].to_vec();
    if header.protocol != IpProtocol::ICMP {
        covered.resize(covered.len().next_multiple_of(2), 0);
        covered.extend(&packet[addresses]);
        covered.extend([0, header.protocol.0]);
        covered.extend(((packet.len() - start) as u16).to_be_bytes());
    }
    assert_eq!(sum(&covered), 0xffff, "{packet:02x?}");
    assert_eq!(header.ttl, 64);
    (header, packet[start..].to_vec())
}

fn assert_turned(frame: &[u8], reply: &[u8]) {
    assert_eq!(reply[0..6], frame[6..12]);
    assert_eq!(reply[6..12], frame[0..6]);
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

#[test]
fn a_segment_gets_a_reset_where_its_sender_takes_it() {
    let cases = [
        (SYN, 0, 0, RST | ACK, 1),
        (SYN, 5, 0, RST | ACK, 6),
        (FIN, 5, 0, RST | ACK, 6),
        (0, 7, 0, RST | ACK, 7),
        (ACK, 7, 777, RST, 0),
        (SYN | ACK, 0, 0xffff_ff00, RST, 0),
    ];
    for hook in HOOKS {
        for addresses in ADDRESSES {
            for (flags, payload, acknowledged, reset, more) in cases {
                let frame = Frame::new(tcp(addresses, flags))
                    .shrink()
                    .sequence(0xffff_fffe, acknowledged)
                    .tcp_options(3)
                    .shrink()
                    .payload(&vec![9; payload]);
                let reply = answer(hook, &frame).unwrap();
                assert_turned(&frame.bytes(), &reply);
                let (header, segment) = verified(&reply, 14);
                let expected = Header {
                    transport: Transport::Tcp {
                        from: 80,
                        to: 40000,
                        flags: reset,
                    },
                    length: header.length,
                    ..tcp((addresses.1, addresses.0), 0)
                };
                assert_eq!(header, expected);
                assert_eq!(segment.len(), 20);
                let wanted = if flags & ACK != 0 {
                    (acknowledged, 0)
                } else {
                    (0, 0xffff_fffe_u32.wrapping_add(more))
                };
                assert_eq!((number(&segment[4..]), number(&segment[8..])), wanted);
            }
        }
    }
}

#[test]
fn other_packets_get_a_port_unreachable_that_quotes_them() {
    for hook in HOOKS {
        for (addresses, most) in ADDRESSES.into_iter().zip([68, 88]) {
            for payload in [0, 1, 2, 3, 4, 40, 100, 1000] {
                let frame = Frame::new(udp(addresses))
                    .shrink()
                    .payload(&vec![0xab; payload])
                    .padding(18);
                let reply = answer(hook, &frame).unwrap();
                assert_turned(&frame.bytes(), &reply);
                let (header, message) = verified(&reply, 14);
                assert_eq!(header.from, addresses.1.parse::<IpAddr>().unwrap());
                assert_eq!(header.to, addresses.0.parse::<IpAddr>().unwrap());
                let kind = if header.from.is_ipv4() {
                    [3, 3]
                } else {
                    [1, 4]
                };
                assert_eq!(message[..2], kind);
                assert_eq!(message[4..8], [0; 4]);
                let length = (frame.header().length as usize).min(most) & !3;
                assert_eq!(message[8..], frame.bytes()[14..14 + length]);
            }
        }
    }
}

#[test]
fn options_extensions_and_tags_are_stepped_over() {
    for hook in HOOKS {
        for addresses in ADDRESSES {
            for header in [tcp(addresses, SYN), udp(addresses)] {
                for tags in 0..=2 {
                    let frame = Frame::new(header.clone())
                        .ip_options(10)
                        .extension(Extension::HopByHop(0))
                        .extension(Extension::Destination(2));
                    let frame = (0..tags)
                        .fold(frame, |frame, tag| frame.vlan(7 + tag))
                        .shrink();
                    let reply = answer(hook, &frame).unwrap();
                    let offset = 14 + 4 * usize::from(tags);
                    assert_eq!(reply[12..offset], frame.bytes()[12..offset]);
                    let (answered, body) = verified(&reply, offset);
                    assert_eq!(answered.to, header.from);
                    let icmp = header.protocol == IpProtocol::UDP;
                    let length = frame.header().length as usize;
                    assert_eq!(body.len(), if icmp { 8 + length } else { 20 });
                }
            }
        }
    }
}

#[test]
fn what_must_not_be_answered_is_dropped_in_silence() {
    let icmp =
        |addresses, protocol, kind| header(addresses, protocol, Transport::Icmp { kind, code: 0 });
    let [v4, v6] = ADDRESSES;
    let later = |addresses| Header {
        fragment: Fragment::Later,
        transport: Transport::None,
        ..udp(addresses)
    };
    let silent = [
        tcp(v4, RST),
        tcp(v6, RST | ACK),
        icmp(v4, 1, 0),
        icmp(v4, 1, 3),
        icmp(v6, 58, 1),
        icmp(v6, 58, 129),
        later(v4),
        later(v6),
        udp(("10.0.0.1", "224.0.0.1")),
        udp(("10.0.0.1", "255.255.255.255")),
        udp(("0.0.0.0", "10.0.0.1")),
        udp(("240.0.0.1", "10.0.0.1")),
        udp(("2001:db8::1", "ff02::1")),
        udp(("10.0.0.1", "0.0.0.7")),
        udp(("::", "2001:db8::1")),
        udp(("2001:db8::1", "::")),
        tcp(("::ffff:10.0.0.1", "2001:db8::1"), SYN),
        udp(("2001:db8::1", "::ffff:10.0.0.1")),
        tcp(("ff02::1", "2001:db8::1"), SYN),
    ];
    for hook in HOOKS {
        for header in &silent {
            let frame = Frame::new(header.clone()).shrink();
            assert_eq!(answer(hook, &frame), None, "{header:?}");
        }
        let first = Header {
            fragment: Fragment::First,
            ..udp(v6)
        };
        let answered = [first, icmp(v4, 1, 8), icmp(v6, 58, 128)];
        for header in answered {
            let frame = Frame::new(header.clone()).shrink();
            assert!(answer(hook, &frame).is_some(), "{header:?}");
        }
    }
}

/// Packets of this host's own: `lo` brings them, and nobody else may have sent them.
#[test]
fn what_only_lo_brings_is_answered_there_alone() {
    let own = [
        ("127.0.0.1", "127.0.0.1"),
        ("127.9.8.7", "192.0.2.7"),
        ("192.0.2.7", "127.0.0.1"),
        ("192.0.2.7", "192.0.2.7"),
        ("::1", "::1"),
        ("::1", "2001:db8::7"),
        ("2001:db8::7", "::1"),
        ("2001:db8::7", "2001:db8::7"),
    ];
    // One bit or byte away from those, and ordinary.
    let others = [
        ("126.255.255.255", "128.0.0.1"),
        ("192.0.2.7", "192.0.2.6"),
        ("::2", "::3"),
        ("::1:0:0:1", "2001:db8::7"),
        ("2001:db8::1", "::1:0:1"),
        ("::fffe:10.0.0.1", "::fffe:10.0.0.2"),
        ("1::ffff:10.0.0.1", "1::1"),
        ("2001:db8::7", "2001:db8:0:1::7"),
    ];
    for hook in HOOKS {
        for header in [|ends| tcp(ends, SYN), udp] {
            let answered = |interface, ends| {
                let frame = Frame::new(header(ends)).shrink();
                answer_on(hook, interface, &frame).is_some()
            };
            for ends in own {
                assert!(!answered(WIRE, ends), "{ends:?}");
                assert!(answered(LO, ends), "{ends:?}");
            }
            for ends in others {
                assert!(answered(WIRE, ends), "{ends:?}");
            }
            assert!(!answered(LO, ("127.0.0.1", "224.0.0.1")));
            assert!(!answered(LO, ("::1", "ff02::1")));
        }
    }
}

/// Neither a frame for many is answered nor one from many, whose answer would be for them.
#[test]
fn hardware_addresses_of_many_are_not_answered() {
    let single = [2, 0, 0, 0, 0, 1];
    for hook in HOOKS {
        for many in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            for ends in ADDRESSES {
                let frame = || Frame::new(tcp(ends, SYN)).shrink();
                assert!(answer(hook, &frame().addresses(single, single)).is_some());
                assert_eq!(answer(hook, &frame().addresses(single, many)), None);
                assert_eq!(answer(hook, &frame().addresses(many, single)), None);
            }
        }
    }
}

/// What the link brought to others, to many or to all is not answered (TC is told so by the kernel).
#[test]
fn what_is_not_for_this_host_is_not_answered() {
    let artifact = rejecting(Hook::TcIn);
    let frame = Frame::new(udp(ADDRESSES[0])).shrink().bytes();
    for packet_type in 0..4 {
        let mut maps = Maps::new(&artifact.maps);
        let skb = Skb {
            packet_type,
            ..Skb::new(frame.clone())
        };
        let mut world = Bare::default();
        let outcome = run(
            &artifact.programs[0],
            &mut maps,
            Input::Skb(skb),
            &mut world,
        )
        .unwrap();
        assert_eq!(sent(Hook::TcIn, LO, outcome).is_some(), packet_type == 0);
    }
}

#[test]
fn a_default_rejects_too_but_not_what_is_malformed() {
    let mut policy = policy([at(Hook::TcIn, Action::Count)]);
    policy.defaults[0].verdict = DefaultVerdict::Reject;
    let artifact = built(policy);
    let mut maps = Maps::new(&artifact.maps);
    let frame = Frame::new(tcp(ADDRESSES[0], SYN)).shrink().bytes();
    let whole = run_on(&artifact, &mut maps, frame.clone());
    verified(&sent(Hook::TcIn, LO, whole).unwrap(), 14);
    let cut = run_on(&artifact, &mut maps, frame[..40].to_vec());
    assert_eq!(sent(Hook::TcIn, LO, cut), None);
    let counted = |slot: u32| maps.counted(slot).unwrap()[0];
    assert_eq!((counted(0), counted(1), counted(2)), (1, 1, 1));
}
