//! What one event must leave behind by the reference meaning: counters, records of logs, tokens, the mark.

use std::collections::{BTreeMap, BTreeSet};

use sockc_compiler::chain::Chain;
use sockc_compiler::decide::{decide, next};
use sockc_compiler::event::{Decider, Decision, Event, Header, Parsed, Verdict, World};
use sockc_compiler::hook::Hook;
use sockc_compiler::log;
use sockc_compiler::pipeline::{Counters, Slots};
use sockc_compiler::place::counts_in_send;
use sockc_compiler::policy::{Action, ClassId, Direction, Policy, RateUnit, RuleId};
use sockc_compiler::simulate::INTERFACE;

use crate::Subject;
use crate::answer::is_answered;
use crate::made::Metered;

/// A record that must be in the ring.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// The counter next to which it was written.
    slot: u32,
    /// Whether it may be missing, being a sample.
    sampled: bool,
    /// Whether it comes from a socket lookup.
    looked_up: bool,
}

/// What must come of one event.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) decision: Decision,
    pub(crate) verdict: Verdict,
    /// Packets and bytes by slot.
    pub(crate) counted: BTreeMap<u32, (u64, u64)>,
    pub(crate) logged: Vec<Logged>,
    pub(crate) taken: BTreeSet<RuleId>,
}

impl Wanted {
    /// Whether it is a packet hook that rejects, not the lookup after it.
    pub(crate) fn rejects_at_packet_hooks(&self, policy: &Policy) -> bool {
        self.verdict == Verdict::Reject
            && match self.decision.decider {
                Decider::Rule(rule) => !is_of_lookup(policy, rule),
                _ => true,
            }
    }

    /// Whether a packet hook gives the packet its socket, so that no lookup is made for it.
    pub(crate) fn is_taken(&self, policy: &Policy) -> bool {
        matches!(self.verdict, Verdict::Redirect(_))
            && matches!(self.decision.decider, Decider::Rule(rule) if !is_of_lookup(policy, rule))
    }
}

/// Whether the socket lookup is where a rule counts.
fn is_of_lookup(policy: &Policy, rule: RuleId) -> bool {
    let rule = &policy.rules[rule];
    matches!(rule.action, Action::Redirect(_)) || rule.in_lookup()
}

/// The reference meaning of a subject.
pub(crate) struct Reference<'a> {
    policy: &'a Policy,
    chains: &'a [Chain],
    slots: Slots,
}

impl<'a> Reference<'a> {
    pub(crate) fn new(subject: &'a Subject) -> Self {
        Self {
            policy: &subject.policy,
            chains: &subject.built.chains,
            slots: Slots::new(
                &subject.policy,
                &subject.built.chains,
                &subject.built.decisions,
                Counters::Kept,
            ),
        }
    }

    /// What the packet hooks of its direction make of a packet: redirects to sockets are still to come.
    pub(crate) fn at_packet_hooks(&self, event: &Event, frame: &[u8], world: &dyn World) -> Wanted {
        let metered = Metered::new(world);
        let decision = decide(self.policy, event, &metered);
        let (direction, class, packet) = match event {
            Event::Packet {
                direction,
                class,
                packet,
            } => (direction, class, packet),
            Event::Passing { leaves, packet, .. } => (&Direction::Forward, leaves, packet),
            Event::Lookup { .. } | Event::Process { .. } => {
                panic!("only packets get to packet hooks")
            }
        };
        let by_lookup = match decision.decider {
            Decider::Rule(rule) => is_of_lookup(self.policy, rule),
            _ => false,
        };
        let verdict = match (decision.verdict, packet) {
            (Verdict::Reject, Parsed::Ip(header)) if !by_lookup && !is_answered(header) => {
                Verdict::Drop
            }
            (verdict, _) => verdict,
        };
        let mut wanted = Wanted {
            verdict,
            counted: BTreeMap::new(),
            logged: Vec::new(),
            taken: metered.taken(),
            decision: decision.clone(),
        };
        let bytes = match packet {
            Parsed::Ip(header) => header.length,
            Parsed::NotIp | Parsed::Malformed => 0,
        };
        let rules = decision.counted.iter().copied();
        let rules = rules.filter(|rule| !is_of_lookup(self.policy, *rule));
        let decider = match decision.decider {
            Decider::Rule(rule) if !by_lookup || decision.verdict == Verdict::Drop => Some(rule),
            _ => None,
        };
        for rule in rules.chain(decider) {
            self.count(&mut wanted, rule, bytes, false);
        }
        let bytes = self.unread(*direction, *class, frame).unwrap_or(bytes);
        self.count_default(&mut wanted, *direction, bytes);
        wanted
    }

