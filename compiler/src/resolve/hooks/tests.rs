//! Every row of the table of `docs/placement.md#what-each-hook-can-do`: a rule that works, or an error with the reason.

use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::parse;
use sockc_grammar::source::SourceMap;

use crate::policy::Policy;
use crate::protocol::IpProtocol;
use crate::tests::resolve;

/// What the rules of the table refer to.
const FRAME: &str = "\
default in drop
default out drop
default send allow
default receive allow
set near = { 10.0.0.0/8, 2001:db8::/32 }
socket proxy = tcp listen 127.0.0.1:1234
group pods = cgroup \"/pods\"
";

/// The columns: the direction, and what `at` says.
const HOOKS: [(&str, &str); 5] = [
    ("in", "at xdp"),
    ("in", "at tc"),
    ("in", "at sk_lookup"),
    ("out", "at tc"),
    ("send", "at sk_msg"),
];

/// Nothing is wrong.
const Y: &str = "";

/// A rule with `@` where the direction stands, and the code at each hook.
#[rustfmt::skip]
const TABLE: &[(&str, [&str; 5])] = &[
    ("count @",                                             [Y, Y, Y, Y, Y]),
    ("count @ tcp from @near to 10.0.0.0/8:80",             [Y, Y, Y, Y, Y]),
    ("count @ udp to any:53",                               [Y, Y, Y, Y, "E0307"]),
    ("count @ icmp echo-request",                           [Y, Y, "E0304", Y, "E0307"]),
    ("count @ if fragment",                                 [Y, Y, "E0304", Y, "E0309"]),
    ("count @ if tcp flags syn no ack",                     [Y, Y, "E0304", Y, "E0309"]),
    ("count @ if length > 468",                             [Y, Y, "E0304", Y, "E0309"]),
    ("count @ if ttl < 2",                                  [Y, Y, "E0304", Y, "E0309"]),
    ("count @ if dscp ef",                                  [Y, Y, "E0304", Y, "E0309"]),
    ("count @ if vlan 12",                                  [Y, Y, "E0304", Y, "E0309"]),
    ("count @ if mark 7",                                   ["E0304", Y, "E0304", Y, "E0309"]),
    ("count @ tcp if socket exists",                        [Y, Y, "E0304", Y, "E0309"]),
    ("count @ tcp if no socket listening in netns \"blue\"",   [Y, Y, "E0304", Y, "E0309"]),
    ("count @ tcp if sock proxy absent",                    [Y, Y, Y, "E0330", "E0309"]),
    ("count @ if any of { dscp 0, no ttl = 3 }",            [Y, Y, "E0304", Y, "E0309"]),
    ("count @ above 10 packets/second",                     [Y, Y, "E0304", Y, Y]),
    ("count @ above 10 connections/second",                 [Y, Y, "E0304", Y, "E0324"]),
    ("drop @ above 10 packets/second",                      [Y, Y, "E0304", Y, "E0324"]),
    ("reject @ above 10 packets/second",                    [Y, Y, "E0304", "E0301", "E0324"]),
    ("audit drop @ above 10 packets/second",                [Y, Y, "E0304", Y, "E0324"]),
    ("count @ log max 5/second",                            [Y, Y, Y, Y, Y]),
    ("allow @",                                             [Y, Y, Y, Y, Y]),
    ("allow @ mark 7",                                      ["E0304", Y, "E0304", Y, "E0325"]),
    ("drop @ mark 7",                                       ["E0325", "E0325", "E0304 E0325", "E0325", "E0325"]),
    ("drop @",                                              [Y, Y, "E0304", Y, Y]),
    ("audit drop @",                                        [Y, Y, "E0304", Y, Y]),
    ("reject @",                                            [Y, Y, Y, "E0301", Y]),
    ("audit reject @",                                      [Y, Y, Y, "E0301", Y]),
    ("redirect @ to 10.0.0.0/8 to interface eth1",          [Y, Y, "E0304", Y, "E0301"]),
    ("redirect @ to 3.3.3.3:* to sock proxy",               ["E0304", Y, Y, "E0301", "E0301"]),
    ("redirect @ to 3.3.3.3:* to sock proxy if ttl < 2",    ["E0304", Y, "E0305", "E0301", "E0301"]),
    ("audit redirect @ to 3.3.3.3:* to sock proxy",         ["E0304", Y, Y, "E0301", "E0301"]),
    ("count @ from group pods",                             ["E0306", "E0306", "E0306", "E0306", Y]),
    ("shortcut @ tcp within group pods",                    ["E0301", "E0301", "E0301", "E0301", Y]),
];

