//! Each lint shows where it should, and not next to it; and what is reported holds for packets at the edges.

mod intercepts;
mod large;
mod leaving;
mod overlap;

use cranelift_entity::EntityRef;
use sockc_grammar::diagnostic::{Code, Diagnostic};
use sockc_grammar::source::{SourceId, SourceMap};

use super::{CODES, Care, searched, seen};
use crate::decide::decide;
use crate::event::{Decider, Event, Header, Parsed, SocketAnswer, World};
use crate::files::Texts;
use crate::pipeline;
use crate::policy::{Action, Direction, Family, NetnsId, Policy, RuleId, SocketId};
use crate::protocol::IpProtocol;
use crate::testing::Rng;
use crate::testing::edge_headers;
use crate::testing::{Options, random_policy};

/// Code and line of every warning of the lints, with the lines of the other places.
fn found(text: &str) -> Vec<(&'static str, u32, Vec<u32>)> {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text);
    let mut files = Texts::default().with("list.txt", "10.0.0.1\n10.0.0.3\n10.0.0.5\n");
    let outcome = pipeline::check(&mut sources, id, "test", &mut files);
    assert!(!outcome.failed(), "{:#?}", outcome.diagnostics);
    let line = |span| sources.place(span).0;
    let lints = outcome
        .diagnostics
        .iter()
        .filter(|one| CODES.iter().any(|(code, _)| *code == one.code));
    lints
        .map(|one| {
            assert!(one.help.is_some());
            let others = one.secondary.iter().map(|other| line(other.span));
            (one.code.0, line(one.primary.span), others.collect())
        })
        .collect()
}

/// What to do about each warning of this code.
fn helps(code: &str, text: &str) -> Vec<String> {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text);
    let outcome = pipeline::check(&mut sources, id, "test", &mut Texts::default());
    let found = outcome.diagnostics.into_iter();
    let found = found.filter(|one| one.code.0 == code);
    found.filter_map(|one| one.help).collect()
}

/// The lines with a warning of this code.
fn lines(code: &str, text: &str) -> Vec<u32> {
    let found = found(text).into_iter();
    found
        .filter(|(of, ..)| *of == code)
        .map(|(_, line, _)| line)
        .collect()
}

#[test]
fn a_rule_that_one_rule_covers_is_never_reached() {
    let text = "default in allow\n\
        drop tcp from 10.0.0.0/8\n\
        one: allow tcp from 10.1.0.0/16 to any:22\n\
        two: count tcp from 10.1.0.0/16 if tcp flags syn\n\
        three: allow udp from 10.1.0.0/16 to any:22\n\
        four: allow tcp from 10.0.0.0/7 to any:22\n\
        five: allow tcp from 2001:db8::/32 to any:22\n";
    assert_eq!(found(text), [("W0601", 3, vec![2]), ("W0601", 4, vec![2])]);
}

/// What a rule does not hold it does not cover: another code, another interface.
#[test]
fn a_code_or_an_interface_that_is_not_held_is_reached() {
    let reached = "default in allow\n\
        zone wan = eth0\n\
        a: drop icmp 3/1, icmp 8\n\
        b: drop icmp 3/2\n\
        c: drop tcp to any:22 on zone wan\n\
        d: drop tcp to any:22\n\
        e: drop udp to any:5\n\
        f: drop udp to any:6\n";
    assert_eq!(lines("W0601", reached), [0u32; 0]);
    let one_of_two = "default in allow\n\
        drop icmp 3/1\n\
        drop icmp 3/1, icmp 3/2\n";
    assert_eq!(lines("W0601", one_of_two), [0u32; 0]);
    // Nor does it leave without effect what it does not hold, or holds only up to a rate.
    let needed = "default in drop\n\
        zone wan = eth0\n\
        allow icmp 3/2\n\
        allow icmp 3/1, icmp 8\n\
        allow tcp to any:22\n\
        allow tcp to any:20-30 on zone wan\n\
        allow udp to any:53\n\
        allow udp to any:50-60 up to 10 packets/second\n";
    assert_eq!(lines("W0602", needed), [0u32; 0]);
    let idle = "default in drop\n\
        zone wan = eth0\n\
        allow icmp 3/2\n\
        allow icmp 3, icmp 8\n\
        allow tcp to any:22 on zone wan\n\
        allow tcp to any:20-30\n";
    assert_eq!(lines("W0602", idle), [3, 5]);
    let covered = "default in allow\n\
        zone wan = eth0\n\
        a: drop icmp 3\n\
        b: drop icmp 3/2\n\
        c: drop tcp to any:22\n\
        d: drop tcp to any:22 on zone wan\n";
    assert_eq!(lines("W0601", covered), [4, 6]);
}

