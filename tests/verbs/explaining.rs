//! `sockc explain` on recordings: both formats, every kind of frame, recordings that were cut short, damaged files.

use std::net::IpAddr;

use sockc_compiler::event::{Header, Transport};
use sockc_compiler::packet::build::Frame;
use sockc_compiler::protocol::IpProtocol;

use crate::{Folder, run};

const POLICY: &str = "default in drop
web: allow tcp to 192.0.2.1:80
ping: allow icmp echo-request
out: drop out udp
default out allow
";

fn ip() -> Header {
    Header {
        from: IpAddr::from([198, 51, 100, 7]),
        to: IpAddr::from([192, 0, 2, 1]),
        protocol: IpProtocol::TCP,
        transport: Transport::Tcp {
            from: 40_000,
            to: 80,
            flags: 2,
        },
        ..Header::PLAIN
    }
}

/// An Ethernet frame of a TCP packet to port 80.
fn frame(payload: &[u8]) -> Vec<u8> {
    Frame::new(ip()).shrink().payload(payload).bytes()
}

/// Link types (tcpdump.org's list).
pub(crate) const ETHERNET: u32 = 1;
const RAW: u32 = 101;
pub(crate) const SLL: u32 = 113;

pub(crate) fn pcap(link: u32, packets: &[(Vec<u8>, u32)]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 96, link] {
        file.extend(word.to_le_bytes());
    }
    for (data, wire) in packets {
        for word in [0, 0, data.len() as u32, *wire] {
            file.extend(word.to_le_bytes());
        }
        file.extend(data);
    }
    file
}

fn pcapng(link: u16, data: &[u8], wire: u32) -> Vec<u8> {
    commented(link, data, wire, "")
}

/// The same with a comment, if that says something.
fn commented(link: u16, data: &[u8], wire: u32, comment: &str) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0x0a0d_0d0au32, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28] {
        file.extend(word.to_le_bytes());
    }
    for word in [1, 20, link.into(), 0, 20] {
        file.extend(u32::to_le_bytes(word));
    }
    let padded = data.len().next_multiple_of(4);
    let mut options = Vec::new();
    if !comment.is_empty() {
        // opt_comment, its length, its text; opt_endofopt.
        options.extend(1u16.to_le_bytes());
        options.extend(u16::try_from(comment.len()).unwrap().to_le_bytes());
        options.extend(comment.as_bytes());
        options.resize(options.len().next_multiple_of(4), 0);
        options.extend([0; 4]);
    }
    let length = 32 + (padded + options.len()) as u32;
    for word in [6, length, 0, 0, 0, data.len() as u32, wire] {
        file.extend(word.to_le_bytes());
    }
    file.extend(data);
    file.resize(file.len() + padded - data.len(), 0);
    file.extend(options);
    file.extend(length.to_le_bytes());
    file
}

