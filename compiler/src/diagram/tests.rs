//! Diagrams against the plain answers, over random matches and packets.

use super::classify::{Scope, match_diagram, rule_diagram};
use super::flatten::{Target, flatten, flatten_within};
use super::values::{header_of, values_of};
use super::*;
use crate::chain::roots::ChainRoots;
use crate::chain::{Chain, ChainDefault, ChainRule, Effect};
use crate::decide::{Seen, matches};
use crate::event::{Header, SocketAnswer, World};
use crate::field::Field;
use crate::hook::Hook;
use crate::policy::{
    Action, Direction, Family, Match, NetnsId, Policy, Rate, RateUnit, RuleId, SocketId,
};
use crate::protocol::IpProtocol;
use crate::tests::dice::Dice;
use crate::tests::parts::{default, hit, rule};

#[test]
fn ranges_hold_exactly_their_values() {
    let mut store = Store::new();
    let inside = store.terminal(7).unwrap();
    for (low, high) in [(0, 0), (3, 3), (5, 200), (0, 255), (255, 255), (9, 2)] {
        let node = store
            .range(Field::Protocol, low, high, inside, Node::NOMATCH)
            .unwrap();
        for value in 0..=255 {
            let values = FieldValues::default().with(Field::Protocol, value);
            let expected = if (low..=high).contains(&value) {
                7
            } else {
                NOMATCH
            };
            assert_eq!(store.evaluate(node, &values), expected);
        }
    }
}

#[test]
fn values_that_never_occur_follow_the_largest() {
    let mut store = Store::new();
    let later = store
        .range(Field::Fragment, 2, 2, Node::TRUE, Node::FALSE)
        .unwrap();
    let first_on = store
        .range(Field::Fragment, 1, 2, Node::TRUE, Node::FALSE)
        .unwrap();
    let three = FieldValues::default().with(Field::Fragment, 3);
    assert_eq!(store.evaluate(later, &three), 1);
    assert_eq!(store.evaluate(first_on, &three), 1);
    let flat = flatten(&store, later).unwrap();
    assert_eq!(flat.nodes.values().next().unwrap().arms.len(), 2);
    assert_eq!(flat.nodes.values().next().unwrap().arms[1].0, 2);
}

#[test]
fn branches_of_a_range_may_test_earlier_fields() {
    let mut store = Store::new();
    let tcp = classify::protocol(&mut store, IpProtocol::TCP).unwrap();
    let small = store.range(Field::Length, 0, 99, tcp, Node::FALSE).unwrap();
    let values = FieldValues::default()
        .with(Field::Protocol, 6)
        .with(Field::Length, 99);
    assert_eq!(store.evaluate(small, &values), 1);
    assert_eq!(
        store.evaluate(small, &values.clone().with(Field::Protocol, 17)),
        0
    );
    assert_eq!(store.evaluate(small, &values.with(Field::Length, 100)), 0);
}

#[test]
fn equal_meanings_are_equal_nodes() {
    let mut dice = Dice::new(1);
    let mut store = Store::new();
    for _ in 0..100 {
        let f = match_diagram(&mut store, &dice.matches(1), Scope::default()).unwrap();
        let g = match_diagram(&mut store, &dice.matches(1), Scope::default()).unwrap();
        let both = store.and(f, g).unwrap();
        let (not_f, not_g) = (store.not(f).unwrap(), store.not(g).unwrap());
        let neither = store.or(not_f, not_g).unwrap();
        assert_eq!(store.not(neither).unwrap(), both);
        assert_eq!(store.not(not_f).unwrap(), f);
    }
}

#[test]
fn a_small_budget_is_an_error_and_not_an_answer() {
    let mut dice = Dice::new(2);
    let mut store = Store::with_budget(50);
    let failed = (0..50).any(|_| {
        match_diagram(&mut store, &dice.matches(2), Scope::default())
            == Err(BudgetExceeded { budget: 50 })
    });
    assert!(failed && store.len() <= 50);
}

#[test]
fn a_match_diagram_says_what_the_reference_says() {
    let mut dice = Dice::new(3);
    let mut store = Store::new();
    let mut hits = 0;
    for _ in 0..1500 {
        let wanted = dice.matches(2);
        let node = match_diagram(&mut store, &wanted, Scope::default()).unwrap();
        let flat = flatten(&store, node).unwrap();
        for _ in 0..150 {
            let (header, answer) = dice.packet();
            let values = values_of(&header, answer);
            let expected = hit(&wanted, &header, answer);
            hits += u32::from(expected);
            let found = store.evaluate(node, &values);
            assert_eq!(
                found,
                u32::from(expected),
                "{wanted:?}\n{header:?} {answer:?}"
            );
            assert_eq!(flat.evaluate(&values), found);
        }
    }
    assert!(hits > 5000, "only {hits} packets met a rule");
}

/// What a question for a rate is answered with.
struct Answers {
    socket: SocketAnswer,
    conforms: bool,
}

