//! `expect` lines next to `explain` and `try`: what one says of a packet, the others say too.

use crate::trying::run_without_rights;
use crate::{Folder, Ran, run};

/// The packet that the help of a broken line names, and the command as a shell would take it apart.
fn advised(ran: &Ran) -> Vec<String> {
    let (_, help) = ran.stderr.split_once("see why: `sockc explain ").unwrap();
    let (words, _) = help.split_once("'`").unwrap();
    let (file, packet) = words.split_once(" '").unwrap();
    vec![
        "explain".into(),
        file.trim_matches('\'').into(),
        packet.into(),
    ]
}

fn follow(ran: &Ran) -> Ran {
    let advised = advised(ran);
    run(&advised.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn the_advice_of_a_broken_line_can_be_followed() {
    let folder = Folder::new("advice");
    let text = "default in drop\nallow tcp to port 22\nexpect drop tcp from any to any:22\n";
    let file = folder.file("two words.sk", text);
    let checked = run(&["check", &file]);
    assert_eq!(checked.code, Some(1));
    assert!(
        checked
            .stderr
            .contains(&format!("sockc explain '{file}' 'tcp from"))
    );
    let explained = follow(&checked);
    assert_eq!(explained.code, Some(0), "{}", explained.stderr);
    assert!(
        explained.stdout.contains("allow, by"),
        "{}",
        explained.stdout
    );
    let tried = run(&["try", &file, "tcp from 198.51.100.7:40000 to 192.0.2.1:22"]);
    assert!(!tried.stderr.contains("E0501"), "{}", tried.stderr);
    assert_eq!(tried.code, Some(0), "{}", tried.stderr);
}

#[test]
fn the_advice_of_a_line_in_a_block_names_the_block() {
    let folder = Folder::new("advice-block");
    let text = "default in allow
for netns \"blue\" {
    default in drop
    allow tcp to port 22 if socket listening
    expect drop tcp from any to any:22
}
";
    let checked = run(&["check", &folder.file("blocks.sk", text)]);
    assert_eq!(checked.code, Some(1));
    assert!(
        checked
            .stderr
            .contains("with in netns \"blue\", socket listening gets `allow`")
    );
    let explained = follow(&checked);
    assert!(
        explained.stdout.contains("allow, by"),
        "{}",
        explained.stdout
    );
    assert!(explained.stdout.contains("port 22"), "{}", explained.stdout);
}

#[test]
fn both_halves_of_a_rate_can_be_expected() {
    let folder = Folder::new("rates");
    let rules = "default in drop
ssh: allow tcp to port ssh up to 10 connections/minute per source burst 5
";
    let file = |name: &str, line: &str| folder.file(name, &format!("{rules}{line}\n"));
    let free = run(&[
        "check",
        &file("free.sk", "expect allow tcp from any to any:ssh"),
    ]);
    assert_eq!(free.code, Some(1));
    assert!(
        free.stderr.contains("with rate exceeded gets `drop`"),
        "{}",
        free.stderr
    );
    let advice = "a line that ends in `with no rate exceeded` speaks of packets that fit";
    assert!(free.stderr.contains(advice), "{}", free.stderr);
    let both = "expect allow tcp from any to any:ssh with no rate exceeded
expect drop tcp from any to any:ssh with rate exceeded, tcp flags syn no ack, no socket";
    let ran = run(&["check", &file("both.sk", both)]);
    assert!(!ran.stderr.contains("E0"), "{}", ran.stderr);
    let guard = folder.file(
        "guard.guard",
        "expect allow tcp from any to any:ssh with no rate exceeded\n",
    );
    let guarded = run(&["check", "--guard", &guard, &file("plain.sk", "")]);
    assert_eq!(guarded.code, Some(0), "{}", guarded.stderr);
    let packet = "tcp from 192.0.2.9:1 to 192.0.2.1:22 with no rate exceeded";
    let explained = run(&["explain", "--json", &file("plain.sk", ""), packet]);
    assert_eq!(explained.json()["verdict"], "allow");
    let contrary = "expect drop tcp from any to any:ssh with rate exceeded, no rate exceeded";
    let ran = run(&["check", &file("contrary.sk", contrary)]);
    assert!(
        ran.stderr.contains("a rate is exceeded or it is not"),
        "{}",
        ran.stderr
    );
}

const TENANTS: &str = "socket web = registered
socket dns = registered
live map tenants max 1_000 = { tcp 10.7.3.0/28:443 -> sock web }
by-map: redirect tcp by @tenants
";

#[test]
fn what_a_live_map_holds_is_free_and_can_be_said() {
    let folder = Folder::new("maps");
    let check =
        |name: &str, line: &str| run(&["check", &folder.file(name, &format!("{TENANTS}{line}\n"))]);
    let free = check(
        "free.sk",
        "expect redirect to sock web tcp from any to 10.7.3.1:443",
    );
    assert_eq!(free.code, Some(1));
    assert!(!free.stderr.contains("rate"), "{}", free.stderr);
    assert!(free.stderr.contains("with @tenants { "), "{}", free.stderr);
    // The counterexample is what `explain` says, too.
    let got = |ran: &Ran| {
        ran.stderr
            .split(" gets `")
            .nth(1)
            .unwrap()
            .split('`')
            .next()
            .unwrap()
            .to_owned()
    };
    let explained = follow(&free);
    assert!(
        explained.stdout.contains(&got(&free)),
        "{}{}",
        free.stderr,
        explained.stdout
    );
    for (line, code) in [
        (
            "expect redirect to sock web tcp from any to 10.7.3.1:443 with @tenants { 10.7.3.1:443 -> sock web }",
            0,
        ),
        (
            "expect redirect to sock web tcp from any to 10.7.3.0/29:443 with @tenants { tcp 10.7.3.0/28:* -> sock web }",
            0,
        ),
        (
            "expect redirect to sock dns tcp from any to 10.7.3.1:443 with @tenants { 10.7.3.0/24:* -> sock web, 10.7.3.1:443 -> sock dns }",
            0,
        ),
        (
            "expect allow tcp from any to 10.7.3.1:443 with @tenants { }",
            0,
        ),
        (
            "expect redirect to sock web tcp from any to 10.7.3.1:443 with @tenants { 10.7.3.1:443 -> sock dns }",
            1,
        ),
        (
            "expect redirect to sock web tcp from any to 10.7.3.1:443 with @tenants { }",
            1,
        ),
    ] {
        let ran = check("said.sk", line);
        assert_eq!(ran.code, Some(code), "{line}: {}", ran.stderr);
        if code == 1 {
            assert!(follow(&ran).stdout.contains(&got(&ran)), "{line}");
        }
    }
}

#[test]
fn packets_say_what_a_live_map_holds() {
    let folder = Folder::new("map-packets");
    let file = folder.file("tenants.sk", TENANTS);
    for (with, verdict, socket) in [
        ("", "redirect", "web"),
        (" with @tenants { }", "allow", ""),
        (
            " with @tenants { 10.7.3.1:443 -> sock dns }",
            "redirect",
            "dns",
        ),
        (
            " with @tenants { 10.7.3.0/24:* -> sock web, 10.7.3.1:1-1000 -> sock dns }",
            "redirect",
            "dns",
        ),
        (
            " with @tenants { udp 10.7.3.1:443 -> sock dns }",
            "allow",
            "",
        ),
    ] {
        let packet = format!("tcp from 192.0.2.9:1 to 10.7.3.1:443{with}");
        let ran = run(&["explain", "--json", &file, &packet]);
        assert_eq!(ran.code, Some(0), "{packet}: {}", ran.stderr);
        let json = ran.json();
        assert_eq!(json["verdict"], verdict, "{packet}");
        assert_eq!(
            json["socket"].as_str().unwrap_or_default(),
            socket,
            "{packet}"
        );
        // The words are read back.
        let again = run(&["explain", "--json", &file, json["packet"].as_str().unwrap()]);
        assert_eq!(again.json()["verdict"], verdict, "{}", json["packet"]);
    }
    for (with, code) in [
        ("@tenant { }", "E0201"),
        ("@tenants { 10.7.3.1:443 -> sock nobody }", "E0201"),
        ("@tenants { 10.7.3.1/8:443 -> sock web }", "E0203"),
        ("@tenants { }, @tenants { }", "E0238"),
    ] {
        let packet = format!("tcp from 192.0.2.9:1 to 10.7.3.1:443 with {with}");
        let ran = run(&["explain", &file, &packet]);
        assert_eq!(ran.code, Some(64), "{packet}");
        assert!(ran.stderr.contains(code), "{packet}: {}", ran.stderr);
    }
}

const OUTSIDE: &str = "interfaces eth0
zone wan = eth1
default in drop
default out drop
socket web = registered
steer: redirect tcp 3.3.3.3:80 to sock web
ssh: allow tcp to port 22 on zone wan
";

/// What a policy says of interfaces that it is not on is what the kernel does there: lookups, and nothing else.
#[test]
fn packets_of_other_interfaces_are_not_looked_at() {
    let folder = Folder::new("outside");
    let file = folder.file("outside.sk", OUTSIDE);
    let checked = run(&["check", &file]);
    assert!(
        checked.stderr.contains("warning[W0612]"),
        "{}",
        checked.stderr
    );
    let none = "not looked at: the policy is not on";
    for (packet, line, verdict) in [
        (
            "tcp from 192.0.2.9:1 to 192.0.2.1:22 on zone wan",
            "by the socket lookup alone",
            "allow",
        ),
        (
            "tcp from 192.0.2.9:1 to 192.0.2.1:23 on interface eth7",
            "the policy is not on eth7",
            "allow",
        ),
        (
            "tcp from 192.0.2.9:1 to 3.3.3.3:80 on interface lo",
            "redirect to sock web",
            "redirect",
        ),
        (
            "tcp from 192.0.2.9:1 to 3.3.3.3:80 on interface lo with socket established",
            none,
            "allow",
        ),
        (
            "tcp from 192.0.2.9:1 to 3.3.3.3:80 on interface lo with sock web absent",
            "reject",
            "reject",
        ),
        (
            "icmp from 192.0.2.9 to 192.0.2.1 on interface lo",
            none,
            "allow",
        ),
        (
            "out tcp from 192.0.2.9:1 to 192.0.2.1:22 on interface eth1",
            none,
            "allow",
        ),
        (
            "tcp from 192.0.2.9:1 to 192.0.2.1:23 on interface eth0",
            "=> drop, by",
            "drop",
        ),
        (
            "tcp from 192.0.2.9:1 to 192.0.2.1:23",
            "=> drop, by",
            "drop",
        ),
    ] {
        let ran = run(&["explain", &file, packet]);
        assert_eq!(ran.code, Some(0), "{packet}: {}", ran.stderr);
        assert!(ran.stdout.contains(line), "{packet}: {}", ran.stdout);
        let json = run(&["explain", "--json", &file, packet]).json();
        assert_eq!(json["verdict"], verdict, "{packet}");
        let is_outside = !(packet.ends_with("eth0") || packet.ends_with(":23"));
        assert_eq!(!json["outside"].is_null(), is_outside, "{packet}");
        // A line about this packet alone holds for what `explain` says, and for nothing else.
        for expected in ["allow", "drop", "reject", "redirect"] {
            let with = match packet {
                _ if packet.contains("established") => "",
                _ if packet.contains("absent") => ", no socket",
                _ => " with no socket",
            };
            let text = format!("{OUTSIDE}expect {expected} {packet}{with}\n");
            let ran = run(&["check", &folder.file("line.sk", &text)]);
            let code = i32::from(expected != verdict);
            assert_eq!(
                ran.code,
                Some(code),
                "expect {expected} {packet}: {}",
                ran.stderr
            );
        }
    }
}

/// Of what passes through is said what the list says where it came in, if the policy is there; and what goes back out of the interface
/// by which it came does not pass through.
#[test]
fn what_passes_through_is_asked_of_lists_that_are_there() {
    let folder = Folder::new("outside-passing");
    let file = folder.file(
        "router.sk",
        "interfaces eth0, eth1
zone lan = eth1
zone wan = eth0
default in drop
default out allow
default forward drop
",
    );
    let packet = "forward udp from 10.0.0.1:5 to 10.0.0.2:6";
    let said = |ends: &str| run(&["explain", &file, &format!("{packet} {ends}")]);
    let came_in = "where it came in: not looked at: the policy is not on eth7";
    let foreign = said("on interface eth7 to zone wan");
    assert!(foreign.stdout.contains(came_in), "{}", foreign.stdout);
    assert!(foreign.stdout.contains("=> drop, by"), "{}", foreign.stdout);
    let own = said("on zone lan to interface eth7").stdout;
    assert!(
        own.contains("=> not looked at: the policy is not on eth7"),
        "{own}"
    );
    assert!(own.contains("where it came in: drop, by"), "{own}");
    let json = run(&[
        "explain",
        "--json",
        &file,
        &format!("{packet} on interface eth7 to zone wan"),
    ])
    .json();
    assert_eq!(json["around"][0]["outside"], "eth7", "{json}");
    assert_eq!(json["around"][0]["verdict"], "allow", "{json}");
    for back in [
        "on zone wan to zone wan",
        "on interface eth7 to interface eth7",
    ] {
        let ran = said(back);
        assert_eq!(ran.code, Some(64), "{back}: {}", ran.stdout);
        assert!(
            ran.stderr.contains("does not meet `forward`"),
            "{}",
            ran.stderr
        );
    }
}

/// What a redirect at TC sends out of an interface meets the lists there.
#[test]
fn what_is_redirected_is_asked_where_it_leaves() {
    let folder = Folder::new("redirected-away");
    let policy = |lists: &str, at: &str| {
        format!(
            "zone lan = eth1
zone wan = eth0
default in allow
{lists}away: redirect udp to port 53 on zone lan to interface eth0{at}
"
        )
    };
    let packet = "udp from 10.0.0.1:5 to 10.0.0.2:53 on zone lan";
    let allowed = "default forward drop\nsent: allow forward udp to port 53 to zone wan\n";
    let limited =
        "default forward drop\nsent: allow forward udp to port 53 up to 5 packets/second\n";
    let back =
        "default forward drop\nback: redirect udp to port 54 on zone wan to interface eth0\n";
    for (lists, at, warned, said) in [
        (
            "default forward drop\n",
            "",
            1,
            "where it leaves, passing through: drop, by",
        ),
        ("default out drop\n", "", 1, "where it leaves: drop, by"),
        (
            allowed,
            "",
            0,
            "where it leaves, passing through: allow, by",
        ),
        (
            limited,
            "",
            0,
            "where it leaves, passing through: allow, by",
        ),
        (
            "default forward drop\n",
            " at xdp",
            0,
            "=> redirect to interface eth0, by",
        ),
        (
            "interfaces eth1\ndefault forward drop\n",
            "",
            0,
            "=> redirect to interface eth0, by",
        ),
        // What goes back out of the same interface passes through nothing.
        (back, "", 1, "where it leaves, passing through: drop, by"),
    ] {
        let file = folder.file("away.sk", &policy(lists, at));
        let checked = run(&["check", &file]);
        let count = checked.stderr.matches("warning[W0633]").count();
        assert_eq!(count, warned, "{lists}{at}: {}", checked.stderr);
        let explained = run(&["explain", &file, packet]).stdout;
        assert!(explained.contains(said), "{lists}{at}: {explained}");
        assert!(
            explained.contains("=> redirect to interface eth0"),
            "{explained}"
        );
        let leaves = explained.contains("where it leaves");
        assert_eq!(
            leaves,
            said.contains("where it leaves"),
            "{lists}{at}: {explained}"
        );
    }
}

#[test]
fn a_rule_for_another_interface_is_no_difference() {
    let folder = Folder::new("outside-diff");
    let old = folder.file("old.sk", "interfaces eth0\ndefault in drop\n");
    let rule = "interfaces eth0\ndefault in drop\nx: allow tcp to port 23 on interface eth2\n";
    let ran = run(&["diff", "--json", &old, &folder.file("new.sk", rule)]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(
        ran.json()["changes"].as_array().unwrap().len(),
        0,
        "{}",
        ran.stdout
    );
    let rule = rule.replace("eth2", "eth0");
    let ran = run(&["diff", "--json", &old, &folder.file("new.sk", &rule)]);
    assert_eq!(
        ran.json()["changes"].as_array().unwrap().len(),
        1,
        "{}",
        ran.stdout
    );
}

#[test]
fn an_explanation_says_the_verdict_first_and_groups_what_is_far() {
    let folder = Folder::new("groups");
    let mut text = String::from("default in drop\n");
    for host in 0..200 {
        text += &format!(
            "r{host}: allow tcp from 10.0.1.{host} to any:{}\n",
            1000 + host
        );
    }
    text += "near: allow tcp from 10.20.0.0/16 to port ssh\n";
    let file = folder.file("many.sk", &text);
    let packet = "tcp from 192.0.2.9:40000 to 192.0.2.1:22";
    let ran = run(&["explain", &file, packet]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[1].starts_with("=> drop, by "), "{}", ran.stdout);
    assert!(lines.len() < 10, "{}", ran.stdout);
    assert!(ran.stdout.contains("near: allow tcp"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("200 more rules are for other senders"),
        "{}",
        ran.stdout
    );
    let all = run(&["explain", "--all", &file, packet]);
    assert_eq!(all.stdout.lines().count(), 2 + 2 * 201);
    let json = run(&["explain", "--json", &file, packet]).json();
    assert_eq!(json["steps"].as_array().unwrap().len(), 201);
}

const MARKED: &str = "interfaces lan, dmz
zone lan = lan
zone dmz = dmz
default in allow
default out allow
default forward drop
i: allow in udp to port 1001 on zone lan mark 5
a: allow forward udp on zone lan to zone dmz if mark 5 mark 9
held: drop out udp if mark 9
";

/// The mark that one list sets is the one that the next is asked about; words tell the one with which a packet arrives.
#[test]
fn what_passes_through_takes_its_mark_along() {
    let folder = Folder::new("marked-passing");
    let file = folder.file("marked.sk", MARKED);
    let explained = |port: u16, with: &str| {
        let packet =
            format!("forward udp from 10.0.1.2:5 to 10.0.2.2:{port} on zone lan to zone dmz{with}");
        let ran = run(&["explain", &file, &packet]);
        assert_eq!(ran.code, Some(0), "{packet}: {}", ran.stderr);
        assert!(
            ran.stdout.starts_with(&format!("{packet}\n")),
            "{}",
            ran.stdout
        );
        ran.stdout
    };
    let passed = explained(1001, "");
    assert!(passed.contains("=> allow, by "), "{passed}");
    assert!(passed.contains("where it leaves: drop, by "), "{passed}");
    let other = explained(1002, "");
    assert!(other.contains("=> drop, by "), "{other}");
    let came = explained(1002, " with mark 5");
    assert!(came.contains("=> allow, by "), "{came}");
    for (line, holds) in [
        (
            "expect allow forward udp from any to any:1001 on zone lan to zone dmz",
            true,
        ),
        (
            "expect allow forward udp from any to any:1002 on zone lan to zone dmz",
            false,
        ),
    ] {
        let ran = run(&[
            "check",
            &folder.file("line.sk", &format!("{MARKED}{line}\n")),
        ]);
        assert_eq!(ran.code, Some(i32::from(!holds)), "{line}: {}", ran.stderr);
        if !holds {
            let said = follow(&ran).stdout;
            assert!(said.contains("=> drop, by "), "{said}");
        }
    }
    let tried = run_without_rights(&["try", &file]);
    assert_eq!(tried.code, Some(0), "{}{}", tried.stdout, tried.stderr);
    assert!(
        tried.stdout.contains("a: allow forward udp"),
        "{}",
        tried.stdout
    );
    let none = "no packet was found that the lab can send and that reaches";
    let found: Vec<&str> = tried
        .stderr
        .lines()
        .filter(|line| line.contains(none))
        .collect();
    let [line] = found.as_slice() else {
        panic!("{}", tried.stderr);
    };
    assert!(
        line.contains("held: ") && line.contains("none is looked for that passes through"),
        "{line}"
    );
}

/// What is printed asks the same again, also where no rule knows an interface.
#[test]
fn what_explain_prints_can_be_asked_again() {
    let folder = Folder::new("asked-again");
    let file = folder.file(
        "c.sk",
        "zone lan = lan\ndefault in drop\ndefault forward allow\n",
    );
    for packet in [
        "forward tcp from 1.1.1.1:1 to 2.2.2.2:2 on interface eth7 to zone lan",
        "forward tcp from 1.1.1.1:1 to 2.2.2.2:2 on zone lan to interface eth7",
        "tcp from 1.1.1.1:1 to 2.2.2.2:2 on interface eth7",
    ] {
        let ran = run(&["explain", &file, packet]);
        assert_eq!(ran.stdout.lines().next(), Some(packet), "{}", ran.stderr);
        let again = run(&["explain", &file, ran.stdout.lines().next().unwrap()]);
        assert_eq!(again.stdout, ran.stdout);
    }
    // A policy that holds on every interface, of which its rules know one.
    let file = folder.file(
        "d.sk",
        "default in allow\ndrop tcp on interface eth0 to port 22\n",
    );
    let packet = "tcp from 1.1.1.1:1 to 2.2.2.2:2 on interface eth7";
    let ran = run(&["explain", &file, packet]);
    assert_eq!(ran.stdout.lines().next(), Some(packet), "{}", ran.stderr);
}
