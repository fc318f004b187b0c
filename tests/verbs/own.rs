//! `self`: the addresses of the machine in a policy that is in force, as they come and go, in a lab.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sockc_runtime::lab::{FRONT, Lab};

use super::spaces::Place;
use super::{Folder, Ran, ip, root, run};

const POLICY: &str = "\
default in drop
include <essentials>
web: allow tcp to self:80
";

/// A lab with the policy in force.
struct Host {
    lab: Lab,
    folder: Folder,
}

impl Host {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let lab = Lab::new().unwrap();
        lab.serve("1.1.1.77".parse().unwrap(), 32).unwrap();
        let host = Self { lab, folder };
        host.apply(POLICY);
        host
    }

    fn apply(&self, text: &str) {
        let policy = self.folder.file("own.sk", text);
        self.done(&["apply", &policy, "--interface", FRONT]);
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.lab.server.run(|| run(arguments)).unwrap()
    }

    fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran
    }

    fn ip(&self, line: &str) {
        ip(&self.lab.server, line);
    }

    /// What status says, which must end so.
    fn status(&self, code: i32) -> String {
        let ran = self.run(&["status"]);
        let said = ran.stdout + &ran.stderr;
        assert_eq!(ran.code, Some(code), "{said}");
        said
    }

    fn is_own(&self, address: &str) -> bool {
        match self.run(&["set", "test", "self", address]).code {
            Some(0) => true,
            Some(1) => false,
            other => panic!("{address}: {other:?}"),
        }
    }

    /// Whether a connection from the client comes to the server at this address.
    fn is_reached(&self, address: &str) -> bool {
        let to: SocketAddr = format!("{address}:80").parse().unwrap();
        let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_ok();
        self.lab.client.run(connect).unwrap()
    }

    fn listens(&self) -> TcpListener {
        let bind = || TcpListener::bind("0.0.0.0:80").unwrap();
        self.lab.server.run(bind).unwrap()
    }
}

#[test]
fn an_address_that_comes_is_told_and_taken_in_and_one_that_goes_too() {
    if !root() {
        return;
    }
    let host = Host::new("own-comes");
    let _listens = host.listens();
    assert!(host.is_reached("1.1.1.77"));
    host.status(0);

    host.lab.serve("192.0.2.7".parse().unwrap(), 32).unwrap();
    let said = host.status(5);
    let words = "`self` is behind: 192.0.2.7 is this machine's and not in it; `sockc apply --running` brings it up to date";
    assert!(said.contains(words), "{said}");
    let json = host.run(&["status", "--json"]).json();
    assert_eq!(json["self"]["missing"][0], "192.0.2.7", "{json}");
    assert_eq!(json["self"]["gone"].as_array().map(Vec::len), Some(0));
    assert!(
        said.contains("and `sockc apply --running --watch` keeps it so"),
        "{said}"
    );
    let policy = host.folder.file("own.sk", POLICY);
    let plan = host.run(&["plan", &policy, "--interface", FRONT]).stdout;
    assert!(plan.contains("is brought up to date, with"), "{plan}");
    assert!(
        !plan.contains("No change: apply would load the same again"),
        "{plan}"
    );
    assert!(!host.is_reached("192.0.2.7"));
    host.done(&["apply", "--running"]);
    assert!(!host.status(0).contains("behind"));
    let plan = host.run(&["plan", &policy, "--interface", FRONT]).stdout;
    assert!(
        plan.contains("No change: apply would load the same again"),
        "{plan}"
    );
    assert!(host.is_reached("192.0.2.7"));

    host.ip("route del local 192.0.2.7/32 dev lo table local");
    let said = host.status(5);
    let words = "`self` is behind: 192.0.2.7 is in it and not this machine's any more";
    assert!(said.contains(words), "{said}");
    let json = host.run(&["status", "--json"]).json();
    assert_eq!(json["self"]["gone"][0], "192.0.2.7", "{json}");
    host.done(&["apply", "--running"]);
    assert!(!host.is_own("192.0.2.7"));
    assert!(host.run(&["status", "--json"]).json()["self"].is_null());
}

