//! Which rule dropped a packet, as far as that can be known after it.
//!
//! Takes the policy in force and a packet that was dropped; asks `decide` in every world that may have been: whose socket it was
//! for, whether a named socket was there, and whether a rate had room are not known any more, so both answers are tried. What live sets
//! and maps hold is read from the kernel now. Only what would have dropped the packet can have done so: if that is one rule, it is the
//! one. Not here: what is shown of it.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;

use sockc_compiler::artifact::{Counter, CounterKind, Manifest};
use sockc_compiler::decide::decide;
use sockc_compiler::event::{Decider, Event, Header, Parsed, SocketAnswer, Verdict, World};
use sockc_compiler::faithful;
use sockc_compiler::hook::Hook;
use sockc_compiler::packet::text::{Described, DescribedWorld, class_of};
use sockc_compiler::policy::{
    Direction, Family, LiveMapId, NetnsId, Policy, RuleId, SetId, SetKind, SocketId,
};
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::{Error, Options};

use crate::policies::lockout::known::{Members, contents};

/// In more worlds than these nobody asks: what is not known is too much.
const WORLDS: usize = 4096;

/// Who dropped a packet, or logged it.
#[derive(Clone, Debug)]
pub(super) enum By<'a> {
    /// What this counts.
    One(&'a Counter),
    /// One of these.
    OneOf(Vec<&'a Counter>),
    /// Nobody can say, and why.
    Unknown(String),
}

/// A policy in force, for questions about what it has dropped.
pub(super) struct Judge {
    options: Options,
    policy: Policy,
    manifest: Arc<Manifest>,
}

impl Judge {
    /// That of a generation; the text says why its policy is not known.
    pub(super) fn of(options: &Options, generation: u32) -> Result<Self, String> {
        let kept = sockc_runtime::kept(options, generation).map_err(|error| error.to_string())?;
        let policy = match kept.about.owned {
            true => of_block(options)?,
            false => faithful::policy_of(&kept.object, &kept.manifest)
                .map_err(|error| error.to_string())?,
        };
        Ok(Self {
            options: options.clone(),
            policy,
            manifest: kept.manifest,
        })
    }

    /// What its rules and defaults are counted by.
    pub(super) fn counters(&self) -> &[Counter] {
        &self.manifest.counters
    }

    /// Who dropped a packet on an interface.
    pub(super) fn by(&self, hook: Hook, interface: &str, packet: &Parsed) -> By<'_> {
        let direction = hook.direction();
        let event = Event::Packet {
            direction,
            class: class_of(&self.policy, interface),
            packet: packet.clone(),
        };
        let found = match self.deciders(&event) {
            Ok(found) => found,
            Err(why) => return By::Unknown(why),
        };
        let mut counters: Vec<&Counter> = Vec::new();
        for decider in found {
            let Some(counter) = self.counter(direction, decider) else {
                return By::Unknown("no counter is that of what drops it".to_owned());
            };
            if !counters.iter().any(|one| std::ptr::eq(*one, counter)) {
                counters.push(counter);
            }
        }
        match counters.as_slice() {
            [] => By::Unknown(
                "by what the policy says, and live sets and maps hold now, it is not dropped"
                    .to_owned(),
            ),
            [one] => By::One(one),
            _ => By::OneOf(counters),
        }
    }

    /// Who drops it, in any world that may have been.
    fn deciders(&self, event: &Event) -> Result<Vec<Decider>, String> {
        let policy = &self.policy;
        let mut described = Described::plain(event.clone(), SocketAnswer::None);
        let known = contents(policy, &self.options, &addresses(event));
        let (mut sets, mut maps) = (Vec::new(), Vec::new());
        for (set, members) in known.sets {
            match members {
                Members::Read { now, .. } => described.members.push((set, now)),
                Members::Unread => sets.push(set),
            }
        }
        for (map, entries) in known.maps {
            match entries {
                Some(entries) => described.contents.push((map, entries)),
                None => maps.push(map),
            }
        }
        let worlds = Worlds {
            policy,
            known: DescribedWorld::new(policy, &described),
            unread: (&sets, &maps),
            missed: Cell::new(None),
            choices: RefCell::default(),
        };
        let mut found = Vec::new();
        for _ in 0..WORLDS {
            worlds.choices.borrow_mut().asked = 0;
            let decision = decide(policy, event, &worlds);
            if let Some(what) = worlds.missed.take() {
                return Err(format!("{what} cannot be read"));
            }
            // A reject that is not answered drops, too.
            let drops = matches!(decision.verdict, Verdict::Drop | Verdict::Reject);
            if drops && !self.is_of_lookup(decision.decider) && !found.contains(&decision.decider) {
                found.push(decision.decider);
            }
            if !worlds.choices.borrow_mut().next() {
                return Ok(found);
            }
        }
        Err("it depends on more than can be tried".to_owned())
    }

    /// Whether only lookups ask a rule, which come after the hooks that are followed.
    fn is_of_lookup(&self, decider: Decider) -> bool {
        matches!(decider, Decider::Rule(rule) if self.policy.rules[rule].at == Some(Hook::SkLookup))
    }

    fn counter(&self, direction: Direction, decider: Decider) -> Option<&Counter> {
        let of_kind = |kind: CounterKind| {
            let mut all = self.counters().iter();
            all.find(|one| one.kind == kind && one.direction == direction.word())
        };
        match decider {
            Decider::Rule(rule) => {
                let rule = &self.policy.rules[rule];
                let place = &rule.place.location;
                let mut all = self.counters().iter();
                all.find(|one| {
                    let there = &one.location;
                    one.kind == CounterKind::Rule
                        && one.direction == direction.word()
                        && one.label == rule.label
                        && (&there.file, there.line, &there.text)
                            == (&place.file, place.line, &place.text)
                })
            }
            Decider::Default => of_kind(CounterKind::Default),
            // Where a program tells them from no other, they count as the default.
            Decider::Malformed => {
                of_kind(CounterKind::Malformed).or_else(|| of_kind(CounterKind::Default))
            }
            Decider::NotIp | Decider::Unmatched => None,
        }
    }
}

