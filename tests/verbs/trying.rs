//! `sockc try`, with rights and without.

use std::os::unix::process::CommandExt;

use serde_json::Value;

use super::{Folder, Ran, root, rules, run, sockc};

/// The capabilities that a lab needs.
const CAPABILITIES: [libc::c_ulong; 4] = [12, 13, 21, 39];

fn rows(ran: &Ran) -> Vec<Value> {
    let json = ran.json();
    assert_eq!(json["format"], "sockc.try/1");
    json["packets"].as_array().unwrap().clone()
}

/// Runs without the rights of a lab, whoever runs the test.
pub(super) fn run_without_rights(arguments: &[&str]) -> Ran {
    let mut command = sockc(arguments);
    // SAFETY: `prctl` is a plain system call, as is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for capability in CAPABILITIES {
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
            }
            Ok(())
        });
    }
    Ran::of(command.output().unwrap())
}

/// How many rows are there for each packet that is explained too: an explanation compiles the policy once more.
const EXPLAINED: usize = 6;

#[test]
fn every_example_does_in_a_lab_what_its_rules_say() {
    if !root() {
        return;
    }
    for path in rules() {
        let path = path.to_str().unwrap();
        let ran = run(&["try", "--json", path]);
        assert_eq!(ran.code, Some(0), "{path}: {}{}", ran.stdout, ran.stderr);
        let rows = rows(&ran);
        let unsent = |row: &&Value| row["seen"].as_str().unwrap().starts_with("nothing: ");
        let (unsent, seen): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(unsent);
        assert!(
            seen.iter().all(|row| row["agrees"] == true),
            "{path}: {seen:#?}"
        );
        assert!(unsent.len() <= 1 && seen.len() >= 3, "{path}: {unsent:#?}");
        for row in seen.into_iter().step_by(EXPLAINED) {
            assert_explained(path, row);
        }
    }
}

/// `explain` says of a packet of the file's own policy what `try` saw.
fn assert_explained(path: &str, row: &Value) {
    if !row["netns"].is_null() {
        return;
    }
    let packet = row["packet"].as_str().unwrap();
    let ran = run(&["explain", "--json", path, packet]);
    assert_eq!(ran.code, Some(0), "{path}: {packet}: {}", ran.stderr);
    let explained = ran.json()["verdict"].as_str().unwrap().to_owned();
    let tried = row["verdict"].as_str().unwrap();
    assert_eq!(
        tried.split(' ').next(),
        Some(explained.as_str()),
        "{path}: {packet}"
    );
}

#[test]
fn every_example_does_in_the_interpreter_what_its_rules_say() {
    for path in rules() {
        let ran = run_without_rights(&["try", "--json", path.to_str().unwrap()]);
        assert_eq!(
            ran.code,
            Some(0),
            "{}: {}{}",
            path.display(),
            ran.stdout,
            ran.stderr
        );
        assert!(ran.stderr.contains("CAP_BPF"), "{}", ran.stderr);
        assert!(
            rows(&ran).iter().all(|row| row["agrees"] == true),
            "{}",
            ran.stdout
        );
    }
}

const POLICY: &str = "\
default in drop
default send allow
socket proxy = tcp listen 127.0.0.1:1234, udp listen 127.0.0.1:1234, tcp listen [::1]:1234
socket quiet = tcp listen 127.0.0.1:1235 if absent drop
group pods = cgroup \"/pods\"
allow tcp to 1.1.1.0/24:53 if socket exists
allow if socket established
redirect 3.3.3.3:* to sock proxy
redirect [2001:db8:3::3]:* to sock proxy
redirect 4.4.4.4:* to sock quiet
drop send tcp from group pods to 192.0.2.0/24
";

