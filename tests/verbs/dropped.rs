//! `monitor --drops` and `--pcap-out`: each drop with the rule that counted it, at XDP and TC, what found no room counted exactly,
//! across applies, and nothing left however it ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sockc_runtime::lab::{CLIENT, FRONT, Lab, SERVER, Space};

use super::monitored::{PATIENCE, done, on_server, send};
use super::{Folder, NetnsName, Ran, root, run, sockc};

/// What is said when drops are followed.
const FOLLOWED: &str = "dropped at XDP and TC";

/// A monitor that follows drops.
struct Sampling {
    child: Child,
    lines: BufReader<ChildStdout>,
    said: BufReader<ChildStderr>,
}

impl Sampling {
    fn new(space: &Space, arguments: &[&str]) -> Self {
        let mut all = vec!["monitor"];
        all.extend(arguments);
        let start = || {
            let mut command = sockc(&all);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let mut child = space.run(start).unwrap();
        let mut sampling = Self {
            lines: BufReader::new(child.stdout.take().unwrap()),
            said: BufReader::new(child.stderr.take().unwrap()),
            child,
        };
        sampling.hears(FOLLOWED);
        sampling
    }

    /// Waits until this is said; gives the line.
    fn hears(&mut self, words: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "{all}");
            if line.contains(words) {
                return line;
            }
            all.push_str(&line);
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn json(&mut self) -> serde_json::Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the call takes numbers; the process is ours and was not waited for.
        let sent = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(sent, 0);
    }

    /// What it printed still, what it said, and how it ended.
    fn end(mut self) -> Ran {
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
         drop udp from any:4000 to port 20..29 if length > 500\n\
         hated: drop udp from @banned to port 30\n\
         reject udp to port 40\n\
         near: allow udp to port 50 if socket exists\n\
         leaving: drop out udp to port 60\n"
    )
}

/// The packets that rules and defaults of `udp` have counted, by their labels, else by their texts.
fn counted(lab: &Lab) -> BTreeMap<String, u64> {
    let json = done(lab, &["counters", "--json"]).json();
    let rows = json["rules"].as_array().unwrap().iter();
    let drops = rows.filter(|row| row["verdict"] == "drop" && row["kind"] != "malformed");
    drops
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
        socket
            .send_to(&vec![b'x'; bytes], (SERVER[0], port))
            .unwrap()
    });
    assert_eq!(sent.unwrap(), bytes);
}

