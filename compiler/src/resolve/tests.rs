//! Policies as text, and what is made of them.

use crate::protocol::IpProtocol;
use std::path::Path;

use super::*;
use crate::files::{Files, Texts};
use crate::hook::Hook;
use crate::observer::Observer;
use crate::policy::{Action, Condition, Family, Rule, Side, SocketState};
use crate::reading::read;
use crate::testing::{Features, Options, random_policy};
use crate::values::codes as values;

/// A text through parser and resolver, syntax errors included.
fn resolved(text: &str) -> (Option<Policy>, Vec<Diagnostic>, SourceMap) {
    resolved_beside("test.sk", text, &mut Texts::default())
}

/// The same for a text with files around it.
fn resolved_beside(
    name: &str,
    text: &str,
    files: &mut dyn Files,
) -> (Option<Policy>, Vec<Diagnostic>, SourceMap) {
    let mut sources = SourceMap::default();
    let id = sources.add(name, text);
    let (reading, mut diagnostics) = read(&mut sources, id, files);
    let (policy, found) = resolve_reading(&reading, &sources, "test");
    diagnostics.extend(found);
    let sound = diagnostics
        .iter()
        .all(|one| one.severity != Severity::Error);
    (policy.filter(|_| sound), diagnostics, sources)
}

/// The files of this repository.
struct Repository;

impl Observer for Repository {}

impl Files for Repository {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| error.to_string())
    }
}

/// What is wrong with a text of which something is not seen.
fn incomplete(sources: &mut SourceMap, id: sockc_grammar::source::SourceId) -> Vec<Diagnostic> {
    let (mut reading, _) = read(sources, id, &mut Texts::default());
    reading.whole = false;
    resolve_reading(&reading, sources, "").1
}

/// The policy of a text that is right.
fn policy(text: &str) -> Policy {
    let (policy, diagnostics, _) = resolved(text);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    policy.unwrap()
}

/// The only rule of a text.
fn rule(text: &str) -> Rule {
    let policy = policy(text);
    assert_eq!(policy.rules.len(), 1);
    policy.rules.values().next().unwrap().clone()
}

/// The only diagnostic of a text.
fn complaint(text: &str) -> Diagnostic {
    let (_, mut diagnostics, _) = resolved(text);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    diagnostics.remove(0)
}

mod structure;

/// What one kind of packets can be is enough, and what none can be is told.
#[test]
fn a_rule_can_match_if_one_kind_of_packets_can() {
    for (rule, can) in [
        ("drop udp to any:53 if fragment", true),
        ("drop tcp to any:53 if length < 40 and fragment", false),
        ("drop tcp if length < 30 and fragment", true),
        ("drop tcp if length < 30 and socket exists", false),
        ("drop to not any:80", true),
        ("drop to not any:*", false),
        ("drop to not 0.0.0.0/0:80, 0.0.0.0/0:443", true),
    ] {
        let (_, diagnostics, _) = resolved(&format!("default in allow\n{rule}\n"));
        let codes: Vec<&str> = diagnostics.iter().map(|one| one.code.0).collect();
        let wanted: &[&str] = if can { &[] } else { &["W0502"] };
        assert_eq!(codes, wanted, "{rule}");
    }
}

#[test]
fn the_two_sentences() {
    let policy = policy(
        "default in drop\n\
         socket proxy = tcp listen 127.0.0.1:1234, tcp listen [::1]:1234 if absent drop\n\
         allow tcp to 1.1.1.0/24:53 if socket exists\n\
         redirect 3.3.3.3:* to sock proxy\n",
    );
    assert_eq!(policy.name, "test");
    let rules: Vec<&Rule> = policy.rules.values().collect();
    assert_eq!(rules[0].action, Action::Allow);
    assert_eq!(rules[0].direction, Direction::In);
    assert_eq!(
        rules[0].matches.conditions,
        [Condition::Socket {
            test: SocketState::Exists,
            netns: None
        }]
    );
    let Some(Side::Endpoints {
        negated: false,
        endpoints,
    }) = &rules[0].matches.to
    else {
        panic!("{:?}", rules[0].matches.to);
    };
    let addresses = endpoints[0].addresses.ranges().unwrap();
    assert_eq!(addresses.v4.ranges(), [(0x0101_0100, 0x0101_01ff)]);
    assert!(addresses.v6.is_empty());
    assert_eq!(endpoints[0].ports.as_ref().unwrap().ranges(), [(53, 53)]);
    // The protocols are those of the socket.
    let numbers: Vec<u8> = rules[1]
        .matches
        .protocols
        .iter()
        .map(|one| one.number.0)
        .collect();
    assert_eq!(numbers, [6]);
    assert!(matches!(rules[1].action, Action::Redirect(_)));
    let socket = policy.sockets.values().next().unwrap();
    assert!(socket.drop_if_absent && socket.origin.listen().unwrap().len() == 2);
}

