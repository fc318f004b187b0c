//! What a comparison says, in words.

use super::{between, line, policy};
use crate::diff::report::{About, Count, Data, Edit, End, Impact, Line, Only};
use crate::diff::{Options, compare};
use crate::observer::Silent;

fn lines(old: &str, new: &str) -> Vec<String> {
    let scope = between(old, new);
    assert_eq!(scope.incomplete, None);
    scope.changes.iter().map(line).collect()
}

const HOST: &str = "
set admins = { 10.20.0.0/16, 192.0.2.7 }
default in drop
established: allow tcp if socket established
ssh: allow tcp from @admins to any:22
web: allow tcp to any:{80, 443}
";

/// An address has two variables, and is said where both are known.
#[test]
fn a_hardware_address_is_told_whole() {
    let old = "default in drop\n";
    let of = |condition: &str| lines(old, &format!("{old}allow tcp to any:22 if {condition}\n"));
    let one = "ether from 02:42:ac:11:00:07";
    let started = |lines: &[String], region: &str| {
        let wanted = format!("drop -> allow: {region} | ");
        assert!(
            matches!(lines, [line] if line.starts_with(&wanted)),
            "{lines:#?}"
        );
    };
    started(&of(one), &format!("tcp to any:22 if {one}"));
    started(
        &of(&format!("no {one}")),
        &format!("tcp to any:22 except where {one}"),
    );
    let two = of(&format!("any of {{ {one}, ether from 02:42:ac:11:00:08 }}"));
    let other = "ether from 02:42:ac:11:00:00";
    assert!(two.iter().all(|line| !line.contains(other)), "{two:#?}");
}

/// A slot is for a family and a protocol: an address of another kind changes nothing for those that there were.
#[test]
fn a_socket_that_listens_for_more_moves_no_flow_that_it_had() {
    let old = "default in drop
        socket web = tcp listen 127.0.0.1:80
        redirect tcp to 10.0.0.1:80 to sock web";
    let more = "127.0.0.1:80, udp listen 127.0.0.1:80, tcp listen [::1]:80";
    let none: [String; 0] = [];
    assert_eq!(lines(old, &old.replace("127.0.0.1:80", more)), none);
    // Where a rule is about the other kinds, too, these change and no others.
    let old = old.replace("10.0.0.1:80", "any:80");
    let changed = lines(&old, &old.replace("127.0.0.1:80", more));
    let six = "reject -> redirect to sock web: tcp to [::/0]:80 if sock web present and no socket established | ";
    assert!(
        matches!(changed.as_slice(), [one] if one.starts_with(six)),
        "{changed:#?}"
    );
    // Another address of the same kind is another receiver; whether there is one is one question.
    let old = old.replace("127.0.0.1:80", more);
    let moved = lines(
        &old,
        &old.replace("tcp listen [::1]:80", "tcp listen [::2]:80"),
    );
    assert!(
        matches!(moved.as_slice(), [one] if one.contains("-> redirect") && one.contains("[::/0]")),
        "{moved:#?}"
    );
}

#[test]
fn what_is_declared_otherwise_is_said_of_what_it_is_about() {
    let of = |interfaces: &str, listen: &str| {
        format!(
            "interfaces {interfaces}\ndefault in drop\nsocket web = tcp listen {listen}\nredirect tcp to 10.0.0.1:80 to sock web\n"
        )
    };
    let settings =
        |old: &str, new: &str| between(&of(old, "127.0.0.1:80"), &of(new, "127.0.0.1:80")).settings;
    let none: [String; 0] = [];
    assert_eq!(settings("eth0", "eth0"), none);
    assert_eq!(
        settings("eth0, lo", "\"eth*\", lo"),
        [
            "interfaces: eth* is new: packets of what it covers, and nothing did before, get the policy's verdicts"
        ]
    );
    assert_eq!(
        settings("\"eth*\"", "eth0, wan"),
        [
            "interfaces: wan is new: its packets get the policy's verdicts",
            "interfaces: eth* is gone: packets of what it covered, and nothing does now, are no longer looked at",
        ]
    );
    assert_eq!(
        settings("\"eth*\"", "\"e*\""),
        [
            "interfaces: e* is new: packets of what it covers, and nothing did before, get the policy's verdicts"
        ]
    );
    assert_eq!(
        settings("eth0", "eth1"),
        [
            "interfaces: eth1 is new: its packets get the policy's verdicts",
            "interfaces: eth0 is gone: its packets are no longer looked at",
        ]
    );
    let both = "127.0.0.1:80, tcp listen [::1]:80";
    assert_eq!(
        between(&of("lo", "127.0.0.1:80"), &of("lo", both)).settings,
        ["socket web: tcp 127.0.0.1:80 -> tcp 127.0.0.1:80, tcp [::1]:80"]
    );
    // Another order is no other socket; another address is taken to be there as the one before was.
    let turned = "[::1]:80, tcp listen 127.0.0.1:80";
    assert_eq!(between(&of("lo", both), &of("lo", turned)).settings, none);
    assert_eq!(
        between(&of("lo", "127.0.0.1:80"), &of("lo", "127.0.0.1:99")).settings,
        [
            "socket web: tcp 127.0.0.1:80 -> tcp 127.0.0.1:99; the new one is taken to be there where the old one was"
        ]
    );
}

