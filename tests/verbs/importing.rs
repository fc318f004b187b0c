//! `import tubular`: the policy that comes out, with real sockets; what it says of files that tubular refuses; and that names,
//! order and form depend on the bindings alone.
//!
//! What every lookup means is compared in `tests/differential/tubular.rs`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use sockc_runtime::lab::Lab;
use sockc_testing::again;
use socket2::{Domain, Socket, Type};

use super::{Folder, root, run, run_with_input};

/// How long an answer that must come may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two networks of each family: all ports of the first go to one label, one port of it to another, and the same of one address
/// in it the other way round; a port of the second, and of one half of it.
const PRECEDENCE: &str = r#"{"bindings": [
    {"label": "wide", "prefix": "203.0.113.0/24", "port": 0},
    {"label": "tls", "prefix": "203.0.113.0/24", "port": 443},
    {"label": "wide", "prefix": "203.0.113.4/32", "port": 0},
    {"label": "tls", "prefix": "203.0.113.4/32", "port": 80},
    {"label": "tls", "prefix": "198.51.100.0/24", "port": 443},
    {"label": "next tls", "prefix": "198.51.100.0/25", "port": 443},
    {"label": "wide", "prefix": "2001:db8:3::/64", "port": 0},
    {"label": "tls", "prefix": "2001:db8:3::/64", "port": 443},
    {"label": "wide", "prefix": "2001:db8:3::4/128", "port": 0},
    {"label": "tls", "prefix": "2001:db8:3::4/128", "port": 80},
    {"label": "tls", "prefix": "2001:db8:4::/64", "port": 443},
    {"label": "next tls", "prefix": "2001:db8:4::/65", "port": 443}
]}"#;

/// Destinations, and the label that gets what is sent there; none where nothing is bound.
const REACHED: [(&str, Option<&str>); 16] = [
    ("203.0.113.1:80", Some("wide")),
    ("203.0.113.1:81", Some("wide")),
    ("203.0.113.1:443", Some("tls")),
    ("203.0.113.4:443", Some("wide")),
    ("203.0.113.4:80", Some("tls")),
    ("198.51.100.1:443", Some("next tls")),
    ("198.51.100.128:443", Some("tls")),
    ("198.51.100.1:444", None),
    ("[2001:db8:3::1]:80", Some("wide")),
    ("[2001:db8:3::1]:81", Some("wide")),
    ("[2001:db8:3::1]:443", Some("tls")),
    ("[2001:db8:3::4]:443", Some("wide")),
    ("[2001:db8:3::4]:80", Some("tls")),
    ("[2001:db8:4::1]:443", Some("next tls")),
    ("[2001:db8:4:0:8000::1]:443", Some("tls")),
    ("[2001:db8:4::1]:444", None),
];

/// The names of sockets that an import gives labels, with the policy.
fn imported(text: &str) -> (String, Vec<(String, String)>) {
    let ran = run_with_input(&["import", "tubular", "-", "--json"], text);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let said = ran.json();
    assert_eq!(said["format"], "sockc.import/1");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let sockets = said["sockets"].as_array().unwrap().iter();
    let names = sockets.map(|one| (text(&one["label"]), text(&one["socket"])));
    (text(&said["text"]), names.collect())
}

fn name_of<'a>(names: &'a [(String, String)], label: &str) -> &'a str {
    let mut names = names.iter();
    &names.find(|(one, _)| one == label).unwrap().1
}

/// The sockets of a label, one of each kind.
struct Server {
    tcp: [TcpListener; 2],
    udp: [UdpSocket; 2],
}

impl Server {
    fn new() -> Self {
        let at = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let at = at.map(|address| SocketAddr::new(address, 0));
        Self {
            tcp: at.map(|at| open(at, Type::STREAM).into()),
            udp: at.map(|at| open(at, Type::DGRAM).into()),
        }
    }

    fn descriptors(&self) -> [RawFd; 4] {
        let ([a, b], [c, d]) = (&self.tcp, &self.udp);
        [a.as_raw_fd(), b.as_raw_fd(), c.as_raw_fd(), d.as_raw_fd()]
    }

    /// Whether a connection to there comes in here.
    fn accepts(&self, to: SocketAddr) -> bool {
        let Ok(mut client) = TcpStream::connect_timeout(&to, PATIENCE) else {
            return false;
        };
        client.write_all(b"hello").unwrap();
        let listener = &self.tcp[usize::from(to.is_ipv6())];
        let Ok((mut server, _)) = listener.accept() else {
            return false;
        };
        assert_eq!(server.local_addr().unwrap(), to);
        let mut data = [0; 5];
        server.read_exact(&mut data).unwrap();
        data == *b"hello"
    }