impl World for Answers {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        self.socket
    }
    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        true
    }
    fn conforms(&self, _: RuleId, _: &Header) -> bool {
        self.conforms
    }
}

#[test]
fn a_rate_is_asked_for_where_the_reference_asks() {
    let mut dice = Dice::new(13);
    let mut longer = 0;
    for unit in [RateUnit::Packets, RateUnit::Bytes, RateUnit::Connections] {
        for above in [false, true] {
            let mut policy = dice.arriving(1);
            let id = policy.rules.keys().next().unwrap();
            let limited = &mut policy.rules[id];
            (limited.matches, limited.at) = (Match::default(), None);
            limited.rate = Some(Rate {
                above,
                count: 1,
                period: 1,
                unit,
                per: None,
                burst: 60,
            });
            let mut store = Store::of(&policy);
            let rule = &policy.rules[id];
            let node = rule_diagram(&mut store, id, rule, Scope::default()).unwrap();
            for _ in 0..600 {
                let (header, socket) = dice.packet();
                longer += u32::from(unit == RateUnit::Bytes && header.length > 60);
                for conforms in [false, true] {
                    let world = Answers { socket, conforms };
                    let class = Some(Policy::plain_class());
                    let seen = Seen::new(&policy, Direction::In, [class, None], &header, &world);
                    let values =
                        values_of(&header, socket).with(Field::Conforms(id), conforms.into());
                    assert_eq!(
                        store.evaluate(node, &values),
                        u32::from(matches(&seen, id, rule)),
                        "{unit:?} {above} {header:?} {socket:?} {conforms}"
                    );
                }
            }
        }
    }
    assert!((100..1100).contains(&longer), "{longer} of 1200");
}

#[test]
fn witnesses_satisfy_and_are_packets() {
    let mut dice = Dice::new(4);
    let mut store = Store::new();
    for _ in 0..300 {
        let wanted = dice.matches(2);
        let node = match_diagram(&mut store, &wanted, Scope::default()).unwrap();
        let Some(values) = store.satisfy(node, 1) else {
            assert_eq!(node, Node::FALSE);
            continue;
        };
        assert_eq!(store.evaluate(node, &values), 1);
        let (header, answer) = header_of(&values);
        assert!(hit(&wanted, &header, answer), "{wanted:?}\n{header:?}");
        assert_eq!(store.evaluate(node, &values_of(&header, answer)), 1);
    }
}

#[test]
fn fields_are_tested_only_where_they_exist() {
    let mut dice = Dice::new(5);
    let mut store = Store::new();
    for _ in 0..300 {
        let wanted = dice.matches(2);
        let node = match_diagram(&mut store, &wanted, Scope::default()).unwrap();
        for _ in 0..50 {
            let (header, answer) = dice.packet();
            let clean = values_of(&header, answer);
            let mut noisy = clean.clone();
            for field in absent(&clean) {
                noisy.set(field, dice.below(1 << field.bits().min(31)) as u32);
            }
            assert_eq!(store.evaluate(node, &clean), store.evaluate(node, &noisy));
        }
    }
}

/// The fields that do not exist in a packet.
fn absent(values: &FieldValues) -> Vec<Field> {
    use Field::*;
    let protocol = values.get(Protocol);
    let transport = values.get(Fragment) != 2;
    let icmp = if values.get(Family) == 0 { 1 } else { 58 };
    let groups = [
        (
            values.get(Family) == 1,
            vec![To1, To2, To3, From1, From2, From3],
        ),
        (
            transport && Field::has_ports(protocol as u8),
            vec![ToPort, FromPort],
        ),
        (transport && protocol == 6, vec![TcpFlags]),
        (transport && protocol == icmp, vec![Icmp]),
        (transport && matches!(protocol, 6 | 17), vec![Socket]),
    ];
    let there = |(exists, fields): (bool, Vec<Field>)| if exists { Vec::new() } else { fields };
    groups.into_iter().flat_map(there).collect()
}

#[test]
fn a_priority_merge_is_first_match() {
    let mut dice = Dice::new(6);
    for _ in 0..60 {
        let mut store = Store::new();
        let policy = dice.arriving(8);
        let mut layers = Vec::new();
        for (id, rule) in policy.rules.iter() {
            let matched = rule_diagram(&mut store, id, rule, Scope::default()).unwrap();
            let terminal = store.terminal(id.as_u32()).unwrap();
            layers.push(store.ite(matched, terminal, Node::NOMATCH).unwrap());
        }
        let root = store.merge_all(&layers).unwrap();
        for _ in 0..200 {
            let (header, answer) = dice.packet();
            let values = values_of(&header, answer);
            let first = layers
                .iter()
                .map(|&layer| store.evaluate(layer, &values))
                .find(|&terminal| terminal != NOMATCH);
            assert_eq!(store.evaluate(root, &values), first.unwrap_or(NOMATCH));
        }
    }
}