#[test]
fn a_rule_keeps_its_place_and_its_text_on_one_line() {
    let rule = rule("default in drop\n\n  web: allow tcp # the shop\n    to any:80 note \"x\"\n");
    assert_eq!((rule.place.line, rule.place.column), (3, 3));
    assert_eq!(&*rule.place.text, "web: allow tcp to any:80 note \"x\"");
    assert_eq!(rule.label.as_deref(), Some("web"));
}

#[test]
fn sets_hold_both_families_and_their_arithmetic_goes_from_the_left() {
    let rule = rule(
        "default in drop\n\
         set rest = @lab - { 10.0.0.0/25, 2001:db8::/33 } + { 10.0.0.0 }\n\
         set lab = { 10.0.0.0/24, 2001:db8::/32 }\n\
         allow from @rest\n",
    );
    let Some(Side::Endpoints { endpoints, .. }) = rule.matches.from else {
        panic!("no endpoints");
    };
    let set = endpoints[0].addresses.ranges().unwrap();
    assert_eq!(
        set.v4.ranges(),
        [(0x0a00_0000, 0x0a00_0000), (0x0a00_0080, 0x0a00_00ff)]
    );
    assert_eq!(set.v6.ranges()[0].0, 0x2001_0db8_8000 << 80);
    assert_eq!(endpoints[0].ports, None);
}

#[test]
fn a_long_chain_of_sets_is_no_danger() {
    let mut text = String::from("set s0 = { 10.0.0.1 }\n");
    for number in 1..10_000 {
        text += &format!("set s{number} = @s{}\n", number - 1);
    }
    let backwards: String = text.lines().rev().map(|line| format!("{line}\n")).collect();
    assert!(resolved(&text).0.is_some());
    assert!(resolved(&backwards).0.is_some());
}

#[test]
fn directions_hooks_and_families() {
    let hook = |text: &str| rule(text).at;
    assert_eq!(hook("default in drop allow tcp at tc"), Some(Hook::TcIn));
    assert_eq!(
        hook("default out drop allow out tcp at tc"),
        Some(Hook::TcOut)
    );
    assert_eq!(hook("count tcp at sk_lookup"), Some(Hook::SkLookup));
    let shortcut = rule("group g = cgroup \"/g/\" shortcut tcp within group g at sk_msg");
    assert_eq!(shortcut.direction, Direction::Send);
    let icmp = rule("default in drop allow icmp6 neighbor-solicit");
    let protocol = &icmp.matches.protocols[0];
    assert_eq!(
        (protocol.family, protocol.number),
        (Some(Family::V6), IpProtocol::ICMP6)
    );
    assert_eq!(protocol.icmp[0].kind, 135);
}

#[test]
fn a_policy_of_redirects_and_counts_needs_no_default() {
    let policy = policy(
        "socket s = udp listen 127.0.0.1:53\n\
         group g = cgroup \"/g\"\n\
         count tcp\n\
         shortcut tcp within group g\n\
         redirect 192.0.2.1:53 to sock s\n",
    );
    assert_eq!(policy.rules.len(), 3);
    assert!(policy.defaults.is_empty());
}

#[test]
fn messages_say_what_to_write() {
    let table = [
        (
            "default in drop allow from 10.0.0.1/8",
            "write `10.0.0.0/8` for the network, or `10.0.0.1` for the one address",
        ),
        (
            "default in drop allow to any:8099-8000",
            "write `8000-8099`",
        ),
        (
            "default in drop allow tcp to any:htps",
            "write `https`, or the port's number",
        ),
        (
            "default in drop allow icmp6 echo-requst",
            "write `echo-request`, or the type's number",
        ),
        (
            "default in drop allow icmp packet-too-big",
            "`packet-too-big` is a type of `icmp6`: write `icmp6 packet-too-big`",
        ),
        (
            "set office = { 10.0.0.1 } default in drop allow from @ofice",
            "write `@office`, or declare set `ofice`",
        ),
        (
            "allow tcp to any:22",
            "write `default in drop` or `default in allow`",
        ),
        (
            "default in drop drop tcp at sk_lookup",
            "write `reject`, or leave `at sk_lookup` out",
        ),
    ];
    for (text, help) in table {
        assert_eq!(complaint(text).help.as_deref(), Some(help), "{text}");
    }
}

#[test]
fn one_mistake_gives_one_message() {
    for text in [
        // The set is refused once, its uses are silent.
        "live set banned default in drop drop from @banned drop to @banned",
        "set lab = { 10.0.0.1/8 } set rest = @lab + { 10.0.0.1 } default in drop allow from @rest",
        // What is included may declare what is missing.
        "include \"common.sk\" allow from @office",
        "socket s = systemd \"s\" redirect tcp to sock s",
        "group g = cgroup \"g\" default send allow drop send tcp from group g",
        "set a = @b set b = @a default in drop allow from @a",
    ] {
        complaint(text);
    }
}