#[test]
fn each_drop_is_told_with_the_rule_that_counts_it() {
    if !root() {
        return;
    }
    for (hook, name) in [("tc", "tc in"), ("xdp", "xdp")] {
        let (lab, folder) = (
            Lab::new().unwrap(),
            Folder::new(&format!("drops-told-{hook}")),
        );
        let path = folder.file("edge.sk", &policy(hook));
        done(&lab, &["apply", &path, "--interface", FRONT]);
        done(&lab, &["set", "add", "banned", &CLIENT[0].to_string()]);
        let mut sampling = Sampling::new(&lab.server, &["--drops", "1/1", "--json"]);
        send(&lab, [10, 10, 11, 21, 30, 30, 30, 40, 50]);
        send_long(&lab, 25, 1400);
        let left = lab.server.run(|| {
            let socket = UdpSocket::bind((SERVER[0], 4000)).unwrap();
            // What is dropped as it leaves is told to whoever sends it, or not.
            let _ = socket.send_to(b"x", (CLIENT[0], 60));
        });
        left.unwrap();
        // Nothing comes after this one.
        send(&lab, [10]);
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        let mut of_udp = 0;
        while of_udp < 11 {
            let json = sampling.json();
            assert_eq!(
                (&json["event"], &json["sampled"]),
                (&"drop".into(), &1.into())
            );
            assert_eq!(json["verdict"], "drop", "{json}");
            *told
                .entry(json["rule"].as_str().unwrap().to_owned())
                .or_default() += 1;
            if json["protocol"] != 17 {
                continue;
            }
            of_udp += 1;
            let way = match json["rule"].as_str() {
                Some("leaving") => ("tc out", "out"),
                _ => (name, "in"),
            };
            assert_eq!(
                (json["hook"].as_str(), json["direction"].as_str()),
                (Some(way.0), Some(way.1))
            );
            assert_eq!(json["interface"], FRONT);
            if json["to_port"] == 25 {
                assert_eq!(json["length"], 1428, "{json}");
            }
        }
        sampling.signal(libc::SIGINT);
        let ended = sampling.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        // Neighbours of IPv6 may say something at any time.
        for line in ended.stdout.lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_ne!(json["protocol"], 17, "{json}");
            *told
                .entry(json["rule"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
        let by_default = told
            .remove("default in drop at xdp")
            .or(told.remove("default in drop at tc"));
        let mut counted = counted(&lab);
        counted.retain(|rule, _| !rule.starts_with("default"));
        assert_eq!(told, counted);
        let expected = [
            ("drop udp from any:4000 to port 20..29 if length > 500", 1),
            ("hated", 3),
            ("leaving", 1),
            ("named", 3),
        ];
        let expected = expected.map(|(rule, packets)| (rule.to_owned(), packets));
        assert_eq!(told, BTreeMap::from(expected));
        // 11, the short one to 21, and 50.
        assert!(by_default >= Some(3), "{by_default:?}");
    }
}

#[test]
fn where_it_is_not_known_which_rule_those_that_may_be_are_named() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("drops-candidates"));
    let text = "default in allow\n\
                fast: drop udp to port 10 above 1/hour\n\
                rest: drop udp to port 10..11\n\
                paced: allow udp to port 12 up to 1/hour\n\
                late: drop udp to port 12\n";
    let path = folder.file("edge.sk", text);
    done(&lab, &["apply", &path, "--interface", FRONT]);
    let mut sampling = Sampling::new(&lab.server, &["--drops=1/1", "--json", "--verdict", "drop"]);
    send(&lab, [10, 11, 12, 12]);
    let json = sampling.json();
    assert!(json["rule"].is_null() && json["line"].is_null(), "{json}");
    let all = json["candidates"].as_array().unwrap();
    let labels: Vec<_> = all
        .iter()
        .map(|one| one["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, ["fast", "rest"]);
    for rule in ["rest", "late"] {
        let json = sampling.json();
        assert_eq!(json["rule"], rule);
        assert!(json.get("candidates").is_none() && json.get("unknown").is_none());
    }
    sampling.signal(libc::SIGTERM);
    sampling.end();
    // In words, and what `--rule` leaves.
    let mut sampling = Sampling::new(&lab.server, &["--drops", "1/1", "--rule", "fast"]);
    send(&lab, [11, 12, 10]);
    let line = sampling.line();
    assert!(
        line.contains("(one of fast, rest)") && line.contains("  1/1"),
        "{line}"
    );
    sampling.signal(libc::SIGTERM);
    let ended = sampling.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
}

/// Datagrams to a port that is dropped, from one socket.
fn flood(lab: &Lab, count: usize) {
    send(lab, std::iter::repeat_n(10, count));
}

const ONE: &str = "default in allow\nnamed: drop udp to port 10\n";

#[test]
fn what_finds_no_room_is_counted_exactly() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("drops-lost"));
    done(
        &lab,
        &["apply", &folder.file("edge.sk", ONE), "--interface", FRONT],
    );
    let mut sampling = Sampling::new(&lab.server, &["--drops", "1/1", "--json"]);
    // Nobody takes anything while it stands still.
    sampling.signal(libc::SIGSTOP);
    const SENT: usize = 20_000;
    flood(&lab, SENT);
    sampling.signal(libc::SIGCONT);
    let (mut told, mut lost) = (0, 0);
    while told + lost < SENT as u64 {
        let json = sampling.json();
        match json["event"].as_str() {
            Some("lost") => {
                assert_eq!(json["sampled"], true);
                lost += json["records"].as_u64().unwrap();
            }
            _ => told += 1,
        }
    }
    assert_eq!(told + lost, SENT as u64);
    assert!(told > 1000 && lost > 1000, "{told} {lost}");
    sampling.signal(libc::SIGINT);
    assert_eq!(sampling.end().stdout, "");
}

#[test]
fn a_sample_is_about_one_of_so_many() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("drops-part"));
    done(
        &lab,
        &["apply", &folder.file("edge.sk", ONE), "--interface", FRONT],
    );
    let mut sampling = Sampling::new(&lab.server, &["--drops", "1/8", "udp", "to", "port", "10"]);
    let lines = thread::scope(|scope| {
        let counted = scope.spawn(|| {
            let mut all = String::new();
            sampling.lines.read_to_string(&mut all).unwrap();
            all.lines().count()
        });
        flood(&lab, 8_000);
        // What was sent was dropped: the client's queue and the server's are one.
        let until = Instant::now() + PATIENCE;
        while counted_by(&lab) < 8_000 && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        let id = sampling.child.id().cast_signed();
        // SAFETY: the call takes numbers; the process is ours and was not waited for.
        assert_eq!(unsafe { libc::kill(id, libc::SIGINT) }, 0);
        counted.join().unwrap()
    });
    // Thirty times as far from 1000 as it is on average.
    assert!((100..2000).contains(&lines), "{lines}");
}

