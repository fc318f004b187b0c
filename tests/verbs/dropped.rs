//! `monitor --drops`: each drop with the rule that counted it, at XDP and TC, what found no room counted exactly, across applies, and
//! nothing left however it ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sockc_compiler::dropped::word;
use sockc_compiler::event::{Fragment, Header, Transport};
use sockc_compiler::packet::build::{Extension, Frame};
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::lab::{CLIENT, FRONT, Lab, PacketSocket, SERVER};

use super::monitored::{done, in_force, on_server, send};
use super::{Ran, root, sockc};

const PATIENCE: Duration = Duration::from_secs(60);
/// What is said when drops are followed.
const FOLLOWED: &str = "at XDP and TC is sampled";
const ONE: &str = "default in allow\nnamed: drop udp to port 10\n";

/// A monitor that follows drops.
pub(super) struct Sampling {
    child: Child,
    lines: BufReader<ChildStdout>,
    said: BufReader<ChildStderr>,
}

impl Sampling {
    pub(super) fn new(lab: &Lab, arguments: &[&str]) -> Self {
        let mut sampling = Self::heard(lab, &[&["monitor"], arguments].concat());
        sampling.hears(FOLLOWED);
        sampling
    }

    /// Any command that goes on, both of whose outputs are heard.
    pub(super) fn heard(lab: &Lab, arguments: &[&str]) -> Self {
        let start = || {
            let mut command = sockc(arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let mut child = lab.server.run(start).unwrap();
        Self {
            lines: BufReader::new(child.stdout.take().unwrap()),
            said: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Waits until this is said.
    pub(super) fn hears(&mut self, words: &str) {
        let mut all = String::new();
        while !all.contains(words) {
            assert_ne!(self.said.read_line(&mut all).unwrap(), 0, "{all}");
        }
    }

    pub(super) fn json(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
    }

    pub(super) fn signal(&self, signal: i32) {
        // SAFETY: the call takes numbers; the process is ours and was not waited for.
        let sent = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(sent, 0);
    }

    /// What it printed still, what it said, and how it ended.
    pub(super) fn end(mut self) -> Ran {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.lines.read_to_string(&mut stdout).unwrap();
        self.said.read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code();
        Ran {
            code,
            stdout,
            stderr,
        }
    }
}

/// A policy in force at a hook, of which nothing logs.
fn policy(hook: &str) -> String {
    format!(
        "default in drop at {hook}\n\
         default out allow\n\
         live set banned max 10 = {{ 192.0.2.1 }}\n\
         named: drop udp to port 10\n\
         drop udp from any:4000 to port 20-29 if length > 500\n\
         hated: drop udp from @banned to port 30\n\
         refused: reject udp to port 40 at {hook}\n\
         near: allow udp to port 50 if socket exists\n\
         leaving: drop out udp to port 60\n"
    )
}

/// The packets that rules have counted which drop or reject, by their labels, else by their texts.
fn counted(lab: &Lab) -> BTreeMap<String, u64> {
    let json = done(lab, &["counters", "--json"]).json();
    let rows = json["rules"].as_array().unwrap().iter();
    let drops = rows.filter(|row| row["kind"] == "rule");
    drops
        .filter(|row| row["verdict"] == "drop" || row["verdict"] == "reject")
        .map(|row| {
            let packets = row["packets"].as_u64().unwrap();
            (row["rule"].as_str().unwrap().to_owned(), packets)
        })
        .filter(|(_, packets)| *packets > 0)
        .collect()
}

/// Sends a datagram of so many bytes from the client.
fn send_long(lab: &Lab, port: u16, bytes: usize) {
    let sent = lab.client.run(|| {
        let socket = UdpSocket::bind((CLIENT[0], 4000)).unwrap();
        // Of what is refused the socket hears, and the next one goes.
        while socket
            .send_to(&vec![b'x'; bytes], (SERVER[0], port))
            .is_err()
        {}
    });
    sent.unwrap();
}

#[test]
fn each_drop_is_told_with_the_rule_that_counts_it() {
    if !root() {
        return;
    }
    for hook in ["tc", "xdp"] {
        let (lab, ..) = in_force(&format!("drops-told-{hook}"), &policy(hook));
        done(&lab, &["set", "add", "banned", &CLIENT[0].to_string()]);
        let mut sampling = Sampling::new(&lab, &["--drops", "1/1", "--json"]);
        send(&lab, [10, 10, 11, 21, 30, 30, 30, 40, 50]);
        send_long(&lab, 25, 1400);
        let left = lab.server.run(|| {
            let socket = UdpSocket::bind((SERVER[0], 4000)).unwrap();
            // What is dropped as it leaves is told to whoever sends it, or not.
            let _ = socket.send_to(b"x", (CLIENT[0], 60));
        });
        left.unwrap();
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        let mut of_udp = 0;
        while of_udp < 11 {
            let json = sampling.json();
            assert_eq!(
                (&json["event"], &json["sampled"]),
                (&"drop".into(), &1.into()),
                "{json}"
            );
            if json["protocol"] != 17 {
                continue;
            }
            of_udp += 1;
            let rule = json["rule"].as_str().unwrap();
            *told.entry(rule.to_owned()).or_default() += 1;
            let way = match rule {
                "leaving" => ("tc", "out"),
                _ => (hook, "in"),
            };
            assert_eq!(
                (json["hook"].as_str(), json["direction"].as_str()),
                (Some(way.0), Some(way.1)),
                "{json}"
            );
            assert_eq!(json["interface"], FRONT);
            if json["to_port"] == 25 {
                assert_eq!(json["length"], 1428, "{json}");
            }
        }
        sampling.signal(libc::SIGINT);
        let ended = sampling.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        // 11, the short one to 21, and 50.
        told.retain(|rule, count| match rule.starts_with("default in drop") {
            true => {
                assert_eq!(*count, 3, "{hook}");
                false
            }
            false => true,
        });
        assert_eq!(told, counted(&lab));
        let expected = [
            ("drop udp from any:4000 to port 20-29 if length > 500", 1),
            ("hated", 3),
            ("leaving", 1),
            ("named", 2),
            ("refused", 1),
        ];
        let expected = expected.map(|(rule, packets)| (rule.to_owned(), packets));
        assert_eq!(told, BTreeMap::from(expected));
    }
}

#[test]
fn what_finds_no_room_is_counted_exactly() {
    if !root() {
        return;
    }
    let (lab, ..) = in_force("drops-lost", ONE);
    let mut sampling = Sampling::new(&lab, &["--drops", "1/1", "--json"]);
    // Nobody takes anything while it stands still.
    sampling.signal(libc::SIGSTOP);
    const SENT: u64 = 20_000;
    send(&lab, std::iter::repeat_n(10, SENT as usize));
    sampling.signal(libc::SIGCONT);
    let (mut told, mut lost) = (0, 0);
    while told + lost < SENT {
        let json = sampling.json();
        match json["event"].as_str() {
            Some("lost") => {
                assert_eq!(json["sampled"], true);
                lost += json["records"].as_u64().unwrap();
            }
            _ => told += 1,
        }
    }
    assert_eq!(told + lost, SENT);
    assert!(told > 500 && lost > 1000, "{told} {lost}");
    sampling.signal(libc::SIGINT);
    assert_eq!(sampling.end().stdout, "");
}

#[test]
fn a_sample_is_about_one_of_so_many() {
    if !root() {
        return;
    }
    const SENT: u64 = 8_000;
    let (lab, ..) = in_force("drops-part", ONE);
    let mut sampling = Sampling::new(&lab, &["--drops", "1/8", "udp", "to", "port", "10"]);
    let lines = thread::scope(|scope| {
        let lines = scope.spawn(|| {
            let mut all = String::new();
            sampling.lines.read_to_string(&mut all).unwrap();
            all.lines().filter(|line| line.ends_with("  1/8")).count()
        });
        send(&lab, std::iter::repeat_n(10, SENT as usize));
        // What was sent was dropped.
        let until = Instant::now() + PATIENCE;
        while counted(&lab).get("named") != Some(&SENT) && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        let id = sampling.child.id().cast_signed();
        // SAFETY: the call takes numbers; the process is ours and was not waited for.
        assert_eq!(unsafe { libc::kill(id, libc::SIGINT) }, 0);
        lines.join().unwrap()
    });
    // Twenty-five times as far from 1000 as it is on average: what is lost is less than that.
    assert!((250..1750).contains(&lines), "{lines}");
    assert_eq!(sampling.child.wait().unwrap().code(), Some(0));
}

/// Where a map of a generation is pinned.
fn pin(generation: u32, map: &str) -> String {
    let netns = fs::metadata("/proc/thread-self/ns/net").unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&netns);
    format!("/sys/fs/bpf/sockc/{inode}/{generation}/map/{map}")
}

/// The word that says whether somebody asks, of a generation.
fn asks(lab: &Lab, generation: u32) -> u32 {
    let shown = lab.server.run(|| {
        let map = aya::maps::MapData::from_pin(pin(generation, "sampling")).unwrap();
        let map = aya::maps::Map::from_map_data(map).unwrap();
        let array: aya::maps::Array<_, [u32; word::SIZE / 4]> =
            aya::maps::Array::try_from(map).unwrap();
        array.get(&0, 0).unwrap()[word::OPEN as usize / 4]
    });
    shown.unwrap()
}

#[test]
fn a_gate_closes_after_a_monitor_that_was_killed_and_after_one_that_ends() {
    if !root() {
        return;
    }
    let (lab, ..) = in_force("drops-killed", ONE);
    assert_eq!(asks(&lab, 1), 0);
    let mut sampling = Sampling::new(&lab, &["--drops", "1/1", "--json"]);
    assert_eq!(asks(&lab, 1), 1);
    send(&lab, [10]);
    assert_eq!(sampling.json()["rule"], "named");
    sampling.signal(libc::SIGKILL);
    sampling.end();
    // The first drop that finds nobody closes it.
    let until = Instant::now() + PATIENCE;
    while asks(&lab, 1) != 0 {
        assert!(Instant::now() < until);
        send(&lab, [10]);
    }
    let again = Sampling::new(&lab, &["--drops", "1/1", "--count", "1"]);
    send(&lab, [10]);
    let ended = again.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("named"), "{}", ended.stdout);
    assert_eq!(asks(&lab, 1), 0);
}

#[test]
fn another_policy_is_followed() {
    if !root() {
        return;
    }
    let (lab, folder, _) = in_force("drops-follow", ONE);
    let mut sampling = Sampling::new(&lab, &["--drops", "1/1", "--json"]);
    send(&lab, [10]);
    let first = sampling.json();
    assert_eq!(
        (&first["rule"], &first["generation"]),
        (&"named".into(), &1.into())
    );
    let next = "default in allow\nother: drop udp to port 10\n";
    let next = folder.file("edge.sk", next);
    done(&lab, &["apply", &next, "--interface", FRONT]);
    sampling.hears(FOLLOWED);
    assert_eq!(sampling.json()["event"], "policy");
    send(&lab, [10]);
    let second = sampling.json();
    assert_eq!(
        (&second["rule"], &second["generation"]),
        (&"other".into(), &2.into())
    );
    done(&lab, &["unload", "--yes"]);
    assert_eq!(sampling.json()["event"], "policy");
    assert_eq!(sampling.end().code, Some(0));
}

/// What was sent to a port while `work` went on, one datagram after the other.
fn sent_while(lab: &Lab, port: u16, work: impl FnOnce()) -> u64 {
    let socket = lab
        .client
        .run(|| UdpSocket::bind((CLIENT[0], 4000)).unwrap());
    let (socket, is_done) = (socket.unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !is_done.load(Ordering::Relaxed) {
                sent += u64::from(socket.send_to(b"x", (SERVER[0], port)).is_ok());
                // No faster than somebody reads it.
                thread::sleep(Duration::from_micros(500));
            }
            sent
        });
        work();
        is_done.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    })
}

