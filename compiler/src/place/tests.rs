//! Placement, rule by rule, and the chains run one after another against the reference meaning.

use sockc_grammar::diagnostic::Code;

use super::*;
use crate::decide::{decide, matches};
use crate::diagram::sample::{Dice, default, group, prefix, rule, socket, tcp};
use crate::event::{Decider, Event, Header, Parsed, Part, SocketAnswer, Transport, Verdict, World};
use crate::policy::{Condition, Family, Match, SocketId, SocketTest};

fn policy(rules: impl IntoIterator<Item = Rule>) -> Policy {
    let mut policy = Policy::default();
    policy.sockets.push(socket(false));
    policy.sockets.push(socket(true));
    for rule in rules {
        policy.rules.push(rule);
    }
    policy
}

fn with_default(mut policy: Policy, allow: bool) -> Policy {
    policy.defaults.push(default(Direction::In, allow));
    policy
}

fn placed(policy: &Policy) -> Vec<Chain> {
    place(policy, &mut Store::new()).unwrap()
}

fn codes(policy: &Policy) -> Vec<Code> {
    let errors = place(policy, &mut Store::new()).unwrap_err();
    errors.into_iter().map(|error| error.code).collect()
}

/// Hook, then effect, `+` where it counts and `*` where only new flows match, of each entry, then the default.
fn sketch(chains: &[Chain]) -> Vec<String> {
    let entry = |entry: &Entry| {
        format!(
            "{:?}{}{}",
            entry.effect,
            if entry.counts { "+" } else { "" },
            if entry.new_flows_only { "*" } else { "" }
        )
    };
    chains
        .iter()
        .map(|chain| {
            let entries: Vec<String> = chain.entries.iter().map(entry).collect();
            let default = if chain.default.allow { "allow" } else { "drop" };
            let counts = if chain.default.counts { "+" } else { "" };
            format!(
                "{:?}: {} | {default}{counts}",
                chain.hook,
                entries.join(" ")
            )
        })
        .collect()
}

fn redirect(socket: u32, matches: Match) -> Rule {
    Rule {
        matches,
        ..rule(Action::Redirect(SocketId::from_u32(socket)))
    }
}

fn on(action: Action, condition: Condition) -> Rule {
    Rule {
        matches: Match {
            conditions: vec![condition],
            ..Match::default()
        },
        ..rule(action)
    }
}

fn at(hook: Hook, data: Rule) -> Rule {
    Rule {
        at: Some(hook),
        ..data
    }
}

const SHORT: Condition = Condition::Length { low: 0, high: 99 };
const EXISTS: Condition = Condition::Socket(SocketTest::Exists);
const ESTABLISHED: Condition = Condition::Socket(SocketTest::Established);

#[test]
fn rules_run_at_xdp_and_redirects_at_the_lookup() {
    let policy = with_default(
        policy([on(Action::Allow, EXISTS), redirect(0, tcp(prefix(), 53))]),
        false,
    );
    // The allow overlaps the redirect, so this order has no placement; the other has.
    assert_eq!(codes(&policy), [codes::ALLOW_AHEAD]);
    let swapped = with_default(
        super::tests::policy([redirect(0, tcp(prefix(), 53)), on(Action::Allow, EXISTS)]),
        false,
    );
    assert_eq!(
        sketch(&placed(&swapped)),
        ["Xdp: Pass Allow+ | drop+", "SkLookup: Redirect+ | allow"]
    );
}

#[test]
fn an_unreadable_allow_stands_ahead_of_a_redirect_it_does_not_meet() {
    let mut far = on(Action::Allow, SHORT);
    far.matches = Match {
        conditions: vec![SHORT],
        ..tcp(prefix(), 80)
    };
    let policy = policy([far, redirect(0, tcp(prefix(), 53))]);
    assert_eq!(
        sketch(&placed(&policy)),
        ["Xdp: Allow+ Pass | allow+", "SkLookup: Redirect+ | allow"]
    );
}

