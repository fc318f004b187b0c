//! Bulk rules that ask what the header does not tell: random lists of them, found in tables, against the reference meaning, in
//! a world whose sockets follow from the packet.

use crate::classifier::{is_answerable, question};
use crate::decide::decide;
use crate::event::{Decider, Event, Header, Parsed, SocketAnswer, Verdict, World};
use crate::interpret::{Kernel, LookupKind, Maps, Netns, SocketModel, Tuple};
use crate::packet::build::Frame;
use crate::packet::parse::{Layout, parse};
use crate::pipeline::Built;
use crate::policy::{
    Action, Addresses, Condition, Direction, Endpoint, Family, NetnsId, Policy, Rule, Set, SetId,
    SetKind, Side, SocketId, SocketState,
};
use crate::protocol::IpProtocol;
use crate::tests::dice::Dice;
use crate::tests::parts::{default, rule, socket};

use super::made::{drops, in_tables};

/// One socket, or none, whoever asks; and how often somebody did.
struct Found {
    answer: SocketAnswer,
    asked: usize,
}

impl Kernel for Found {
    fn lookup(&mut self, kind: LookupKind, tuple: Tuple, _: Netns) -> Option<SocketModel> {
        const ESTABLISHED: i32 = 1;
        self.asked += 1;
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
        0
    }
    fn netns_cookie(&mut self) -> u64 {
        1
    }
}

impl World for Found {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        self.answer
    }
    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        false
    }
}

/// A side of a set in which there is nothing.
fn of_set(dice: &mut Dice, set: SetId) -> Side {
    Side::Endpoints {
        negated: dice.below(3) > 0,
        endpoints: vec![Endpoint {
            addresses: Addresses::Set(set),
            ports: None,
        }],
    }
}

/// Rules that tables can hold; most of them ask something.
fn some_policy(dice: &mut Dice, direction: Direction, rules: usize) -> Policy {
    let mut policy = Policy::default();
    let place = rule(Action::Allow).place;
    let set = policy.sets.push(Set {
        name: "members".into(),
        kind: SetKind::Live {
            max: 10,
            expires: None,
            start: Vec::new(),
        },
        place,
    });
    let named = policy.sockets.push(socket(false));
    while policy.rules.len() < rules {
        let mut matches = dice.matches(1);
        match dice.below(6) {
            0 => matches.from = Some(of_set(dice, set)),
            1 => matches.to = Some(of_set(dice, set)),
            2 if direction == Direction::In => {
                matches.conditions.push(Condition::SockAbsent(named));
            }
            2 | 3 => matches.conditions.push(Condition::Socket {
                test: dice.pick(&[SocketState::Exists, SocketState::Listening]),
                netns: None,
            }),
            _ => {}
        }
        if is_answerable(&matches) {
            policy.rules.push(Rule {
                matches,
                direction,
                ..rule(dice.pick(&[Action::Allow, Action::Drop]))
            });
        }
    }
    policy.defaults.push(default(direction, dice.below(2) == 0));
    policy
}

/// Compares verdicts and counters; gives how many packets a rule decided that is in tables and asks something.
fn check(policy: &Policy, built: &Built, direction: Direction, dice: &mut Dice) -> usize {
    let mut maps = Maps::new(&built.artifact.maps);
    let groups = built.bulk.iter().flat_map(|bulk| &bulk.groups);
    let members: Vec<_> = groups.flat_map(|group| &group.members).collect();
    let mut hits = 0;
    let mut wanted_counts = vec![0u64; built.artifact.manifest.counters.len()];
    for _ in 0..120 {
        let (header, answer) = dice.packet();
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
        let mut world = Found { answer, asked: 0 };
        let decision = decide(policy, &event, &world);
        let said = drops(
            (built, &mut maps),
            direction,
            (&frame, header.mark),
            &mut world,
        );
        let wanted = decision.verdict == Verdict::Drop;
        assert_eq!(said, wanted, "{policy:#?}\n{event:?}\n{decision:?}");
        let rules = policy.rules.len();
        let slot = match decision.decider {
            Decider::Rule(id) => {
                let asks = question(&policy.rules[id].matches).is_some();
                hits += usize::from(asks && members.contains(&&id));
                id.as_u32() as usize
            }
            Decider::Default => rules,
            // Where every packet gets the default, malformed ones count as that.
            _ => (rules + 1).min(wanted_counts.len() - 1),
        };
        wanted_counts[slot] += 1;
    }
    for (slot, wanted) in (0u32..).zip(wanted_counts) {
        let [counted, _] = maps.counted(slot).unwrap();
        assert_eq!(counted, wanted, "{slot} of {policy:#?}");
    }
    hits
}

#[test]
fn random_lists_that_ask_are_found_as_decided() {
    for direction in [Direction::Out, Direction::In] {
        let (mut hits, mut left) = (0, 0);
        for seed in 0..150 {
            let mut dice = Dice::new(seed);
            let rules = 1 + dice.below(12);
            let policy = some_policy(&mut dice, direction, rules);
            let built = in_tables(policy.clone());
            left += built
                .bulk
                .iter()
                .map(|bulk| bulk.unasked.len())
                .sum::<usize>();
            hits += check(&policy, &built, direction, &mut dice);
        }
        assert!(hits > 300 && left > 0, "{direction:?} {hits} {left}");
    }
}