/// Words of a region are about no packets that are not in it, whichever declaration of a name a reader thinks of.
#[test]
fn a_name_with_two_declarations_leaves_out_no_family_and_no_protocol() {
    let old = "default in drop
        socket web = tcp listen 127.0.0.1:80
        redirect tcp to 10.0.0.1:80 to sock web
        allow tcp to any:81";
    let new = old.replace("127.0.0.1:80", "127.0.0.1:80, tcp listen [::1]:80");
    let changed = lines(
        old,
        &new.replace("allow tcp to any:81", "redirect tcp to any:81 to sock web"),
    );
    assert!(
        changed
            .iter()
            .all(|one| one.contains(": tcp to 0.0.0.0/0:81")
                || one.contains(": tcp to [::/0]:81")
                || one.contains("sock web absent")),
        "{changed:#?}"
    );
    assert!(
        changed
            .iter()
            .any(|one| one.contains("allow -> redirect to sock web: ")),
        "{changed:#?}"
    );
    let changed = lines(old, &old.replace("tcp listen 127.0.0.1:80", "registered"));
    assert!(
        changed
            .iter()
            .all(|one| one.contains(": tcp to 10.0.0.1:80 ")),
        "{changed:#?}"
    );
}

/// What a live map holds is the machine's; a name there means the socket of both policies.
#[test]
fn a_socket_of_a_live_map_that_listens_for_more_is_the_same_name() {
    let old = "default in drop
        socket web = tcp listen 127.0.0.1:80
        live map tenants max 10
        redirect tcp by @tenants";
    let new = old.replace("127.0.0.1:80", "127.0.0.1:80, tcp listen [::1]:80");
    let changed = lines(old, &new);
    assert!(!changed.is_empty());
    assert!(
        changed
            .iter()
            .all(|one| one.contains("[::/0]") || one.contains("2001:db8")),
        "{changed:#?}"
    );
}

#[test]
fn a_wider_rule_shows_what_it_adds() {
    let new = HOST.replace("from @admins to any:22", "to any:22");
    assert_eq!(
        lines(HOST, &new),
        [
            "drop -> allow: tcp from not @admins to any:22 if no socket established | tcp from 198.51.100.7:40000 to 192.0.2.1:22"
        ]
    );
}

/// What is put into another queue, or into none, is another fate.
#[test]
fn another_queue_is_a_change() {
    let old = "default send allow
        group pods = cgroup \"/pods\"
        socket cache = registered
        redirect send tcp to 10.0.0.9:53 to input of sock cache";
    let changed = |new: &str| lines(old, new).concat();
    let output = changed(&old.replace("input", "output"));
    let both = "redirect to input of sock cache -> redirect to output of sock cache: ";
    assert!(output.starts_with(both), "{output}");
    let gone = changed(&old.replace(
        "redirect send tcp to 10.0.0.9:53 to input of sock cache",
        "",
    ));
    assert!(
        gone.starts_with("redirect to input of sock cache -> allow: "),
        "{gone}"
    );
    let absent = changed(&old.replace("registered", "registered if absent drop"));
    let refused = "reject -> drop: send from group pods to 10.0.0.9:53 if sock cache absent";
    assert!(absent.contains(refused), "{absent}");
    assert!(!absent.contains("-> redirect"), "{absent}");
}

