//! Packets that a rule decides, and lines that decide, for lints about what becomes of a rule's packets where they go on.
//!
//! Takes a policy and a rule of it; gives packets at the rule's corners, as far as the reference meaning has the rule decide them. Not
//! here: what those packets meet next.

use super::reach::CORNERS;
use super::sample::Sample;
use crate::decide::decide;
use crate::event::{Decider, Decision};
use crate::packet::text::{Described, DescribedWorld};
use crate::policy::{Direction, Policy, Rule, RuleId, SourceLocation};

/// The packets at a rule's corners that it decides, each with the decision.
pub(super) fn packets(policy: &Policy, own: (RuleId, &Rule)) -> Vec<(Described, Decision)> {
    let rules = [own];
    let samples = (0..CORNERS).filter_map(|variant| Sample::of(policy, &rules, variant));
    let packets = samples.map(|sample| {
        let packet = sample.described();
        let decision = decide(policy, &packet.event, &DescribedWorld::new(policy, &packet));
        (packet, decision)
    });
    packets
        .filter(|(_, decision)| decision.decider == Decider::Rule(own.0))
        .collect()
}

/// The line that decides in a list: a rule, or else the default.
pub(super) fn place(
    policy: &Policy,
    direction: Direction,
    decider: Decider,
) -> Option<&SourceLocation> {
    match decider {
        Decider::Rule(rule) => Some(&policy.rules[rule].place),
        _ => policy.default_of(direction).map(|line| &line.place),
    }
}