/// Each drop is shown or counted as lost, whatever comes into force meanwhile: another policy, one on trial, and the one before again.
#[test]
fn no_drop_is_missed_while_policies_change() {
    if !root() {
        return;
    }
    let (lab, folder, path) = in_force("drops-changing", ONE);
    // Its counters have other slots.
    let other = folder.file(
        "other.sk",
        "default in allow\nother: drop udp to port 11\nlast: drop udp to port 10\n",
    );
    let mut sampling = Sampling::new(
        &lab,
        &["--drops", "1/1", "--json", "udp", "to", "port", "10"],
    );
    let id = sampling.child.id().cast_signed();
    let (sent, lines) = thread::scope(|scope| {
        let lines = scope.spawn(|| {
            let mut all = String::new();
            sampling.lines.read_to_string(&mut all).unwrap();
            all
        });
        let sent = sent_while(&lab, 10, || {
            for _ in 0..8 {
                done(&lab, &["apply", &path, "--interface", FRONT]);
                done(&lab, &["apply", &other, "--interface", FRONT]);
            }
            for text in [&path, &other] {
                let trial = ["apply", text, "--interface", FRONT, "--confirm", "10m"];
                done(&lab, &trial);
                done(&lab, &["rollback", "--yes"]);
                done(&lab, &trial);
                done(&lab, &["confirm"]);
            }
        });
        // SAFETY: the call takes numbers; the process is ours and was not waited for.
        assert_eq!(unsafe { libc::kill(id, libc::SIGINT) }, 0);
        (sent, lines.join().unwrap())
    });
    let ended = sampling.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut told = BTreeMap::new();
    let mut lost = 0;
    let mut in_force = 1;
    for line in lines.lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        match json["event"].as_str() {
            Some("drop") => {
                // A generation is spoken of ahead of what it drops.
                assert!(json["generation"].as_u64() <= Some(in_force), "{json}");
                *told.entry(json["rule"].to_string()).or_default() += 1;
            }
            // Where drops were not looked at, nobody knows how many.
            Some("lost") => lost += json["records"].as_u64().unwrap_or_else(|| panic!("{json}")),
            _ => in_force = in_force.max(json["generation"].as_u64().unwrap()),
        }
    }
    assert!(told.values().all(|told| *told > 20), "{told:?}");
    let all: u64 = told.values().sum();
    assert_eq!((told.len(), all + lost), (2, sent), "{told:?} {lost}");
}