/// What an absent socket gives is no other receiver.
#[test]
fn a_redirect_whose_absent_socket_gives_something_else_does_not_move() {
    let old = "default in drop
        socket proxy = registered
        redirect tcp to 3.3.3.3:80 to sock proxy";
    let new = lines(old, &old.replace("registered", "registered if absent drop"));
    let refused =
        "reject -> drop: tcp to 3.3.3.3:80 if sock proxy absent and no socket established";
    assert!(
        matches!(new.as_slice(), [one] if one.starts_with(refused)),
        "{new:#?}"
    );
    // Another declaration of the same name is another receiver.
    let elsewhere = lines(old, &old.replace("registered", "tcp listen 127.0.0.1:80"));
    assert!(elsewhere.concat().contains("-> redirect"), "{elsewhere:#?}");
}

#[test]
fn a_rate_that_is_written_otherwise_is_the_same() {
    let old = "default in drop\nallow tcp to any:80 up to 60 packets/minute";
    let impact = |new: &str| between(old, &old.replace("60 packets/minute", new)).edits[0].clone();
    assert_eq!(impact("1 packets/second").impact, Impact::None(None));
    assert_eq!(impact("3_600 packets/hour").impact, Impact::None(None));
    for other in [
        "61 packets/minute",
        "61 packets/minute burst 1",
        "2 packets/second",
        "1 packets/second burst 2",
        "60 packets/minute per source",
    ] {
        assert_eq!(impact(other).impact, Impact::Rate, "{other}");
    }
}

/// However many changes there is time to describe, all of them were found, and are counted.
#[test]
fn what_there_is_no_time_to_describe_was_found_all_the_same() {
    let rules = |verdict: &str| -> String {
        let rule = |number| format!("{verdict} tcp from 10.{number}.0.0/16 to any:{number}\n");
        (1..120).map(rule).collect()
    };
    let old = policy(&format!("default in reject\n{}", rules("allow")));
    let new = policy(&format!("default in reject\n{}", rules("drop")));
    let mut seen = 0;
    for options in bounds(1_000, 60) {
        let report = compare(&old, &new, options, &mut Silent);
        let scope = &report.scopes[0];
        if scope.undescribed == 0 {
            continue;
        }
        seen += usize::from(report.is_complete());
        let all = scope.changes.len() + scope.untold;
        assert!(!report.is_complete() || all == 119, "{options:?}: {all}");
        assert_eq!(scope.untold, scope.undescribed);
    }
    assert!(seen > 0);
}

/// The changes of a host whose text is edited in one place.
fn edited(from: &str, to: &str) -> Vec<String> {
    assert!(HOST.contains(from));
    lines(HOST, &HOST.replacen(from, to, 1))
}

#[test]
fn what_arriving_packets_say_is_not_said_again_of_lookups() {
    let old = "interfaces eth0
        default in drop
        socket a = tcp listen 127.0.0.1:1
        socket b = tcp listen 127.0.0.1:2
        redirect tcp to 192.0.2.1:80 to sock a";
    let scope = between(old, &old.replace(":80 to sock a", ":80 to sock b"));
    let about: Vec<About> = scope.changes.iter().map(|change| change.about).collect();
    assert!(about.contains(&About::In), "{about:?}");
    assert!(!about.contains(&About::Lookup), "{about:?}");
}

/// It changes what a `set add` may put there and for how long, and so it is a difference.
#[test]
fn a_live_set_that_is_declared_otherwise_is_no_same_policy() {
    let old = "default in drop
        live set banned max 10 expires 3s
        drop from @banned";
    let same =
        |new: &str| !compare(&policy(old), &policy(new), Options::default(), &mut Silent).differs();
    assert!(same(old));
    for (was, is) in [("expires 3s", "expires 1h"), ("max 10", "max 20")] {
        assert!(!same(&old.replace(was, is)), "{is}");
    }
}