/// Packet, what is seen, and the rules' verdict.
const PACKETS: [(&str, &str, &str); 13] = [
    ("tcp from 8.8.8.8:4000 to 1.1.1.77:53", "dropped", "drop"),
    (
        "tcp from 8.8.8.8:4001 to 1.1.1.77:53 with socket listening",
        "passed",
        "allow",
    ),
    (
        "tcp from 8.8.8.8:4002 to 9.9.9.9:9 with socket established, tcp flags ack",
        "passed",
        "allow",
    ),
    (
        "udp from 8.8.8.8:4003 to 9.9.9.9:9 with socket established",
        "passed",
        "allow",
    ),
    ("udp from 8.8.8.8:4003 to 9.9.9.9:9", "dropped", "drop"),
    (
        "tcp from 8.8.8.8:4004 to 3.3.3.3:1",
        "reached sock proxy",
        "redirect to sock proxy",
    ),
    (
        "tcp from 8.8.8.8:4005 to 3.3.3.3:65535",
        "reached sock proxy",
        "redirect to sock proxy",
    ),
    (
        "udp from 8.8.8.8:4006 to 3.3.3.3:80",
        "reached sock proxy",
        "redirect to sock proxy",
    ),
    (
        "tcp from [2001:db8::8]:4007 to [2001:db8:3::3]:80",
        "reached sock proxy",
        "redirect to sock proxy",
    ),
    (
        "tcp from 8.8.8.8:4008 to 3.3.3.3:1 with sock proxy absent",
        "passed, nobody listens",
        "reject",
    ),
    (
        "tcp from 8.8.8.8:4009 to 4.4.4.4:1 with sock quiet absent",
        "dropped",
        "drop",
    ),
    (
        "send tcp from 10.0.0.1:4010 to 192.0.2.9:80 with group pods",
        "write refused (EACCES)",
        "drop",
    ),
    (
        "send tcp from 10.0.0.1:4011 to 192.0.3.9:80 with group pods",
        "delivered",
        "allow",
    ),
];

/// A policy with whatever a lab has to make: interfaces of zones and to send packets out of, another namespace, live sets,
/// sockets that are handed over, tags, a policy of a namespace.
const PLACES: &str = "\
zone wan = wan0
zone lan = br-*, wlan?
default in drop
live set banned max 10
live set known max 10 = { 192.0.2.7 }
socket late = registered if absent drop
ban: reject tcp from @banned
known: allow tcp from @known
far: redirect udp to port 53 on zone wan to interface scrub0
tagged: allow udp to port 54 if vlan 7
late: redirect tcp 192.0.2.99:80 to sock late
waits: drop udp to port 55 if sock late absent
other: allow tcp to port 443 on zone lan if socket listening in netns \"other\"
dying: drop icmp if ttl < 2
ping: count icmp on interface br-x
for netns \"blue\" {
    interfaces eth0
    default in allow
    inner: drop tcp to port 25
}
";

/// Statement, and what is seen of its packets in a lab.
const SEEN: [(&str, &str); 9] = [
    ("ban", "refused by an answer"),
    ("known", "passed, nobody listens"),
    ("far", "left by interface scrub0"),
    ("tagged", "passed"),
    ("late", "reached sock late"),
    ("waits", "dropped"),
    ("other", "passed, nobody listens"),
    ("dying", "dropped"),
    ("inner", "dropped"),
];