/// Root alone may bind ports below 1024, as the first socket of the listening program and as what a redirect takes.
#[test]
fn anybodys_socket_begins_at_port_1024() {
    for (listens, takes, told) in [
        (1024, 1023, true),
        (1023, 1023, false),
        (1024, 1024, false),
        (65_535, 1, true),
    ] {
        for owner in ["", " owner uid 33"] {
            let text = format!(
                "default in allow\n\
                 socket s = tcp listen 127.0.0.1:{listens}{owner}\n\
                 redirect tcp to 192.0.2.1:{takes} to sock s\n"
            );
            let found = lines("W0617", &text);
            let wanted: &[u32] = if told && owner.is_empty() { &[3] } else { &[] };
            assert_eq!(found, wanted, "{text}");
        }
    }
}

#[test]
fn a_block_of_a_namespace_is_warned_of_once() {
    let text = "default in allow\n\
        for netns \"blue\" {\n\
        interfaces eth1\n\
        default in drop\n\
        allow tcp to port 80\n\
        }\n";
    let all = found(text);
    assert_eq!(lines("W0603", text), [4], "{all:?}");
    // One for each family.
    assert_eq!(lines("W0604", text), [4, 4], "{all:?}");
}

#[test]
fn names_that_no_interface_can_have_are_warned_of() {
    let text = "interfaces eth0, \"wan port\", br-*, *, ???, \".*\"\n\
        zone lan = sixteen-letters1, sixteen-letters*, fifteen-letters\n\
        default in allow\n\
        drop tcp to port 23 on interface \"a/b\"\n\
        drop tcp to port 24 on zone lan\n";
    assert_eq!(lines("W0630", text), [1, 2, 4]);
}

#[test]
fn rules_cover_another_together() {
    let text = "default in drop\n\
        include <essentials>\n\
        allow tcp from 10.0.0.0/9\n\
        mid: drop tcp from 10.128.0.0/9 to port 0-1023\n\
        allow tcp from 10.128.0.0/9 to port 1024-65535\n\
        allow udp to any:53\n\
        whole: drop tcp from 10.0.0.0/8 to any:*\n\
        later: drop tcp from 10.0.0.0/8\n";
    // Later fragments have no ports.
    assert_eq!(found(text), [("W0601", 7, vec![3, 4, 5])]);
}

#[test]
fn many_covering_rules_are_counted() {
    let mut text = String::from("default in allow\n");
    for port in 0..5 {
        text += &format!("drop tcp to any:{port}\n");
    }
    text += "sum: drop tcp to any:0-4\n";
    assert_eq!(found(&text), [("W0601", 7, vec![2, 3, 4])]);
}

#[test]
fn included_rules_may_be_covered() {
    let text = "default in drop\n\
        drop icmp\n\
        drop icmp6\n\
        mine: allow if socket established\n\
        include <essentials>\n\
        second: drop icmp echo-reply\n";
    assert_eq!(lines("W0601", text), [6]);
}

#[test]
fn conditions_and_rates_let_packets_through() {
    let text = "default in allow\n\
        drop tcp to any:22 if tcp flags syn\n\
        drop tcp to any:22 above 5 packets/second\n\
        half: drop tcp to any:22 if socket listening\n\
        some: drop tcp to any:22\n\
        few: allow tcp to any:23 up to 5 packets/second\n\
        more: drop tcp to any:23\n";
    assert_eq!(found(text), []);
    let complement = "default in allow\n\
        drop tcp to any:22 if tcp flags syn\n\
        drop tcp to any:22 if no tcp flags syn\n\
        none: drop tcp to any:22\n";
    assert_eq!(found(complement), [("W0601", 4, vec![2, 3])]);
}

#[test]
fn a_redirect_after_a_drop_is_reached_over_lo() {
    let text = "default in allow\n\
        socket s = tcp listen 127.0.0.1:9\n\
        drop tcp to 192.0.2.1:80\n\
        a: redirect tcp to 192.0.2.1:80 to sock s\n\
        b: redirect tcp to 192.0.2.1:80 to sock s\n";
    assert_eq!(found(text), [("W0601", 5, vec![4])]);
}

#[test]
fn a_rule_that_matches_nothing_is_reported_once() {
    let text = "default in allow\n\
        drop from 10.0.0.0/8\n\
        drop tcp from 10.0.0.0/8 to 2001:db8::1\n";
    assert_eq!(found(text), []);
}

