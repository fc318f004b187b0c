//! What the reference meaning says of an event, in terms of what a program returns and counts.

use std::collections::BTreeMap;

use sockc_compiler::artifact::{CounterKind, Manifest};
use sockc_compiler::decide::decide;
use sockc_compiler::event::{Decider, Decision, Event, Header, Parsed, Verdict, World};
use sockc_compiler::policy::{Action, Direction, Policy, RuleId};

/// Totals that the map `counters` must show: slot to packets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals(pub(crate) BTreeMap<usize, u64>);

impl Totals {
    fn count(&mut self, slot: Option<usize>) {
        if let Some(slot) = slot {
            *self.0.entry(slot).or_default() += 1;
        }
    }
}

/// The reference meaning of one policy, and what it makes the counters show.
pub(crate) struct Expected<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) manifest: &'a Manifest,
    pub(crate) totals: Totals,
}

impl Expected<'_> {
    /// Whether the packet hooks of a direction let a frame pass.
    pub(crate) fn packet(
        &mut self,
        direction: Direction,
        packet: Parsed,
        world: &dyn World,
    ) -> (bool, Decision) {
        let decision = decide(
            self.policy,
            &Event::Packet {
                direction,
                class: Policy::plain_class(),
                packet,
            },
            world,
        );
        let passes = self.passes_packet_hooks(&decision);
        for &rule in &decision.counted {
            if !self.policy.rules[rule].in_lookup() {
                self.totals.count(Some(rule.as_u32() as usize));
            }
        }
        match decision.decider {
            Decider::Rule(rule) if self.counts_packets(rule, decision.verdict) => {
                self.totals.count(Some(rule.as_u32() as usize));
            }
            Decider::Default => self
                .totals
                .count(self.slot(CounterKind::Default, direction)),
            // Where every packet gets the default, nobody finds out which are malformed.
            Decider::Malformed => {
                let own = self.slot(CounterKind::Malformed, direction);
                let slot = own.or_else(|| self.slot(CounterKind::Default, direction));
                self.totals.count(slot);
            }
            Decider::Rule(_) | Decider::NotIp | Decider::Unmatched => {}
        }
        (passes, decision)
    }

    /// What a lookup rejects has passed the packet hooks.
    fn passes_packet_hooks(&self, decision: &Decision) -> bool {
        let by_lookup = match decision.decider {
            Decider::Rule(rule) => {
                let rule = &self.policy.rules[rule];
                matches!(rule.action, Action::Redirect(_)) || rule.in_lookup()
            }
            _ => false,
        };
        match decision.verdict {
            Verdict::Drop | Verdict::Forward(_) => false,
            Verdict::Reject => by_lookup,
            Verdict::Allow | Verdict::Redirect(_) | Verdict::Shortcut(_) | Verdict::Feed(_) => true,
        }
    }

    /// A redirect counts lookups; at a packet hook only what it drops because the socket is absent.
    fn counts_packets(&self, rule: RuleId, verdict: Verdict) -> bool {
        let rule = &self.policy.rules[rule];
        match rule.action {
            Action::Redirect(_) => verdict == Verdict::Drop,
            _ => !rule.in_lookup(),
        }
    }

    /// The verdict of a lookup.
    pub(crate) fn lookup(&mut self, header: Header, world: &dyn World) -> Decision {
        let decision = decide(
            self.policy,
            &Event::Lookup {
                class: Policy::plain_class(),
                header,
            },
            world,
        );
        for &rule in &decision.counted {
            self.totals.count(Some(rule.as_u32() as usize));
        }
        if let Decider::Rule(rule) = decision.decider {
            let data = &self.policy.rules[rule];
            if matches!(data.action, Action::Redirect(_)) || data.in_lookup() {
                self.totals.count(Some(rule.as_u32() as usize));
            }
        }
        decision
    }

    fn slot(&self, kind: CounterKind, direction: Direction) -> Option<usize> {
        let name = direction.word();
        self.manifest
            .counters
            .iter()
            .position(|counter| counter.kind == kind && counter.direction == name)
    }
}
