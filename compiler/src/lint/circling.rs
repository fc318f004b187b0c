//! Redirects of what leaves that send packets to where the same is decided of them again.
//!
//! Packets at the rule's corners are asked of the reference meaning, and again where it sends them out, until they get elsewhere or
//! are sent out of an interface for the second time. Where the policy may not be on the interface nothing is said.

use sockc_grammar::diagnostic::Diagnostic;

use super::{CIRCLING, decided};
use crate::coverage::redirected;
use crate::decide::decide;
use crate::event::{Decision, Verdict};
use crate::packet::text::{Described, DescribedWorld, describe_case};
use crate::policy::{Action, Direction, OutInterfaceId, Policy, Rule};

/// Reports such rules.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    // Where no line says which interfaces the policy is on, it may not be on the one that packets leave by.
    if policy.interfaces.is_empty() {
        return;
    }
    for own @ (_, rule) in policy.rules_of(Direction::Out) {
        if let Action::Forward(port) = rule.action {
            let mut packets = decided::packets(policy, own).into_iter();
            let packet = packets.find_map(|(packet, first)| circling(policy, &packet, first));
            let interface = &policy.out_interfaces[port];
            found.extend(packet.map(|packet| told(rule, interface, &packet)));
        }
    }
}

/// A packet that comes back to an interface that it was sent out of, in words; with what is decided of it first.
fn circling(policy: &Policy, packet: &Described, first: Decision) -> Option<String> {
    let world = DescribedWorld::new(policy, packet);
    let mut decision = first;
    let mut event = packet.event.clone();
    let mut sent: Vec<OutInterfaceId> = Vec::new();
    while let Verdict::Forward(port) = decision.verdict {
        if sent.contains(&port) {
            return describe_case(policy, packet);
        }
        sent.push(port);
        event = redirected(policy, &event, &decision)?;
        decision = decide(policy, &event, &world);
    }
    None
}

fn told(rule: &Rule, interface: &str, packet: &str) -> Diagnostic {
    Diagnostic::warning(
        CIRCLING,
        format!("what the redirect sends to {interface} is sent on in a circle"),
        rule.place.span,
        format!("where `{packet}` is sent out, the list of `out` sends it on, until it is where it was"),
    )
    .help(
        "say which packets are meant by where they leave (`on interface`, `on zone`), and name another interface to send them to",
    )
}