#[test]
fn rules_that_change_nothing() {
    let text = "default in drop\n\
        include <essentials>\n\
        drop tcp from 10.0.0.0/8 to any:22\n\
        allow tcp to any:80\n\
        allow tcp from 10.0.0.0/8 to any:80-81\n\
        drop from 10.0.0.0/8\n\
        allow udp to any:53\n\
        drop udp to any:53\n\
        drop udp to any:54\n\
        label: drop udp to any:55\n";
    assert_eq!(
        found(text),
        [
            ("W0601", 8, vec![7]),
            ("W0602", 3, vec![6]),
            ("W0602", 9, vec![1])
        ]
    );
}

#[test]
fn rules_that_change_something_stay() {
    let bogons = "default in drop\n\
        include <essentials>\n\
        drop from 10.0.0.0/8\n\
        allow tcp to any:80\n\
        allow tcp to any:443\n\
        drop tcp to any:444\n\
        count tcp to any:444-446\n\
        drop tcp to any:445 note \"why\"\n";
    assert_eq!(found(bogons), []);
    let logged = "default in drop log max 5/second\n\
        include <essentials>\n\
        allow tcp to any:80\n\
        drop tcp to any:444\n";
    assert_eq!(found(logged), []);
    let before_redirect = "default in allow\n\
        socket s = tcp listen 127.0.0.1:9\n\
        allow tcp to 192.0.2.1:80\n\
        redirect tcp to 192.0.2.1:80-81 to sock s\n";
    assert_eq!(found(before_redirect), []);
}

#[test]
fn what_ip_needs_is_asked_of_the_meaning() {
    let v4 = "default in drop\nallow tcp to 192.0.2.1:80\n";
    assert_eq!(found(v4), [("W0604", 1, vec![])]);
    let both = "default in reject\nallow tcp to any:80\n";
    assert_eq!(
        found(both),
        [
            ("W0603", 1, vec![]),
            ("W0604", 1, vec![]),
            ("W0604", 1, vec![])
        ]
    );
    for enough in [
        "default in drop\nallow tcp to any:80\nallow icmp, icmp6\n",
        "default in drop\nallow tcp to any:80\ninclude <essentials>\n",
        "default in drop\nallow from any\n",
        "default in drop\ndrop tcp to any:80\n",
        "default in allow\ndrop tcp to any:80\nallow udp\n",
        "default out drop\nallow out tcp to any:80\n",
    ] {
        let lacks = ["W0603", "W0604"].map(|code| lines(code, enough));
        assert!(lacks.iter().all(Vec::is_empty), "{enough}");
    }
    let established = "default in drop\nallow if socket established\n";
    assert_eq!(lines("W0603", established), [1]);
    let looped = "default in drop\nallow on interface lo\n";
    assert!(lines("W0603", looped).is_empty());
    let local = format!("{looped}allow tcp to [2001:db8::1]:80\n");
    assert_eq!(lines("W0603", &local), [1]);
    let others = "default in drop\nallow on interface l*\nallow tcp to [2001:db8::1]:80\n";
    assert!(lines("W0603", others).is_empty());
}

#[test]
fn udp_sockets_are_open_to_all() {
    let text = "default in drop\n\
        include <essentials>\n\
        a: allow udp if socket exists\n\
        b: allow udp to 192.0.2.1 if socket listening\n\
        c: allow tcp if socket exists\n\
        d: allow udp to any:53 if socket exists\n\
        e: allow udp from 10.0.0.0/8 if socket exists\n\
        f: allow udp if socket established\n\
        g: allow udp if no socket exists\n\
        h: allow udp to any:* if socket exists\n";
    assert_eq!(lines("W0605", text), [3, 4, 10]);
}

#[test]
fn every_udp_port_answers_from_one() {
    let text = "socket u = udp listen 127.0.0.1:9\n\
        socket b = udp listen 127.0.0.1:9, tcp listen 127.0.0.1:9\n\
        redirect udp to 192.0.2.1:* to sock u\n\
        redirect udp to 192.0.2.2:9 to sock u\n\
        redirect to 192.0.2.3:* to sock b\n";
    assert_eq!(lines("W0610", text), [3]);
}

#[test]
fn families_of_sockets() {
    let text = "socket s = tcp listen 127.0.0.1:9\n\
        socket r = registered\n\
        redirect tcp to 192.0.2.1:80 to sock s\n\
        redirect tcp to port 81 to sock s\n\
        redirect tcp to 192.0.2.1:82, [2001:db8::1]:82 to sock s\n\
        redirect tcp from 10.0.0.0/8 to port 83 to sock s\n\
        redirect tcp to port 84 to sock r\n";
    assert_eq!(lines("W0607", text), [4, 5]);
}

