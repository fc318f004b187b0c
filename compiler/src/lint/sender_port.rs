//! Rules that let in anyone who sends from a port: `allow tcp from port 443`, the ports swapped.
//!
//! The sender chooses the port that it sends from, so such a rule lets everybody in, to every port here.

use sockc_grammar::diagnostic::Diagnostic;

use super::SENDER_PORT;
use crate::header_field::HeaderField;
use crate::policy::{Action, Condition, Direction, Endpoint, Policy, Rule, Side};

/// Reports rules for packets that arrive that ask of anybody nothing but the port that he sends from.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    let rules = policy.rules_of(Direction::In);
    let open = rules.filter(|(_, rule)| rule.action == Action::Allow && is_open(policy, rule));
    found.extend(open.map(|(_, rule)| chosen(rule)));
}

/// Whether some sender may be anybody who sends from a port, while neither a port here nor a state of sockets or
/// connections is asked for.
fn is_open(policy: &Policy, rule: &Rule) -> bool {
    let wanted = &rule.matches;
    let Some(Side::Endpoints {
        negated: false,
        endpoints,
    }) = &wanted.from
    else {
        return false;
    };
    let anybody = endpoints.iter().any(|one| is_anybody(policy, one));
    anybody
        && !names_port(wanted.to.as_ref())
        && rule.rate.is_none()
        && !wanted.conditions.iter().any(asks_for_state)
}

fn is_anybody(policy: &Policy, endpoint: &Endpoint) -> bool {
    let addresses = endpoint.addresses.constant(policy);
    let ports = endpoint.ports.as_ref();
    ports.is_some_and(|ports| !ports.is_full() && is_chosen(ports))
        && addresses.is_some_and(|set| set.v4.is_full() || set.v6.is_full())
}

/// Whether the ports are those of services: a range of ports that clients use may be meant as a bound.
fn is_chosen(ports: &crate::ranges::RangeSet<u16>) -> bool {
    ports.ranges().iter().all(|(_, last)| *last < 32_768)
}

fn names_port(side: Option<&Side>) -> bool {
    match side {
        Some(Side::Endpoints { endpoints, .. }) => endpoints.iter().any(|one| {
            let ports = one.ports.as_ref();
            ports.is_some_and(|ports| !ports.is_full())
        }),
        _ => false,
    }
}

/// Whether a condition asks for a socket, or for flags that no first packet has.
fn asks_for_state(condition: &Condition) -> bool {
    match condition {
        Condition::No(inner) => asks_for_state(inner),
        Condition::AnyOf(any) => any.iter().any(asks_for_state),
        Condition::Socket { .. } => true,
        Condition::Header { field, .. } => *field == HeaderField::TcpFlags,
        _ => false,
    }
}

fn chosen(rule: &Rule) -> Diagnostic {
    Diagnostic::warning(
        SENDER_PORT,
        "anyone who sends from this port gets in, to every port here",
        rule.place.span,
        "the sender chooses the port that it sends from",
    )
    .help(match swapped(&rule.place.text) {
        Some(text) => {
            format!("for a service here, write `{text}`; for answers, add `if socket established`")
        }
        None => {
            "name the ports here with `to`; for answers, add `if socket established`".to_owned()
        }
    })
}

/// The rule's own words with the port at the other side, where it names nothing else.
fn swapped(text: &str) -> Option<String> {
    let (before, after) = text.split_once(" from port ")?;
    (!after.contains(" to ")).then(|| format!("{before} to port {after}"))
}