#[test]
fn regions_are_said_in_the_words_of_the_language() {
    let table: [(&str, &str, &[&str]); 6] = [
        (
            "web: allow",
            "web: reject",
            &[
                "allow -> reject: tcp to any:{80, 443} if no socket established | tcp from 198.51.100.7:40000 to 192.0.2.1:80",
            ],
        ),
        (
            "192.0.2.7 }",
            "192.0.2.8 }",
            &[
                "allow -> drop: tcp from 192.0.2.7 to any:22 if no socket established | tcp from 192.0.2.7:40000 to 192.0.2.1:22",
                "drop -> allow: tcp from 192.0.2.8 to any:22 if no socket established | tcp from 192.0.2.8:40000 to 192.0.2.1:22",
            ],
        ),
        (
            "web: allow",
            "out-there: drop tcp from 10.20.1.0/24\nweb: allow",
            &[
                "allow -> drop: tcp from 10.20.1.0/24 to any:{80, 443} if no socket established | tcp from 10.20.1.1:40000 to 192.0.2.1:80",
            ],
        ),
        (
            "ssh: allow tcp from @admins to any:22\n",
            "",
            &[
                "allow -> drop: tcp from @admins to any:22 if no socket established | tcp from 10.20.0.1:40000 to 192.0.2.1:22",
            ],
        ),
        (
            "default in drop",
            "default in allow",
            &[
                "drop -> allow: everything that no rule decides | tcp from 198.51.100.7:40000 to 192.0.2.1:8080",
                "drop -> allow: malformed packets | with malformed",
            ],
        ),
        (
            "web: allow tcp",
            "web: allow tcp, sctp",
            &[
                "drop -> allow: sctp to any:{80, 443} | sctp from 198.51.100.7:40000 to 192.0.2.1:80",
            ],
        ),
    ];
    for (from, to, expected) in table {
        assert_eq!(edited(from, to), expected, "{to}");
    }
}

#[test]
fn an_edit_without_effect_says_who_decides_instead() {
    let table = [
        (
            "web: allow",
            "early: allow tcp to any:22 if socket established\nweb: allow",
            "line 4 decides all of it before",
        ),
        (
            "web: allow",
            "late: drop udp\nweb: allow",
            "the default does the same",
        ),
        (
            "web: allow",
            "seen: count tcp\nweb: allow",
            "it only counts",
        ),
    ];
    for (from, to, reason) in table {
        let scope = between(HOST, &HOST.replacen(from, to, 1));
        assert!(scope.changes.is_empty(), "{to}");
        let effects: Vec<&Impact> = scope.edits.iter().map(|edit| &edit.impact).collect();
        assert_eq!(effects, [&Impact::None(Some(reason.into()))], "{to}");
    }
}

/// A rule that is split decides what it says, and nobody may read that others decide all of it.
#[test]
fn of_a_rule_that_is_split_only_what_was_looked_at_is_told() {
    let old = HOST.replace("{80, 443}", "{80, 443, 8000-8099}");
    let new = HOST.replace(
        "web: allow tcp to any:{80, 443}",
        "plain: allow tcp to any:80\ntls: allow tcp to any:443\nalt: allow tcp to any:8000-8099",
    );
    let scope = between(&old, &new);
    assert!(scope.changes.is_empty());
    let mut told = 0;
    for edit in &scope.edits {
        let Impact::None(Some(why)) = &edit.impact else {
            continue;
        };
        told += 1;
        assert!(!why.contains("all of it"), "{why}");
    }
    assert!(told > 0);
}

/// Sorting a list moves rules; none of them becomes another one.
#[test]
fn a_sorted_list_pairs_equal_rules_first() {
    let rule = |port: u32| format!("r{port}: allow tcp from 10.{port}.0.0/16 to any:{port}\n");
    let rules = |ports: &[u32]| ports.iter().map(|port| rule(*port)).collect::<String>();
    let old = format!("default in drop\n{}", rules(&[9, 3, 7, 1, 5]));
    let new = format!("default in drop\n{}", rules(&[1, 3, 5, 7, 9]));
    let scope = between(&old, &new);
    assert!(scope.changes.is_empty());
    for edit in &scope.edits {
        let [old, new] = [&edit.old, &edit.new].map(|line| line.as_ref().unwrap());
        assert_eq!(old.location.text, new.location.text, "{:?}", edit.kind);
    }
}

