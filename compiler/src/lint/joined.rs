//! Rules on the length of packets at a hook that sees several packets as one.

use sockc_grammar::diagnostic::Diagnostic;

use super::JOINED;
use crate::header_field::HeaderField;
use crate::hook::Hook;
use crate::policy::{Condition, Direction, Policy, Rule};
use crate::protocol::IpProtocol;

/// Reports rules on a length that are sure to be asked at TC, of packets that the kernel joins.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    for direction in Direction::of_packets() {
        let rules = policy.rules_of(direction).map(|(_, rule)| rule);
        let joined =
            rules.filter(|rule| is_of_joined_frames(direction, rule) && is_of_joined(rule));
        found.extend(joined.map(|rule| warn(direction, rule)));
    }
}

/// Whether every hook sees joined packets that may run the rule: the one that it names, else those of its direction.
fn is_of_joined_frames(direction: Direction, rule: &Rule) -> bool {
    let joined = |hook: Hook| hook.spec().sees.joined;
    match rule.at {
        Some(hook) => joined(hook),
        None => Hook::of(direction).all(joined),
    }
}

/// The kernel joins segments of IpProtocol::TCP, and datagrams of IpProtocol::UDP.
fn is_of_joined(rule: &Rule) -> bool {
    let protocols = &rule.matches.protocols;
    let joined = protocols.is_empty()
        || protocols
            .iter()
            .any(|one| one.number == IpProtocol::TCP || one.number == IpProtocol::UDP);
    joined && rule.matches.conditions.iter().any(asks_length)
}

fn asks_length(condition: &Condition) -> bool {
    match condition {
        Condition::Header { field, .. } => *field == HeaderField::Length,
        Condition::AnyOf(all) => all.iter().any(asks_length),
        Condition::No(one) => asks_length(one),
        _ => false,
    }
}

fn warn(direction: Direction, rule: &Rule) -> Diagnostic {
    let text = &rule.place.text;
    let before = rule
        .at
        .and_then(|hook| text.strip_suffix(&format!(" at {}", hook.name())));
    let single = Hook::of(direction).find(|hook| hook.is_packet() && !hook.spec().sees.joined);
    let help = match (single, before) {
        (Some(single), Some(before)) => {
            let name = single.name();
            format!(
                "write `{before} at {name}`, which the driver's {} asks of each packet",
                name.to_uppercase()
            )
        }
        _ => "`ethtool -K INTERFACE tso off gso off gro off` has nothing joined; else leave the length out".to_owned(),
    };
    Diagnostic::warning(
        JOINED,
        "the length that this rule asks for is that of several packets, where the kernel has joined them",
        rule.place.span,
        "it is asked at TC, where segments of one connection are still, or already, one packet",
    )
    .help(help)
}