/// Who samples and stands still, or was killed, keeps no policy from coming into force, and says afterwards what it did not look at.
#[test]
fn a_reader_that_stands_still_keeps_no_policy_out() {
    if !root() {
        return;
    }
    let (lab, _folder, path) = in_force("drops-still", ONE);
    let mut sampling = Sampling::new(&lab, &["--drops", "1/1", "--json"]);
    sampling.signal(libc::SIGSTOP);
    for _ in 0..3 {
        done(&lab, &["apply", &path, "--interface", FRONT]);
    }
    send(&lab, [10]);
    sampling.signal(libc::SIGCONT);
    let policy = sampling.json();
    assert_eq!(
        (&policy["event"], &policy["generation"]),
        (&"policy".into(), &4.into())
    );
    send(&lab, [10]);
    let missed = sampling.json();
    assert_eq!(
        (&missed["event"], &missed["generation"], &missed["records"]),
        (&"lost".into(), &4.into(), &serde_json::Value::Null)
    );
    let followed = sampling.json();
    assert_eq!(
        (&followed["event"], &followed["generation"]),
        (&"drop".into(), &4.into())
    );
    sampling.signal(libc::SIGKILL);
    sampling.end();
    // Its gate stands open still, and nobody is there.
    assert_eq!(asks(&lab, 4), 1);
    done(&lab, &["apply", &path, "--interface", FRONT]);
    assert_eq!(asks(&lab, 5), 0);
}