/// A rule keeps its label when it goes elsewhere and is written anew; what stands in its place is another one.
#[test]
fn a_rule_is_known_by_its_label_wherever_it_went() {
    let old = "default in drop
        a: allow tcp from 10.1.0.0/16 to any:22
        b: allow tcp from 10.2.0.0/16 to any:80
        c: allow udp from 10.3.0.0/16 to any:53\n";
    let new = "default in drop
        b: allow tcp from 10.2.0.0/16 to any:80
        d: allow tcp from 10.1.0.0/16 to any:23
        c: allow udp from 10.3.0.0/16 to any:53
        a: allow tcp from 10.1.0.0/17 to any:22\n";
    let scope = between(old, new);
    let label = |line: &Option<Line>| line.as_ref().and_then(|line| line.label.clone());
    let edits: Vec<_> = scope
        .edits
        .iter()
        .map(|edit| (label(&edit.old), label(&edit.new)))
        .collect();
    let name = |name: &str| Some(name.to_owned());
    assert!(edits.contains(&(name("a"), name("a"))), "{edits:?}");
    assert!(edits.contains(&(None, name("d"))), "{edits:?}");
    assert_eq!(edits.len(), 2, "{edits:?}");
    assert_eq!(scope.changes.len(), 2, "{scope:#?}");
}

#[test]
fn a_set_that_holds_the_same_under_another_name_is_renamed() {
    let new = HOST.replace("admins", "staff");
    let scope = between(HOST, &new);
    let [data] = scope.data.as_slice() else {
        panic!("{:?}", scope.data)
    };
    assert_eq!(
        (data.name.as_str(), data.was_called.as_deref()),
        ("set staff", Some("set admins"))
    );
    assert_eq!(
        (data.only, data.gained + data.lost, data.sizes),
        (None, 0, (2, 2))
    );
    // Another address, and they are two sets.
    let scope = between(HOST, &new.replace("192.0.2.7", "192.0.2.8"));
    assert_eq!(scope.data.len(), 2, "{:?}", scope.data);
}

#[test]
fn nothing_is_said_with_two_negations() {
    let old = "default in drop
        socket web = tcp listen 127.0.0.1:8080
        w: redirect tcp 192.0.2.1:80 to sock web\n";
    let new = old.replace(
        "w: redirect",
        "x: reject tcp to 192.0.2.1:80 if no sock web absent\nw: redirect",
    );
    let changes = lines(old, &new);
    assert!(
        changes
            .iter()
            .any(|line| line.contains("if sock web present")),
        "{changes:?}"
    );
    assert!(
        changes.iter().all(|line| !line.contains("no sock web")),
        "{changes:?}"
    );
}

/// Of a default that opens in a large list, too, the example is a packet as people know them.
#[test]
fn the_example_of_a_large_list_is_no_fragment() {
    let rules: String = (0..200)
        .map(|n| {
            format!(
                "allow tcp from 10.{}.{}.0/24 to 10.200.{}.0/24:{}\n",
                n / 10,
                n % 10,
                n / 10,
                20 + n % 15
            )
        })
        .collect();
    let rules = format!(
        "guests: drop from 10.104.9.0/24\n{rules}web: allow tcp to port {{80, 443, 8000-8099}}\nallow if socket established\n"
    );
    let changes = lines(
        &format!("default in drop\n{rules}"),
        &format!("default in allow\n{rules}"),
    );
    assert!(
        changes[0].contains("everything that no rule decides"),
        "{changes:?}"
    );
    assert!(
        changes.iter().all(|line| !line.contains("fragment")),
        "{changes:?}"
    );
}

/// A port that opens for everybody stands before a network that opens for one sender.
#[test]
fn what_changes_most_stands_first() {
    let new = format!("{HOST}one: allow udp from 10.1.2.3 to 192.0.2.1:53\nall: allow udp\n");
    let scope = between(HOST, &new);
    let edit = &scope.edits[scope.changes[0].edit.unwrap()];
    assert_eq!(edit.new.as_ref().unwrap().label.as_deref(), Some("all"));
    let spans = scope.changes[0].spans.unwrap();
    assert!(matches!(spans.senders, End::Of(all) if all.v4 == Count::All));
}

