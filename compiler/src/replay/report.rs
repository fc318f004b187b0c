//! What a replay counted, ready to be shown: everything is text or a number.
//!
//! Not here: how packets are counted, and how a report is laid out.

use std::collections::BTreeMap;

use super::quick::Answer;
use super::{Count, Replay, Sockets};
use crate::diff::report::{Decider, Fate, Line};
use crate::event;
use crate::packet::text::{self, Described};
use crate::policy::{
    Condition, Direction, Policy, Rule, Set, SetKind, Socket, SocketId, SourceLocation,
};

/// So many flows are named for each change.
const TOP: usize = 10;

/// What a change of a policy does to recorded traffic.
#[derive(Clone, Debug)]
pub struct Report {
    /// Everything that was read.
    pub whole: Count,
    /// How many flows that is: packets between two ends, both ways together.
    pub flows: usize,
    /// Packets of flows that were too many to be told apart: their packets count, but no flows.
    pub beyond: u64,
    /// Frames that are not IP, which always pass.
    pub not_ip: u64,
    /// Malformed packets, which get the default.
    pub malformed: u64,
    /// What gets another fate.
    pub changed: Count,
    /// Flows of which at least one packet gets another fate.
    pub changed_flows: usize,
    /// What keeps its fate, by fate.
    pub kept: Vec<(Fate, Count)>,
    /// What changes, most packets first.
    pub pairs: Vec<Change>,
    /// What is taken for granted of the machine and matters to these policies: sentences without a full stop.
    pub assumptions: Vec<&'static str>,
}

/// Packets of which the same two deciders make two fates.
#[derive(Clone, Debug)]
pub struct Change {
    /// Whether they arrive or leave.
    pub direction: Direction,
    /// Their fate in the old policy.
    pub from: Fate,
    /// Their fate in the new policy.
    pub to: Fate,
    /// Who decides in the old policy.
    pub was: Decider,
    /// Who decides in the new policy.
    pub will_be: Decider,
    /// How many they are.
    pub count: Count,
    /// How many flows they belong to.
    pub flows: usize,
    /// The first of them in the words that `explain` takes.
    pub example: Option<String>,
    /// The flows with the most of them.
    pub top: Vec<(String, Count)>,
}

impl Replay<'_> {
    /// What was counted.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut changed = Count::default();
        let mut kept: BTreeMap<Fate, Count> = BTreeMap::new();
        for (&(_, new), pair) in &self.pairs {
            let sum = if pair.changes {
                &mut changed
            } else {
                let (after, before) = (self.new.policy(), self.old.policy());
                kept.entry(fate(after, before, self.new.outcome(new)))
                    .or_default()
            };
            sum.packets += pair.count.packets;
            sum.bytes += pair.count.bytes;
        }
        Report {
            whole: self.whole,
            flows: self.flows.len(),
            beyond: self.flows.beyond,
            not_ip: self.not_ip,
            malformed: self.malformed,
            changed,
            changed_flows: self.flows.values().filter(|flow| flow.changes).count(),
            kept: kept.into_iter().collect(),
            pairs: self.changes_by_size(),
            assumptions: self.assumptions(),
        }
    }

    fn changes_by_size(&self) -> Vec<Change> {
        let mut flows: BTreeMap<usize, Vec<(usize, Count)>> = BTreeMap::new();
        for (&(flow, pair), count) in &self.by_flow {
            flows.entry(pair).or_default().push((flow, *count));
        }
        let numbered = self.pairs.values().enumerate();
        let mut changed: Vec<_> = numbered
            .filter(|(_, pair)| pair.changes)
            .map(|(number, pair)| (number, pair.count))
            .collect();
        changed.sort_by_key(|(number, count)| (largest_first(*count), *number));
        let change = |(number, _)| {
            let flows = flows.remove(&number).unwrap_or_default();
            self.change(number, flows)
        };
        changed.into_iter().filter_map(change).collect()
    }

    fn change(&self, number: usize, mut flows: Vec<(usize, Count)>) -> Option<Change> {
        let (&(old, new), pair) = self.pairs.get_index(number)?;
        let (before, after) = (self.old.policy(), self.new.policy());
        let (was, will_be) = (self.old.outcome(old), self.new.outcome(new));
        flows.sort_by_key(|(flow, count)| (largest_first(*count), *flow));
        let top = flows.iter().take(TOP);
        let example = pair.example.clone().and_then(|(event, socket)| {
            text::describe_case(after, &Described::plain(event, socket))
        });
        Some(Change {
            direction: will_be.direction,
            from: fate(before, after, was),
            to: fate(after, before, will_be),
            was: decider(before, was),
            will_be: decider(after, will_be),
            count: pair.count,
            flows: flows.len(),
            example,
            top: top
                .map(|(flow, count)| (self.words(*flow), *count))
                .collect(),
        })
    }

    /// A flow in words, from the end that was seen sending first.
    fn words(&self, flow: usize) -> String {
        let words = |(key, flow): (&super::flows::Key, &super::flows::Flow)| {
            text::describe(&key.header(flow.first), Direction::In)
        };
        self.flows.get(flow).map(words).unwrap_or_default()
    }

    fn assumptions(&self) -> Vec<&'static str> {
        let policies = [self.old.policy(), self.new.policy()];
        let rules = policies.iter().flat_map(|policy| policy.rules.values());
        let rates = || {
            let rated = rules.clone().filter(|rule| !rule.direction.of_processes());
            rated.filter_map(|rule| rule.rate.as_ref().map(|rate| (rule.direction, rate)))
        };
        let of_bytes = rates().any(|(direction, rate)| rate.longest(direction).is_some());
        let sockets = match self.sockets {
            Sockets::Traffic => {
                "sockets are those that the traffic shows: what answers in it listens or is connected"
            }
            Sockets::None => "no packet finds a socket",
        };
        let live = policies.iter().any(|policy| {
            !policy.live_maps.is_empty()
                || policy
                    .sets
                    .values()
                    .any(|set| matches!(set.kind, SetKind::Live { .. }) && !set.is_own())
        });
        let all = [
            (self.asks_sockets, sockets),
            (live, "live sets and maps hold what they start with"),
            (
                policies
                    .iter()
                    .any(|policy| policy.sets.values().any(Set::is_own)),
                "`self` holds no address",
            ),
            (
                policies.iter().any(|policy| policy.asks_for_frames()),
                "packets recorded without their Ethernet frames have the hardware addresses 00:00:00:00:00:00",
            ),
            (
                rates().next().is_some(),
                match of_bytes {
                    true => {
                        "every packet fits every rate but those of bytes whose burst it is longer than"
                    }
                    false => "every packet fits every rate",
                },
            ),
            (
                policies.iter().any(|policy| !policy.sockets.is_empty()),
                "named sockets are there",
            ),
            (
                policies.iter().any(|policy| !policy.namespaces.is_empty()),
                "nothing listens in other network namespaces",
            ),
            (
                policies
                    .iter()
                    .any(|policy| policy.has_list(Direction::Forward)),
                "no packet passes through: a recording does not say by which interface what leaves came in",
            ),
            (
                policies.iter().any(|policy| !policy.netns.is_empty()),
                "blocks for other network namespaces are left out",
            ),
        ];
        let matter = all.into_iter().filter(|(matters, _)| *matters);
        matter.map(|(_, sentence)| sentence).collect()
    }
}

