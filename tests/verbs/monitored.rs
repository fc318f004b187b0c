//! `monitor`: every record once and in order, what is lost counted exactly, across applies, and however it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use sockc_runtime::lab::{CLIENT, FRONT, Lab, SERVER};
use socket2::{Domain, Socket, Type};

use super::{Folder, Ran, root, run, sockc};

const POLICY: &str = "\
default in allow
knocks: count udp to port 9 log \"knock\" max 1_000_000/second
dropped: drop udp to port 10 log max 1_000_000/second
audited: audit drop udp to port 11 log max 1_000_000/second
quiet: count udp to port 12
";
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn on_server(lab: &Lab, arguments: &[&str]) -> Ran {
    lab.server.run(|| run(arguments)).unwrap()
}

pub(super) fn done(lab: &Lab, arguments: &[&str]) -> Ran {
    let ran = on_server(lab, arguments);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    ran
}

/// A lab with the policy in force.
fn applied(name: &str) -> (Lab, Folder, String) {
    in_force(name, POLICY)
}

/// A lab with a policy in force, and its file.
pub(super) fn in_force(name: &str, policy: &str) -> (Lab, Folder, String) {
    let (lab, folder) = (Lab::new().unwrap(), Folder::new(name));
    let path = folder.file("edge.sk", policy);
    done(&lab, &["apply", &path, "--interface", FRONT]);
    (lab, folder, path)
}

/// Sends datagrams of these ports, one after the other.
pub(super) fn send(lab: &Lab, ports: impl IntoIterator<Item = u16> + Send) {
    let sent = lab.client.run(|| {
        // A process that another test starts may hold a copy of the last one for a moment.
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let from = SocketAddr::from((CLIENT[0], 4000));
        socket.bind(&from.into()).unwrap();
        let socket = UdpSocket::from(socket);
        for port in ports {
            // A queue that is full takes the next one.
            while socket.send_to(b"x", (SERVER[0], port)).is_err() {}
        }
    });
    sent.unwrap();
}

/// A monitor that runs.
pub(super) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub(super) fn new(lab: &Lab, arguments: &[&str]) -> Self {
        let mut all = vec!["monitor"];
        all.extend(arguments);
        let start = || {
            let mut command = sockc(&all);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let mut child = lab.server.run(start).unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn json(&mut self) -> serde_json::Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
    }

    pub(super) fn signal(&self, signal: i32) {
        // SAFETY: the call takes numbers; the process is ours and was not waited for.
        let sent = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(sent, 0);
    }

    /// What it printed still, what it said, and how it ended.
    pub(super) fn end(mut self) -> Ran {
        let mut stdout = String::new();
        self.lines.read_to_string(&mut stdout).unwrap();
        let ended = self.child.wait_with_output().unwrap();
        Ran {
            stdout,
            ..Ran::of(ended)
        }
    }
}

/// What a rule has counted, or the counter of a kind.
fn counted(lab: &Lab, rule: &str) -> u64 {
    let json = done(lab, &["counters", "--json"]).json();
    let rows = json["rules"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["rule"] == rule || row["kind"] == rule);
    row.unwrap_or_else(|| panic!("{json}"))["packets"]
        .as_u64()
        .unwrap()
}

/// What is wrong with a filter is said in a filter's words: it has no verb.
#[test]
fn a_filter_names_where_things_leave_with_forward() {
    for words in ["tcp to interface dmz", "out tcp to interface dmz"] {
        let ran = run(&["monitor", words]);
        assert_eq!(ran.code, Some(64), "{words}: {}", ran.stderr);
        let said = ran.stderr.contains("begin the filter with `forward`");
        assert!(said && !ran.stderr.contains("verb"), "{}", ran.stderr);
    }
}

/// What is suggested for a filter is one, at the place where it was written.
#[test]
fn a_filter_that_is_suggested_is_taken() {
    for (words, place, suggested) in [
        ("tcp dport 22", "<filter>:1:5", "tcp to port 22"),
        ("in out tcp", "<filter>:1:4", "in tcp"),
        (
            "connect tcp dport 22",
            "<filter>:1:13",
            "connect tcp to port 22",
        ),
        ("tcp to port {53", "<filter>:1:", ""),
        ("tcp to port 22-10", "<filter>:1:13", "10-22"),
    ] {
        let ran = run(&["monitor", words]);
        assert_eq!(ran.code, Some(64), "{words}: {}", ran.stderr);
        let help = format!("write `{suggested}`");
        assert!(ran.stderr.contains(place), "{words}: {}", ran.stderr);
        assert!(!ran.stderr.contains("allow"), "{words}: {}", ran.stderr);
        if suggested.is_empty() {
            continue;
        }
        assert!(ran.stderr.contains(&help), "{words}: {}", ran.stderr);
        if suggested.contains(' ') {
            let taken = run(&["monitor", "--netns", "no-such-netns", suggested]);
            assert_eq!(taken.code, Some(3), "{suggested}: {}", taken.stderr);
        }
    }
    let ran = run(&["monitor", "include </etc/passwd>"]);
    assert!(!ran.stderr.contains("write `include"), "{}", ran.stderr);
}