#[test]
fn what_the_routes_deliver_is_own_and_what_is_for_many_is_not() {
    if !root() {
        return;
    }
    let host = Host::new("own-what");
    host.ip(&format!(
        "addr add 10.77.0.1/24 brd 10.77.0.255 dev {FRONT}"
    ));
    host.ip(&format!("addr add 2001:db8:77::1/64 dev {FRONT} nodad"));
    host.ip(&format!("addr add fe80::77/64 dev {FRONT} nodad"));
    host.ip("route add local 198.51.100.0/24 dev lo");
    host.ip("route add broadcast 198.51.100.255 dev lo table local");
    host.ip("route add local 2001:db8:100::/56 dev lo");
    host.done(&["apply", "--running"]);
    host.status(0);
    for own in [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "1.1.1.77",
        "10.77.0.1",
        "198.51.100.1",
        "198.51.100.254",
        "2001:db8:77::1",
        "2001:db8:100:ff::9",
        "fe80::77",
    ] {
        assert!(host.is_own(own), "{own}");
    }
    for other in [
        "127.255.255.255",
        "10.77.0.2",
        "10.77.0.255",
        "198.51.100.255",
        "255.255.255.255",
        "224.0.0.1",
        "2001:db8:77::2",
        "fe80::78",
        "2001:db8:100:100::9",
        "ff02::1",
        "0.0.0.0",
        "::",
    ] {
        assert!(!host.is_own(other), "{other}");
    }
}

/// Until a rule of routing is added the kernel asks tables `local` and `main` as one, for IPv4, and the longest prefix wins.
#[test]
fn what_another_table_routes_elsewhere_is_not_own() {
    if !root() {
        return;
    }
    let host = Host::new("own-main");
    host.ip("route add local 198.51.100.0/24 dev lo");
    host.ip("route add broadcast 198.51.100.64 dev lo table local");
    host.ip(&format!("route add 198.51.100.7/32 dev {FRONT}"));
    host.ip("route add unreachable 198.51.100.64/30");
    host.ip("addr add 198.51.100.66/32 dev lo");
    host.done(&["apply", "--running"]);
    host.status(0);
    for (address, is_own) in [
        ("198.51.100.6", true),
        ("198.51.100.7", false),
        ("198.51.100.8", true),
        ("198.51.100.65", false),
        ("198.51.100.66", true),
        ("198.51.100.67", false),
        ("198.51.100.68", true),
    ] {
        assert_eq!(host.is_own(address), is_own, "{address}");
    }
    // A rule parts the tables, for good.
    host.ip("rule add from 9.9.9.9 lookup 100");
    host.ip("rule del from 9.9.9.9 lookup 100");
    let said = host.status(5);
    assert!(said.contains("198.51.100.7"), "{said}");
    host.done(&["apply", "--running"]);
    for own in ["198.51.100.7", "198.51.100.65", "198.51.100.67"] {
        assert!(host.is_own(own), "{own}");
    }
    assert!(!host.is_own("198.51.100.64"));
}

/// Whatever local routes say of them.
#[test]
fn what_is_for_many_is_not_own_where_every_address_is() {
    if !root() {
        return;
    }
    let host = Host::new("own-all");
    host.ip("route add local 0.0.0.0/0 dev lo");
    host.ip("route add local ::/0 dev lo");
    host.done(&["apply", "--running"]);
    for other in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1"] {
        assert!(!host.is_own(other), "{other}");
    }
    assert!(host.is_own("203.0.113.1") && host.is_own("2001:db8::1"));
}