    /// What the list of what passes through makes of a packet, and then that of what leaves, which stands in the same program. What the
    /// latter logs stands beside, with the packet as it meets that.
    pub(crate) fn on_its_way_out(
        &self,
        event: &Event,
        frame: &[u8],
        world: &dyn World,
    ) -> (Wanted, Option<(Vec<Logged>, Parsed)>) {
        let mut first = self.at_packet_hooks(event, frame, world);
        let Some(leaving) = next(event, &first.decision) else {
            return (first, None);
        };
        let last = self.at_packet_hooks(&leaving, frame, world);
        for (slot, (packets, bytes)) in last.counted {
            let sum = first.counted.entry(slot).or_default();
            *sum = (sum.0 + packets, sum.1 + bytes);
        }
        first.taken.extend(last.taken);
        // What goes no further keeps no mark.
        let kept = first
            .decision
            .mark
            .filter(|_| last.verdict == Verdict::Allow);
        let wanted = Wanted {
            verdict: last.verdict,
            decision: Decision {
                mark: last.decision.mark.or(kept),
                ..last.decision
            },
            ..first
        };
        let logged = leaving.packet().map(|packet| (last.logged, packet.clone()));
        (wanted, logged)
    }

    /// What a lookup makes of a packet.
    pub(crate) fn at_lookup(&self, event: &Event, world: &dyn World) -> Wanted {
        let decision = decide(self.policy, event, world);
        let mut wanted = Wanted {
            verdict: decision.verdict,
            counted: BTreeMap::new(),
            logged: Vec::new(),
            taken: BTreeSet::new(),
            decision: decision.clone(),
        };
        let decider = match decision.decider {
            Decider::Rule(rule) => Some(rule),
            _ => None,
        };
        for rule in decision.counted.iter().copied().chain(decider) {
            if is_of_lookup(self.policy, rule) {
                self.count(&mut wanted, rule, 0, true);
            }
        }
        wanted
    }

    /// What becomes of what a process does.
    pub(crate) fn at_deed(&self, event: &Event, world: &dyn World) -> Wanted {
        let Event::Process {
            direction, header, ..
        } = event
        else {
            panic!("{event:?} is nothing that a process does");
        };
        let (direction, bytes) = (*direction, header.length);
        let decision = decide(self.policy, event, world);
        let mut wanted = Wanted {
            verdict: match decision.verdict {
                Verdict::Drop | Verdict::Reject => Verdict::Drop,
                _ => Verdict::Allow,
            },
            counted: BTreeMap::new(),
            logged: Vec::new(),
            taken: BTreeSet::new(),
            decision: decision.clone(),
        };
        let decider = match decision.decider {
            Decider::Rule(rule) => Some(rule),
            _ => None,
        };
        for rule in decision.counted.iter().copied().chain(decider) {
            self.count(&mut wanted, rule, bytes, false);
        }
        // There is no peer here, so what is asked for a shortcut goes by TCP; and nobody may stand behind the name of a queue.
        let beside = decider.filter(|rule| match self.policy.rules[*rule].action {
            Action::Shortcut(_) => true,
            Action::Feed(_) => !matches!(decision.verdict, Verdict::Feed(_)),
            _ => false,
        });
        if let Some(rule) = beside {
            let slot = self.slots.of(direction).rules[rule] + 1;
            add(&mut wanted.counted, slot, bytes);
        }
        let default = self.policy.default_of(direction);
        let everything = !matches!(direction, Direction::Send | Direction::Receive);
        if everything || default.is_some_and(counts_in_send) {
            self.count_default(&mut wanted, direction, bytes);
        }
        wanted
    }

    fn count(&self, wanted: &mut Wanted, rule: RuleId, bytes: u32, looked_up: bool) {
        let data = &self.policy.rules[rule];
        let slot = self.slots.of(data.direction).rules[rule];
        add(&mut wanted.counted, slot, bytes);
        if let Some(log) = &data.log {
            wanted.logged.push(Logged {
                slot,
                sampled: log.sample.is_some(),
                looked_up,
            });
        }
    }

    /// The bytes of a frame where every packet gets the default, so that the programs read none: what the IP header says at
    /// XDP, what comes after the Ethernet header at TC.
    fn unread(&self, direction: Direction, class: ClassId, frame: &[u8]) -> Option<u32> {
        let mut chains = self.chains.iter();
        let home = chains.find(|chain| {
            let hook = chain.hook;
            let here = hook.is_packet() && hook.direction() == direction;
            here && chain.class == Some(class) && chain.default.counts
        })?;
        if self.slots.of(direction).malformed.is_some() {
            return None;
        }
        Some(match home.hook {
            Hook::Xdp => said_length(frame),
            _ => u32::try_from(frame.len().saturating_sub(14)).unwrap(),
        })
    }

    fn count_default(&self, wanted: &mut Wanted, direction: Direction, bytes: u32) {
        let slots = self.slots.of(direction);
        let slot = match wanted.decision.decider {
            Decider::Default => slots.default,
            // Where every packet gets the default, nobody finds out which are malformed.
            Decider::Malformed => slots.malformed.or(slots.default),
            Decider::Rule(_) | Decider::NotIp | Decider::Unmatched => None,
        };
        let Some(slot) = slot else { return };
        add(&mut wanted.counted, slot, bytes);
        let line = self.policy.default_of(direction);
        if let Some(log) = line.and_then(|line| line.log.as_ref()) {
            wanted.logged.push(Logged {
                slot,
                sampled: log.sample.is_some(),
                looked_up: false,
            });
        }
    }