#[test]
fn established_connections_get_to_no_lookup() {
    let policy = with_default(
        policy([
            on(Action::Allow, ESTABLISHED),
            redirect(0, tcp(prefix(), 53)),
        ]),
        false,
    );
    assert_eq!(sketch(&placed(&policy))[1], "SkLookup: Redirect+ | allow");
    let negated = Condition::No(Box::new(ESTABLISHED));
    let policy = super::tests::policy([on(Action::Allow, negated), redirect(0, tcp(prefix(), 53))]);
    assert_eq!(
        sketch(&placed(&policy))[1],
        "SkLookup: Allow Redirect+ | allow"
    );
}

#[test]
fn the_message_names_both_rules_and_the_way_out() {
    let policy = policy([on(Action::Allow, SHORT), redirect(0, tcp(prefix(), 53))]);
    let errors = place(&policy, &mut Store::new()).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].secondary.len(), 1);
    assert!(errors[0].primary.text.contains("length"));
    let help = errors[0].help.clone().unwrap();
    assert_eq!(help, "put the redirect first, or allow by address and port");
}

#[test]
fn redirects_alone_need_a_packet_hook_only_to_drop_in_silence() {
    let plain = policy([redirect(0, tcp(prefix(), 53))]);
    assert_eq!(sketch(&placed(&plain)), ["SkLookup: Redirect+ | allow"]);
    let silent = policy([redirect(1, tcp(prefix(), 53))]);
    assert_eq!(
        sketch(&placed(&silent)),
        [
            "Xdp: RedirectPass* Pass | allow+",
            "SkLookup: Redirect+ | allow"
        ]
    );
}

#[test]
fn rules_at_tc_are_passes_at_xdp() {
    let both = with_default(
        policy([
            at(Hook::TcIn, on(Action::Drop, SHORT)),
            on(Action::Allow, ESTABLISHED),
        ]),
        false,
    );
    assert_eq!(
        sketch(&placed(&both)),
        ["Xdp: Pass Allow+ | drop+", "TcIn: Drop+ Allow | drop"]
    );
    let only = with_default(policy([at(Hook::TcIn, on(Action::Allow, SHORT))]), false);
    assert_eq!(sketch(&placed(&only)), ["TcIn: Allow+ | drop+"]);
}

#[test]
fn a_count_at_tc_pulls_the_drops_behind_it_to_tc() {
    let count = at(Hook::TcIn, on(Action::Count, SHORT));
    let list = |at_hook| {
        let mut drop = rule(Action::Drop);
        drop.matches = tcp(prefix(), 80);
        drop.at = at_hook;
        with_default(policy([rule(Action::Count), count.clone(), drop]), false)
    };
    assert_eq!(
        sketch(&placed(&list(None))),
        ["Xdp: Count+ Pass | allow", "TcIn: Count+ Drop+ | drop+"]
    );
    assert_eq!(codes(&list(Some(Hook::Xdp))), [codes::COUNT_UNSEEN]);
}

#[test]
fn rules_at_sk_lookup_are_passes_for_new_flows() {
    let mut allow = at(Hook::SkLookup, rule(Action::Allow));
    allow.matches = tcp(prefix(), 80);
    let policy = with_default(policy([allow]), false);
    assert_eq!(
        sketch(&placed(&policy)),
        ["Xdp: Pass* | drop+", "SkLookup: Allow+* | allow"]
    );
}

#[test]
fn each_group_has_the_rules_that_name_it_or_none() {
    let mut policy = Policy::default();
    let pods = policy.groups.push(group("pods"));
    let jobs = policy.groups.push(group("jobs"));
    let send = |action, from: Option<GroupId>| Rule {
        direction: Direction::Send,
        matches: Match {
            from: from.map(Side::Group),
            ..Match::default()
        },
        ..rule(action)
    };
    policy.rules.push(send(Action::Drop, Some(pods)));
    policy.rules.push(send(Action::Count, None));
    policy.rules.push(send(Action::Shortcut(jobs), None));
    assert_eq!(
        sketch(&placed(&policy)),
        [
            "SkMsg: Drop+ Count+ | allow+",
            "SkMsg: Count+ Shortcut+ | allow+"
        ]
    );
}

#[test]
fn a_list_that_is_not_there_has_no_chain() {
    assert_eq!(placed(&Policy::default()), []);
    let mut policy = Policy::default();
    policy.groups.push(group("pods"));
    policy.defaults.push(default(Direction::Out, false));
    assert_eq!(sketch(&placed(&policy)), ["TcOut:  | drop+"]);
}

