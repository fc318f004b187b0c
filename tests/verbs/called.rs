//! `monitor` of what `connect` rules log: real calls of a group, and each word of a filter that such a record can have.
//!
//! Calls are made, and their records are read again and again: with the ring of each apply, by what each filter shows. Not here:
//! whom a group may call (`tests/streams/calls.rs`).

use std::net::SocketAddr;

use sockc_runtime::lab::{Group, Lab};
use socket2::{SockAddr, Socket};

use super::{Folder, Ran, root, run};

/// What a group calls, in this order: by which protocol, whom, and by whose rule and verb that is logged. In the server's namespace
/// every address is its own, so that what may be called answers.
const CALLS: [(&str, &str, &str, &str); 8] = [
    ("tcp", "192.0.2.5:80", "web", "drop"),
    ("udp", "192.0.2.5:80", "names", "count"),
    ("udp", "203.0.113.7:53", "names", "count"),
    ("tcp", "[2001:db8::5]:443", "six", "reject"),
    // An IPv4 address in IPv6 is that address, and an unspecified one is loopback.
    ("tcp", "[::ffff:192.0.2.9]:8080", "web", "drop"),
    ("tcp", "0.0.0.0:7", "own", "drop"),
    ("udp", "[::]:7", "own", "drop"),
    ("tcp", "203.0.113.7:25", "mail", "drop"),
];

/// The filters, and which of the calls each shows.
const FILTERS: [(&[&str], &[usize]); 26] = [
    (&[], &[0, 1, 2, 3, 4, 5, 6, 7]),
    (&["connect"], &[0, 1, 2, 3, 4, 5, 6, 7]),
    // A direction: any other one shows nothing.
    (&["in"], &[]),
    (&["out tcp"], &[]),
    (&["forward"], &[]),
    (&["send"], &[]),
    (&["receive"], &[]),
    // A protocol.
    (&["connect tcp"], &[0, 3, 4, 5, 7]),
    (&["udp"], &[1, 2, 6]),
    (&["connect tcp, udp"], &[0, 1, 2, 3, 4, 5, 6, 7]),
    // An address, of both families, and what they stand for.
    (&["connect to 192.0.2.0/24"], &[0, 1, 4]),
    (&["to 192.0.2.9"], &[4]),
    (&["connect to not 192.0.2.0/24"], &[2, 3, 5, 6, 7]),
    (&["connect to 2001:db8::/32"], &[3]),
    (&["connect to 127.0.0.1, ::1"], &[5, 6]),
    // A port.
    (&["connect to port 80"], &[0, 1]),
    (&["connect", "to", "any:{25,", "443}"], &[3, 7]),
    (&["connect tcp to port 1-100"], &[0, 5, 7]),
    (&["connect tcp to 203.0.113.0/24:25"], &[7]),
    // A rule, by its label and its line, and a verdict; all together.
    (&["--rule", "web"], &[0, 4]),
    (&["--rule", "LINE", "connect"], &[1, 2]),
    (&["--verdict", "reject", "connect"], &[3]),
    (&["--verdict", "drop", "connect udp"], &[6]),
    (&["--verdict", "count", "--verdict", "reject"], &[1, 2, 3]),
    (
        &[
            "--rule",
            "web",
            "--verdict",
            "drop",
            "connect tcp to port 8080",
        ],
        &[4],
    ),
    (&["--rule", "names", "connect to port 25"], &[]),
];

/// What no record of a call has is refused, and shows no empty list.
const REFUSED: [(&str, &str); 7] = [
    ("connect sctp", "such a protocol"),
    ("connect tcp from 10.0.0.1", "a sender"),
    ("connect tcp on interface lo", "an interface"),
    ("connect tcp if tcp flags syn", "TCP flags"),
    ("connect tcp if length > 60", "a length"),
    ("connect if mark 0", "a mark"),
    ("connect if no mark 7", "a mark"),
];

/// The line of the rule `names`.
const LINE: &str = "6";

fn policy(group: &Group) -> String {
    format!(
        "policy calls
group jobs = cgroup \"{}\"
default connect allow
web: drop connect tcp from group jobs to 192.0.2.0/24 log \"web\" max 1_000_000/second
six: reject connect tcp from group jobs to 2001:db8::/32 log max 1_000_000/second
names: count connect udp from group jobs to port {{53, 80}} log max 1_000_000/second
own: drop connect from group jobs to 127.0.0.1, ::1 log max 1_000_000/second
mail: audit drop connect tcp from group jobs to port 25 log max 1_000_000/second
quiet: count connect from group jobs
",
        group.path()
    )
}

/// A group, a policy about whom it calls, and the namespace where it is in force.
struct Place {
    lab: Lab,
    group: Group,
    policy: String,
    _folder: Folder,
}