/// The policy of the `for netns` block of a namespace: its text stands in that of the policy around it.
fn of_block(options: &Options) -> Result<Policy, String> {
    let around = Options {
        netns: None,
        ..options.clone()
    };
    let said = |error: Error| format!("the policy around the block is not known here: {error}");
    let running = sockc_runtime::running(&around).map_err(said)?;
    let running = running.ok_or("the policy around the block is not in force in this namespace")?;
    let kept = sockc_runtime::kept(&around, running.generation).map_err(said)?;
    let policy = faithful::policy_of(&kept.object, &kept.manifest);
    let policy = policy.map_err(|error| error.to_string())?;
    let mut blocks = policy.netns.into_iter();
    let block = blocks.find(|block| Some(&block.name) == options.netns.as_ref());
    let block = block.ok_or("no block of the policy in force here is for this namespace")?;
    Ok(block.policy)
}

fn addresses(event: &Event) -> Vec<IpAddr> {
    match event {
        Event::Packet {
            packet: Parsed::Ip(header),
            ..
        } => vec![header.from, header.to],
        _ => Vec::new(),
    }
}

/// Answers that were chosen, each of so many, in the order of the questions.
#[derive(Default)]
struct Choices {
    made: Vec<(u8, u8)>,
    asked: usize,
}

impl Choices {
    fn choose(&mut self, of: u8) -> u8 {
        let place = self.asked;
        self.asked += 1;
        match self.made.get(place) {
            Some((chosen, _)) => *chosen,
            None => {
                self.made.push((0, of));
                0
            }
        }
    }