#[test]
fn what_grows_past_the_budget_is_never_no_change() {
    let rules: String = (0..200)
        .map(|number| {
            format!(
                "allow tcp from 10.{number}.0.0/16:{number} to 172.16.{number}.0/24:{number}-9000\n"
            )
        })
        .collect();
    let old = format!("default in drop\n{rules}");
    let new = format!("default in drop\ndrop tcp from any to any:100-8000\n{rules}");
    let options = Options {
        budget: 2_000,
        ..Options::default()
    };
    let report = compare(&policy(&old), &policy(&new), options, &mut Silent);
    assert!(report.differs() && !report.is_complete());
    let scope = &report.scopes[0];
    assert!(
        scope
            .edits
            .iter()
            .all(|edit| edit.impact == Impact::Unknown),
        "{scope:#?}"
    );
    // With room it is told.
    let report = compare(
        &policy(&old),
        &policy(&new),
        Options::default(),
        &mut Silent,
    );
    assert!(report.is_complete() && !report.scopes[0].changes.is_empty());
}

#[test]
fn a_rule_that_moves_keeps_its_counter() {
    let ssh = "ssh: allow tcp from @admins to any:22\n";
    let unlabelled = ssh.replace("ssh: ", "");
    let old = HOST.replace(ssh, &unlabelled);
    let new = format!("{}{unlabelled}", HOST.replace(ssh, ""));
    let scope = between(&old, &new);
    assert!(
        scope.changes.is_empty() && scope.moved.is_empty(),
        "{scope:#?}"
    );
    let reason = "it decides the same from its new place";
    let effects: Vec<&Impact> = scope.edits.iter().map(|edit| &edit.impact).collect();
    assert_eq!(effects, [&Impact::None(Some(reason.into()))]);
}

#[test]
fn what_was_found_before_the_budget_ended_is_told() {
    let rules: String = (0..200)
        .map(|number| {
            format!(
                "allow tcp from 10.{number}.0.0/16:{number} to 172.16.{number}.0/24:{number}-9000\n"
            )
        })
        .collect();
    let old = format!("default in drop\n{rules}allow udp to 192.0.2.1:53\n");
    let wide = "drop tcp from any to any:100-8000\n";
    let new = format!("default in drop\n{wide}{rules}allow udp to 192.0.2.2:53\n");
    let options = Options {
        budget: 6_000,
        ..Options::default()
    };
    let report = compare(&policy(&old), &policy(&new), options, &mut Silent);
    assert!(report.differs() && !report.is_complete());
    let told: Vec<String> = report.scopes[0].changes.iter().map(line).collect();
    assert!(told.iter().any(|line| line.contains("udp")), "{told:#?}");
    assert!(told.iter().all(|line| !line.contains("tcp")), "{told:#?}");
}

/// Bounds of nodes and of steps, from so many on.
fn bounds(first: usize, count: usize) -> impl Iterator<Item = Options> {
    let bounds = std::iter::successors(Some(first), |bound| Some(bound + bound / 8));
    bounds.take(count).flat_map(|bound| {
        let nodes = Options {
            budget: bound,
            ..Options::default()
        };
        let steps = Options {
            work: bound as u64 * 4,
            ..Options::default()
        };
        [nodes, steps]
    })
}

#[test]
fn what_lies_in_a_rule_that_grew_past_the_budget_is_not_told_to_be_without_effect() {
    let rules: String = (0..200)
        .map(|number| {
            format!(
                "allow tcp from 10.{number}.0.0/16:{number} to 172.16.{number}.0/24:{number}-9000\n"
            )
        })
        .collect();
    let narrow = "odd: drop tcp from 203.0.113.7 to any:200\n";
    let old = format!("default in drop\n{narrow}{rules}");
    let wide = "allow tcp from any to any:100-8000\n";
    let new = format!("default in drop\n{wide}{rules}");
    let (old, new) = (policy(&old), policy(&new));
    let mut unknown = 0;
    for options in bounds(1_000, 30) {
        let report = compare(&old, &new, options, &mut Silent);
        let edits = &report.scopes[0].edits;
        let of = |effect: fn(&Impact) -> bool| edits.iter().any(|edit| effect(&edit.impact));
        unknown += usize::from(of(|effect| *effect == Impact::Unknown));
        let none = of(|effect| matches!(effect, Impact::None(_)));
        assert!(!none, "{options:?}: {edits:#?}");
    }
    assert!(unknown > 0);
}

