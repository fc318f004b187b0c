//! `sockc diff --replay`: recorded packets under two policies, counted as the reference meaning decides them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;
use sockc_compiler::decide::decide;
use sockc_compiler::event::{Event, Header, Parsed, SocketAnswer, Transport, Verdict};
use sockc_compiler::files::Texts;
use sockc_compiler::packet::build::{Broken, Extension, Frame};
use sockc_compiler::packet::text::{Described, DescribedWorld};
use sockc_compiler::pipeline;
use sockc_compiler::policy::{Direction, Policy};
use sockc_compiler::protocol::IpProtocol;
use sockc_grammar::source::SourceMap;

use crate::explaining::{ETHERNET, SLL, pcap};
use crate::{Folder, run};

const OLD: &str = "default in drop
default out allow
web: allow tcp to any:80, any:443
dns: allow udp from 10.0.0.0/8 to any:53
";

const NEW: &str = "default in drop
default out allow
blocked: reject tcp from 203.0.113.0/24
web: allow tcp to any:80
dns: allow udp to any:53
pings: allow icmp, icmp6
";

const HERE: &str = "192.0.2.1";

fn header(from: &str, protocol: u8, from_port: u16, to_port: u16) -> Header {
    let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), HERE.parse().unwrap());
    let transport = match protocol {
        6 => Transport::Tcp {
            from: from_port,
            to: to_port,
            flags: 2,
        },
        17 => Transport::Ports {
            from: from_port,
            to: to_port,
        },
        _ => Transport::Icmp { kind: 8, code: 0 },
    };
    Header {
        from,
        to,
        protocol: IpProtocol(protocol),
        transport,
        ..Header::PLAIN
    }
}

fn frame(header: Header) -> Frame {
    Frame::new(header).shrink()
}

/// As it is recorded: the bytes and the length on the wire.
fn whole(frame: &Frame) -> (Vec<u8>, u32) {
    let bytes = frame.bytes();
    let length = bytes.len() as u32;
    (bytes, length)
}

/// Headers of a few hundred packets that differ in what the policies look at.
fn headers() -> Vec<Header> {
    let mut headers = Vec::new();
    for number in 0..300u16 {
        let from = ["203.0.113.7", "10.1.2.3", "198.51.100.9"][usize::from(number % 3)];
        let (protocol, port) =
            [(6, 80), (6, 443), (17, 53), (1, 0), (6, 22)][usize::from(number % 5)];
        headers.push(header(from, protocol, 1000 + number % 7, port));
    }
    headers
}

fn replay(name: &str, recording: &[u8], options: &[&str]) -> (Option<i32>, Value, String) {
    replay_of(name, (OLD, NEW), recording, options)
}

fn replay_of(
    name: &str,
    (old, new): (&str, &str),
    recording: &[u8],
    options: &[&str],
) -> (Option<i32>, Value, String) {
    let folder = Folder::new(name);
    let (old, new) = (folder.file("old.sk", old), folder.file("new.sk", new));
    let file = folder.0.join("packets.pcap");
    std::fs::write(&file, recording).unwrap();
    let file = file.to_str().unwrap();
    let ran = run(&[&["diff", "--json", &old, &new, "--replay", file], options].concat());
    let json = if ran.stdout.is_empty() {
        Value::Null
    } else {
        ran.json()["replay"].clone()
    };
    (ran.code, json, ran.stderr)
}

fn resolved(text: &str) -> Policy {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text);
    let outcome = pipeline::check(&mut sources, id, "test", &mut Texts::default());
    outcome.policy.unwrap()
}

fn verdict(policy: &Policy, header: &Header) -> &'static str {
    let event = Event::Packet {
        direction: Direction::In,
        class: Policy::plain_class(),
        packet: Parsed::Ip(header.clone()),
    };
    let described = Described::plain(event, SocketAnswer::None);
    let world = DescribedWorld::new(policy, &described);
    match decide(policy, &described.event, &world).verdict {
        Verdict::Allow => "allow",
        Verdict::Drop => "drop",
        Verdict::Reject => "reject",
        other => unreachable!("these policies have no {other:?}"),
    }
}