    /// Goes on to the next way to choose; `false` after the last.
    fn next(&mut self) -> bool {
        while let Some((chosen, of)) = self.made.pop() {
            if chosen + 1 < of {
                self.made.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

/// Worlds that differ in what is not known.
struct Worlds<'a> {
    policy: &'a Policy,
    known: DescribedWorld<'a>,
    /// Live sets and maps that cannot be read.
    unread: (&'a [SetId], &'a [LiveMapId]),
    /// One of them that was asked.
    missed: Cell<Option<String>>,
    choices: RefCell<Choices>,
}

impl Worlds<'_> {
    fn either(&self) -> bool {
        self.choices.borrow_mut().choose(2) == 0
    }
}

impl World for Worlds<'_> {
    fn socket(&self, _: Direction, _: Option<NetnsId>, header: &Header) -> SocketAnswer {
        if !header.has_socket() {
            return SocketAnswer::None;
        }
        match self.choices.borrow_mut().choose(3) {
            0 => SocketAnswer::None,
            1 => SocketAnswer::Listening,
            _ => SocketAnswer::Established,
        }
    }

    fn present(&self, socket: SocketId, family: Family, protocol: IpProtocol) -> bool {
        self.known.present(socket, family, protocol) && self.either()
    }

    fn member(&self, set: SetId, address: IpAddr) -> bool {
        let data = &self.policy.sets[set];
        if matches!(data.kind, SetKind::Live { .. }) && self.unread.0.contains(&set) {
            self.missed
                .set(Some(format!("the live set `{}`", data.name)));
        }
        self.known.member(set, address)
    }

    fn entry(&self, map: LiveMapId, header: &Header) -> Option<SocketId> {
        if self.unread.1.contains(&map) {
            let name = &self.policy.live_maps[map].name;
            self.missed.set(Some(format!("the live map `{name}`")));
        }
        self.known.entry(map, header)
    }

    fn conforms(&self, _: RuleId, _: &Header) -> bool {
        self.either()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockc_compiler::event::{Fragment, Transport};
    use sockc_compiler::files::Texts;
    use sockc_compiler::pipeline;
    use sockc_compiler::target::Target;
    use sockc_grammar::source::SourceMap;

    fn judge(text: &str) -> Judge {
        let mut sources = SourceMap::default();
        let id = sources.add("edge.sk", text);
        let mut texts = Texts::default();
        let policy = pipeline::resolve(&mut sources, id, "edge", &mut texts).policy;
        let target = Target::baseline();
        let built = pipeline::compile(&mut sources, id, "edge", &target, &mut texts).built;
        Judge {
            options: Options::default(),
            policy: policy.unwrap(),
            manifest: Arc::new(built.unwrap().artifact.manifest),
        }
    }

    /// Who dropped a packet from 203.0.113.9 to this port.
    fn said(text: &str, protocol: IpProtocol, port: u16) -> Vec<String> {
        let judge = judge(text);
        let transport = match protocol {
            IpProtocol::TCP => Transport::Tcp {
                from: 4000,
                to: port,
                flags: 2,
            },
            _ => Transport::Ports {
                from: 4000,
                to: port,
            },
        };
        let header = Header {
            from: "203.0.113.9".parse().unwrap(),
            to: "192.0.2.1".parse().unwrap(),
            protocol,
            fragment: Fragment::Whole,
            transport,
            length: 60,
            ..Header::PLAIN
        };
        let name = |one: &Counter| match (&one.label, one.kind) {
            (Some(label), _) => label.clone(),
            (None, kind) => format!("{kind:?}"),
        };
        match judge.by(Hook::TcIn, "eth0", &Parsed::Ip(header)) {
            By::One(one) => vec![name(one)],
            By::OneOf(all) => all.into_iter().map(name).collect(),
            By::Unknown(why) => {
                assert!(why.contains("it is not dropped"), "{why}");
                Vec::new()
            }
        }
    }

    const POLICY: &str = "\
default in drop
named: drop udp to port 10
paced: allow udp to port 11 up to 3/second
first: drop udp to port 12 above 3/second
second: drop udp to port 12
open: allow udp to port 13
own: allow tcp if socket established
refused: reject tcp to port 15
";

    #[test]
    fn only_what_would_have_dropped_it_is_named() {
        let udp = |port| said(POLICY, IpProtocol::UDP, port);
        assert_eq!(udp(10), ["named"]);
        // It was dropped, so the rate had no room.
        assert_eq!(udp(11), ["Default"]);
        assert_eq!(udp(12), ["second", "first"]);
        assert!(udp(13).is_empty());
        // It was dropped, so the socket was no established one.
        assert_eq!(said(POLICY, IpProtocol::TCP, 14), ["Default"]);
        assert_eq!(said(POLICY, IpProtocol::TCP, 15), ["refused"]);
    }

    #[test]
    fn what_depends_on_too_much_is_not_guessed() {
        let said = |rates: usize| {
            let counts = (1..=rates).map(|rate| format!("count udp above {rate}/second\n"));
            let judge = judge(&(counts.collect::<String>() + "default in drop\n"));
            let header = Header {
                protocol: IpProtocol::UDP,
                transport: Transport::Ports { from: 1, to: 9 },
                length: 28,
                ..Header::PLAIN
            };
            match judge.by(Hook::Xdp, "eth0", &Parsed::Ip(header)) {
                By::One(one) => one.kind == CounterKind::Default,
                _ => false,
            }
        };
        // 4096 worlds and 8192.
        assert!(said(12) && !said(13));
    }

    #[test]
    fn every_way_to_choose_is_tried_once() {
        let mut choices = Choices::default();
        let mut seen = Vec::new();
        loop {
            choices.asked = 0;
            let first = choices.choose(2);
            // What is asked depends on what was said.
            seen.push((first, (first == 0).then(|| choices.choose(3))));
            if !choices.next() {
                break;
            }
        }
        let all = [(0, Some(0)), (0, Some(1)), (0, Some(2)), (1, None)];
        assert_eq!(seen, all);
    }
}
