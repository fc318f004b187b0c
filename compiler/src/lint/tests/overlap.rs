//! Rules that cross are told, with packets that show it; exceptions ahead of general rules are not.

use sockc_grammar::ast::Packet;
use sockc_grammar::parse_packet;
use sockc_grammar::source::{SourceId, SourceMap, Span};

use super::{resolved, without};
use crate::decide::decide;
use crate::event::Decider;
use crate::lint::{OVERLAP, also};
use crate::packet::text::{self, DescribedWorld};
use crate::policy::{Policy, RuleId};
use crate::testing::{Options, random_policy};

/// Line of each rule that crosses earlier ones, with the lines of these and the packets.
fn crossing(text: &str) -> Vec<(u32, Vec<u32>)> {
    let policy = resolved(text);
    let found = pairs(&policy).into_iter();
    let line = |id: RuleId| policy.rules[id].place.line;
    found
        .map(|(later, earlier)| {
            let earlier = earlier.into_iter().map(|(id, _)| line(id));
            (line(later), earlier.collect())
        })
        .collect()
}

/// Each rule that crosses earlier ones, with these and a packet of both.
fn pairs(policy: &Policy) -> Vec<(RuleId, Vec<(RuleId, String)>)> {
    let rule = |span: Span| {
        let mut rules = policy.rules.iter();
        rules.find(|(_, rule)| rule.place.span == span).unwrap().0
    };
    let found = also(policy, SourceId(0), &[OVERLAP]).into_iter();
    found
        .map(|one| {
            assert_eq!(one.code, OVERLAP, "{one:?}");
            let partners = one.secondary.iter();
            let partners = partners.map(|other| {
                let packet = other.text.split('`').nth(1).unwrap();
                (rule(other.span), packet.to_owned())
            });
            (rule(one.primary.span), partners.collect())
        })
        .collect()
}

#[test]
fn crossing_rules_are_told_and_exceptions_are_not() {
    let text = "default in drop\n\
        allow tcp to any:22\n\
        allow tcp from 10.1.0.0/16\n\
        drop from 10.0.0.0/8\n\
        allow udp to any:53\n\
        allow tcp from 10.0.0.0/8 to any:23\n\
        reject tcp to any:80\n\
        drop tcp\n";
    // Line 3 is an exception of line 4, line 6 is never reached, and line 8 is more general than all. What lines 3 and 7
    // share is line 4's even without line 3.
    assert_eq!(crossing(text), [(4, vec![2]), (5, vec![4])]);
    assert_eq!(
        crossing("default in drop\nallow tcp to any:22\nallow from 10.0.0.0/8\n"),
        []
    );
}

/// On one interface, or up to a rate, a rule does not hold one that is narrower in all else.
#[test]
fn what_is_held_in_part_crosses() {
    let text = "default in drop\n\
        zone wan = eth0\n\
        allow tcp to any:22 on zone wan\n\
        drop tcp from 10.0.0.0/8 to any:22\n\
        allow udp to any:53 up to 10 packets/second\n\
        drop udp from 10.0.0.0/8 to any:53\n";
    assert_eq!(crossing(text), [(4, vec![3]), (6, vec![5])]);
}

#[test]
fn what_another_rule_decides_is_no_reason() {
    let text = "default in drop\n\
        allow tcp from 10.0.0.0/8 to any:1-100\n\
        drop udp\n\
        reject tcp to any:22\n\
        allow tcp from 10.2.0.0/16 to any:22\n\
        drop tcp from 10.0.0.0/16 to any:22-200\n";
    // Port 22 of line 6 is line 4's even without line 2, the other ports are not.
    assert_eq!(crossing(text), [(4, vec![2]), (6, vec![2])]);
    let hidden = "default in drop\n\
        drop tcp from 10.0.0.0/8 to any:22\n\
        allow tcp from 10.0.0.0/8 to any:20-30\n\
        drop tcp to any:22\n";
    assert_eq!(crossing(hidden), []);
}

#[test]
fn conditions_are_looked_into() {
    let text = "default in drop\n\
        allow if socket established\n\
        drop from 10.0.0.0/8\n\
        live set banned max 10\n\
        allow tcp from @banned if tcp flags syn\n";
    assert_eq!(crossing(text), [(3, vec![2]), (5, vec![3])]);
    let opposite = "default in drop\n\
        drop tcp if tcp flags syn\n\
        allow tcp to any:22 if no tcp flags syn\n";
    assert_eq!(crossing(opposite), []);
    // What the second line matches is all the third one's.
    let inside = "default in allow\n\
        allow tcp to any:22 if tcp flags syn no ack\n\
        drop tcp if tcp flags syn\n";
    assert_eq!(crossing(inside), []);
}

#[test]
fn of_many_partners_a_few_are_named() {
    let mut text = String::from("default in drop\n");
    for port in 1..9 {
        text += &format!("allow tcp to any:{port}\n");
    }
    text += "drop tcp from 10.0.0.0/8\n";
    assert_eq!(crossing(&text), [(10, vec![2, 3, 4])]);
}

/// What a packet in words says, for a policy.
fn read(packet: &str, policy: &Policy) -> text::Described {
    let mut sources = SourceMap::default();
    let id = sources.add("<packet>", packet);
    let tree: Packet = parse_packet(&sources, id).unwrap();
    let whole = Span {
        source: id,
        start: 0,
        end: 0,
    };
    text::read(&tree, policy, whole).unwrap_or_else(|error| panic!("{packet}: {error:?}"))
}

#[test]
fn each_packet_shows_what_is_said() {
    let mut shown = 0;
    for seed in 0..60 {
        let text = random_policy(seed, Options::whole(24));
        let policy = resolved(&text);
        for (later, partners) in pairs(&policy) {
            for (earlier, packet) in partners {
                let described = read(&packet, &policy);
                let statement = |id: RuleId| policy.rules[id].head.unwrap_or(id);
                let decider = |policy: &Policy| {
                    let world = DescribedWorld::new(policy, &described);
                    match decide(policy, &described.event, &world).decider {
                        Decider::Rule(id) => Some(statement(id)),
                        _ => None,
                    }
                };
                assert_eq!(
                    decider(&policy),
                    Some(statement(earlier)),
                    "{packet}\n{text}"
                );
                let all = policy
                    .rules
                    .keys()
                    .filter(|id| statement(*id) == statement(earlier));
                let rest = all.fold(policy.clone(), |rest, id| without(&rest, id));
                assert_eq!(decider(&rest), Some(statement(later)), "{packet}\n{text}");
                shown += 1;
            }
        }
    }
    assert!(shown > 100, "{shown}");
}