/// Takes the rings of whoever reads out of the map, as the kernel does where a processor goes away.
fn take_rings_out(lab: &Lab) {
    let taken = lab.server.run(|| {
        let map = aya::maps::MapData::from_pin(pin(1, "drops")).unwrap();
        let fd = map.fd().as_fd().as_raw_fd();
        let taken = (0..1024u32).filter(|processor| {
            let about = [u64::from(fd.cast_unsigned()), &raw const *processor as u64];
            // SAFETY: the call (BPF_MAP_DELETE_ELEM) reads a number of the map and a key, both of which live through it.
            0 == unsafe { libc::syscall(libc::SYS_bpf, 3, about.as_ptr(), 16) }
        });
        taken.count()
    });
    assert_ne!(taken.unwrap(), 0);
}

/// What stood in a ring that is gone is shown; that drops were not looked at is said; and it goes on with another ring.
#[test]
fn a_ring_that_went_away_is_said_and_made_anew() {
    if !root() {
        return;
    }
    let (lab, ..) = in_force("drops-ring", ONE);
    let mut sampling = Sampling::new(&lab, &["--drops", "1/1", "--json"]);
    sampling.signal(libc::SIGSTOP);
    send(&lab, [10; 5]);
    take_rings_out(&lab);
    send(&lab, [10]);
    assert_eq!(asks(&lab, 1), 0);
    sampling.signal(libc::SIGCONT);
    for _ in 0..5 {
        assert_eq!(sampling.json()["event"], "drop");
    }
    let gap = sampling.json();
    assert_eq!(
        (&gap["event"], &gap["records"]),
        (&"lost".into(), &serde_json::Value::Null)
    );
    assert_eq!(asks(&lab, 1), 1);
    send(&lab, [10]);
    assert_eq!(sampling.json()["event"], "drop");
    sampling.signal(libc::SIGINT);
    assert_eq!(sampling.end().stdout, "");
}

