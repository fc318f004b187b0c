//! Records of `log` in the kernel's ring, and answers as the kernel's own helpers write them.

use std::net::SocketAddr;

use aya::maps::RingBuf;
use sockc_compiler::event::{Header, Parsed, Transport};
use sockc_compiler::hook::Hook;
use sockc_compiler::log::parse;
use sockc_compiler::packet::build::Frame;
use sockc_compiler::packet::parse::{Layout, parse as parse_frame};
use sockc_compiler::policy::{Action, Log};
use sockc_compiler::target::Target;

use crate::knock::{SYN, header};
use crate::loaded::Loaded;
use crate::stage::{SERVER, Stage, at, compile_changed, ip, permitted, wait_for};

const ENDS: [(&str, &str); 2] = [
    ("10.0.0.1:4000", "192.0.2.7:80"),
    ("[2001:db8::1]:4000", "[2001:db8::7]:80"),
];

#[test]
fn records_come_out_of_the_ring() {
    if !permitted() {
        return;
    }
    for (hook, name) in [(Hook::Xdp, "xdp"), (Hook::TcIn, "tc")] {
        let text = format!(
            "default in allow
             drop tcp at {name}"
        );
        let compiled = compile_changed(&text, &Target::baseline(), |policy| {
            for rule in policy.rules.values_mut() {
                rule.log = Some(Log {
                    text: "seen".into(),
                    sample: None,
                    max: Some((3, 3600)),
                });
            }
        });
        assert_eq!(compiled.manifest.counters[0].log.as_deref(), Some("seen"));
        let mut loaded = Loaded::new(&compiled);
        let sent: Vec<Header> = ENDS
            .into_iter()
            .cycle()
            .take(5)
            .map(|(from, to)| header(6, at(from), at(to), SYN))
            .collect();
        for header in &sent {
            loaded.run(&Frame::new(header.clone()).bytes());
        }
        let mut ring = RingBuf::try_from(loaded.ebpf.take_map("log").unwrap()).unwrap();
        for header in &sent[..3] {
            let record = parse(&ring.next().unwrap()).unwrap();
            assert_eq!((record.counter, record.hook), (0, hook));
            assert!(record.time > 0);
            let packet = record.packet.unwrap();
            assert_eq!((packet.from, packet.to), (header.from, header.to));
            assert_eq!(packet.ports, Some((4000, 80)));
            assert_eq!((packet.flags, packet.length), (Some(SYN), header.length));
        }
        assert!(ring.next().is_none(), "the limit is three an hour");
    }
}

/// What the policy in force logs, as whoever watches it reads it.
#[test]
fn the_policy_in_force_says_what_it_logs() {
    let Some(stage) = Stage::new() else { return };
    let open = || sockc_runtime::LogReader::open(&stage.options).unwrap();
    assert!(stage.lab.server.run(open).unwrap().is_none());
    let text = "default in allow
         knocks: allow udp to port 9 at tc";
    let compiled = compile_changed(text, &Target::baseline(), |policy| {
        for rule in policy.rules.values_mut() {
            rule.log = Some(Log {
                text: "knock".into(),
                sample: None,
                max: None,
            });
        }
    });
    stage.apply_compiled(&compiled).unwrap();
    let mut log = stage.lab.server.run(open).unwrap().unwrap();
    for to in SERVER {
        let to = SocketAddr::new(ip(to), 9).to_string();
        stage.assert_datagram(&to, &stage.udp(&to));
        let mut record = None;
        wait_for("a record", || {
            record = log.take();
            record.is_some()
        });
        let record = record.unwrap();
        let counter = &compiled.manifest.counters[record.counter as usize];
        assert_eq!(counter.label.as_deref(), Some("knocks"));
        assert!(record.interface > 0);
        assert_eq!(record.packet.unwrap().to, at(&to).ip());
    }
    assert!(log.take().is_none());
}

/// The kernel's helpers write the same answers as the interpreter's: what both hooks return is a packet whose checksums are
/// right.
#[test]
fn answers_are_right_to_the_byte() {
    if !permitted() {
        return;
    }
    for (name, sends) in [("xdp", 3), ("tc", 7)] {
        let text = format!(
            "default in allow
             drop in at {name}"
        );
        let loaded = Loaded::new(&compile_changed(&text, &Target::baseline(), |policy| {
            for rule in policy.rules.values_mut() {
                rule.action = Action::Reject;
            }
        }));
        for (from, to) in ENDS {
            for (protocol, payload) in [(6, 0), (6, 701), (17, 0), (17, 9), (17, 900), (132, 31)] {
                let packet = header(protocol, at(from), at(to), SYN);
                // TC takes frames for the address of `lo`, which is all zero, for its own. A tag stays in its buffer, as
                // a second one would.
                let frame = Frame::new(packet)
                    .addresses([2, 0, 0, 0, 0, 1], [0; 6])
                    .payload(&vec![7; payload]);
                let tags = payload % 2;
                let frame = (0..tags).fold(frame, |frame, _| frame.vlan(5));
                let (code, answer) = loaded.rewrite(&frame.bytes());
                assert_eq!(code, sends, "{name} {protocol}");
                assert_eq!(answer[..6], [2, 0, 0, 0, 0, 1]);
                assert_eq!(answer[6..12], [0; 6]);
                let offset = 14 + 4 * tags;
                assert_eq!(answer[12..offset], frame.bytes()[12..offset]);
                assert_right(&answer[offset - 14..]);
                let Parsed::Ip(found) = parse_frame(&answer, Layout::Ethernet) else {
                    panic!("{answer:02x?}");
                };
                assert_eq!((found.from, found.to), (at(to).ip(), at(from).ip()));
                let reset = matches!(found.transport, Transport::Tcp { flags: 0x14, .. });
                assert_eq!(reset, protocol == 6);
            }
        }
    }
}

/// Checks the checksums of an answer.
fn assert_right(frame: &[u8]) {
    let v4 = frame[14] >> 4 == 4;
    let header = if v4 { 20 } else { 40 };
    let length = if v4 {
        usize::from(u16::from_be_bytes([frame[16], frame[17]]))
    } else {
        40 + usize::from(u16::from_be_bytes([frame[18], frame[19]]))
    };
    let packet = &frame[14..14 + length];
    let protocol = if v4 { packet[9] } else { packet[6] };
    let mut covered = packet[header..].to_vec();
    covered.resize(covered.len().next_multiple_of(2), 0);
    if v4 {
        assert_eq!(sum(&packet[..20]), 0xffff);
    }
    if protocol != 1 {
        covered.extend(&packet[header - if v4 { 8 } else { 32 }..header]);
        covered.extend([0, protocol]);
        covered.extend(((length - header) as u16).to_be_bytes());
    }
    assert_eq!(sum(&covered), 0xffff, "{packet:02x?}");
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    let sum: u32 = words
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    (sum & 0xffff) + (sum >> 16)
}
