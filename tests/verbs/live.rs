//! What is changed while a policy is in force: `set`, `map`, `socket`, in a lab.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::unistd::{Uid, setfsuid};
use sockc_runtime::lab::{FRONT, Lab};
use socket2::{Domain, Socket, Type};

use super::{Folder, Ran, root, run};

const POLICY: &str = "\
default in drop
live set banned max 4 expires 10m
live map tenants max 100
socket late = registered
drop from @banned
redirect tcp by @tenants
allow if socket exists
";

/// A lab whose server has two foreign addresses and the policy in force.
fn lab(folder: &Folder) -> Lab {
    let lab = Lab::new().unwrap();
    for address in ["1.1.1.77", "3.3.3.3"] {
        lab.serve(address.parse().unwrap(), 32).unwrap();
    }
    let path = folder.file("live.sk", POLICY);
    let applied = on_server(&lab, &["apply", &path, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    lab
}

fn on_server(lab: &Lab, arguments: &[&str]) -> Ran {
    lab.server.run(|| run(arguments)).unwrap()
}

fn listener(lab: &Lab, at: &str) -> TcpListener {
    lab.server.run(|| TcpListener::bind(at).unwrap()).unwrap()
}

fn connects(lab: &Lab, to: &str) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_ok();
    lab.client.run(connect).unwrap()
}

#[test]
fn who_is_in_a_live_set_is_dropped_until_it_is_out() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-set");
    let lab = lab(&folder);
    let _server = listener(&lab, "1.1.1.77:80");
    let client = "198.19.255.253";
    assert!(connects(&lab, "1.1.1.77:80"));
    let added = on_server(
        &lab,
        &["set", "add", "banned", "198.19.0.0/16", "::1", "--json"],
    );
    assert_eq!(added.json()["elements"], 2, "{}", added.stderr);
    assert!(!connects(&lab, "1.1.1.77:80"));
    let by = on_server(&lab, &["set", "test", "banned", client]);
    assert_eq!(by.code, Some(0));
    assert!(
        by.stdout
            .contains("by the element 198.19.0.0/16, expires in 9m"),
        "{}",
        by.stdout
    );
    assert_eq!(
        on_server(&lab, &["set", "test", "banned", "10.0.0.1"]).code,
        Some(1)
    );
    let list = on_server(&lab, &["set", "list", "banned", "--json"]).json();
    assert_eq!(list["elements"][0]["element"], "198.19.0.0/16");
    assert_eq!(
        on_server(&lab, &["set", "del", "banned", "198.19.0.0/16"]).code,
        Some(0)
    );
    assert!(connects(&lab, "1.1.1.77:80"));
}