#[test]
fn what_was_dropped_is_recorded_as_it_was() {
    if !root() {
        return;
    }
    let (lab, folder, path) = in_force("drops-recorded", ONE);
    let file = folder.0.join("out.pcapng");
    let file = file.to_str().unwrap();
    let mut sampling = Sampling::new(&lab, &["--drops", "1/1", "--json", "--pcap-out", file]);
    send(&lab, [10]);
    send_long(&lab, 10, 1400);
    for _ in 0..2 {
        assert_eq!(sampling.json()["rule"], "named");
    }
    // However it ends, what is there can be read.
    sampling.signal(libc::SIGKILL);
    sampling.end();
    let explained = on_server(&lab, &["explain", &path, "--pcap", file, "--json"]).json();
    let packets = explained["packets"].as_array().unwrap();
    let words: Vec<_> = packets
        .iter()
        .map(|one| one["packet"].as_str().unwrap())
        .collect();
    let start = format!("udp from {}:4000 to {}:10", CLIENT[0], SERVER[0]);
    assert!(words.iter().all(|one| one.starts_with(&start)), "{words:?}");
    // The length of what was cut short is kept.
    for length in ["length 29", "length 1428"] {
        assert!(words.iter().any(|one| one.contains(length)), "{words:?}");
    }
    let bytes = fs::read(file).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for words in [
        "drop by named (",
        "1/1 of what is dropped",
        FRONT,
        "xxxxxxxx",
    ] {
        assert!(text.contains(words), "{words}");
    }
}

/// A datagram to port 10 of the server, of either family.
fn datagram(v6: bool) -> Header {
    let family = usize::from(v6);
    Header {
        from: CLIENT[family],
        to: SERVER[family],
        protocol: IpProtocol::UDP,
        transport: Transport::Ports { from: 4000, to: 10 },
        ..Header::PLAIN
    }
}