#[test]
fn no_command_changes_it_by_hand() {
    if !root() {
        return;
    }
    let host = Host::new("own-hand");
    let list = host.folder.file("list.txt", "10.0.0.1\n");
    let held = host.done(&["set", "list", "self"]).stdout;
    for arguments in [
        &["set", "add", "self", "10.0.0.1"][..],
        &["set", "del", "self", "1.1.1.77"],
        &["set", "load", "self", &list],
        &["set", "clear", "self"],
    ] {
        let refused = host.run(arguments);
        assert_eq!(refused.code, Some(64), "{arguments:?}: {}", refused.stderr);
        let said = "`self` holds the addresses of this machine";
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    assert_eq!(host.done(&["set", "list", "self"]).stdout, held);
}

/// A policy that comes back has the addresses of the machine as they are then.
#[test]
fn a_policy_that_comes_back_knows_what_came_meanwhile() {
    if !root() {
        return;
    }
    let host = Host::new("own-back");
    host.apply("default in allow\ndrop tcp to port 81\n");
    assert_eq!(host.run(&["set", "list", "self"]).code, Some(64));
    host.ip("route add local 192.0.2.7/32 dev lo");
    host.done(&["rollback"]);
    assert!(host.is_own("192.0.2.7"));
    host.status(0);
    // The same policy again goes on with the same set.
    host.ip("route del local 192.0.2.7/32 dev lo table local");
    host.apply(&format!("{POLICY}other: allow tcp to self:81\n"));
    assert!(!host.is_own("192.0.2.7"));
    host.status(0);
}

/// On trial both policies have one set, which stays that of the machine.
#[test]
fn the_policy_before_a_trial_has_the_addresses_of_now() {
    if !root() {
        return;
    }
    let host = Host::new("own-trial");
    host.ip("route add local 192.0.2.7/32 dev lo");
    let policy = host
        .folder
        .file("next.sk", &format!("{POLICY}other: allow tcp to self:81\n"));
    let trial = ["--confirm", "10m"];
    host.done(&[&["apply", &policy, "--interface", FRONT][..], &trial].concat());
    host.ip("route add local 192.0.2.8/32 dev lo");
    let said = host.status(5);
    let remedy = "once the trial has ended, `sockc apply --running` brings it up to date";
    assert!(said.contains(remedy), "{said}");
    host.ip("route del local 192.0.2.8/32 dev lo table local");
    host.done(&["rollback"]);
    assert!(host.is_own("192.0.2.7"));
    host.status(0);
}

/// Each namespace has addresses of its own, so a block does not share the set of the policy around it.
#[test]
fn a_block_has_the_addresses_of_its_namespace() {
    if !root() {
        return;
    }
    let place = Place::new("own-block");
    let other = &place.other.as_ref().unwrap().space;
    ip(other, "link set lo up");
    place.apply(
        "interfaces lo\ndefault in allow\ndrop tcp to self:81\n\
         for netns \"NAME\" {\n    interfaces lo\n    default in allow\n    drop tcp to self:81\n}\n",
    );
    let is_own = |netns: &[&str], address: &str| {
        let all = [&["set", "test", "self", address][..], netns].concat();
        place.lab.server.run(|| run(&all)).unwrap().code == Some(0)
    };
    let within = ["--netns", &*place.name];
    ip(other, "route add local 198.51.100.7/32 dev lo");
    ip(&place.lab.server, "route add local 192.0.2.7/32 dev lo");
    let status = place.lab.server.run(|| run(&["status"])).unwrap();
    assert_eq!(status.code, Some(5), "{}", status.stderr);
    for said in [
        "`self` is behind: 192.0.2.7 is this machine's".to_owned(),
        format!(
            "in the network namespace \"{}\": `self` is behind: 198.51.100.7 is",
            place.name
        ),
    ] {
        assert!(status.stderr.contains(&said), "{}", status.stderr);
    }
    let status = place
        .lab
        .server
        .run(|| run(&[&["status"], &within[..]].concat()));
    let status = status.unwrap().stderr;
    let remedy =
        "`sockc apply --running` in the network namespace whose policy has the `for netns` block";
    assert!(status.contains(remedy), "{status}");
    place.done(&["apply", "--running"]);
    assert!(is_own(&[], "192.0.2.7") && !is_own(&[], "198.51.100.7"));
    assert!(is_own(&within, "198.51.100.7") && !is_own(&within, "192.0.2.7"));
    place.done(&["status"]);
}
