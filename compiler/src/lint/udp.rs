//! UDP rules that do more, or less, than they seem to.

use sockc_grammar::diagnostic::Diagnostic;

use super::{UDP_ANY_PORT, UDP_SOCKETS};
use crate::policy::{
    Action, Condition, Direction, Endpoint, Match, Policy, Rule, Side, SocketState,
};
use crate::protocol::IpProtocol;

/// Reports rules that open, or redirect, every UDP port.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    for (_, rule) in policy.rules_of(Direction::In) {
        match rule.action {
            Action::Allow if opens_sockets(policy, rule) => found.push(open(rule)),
            Action::Redirect(_) | Action::Intercept(_) if takes_every_port(rule) => {
                found.push(any_port(rule))
            }
            _ => {}
        }
    }
}

/// Whether anybody's datagram gets in that finds a socket, on any port. An unconnected socket is found for every sender,
/// also one that a program has opened to ask others and not to be asked.
fn opens_sockets(policy: &Policy, rule: &Rule) -> bool {
    let Match {
        protocols,
        from,
        to,
        conditions,
        on,
        leaves: _,
    } = &rule.matches;
    let udp = protocols.is_empty() || protocols.iter().any(|one| one.number == IpProtocol::UDP);
    let [
        Condition::Socket {
            test: SocketState::Exists | SocketState::Listening,
            ..
        },
    ] = conditions.as_slice()
    else {
        return false;
    };
    let anybody = from
        .as_ref()
        .is_none_or(|side| any_endpoint(side, &|one| is_any(policy, one)));
    udp && on.is_none() && rule.rate.is_none() && anybody && every_port(to.as_ref())
}

/// Only where the rule is for UDP alone: TCP answers from the port that was asked.
fn takes_every_port(rule: &Rule) -> bool {
    let protocols = &rule.matches.protocols;
    !protocols.is_empty()
        && protocols.iter().all(|one| one.number == IpProtocol::UDP)
        && rule.head.is_none()
        && every_port(rule.matches.to.as_ref())
}

fn any_endpoint(side: &Side, fits: &dyn Fn(&Endpoint) -> bool) -> bool {
    match side {
        Side::Endpoints {
            negated: false,
            endpoints,
        } => endpoints.iter().any(fits),
        _ => false,
    }
}

fn is_any(policy: &Policy, endpoint: &Endpoint) -> bool {
    let addresses = endpoint.addresses.constant(policy);
    endpoint.ports.is_none() && addresses.is_some_and(|set| set.v4.is_full() || set.v6.is_full())
}

/// Whether a destination has some address with every port.
fn every_port(to: Option<&Side>) -> bool {
    let Some(side) = to else {
        return true;
    };
    any_endpoint(side, &|one| {
        one.ports.as_ref().is_none_or(|ports| ports.is_full())
    })
}

fn open(rule: &Rule) -> Diagnostic {
    Diagnostic::warning(
        UDP_SOCKETS,
        "this rule opens every UDP port on which some program waits",
        rule.place.span,
        "an unconnected UDP socket exists for every sender, also where a program only waits for answers",
    )
    .help("name the ports, or write `socket established`")
}

fn any_port(rule: &Rule) -> Diagnostic {
    Diagnostic::warning(
        UDP_ANY_PORT,
        "answers to redirected datagrams come from another port than was asked",
        rule.place.span,
        "one UDP socket takes every port, and sends from its own",
    )
    .help("name the port that the socket is bound to, or redirect `tcp` only")
}