/// What a recording is said to be: verdict and label of each packet.
fn explained(name: &str, file: &[u8]) -> Vec<(String, Option<String>)> {
    let folder = Folder::new(name);
    let policy = folder.file("edge.sk", POLICY);
    let recording = folder.0.join("packets");
    std::fs::write(&recording, file).unwrap();
    let recording = recording.to_str().unwrap();
    let ran = run(&["explain", "--json", &policy, "--pcap", recording]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let json = ran.json();
    assert_eq!(json["format"], "sockc.explain/1");
    let packets = json["packets"].as_array().unwrap();
    packets
        .iter()
        .map(|packet| {
            let verdict = packet["verdict"].as_str().unwrap().to_owned();
            (verdict, packet["rule"].as_str().map(str::to_owned))
        })
        .collect()
}

fn allowed() -> (String, Option<String>) {
    ("allow".into(), Some("web".into()))
}

#[test]
fn every_kind_of_frame_is_read() {
    let whole = frame(b"");
    let wire = |data: &[u8]| data.len() as u32;
    let bare = whole[14..].to_vec();
    // Linux cooked: packet type 0 (for us), address type, length, address, EtherType.
    let mut cooked = vec![0; 14];
    cooked.extend([8, 0]);
    cooked.extend(&bare);
    let mut sent = cooked.clone();
    sent[1] = 4;
    for (name, link, data, wanted) in [
        ("ethernet", ETHERNET, whole.clone(), allowed()),
        ("raw", RAW, bare, allowed()),
        ("cooked", SLL, cooked, allowed()),
        ("sent", SLL, sent, ("allow".into(), None)),
    ] {
        let length = wire(&data);
        let found = explained(name, &pcap(link, &[(data.clone(), length)]));
        assert_eq!(found, std::slice::from_ref(&wanted), "{name}");
        let link = u16::try_from(link).unwrap();
        assert_eq!(
            explained(name, &pcapng(link, &data, length)),
            [wanted],
            "{name}"
        );
    }
}

#[test]
fn a_packet_that_was_cut_short_is_what_it_was_on_the_wire() {
    let whole = frame(&[7; 400]);
    let cut = whole[..96].to_vec();
    let wire = whole.len() as u32;
    let found = explained(
        "cut",
        &pcap(ETHERNET, &[(cut.clone(), wire), (frame(b""), 54)]),
    );
    assert_eq!(found, [allowed(), allowed()]);
    assert_eq!(explained("cut-ng", &pcapng(1, &cut, wire)), [allowed()]);
}

#[test]
fn a_person_gets_a_line_for_each_packet_and_a_sum_for_each_rule() {
    let folder = Folder::new("lines");
    let policy = folder.file("edge.sk", POLICY);
    let recording = folder.0.join("two.pcap");
    let packet = (frame(b""), 54);
    std::fs::write(&recording, pcap(ETHERNET, &[packet.clone(), packet])).unwrap();
    let ran = run(&["explain", &policy, "--pcap", recording.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("tcp from 198.51.100.7:40000").count(), 2);
    let sum = ran.stdout.lines().last().unwrap();
    assert!(
        sum.starts_with('2') && sum.contains("web: allow tcp"),
        "{sum}"
    );
}

/// What is decided about a packet whose headers were cut would be decided about another one.
#[test]
fn a_packet_whose_headers_were_cut_is_left_out() {
    let folder = Folder::new("cut-headers");
    let policy = folder.file("edge.sk", POLICY);
    let recording = folder.0.join("cut.pcap");
    let whole = frame(&[7; 400]);
    let wire = whole.len() as u32;
    // One ends within the ports, of the other the headers are there.
    let packets = [(whole[..35].to_vec(), wire), (whole[..54].to_vec(), wire)];
    std::fs::write(&recording, pcap(ETHERNET, &packets)).unwrap();
    let path = recording.to_str().unwrap();
    let ran = run(&["explain", &policy, "--pcap", path, "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let json = ran.json();
    assert_eq!(json["packets"].as_array().unwrap().len(), 1, "{json}");
    let said = "of 1 packet the recording has too few bytes to decide by: it is left out";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    // Bytes are those of counters: without the Ethernet header.
    assert_eq!(json["rules"][0]["bytes"], whole.len() as u64 - 14, "{json}");
}

/// What leaves, and the answers to it, are no strangers that arrive without a socket.
#[test]
fn a_recording_knows_what_leaves_and_what_answers() {
    let folder = Folder::new("both-ways");
    let text = "default in drop\ndefault out allow\nweb: allow tcp to port 80\nanswers: allow if socket established\n";
    let policy = folder.file("edge.sk", text);
    let recording = folder.0.join("both.pcap");
    let path = recording.to_str().unwrap();
    let tcp = |from: [u8; 4], to: [u8; 4], ports: (u16, u16), flags: u8| {
        let mut bytes = vec![0; 12];
        bytes.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        bytes.extend(from);
        bytes.extend(to);
        bytes.extend(ports.0.to_be_bytes());
        bytes.extend(ports.1.to_be_bytes());
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        (bytes, 54)
    };
    let (own, other) = ([192, 0, 2, 1], [198, 51, 100, 7]);
    // A TCP header shorter than any can be.
    let mut malformed = tcp(own, other, (40_000, 443), 0x02);
    malformed.0[46] = 0x40;
    let frames = [
        malformed,
        // The machine asks somebody, and is answered.
        tcp(own, other, (40_000, 443), 0x02),
        tcp(other, own, (443, 40_000), 0x12),
        tcp(own, other, (40_000, 443), 0x10),
        // Somebody asks for what nobody serves.
        tcp(other, own, (50_000, 22), 0x02),
    ];
    std::fs::write(&recording, pcap(ETHERNET, &frames)).unwrap();
    let verdicts = |arguments: &[&str]| {
        let ran = run(&[&["explain", &policy, "--pcap", path, "--json"], arguments].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let packets = ran.json()["packets"].as_array().unwrap().clone();
        let verdicts = packets
            .iter()
            .map(|one| one["verdict"].as_str().unwrap().to_owned());
        (verdicts.collect::<Vec<_>>(), ran.stderr)
    };
    let (told, said) = verdicts(&["--local", "192.0.2.0/28"]);
    assert_eq!(told, ["allow", "allow", "allow", "allow", "drop"]);
    assert!(
        !said.contains("nobody says") && said.contains("taken from the traffic"),
        "{said}"
    );
    // Each direction has a default of its own, which also says what becomes of malformed packets.
    let ran = run(&[
        "explain",
        &policy,
        "--pcap",
        path,
        "--json",
        "--local",
        "192.0.2.0/28",
    ]);
    let json = ran.json();
    let sums = json["rules"].as_array().unwrap().iter();
    let sums = sums.map(|sum| {
        (
            sum["rule"].as_str().unwrap(),
            sum["packets"].as_u64().unwrap(),
        )
    });
    let sums: Vec<_> = sums
        .map(|(rule, packets)| (rule.split_once(' ').unwrap().1, packets))
        .collect();
    assert_eq!(
        sums,
        [
            ("answers: allow if socket established", 1),
            ("default in drop", 1),
            ("default out allow", 2),
            ("default out allow: the packet is malformed", 1),
        ]
    );
    let (told, said) = verdicts(&["--sockets", "none"]);
    assert_eq!(told, ["drop"; 5]);
    assert!(
        said.contains("of 5 packets nobody says whether they arrived or left"),
        "{said}"
    );
}

#[test]
fn what_a_recording_lacks_is_said_where_rules_ask_for_it() {
    let folder = Folder::new("explain-lacks");
    let recording = folder.0.join("one.pcap");
    std::fs::write(&recording, pcap(ETHERNET, &[(frame(b""), 54)])).unwrap();
    let recording = recording.to_str().unwrap();
    for (rule, wanted) in [
        ("drop tcp to self", "rules that ask for `self` match none"),
        (
            "drop tcp if ether from 02:00:00:00:00:01",
            "rules that ask for `ether`",
        ),
    ] {
        let policy = folder.file("lacks.sk", &format!("default in allow\n{rule}\n"));
        let ran = run(&[
            "explain",
            &policy,
            "--pcap",
            recording,
            "--local",
            "192.0.2.1",
            "--sockets",
            "none",
        ]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(ran.stderr.matches("note:").count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    }
}

/// What `monitor` makes of calls and of data of connections are frames, and were never packets.
#[test]
fn what_processes_did_is_no_packet() {
    let data = frame(b"");
    let log = "made from what the log tells: ";
    for (name, comment, is_packet) in [
        (
            "packet",
            format!("drop by a (edge.sk:2); {log}tcp from 1.1.1.1:1 to 2.2.2.2:80"),
            true,
        ),
        (
            "out",
            format!("drop by a (edge.sk:2); {log}out tcp from 1.1.1.1:1 to 2.2.2.2:80"),
            true,
        ),
        (
            "call",
            format!("drop by a (edge.sk:2); {log}connect tcp to 2.2.2.2:80"),
            false,
        ),
        (
            "write",
            format!("drop by a (edge.sk:2); {log}send tcp from 1.1.1.1:1 to 2.2.2.2:80"),
            false,
        ),
        (
            "arrives",
            format!("drop by a (edge.sk:2); {log}receive tcp from 1.1.1.1:1"),
            false,
        ),
        // What a rule says is no more than that.
        (
            "says",
            format!("drop by a (edge.sk:2) \"{log}connect\"; {log}tcp from 1.1.1.1:1"),
            true,
        ),
        ("other", "connect tcp to 2.2.2.2:80".to_owned(), true),
    ] {
        let folder = Folder::new(&format!("did-{name}"));
        let policy = folder.file("edge.sk", POLICY);
        let recording = folder.0.join("log.pcapng");
        let wire = u32::try_from(data.len()).unwrap();
        std::fs::write(&recording, commented(1, &data, wire, &comment)).unwrap();
        let path = recording.to_str().unwrap();
        let ran = run(&["explain", &policy, "--pcap", path, "--json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let packets = ran.json()["packets"].as_array().unwrap().len();
        assert_eq!(packets, usize::from(is_packet), "{name}: {}", ran.stderr);
        assert_eq!(
            ran.stderr.contains("1 frame of the recording is no packet"),
            !is_packet,
            "{name}"
        );
        let ran = run(&["diff", &policy, &policy, "--replay", path, "--json"]);
        let replay = &ran.json()["replay"];
        let told = (replay["packets"].as_u64(), replay["of_processes"].as_u64());
        let wanted = (u64::from(is_packet), u64::from(!is_packet));
        assert_eq!(
            told,
            (Some(wanted.0), Some(wanted.1)),
            "{name}: {}",
            ran.stderr
        );
    }
}

#[test]
fn damaged_recordings_say_so() {
    let folder = Folder::new("damaged");
    let policy = folder.file("edge.sk", POLICY);
    let whole = pcap(ETHERNET, &[(frame(b""), 54)]);
    for (bytes, wanted) in [
        (&whole[..2], "header"),
        (&whole[..60], "packet 1"),
        (&[0u8; 64][..], "cannot read"),
        (&pcap(147, &[(frame(b""), 54)])[..], "link type 147"),
    ] {
        let recording = folder.0.join("packets");
        std::fs::write(&recording, bytes).unwrap();
        let ran = run(&["explain", &policy, "--pcap", recording.to_str().unwrap()]);
        assert_eq!(ran.code, Some(3), "{wanted}: {}", ran.stderr);
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
        // No table of nothing ahead of it.
        assert_eq!(ran.stdout, "", "{wanted}");
    }
}

/// What a process names is what it reaches by that: the programs and the rules speak of the same address.
#[test]
fn a_call_to_an_address_that_stands_for_another() {
    let folder = Folder::new("stands-for");
    let policy = folder.file(
        "jobs.sk",
        "group jobs = cgroup \"/jobs\"\ndefault connect allow
mapped: drop connect to 10.0.0.0/8\nlocal: drop connect to 127.0.0.1, [::1]:80
for netns \"blue\" {\n  default in drop\n}\n",
    );
    for (packet, label) in [
        ("connect tcp to [::ffff:10.0.0.1]:443", Some("mapped")),
        ("connect udp to [::ffff:11.0.0.1]:443", None),
        ("connect tcp to 0.0.0.0:80", Some("local")),
        ("connect udp to [::]:80", Some("local")),
        ("connect udp to [::]:81", None),
        ("connect udp to [::ffff:0.0.0.0]:81", Some("local")),
    ] {
        let ran = run(&["explain", "--json", &policy, packet]);
        assert_eq!(ran.code, Some(0), "{packet}: {}", ran.stderr);
        let json = ran.json();
        assert_eq!(json["rule"].as_str(), label, "{packet}: {json}");
    }
    // A group's sockets are in every namespace, so no block decides.
    let ran = run(&[
        "explain",
        &policy,
        "connect tcp to 10.0.0.1:80 with in netns \"blue\"",
    ]);
    assert_eq!(ran.code, Some(64), "{}{}", ran.stdout, ran.stderr);
}
