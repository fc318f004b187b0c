//! Bulk rules with rates: random lists of them, found in tables, against the reference meaning, whose world keeps a bucket for each
//! rule and address; packet by packet, on a clock that is set.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;

use crate::bulk::{Breadth, Bulk, Conditions, Taking};
use crate::classifier::{is_answerable, question};
use crate::decide::decide;
use crate::event::{Decider, Event, Header, Parsed, SocketAnswer, Verdict, World};
use crate::interpret::{Kernel, LookupKind, Maps, Netns, SocketModel, Tuple};
use crate::packet::build::Frame;
use crate::packet::parse::{Layout, parse};
use crate::pipeline::Built;
use crate::policy::{
    Action, Direction, Family, NetnsId, Per, Policy, Rate, RateUnit, Rule, RuleId, SocketId,
};
use crate::protocol::IpProtocol;
use crate::target::Target;
use crate::tests::dice::Dice;
use crate::tests::parts::{default, rule};

use super::made::{built_with, drops, tables};

/// Who takes tokens of a bucket: the rule, and as much of an address as counts.
type Holder = (RuleId, bool, u128);

/// One socket, or none, whoever asks; the time; and for each bucket when it will be full again.
struct Metered<'p> {
    policy: &'p Policy,
    answer: SocketAnswer,
    now: u64,
    full: RefCell<HashMap<Holder, u64>>,
    /// How many rates were asked.
    asked: Cell<usize>,
}

impl Kernel for Metered<'_> {
    fn lookup(&mut self, kind: LookupKind, tuple: Tuple, _: Netns) -> Option<SocketModel> {
        const ESTABLISHED: i32 = 1;
        let socket = match kind {
            LookupKind::Udp => SocketModel::udp(1, tuple.destination),
            _ => SocketModel::listener(1, tuple.destination),
        };
        match self.answer {
            SocketAnswer::None => None,
            SocketAnswer::Listening => Some(socket),
            SocketAnswer::Established => Some(socket.connected(ESTABLISHED, tuple.source)),
        }
    }
    fn now(&mut self) -> u64 {
        self.now
    }
    fn netns_cookie(&mut self) -> u64 {
        1
    }
}

impl World for Metered<'_> {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        self.answer
    }
    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        false
    }
    /// Takes the tokens, as the language says it; nothing here is rounded.
    fn conforms(&self, id: RuleId, header: &Header) -> bool {
        self.asked.update(|asked| asked + 1);
        let rate = self.policy.rules[id].rate.unwrap();
        let token = u64::from(rate.period) * 1_000_000_000 / rate.count;
        let tokens = match rate.unit {
            RateUnit::Bytes => u64::from(header.length),
            _ => 1,
        };
        let mut buckets = self.full.borrow_mut();
        let full = buckets.entry(holder(id, &rate, header)).or_insert(0);
        let then = (*full).max(self.now) + tokens * token;
        let conforms = then - self.now <= rate.burst * token;
        if conforms {
            *full = then;
        }
        conforms
    }
}

fn holder(id: RuleId, rate: &Rate, header: &Header) -> Holder {
    let Some(per) = rate.per else {
        return (id, false, 0);
    };
    let address = if per.destination {
        header.to
    } else {
        header.from
    };
    let kept = |bits: u128, whole: u32, kept: u8| bits.checked_shr(whole - u32::from(kept));
    let kept = match address {
        IpAddr::V4(v4) => kept(v4.to_bits().into(), 32, per.v4),
        IpAddr::V6(v6) => kept(v6.to_bits(), 128, per.v6),
    };
    (id, address.is_ipv6(), kept.unwrap_or(0))
}

fn some_rate(dice: &mut Dice) -> Rate {
    let unit = dice.pick(&[RateUnit::Packets, RateUnit::Bytes, RateUnit::Connections]);
    let burst = match unit {
        RateUnit::Bytes => dice.pick(&[40, 99, 3000, 100_000]),
        _ => dice.pick(&[1, 2, 4]),
    };
    let per = Per {
        destination: dice.below(2) == 0,
        v4: dice.pick(&[0, 24, 32]),
        v6: dice.pick(&[0, 32, 64, 128]),
    };
    Rate {
        above: dice.below(2) == 0,
        count: dice.pick(&[1, 2, 1000]),
        period: dice.pick(&[1, 60]),
        unit,
        per: (dice.below(2) == 0).then_some(per),
        burst,
    }
}