fn resolved(text: &str) -> (Option<Policy>, Vec<Diagnostic>) {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text);
    let (file, mistakes) = parse(&sources, id);
    assert!(mistakes.is_empty(), "{text}: {mistakes:?}");
    resolve(file, &sources, "test")
}

/// The codes of the errors in a rule.
fn errors(rule: &str) -> Vec<Diagnostic> {
    let (policy, found) = resolved(&format!("{FRAME}{rule}\n"));
    let errors: Vec<Diagnostic> = found
        .into_iter()
        .filter(|found| found.severity == Severity::Error)
        .collect();
    assert_eq!(policy.is_some(), errors.is_empty(), "{rule}");
    errors
}

#[test]
fn every_construct_at_every_hook() {
    for (rule, codes) in TABLE {
        for ((direction, at), expected) in HOOKS.iter().zip(codes) {
            let rule = format!("{} {at}", rule.replacen('@', direction, 1));
            let errors = errors(&rule);
            let mut found: Vec<&str> = errors.iter().map(|error| error.code.0).collect();
            found.sort_unstable();
            assert_eq!(found.join(" "), *expected, "{rule}: {errors:#?}");
            assert!(
                errors
                    .iter()
                    .all(|error| error.help.is_some() && !error.primary.text.is_empty())
            );
        }
    }
}

#[test]
fn the_same_without_a_hook_that_is_named() {
    for (rule, code) in [
        ("count if mark 7 and vlan 3", Y),
        ("allow mark 7 if ttl < 3 up to 5 packets/second", Y),
        ("reject tcp to any:113", Y),
        ("redirect udp to interface eth1 above 5 packets/second", Y),
        ("redirect 3.3.3.3:* to sock proxy if sock proxy absent", Y),
        ("redirect 3.3.3.3:* to sock proxy if mark 7", "E0305"),
        (
            "redirect 3.3.3.3:* to sock proxy up to 5 packets/second",
            "E0324",
        ),
        (
            "audit redirect 3.3.3.3:* to sock proxy up to 5 packets/second",
            "E0324",
        ),
        ("reject out tcp to any:113", "E0301"),
        ("drop out tcp if sock proxy absent", "E0330"),
        ("drop send above 5 packets/second", "E0324"),
        ("allow send up to 5 bytes/second", Y),
        ("redirect receive tcp to interface eth1", "E0301"),
    ] {
        let errors = errors(rule);
        let found: Vec<&str> = errors.iter().map(|error| error.code.0).collect();
        assert_eq!(found.join(" "), code, "{rule}: {errors:#?}");
    }
}

#[test]
fn a_rule_on_receives_meets_the_hooks_of_its_protocols() {
    for (rule, code) in [
        ("drop receive above 5 packets/second", "E0324"),
        ("drop receive tcp above 5 packets/second", "E0324"),
        ("drop receive udp above 5 packets/second", Y),
        ("drop receive udp above 5 connections/second", "E0324"),
        ("drop receive above 5 packets/second at cgroup_skb", Y),
        ("drop receive tcp at cgroup_skb", "E0304"),
        ("drop receive tcp, udp at cgroup_skb", "E0304"),
        ("drop receive udp at sk_skb", "E0304"),
        ("drop receive udp at sk_msg", "E0304"),
        ("drop receive proto 17 at cgroup_skb", Y),
        ("drop receive proto 136", "E0307"),
        ("drop receive udp if ttl < 3", "E0309"),
        ("drop receive udp mark 7", "E0325"),
    ] {
        let errors = errors(rule);
        let found: Vec<&str> = errors.iter().map(|error| error.code.0).collect();
        assert_eq!(found.join(" "), code, "{rule}: {errors:#?}");
    }
    let protocols = |text: &str| {
        let (policy, found) = resolved(&format!("{FRAME}{text}\n"));
        let rules = policy.unwrap_or_else(|| panic!("{found:?}")).rules;
        let matches = rules.values().next().cloned().unwrap().matches;
        let named = matches.protocols.iter();
        named.map(|one| one.number).collect::<Vec<_>>()
    };
    assert_eq!(protocols("count receive"), []);
    assert_eq!(protocols("count receive at cgroup_skb"), [IpProtocol::UDP]);
    assert_eq!(protocols("count receive at sk_skb"), [IpProtocol::TCP]);
    assert_eq!(protocols("count send at sk_msg"), []);
}

