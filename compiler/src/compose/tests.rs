//! The check passes what placement makes and catches what it could do wrong.

use super::meaning::{lookup_meaning, meaning};
use super::*;
use crate::chain::ChainRule;
use crate::decide::decide;
use crate::diagram::values::values_of;
use crate::event::{Event, Parsed, World};
use crate::header_field::HeaderField;
use crate::place::place;
use crate::policy::{Action, Condition, Family, FieldTest, Rate, RateUnit, Rule, SocketId};
use crate::policy::{DefaultVerdict, NetnsId};
use crate::protocol::IpProtocol;
use crate::tests::dice::Dice;
use crate::tests::parts::{default, prefix, rule, socket, tcp};

/// A world where every named socket is there.
struct Present(SocketAnswer);

impl World for Present {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        self.0
    }
    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        true
    }
}

#[test]
fn the_meaning_is_that_of_the_reference() {
    let mut dice = Dice::new(21);
    for round in 0..300 {
        let mut store = Store::new();
        let policy = dice.arriving(1 + round % 10);
        let arriving = meaning(&mut store, &policy, Direction::In, Of::default()).unwrap();
        let lookup = lookup_meaning(&mut store, &policy).unwrap();
        let sending = dice.sending(1 + round % 10);
        for _ in 0..100 {
            let (header, answer) = dice.packet();
            let values = values_of(&header, answer);
            let event = Event::Packet {
                direction: Direction::In,
                class: Policy::plain_class(),
                packet: Parsed::Ip(header.clone()),
            };
            let wanted = decide(&policy, &event, &Present(answer)).verdict;
            assert_eq!(store.evaluate(arriving, &values), wanted.terminal());
            if header.protocol.has_socket() && header.fragment == crate::event::Fragment::Whole {
                let event = Event::Lookup {
                    class: Policy::plain_class(),
                    header,
                };
                let wanted = decide(&policy, &event, &Present(SocketAnswer::None)).verdict;
                // An allow on what a lookup cannot read has no placement ahead of a redirect, so no meaning there.
                if place(&policy, &mut store).is_ok() {
                    assert_eq!(store.evaluate(lookup, &values), wanted.terminal());
                }
            }
        }
        for group in sending.groups.keys() {
            let root = meaning(
                &mut store,
                &sending,
                Direction::Send,
                Of {
                    group: Some(group),
                    ..Of::default()
                },
            )
            .unwrap();
            for _ in 0..50 {
                let header = dice.stream();
                let values = values_of(&header, SocketAnswer::None);
                let event = Event::Process {
                    direction: Direction::Send,
                    group,
                    header,
                };
                let wanted = decide(&sending, &event, &Present(SocketAnswer::None)).verdict;
                assert_eq!(store.evaluate(root, &values), wanted.terminal());
            }
        }
    }
}

#[test]
fn what_placement_makes_passes() {
    let mut dice = Dice::new(22);
    for round in 0..300 {
        for policy in [
            dice.arriving(1 + round % 12),
            dice.leaving(1 + round % 12),
            dice.sending(1 + round % 12),
        ] {
            let mut store = Store::new();
            if let Ok(chains) = place(&policy, &mut store) {
                assert_eq!(check(&policy, &chains, &mut store), Ok(()));
            }
        }
    }
}

fn opposite(verdict: DefaultVerdict) -> DefaultVerdict {
    match verdict {
        DefaultVerdict::Allow => DefaultVerdict::Drop,
        DefaultVerdict::Drop | DefaultVerdict::Reject => DefaultVerdict::Allow,
    }
}

/// Breaks one thing in the chains, unless there is nothing to break.
fn spoil(dice: &mut Dice, chains: &mut [Chain]) -> Option<()> {
    let chain = dice.below(chains.len().max(1));
    let chain = chains.get_mut(chain)?;
    let at = dice.below(chain.entries.len().max(1));
    match dice.below(4) {
        0 => chain.default.verdict = opposite(chain.default.verdict),
        1 => {
            chain.entries.get(at)?;
            chain.entries.remove(at);
        }
        2 => {
            let entry: &mut ChainRule = chain.entries.get_mut(at)?;
            entry.effect = match entry.effect {
                Effect::Drop => Effect::Allow,
                Effect::Redirect | Effect::Intercept => Effect::Allow,
                _ => Effect::Drop,
            };
        }
        _ => {
            let next = at + 1;
            chain.entries.get(next)?;
            chain.entries.swap(at, next);
        }
    }
    Some(())
}

#[test]
fn a_spoilt_placement_is_caught_or_harmless() {
    let mut dice = Dice::new(23);
    let mut caught = 0;
    for _ in 0..600 {
        let policy = dice.arriving(6);
        let mut store = Store::new();
        let Ok(mut chains) = place(&policy, &mut store) else {
            continue;
        };
        if spoil(&mut dice, &mut chains).is_none() {
            continue;
        }
        match check(&policy, &chains, &mut store) {
            Err(Fault::Differs(found)) => {
                assert_ne!(found.list, found.chains);
                caught += 1;
            }
            Err(Fault::Unreadable(..)) => caught += 1,
            other => assert_eq!(other, Ok(())),
        }
    }
    assert!(caught > 150, "only {caught} were caught");
}