#[test]
fn a_file_is_loaded_as_a_whole_or_not_at_all() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-load");
    let lab = lab(&folder);
    on_server(&lab, &["set", "add", "banned", "10.0.0.1"]);
    let listed = || {
        let list = on_server(&lab, &["set", "list", "banned"]).stdout;
        list.lines()
            .filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let wrong = folder.file("wrong.txt", "10.0.0.2\n10.0.0.3/8\nx\n");
    let refused = on_server(&lab, &["set", "load", "banned", &wrong]);
    assert_eq!(refused.code, Some(1));
    for said in ["wrong.txt, line 2", "write `10.0.0.0/8`", "line 3"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    let many = folder.file(
        "many.txt",
        "10.0.0.2\n10.0.0.3\n10.0.0.4\n10.0.0.5\n10.0.0.6\n",
    );
    let refused = on_server(&lab, &["set", "load", "banned", &many]);
    assert_eq!(refused.code, Some(3));
    assert!(
        refused.stderr.contains("at most 4 elements"),
        "{}",
        refused.stderr
    );
    assert_eq!(listed(), ["10.0.0.1"]);
    let right = folder.file("right.txt", "# two\n10.0.0.2 # one\n2001:db8::/32\n");
    let loaded = on_server(
        &lab,
        &["set", "load", "banned", &right, "--expires", "never"],
    );
    assert_eq!(loaded.code, Some(0), "{}", loaded.stderr);
    assert_eq!(listed(), ["10.0.0.2", "2001:db8::/32"]);
    let unknown = on_server(&lab, &["set", "list", "bannd"]);
    assert_eq!(unknown.code, Some(64));
    assert!(
        unknown.stderr.contains("did you mean \"banned\"?"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_file_without_elements_empties_nothing_unless_told_to() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-empty");
    let lab = lab(&folder);
    let entry = "tcp 3.3.3.3:80 -> sock late";
    on_server(&lab, &["set", "add", "banned", "10.0.0.1"]);
    on_server(&lab, &["map", "add", "tenants", entry]);
    let count = |kind: &str, name: &str, of: &str| {
        let list = on_server(&lab, &[kind, "list", name, "--json"]).json();
        list[of].as_array().unwrap().len()
    };
    let empty = folder.file("empty.txt", "# nobody\n\n");
    for (kind, name, of) in [("set", "banned", "elements"), ("map", "tenants", "entries")] {
        let refused = on_server(&lab, &[kind, "load", name, &empty]);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        let clear = format!("sockc {kind} clear {name}");
        for said in [
            "empty.txt holds no",
            "--empty",
            &clear,
            "nothing was changed",
        ] {
            assert!(refused.stderr.contains(said), "{}", refused.stderr);
        }
        assert_eq!(count(kind, name, of), 1);
        let emptied = on_server(&lab, &[kind, "load", name, &empty, "--empty"]);
        assert_eq!(emptied.code, Some(0), "{}", emptied.stderr);
        assert_eq!(count(kind, name, of), 0);
    }
    on_server(&lab, &["set", "add", "banned", "10.0.0.1"]);
    on_server(&lab, &["map", "add", "tenants", entry]);
    for (kind, name, of) in [("set", "banned", "elements"), ("map", "tenants", "entries")] {
        assert_eq!(on_server(&lab, &[kind, "clear", name]).code, Some(0));
        assert_eq!(count(kind, name, of), 0);
    }
}

#[test]
fn a_map_is_loaded_as_a_whole_or_not_at_all() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-map-load");
    let lab = lab(&folder);
    let listed = || {
        let list = on_server(&lab, &["map", "list", "tenants"]).stdout;
        list.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let right = folder.file(
        "right.txt",
        "# two\ntcp 3.3.3.3:80 -> sock late # one\n[2001:db8::/32]:* -> sock late\n",
    );
    let loaded = on_server(&lab, &["map", "load", "tenants", &right]);
    assert_eq!(loaded.code, Some(0), "{}", loaded.stderr);
    let both = [
        "tcp 3.3.3.3:80 -> sock late",
        "[2001:db8::/32]:* -> sock late",
    ];
    assert_eq!(listed(), both);
    let wrong = folder.file(
        "wrong.txt",
        "3.3.3.3:81 -> sock late\n3.3.3.1/8:81 -> sock late\n",
    );
    let refused = on_server(&lab, &["map", "load", "tenants", &wrong]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    for said in [
        "wrong.txt, line 2",
        "write `3.0.0.0/8`",
        "nothing was changed",
    ] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    let twice = folder.file(
        "twice.txt",
        "3.3.3.3:1 -> sock late\n3.3.3.3:1 -> sock late\n",
    );
    let refused = on_server(&lab, &["map", "load", "tenants", &twice]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    // It is the file that has to be changed; what is in the map does not matter.
    assert!(
        refused.stderr.contains("(")
            && refused.stderr.contains("twice.txt, lines 1, 2)")
            && !refused.stderr.contains("map del"),
        "{}",
        refused.stderr
    );
    assert_eq!(listed(), both);
    let add = on_server(
        &lab,
        &["map", "add", "tenants", "tcp 3.3.3.3:80 -> sock late"],
    );
    assert!(
        add.stderr.contains(
            "remove it first with `sockc map del tenants 'tcp 3.3.3.3:80'`, or let `--replace`"
        ),
        "{}",
        add.stderr
    );
    let entry = "tcp 3.3.3.3:80 -> sock late";
    let add = on_server(&lab, &["map", "add", "tenants", "--replace", entry]);
    assert_eq!(add.code, Some(0), "{}", add.stderr);
    assert_eq!(listed().len(), both.len());
    let gone = on_server(&lab, &["map", "del", "tenants", "9.9.9.9:1"]);
    assert!(
        gone.stderr
            .contains("`sockc map list tenants` shows what is"),
        "{}",
        gone.stderr
    );
}

#[test]
fn an_entry_for_a_socket_that_the_next_policy_lacks_keeps_it_out() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-map-socket");
    let lab = Lab::new().unwrap();
    let policy = |name: &str, socket: &str| {
        let text = format!(
            "policy {name}\ninterfaces {FRONT}\ndefault in drop\nsocket {socket} = registered\nlive map tenants max 4\nredirect tcp by @tenants\n"
        );
        folder.file(&format!("{name}.sk"), &text)
    };
    let (old, new) = (policy("old", "api"), policy("new", "web"));
    let applied = on_server(&lab, &["apply", &old]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(!applied.stderr.contains("W0609"), "{}", applied.stderr);
    let entry = "tcp 198.51.100.1:80 -> sock api";
    on_server(&lab, &["map", "add", "tenants", entry]);
    let planned = on_server(&lab, &["plan", &new]);
    let applied = on_server(&lab, &["apply", &new]);
    for refused in [&planned, &applied] {
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        for said in [
            "`tcp 198.51.100.1:80 -> sock api` of the live map \"tenants\"",
            "\"new\", declares no socket \"api\"",
            "`sockc map del tenants 'tcp 198.51.100.1:80'`",
        ] {
            assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
        }
    }
    let done = on_server(&lab, &["map", "del", "tenants", "tcp 198.51.100.1:80"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let applied = on_server(&lab, &["apply", &new]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
}

#[test]
fn without_a_name_all_live_sets_and_maps_are_named() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-names");
    let lab = lab(&folder);
    let added = on_server(&lab, &["set", "add", "banned", "10.0.0.1"]);
    assert_eq!(added.stdout, "live set \"banned\": 1 element\n");
    let sets = on_server(&lab, &["set", "list"]);
    assert_eq!(sets.code, Some(0), "{}", sets.stderr);
    assert_eq!(sets.stdout, "banned  1 of at most 4 elements\n");
    let sets = on_server(&lab, &["set", "list", "--json"]).json();
    assert_eq!(sets["sets"][0]["set"], "banned");
    assert_eq!(sets["sets"][0]["elements"], 1);
    let maps = on_server(&lab, &["map", "list"]);
    assert_eq!(maps.stdout, "tenants  0 of at most 100 entries\n");
    let maps = on_server(&lab, &["map", "list", "--json"]).json();
    assert_eq!(maps["maps"][0]["max"], 100);
}

#[test]
fn what_is_wrong_with_elements_is_told_in_our_words() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-words");
    let lab = lab(&folder);
    let wrong = [
        "set",
        "add",
        "banned",
        "10.0.0.1/8",
        "x",
        "::ffff:192.0.2.7",
    ];
    let refused = on_server(&lab, &wrong);
    assert_eq!(refused.code, Some(64), "{}", refused.stderr);
    for said in [
        "write `10.0.0.0/8`",
        "`x` is neither an address nor a prefix",
        "write `192.0.2.7`",
        "nothing was changed",
    ] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    assert!(!refused.stderr.contains("--help"), "{}", refused.stderr);
    let refused = on_server(&lab, &["set", "test", "banned", "10.0.0.0/8"]);
    assert_eq!(refused.code, Some(64));
    assert!(
        refused.stderr.contains("`10.0.0.0/8` is no address"),
        "{}",
        refused.stderr
    );
    let entry = "[::ffff:127.0.0.1/128]:8080 -> sock late";
    let refused = on_server(&lab, &["map", "add", "tenants", entry]);
    assert_eq!(refused.code, Some(64), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("write `127.0.0.1`"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_is_missing_is_ignored_where_that_is_asked_for() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-missing");
    let lab = lab(&folder);
    on_server(&lab, &["set", "add", "banned", "10.0.0.1"]);
    on_server(&lab, &["map", "add", "tenants", "3.3.3.3:80 -> sock late"]);
    for (kind, name, there, missing) in [
        ("set", "banned", "10.0.0.1", "10.0.0.2"),
        ("map", "tenants", "3.3.3.3:80", "3.3.3.3:81"),
    ] {
        let refused = on_server(&lab, &[kind, "del", name, there, missing]);
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        let removed = on_server(
            &lab,
            &[kind, "del", name, there, missing, "--ignore-missing"],
        );
        assert_eq!(removed.code, Some(0), "{}", removed.stderr);
        assert!(removed.stdout.contains(": 0 e"), "{}", removed.stdout);
    }
}

#[test]
fn the_kernels_names_of_maps_lead_back_to_the_policy() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-kernel-names");
    let lab = lab(&folder);
    let names = lab.server.run(|| {
        let root = std::path::Path::new(sockc_runtime::lab::BPFFS).join("sockc");
        let mut folders = vec![root];
        let mut names = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_symlink() {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else if path.parent().is_some_and(|parent| parent.ends_with("map")) {
                    let info = aya::maps::MapInfo::from_pin(path).unwrap();
                    names.push(info.name_as_str().unwrap().to_owned());
                }
            }
        }
        names
    });
    let names = names.unwrap();
    for name in [
        "set_banned",
        "cur_banned",
        "due_banned",
        "map_tenants",
        "prt_tenants",
    ] {
        assert!(names.iter().any(|one| one == name), "{name}: {names:?}");
    }
}

#[test]
fn connections_go_where_a_live_map_and_a_registered_socket_say() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-map");
    let lab = lab(&folder);
    let server = listener(&lab, "127.0.0.1:0");
    assert!(!connects(&lab, "3.3.3.3:4000"));
    let entry = "tcp 3.3.3.3:4000-4999 -> sock late";
    let added = on_server(&lab, &["map", "add", "tenants", entry]);
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    assert!(!connects(&lab, "3.3.3.3:4000"), "nobody is registered");
    let (pid, fd) = (
        std::process::id().to_string(),
        server.as_raw_fd().to_string(),
    );
    let register = ["socket", "register", "late", "--pid", &pid, "--fd", &fd];
    let registered = on_server(&lab, &register);
    assert_eq!(registered.code, Some(0), "{}", registered.stderr);
    assert!(
        registered.stdout.contains("now holds tcp4"),
        "{}",
        registered.stdout
    );
    assert!(connects(&lab, "3.3.3.3:4000"));
    assert!(connects(&lab, "3.3.3.3:4999"));
    assert!(!connects(&lab, "3.3.3.3:5000"));
    let list = on_server(&lab, &["map", "list", "tenants", "--json"]).json();
    assert_eq!(list["entries"][0], entry);
    let sockets = on_server(&lab, &["socket", "list", "--json"]).json();
    assert_eq!(sockets["sockets"][0]["state"], "listening");
    // Both survive an apply.
    let path = folder.file("live.sk", POLICY);
    let applied = on_server(&lab, &["apply", &path, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(connects(&lab, "3.3.3.3:4000"));
    assert_eq!(
        on_server(&lab, &["map", "del", "tenants", entry]).code,
        Some(0)
    );
    assert!(!connects(&lab, "3.3.3.3:4000"));
    let refused = on_server(&lab, &["map", "add", "tenants", "3.3.3.3 -> sock late"]);
    assert_eq!(refused.code, Some(64), "{}", refused.stderr);
}

#[test]
fn who_is_bound_where_a_socket_is_looked_for_is_told_planned_and_taken() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-refresh");
    let lab = Lab::new().unwrap();
    let text = "socket dns = udp listen 127.0.0.1:5301\nredirect udp 3.3.3.3:53 to sock dns\n";
    let path = folder.file("dns.sk", text);
    let verb = |verb: &str, rest: &[&str]| {
        on_server(&lab, &[&[verb, &path, "--interface", FRONT], rest].concat())
    };
    let applied = verb("apply", &[]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert_eq!(verb("plan", &["--exit-code"]).code, Some(0));
    for shown in [&["status"][..], &["socket", "list"]] {
        let shown = on_server(&lab, shown).stdout;
        assert!(shown.contains("nobody listens there"), "{shown}");
    }
    let server = || UdpSocket::bind("127.0.0.1:5301").unwrap();
    let _server = lab.server.run(server).unwrap();
    let process = std::process::id();
    let waits = format!("process {process} (");
    for shown in [&["status"][..], &["socket", "list"]] {
        let shown = on_server(&lab, shown).stdout;
        assert!(shown.contains("udp4") && shown.contains(&waits), "{shown}");
        assert!(shown.contains("`sockc socket refresh` takes it"), "{shown}");
    }
    let planned = verb("plan", &["--exit-code"]);
    assert_eq!(planned.code, Some(2), "{}", planned.stdout);
    let filled = format!("udp4 is filled: {waits}");
    assert!(planned.stdout.contains(&filled), "{}", planned.stdout);
    let refreshed = on_server(&lab, &["socket", "refresh", "dns"]);
    assert_eq!(refreshed.code, Some(0), "{}", refreshed.stderr);
    let listening = format!("listening: {waits}");
    assert!(
        refreshed.stdout.contains(&listening),
        "{}",
        refreshed.stdout
    );
    assert_eq!(verb("plan", &["--exit-code"]).code, Some(0));
    let listed = on_server(&lab, &["socket", "list", "--json"]).json();
    let status = on_server(&lab, &["status", "--json"]).json();
    for row in [&listed["sockets"][0], &status["sockets"][0]] {
        assert_eq!(row["slot"], "udp4", "{row}");
        assert_eq!(row["state"], "listening", "{row}");
        assert_eq!(row["who"]["process"], process, "{row}");
        assert_eq!(row["who"]["address"], "127.0.0.1:5301", "{row}");
    }
    let unknown = on_server(&lab, &["socket", "refresh", "dnss"]);
    assert_eq!(unknown.code, Some(64), "{}", unknown.stderr);
}

/// A UDP socket at port 5301 that may share it, bound to an interface if one is named.
fn shared(interface: Option<&str>) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind_device(interface.map(str::as_bytes)).unwrap();
    let at: SocketAddr = "127.0.0.1:5301".parse().unwrap();
    socket.bind(&at.into()).unwrap();
    socket.into()
}

/// What `status` and `socket list` both say of the only socket.
fn told(lab: &Lab, words: &str) {
    for shown in [&["status"][..], &["socket", "list"]] {
        let shown = on_server(lab, shown).stdout;
        assert!(shown.contains(words), "{words}\n{shown}");
    }
}

#[test]
fn a_socket_that_packets_do_not_find_is_told_with_the_reason() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-behind");
    let lab = Lab::new().unwrap();
    let text = "socket dns = udp listen 127.0.0.1:5301 owner uid 65536\nredirect udp 3.3.3.3:53 to sock dns\n";
    let path = folder.file("dns.sk", text);
    let applied = on_server(&lab, &["apply", &path, "--interface", FRONT]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let owners = || {
        setfsuid(Uid::from_raw(65_536));
        shared(None)
    };
    let strange = lab.server.run(|| shared(None)).unwrap();
    let left = on_server(&lab, &["socket", "refresh", "dns"]);
    assert_eq!(left.code, Some(3), "{}", left.stderr);
    assert!(left.stdout.contains("is not the owner"), "{}", left.stdout);
    drop(strange);
    let nobody = on_server(&lab, &["socket", "refresh", "dns"]);
    assert_eq!(nobody.code, Some(0), "{}", nobody.stderr);
    let own = lab.server.run(owners).unwrap();
    told(
        &lab,
        "is bound there since; `sockc socket refresh` takes it",
    );
    let younger = lab.server.run(|| shared(None)).unwrap();
    told(
        &lab,
        "a socket of another owner at the same address hides it from packets",
    );
    let refreshed = on_server(&lab, &["socket", "refresh"]);
    assert_eq!(refreshed.code, Some(0), "{}", refreshed.stderr);
    told(&lab, "listening: process");
    drop((own, younger));
}

/// What such a socket answers to clients of other interfaces does not leave.
#[test]
fn the_interface_that_a_socket_is_bound_to_is_told() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-bound");
    let lab = Lab::new().unwrap();
    let text = "socket dns = udp listen 127.0.0.1:5301\nredirect udp 3.3.3.3:53 to sock dns\n";
    let path = folder.file("dns.sk", text);
    let apply = || on_server(&lab, &["apply", &path, "--interface", FRONT]);
    let other = lab.server.run(|| shared(Some(FRONT))).unwrap();
    assert_eq!(apply().code, Some(0));
    let found = format!(
        "is bound there to the interface {FRONT}, and only packets that come in by {FRONT} find it"
    );
    told(&lab, &found);
    drop(other);
    let _bound = lab.server.run(|| shared(Some("lo"))).unwrap();
    assert_eq!(apply().code, Some(0));
    told(
        &lab,
        ", bound to the interface lo, by which alone it answers",
    );
    let status = on_server(&lab, &["status", "--json"]).json();
    assert_eq!(status["sockets"][0]["who"]["interface"], "lo", "{status}");
}

#[test]
fn a_live_map_that_no_rule_asks_starts_with_its_entries() {
    if !root() {
        return;
    }
    let folder = Folder::new("live-map-unused");
    let lab = Lab::new().unwrap();
    let text = format!(
        "interfaces {FRONT}\ndefault in drop\nsocket proxy = tcp listen 127.0.0.1:1234\nlive map tenants max 10 = {{ tcp 198.51.100.0/28:443 -> sock proxy }}\nallow tcp to port 22\n"
    );
    let policy = folder.file("unused.sk", &text);
    let applied = on_server(&lab, &["apply", &policy]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let list = on_server(&lab, &["map", "list", "tenants"]);
    assert_eq!(list.stdout, "tcp 198.51.100.0/28:443 -> sock proxy\n");
}