/// A set of the policy is not one of the filter's, which declares none; and what no packet is, is never shown.
#[test]
fn what_a_filter_cannot_ask_is_said_as_it_is() {
    for (words, says) in [
        (
            "tcp from @banned",
            "cannot ask for sets and maps of a policy",
        ),
        (
            "tcp by @tenants",
            "cannot ask for sets and maps of a policy",
        ),
        ("tcp from 1.1.1.1 to ::1", "so nothing would be shown"),
        ("udp if tcp flags syn", "so nothing would be shown"),
        ("icmp to port 5", "so nothing would be shown"),
    ] {
        let ran = run(&["monitor", words]);
        assert_eq!(ran.code, Some(64), "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{words}: {}", ran.stderr);
        assert!(!ran.stderr.contains("declare"), "{words}: {}", ran.stderr);
    }
    // An interface may be called so.
    let named = run(&[
        "monitor",
        "--netns",
        "no-such-netns",
        "on interface \"a@b\"",
    ]);
    assert_eq!(named.code, Some(3), "{}", named.stderr);
}

/// Options that leave nothing of the policy in force are told: the watcher sees quiet, and should know why.
#[test]
fn what_leaves_nothing_to_show_is_told() {
    if !root() {
        return;
    }
    let (lab, ..) = applied("monitor-nothing");
    let nothing = "so nothing is shown until another one is in force";
    for (arguments, told) in [
        (&["out"][..], true),
        (&["in"], false),
        (&["--rule", "knocks", "out"], true),
        (&["--rule", "knocks", "--verdict", "drop"], true),
        (&["--rule", "knocks", "--verdict", "count"], false),
        (&["--verdict", "allow"], true),
        (&["--drops=1/1", "--verdict", "allow"], true),
        (&["--drops=1/1", "--verdict", "drop"], false),
        (&["udp"], false),
    ] {
        let all = [&["monitor", "--for", "1ms"], arguments].concat();
        let ran = done(&lab, &all);
        assert_eq!(
            ran.stderr.contains(nothing),
            told,
            "{arguments:?}: {}",
            ran.stderr
        );
    }
    done(&lab, &["unload", "--yes"]);
}

/// A filter has no files and no names, and what it says of that is not what a policy says.
#[test]
fn a_filter_includes_and_declares_nothing() {
    let beside = "a filter is what one rule says after its verb";
    for (words, says) in [
        ("include \"gone.sk\"", "`include`"),
        ("tcp\ninclude \"gone.sk\"", "`include`"),
        ("tcp include \"gone.sk\"", beside),
        ("tcp to any:53\nset s = file \"gone.txt\"", "`set`"),
        ("tcp\nset s = { 192.0.2.1 }", "`set`"),
        ("tcp\ndefault in allow", beside),
        ("tcp\nallow udp", beside),
        ("tcp\nfor interface eth0 {\nallow udp\n}", beside),
    ] {
        let ran = run(&["monitor", words]);
        assert_eq!(ran.code, Some(64), "{words}: {}", ran.stderr);
        let said = ran.stderr.contains(says) && ran.stderr.contains(beside);
        assert!(said, "{words}: {}", ran.stderr);
        for lie in ["E0226", "cannot read", "declared twice", "default"] {
            assert!(!ran.stderr.contains(lie), "{words}: {}", ran.stderr);
        }
    }
}