#[test]
fn counts_are_those_of_deciding_each_packet() {
    let (old, new) = (resolved(OLD), resolved(NEW));
    let headers = headers();
    let mut expected: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for header in &headers {
        let fates = (verdict(&old, header), verdict(&new, header));
        *expected.entry(fates).or_default() += 1;
    }
    let frames: Vec<_> = headers.into_iter().map(|one| whole(&frame(one))).collect();
    let (code, json, _) = replay("counts", &pcap(ETHERNET, &frames), &[]);
    assert_eq!(code, Some(0));
    let mut found: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for change in json["changes"].as_array().unwrap() {
        let word = |key: &str| change[key].as_str().unwrap();
        let packets = change["packets"].as_u64().unwrap();
        *found.entry((word("from"), word("to"))).or_default() += packets;
    }
    for kept in json["kept"].as_array().unwrap() {
        let verdict = kept["verdict"].as_str().unwrap();
        *found.entry((verdict, verdict)).or_default() += kept["packets"].as_u64().unwrap();
    }
    assert_eq!(found, expected);
    assert!(expected.len() >= 5, "{expected:?}");
    assert_eq!(
        (json["packets"].as_u64(), json["undirected"].as_u64()),
        (Some(300), Some(300))
    );
}

/// Packets of the first change, and how many were not judged.
fn first_change(json: &Value) -> (u64, u64) {
    let packets = json["changes"][0]["packets"].as_u64();
    (packets.unwrap_or(0), json["cut_short"].as_u64().unwrap())
}

#[test]
fn what_is_cut_tagged_or_extended_is_judged_by_its_headers() {
    let https = header("198.51.100.9", 6, 1000, 443);
    let long = frame(https.clone()).payload(&[0; 1000]);
    let (bytes, length) = whole(&long);
    let cut_after = (bytes[..14 + 40].to_vec(), length);
    let cut_within = (bytes[..14 + 22].to_vec(), length);
    let tagged = whole(&frame(https.clone()).vlan(7).vlan(8));
    let six = Header {
        from: "2001:db8::1".parse().unwrap(),
        to: "2001:db8::2".parse().unwrap(),
        ..https
    };
    let extended = whole(&frame(six).extension(Extension::HopByHop(1)).shrink());
    for (name, packet, expected) in [
        ("after", cut_after, (1, 0)),
        ("within", cut_within, (0, 1)),
        ("tagged", tagged, (1, 0)),
        ("extended", extended, (1, 0)),
    ] {
        let (code, json, _) = replay(name, &pcap(ETHERNET, &[packet]), &[]);
        assert_eq!((code, first_change(&json)), (Some(0), expected), "{name}");
    }
}