#[test]
fn what_is_audited_counts_where_it_would_run() {
    use crate::hook::{Hook, Verb};
    use crate::policy::{Action, Side};
    let rule = |text: &str| {
        let (policy, found) = resolved(&format!("{FRAME}{text}\n"));
        policy
            .unwrap_or_else(|| panic!("{found:?}"))
            .rules
            .values()
            .next()
            .cloned()
            .unwrap()
    };
    let dropped = rule("audit drop tcp to any:23");
    assert_eq!(
        (dropped.action, dropped.audit),
        (Action::Count, Some(Verb::Drop))
    );
    assert_eq!(dropped.at, None);
    let redirected = rule("audit redirect 3.3.3.3:* to sock proxy");
    assert_eq!(
        (redirected.action, redirected.at),
        (Action::Count, Some(Hook::SkLookup))
    );
    assert_eq!(redirected.matches.protocols[0].number, IpProtocol::TCP);
    let shortcut = rule("audit shortcut within group pods");
    assert_eq!(shortcut.audit, Some(Verb::Shortcut));
    assert!(matches!(shortcut.matches.from, Some(Side::Group(_))));
    // What only counts decides nothing, so that no default is missing.
    let (policy, found) = resolved("audit drop tcp to any:23 audit reject out tcp at tc");
    assert!(policy.is_none() && found.len() == 1, "{found:?}");
    let (policy, found) = resolved("audit drop tcp to any:23");
    assert!(policy.is_some() && found.is_empty(), "{found:?}");
}

#[test]
fn rates_marks_and_logs_as_they_are_kept() {
    use crate::policy::{Log, Per, Rate, RateUnit};
    let rule = |text: &str| {
        let (policy, found) = resolved(&format!("{FRAME}{text}\n"));
        let rules = policy.unwrap_or_else(|| panic!("{found:?}")).rules;
        rules.values().next().cloned().unwrap()
    };
    let rate = |text: &str| rule(&format!("count {text}")).rate.unwrap();
    let plain = Rate {
        above: true,
        count: 20,
        period: 60,
        unit: RateUnit::Connections,
        per: None,
        burst: 1,
    };
    assert_eq!(rate("above 20 connections/minute"), plain);
    let seconds = rate("above 100 packets/minute");
    assert_eq!(seconds.burst, 2, "one second's worth, rounded up");
    assert_eq!(rate("up to 1000 packets/second").burst, 1000);
    assert_eq!(rate("up to 1000 packets/second burst 5").burst, 5);
    let per = |destination, v4, v6| {
        Some(Per {
            destination,
            v4,
            v6,
        })
    };
    let of = |text: &str| rate(&format!("above 5 packets/second {text}")).per;
    assert_eq!(of("per source"), per(false, 32, 64));
    assert_eq!(of("per destination/24"), per(true, 24, 64));
    assert_eq!(of("per source/0/128"), per(false, 0, 128));
    let log = rule("count log \"x\"").log.unwrap();
    let limited = Log {
        text: "x".to_owned(),
        sample: None,
        max: Some((10, 1)),
    };
    assert_eq!(log, limited);
    let sampled = rule("count log sample 1/1000").log.unwrap();
    assert_eq!((sampled.sample, sampled.max), (Some((1, 1000)), None));
    let minute = rule("count log max 5/minute").log.unwrap();
    assert_eq!(minute.max, Some((5, 60)));
    let noted = rule("allow mark 0x1_0000 note \"why\"");
    assert_eq!(
        (noted.mark, noted.note.as_deref()),
        (Some(0x1_0000), Some("why"))
    );
}