#[test]
fn a_store_that_is_too_small_is_said() {
    let policy = policy([on(Action::Allow, SHORT), redirect(0, tcp(prefix(), 53))]);
    let errors = place(&policy, &mut Store::with_budget(20)).unwrap_err();
    assert_eq!(errors[0].code, codes::TOO_LARGE);
}

#[test]
fn the_description_has_every_rule_and_reason() {
    let policy = with_default(
        policy([
            redirect(1, tcp(prefix(), 53)),
            on(Action::Allow, ESTABLISHED),
        ]),
        false,
    );
    assert_eq!(
        describe(&policy, &placed(&policy)),
        "sample.sk:1  sample\n\
         \x20 xdp          watch             drops new flows while its socket is absent\n\
         \x20 xdp          pass              connections that exist are not moved\n\
         \x20 sk_lookup    redirect  counts  only the socket lookup can hand a packet to a socket\n\
         sample.sk:1  sample\n\
         \x20 xdp          allow     counts  xdp is the earliest hook, and can evaluate it\n\
         sample.sk:1  sample\n\
         \x20 xdp          drop      counts  xdp is the earliest hook\n"
    );
}

/// A world with the same answers for every packet.
struct Still {
    answer: SocketAnswer,
    present: bool,
}

impl World for Still {
    fn socket(&self, _: Direction, _: &Header) -> SocketAnswer {
        self.answer
    }
    fn present(&self, _: SocketId, _: Family, _: u8) -> bool {
        self.present
    }
}

/// What the chains did to one packet.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    verdict: Verdict,
    counted: Vec<RuleId>,
    defaulted: bool,
}

impl Run {
    /// Runs one chain; whether the packet goes on to the next.
    fn step(&mut self, policy: &Policy, chain: &Chain, header: &Header, world: &Still) -> bool {
        let new = matches!(header.protocol, 6 | 17)
            && header.part != Part::Later
            && world.answer != SocketAnswer::Established;
        for entry in &chain.entries {
            let data = &policy.rules[entry.rule].matches;
            if !matches(data, header, world.answer) || entry.new_flows_only && !new {
                continue;
            }
            if entry.counts {
                self.counted.push(entry.rule);
            }
            if entry.effect != Effect::Count {
                return self.decided(policy, entry, world);
            }
        }
        self.defaulted |= chain.default.counts;
        self.end(chain.default.allow, Verdict::Drop)
    }

    fn decided(&mut self, policy: &Policy, entry: &Entry, world: &Still) -> bool {
        match (entry.effect, policy.rules[entry.rule].action) {
            (Effect::Drop, _) => self.end(false, Verdict::Drop),
            (Effect::RedirectPass, _) => self.end(world.present, Verdict::Drop),
            (Effect::Redirect, Action::Redirect(socket)) => {
                if world.present {
                    self.verdict = Verdict::Redirect(socket);
                }
                self.end(world.present, Verdict::Reject)
            }
            (Effect::Shortcut, Action::Shortcut(group)) => {
                self.verdict = Verdict::Shortcut(group);
                true
            }
            _ => true,
        }
    }

    fn end(&mut self, goes_on: bool, verdict: Verdict) -> bool {
        if !goes_on {
            self.verdict = verdict;
        }
        goes_on
    }
}

/// Runs the packet hooks of a direction, then the lookup if one is made.
fn run(policy: &Policy, chains: &[Chain], hooks: &[Hook], header: &Header, world: &Still) -> Run {
    let mut run = Run {
        verdict: Verdict::Allow,
        counted: Vec::new(),
        defaulted: false,
    };
    for chain in chains.iter().filter(|chain| hooks.contains(&chain.hook)) {
        let lookup = chain.hook == Hook::SkLookup;
        let asked = matches!(header.protocol, 6 | 17)
            && header.part != Part::Later
            && world.answer != SocketAnswer::Established;
        if lookup && !asked {
            continue;
        }
        let mut seen = header.clone();
        let mut known = Still { ..*world };
        if lookup {
            seen.part = Part::Whole;
            known.answer = SocketAnswer::None;
        }
        if !run.step(policy, chain, &seen, &known) {
            break;
        }
    }
    run.counted.sort_unstable();
    run
}