    /// The texts of the rules that decided or counted.
    pub(crate) fn effective<'b>(&'b self, decision: &'b Decision) -> impl Iterator<Item = &'b str> {
        let decider = match decision.decider {
            Decider::Rule(rule) => Some(rule),
            _ => None,
        };
        let rules = decision.counted.iter().copied().chain(decider);
        rules.map(|rule| self.policy.rules[rule].place.text.as_ref())
    }

    /// The least and the most that the tokens of a packet move a rule's bucket, in sixteenths of a nanosecond.
    pub(crate) fn price(&self, rule: RuleId, header: &Header) -> (u64, u64) {
        let rate = self.policy.rules[rule].rate.unwrap();
        let tokens = match rate.unit {
            RateUnit::Bytes => u128::from(header.length),
            RateUnit::Packets | RateUnit::Connections => 1,
        };
        let time = u128::from(rate.period) * 16_000_000_000 * tokens;
        let exact = u64::try_from(time / u128::from(rate.count)).unwrap();
        (exact.saturating_sub(2), exact + 2)
    }
}

/// One packet more.
pub(crate) fn add(counted: &mut BTreeMap<u32, (u64, u64)>, slot: u32, bytes: u32) {
    let (packets, sum) = counted.entry(slot).or_default();
    *packets += 1;
    *sum += u64::from(bytes);
}

/// What is wrong with the records of one event, if anything is. `random`: whether samples are drawn at random.
pub(crate) fn wrong_records(
    wanted: &[Logged],
    records: &[Vec<u8>],
    packet: &Parsed,
    random: bool,
) -> Option<String> {
    let mut left: Vec<&Logged> = wanted.iter().collect();
    for bytes in records {
        let Some(record) = log::parse(bytes) else {
            return Some(format!("not a record: {bytes:?}"));
        };
        let of = |one: &&Logged| {
            one.slot == record.counter && one.looked_up == (record.hook == Hook::SkLookup)
        };
        let Some(at) = left.iter().position(of) else {
            return Some(format!("a record too many: {record:?}"));
        };
        left.remove(at);
        if !fits(&record, packet) {
            return Some(format!("a wrong record: {record:?}"));
        }
    }
    left.retain(|one| !(random && one.sampled));
    (!left.is_empty()).then(|| format!("missing: {left:?}"))
}

fn fits(record: &log::LogRecord, packet: &Parsed) -> bool {
    let lookup = record.hook == Hook::SkLookup;
    let done = record.hook.is_process();
    let interface = if lookup || done { 0 } else { INTERFACE };
    let header = match (&record.packet, packet) {
        (None, Parsed::Malformed) => return record.interface == interface,
        (Some(_), Parsed::Ip(header)) => header,
        _ => return false,
    };
    let Some(found) = &record.packet else {
        return false;
    };
    let mark = if matches!(record.hook, Hook::TcIn | Hook::TcOut | Hook::TcForward) {
        header.mark
    } else {
        0
    };
    let (ports, flags, icmp) = transport(header);
    record.interface == interface
        && (found.from, found.to, found.protocol) == (header.from, header.to, header.protocol)
        && found.ports == ports
        && found.mark == mark
        && (lookup
            || (done && found.length == header.length)
            || (found.fragment == header.fragment as u8
                && found.length == header.length
                && found.flags == flags
                && found.icmp == icmp))
}

type Named = (Option<(u16, u16)>, Option<u8>, Option<(u8, u8)>);

fn transport(header: &Header) -> Named {
    use sockc_compiler::event::Transport;
    match header.transport {
        Transport::Tcp { from, to, flags } => (Some((from, to)), Some(flags), None),
        Transport::Ports { from, to } => (Some((from, to)), None, None),
        Transport::Icmp { kind, code } => (None, None, Some((kind, code))),
        Transport::None => (None, None, None),
    }
}

/// The length that the IP header of a frame says, if the frame is as long.
fn said_length(frame: &[u8]) -> u32 {
    let word = |at: usize| {
        let bytes = frame.get(at..at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    let mut at = 12;
    while at < 20 && matches!(word(at), Some(0x8100 | 0x88a8)) {
        at += 4;
    }
    let said = match word(at) {
        Some(0x0800) if frame.len() >= at + 22 => word(at + 4).map(usize::from),
        Some(0x86dd) if frame.len() >= at + 42 => word(at + 6).map(|said| usize::from(said) + 40),
        _ => None,
    };
    let said = said.filter(|said| at + 2 + said <= frame.len());
    u32::try_from(said.unwrap_or(0)).unwrap()
}