fn counted_by(lab: &Lab) -> u64 {
    counted(lab).get("named").copied().unwrap_or_default()
}

/// The kernel's numbers of programs, maps and links that a process holds, each with the command that opens one by it.
fn held(child: &Child) -> Vec<(i64, u32)> {
    const PROGRAM: i64 = 13;
    const MAP: i64 = 14;
    const LINK: i64 = 30;
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", child.id())).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.strip_prefix(key));
            lines
                .next()
                .and_then(|rest| rest.trim().parse::<u32>().ok())
        };
        found.extend(value("link_id:").map(|id| (LINK, id)));
        // A link says which program it has.
        found.extend(
            value("prog_id:")
                .filter(|_| value("link_id:").is_some())
                .map(|id| (PROGRAM, id)),
        );
        let is_own = value("map_type:").is_some_and(|kind| kind == 4);
        found.extend(value("map_id:").filter(|_| is_own).map(|id| (MAP, id)));
    }
    found
}

/// Whether the kernel still has what this number is of.
fn is_there(command: i64, id: u32) -> bool {
    let mut attr = [0_u32; 30];
    attr[0] = id;
    // SAFETY: the attributes live through the call, and their size is passed with them.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attr.as_mut_ptr(),
            size_of_val(&attr),
        )
    };
    if fd < 0 {
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
        return false;
    }
    // SAFETY: the descriptor was just made for us.
    drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd as i32) });
    true
}

#[test]
fn nothing_stays_of_a_monitor_that_is_killed() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("drops-killed"));
    done(
        &lab,
        &["apply", &folder.file("edge.sk", ONE), "--interface", FRONT],
    );
    let mut sampling = Sampling::new(&lab.server, &["--drops", "1/1"]);
    send(&lab, [10]);
    assert!(sampling.line().contains("named"));
    let held = held(&sampling.child);
    for command in [13, 14, 30] {
        assert!(held.iter().any(|(one, _)| *one == command), "{held:?}");
    }
    assert!(held.iter().all(|(command, id)| is_there(*command, *id)));
    sampling.signal(libc::SIGKILL);
    sampling.end();
    // The kernel frees them when nobody can be at work in them any more.
    let until = Instant::now() + PATIENCE;
    while held.iter().any(|(command, id)| is_there(*command, *id)) {
        assert!(Instant::now() < until, "{held:?}");
        thread::sleep(Duration::from_millis(20));
    }
    // Packets go the way that they went, and the next one begins anew.
    let mut again = Sampling::new(&lab.server, &["--drops", "1/1", "--count", "1"]);
    send(&lab, [10]);
    assert!(again.line().contains("named"));
    assert_eq!(again.end().code, Some(0));
}

#[test]
fn another_policy_is_followed_and_so_is_that_of_a_block() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("drops-follow"));
    let path = folder.file("edge.sk", ONE);
    done(&lab, &["apply", &path, "--interface", FRONT]);
    let mut sampling = Sampling::new(&lab.server, &["--drops", "1/1", "--json"]);
    send(&lab, [10]);
    let first = sampling.json();
    assert_eq!(
        (&first["rule"], &first["generation"]),
        (&"named".into(), &1.into())
    );
    let next = folder.file(
        "edge.sk",
        "default in allow\nother: drop udp to port 10\ndrop out udp to port 61\n",
    );
    done(&lab, &["apply", &next, "--interface", FRONT]);
    assert_eq!(sampling.json()["event"], "policy");
    sampling.hears(FOLLOWED);
    send(&lab, [10]);
    let second = sampling.json();
    assert_eq!(
        (&second["rule"], &second["generation"]),
        (&"other".into(), &2.into())
    );
    done(&lab, &["unload", "--yes"]);
    assert_eq!(sampling.json()["event"], "policy");
    assert_eq!(sampling.end().code, Some(0));
    let name = NetnsName::new("drops", &lab.server);
    let text = format!(
        "interfaces lo\ndefault in allow\nfor netns \"{}\" {{\n    interfaces {FRONT}\n    default in allow\n    within: drop udp to port 10\n}}\n",
        name.0
    );
    let path = folder.file("around.sk", &text);
    let on_client = |arguments: &[&str]| lab.client.run(|| run(arguments)).unwrap();
    let applied = on_client(&["apply", &path]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let mut sampling = Sampling::new(
        &lab.client,
        &["--drops", "1/1", "--json", "--netns", &name.0],
    );
    send(&lab, [10]);
    let json = sampling.json();
    assert_eq!(json["rule"], "within", "{json}");
    sampling.signal(libc::SIGINT);
    sampling.end();
    let unloaded = on_client(&["unload", "--yes"]);
    assert_eq!(unloaded.code, Some(0), "{}", unloaded.stderr);
}

