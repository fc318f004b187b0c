//! The reference meaning for many packets: each question is asked once, and only of rules that may match.
//!
//! Takes a policy, then packets and what their lookups find; gives what [`decide`](crate::decide::decide) gives, as the
//! number of an [`Answer`]. Live sets and maps hold what they start with, every rate fits that can, named sockets are there. Not
//! here: which sockets there are.

use std::collections::HashMap;

use super::sight::Sight;
use crate::candidates::{Index, Looks};
use crate::coverage;
use crate::decide::decide_among;
use crate::event::{Decider, Header, Parsed, SocketAnswer, Verdict};
use crate::packet::text::{Described, DescribedWorld};
use crate::policy::{ClassId, Direction, Policy, RuleId};

/// So many answers are remembered: some 100 bytes each. Then it begins anew.
const MAX_KNOWN: usize = 1 << 18;

/// What a policy says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// Who decides; nobody where the policy is not on the interface and no lookup rule matches.
    pub(super) decider: Option<Decider>,
    pub(super) mark: Option<u32>,
    /// For which direction it was asked.
    pub(super) direction: Direction,
}

/// Where a packet comes in or leaves, as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Port {
    pub(super) class: ClassId,
    /// Whether the policy is on this interface.
    pub(super) attached: bool,
}

impl Port {
    /// The classes of a packet's interfaces: a recording says one.
    pub(super) fn classes(self) -> [ClassId; 2] {
        [self.class, Policy::plain_class()]
    }
}

/// What an answer depends on.
#[derive(PartialEq, Eq, Hash)]
struct Question {
    direction: Direction,
    port: Port,
    socket: SocketAnswer,
    header: Header,
}

/// A policy that is asked about many packets.
pub(super) struct Quick<'a> {
    policy: &'a Policy,
    sight: Sight,
    /// Candidates among the rules for packets that arrive and that leave.
    indices: [Index; 2],
    known: HashMap<Question, u32>,
    outcomes: Vec<Answer>,
    numbers: HashMap<Answer, u32>,
}

impl<'a> Quick<'a> {
    pub(super) fn new(policy: &'a Policy) -> Self {
        let index = |direction| {
            let rules: Vec<_> = policy.rules_of(direction).collect();
            let matches = rules.iter().map(|(id, rule)| (*id, &rule.matches));
            Index::new(policy, matches)
        };
        Self {
            policy,
            sight: Sight::of(policy),
            indices: [index(Direction::In), index(Direction::Out)],
            known: HashMap::new(),
            outcomes: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// The policy.
    pub(super) fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// The outcome with a number.
    pub(super) fn outcome(&self, number: u32) -> Answer {
        self.outcomes[number as usize]
    }

    /// The number of what the policy says of a packet for which a lookup finds `socket`.
    pub(super) fn ask(
        &mut self,
        direction: Direction,
        port: Port,
        packet: &Parsed,
        socket: SocketAnswer,
    ) -> u32 {
        let Parsed::Ip(header) = packet else {
            let outcome = self.decide(direction, port, packet, socket, &[]);
            return self.number(outcome);
        };
        let question = Question {
            direction,
            port,
            socket,
            header: self.sight.of_header(header),
        };
        if let Some(known) = self.known.get(&question) {
            return *known;
        }
        let candidates = self.candidates(direction, &question.header);
        let packet = Parsed::Ip(question.header.clone());
        let outcome = self.decide(direction, port, &packet, socket, &candidates);
        let number = self.number(outcome);
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(question, number);
        number
    }

    /// The rules that may match, in order.
    fn candidates(&self, direction: Direction, header: &Header) -> Vec<RuleId> {
        let index = &self.indices[usize::from(direction == Direction::Out)];
        let mut found = Vec::new();
        index.around(header, 0..u32::MAX, &Looks::new(u64::MAX), &mut |id| {
            found.push(id);
            true
        });
        found.sort_unstable();
        found
    }

    fn decide(
        &self,
        direction: Direction,
        port: Port,
        packet: &Parsed,
        socket: SocketAnswer,
        candidates: &[RuleId],
    ) -> Answer {
        let none = Answer {
            verdict: Verdict::Allow,
            decider: None,
            mark: None,
            direction,
        };
        let asked = coverage::event(port.attached, direction, port.classes(), packet, socket);
        let Some(event) = asked else {
            return none;
        };
        let described = Described::plain(event, socket);
        let world = DescribedWorld::new(self.policy, &described);
        let decision = decide_among(self.policy, &described.event, &world, candidates);
        if !port.attached && decision.decider == Decider::Unmatched {
            return none;
        }
        Answer {
            verdict: decision.verdict,
            decider: Some(decision.decider),
            mark: decision.mark,
            direction,
        }
    }

    fn number(&mut self, outcome: Answer) -> u32 {
        let next = u32::try_from(self.outcomes.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(outcome).or_insert(next);
        if number == next {
            self.outcomes.push(outcome);
        }
        number
    }
}