    /// Whether a datagram to there comes in here.
    fn receives(&self, to: SocketAddr) -> bool {
        let any = match to {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let client = UdpSocket::bind(any).unwrap();
        client.send_to(to.to_string().as_bytes(), to).unwrap();
        let mut data = [0; 64];
        let received = again(|| self.udp[usize::from(to.is_ipv6())].recv(&mut data));
        received.is_ok_and(|length| data[..length] == *to.to_string().as_bytes())
    }
}

/// A socket that waits for what comes, a moment.
fn open(at: SocketAddr, kind: Type) -> Socket {
    let socket = Socket::new(Domain::for_address(at), kind, None).unwrap();
    if at.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    socket.bind(&at.into()).unwrap();
    if kind == Type::STREAM {
        socket.listen(16).unwrap();
    }
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn longer_prefixes_and_then_ports_win_as_in_tubular() {
    let (policy, names) = imported(PRECEDENCE);
    for (to, label) in REACHED {
        for protocol in ["tcp", "udp"] {
            let from = if to.starts_with('[') {
                "[2001:db8:9::9]"
            } else {
                "192.0.2.9"
            };
            let packet = format!("{protocol} from {from}:40000 to {to}");
            let said = run_with_input(&["explain", "-", &packet, "--json"], &policy).json();
            let socket = label.map(|label| name_of(&names, label));
            assert_eq!(said["socket"].as_str(), socket, "{packet}: {said}");
        }
    }
}

#[test]
fn connections_and_datagrams_go_where_tubular_sends_them() {
    if !root() {
        return;
    }
    let folder = Folder::new("importing");
    for live in [false, true] {
        let lab = Lab::new().unwrap();
        for (address, length) in [
            ("203.0.113.0", 24),
            ("198.51.100.0", 24),
            ("2001:db8:3::", 64),
            ("2001:db8:4::", 64),
        ] {
            lab.serve(address.parse().unwrap(), length).unwrap();
        }
        let file = folder.file("bindings.json", PRECEDENCE);
        let policy = folder.0.join("steering.sk");
        let policy = policy.to_str().unwrap();
        let kind: &[&str] = if live { &["--live"] } else { &[] };
        let made = run(&[&["import", "tubular", &file, "-o", policy], kind].concat());
        assert_eq!(
            (made.code, made.stdout.as_str()),
            (Some(0), format!("wrote {policy}\n").as_str())
        );
        let (_, names) = imported(PRECEDENCE);
        lab.server.run(|| steers(policy, &names)).unwrap();
    }
}

/// In the lab's namespace: puts the policy in force, hands sockets over, and looks where everything goes.
fn steers(policy: &str, names: &[(String, String)]) {
    let done = |arguments: &[&str]| {
        let ran = run(arguments);
        assert_eq!(
            ran.code,
            Some(0),
            "{arguments:?}: {}{}",
            ran.stdout,
            ran.stderr
        );
    };
    done(&["apply", policy]);
    let refused = |to: SocketAddr| TcpStream::connect_timeout(&to, PATIENCE).is_err();
    assert!(
        REACHED.iter().all(|(to, _)| refused(to.parse().unwrap())),
        "without sockets"
    );
    let process = std::process::id().to_string();
    let servers: Vec<(&str, Server)> = names
        .iter()
        .map(|(label, name)| {
            let server = Server::new();
            for descriptor in server.descriptors().map(|one| one.to_string()) {
                done(&[
                    "socket",
                    "register",
                    name,
                    "--pid",
                    &process,
                    "--fd",
                    &descriptor,
                ]);
            }
            (label.as_str(), server)
        })
        .collect();
    for (to, label) in REACHED {
        let address = to.parse().unwrap();
        match label {
            Some(label) => {
                let (_, server) = servers.iter().find(|(one, _)| *one == label).unwrap();
                assert!(server.accepts(address), "tcp to {to}");
                assert!(server.receives(address), "udp to {to}");
            }
            None => assert!(refused(address), "{to}"),
        }
    }
    done(&["unload", "--yes"]);
}

/// Files that tubular refuses, or that could mean two things, with what is said: where, and what to write.
const REFUSED: [(&str, &str); 27] = [
    (
        r#""#,
        "line 1, column 1: EOF while parsing a value; write {\"bindings\": [{",
    ),
    (
        " []",
        "line 1, column 2: this is an array; write {\"bindings\": [{",
    ),
    (
        r#"{"bindings": [["a", "10.0.0.0/8", 80]]}"#,
        "line 1, column 15: the binding is an array; write {\"label\"",
    ),
    (
        r#"{"bindings": [{"label": "a", "bogus": 1}]}"#,
        "line 1, column 36: unknown field `bogus`",
    ),
    ("80", "line 1, column 2: invalid type: integer `80`"),
    (
        r#"{"bindings": [}"#,
        "line 1, column 15: expected value; write",
    ),
    (
        r#"{"bindings": []} {}"#,
        "line 1, column 18: trailing characters",
    ),
    (
        r#"{"binding": []}"#,
        "line 1, column 10: unknown field `binding`, expected `bindings`; write",
    ),
    (
        r#"{"bindings": [], "bindings": []}"#,
        "duplicate field `bindings`",
    ),
    (r#"{"bindings": []}"#, "binds nothing; add a binding"),
    (r#"{"bindings": null}"#, "binds nothing"),
    (r#"{}"#, "binds nothing"),
    (
        "{\"bindings\": [\n {\"label\": \"a\", \"prefix\": \"10.0.0.0/8\", \"port\": 1},\n {\"label\": \"a\",\n  \"bogus\": 1}]}",
        "line 4, column 9: unknown field `bogus`, expected one of `label`, `prefix`, `port`; write {\"label\"",
    ),
    (
        r#"{"bindings": [{"prefix": "10.0.0.0/8", "port": 1}]}"#,
        "line 1, column 15: the binding has no `label`",
    ),
    (
        r#"{"bindings": [{"label": "a", "port": 1}]}"#,
        "the binding has no `prefix`",
    ),
    (
        r#"{"bindings": [{"label": "a", "prefix": "10.0.0.0/8"}]}"#,
        "the binding has no `port`; write one, or 0 for every port",
    ),
    (
        r#"{"bindings": [{"label": "", "prefix": "10.0.0.0/8", "port": 1}]}"#,
        "the label is empty",
    ),
    (
        r#"{"bindings": [{"label": "a\u0000", "prefix": "10.0.0.0/8", "port": 1}]}"#,
        "the label has a NUL byte",
    ),
    (
        r#"{"bindings": [{"label": "a", "prefix": "10.0.0.1", "port": 1}]}"#,
        "has no length; write one: `10.0.0.1/32`",
    ),
    (
        r#"{"bindings": [{"label": "a", "prefix": "::1", "port": 1}]}"#,
        "has no length; write one: `::1/128`",
    ),
    (
        r#"{"bindings": [{"label": "a", "prefix": "10.0.0.0/33", "port": 1}]}"#,
        "the prefix length \"33\" is none; write a number from 0 to 32",
    ),
    (
        r#"{"bindings": [{"label": "a", "prefix": "127.1/8", "port": 1}]}"#,
        "\"127.1\" is no address",
    ),
    (
        r#"{"bindings": [{"label": "a", "prefix": "fe80::1%eth0/64", "port": 1}]}"#,
        "is no address",
    ),
    (
        r#"{"bindings": [{"label": "a", "prefix": "::ffff:192.0.2.128/104", "port": 1}]}"#,
        "stands for IPv4 addresses, which tubular refuses; write `192.0.0.0/8`",
    ),
    (
        r#"{"bindings": [{"label": "a", "prefix": "10.0.0.0/8", "port": 65536}]}"#,
        "the port 65536 is none; write a number from 1 to 65535, or 0",
    ),
    (
        r#"{"bindings": [{"label": "a", "prefix": "10.0.0.0/8", "port": "80"}]}"#,
        "invalid type: string \"80\"",
    ),
    (
        "{\"bindings\": [{\"label\": \"a\", \"prefix\": \"10.0.0.1/8\", \"port\": 1},\n{\"label\": \"b\", \"prefix\": \"10.9.9.9/8\", \"port\": 1}]}",
        "line 2, column 1: 10.0.0.0/8 with port 1 is bound to \"a\" in line 1 already; leave one of them out",
    ),
];

#[test]
fn what_tubular_refuses_is_refused_with_its_place() {
    let folder = Folder::new("import-refused");
    for (text, said) in REFUSED {
        let file = folder.file("bindings.json", text);
        let output = folder.0.join("none.sk");
        let ran = run(&["import", "tubular", &file, "-o", output.to_str().unwrap()]);
        assert_eq!(ran.code, Some(1), "{text}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{text}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(&file) && ran.stdout.is_empty(),
            "{}",
            ran.stderr
        );
        assert!(!output.exists(), "{text}");
    }
}

#[test]
fn every_mistake_is_told_and_many_are_counted() {
    let entry = r#"{"label": "a", "prefix": "10.0.0.0/8", "port": -1}"#;
    let text = format!("{{\"bindings\": [\n{}]}}", vec![entry; 60].join(",\n"));
    let ran = run_with_input(&["import", "tubular", "-"], &text);
    assert_eq!(
        ran.stderr.matches("the port -1 is none").count(),
        50,
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("<stdin>, line 51, column 1: "),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("<stdin>: there are 10 more mistakes"),
        "{}",
        ran.stderr
    );
    let long = format!(
        r#"{{"bindings": [{{"label": "{}", "prefix": "::/1", "port": 0}}]}}"#,
        "a".repeat(256)
    );
    let ran = run_with_input(&["import", "tubular", "-"], &long);
    assert!(
        ran.stderr
            .contains("the label has 256 bytes, and tubular takes 255; shorten it")
    );
}

#[test]
fn a_policy_is_canonical_and_the_order_of_the_file_does_not_matter() {
    let (policy, _) = imported(PRECEDENCE);
    for (arguments, input) in [
        (&["fmt", "--check", "-"][..], &policy),
        (&["check", "--deny", "all", "-"], &policy),
    ] {
        let ran = run_with_input(arguments, input);
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (Some(0), "", ""),
            "{policy}"
        );
    }
    let mut value: serde_json::Value = serde_json::from_str(PRECEDENCE).unwrap();
    value["bindings"].as_array_mut().unwrap().reverse();
    assert_eq!(imported(&value.to_string()).0, policy);
}

#[test]
fn labels_become_names_that_depend_on_no_other_label() {
    let labels = [
        "foo",
        "new tls",
        "new/tls",
        "allow",
        "1",
        "#",
        "x\n}\nsocket y = registered",
        "é",
        "x ",
        "x # y\n",
    ];
    let file = |labels: &[&str]| {
        let all = labels.iter().zip(1..).map(
            |(label, port)| serde_json::json!({"label": label, "prefix": "::1/128", "port": port}),
        );
        serde_json::json!({"bindings": all.collect::<Vec<_>>()}).to_string()
    };
    let (policy, names) = imported(&file(&labels));
    assert_eq!(name_of(&names, "foo"), "foo");
    let different: std::collections::BTreeSet<_> = names.iter().map(|(_, name)| name).collect();
    assert_eq!(different.len(), labels.len(), "{names:?}");
    for (label, name) in &names {
        let (_, alone) = imported(&file(&[label]));
        assert_eq!(name_of(&alone, label), name);
        let declared = format!("socket {name} = registered");
        let line = policy.lines().find(|line| line.starts_with(&declared));
        let said = line.unwrap().strip_prefix(&declared).unwrap().trim_start();
        let comment = format!("# the label {label:?}");
        let wanted = if label == name { "" } else { &comment };
        assert_eq!(said, wanted, "{policy}");
    }
    assert_eq!(
        policy.matches("\nsocket ").count(),
        labels.len(),
        "{policy}"
    );
    // A label that is the name of another one keeps it, and the other gets more digits.
    let taken = name_of(&names, "new tls");
    let (policy, names) = imported(&file(&["new tls", taken]));
    assert_eq!(name_of(&names, taken), taken);
    let other = name_of(&names, "new tls");
    assert!(other != taken && other.starts_with(taken), "{policy}");
}

#[test]
fn a_listing_of_tubular_is_read_with_a_protocol_for_each_line() {
    let listing = "opened dispatcher at /sys/fs/bpf/4026531840_dispatcher\nBindings:\n protocol       prefix port   label\n\
        \u{20}     tcp 127.0.0.1/32   80     foo\n      tcp 127.0.0.0/24    0 bar baz\n      udp 127.0.0.1/32   80     foo\n      udp      ::1/128   53     dns\n";
    let (policy, names) = imported(listing);
    let bar = name_of(&names, "bar baz");
    for entry in [
        "127.0.0.1/32:80 -> sock foo".to_owned(),
        format!("tcp 127.0.0.0/24:* -> sock {bar}"),
        "udp [::1/128]:53 -> sock dns".to_owned(),
    ] {
        assert!(policy.contains(&entry), "{entry}: {policy}");
    }
    for (line, said) in [
        (
            "sctp 127.0.0.1/32 80 foo",
            "line 2: `sctp 127.0.0.1/32 80 foo` is no line of `tubectl bindings`",
        ),
        (
            "tcp 127.0.0.1/32 http foo",
            "line 2: the port \"http\" is none",
        ),
        ("tcp 127.0.0.1/32 80", "line 2: the label is empty"),
        (
            "tcp 127.0.0.1/32 80 a\ntcp 127.0.0.1/32 80 b",
            "line 3: 127.0.0.1/32 with port 80 is bound to \"a\" in line 2 already",
        ),
    ] {
        let ran = run_with_input(
            &["import", "tubular", "-"],
            &format!("protocol prefix port label\n{line}\n"),
        );
        assert_eq!(ran.code, Some(1));
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    // A rule of a protocol that no entry takes would be refused.
    let (alone, _) = imported("protocol prefix port label\ntcp ::1/128 80 foo\n");
    assert!(alone.contains("redirect tcp by @bindings\n"), "{alone}");
    let checked = run_with_input(&["check", "--deny", "all", "-"], &alone);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let none = run_with_input(&["import", "tubular", "-"], "no bindings matched\n");
    assert!(none.stderr.contains("binds nothing"), "{}", none.stderr);
}

#[test]
fn what_ipv6_refuses_of_ipv4_in_tubular_is_refused_here() {
    let text = r#"{"bindings": [{"label": "a", "prefix": "::/0", "port": 80}, {"label": "a", "prefix": "10.0.0.0/8", "port": 0}]}"#;
    let (policy, _) = imported(text);
    let verdict = |to: &str, from: &str| {
        let packet = format!("tcp from {from}:40000 to {to}");
        run_with_input(&["explain", "-", &packet, "--json"], &policy).json()["socket"].clone()
    };
    assert_eq!(verdict("10.0.0.1:80", "192.0.2.9"), "a");
    assert_eq!(verdict("[2001:db8::1]:80", "[2001:db8::9]"), "a");
    let never = verdict("192.0.2.1:80", "192.0.2.9");
    assert!(
        never.as_str().unwrap().starts_with("ipv4-refused-"),
        "{never}"
    );
    assert!(verdict("192.0.2.1:81", "192.0.2.9").is_null());
}

#[test]
fn entries_are_what_a_live_map_loads() {
    let entries = run_with_input(&["import", "tubular", "-", "--entries"], PRECEDENCE);
    assert_eq!(entries.stdout.lines().count(), 12, "{}", entries.stdout);
    let live = run_with_input(&["import", "tubular", "-", "--live"], PRECEDENCE);
    assert!(
        live.stdout.contains("\nlive map bindings max 1024 = {\n"),
        "{}",
        live.stdout
    );
    let checked = run_with_input(&["check", "--deny", "all", "-"], &live.stdout);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    for line in entries.stdout.lines() {
        assert!(live.stdout.contains(line), "{line}");
    }
    if !root() {
        return;
    }
    let folder = Folder::new("import-entries");
    let policy = folder.file("live.sk", &live.stdout);
    let file = folder.file("entries.txt", &entries.stdout);
    let lab = Lab::new().unwrap();
    for arguments in [
        &["apply", &policy][..],
        &["map", "clear", "bindings"],
        &["map", "load", "bindings", &file],
    ] {
        let ran = lab.server.run(|| run(arguments)).unwrap();
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    }
    let listed = lab
        .server
        .run(|| run(&["map", "list", "bindings", "--json"]))
        .unwrap();
    assert_eq!(listed.json()["entries"].as_array().unwrap().len(), 12);
}

#[test]
fn the_example_of_the_manual_is_what_comes_out() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/coming-from/tubular.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = |kind: &str| {
        let (_, rest) = page.split_once(&format!("\n```{kind}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    assert_eq!(imported(block("json")).0, block("sk"));
}

#[test]
fn no_input_is_a_bug() {
    let listing = "protocol prefix port label\ntcp 127.0.0.0/8 80 foo\nudp ::1/128 0 bar\n";
    for text in [PRECEDENCE, listing] {
        for at in (0..text.len()).step_by(11) {
            let (before, after) = text.split_at(at);
            for changed in [
                before.to_owned(),
                format!("{before}\u{7f}{}", &after[1..]),
                format!("{before}{}", &after[1..]),
            ] {
                let ran = run_with_input(&["import", "tubular", "-"], &changed);
                assert!(matches!(ran.code, Some(0 | 1)), "{changed}: {}", ran.stderr);
                assert_eq!(ran.code == Some(1), ran.stdout.is_empty(), "{changed}");
            }
        }
    }
}
