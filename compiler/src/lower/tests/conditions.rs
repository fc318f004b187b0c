//! Bulk rules that ask more of the header than protocols, addresses and ports: random lists of them, found in tables, against
//! the reference meaning, with packets whose fields are at the edges of what the rules ask.

use std::collections::BTreeSet;

use crate::artifact::CounterKind;
use crate::classifier::{is_header_only, is_plain};
use crate::decide::decide;
use crate::event::{Decider, Event, Parsed, Verdict};
use crate::header_field::HeaderField;
use crate::interpret::{Bare, Maps};
use crate::packet::build::Frame;
use crate::packet::parse::{Layout, parse};
use crate::pipeline::Built;
use crate::policy::{Action, Condition, Direction, Policy, Rule};
use crate::tests::dice::Dice;
use crate::tests::parts::{default, rule};

use super::headers::Nothing;
use super::made::{drops, in_tables};

/// Rules that ask for the header alone, in tables.
fn some_policy(dice: &mut Dice, direction: Direction, rules: usize) -> Policy {
    let mut policy = Policy::default();
    while policy.rules.len() < rules {
        let mut matches = dice.matches(1);
        if direction == Direction::In && dice.below(4) == 0 {
            matches.conditions.push(dice.of_the_frame());
        }
        if is_header_only(&matches) {
            policy.rules.push(Rule {
                matches,
                direction,
                ..rule(dice.pick(&[Action::Allow, Action::Drop]))
            });
        }
    }
    let allows = dice.below(2) == 0;
    policy.defaults.push(default(direction, allows));
    policy
}

/// The rules that are found in tables and are not plain.
fn found_in_tables<'p>(policy: &'p Policy, built: &Built) -> Vec<&'p Rule> {
    let groups = built.bulk.iter().flat_map(|bulk| &bulk.groups);
    let members = groups.flat_map(|group| &group.members);
    let rules = members.map(|id| &policy.rules[*id]);
    rules.filter(|rule| !is_plain(&rule.matches)).collect()
}

fn fields(condition: &Condition, found: &mut BTreeSet<HeaderField>) {
    match condition {
        Condition::No(inner) => fields(inner, found),
        Condition::AnyOf(list) => list.iter().for_each(|one| fields(one, found)),
        Condition::Header { field, .. } => {
            found.insert(*field);
        }
        _ => {}
    }
}

/// Compares verdicts and counters of one policy; gives how many packets a rule decided that is in tables and not plain.
fn check(policy: &Policy, built: &Built, direction: Direction, dice: &mut Dice) -> usize {
    let mut maps = Maps::new(&built.artifact.maps);
    let found = found_in_tables(policy, built);
    let mut hits = 0;
    let mut wanted_counts = vec![0u64; built.artifact.manifest.counters.len()];
    for _ in 0..120 {
        let (header, _) = dice.packet();
        let frame = Frame::new(header.clone()).bytes();
        let mut packet = parse(&frame, Layout::Ethernet);
        if let Parsed::Ip(read) = &mut packet {
            read.mark = header.mark;
        }
        let event = Event::Packet {
            direction,
            class: Policy::plain_class(),
            packet,
        };
        let decision = decide(policy, &event, &Nothing);
        let said = drops(
            (built, &mut maps),
            direction,
            (&frame, header.mark),
            &mut Bare::default(),
        );
        let wanted = decision.verdict == Verdict::Drop;
        assert_eq!(said, wanted, "{policy:#?}\n{event:?}\n{decision:?}");
        let counters = &built.artifact.manifest.counters;
        let of_kind = |kind| counters.iter().position(|one| one.kind == kind);
        let slot = match decision.decider {
            Decider::Rule(id) => {
                let rule = &policy.rules[id];
                hits += usize::from(found.iter().any(|one| std::ptr::eq(*one, rule)));
                Some(id.as_u32() as usize)
            }
            Decider::Default => of_kind(CounterKind::Default),
            // Where every packet passes no header is read, so none is found to be wrong, and each meets the default.
            _ => of_kind(CounterKind::Malformed).or_else(|| of_kind(CounterKind::Default)),
        };
        wanted_counts[slot.unwrap()] += 1;
    }
    for (slot, wanted) in (0u32..).zip(wanted_counts) {
        let [counted, _] = maps.counted(slot).unwrap();
        assert_eq!(counted, wanted, "{slot} of {policy:#?}");
    }
    hits
}

#[test]
fn random_lists_are_found_as_decided() {
    for (direction, never) in [
        (
            Direction::Out,
            &[HeaderField::EtherFrom, HeaderField::EtherTo][..],
        ),
        (Direction::In, &[HeaderField::Mark, HeaderField::Vlan]),
    ] {
        let (mut hits, mut asked) = (0, BTreeSet::new());
        let (mut types, mut negated) = (0, 0);
        for seed in 0..100 {
            let mut dice = Dice::new(seed);
            let rules = 1 + dice.below(12);
            let policy = some_policy(&mut dice, direction, rules);
            let built = in_tables(policy.clone());
            for rule in found_in_tables(&policy, &built) {
                let matches = &rule.matches;
                matches
                    .conditions
                    .iter()
                    .for_each(|one| fields(one, &mut asked));
                types += usize::from(matches.protocols.iter().any(|one| !one.icmp.is_empty()));
                negated += usize::from(
                    matches.conditions.is_empty()
                        && matches.protocols.iter().all(|one| one.icmp.is_empty()),
                );
            }
            hits += check(&policy, &built, direction, &mut dice);
        }
        let wanted: BTreeSet<HeaderField> = HeaderField::ALL
            .iter()
            .copied()
            .filter(|field| !never.contains(field))
            .collect();
        assert_eq!(asked, wanted, "{direction:?}");
        assert!(
            hits > 500 && types > 20 && negated > 20,
            "{hits} {types} {negated}"
        );
    }
}
