//! Redirects to an interface whose packets the policy's own lists drop where they leave.
//!
//! Packets at the rule's corners are asked of the reference meaning: of `in`, then of the lists that they meet behind it. Where one of
//! them gets out nothing is said, since what the others drop may be meant.

use sockc_grammar::diagnostic::Diagnostic;

use super::{REDIRECTED_AWAY, decided};
use crate::coverage::redirected;
use crate::decide::{decide, next};
use crate::event::{Decision, Verdict};
use crate::hook::Hook;
use crate::packet::text::{Described, DescribedWorld, describe_case};
use crate::policy::{Action, Direction, Policy, Rule, RuleId};

/// Reports such rules.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    // Where no line says which interfaces the policy is on, it may not be on the one that packets leave by.
    if policy.interfaces.is_empty() {
        return;
    }
    for (id, rule) in policy.rules_of(Direction::In) {
        let Action::Forward(port) = rule.action else {
            continue;
        };
        let interface = &policy.out_interfaces[port];
        found.extend(stopped(policy, (id, rule)).map(|stop| stop.told(policy, rule, interface)));
    }
}

/// What becomes of a packet of a redirect where it leaves.
struct Stop {
    packet: Described,
    direction: Direction,
    decision: Decision,
}

/// The first packet of a rule that is stopped where it leaves, if all are that are looked at.
fn stopped(policy: &Policy, own: (RuleId, &Rule)) -> Option<Stop> {
    let mut first = None;
    for (packet, decision) in decided::packets(policy, own) {
        let world = DescribedWorld::new(policy, &packet);
        let mut met = redirected(policy, &packet.event, &decision);
        let (direction, decision) = loop {
            let event = met?;
            let decision = decide(policy, &event, &world);
            if matches!(decision.verdict, Verdict::Drop | Verdict::Reject) {
                break (event.direction(), decision);
            }
            met = next(&event, &decision);
        };
        first.get_or_insert(Stop {
            packet,
            direction,
            decision,
        });
    }
    first
}

impl Stop {
    fn told(&self, policy: &Policy, rule: &Rule, interface: &str) -> Diagnostic {
        let list = self.direction.word();
        let warning = Diagnostic::warning(
            REDIRECTED_AWAY,
            format!("what the redirect sends to {interface} does not leave there"),
            rule.place.span,
            format!("from TC it meets the list of `{list}` on {interface}"),
        );
        let packet = describe_case(policy, &self.packet).unwrap_or_default();
        let place = decided::place(policy, self.direction, self.decision.decider);
        let warning = match place {
            Some(place) => warning.also(
                place.span,
                format!("this {}s it: `{packet}`", self.decision.verdict.word()),
            ),
            None => warning,
        };
        let past = Hook::PAST_LEAVING.name();
        warning.help(format!(
            "allow it there, ahead of that, with `allow {list}`; or write `at {past}`, from where it meets neither `forward` nor `out`"
        ))
    }
}