/// What the reference says, in the same terms.
fn reference(policy: &Policy, event: &Event, world: &Still) -> Run {
    let decision = decide(policy, event, world);
    let mut counted = decision.counted;
    if let Decider::Rule(rule) = decision.decider {
        counted.push(rule);
    }
    counted.sort_unstable();
    Run {
        verdict: decision.verdict,
        counted,
        defaulted: decision.decider == Decider::Default,
    }
}

#[test]
fn chains_do_to_arriving_packets_what_the_list_says() {
    let mut dice = Dice::new(11);
    let (mut refused, mut redirected) = (0, 0);
    for round in 0..1500 {
        let policy = dice.arriving(1 + round % 8);
        let Ok(chains) = place(&policy, &mut Store::new()) else {
            refused += 1;
            continue;
        };
        for _ in 0..60 {
            let (header, answer) = dice.packet();
            let present = dice.below(2) == 0;
            let world = Still { answer, present };
            let event = Event::Packet {
                direction: Direction::In,
                packet: Parsed::Ip(header.clone()),
            };
            let mut wanted = reference(&policy, &event, &world);
            let hooks = [Hook::Xdp, Hook::TcIn, Hook::SkLookup];
            let mut found = run(&policy, &chains, &hooks, &header, &world);
            // The lookup counts lookups, which packets that are dropped before it do not make, nor established ones.
            let lookups = |rule: &RuleId| {
                policy.rules[*rule].at == Some(Hook::SkLookup)
                    || matches!(policy.rules[*rule].action, Action::Redirect(_))
            };
            wanted.counted.retain(|rule| !lookups(rule));
            found.counted.retain(|rule| !lookups(rule));
            found.defaulted &= policy.default_of(Direction::In).is_some();
            assert_eq!(
                found,
                wanted,
                "{header:?} {answer:?}\n{}",
                describe(&policy, &chains)
            );
            redirected += u32::from(matches!(found.verdict, Verdict::Redirect(_)));
        }
    }
    assert!(refused < 600 && redirected > 1000, "{refused} {redirected}");
}

#[test]
fn the_lookup_chain_is_the_meaning_of_a_lookup() {
    let mut dice = Dice::new(12);
    for round in 0..600 {
        let policy = dice.arriving(1 + round % 8);
        let Ok(chains) = place(&policy, &mut Store::new()) else {
            continue;
        };
        for _ in 0..60 {
            let (mut header, answer) = dice.packet();
            header.part = Part::Whole;
            if !matches!(header.transport, Transport::Tcp { .. }) {
                continue;
            }
            let world = Still {
                answer: if answer == SocketAnswer::Established {
                    SocketAnswer::None
                } else {
                    answer
                },
                present: dice.below(2) == 0,
            };
            let wanted = reference(&policy, &Event::Lookup(header.clone()), &world);
            let found = run(&policy, &chains, &[Hook::SkLookup], &header, &world);
            assert_eq!(found.verdict, wanted.verdict);
        }
    }
}

#[test]
fn chains_do_to_leaving_packets_and_writes_what_the_lists_say() {
    let mut dice = Dice::new(13);
    for round in 0..200 {
        let leaving = dice.leaving(1 + round % 8);
        let chains = placed(&leaving);
        for _ in 0..40 {
            let (header, answer) = dice.packet();
            let world = Still {
                answer,
                present: true,
            };
            let event = Event::Packet {
                direction: Direction::Out,
                packet: Parsed::Ip(header.clone()),
            };
            let found = run(&leaving, &chains, &[Hook::TcOut], &header, &world);
            assert_eq!(found, reference(&leaving, &event, &world));
        }
        let sending = dice.sending(1 + round % 8);
        let chains = placed(&sending);
        for group in sending.groups.keys() {
            let own: Vec<Chain> = chains
                .iter()
                .filter(|chain| chain.group == Some(group))
                .cloned()
                .collect();
            for _ in 0..40 {
                let header = dice.stream();
                let world = Still {
                    answer: SocketAnswer::None,
                    present: true,
                };
                let event = Event::Send {
                    group,
                    header: header.clone(),
                };
                let found = run(&sending, &own, &[Hook::SkMsg], &header, &world);
                assert_eq!(found, reference(&sending, &event, &world));
            }
        }
    }
}