#[test]
fn flat_nodes_go_forward_and_neighbouring_arms_differ() {
    let mut dice = Dice::new(7);
    let mut store = Store::new();
    for _ in 0..200 {
        let node = match_diagram(&mut store, &dice.matches(2), Scope::default()).unwrap();
        let flat = flatten(&store, node).unwrap();
        for (id, data) in &flat.nodes {
            assert!(data.arms.len() >= 2);
            assert_eq!(data.arms.last().unwrap().0, data.field.max());
            assert!(
                data.arms
                    .windows(2)
                    .all(|two| two[0].0 < two[1].0 && two[0].1 != two[1].1)
            );
            for &(_, target) in &data.arms {
                if let Target::Node(next) = target {
                    assert!(next > id && flat.nodes[next].field > data.field);
                }
            }
        }
        if flat.arms() > 0 {
            assert!(flatten_within(&store, node, flat.arms() - 1).is_err());
            assert!(flatten_within(&store, node, flat.arms()).is_ok());
        }
    }
}

#[test]
fn the_text_of_a_flat_diagram_names_fields_and_ranges() {
    let mut store = Store::new();
    let high = store
        .range(Field::ToPort, 1024, 65_535, Node::TRUE, Node::FALSE)
        .unwrap();
    let net = store
        .range(Field::To0, 0x0a00_0000, 0x0aff_ffff, high, Node::FALSE)
        .unwrap();
    assert_eq!(
        flatten(&store, net).unwrap().text(),
        "root flat0\n\
         flat0: to-port\n  0..1023 -> =0\n  1024..65535 -> flat1\n\
         flat1: to0\n  00000000..09ffffff -> =0\n  0a000000..0affffff -> =1\n  0b000000..ffffffff -> =0\n"
    );
}

/// A chain of every rule of the policy as it stands.
fn plain_chain(policy: &Policy, hook: Hook) -> Chain {
    let entries = policy.rules.iter().map(|(rule, data)| ChainRule {
        rule,
        effect: match data.action {
            Action::Count => Effect::Count,
            Action::Drop => Effect::Drop,
            _ => Effect::Allow,
        },
        counts: true,
        part: crate::chain::Part::All,
        reason: "test",
    });
    Chain {
        hook,
        group: None,
        class: hook.is_packet().then(Policy::plain_class),
        entries: entries.collect(),
        default: ChainDefault {
            verdict: crate::policy::DefaultVerdict::Allow,
            counts: true,
        },
    }
}

#[test]
fn chain_roots_give_the_decider_and_the_counters() {
    let mut dice = Dice::new(8);
    for _ in 0..60 {
        let mut store = Store::new();
        let policy = dice.leaving(10);
        let chain = plain_chain(&policy, Hook::TcOut);
        let roots = ChainRoots::build(&mut store, &policy, &chain).unwrap();
        assert_eq!(roots.lists[0], Vec::<u32>::new());
        for _ in 0..200 {
            let (header, answer) = dice.packet();
            let values = values_of(&header, answer);
            let hit = |rule: &crate::policy::Rule| hit(&rule.matches, &header, answer);
            let decider = policy
                .rules
                .values()
                .position(|rule| rule.action.decides() && hit(rule))
                .unwrap_or(chain.entries.len());
            assert_eq!(store.evaluate(roots.decision, &values), decider as u32);
            let counting: Vec<u32> = (0..)
                .zip(policy.rules.values())
                .filter(|(_, rule)| rule.action == Action::Count && hit(rule))
                .map(|(index, _)| index)
                .collect();
            let list = roots.counts.map_or(0, |root| store.evaluate(root, &values));
            assert_eq!(roots.lists[list as usize], counting);
        }
    }
}

#[test]
fn a_lookup_chain_tests_only_what_a_lookup_can_see() {
    let mut store = Store::new();
    let mut dice = Dice::new(9);
    for _ in 0..60 {
        let mut policy = dice.arriving(8);
        policy.defaults.push(default(Direction::In, true));
        policy.rules.push(rule(Action::Allow));
        let chain = plain_chain(&policy, Hook::SkLookup);
        let roots = ChainRoots::build(&mut store, &policy, &chain).unwrap();
        for (_, data) in &flatten(&store, roots.decision).unwrap().nodes {
            assert!(!matches!(
                data.field,
                Field::Fragment | Field::Socket | Field::Icmp
            ));
            assert!(data.field != Field::Protocol || data.arms.len() == 3);
        }
    }
}

#[test]
fn the_same_rules_give_the_same_nodes() {
    let build = || {
        let mut store = Store::new();
        let policy = Dice::new(10).leaving(20);
        let chain = plain_chain(&policy, Hook::TcOut);
        let roots = ChainRoots::build(&mut store, &policy, &chain).unwrap();
        let text = flatten(&store, roots.decision).unwrap().text();
        (store.len(), roots.decision, roots.lists, text)
    };
    assert_eq!(build(), build());
}