#[test]
fn records_are_told_as_they_come() {
    if !root() {
        return;
    }
    let (lab, ..) = applied("monitor-told");
    let mut monitor = Running::new(&lab, &[]);
    send(&lab, [9, 12, 10, 11]);
    let told = [(); 3].map(|()| monitor.line());
    let from = format!("udp from {}:4000 to {}", CLIENT[0], SERVER[0]);
    for (line, words) in told.iter().zip([
        [
            "count",
            "knocks",
            &format!("{FRONT} "),
            &format!("{from}:9"),
            "\"knock\"",
        ],
        ["drop", "dropped", FRONT, &format!("{from}:10"), "length 29"],
        [
            "audit drop",
            "audited",
            FRONT,
            &format!("{from}:11"),
            "length 29",
        ],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        let time: Vec<&str> = line.split([':', '.', ' ']).take(4).collect();
        let digits: Vec<usize> = time.iter().map(|part| part.len()).collect();
        assert_eq!(digits, [2, 2, 2, 3], "{line}");
    }
    // Another one would take what this one is to have.
    let other = on_server(&lab, &["monitor", "--for", "1s"]);
    assert_eq!(other.code, Some(3), "{}", other.stderr);
    assert!(
        other.stderr.contains("another `sockc monitor`"),
        "{}",
        other.stderr
    );
    send(&lab, [9]);
    assert!(monitor.line().contains("knocks"));
    monitor.signal(libc::SIGTERM);
    let ended = monitor.end();
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), ""),
        "{}",
        ended.stderr
    );

    // Records wait for who comes next, also after a kill.
    send(&lab, [9]);
    let mut killed = Running::new(&lab, &["--json"]);
    let told = killed.json();
    assert_eq!(
        (&told["event"], &told["rule"]),
        (&"packet".into(), &"knocks".into())
    );
    killed.signal(libc::SIGKILL);
    killed.end();
    send(&lab, [9, 10, 11, 9, 10]);
    let chosen = done(
        &lab,
        &[
            "monitor",
            "--json",
            "--verdict",
            "drop",
            "--rule",
            "dropped",
            "--count",
            "2",
            "from",
            "198.19.0.0/16",
            "to",
            "any:10",
        ],
    );
    let chosen: Vec<serde_json::Value> = chosen
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(chosen.len(), 2);
    for one in &chosen {
        assert_eq!(
            (&one["verdict"], &one["to_port"]),
            (&"drop".into(), &10.into()),
            "{one}"
        );
        assert_eq!(
            (&one["interface"], &one["hook"]),
            (&FRONT.into(), &chosen[0]["hook"])
        );
        let age = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64()
            - one["seconds"].as_f64().unwrap();
        assert!((0.0..600.0).contains(&age), "{one}");
    }
    done(&lab, &["unload", "--yes"]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    if !root() {
        return;
    }
    let lab = Lab::new().unwrap();
    let none = on_server(&lab, &["monitor"]);
    assert!(
        none.stderr.contains("no policy is in force"),
        "{}",
        none.stderr
    );
    assert_eq!(none.code, Some(3));
    let (lab, ..) = applied("monitor-refused");
    for (arguments, says) in [
        (&["--rule", "quiet"][..], "logs nothing"),
        (&["--rule", "nowhere"], "is not in force"),
        (&["if", "socket", "exists"], "does not have a socket"),
        (&["port", "53", "udp"], "<filter>:1"),
        (&["--for", "soon"], "write a time"),
        (&["--verdict", "maybe"], "possible values"),
    ] {
        let mut all = vec!["monitor"];
        all.extend(arguments);
        let ran = on_server(&lab, &all);
        assert_eq!(ran.code, Some(64), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
    done(&lab, &["unload", "--yes"]);
}

/// Whatever the reader does, what is printed and what is lost is what the rule counted.
#[test]
fn what_a_slow_reader_misses_is_counted() {
    if !root() {
        return;
    }
    const SENT: usize = 40_000;
    let (lab, ..) = applied("monitor-lost");
    let mut monitor = Running::new(&lab, &["--json"]);
    send(&lab, [9]);
    assert_eq!(monitor.json()["rule"], "knocks");
    // Nobody reads: first the pipe is full, then the ring.
    send(&lab, std::iter::repeat_n(9, SENT));
    let deadline = Instant::now() + PATIENCE;
    while counted(&lab, "lost") == 0 {
        assert!(Instant::now() < deadline, "nothing is lost");
        send(&lab, std::iter::repeat_n(9, 1000));
    }
    let counter = counted(&lab, "knocks");
    let all_lost = counted(&lab, "lost");
    let (mut told, mut lost, mut last) = (1, 0, 0);
    let mut take = |one: serde_json::Value| match one["event"].as_str().unwrap() {
        "packet" => {
            told += 1;
            let time = one["monotonic"].as_u64().unwrap();
            // One sender: one after the other.
            assert!(last <= time, "{one}");
            last = time;
            told
        }
        "lost" => {
            lost += one["records"].as_u64().unwrap();
            0
        }
        other => panic!("{other}"),
    };
    while take(monitor.json()) < counter - all_lost {}
    monitor.signal(libc::SIGINT);
    let ended = monitor.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in ended.stdout.lines() {
        take(serde_json::from_str(line).unwrap());
    }
    assert_eq!((told + lost, lost), (counter, all_lost));
    let status = done(&lab, &["status", "--json"]).json();
    assert_eq!(status["log_lost"], lost, "{status}");
    let metrics = done(&lab, &["metrics"]).stdout;
    let line = format!("sockc_log_lost_total{{netns=\"\",direction=\"in\"}} {lost}");
    assert!(metrics.contains(&line), "{metrics}");
    // A next one says of these what is true: they were lost in all, and not since the one before ended.
    let next = done(&lab, &["monitor", "--for", "1ms"]);
    let all = format!("{lost} lost in all before this began, since generation 1 was put in force");
    assert!(next.stderr.contains(&all), "{}", next.stderr);
    assert!(
        next.stderr.contains("that ran then has told"),
        "{}",
        next.stderr
    );
    // Totals stay over an apply, and who begins now is told of what was lost under this generation alone.
    done(&lab, &["apply", "--running", "--yes"]);
    assert_eq!(counted(&lab, "lost"), lost);
    done(&lab, &["unload", "--yes"]);
}

#[test]
fn policies_may_change_meanwhile() {
    if !root() {
        return;
    }
    let (lab, folder, path) = applied("monitor-applied");
    let mut monitor = Running::new(&lab, &["--json"]);
    send(&lab, [9]);
    assert_eq!(monitor.json()["rule"], "knocks");
    let renamed = folder.file("next.sk", &POLICY.replace("knocks", "taps"));
    // What the one before has written is read, whether that is seen before the next one or after.
    send(&lab, [9]);
    done(&lab, &["apply", &renamed, "--interface", FRONT, "--yes"]);
    send(&lab, [9, 9]);
    let mut seen = Vec::new();
    while seen.iter().filter(|one| *one == "taps").count() < 2 {
        let one = monitor.json();
        seen.push(match &one["event"] {
            event if event == "policy" => "policy".to_owned(),
            _ => one["rule"].as_str().unwrap().to_owned(),
        });
    }
    assert_eq!(seen, ["knocks", "policy", "taps", "taps"]);
    // A trial that is taken back, and then none at all.
    done(
        &lab,
        &[
            "apply",
            &path,
            "--interface",
            FRONT,
            "--yes",
            "--confirm",
            "60s",
        ],
    );
    assert_eq!(monitor.json()["event"], "policy");
    send(&lab, [9]);
    assert_eq!(monitor.json()["rule"], "knocks");
    done(&lab, &["rollback", "--yes"]);
    assert_eq!(monitor.json()["event"], "policy");
    send(&lab, [9]);
    assert_eq!(monitor.json()["rule"], "taps");
    // The next one has the number of the one that was taken back.
    done(&lab, &["apply", &path, "--interface", FRONT, "--yes"]);
    assert_eq!(monitor.json()["event"], "policy");
    send(&lab, [9]);
    assert_eq!(monitor.json()["rule"], "knocks");
    send(&lab, [9]);
    done(&lab, &["unload", "--yes"]);
    let ended = monitor.end();
    let told: Vec<serde_json::Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), 2, "{}", ended.stdout);
    assert_eq!(
        (&told[0]["rule"], &told[1]["event"]),
        (&"knocks".into(), &"policy".into())
    );
    assert!(told[1]["generation"].is_null());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("taken out of force"),
        "{}",
        ended.stderr
    );
}

#[test]
fn it_ends_with_its_reader() {
    if !root() {
        return;
    }
    let (lab, ..) = applied("monitor-pipe");
    let mut monitor = Running::new(&lab, &[]);
    send(&lab, [9]);
    monitor.line();
    let Running { mut child, lines } = monitor;
    drop(lines);
    // Nothing comes, and it ends all the same.
    let ended = child.wait().unwrap();
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!((ended.code(), said.as_str()), (Some(0), ""));

    // A reader that takes nothing keeps nobody from ending it.
    let mut stuck = Running::new(&lab, &["--json"]);
    send(&lab, std::iter::repeat_n(9, 3000));
    stuck.json();
    let deadline = Instant::now() + PATIENCE;
    stuck.signal(libc::SIGTERM);
    while stuck.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = stuck.end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("takes nothing"), "{}", ended.stderr);

    let none = Running::new(&lab, &["--for", "200ms"]).end();
    assert_eq!(none.code, Some(0), "{}", none.stderr);
    done(&lab, &["unload", "--yes"]);
}