/// Rules that tables can hold, many with rates; some of the others set a mark, which keeps them out.
fn some_policy(dice: &mut Dice, direction: Direction, rules: usize) -> Policy {
    let mut policy = Policy::default();
    while policy.rules.len() < rules {
        let conditions = usize::from(dice.below(3) == 0);
        let matches = dice.matches(conditions);
        if !is_answerable(&matches) || question(&matches).is_some() {
            continue;
        }
        let rate = (dice.below(3) > 0).then(|| some_rate(dice));
        let action = dice.pick(&[Action::Allow, Action::Drop]);
        let marks = rate.is_none() && action == Action::Allow && dice.below(3) == 0;
        policy.rules.push(Rule {
            matches,
            direction,
            rate,
            mark: marks.then_some(7),
            ..rule(action)
        });
    }
    policy.defaults.push(default(direction, dice.below(2) == 0));
    policy
}

/// What a campaign met.
#[derive(Debug, Default)]
struct Met {
    /// Packets that rules with rates decided which are in tables.
    decided: usize,
    /// Of these, by one that is not the first of its packet.
    later: usize,
    /// Rules with rates that are not in tables.
    left: usize,
    /// Lists whose tables were not made.
    refused: usize,
    /// The greatest level.
    level: u8,
    /// Rates of connections in tables.
    connections: usize,
}

/// The slot of whoever decided.
fn slot(decider: &Decider, rules: usize, slots: usize) -> usize {
    match decider {
        Decider::Rule(id) => id.as_u32() as usize,
        Decider::Default => rules,
        // Where every packet gets the default, malformed ones count as that.
        _ => (rules + 1).min(slots - 1),
    }
}

/// Compares verdicts and counters of packets in a row.
fn check(policy: &Policy, built: &Built, direction: Direction, dice: &mut Dice, met: &mut Met) {
    let mut maps = Maps::new(&built.artifact.maps);
    let members = built.bulk.iter().flat_map(Bulk::metered);
    let members: HashMap<RuleId, u8> = members.collect();
    let taking = Taking::new(Breadth::Every, Conditions::All);
    let possible = Bulk::of(policy, 1, &taking);
    met.refused += usize::from(possible.is_some() && built.bulk.is_none());
    let rated = policy.rules.values().filter(|rule| rule.rate.is_some());
    met.left += rated.count() - members.len();
    let units = members.keys().filter_map(|id| policy.rules[*id].rate);
    met.connections += units
        .filter(|rate| rate.unit == RateUnit::Connections)
        .count();
    met.level = met.level.max(members.values().copied().max().unwrap_or(0));
    let mut counts = vec![0u64; built.artifact.manifest.counters.len()];
    let mut world = Metered {
        policy,
        answer: SocketAnswer::None,
        now: 1_000_000_000_000_000,
        full: RefCell::default(),
        asked: Cell::default(),
    };
    for _ in 0..100 {
        let (header, answer) = dice.packet();
        world.answer = answer;
        world.now += dice.pick(&[0, 1, 250_000_000, 1_000_000_000]);
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
        world.asked.set(0);
        let decision = decide(policy, &event, &world);
        let what = (&frame[..], header.mark);
        let said = drops((built, &mut maps), direction, what, &mut world);
        let wanted = decision.verdict == Verdict::Drop;
        assert_eq!(said, wanted, "{policy:#?}\n{event:?}\n{decision:?}");
        if let Decider::Rule(id) = decision.decider
            && members.contains_key(&id)
        {
            met.decided += 1;
            met.later += usize::from(world.asked.get() > 1);
        }
        let slot = slot(&decision.decider, policy.rules.len(), counts.len());
        counts[slot] += 1;
    }
    for (slot, wanted) in (0u32..).zip(counts) {
        let [counted, _] = maps.counted(slot).unwrap();
        assert_eq!(counted, wanted, "{slot} of {policy:#?}");
    }
}

#[test]
fn random_lists_with_rates_are_metered_as_decided() {
    for target in [Target::baseline(), Target::baseline().with_atomics()] {
        for direction in [Direction::Out, Direction::In] {
            let mut met = Met::default();
            for seed in 0..200 {
                let mut dice = Dice::new(seed);
                let rules = 1 + dice.below(10);
                let policy = some_policy(&mut dice, direction, rules);
                let built = built_with(policy.clone(), tables(&target));
                check(&policy, &built, direction, &mut dice, &mut met);
            }
            let rich = met.decided > 1000 && met.later > 50 && met.left > 50;
            assert!(met.refused < 60 && met.connections > 50, "{met:?}");
            assert!(rich && met.level == 3, "{direction:?} {met:?}");
        }
    }
}