#[test]
fn after_many_errors_the_others_are_only_counted() {
    let names: String = (0..2_000)
        .map(|number| format!("set a{number}{} = {{ 10.0.0.1 }}\n", "x".repeat(8)))
        .collect();
    let uses: String = (0..2_000)
        .map(|number| format!("allow from @b{number}{}\n", "x".repeat(8)))
        .collect();
    let (policy, diagnostics, _) = resolved(&format!("default in drop\n{names}{uses}"));
    assert!(policy.is_none());
    assert_eq!(diagnostics.len(), 257);
    assert_eq!(
        diagnostics.last().unwrap().message,
        "256 errors: 1744 more are left out"
    );
}

#[test]
fn a_mapped_listening_address_is_that_of_ipv4() {
    let sockets =
        policy("socket p = tcp listen [::ffff:127.0.0.1]:1234, tcp listen [::1]:1234").sockets;
    let families: Vec<_> = sockets
        .values()
        .flat_map(|socket| socket.origin.listen().unwrap())
        .map(|listen| Family::of(listen.address))
        .collect();
    assert_eq!(families, [Family::V4, Family::V6]);
    let twice = "socket p = tcp listen 127.0.0.1:1, tcp listen [::ffff:127.0.0.1]:1";
    let found = complaint(twice);
    assert_eq!(found.code, codes::LISTEN_TWICE);
    assert!(found.message.ends_with("IPv4"), "{}", found.message);
}

#[test]
fn a_mapped_address_is_warned_of_unless_the_whole_block_is_named() {
    for (address, help) in [
        ("::ffff:10.0.0.9", "write `10.0.0.9`"),
        ("::ffff:10.0.0.9/128", "write `10.0.0.9`"),
        ("::ffff:10.0.0.0/104", "write `10.0.0.0/8`"),
        (
            "::ffff:10.0.0.1-::ffff:10.0.0.9",
            "write `10.0.0.1-10.0.0.9`",
        ),
    ] {
        for text in [
            format!("default in drop allow from {address}"),
            format!("set s = {{ {address} }}"),
        ] {
            let found = complaint(&text);
            assert_eq!(found.code, values::MATCHES_NOTHING, "{text}");
            assert_eq!(found.help.as_deref(), Some(help), "{text}");
        }
    }
    for text in [
        "live set s max 9 = { ::ffff:10.0.0.0/104 }",
        "socket a = registered live map m max 9 = { [::ffff:10.0.0.0/104]:80 -> sock a }",
    ] {
        let found = complaint(text);
        assert_eq!(found.code, values::MATCHES_NOTHING, "{text}");
        assert_eq!(found.help.as_deref(), Some("write `10.0.0.0/8`"), "{text}");
    }
    // Packets that carry such addresses are forged, and this is how they are dropped.
    policy("default in allow drop from ::ffff:0:0/96, ::/80, ::-::ffff:ffff:ffff");
}

#[test]
fn a_default_of_no_group_is_warned_of_unless_the_group_may_be_unseen() {
    let text = "default send drop";
    assert_eq!(complaint(text).code, values::MATCHES_NOTHING);
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", format!("{text}\nallow send tcp"));
    assert_eq!(incomplete(&mut sources, id), []);
}

#[test]
fn an_incomplete_file_misses_nothing() {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", "allow from @gone to 10.0.0.1/8");
    let codes: Vec<_> = incomplete(&mut sources, id)
        .iter()
        .map(|found| found.code)
        .collect();
    assert_eq!(codes, [values::HOST_BITS]);
}

#[test]
fn random_policies_are_right_and_most_of_their_rules_can_match() {
    let mut warnings = 0;
    for seed in 0..300 {
        let text = random_policy(seed, Options::everything(30));
        let (policy, diagnostics, _) = resolved(&text);
        let errors: Vec<_> = diagnostics
            .iter()
            .filter(|found| found.severity == Severity::Error)
            .collect();
        assert!(errors.is_empty(), "seed {seed}: {errors:?}\n{text}");
        assert_eq!(policy.unwrap().rules.len(), 30);
        let idle = |found: &&Diagnostic| found.code == values::MATCHES_NOTHING;
        warnings += diagnostics.iter().filter(idle).count();
    }
    assert!(warnings < 300 * 30 / 8, "{warnings} warnings");
}

#[test]
fn random_policies_of_the_whole_language_are_right() {
    let features = Features {
        zones: false,
        ..Features::WHOLE
    };
    for seed in 0..300 {
        let text = random_policy(
            seed,
            Options {
                features,
                ..Options::everything(30)
            },
        );
        let (policy, diagnostics, _) = resolved(&text);
        let errors: Vec<_> = diagnostics
            .iter()
            .filter(|found| found.severity == Severity::Error)
            .collect();
        assert!(errors.is_empty(), "seed {seed}: {errors:?}\n{text}");
        // A redirect by a map is several rules.
        assert!(policy.unwrap().rules.len() >= 30);
    }
}

#[test]
fn example_policies_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "sk") {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.display().to_string();
            let (policy, found, _) = resolved_beside(&name, &text, &mut Repository);
            assert!(found.is_empty(), "{name}: {found:?}");
            assert!(policy.is_some(), "{name}");
        }
    }
}