#[test]
fn literals_that_read_like_ports() {
    let text = "default in drop\n\
        include <essentials>\n\
        allow tcp to 2001:db8::1:80\n\
        allow tcp to [2001:db8::1:80]\n\
        allow tcp to [2001:db8::1]:80\n\
        allow tcp to 2001:db8::80, 2001:db8::2:53\n";
    assert_eq!(lines("W0606", text), [3, 6]);
}

#[test]
fn ports_beside_addresses() {
    let text = "default in drop\n\
        include <essentials>\n\
        allow tcp to 192.0.2.1, port 80\n\
        allow tcp to 192.0.2.1:80, port 80\n\
        allow tcp to 192.0.2.1, 192.0.2.2\n\
        allow tcp to port 80 from 192.0.2.1\n\
        allow tcp from port 1-1023, [2001:db8::1], @a to port 80\n\
        set a = { 192.0.2.7 }\n\
        drop tcp from not 192.0.2.1, port 80\n\
        expect allow tcp from any to 192.0.2.1, port 80\n";
    assert_eq!(lines("W0636", text), [3, 7, 10]);
}

#[test]
fn sets_that_start_nearly_full() {
    let text = "default in allow\n\
        live set a max 2 = { 10.0.0.1, 10.0.0.9 }\n\
        live set b max 3 = { 10.0.0.1, 10.0.0.9 }\n\
        set c = file \"list.txt\" max 3\n\
        set d = file \"list.txt\" max 4\n\
        drop from @a, @b, @c, @d\n";
    assert_eq!(lines("W0608", text), [4, 2]);
}

#[test]
fn names_that_nothing_uses() {
    let text = "default in allow\n\
        set a = { 10.0.0.1 }\n\
        set b = { @a }\n\
        set p = ports { 80 }\n\
        set q = ports { 81 }\n\
        socket s = registered\n\
        socket t = registered\n\
        group g = cgroup \"/g\"\n\
        drop tcp to port @p if sock s absent\n";
    assert_eq!(lines("W0609", text), [3, 5, 7, 8]);
    let sends = "default send allow\ngroup g = cgroup \"/g\"\ndrop send to 10.0.0.1\n";
    assert!(lines("W0609", sends).is_empty());
    // A live map may come to name every socket; one that is not live has all its entries.
    let live = "socket a = registered\nlive map m max 4\nredirect tcp by @m\n";
    assert!(lines("W0609", live).is_empty());
    let constant = "socket a = registered\nsocket b = registered\nmap m = { 10.0.0.1:80 -> sock b }\nredirect tcp by @m\n";
    assert_eq!(lines("W0609", constant), [1]);
}

/// Answers that differ by packet and by what is asked, the same each time.
struct Chance(u64);

impl Chance {
    fn draw(&self, salt: u64, bound: u64) -> u64 {
        Rng::new(self.0 ^ salt.wrapping_mul(0x9e37_79b9)).bits() % bound
    }
}

impl World for Chance {
    fn socket(&self, _: Direction, netns: Option<NetnsId>, _: &Header) -> SocketAnswer {
        let salt = netns.map_or(1, |netns| 100 + netns.as_u32());
        [
            SocketAnswer::None,
            SocketAnswer::Listening,
            SocketAnswer::Established,
        ][self.draw(salt.into(), 3) as usize]
    }

    fn present(&self, socket: SocketId, _: Family, _: IpProtocol) -> bool {
        self.draw(200 + socket.index() as u64, 2) == 0
    }

    fn conforms(&self, rule: RuleId, _: &Header) -> bool {
        self.draw(300 + rule.index() as u64, 2) == 0
    }
}

/// The policy without a rule.
fn without(policy: &Policy, left_out: RuleId) -> Policy {
    let mut rest = policy.clone();
    // It stays in its place and matches nothing, so that the others keep their numbers.
    rest.rules[left_out].matches.protocols.clear();
    rest.rules[left_out].matches.on = Some(Vec::new());
    rest
}