impl Place {
    fn new() -> Self {
        let (lab, group, folder) = (
            Lab::new().unwrap(),
            Group::new().unwrap(),
            Folder::new("called"),
        );
        let policy = folder.file("calls.sk", &policy(&group));
        Self {
            lab,
            group,
            policy,
            _folder: folder,
        }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(
            ran.code,
            Some(0),
            "{arguments:?}: {}{}",
            ran.stdout,
            ran.stderr
        );
        ran
    }

    /// Makes all calls, each from a socket of its own.
    fn calls(&self) {
        for (protocol, to, _, _) in CALLS {
            let to: SocketAddr = to.parse().unwrap();
            self.lab.server.run(|| self.call(protocol, to)).unwrap();
        }
    }

    fn call(&self, protocol: &str, to: SocketAddr) {
        let made = match protocol {
            "tcp" => self.group.tcp_socket(to),
            _ => self.group.udp_socket(to),
        };
        let socket = Socket::from(made.unwrap());
        if to.is_ipv6() {
            socket.set_only_v6(false).unwrap();
        }
        // A mark is the socket's: no record tells it.
        socket.set_mark(7).unwrap();
        socket.set_nonblocking(true).unwrap();
        // Whether it is refused is not asked here, nor whether anybody is there.
        let _ = socket.connect(&SockAddr::from(to));
    }

    /// The calls that a monitor with these options shows: what it prints of each, and which one that is.
    fn shown(&self, options: &[&str]) -> Vec<usize> {
        // Each apply begins with an empty ring.
        self.done(&["apply", &self.policy, "--yes"]);
        self.calls();
        let all = [&["monitor", "--json", "--for", "1ms"], options].concat();
        let ran = self.done(&all);
        let lines = ran.stdout.lines();
        lines
            .map(|line| which(&serde_json::from_str(line).unwrap()))
            .collect()
    }
}

impl Drop for Place {
    /// Programs on a control group hold nothing of the namespace.
    fn drop(&mut self) {
        let _ = self.lab.server.run(|| run(&["unload", "--yes"]));
    }
}

/// Which call a record is of; all that it says is so.
fn which(record: &serde_json::Value) -> usize {
    let protocol = match record["protocol"].as_u64() {
        Some(6) => "tcp",
        Some(17) => "udp",
        _ => panic!("{record}"),
    };
    let (to, port) = (record["to"].as_str().unwrap(), &record["to_port"]);
    let is_it = |(of, address, rule, verb): &(&str, &str, &str, &str)| {
        let address: SocketAddr = address.parse().unwrap();
        let reached = match address.ip() {
            ip if !ip.is_unspecified() => ip.to_canonical(),
            ip if ip.is_ipv4() => [127, 0, 0, 1].into(),
            _ => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        *of == protocol
            && reached.to_string() == to
            && *port == address.port()
            && record["rule"] == *rule
            && record["verdict"] == *verb
    };
    let found = CALLS.iter().position(is_it);
    let found = found.unwrap_or_else(|| panic!("{record}"));
    assert_eq!(record["event"], "packet", "{record}");
    assert_eq!(record["direction"], "connect", "{record}");
    assert_eq!(record["audit"], record["rule"] == "mail", "{record}");
    // What nobody knows of a call.
    for null in [
        "from",
        "from_port",
        "interface",
        "came_in",
        "tcp_flags",
        "length",
        "mark",
        "icmp",
    ] {
        assert!(record[null].is_null(), "{null}: {record}");
    }
    found
}

#[test]
fn each_word_of_a_filter_chooses_among_calls() {
    if !root() {
        return;
    }
    let place = Place::new();
    for (filter, wanted) in FILTERS {
        let line = format!("{}:{LINE}", place.policy);
        let options: Vec<&str> = filter
            .iter()
            .map(|word| if *word == "LINE" { line.as_str() } else { word })
            .collect();
        assert_eq!(place.shown(&options), wanted, "{filter:?}");
    }
    for (words, what) in REFUSED {
        let ran = place.run(&["monitor", "--for", "1ms", words]);
        assert_eq!(ran.code, Some(64), "{words}: {}", ran.stdout);
        let says = format!("a record of `connect` does not have {what}");
        assert!(ran.stderr.contains(&says), "{words}: {}", ran.stderr);
    }
}

/// Without a direction words are about every one, and what a call does not tell holds for none.
#[test]
fn what_a_call_does_not_tell_holds_for_none() {
    if !root() {
        return;
    }
    let place = Place::new();
    for words in [
        "from 0.0.0.0/0, ::/0",
        "if mark 0",
        "if no mark 7",
        "if length < 100",
        "tcp if no tcp flags rst",
    ] {
        assert!(place.shown(&[words]).is_empty(), "{words}");
    }
}