/// Whatever the budget: where it is not known what a rule does, it is not known what is left to the default, and what is not
/// told of a rule that changes something is said to be unknown.
#[test]
fn a_changed_default_is_not_told_beside_what_grew_past_the_budget() {
    let rules: String = (0..60)
        .map(|number| {
            format!(
                "drop tcp from 10.{number}.0.0/16:{number} to 172.16.{number}.0/24:{number}-9000\n"
            )
        })
        .collect();
    let old = policy("default in drop\n");
    let wide = "reject tcp from any to any:100-8000\n";
    let new = policy(&format!("default in allow\n{rules}{wide}"));
    let mut seen = [0, 0];
    for options in bounds(100, 60) {
        let report = compare(&old, &new, options, &mut Silent);
        let scope = &report.scopes[0];
        let everything = "everything that no rule decides";
        let told = scope
            .changes
            .iter()
            .any(|change| change.region.within == everything);
        let unknown = scope
            .edits
            .iter()
            .any(|edit| edit.impact == Impact::Unknown);
        assert!(!(told && unknown), "{options:?}: {scope:#?}");
        assert!(report.differs(), "{options:?}");
        assert!(!(unknown && report.is_complete()), "{options:?}");
        let of_wide = |edit: &&Edit| {
            edit.new
                .as_ref()
                .is_some_and(|line| line.location.text.contains("reject"))
        };
        let edit = scope.edits.iter().find(of_wide).unwrap();
        assert!(
            matches!(edit.impact, Impact::Some | Impact::Unknown),
            "{options:?}: {edit:?}"
        );
        seen[usize::from(unknown)] += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

/// What a block says of live sets, whose policy around is `outer`.
fn of_block(old: [&str; 2], new: [&str; 2]) -> Vec<Data> {
    let text = |[outer, inner]: [&str; 2]| {
        policy(&format!(
            "interfaces lo\n{outer}\ndefault in allow\nfor netns \"blue\" {{ interfaces v0\ndefault in allow\n{inner} }}\n"
        ))
    };
    let report = compare(&text(old), &text(new), Options::default(), &mut Silent);
    report.scopes[1].data.clone()
}

#[test]
fn a_live_set_of_the_policy_around_stays_when_a_block_begins_or_ceases_to_use_it() {
    let (banned, uses) = ("live set banned max 10", "drop from @banned");
    let own = format!("{banned}\n{uses}");
    let one = |old, new| match of_block(old, new).as_slice() {
        [data] => data.clone(),
        other => panic!("{other:?}"),
    };
    let begins = one([banned, ""], [banned, uses]);
    assert_eq!((begins.only, begins.stays), (Some(Only::New), true));
    let ceases = one([banned, uses], [banned, ""]);
    assert_eq!((ceases.only, ceases.stays), (Some(Only::Old), true));
    // One that the policy around does not keep is new, or gone.
    let comes = one(["", ""], [banned, uses]);
    assert_eq!((comes.only, comes.stays), (Some(Only::New), false));
    let goes = one([banned, uses], ["", ""]);
    assert_eq!((goes.only, goes.stays), (Some(Only::Old), false));
    // Another set by the name.
    let theirs = one(["", &own], [banned, uses]);
    assert_eq!(theirs.settings, ["that of the policy around from now on"]);
    let own = one([banned, uses], ["", &own]);
    assert_eq!(own.settings, ["the block's own from now on"]);
    assert_eq!(of_block([banned, uses], [banned, uses]), []);
}

#[test]
fn a_live_set_of_the_policy_around_stays_when_a_whole_block_comes_or_goes() {
    let around = "interfaces lo\nlive set banned max 10\ndefault in allow\n";
    let block = "for netns \"blue\" { interfaces v0\ndefault in allow\ndrop from @banned }\n";
    let [without, with] = [around.to_owned(), format!("{around}{block}")].map(|text| policy(&text));
    for policies in [[&without, &with], [&with, &without]] {
        let report = compare(policies[0], policies[1], Options::default(), &mut Silent);
        let [data] = report.scopes[1].data.as_slice() else {
            panic!("{report:#?}")
        };
        assert!(data.stays, "{data:?}");
    }
}