#[test]
fn a_lab_has_what_the_policy_names() {
    if !root() {
        return;
    }
    let folder = Folder::new("places");
    let path = folder.file("edge.sk", PLACES);
    let ran = run(&["try", "--json", &path]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let rows = rows(&ran);
    assert!(
        rows.iter().all(|row| row["agrees"] == true),
        "{}",
        ran.stdout
    );
    for (label, seen) in SEEN {
        let begins = |row: &&Value| {
            row["rule"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{label}: "))
        };
        let decided: Vec<&Value> = rows.iter().filter(begins).collect();
        assert!(!decided.is_empty(), "{label}: {}{}", ran.stdout, ran.stderr);
        assert!(
            decided.iter().all(|row| row["seen"] == seen),
            "{decided:#?}"
        );
    }
    let inner = rows.iter().filter(|row| row["netns"] == "blue").count();
    assert!(inner >= 4, "{}", ran.stdout);
    let human = run(&["try", &path]).stdout;
    for words in [
        "on interface \"br-x\"",
        "on zone wan",
        "in netns \"blue\": tcp",
        "counted by ",
    ] {
        assert!(human.contains(words), "{words}: {human}");
    }
}

fn given_packets(run: impl Fn(&[&str]) -> Ran) {
    let folder = Folder::new("packets");
    let path = folder.file("edge.sk", POLICY);
    let mut arguments = vec!["try", "--json", path.as_str()];
    arguments.extend(PACKETS.map(|(packet, _, _)| packet));
    let ran = run(&arguments);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    for (row, (packet, seen, verdict)) in rows(&ran).iter().zip(PACKETS) {
        assert_eq!(
            (&row["seen"], &row["verdict"]),
            (&seen.into(), &verdict.into()),
            "{packet}"
        );
    }
    // What decides and has nothing to count has no row that says 0.
    let counted = ran.json()["counters"].as_array().unwrap().clone();
    let mut idle = counted.iter();
    assert!(
        !idle.any(|row| row["rule"] == "default send allow"),
        "{counted:?}"
    );
}

#[test]
fn given_packets_fare_as_expected_in_a_lab() {
    if root() {
        given_packets(run);
    }
}

#[test]
fn given_packets_fare_as_expected_in_the_interpreter() {
    given_packets(run_without_rights);
}

/// What passes through: by two interfaces without a zone, by two zones, and what a list around it stops.
const THROUGH: &str = "interfaces eth0, eth1, dmz
zone inside = dmz
default in allow
stopped: drop udp to port 7
default forward drop
plain: allow forward tcp from any:1024-65535 to any:80 to interface eth1
refused: reject forward tcp on zone inside to interface eth0
refused-there: reject forward udp to any:81 on interface eth0 to zone inside
never: allow forward udp to any:7
held: allow forward udp to any:9
default out allow
late: drop out udp to port 9
old: drop forward to any:82 if ttl = 255
";

#[test]
fn what_passes_through_is_sent_through_a_router() {
    if !root() {
        return;
    }
    let folder = Folder::new("through");
    let path = folder.file("router.sk", THROUGH);
    let ran = run(&["try", "--json", &path]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let rows = rows(&ran);
    for (label, seen) in [
        ("plain", "passed"),
        ("refused", "refused by an answer"),
        ("refused-there", "refused by an answer"),
        (
            "never",
            "nothing: where it comes in, the list of `in` says drop",
        ),
        (
            "held",
            "nothing: where it leaves, the list of `out` says drop",
        ),
        ("default forward drop", "dropped"),
    ] {
        let rule = |row: &&Value| {
            let rule = row["rule"].as_str().unwrap();
            rule.starts_with(&format!("{label}: ")) || rule == label
        };
        let decided: Vec<&Value> = rows.iter().filter(rule).collect();
        assert_eq!(decided.len(), 2, "{label}: {}{}", ran.stdout, ran.stderr);
        for row in decided {
            assert_eq!(row["seen"], seen, "{label}: {row}");
        }
    }
    // The interpreter is not asked what `in` says, but has the program that asks `out` as well.
    let interpreted = run_without_rights(&["try", "--json", &path]);
    assert_eq!(interpreted.code, Some(0), "{}", interpreted.stdout);
    let held = self::rows(&interpreted);
    let mut held = held
        .iter()
        .filter(|row| row["rule"] == "held: allow forward udp to any:9");
    let stops =
        |row: &Value| row["seen"] == "nothing: where it leaves, the list of `out` says drop";
    assert!(held.by_ref().all(stops), "{}", interpreted.stdout);
    let none = "no packet was found that the lab can send and that reaches";
    assert!(ran.stderr.contains(none) && ran.stderr.contains("old: "));
    let packet = "forward udp from 10.1.0.9:9 to 10.2.0.9:83 on zone inside to interface eth0";
    let own = "forward udp from 10.1.0.9:9 to 198.19.255.254:83 on zone inside to interface eth0";
    for (packet, seen) in [
        (packet, "dropped"),
        (own, "nothing: one of its addresses is the lab's own"),
    ] {
        let given = run(&["try", "--json", &path, packet]);
        let found = &self::rows(&given)[0];
        assert!(found["seen"].as_str().unwrap().starts_with(seen), "{found}");
    }
}

#[test]
fn a_packet_that_is_none_is_wrong_use() {
    let folder = Folder::new("no-packet");
    let path = folder.file("edge.sk", POLICY);
    let ran = run(&["try", &path, "tcp frm 8.8.8.8:4000 to 1.1.1.1:53"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.stderr.contains("<packet>:1:5"), "{}", ran.stderr);
}

#[test]
fn nothing_stays_behind() {
    if !root() {
        return;
    }
    let path = &rules()[0];
    let (interfaces, groups) = (interfaces(), lab_groups());
    assert_eq!(run(&["try", path.to_str().unwrap()]).code, Some(0));
    assert_eq!(self::interfaces(), interfaces);
    // Other tests have labs at the same time; what this one made must be gone.
    assert!(
        lab_groups()
            .iter()
            .all(|group| groups.contains(group) || is_alive(group))
    );
}

fn interfaces() -> Vec<String> {
    names("/sys/class/net")
}

fn lab_groups() -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let root = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        (fields.clone().nth(2) == Some("cgroup2"))
            .then(|| fields.nth(1))
            .flatten()
    });
    let all = root.map(names).unwrap_or_default();
    all.into_iter()
        .filter(|name| name.starts_with("sockc-lab-"))
        .collect()
}

/// Whether the process that a lab's control group is named after lives.
fn is_alive(group: &str) -> bool {
    let process = group.split('-').nth(2).unwrap();
    std::path::Path::new("/proc").join(process).exists()
}

fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A packet on an interface that the policy is not on meets socket lookups, or nobody: `try` says so, as `explain` does.
#[test]
fn packets_where_the_policy_is_not_are_not_taken_for_real() {
    let folder = Folder::new("try-outside");
    let text = "interfaces eth0\nzone wan = eth1\ndefault in drop\ninclude <essentials>\n\
        socket web = tcp listen 127.0.0.1:8080\nssh: allow tcp to port 22 on zone wan\n\
        moved: redirect tcp 192.0.2.9:80 to sock web\nlate: allow tcp to port 23 on interface eth2\n";
    let path = folder.file("zi.sk", text);
    let packets = [
        "icmp from 1.1.1.1 to 192.0.2.2 on zone wan",
        "tcp from 1.1.1.1:1024 to 192.0.2.9:80 on interface eth1",
        "tcp from 1.1.1.1:1024 to 192.0.2.2:23 on interface eth2",
    ];
    let ran = run(&[&["try", "--json", &path][..], &packets].concat());
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let rows = ran.json()["packets"].as_array().unwrap().clone();
    let of = |row: usize, field: &str| rows[row][field].as_str().unwrap().to_owned();
    let not_there = "the policy is not on";
    assert!(
        of(0, "verdict").starts_with("not looked at, as the policy is not on zone wan"),
        "{rows:?}"
    );
    assert_eq!(of(0, "packet"), packets[0]);
    assert!(
        of(1, "packet").contains("by the socket lookup alone")
            && of(1, "packet").contains(not_there),
        "{rows:?}"
    );
    assert_eq!(of(1, "verdict"), "redirect to sock web");
    // No redirect follows that `allow`, so no lookup asks it.
    assert_eq!(
        (of(2, "verdict").as_str(), of(2, "rule").as_str()),
        ("allow", "no rule"),
        "{rows:?}"
    );
    let explained = run(&["explain", &path, packets[2]]);
    assert!(
        explained
            .stdout
            .contains("=> allow, by no rule: none that lookups ask matches"),
        "{}",
        explained.stdout
    );
    let checked = run(&["check", &path]);
    assert!(checked.stderr.contains("W0612"), "{}", checked.stderr);
}