/// Frames that are not the plainest, and a word that is said of each.
fn unlike() -> Vec<(Frame, &'static str)> {
    let [v4, v6] = [false, true].map(|v6| move || datagram(v6));
    let tagged = |header: Header| Header {
        vlan: Some(7),
        ..header
    };
    let first = |header: Header| Header {
        fragment: Fragment::First,
        ..header
    };
    let later = |header: Header| Header {
        fragment: Fragment::Later,
        transport: Transport::None,
        ..header
    };
    vec![
        (Frame::new(tagged(v4())), "vlan 7"),
        (Frame::new(tagged(v6())), "vlan 7"),
        (Frame::new(v4()).ip_options(10), ":10"),
        (
            Frame::new(v6())
                .extension(Extension::HopByHop(1))
                .extension(Extension::Destination(3)),
            ":10",
        ),
        (Frame::new(first(v4())), ":10 with fragment"),
        (Frame::new(first(v6())), ":10 with fragment"),
        (Frame::new(later(v4())), "fragment"),
        (Frame::new(later(v6())), "fragment"),
    ]
}

/// What is said of a dropped packet is what `explain` says of its recording, whatever stands in front of its ports.
#[test]
fn tags_extensions_and_fragments_are_told_as_explain_does() {
    if !root() {
        return;
    }
    for hook in ["tc", "xdp"] {
        let text = format!("default in drop at {hook}\n");
        let (lab, folder, path) = in_force(&format!("drops-unlike-{hook}"), &text);
        let file = folder.file(&format!("{hook}.pcapng"), "");
        let frames = unlike();
        let options = ["--drops", "1/1", "--pcap-out", &file];
        let mut sampling = Sampling::new(&lab, &options);
        let mut lines = Vec::new();
        for (frame, words) in &frames {
            let kind = match frame.header().from.is_ipv4() {
                true => 0x0800,
                false => 0x86dd,
            };
            let kind = if frame.header().vlan.is_some() {
                0x8100
            } else {
                kind
            };
            let bytes = frame.clone().shrink().bytes();
            let sent = lab
                .client
                .run(|| PacketSocket::open(FRONT, kind)?.send(&bytes));
            sent.unwrap().unwrap();
            // Others send there, too: neighbours that look for each other.
            loop {
                let mut line = String::new();
                sampling.lines.read_line(&mut line).unwrap();
                if line.contains(words) {
                    lines.push(line);
                    break;
                }
            }
        }
        sampling.signal(libc::SIGINT);
        assert_eq!(sampling.end().code, Some(0));
        let explained = on_server(&lab, &["explain", &path, "--pcap", &file, "--json"]).json();
        let packets = explained["packets"].as_array().unwrap();
        for line in lines {
            let mut words = packets.iter().map(|one| one["packet"].as_str().unwrap());
            assert!(
                words.any(|words| line.contains(words)),
                "{line}: {packets:?}"
            );
        }
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    if !root() {
        return;
    }
    let (lab, folder, _) = in_force("drops-refused", ONE);
    for (arguments, code, words) in [
        (["--drops", "2/3"].as_slice(), 64, "1/N"),
        (
            &["--drops", "1/1", "--rule", "nobody"],
            64,
            "is not in force",
        ),
    ] {
        let ran = on_server(&lab, &[&["monitor"], arguments].concat());
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    let first = Sampling::new(&lab, &["--drops", "1/1"]);
    let second = on_server(&lab, &["monitor", "--drops", "--for", "1s"]);
    assert_eq!(second.code, Some(3), "{}", second.stderr);
    assert!(
        second.stderr.contains("samples what this policy drops"),
        "{}",
        second.stderr
    );
    first.signal(libc::SIGINT);
    assert_eq!(first.end().code, Some(0));
    // What drops nothing there says so, and what is dropped elsewhere, too.
    let other = folder.file("none.sk", "default in allow\n");
    done(&lab, &["apply", &other, "--interface", FRONT]);
    let none = on_server(&lab, &["monitor", "--drops", "--for", "1ms"]);
    assert_eq!(none.code, Some(0), "{}", none.stderr);
    assert!(
        none.stderr.contains("drops no packet at XDP and TC"),
        "{}",
        none.stderr
    );
}