#[test]
fn malformed_packets_and_others_than_ip_are_counted() {
    let broken = Broken {
        version: Some(7),
        ..Broken::default()
    };
    let malformed = whole(&frame(header("10.0.0.1", 6, 1, 80)).broken(broken));
    let other = Broken {
        ether_type: Some(0x0806),
        ..Broken::default()
    };
    let other = whole(&frame(header("10.0.0.1", 6, 1, 80)).broken(other));
    let policies = (
        "default in drop\nallow udp to any:9\n",
        "default in allow\nallow udp to any:9\n",
    );
    let recording = pcap(ETHERNET, &[malformed.clone(), other, malformed]);
    let (_, json, _) = replay_of("malformed", policies, &recording, &[]);
    assert_eq!(
        (json["malformed"].as_u64(), json["not_ip"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(first_change(&json), (2, 0));
}

#[test]
fn what_a_damaged_recording_holds_is_counted_and_the_damage_is_said() {
    let packet = whole(&frame(header("198.51.100.9", 6, 1000, 443)));
    let mut recording = pcap(ETHERNET, &[packet.clone(), packet.clone(), packet]);
    recording.truncate(recording.len() - 9);
    let (code, json, said) = replay("damaged", &recording, &[]);
    assert_eq!((code, first_change(&json)), (Some(3), (2, 0)));
    assert!(said.contains("packet 3"), "{said}");
    assert!(json["damaged"].as_str().unwrap().contains("packet 3"));
    let (code, json, said) = replay("nothing", b"none", &[]);
    assert_eq!((code, json), (Some(3), Value::Null));
    assert!(said.contains("cannot read"), "{said}");
}

#[test]
fn who_sends_says_what_leaves() {
    let policies = (
        "default in drop\nallow udp to any:9\n",
        "default in drop\ndefault out drop\nallow udp to any:9\n",
    );
    let there = header("198.51.100.9", 6, 1000, 443);
    let back = Header {
        from: there.to,
        to: there.from,
        ..there.clone()
    };
    let frames = [there, back].map(|one| whole(&frame(one)));
    let recording = pcap(ETHERNET, &frames);
    let (_, json, _) = replay_of("all-in", policies, &recording, &[]);
    assert_eq!(
        (first_change(&json).0, json["undirected"].as_u64()),
        (0, Some(2))
    );
    let local = ["--replay-local", HERE];
    let (_, json, _) = replay_of("local", policies, &recording, &local);
    assert_eq!(
        (first_change(&json).0, json["undirected"].as_u64()),
        (1, Some(0))
    );
    assert_eq!(json["changes"][0]["direction"], "out");
    // Linux cooked frames say it themselves: packet type 4 was sent.
    let cooked = frames.map(|(bytes, _)| {
        let mut cooked = vec![0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
        cooked.extend(&bytes[14..]);
        let length = cooked.len() as u32;
        (cooked, length)
    });
    let (_, json, _) = replay_of("cooked", policies, &pcap(SLL, &cooked), &[]);
    assert_eq!(
        (first_change(&json).0, json["undirected"].as_u64()),
        (2, Some(0))
    );
}

#[test]
fn sockets_are_those_of_the_traffic_or_none() {
    let policies = (
        "default in drop\n",
        "default in drop\nallow if socket established\n",
    );
    let there = header("198.51.100.9", 17, 1000, 53);
    let asked = Header {
        from: there.to,
        to: there.from,
        transport: Transport::Ports { from: 53, to: 1000 },
        ..there.clone()
    };
    let recording = pcap(ETHERNET, &[asked, there].map(|one| whole(&frame(one))));
    let local = ["--replay-local", HERE];
    let (_, json, _) = replay_of("traffic", policies, &recording, &local);
    assert_eq!(first_change(&json).0, 1);
    assert_eq!(json["assumptions"].as_array().unwrap().len(), 1);
    let none = ["--replay-local", HERE, "--replay-sockets", "none"];
    let (_, json, _) = replay_of("none", policies, &recording, &none);
    assert_eq!(first_change(&json).0, 0);
}

#[test]
fn a_person_gets_a_text_and_a_picture() {
    let folder = Folder::new("picture");
    let (old, new) = (folder.file("old.sk", OLD), folder.file("new.sk", NEW));
    let frames: Vec<_> = headers()
        .into_iter()
        .map(|one| whole(&frame(one)))
        .collect();
    let (file, picture) = (folder.0.join("packets.pcap"), folder.0.join("changes.svg"));
    std::fs::write(&file, pcap(ETHERNET, &frames)).unwrap();
    let (file, picture) = (file.to_str().unwrap(), picture.to_str().unwrap());
    let options = ["--replay", file, "--replay-svg", picture];
    let ran = run(&[&["diff", &old, &new][..], &options].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for part in [
        "300 packets",
        "another fate",
        "drop -> allow",
        "█",
        "pings: allow icmp, icmp6",
    ] {
        assert!(ran.stdout.contains(part), "{part} in {}", ran.stdout);
    }
    let drawn = std::fs::read_to_string(picture).unwrap();
    let tree = roxmltree::Document::parse(&drawn).unwrap();
    let bars = tree
        .descendants()
        .filter(|node| node.attribute("height") == Some("14"));
    assert_eq!(
        bars.count(),
        ran.stdout.matches(" -> ").count() - in_the_comparison(&ran.stdout)
    );
    let alone = run(&["diff", &old, &new, "--replay-svg", picture]);
    assert_eq!(alone.code, Some(64));
}

/// Changes that are told ahead of the replay.
fn in_the_comparison(text: &str) -> usize {
    let (ahead, _) = text.split_once("replay of").unwrap();
    ahead.matches(" -> ").count()
}
