//! The chains run one after another against the reference meaning.

use super::placed;
use crate::chain::{Chain, ChainRule, Effect, Part};
use crate::decide::decide;
use crate::diagram::Store;
use crate::event::{
    Decider, Event, Fragment, Header, Parsed, SocketAnswer, Transport, Verdict, World,
};
use crate::hook::Hook;
use crate::place::{describe, place};
use crate::policy::{Action, Direction, Family, Policy, RuleId, SocketId};
use crate::policy::{DefaultVerdict, NetnsId};
use crate::protocol::IpProtocol;
use crate::tests::dice::Dice;
use crate::tests::parts::hit;

/// A world with the same answers for every packet.
struct Still {
    answer: SocketAnswer,
    present: bool,
}

impl World for Still {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        self.answer
    }
    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
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
        let new = header.is_looked_up(world.answer);
        for entry in &chain.entries {
            let data = &policy.rules[entry.rule].matches;
            let part = match entry.part {
                Part::All => true,
                Part::NewFlows => new,
                Part::NewFragments => new && header.fragment == Fragment::First,
            };
            if !hit(data, header, world.answer) || !part {
                continue;
            }
            if entry.counts {
                self.counted.push(entry.rule);
            }
            if entry.effect != Effect::Count {
                return self.decided(policy, entry, header, world);
            }
        }
        self.defaulted |= chain.default.counts;
        self.end(
            chain.default.verdict == DefaultVerdict::Allow,
            Verdict::Drop,
        )
    }

    fn decided(
        &mut self,
        policy: &Policy,
        entry: &ChainRule,
        header: &Header,
        world: &Still,
    ) -> bool {
        let action = policy.rules[entry.rule].action;
        let present = match action {
            Action::Redirect(socket) | Action::Intercept(socket) => {
                world.present && policy.sockets[socket].may_hold(header.family(), header.protocol)
            }
            _ => true,
        };
        match (entry.effect, action) {
            (Effect::Drop, _) => self.end(false, Verdict::Drop),
            (Effect::RedirectPass, _) => self.end(present, Verdict::Drop),
            (Effect::Redirect, Action::Redirect(socket)) => {
                if present {
                    self.verdict = Verdict::Redirect(socket);
                }
                self.end(present, Verdict::Reject)
            }
            (Effect::Intercept, Action::Intercept(socket)) => self.end(
                false,
                match present {
                    true => Verdict::Redirect(socket),
                    false => Verdict::of_absent(&policy.sockets[socket]),
                },
            ),
            (Effect::Feed, Action::Feed(feed)) => {
                self.verdict = Verdict::Feed(feed);
                true
            }
            (Effect::Shortcut, Action::Shortcut(near)) => {
                self.verdict = Verdict::Shortcut(near.to);
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
        let asked = header.is_looked_up(world.answer);
        if lookup && !asked {
            continue;
        }
        let mut seen = header.clone();
        let mut known = Still { ..*world };
        if lookup {
            seen.fragment = Fragment::Whole;
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
                class: Policy::plain_class(),
                packet: Parsed::Ip(header.clone()),
            };
            let mut wanted = reference(&policy, &event, &world);
            let hooks = [Hook::Xdp, Hook::TcIn, Hook::SkLookup];
            let mut found = run(&policy, &chains, &hooks, &header, &world);
            // The lookup counts lookups, which packets that are dropped before it do not make, nor established ones.
            let lookups = |rule: &RuleId| {
                policy.rules[*rule].in_lookup()
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
            header.fragment = Fragment::Whole;
            if header.transport == Transport::None || !header.protocol.has_socket() {
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
            let wanted = reference(
                &policy,
                &Event::Lookup {
                    class: Policy::plain_class(),
                    header: header.clone(),
                },
                &world,
            );
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
                class: Policy::plain_class(),
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
                let event = Event::Process {
                    direction: Direction::Send,
                    group,
                    header: header.clone(),
                };
                let found = run(&sending, &own, &[Hook::SkMsg], &header, &world);
                let mut wanted = reference(&sending, &event, &world);
                // A default that only allows does not count: most connections it speaks of are left alone.
                wanted.defaulted &= wanted.verdict != Verdict::Allow;
                assert_eq!(found, wanted);
            }
        }
    }
}