/// Sorts the most packets first, then the most bytes.
fn largest_first(count: Count) -> (std::cmp::Reverse<u64>, std::cmp::Reverse<u64>) {
    (
        std::cmp::Reverse(count.packets),
        std::cmp::Reverse(count.bytes),
    )
}

/// Whether it matters to a policy which sockets there are. Redirects leave connections alone, and rules `at sk_lookup`
/// are for new flows.
pub(super) fn asks_sockets(policy: &Policy) -> bool {
    fn asks(condition: &Condition) -> bool {
        match condition {
            Condition::No(inner) => asks(inner),
            Condition::AnyOf(any) => any.iter().any(asks),
            Condition::Socket { netns, .. } => netns.is_none(),
            _ => false,
        }
    }
    let steers = |rule: &Rule| rule.at.is_some() || rule.action.receiver().is_some();
    let mut rules = policy.rules.values();
    rules.any(|rule| steers(rule) || rule.matches.conditions.iter().any(asks))
}

/// What becomes of packets, so that it can be compared with what `other` makes of them.
pub(super) fn fate(policy: &Policy, other: &Policy, outcome: Answer) -> Fate {
    Fate::of(
        outcome.verdict,
        outcome.mark,
        |socket| socket_words(policy, other, socket),
        |interface| policy.out_interfaces[interface].clone(),
        |group| policy.groups[group].name.clone(),
    )
}

/// A socket's name, with where it comes from if the other policy has another socket of this name.
fn socket_words(policy: &Policy, other: &Policy, socket: SocketId) -> String {
    let socket = &policy.sockets[socket];
    let same = |one: &&Socket| one.name == socket.name;
    let elsewhere = other.sockets.values().find(same);
    match elsewhere.is_some_and(|one| one.origin != socket.origin) {
        true => socket.words_in_full(),
        false => socket.words(),
    }
}

fn decider(policy: &Policy, outcome: Answer) -> Decider {
    let default = || policy.default_of(outcome.direction);
    match outcome.decider {
        None => Decider::NotAttached,
        Some(event::Decider::Rule(id)) => {
            let rule = &policy.rules[id];
            Decider::Line(line(&rule.place, rule.label.clone(), false))
        }
        Some(event::Decider::Default | event::Decider::Malformed) => match default() {
            Some(default) => Decider::Line(line(&default.place, None, true)),
            None => Decider::Nobody,
        },
        Some(event::Decider::NotIp | event::Decider::Unmatched) => Decider::Nobody,
    }
}

fn line(place: &SourceLocation, label: Option<String>, is_default: bool) -> Line {
    Line {
        location: place.location.clone(),
        label,
        is_default,
    }
}