#[test]
fn what_is_shown_is_recorded_and_read_back() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("drops-recorded"));
    let text =
        "default in allow\nnamed: drop udp to port 10\nknocks: count udp to port 9 log \"knock\"\n";
    let path = folder.file("edge.sk", text);
    done(&lab, &["apply", &path, "--interface", FRONT]);
    let file = folder.0.join("out.pcapng");
    let file = file.to_str().unwrap();
    let mut sampling = Sampling::new(&lab.server, &["--drops", "1/1", "--pcap-out", file]);
    send(&lab, [10, 9]);
    send_long(&lab, 10, 3000);
    let lines = [(); 3].map(|()| sampling.line());
    assert_eq!(
        lines.iter().filter(|line| line.contains("named")).count(),
        2
    );
    // However it ends, what is there can be read.
    sampling.signal(libc::SIGKILL);
    sampling.end();
    let explained = on_server(&lab, &["explain", &path, "--pcap", file, "--json"]).json();
    let words: Vec<_> = explained["packets"].as_array().unwrap().iter().collect();
    let from = format!("udp from {}:4000 to {}", CLIENT[0], SERVER[0]);
    let has = |port: u16, rest: &str| {
        let start = format!("{from}:{port}");
        words.iter().any(|one| {
            let packet = one["packet"].as_str().unwrap();
            packet.starts_with(&start) && packet.contains(rest)
        })
    };
    assert!(
        words.len() == 3 && has(10, "length 29") && has(9, "length 29"),
        "{explained}"
    );
    // The length of what was cut short is kept.
    assert!(has(10, "length 3028"), "{explained}");
    let bytes = fs::read(file).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for words in [
        "drop by named (",
        "1/1 of what is dropped",
        "count by knocks (",
        "made from what the log tells",
        FRONT,
    ] {
        assert!(text.contains(words), "{words}");
    }
    // On standard output it takes the place of lines.
    let mut sampling = Sampling::new(
        &lab.server,
        &["--drops", "1/1", "--pcap-out", "-", "--count", "1"],
    );
    send(&lab, [10]);
    let mut bytes = Vec::new();
    sampling.lines.read_to_end(&mut bytes).unwrap();
    assert!(bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) && bytes.len() > 100);
    assert_eq!(sampling.end().code, Some(0));
}

#[test]
fn what_cannot_be_done_is_refused() {
    if !root() {
        return;
    }
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("drops-refused"));
    let path = folder.file("edge.sk", ONE);
    done(&lab, &["apply", &path, "--interface", FRONT]);
    let none = on_server(&lab, &["monitor", "--pcap-out", "/nowhere/out.pcapng"]);
    assert_eq!(none.code, Some(3), "{}", none.stderr);
    assert!(
        none.stderr.contains("cannot write /nowhere/out.pcapng"),
        "{}",
        none.stderr
    );
    let both = on_server(&lab, &["monitor", "--pcap-out", "-", "--json"]);
    assert_eq!(both.code, Some(64), "{}", both.stderr);
    let part = on_server(&lab, &["monitor", "--drops", "2/3"]);
    assert_eq!(part.code, Some(64), "{}", part.stderr);
    let rule = on_server(&lab, &["monitor", "--drops", "1/1", "--rule", "nobody"]);
    assert_eq!(rule.code, Some(64), "{}", rule.stderr);
    // A disk that is full ends it, and says where.
    let mut sampling = Sampling::new(&lab.server, &["--drops", "1/1", "--pcap-out", "/dev/full"]);
    send(&lab, [10]);
    let said = sampling.hears("cannot write");
    assert!(said.contains("/dev/full"), "{said}");
    assert_eq!(sampling.end().code, Some(3));
    // Whoever reads the log is in nobody's way.
    let logging = folder.file(
        "edge.sk",
        "default in allow\nnamed: drop udp to port 10 log\n",
    );
    done(&lab, &["apply", &logging, "--interface", FRONT]);
    let mut first = Sampling::new(&lab.server, &["--drops", "1/1", "--json"]);
    let mut second = Sampling::new(&lab.server, &["--drops", "1/1", "--json"]);
    send(&lab, [10]);
    let mut events = [(); 2].map(|()| first.json()["event"].as_str().unwrap().to_owned());
    events.sort_unstable();
    assert_eq!(events, ["drop", "packet"]);
    assert_eq!(second.json()["event"], "drop");
    for sampling in [first, second] {
        sampling.signal(libc::SIGINT);
        let ended = sampling.end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    }
}