#[test]
fn a_wrong_default_is_shown_with_a_packet() {
    let mut policy = Policy::default();
    policy.defaults.push(default(Direction::In, false));
    let mut store = Store::new();
    let mut chains = place(&policy, &mut store).unwrap();
    chains[0].default.verdict = DefaultVerdict::Allow;
    let Err(Fault::Differs(found)) = check(&policy, &chains, &mut store) else {
        panic!("the check passed a default that allows");
    };
    assert_eq!(
        (found.list.as_str(), found.chains.as_str()),
        ("drop", "allow")
    );
    assert!(found.of.contains("arriving"));
}

/// A policy with these rules, a silent socket, and a default that allows.
fn policy(rules: impl IntoIterator<Item = Rule>) -> Policy {
    let mut policy = Policy::default();
    policy.sockets.push(socket(true));
    policy.defaults.push(default(Direction::In, true));
    for rule in rules {
        policy.rules.push(rule);
    }
    policy
}

/// A rule for TCP to port 53 of 3.3.3.0/24.
fn about_dns(action: Action) -> Rule {
    Rule {
        matches: tcp(prefix(), 53),
        ..rule(action)
    }
}

#[test]
fn a_silent_socket_that_nobody_watches_is_caught() {
    let policy = policy([about_dns(Action::Redirect(SocketId::from_u32(0)))]);
    let mut store = Store::new();
    let mut chains = place(&policy, &mut store).unwrap();
    assert_eq!(check(&policy, &chains, &mut store), Ok(()));
    let watch = chains[0].entries.remove(0);
    assert_eq!(watch.effect, Effect::RedirectPass);
    assert!(check(&policy, &chains, &mut store).is_err());
}

#[test]
fn a_redirect_that_only_other_interfaces_meet_is_missed() {
    let redirect = about_dns(Action::Redirect(SocketId::from_u32(0)));
    let policy = policy([about_dns(Action::Drop), redirect]);
    let mut store = Store::new();
    let mut chains = place(&policy, &mut store).unwrap();
    assert_eq!(check(&policy, &chains, &mut store), Ok(()));
    let lookup = chains.last_mut().unwrap();
    assert_eq!(lookup.hook, Hook::SkLookup);
    lookup.entries.clear();
    let Err(Fault::Differs(found)) = check(&policy, &chains, &mut store) else {
        panic!("the check passed a lookup without its redirect");
    };
    assert_eq!(found.of, "socket lookups");
}

#[test]
fn a_test_that_a_hook_cannot_read_is_caught() {
    let mut redirect = about_dns(Action::Redirect(SocketId::from_u32(0)));
    redirect.matches.conditions = vec![Condition::Header {
        field: HeaderField::Length,
        test: FieldTest::Range { low: 0, high: 99 },
    }];
    let policy = policy([redirect]);
    let mut store = Store::new();
    let chains = place(&policy, &mut store).unwrap();
    assert_eq!(
        check(&policy, &chains, &mut store),
        Err(Fault::Unreadable(Hook::SkLookup, Field::Length))
    );
}

#[test]
fn a_rule_that_counts_nowhere_or_twice_is_caught() {
    let mut dice = Dice::new(24);
    let mut seen = 0;
    for _ in 0..100 {
        let policy = dice.arriving(4);
        let mut store = Store::new();
        let Ok(mut chains) = place(&policy, &mut store) else {
            continue;
        };
        let decides = |entry: &&mut ChainRule| entry.effect == Effect::Drop && entry.counts;
        let entries = chains.iter_mut().flat_map(|chain| &mut chain.entries);
        let Some(entry) = entries.into_iter().find(decides) else {
            continue;
        };
        entry.counts = false;
        seen += u32::from(check(&policy, &chains, &mut store).is_err());
    }
    assert!(seen > 10, "only {seen} were caught");
}

/// Drops what fits in a rate, at XDP and again at TC: together they say what the list says, but a packet that is above the
/// rate takes tokens twice.
#[test]
fn a_rate_that_two_hooks_ask_about_is_caught() {
    let drop = Rule {
        rate: Some(Rate {
            above: false,
            count: 5,
            period: 1,
            unit: RateUnit::Packets,
            per: None,
            burst: 5,
        }),
        ..about_dns(Action::Drop)
    };
    let policy = policy([drop]);
    let mut store = Store::of(&policy);
    let mut chains = place(&policy, &mut store).unwrap();
    assert_eq!(check(&policy, &chains, &mut store), Ok(()));
    let at = |chains: &[Chain], hook| chains.iter().position(|chain| chain.hook == hook);
    let first = at(&chains, Hook::Xdp).unwrap();
    assert_eq!(at(&chains, Hook::TcIn), None);
    let mut second = chains[first].clone();
    second.hook = Hook::TcIn;
    chains[first].default.counts = false;
    chains.insert(first + 1, second);
    let rule = RuleId::from_u32(0);
    assert_eq!(
        check(&policy, &chains, &mut store),
        Err(Fault::MeteredTwice(rule))
    );
}