#[test]
fn what_is_decided_ahead_is_no_effect_of_a_rule() {
    let text = |first: &str| {
        format!(
            "default in drop\n{first}\n\
             drop tcp from 10.0.0.0/8 to any:22-23\n\
             allow tcp from 10.1.0.0/16 to any:20-22\n"
        )
    };
    // What the fourth line allows of the third one's packets, the second line allows.
    let ahead = text("allow tcp from 10.1.0.0/16 to any:22");
    assert_eq!(lines("W0602", &ahead), [3]);
    let near = text("allow tcp from 10.1.0.0/17 to any:22");
    assert!(lines("W0602", &near).is_empty());
    // The same for what the default does otherwise.
    let default = "default in allow\n\
        allow tcp from 10.0.0.0/8\n\
        drop tcp from 10.0.0.0/7 to any:22\n\
        allow tcp from 10.0.0.0/8 to any:80\n\
        drop tcp from 11.0.0.0/8\n";
    assert_eq!(lines("W0602", default), [3]);
}

#[test]
fn two_rules_that_take_each_others_place_are_not_both_left_out() {
    // Each is without effect as long as the other is there.
    let text = "default in drop\n\
        allow tcp from 10.0.0.0/8 to any:22\n\
        allow tcp from 10.0.0.0/8 to any:22-23\n\
        allow tcp to any:23\n";
    let policy = resolved(text);
    let own = policy.rules[RuleId::new(0)].place.span.source;
    let found = lint(&policy, own, Care::Thorough).into_iter();
    let help: Vec<_> = found
        .filter(|one| one.code == super::NO_EFFECT)
        .map(|one| one.help.unwrap().contains("check again"))
        .collect();
    assert_eq!(help, [true, true]);
}

/// What the lints say of a policy.
fn lint(policy: &Policy, own: SourceId, care: Care) -> Vec<Diagnostic> {
    [searched(policy, own, care), seen(policy)].concat()
}

/// The rule that a warning of this code is at.
fn reported(policy: &Policy, code: Code) -> Vec<RuleId> {
    let own = policy.rules[RuleId::new(0)].place.span.source;
    let found = lint(policy, own, Care::Thorough)
        .into_iter()
        .filter(|one| one.code == code);
    found
        .map(|one| {
            let at = |id: &RuleId| policy.rules[*id].place.span == one.primary.span;
            policy.rules.keys().find(at).unwrap()
        })
        .collect()
}

fn resolved(text: &str) -> Policy {
    let mut sources = SourceMap::default();
    let id = sources.add("random.sk", text);
    let (file, _) = sockc_grammar::parse(&sources, id);
    crate::tests::resolve(file, &sources, "random").0.unwrap()
}

#[test]
fn what_is_reported_holds_for_packets_at_the_edges() {
    let (mut unreachable, mut idle) = (0, 0);
    for seed in 0..150 {
        let text = random_policy(seed, Options::everything(24));
        let policy = resolved(&text);
        let never = reported(&policy, super::UNREACHABLE);
        let changes: Vec<(RuleId, Policy)> = reported(&policy, super::NO_EFFECT)
            .into_iter()
            .map(|id| (id, without(&policy, id)))
            .collect();
        unreachable += never.len();
        idle += changes.len();
        let mut rng = Rng::new(seed);
        for header in edge_headers(&policy, &mut rng, 400) {
            let world = Chance(rng.bits());
            for direction in [Direction::In, Direction::Out] {
                let event = Event::Packet {
                    direction,
                    class: Policy::plain_class(),
                    packet: Parsed::Ip(header.clone()),
                };
                let decision = decide(&policy, &event, &world);
                for id in &never {
                    assert_ne!(decision.decider, Decider::Rule(*id), "{header:?}\n{text}");
                    assert!(!decision.counted.contains(id), "{header:?}\n{text}");
                }
                for (id, rest) in &changes {
                    let other = decide(rest, &event, &world);
                    assert_eq!(other.verdict, decision.verdict, "{id} {header:?}\n{text}");
                    assert_eq!(other.counted, decision.counted, "{id} {header:?}\n{text}");
                }
            }
            let lookup = Event::Lookup {
                class: Policy::plain_class(),
                header: header.clone(),
            };
            let decision = decide(&policy, &lookup, &world);
            for id in never.iter().filter(|id| steers(&policy, **id)) {
                assert_ne!(decision.decider, Decider::Rule(*id), "{header:?}\n{text}");
            }
            for (id, rest) in &changes {
                let other = decide(rest, &lookup, &world);
                assert_eq!(other.verdict, decision.verdict, "{id} {header:?}\n{text}");
            }
        }
    }
    assert!(unreachable > 100 && idle > 100, "{unreachable} {idle}");
}

fn steers(policy: &Policy, id: RuleId) -> bool {
    matches!(policy.rules[id].action, Action::Redirect(_))
}
