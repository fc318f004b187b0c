//! Redirects that give ports below 1024 to any process that binds the address of a socket.
//!
//! Not here: `registered` sockets, which a command hands over, and those that a process or systemd is named for.

use std::collections::{BTreeMap, BTreeSet};

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Span;

use super::ANYBODYS_SOCKET;
use crate::policy::{
    Direction, Endpoint, Listen, Policy, Rule, Side, Socket, SocketId, SocketOrigin,
};
use crate::protocol::IpProtocol;

/// The first port that any user may bind (`net.ipv4.ip_unprivileged_port_start`, as kernels start).
const UNPRIVILEGED: u16 = 1024;

/// Reports redirects of such ports to a socket without an owner that any user may bind.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    let mut told: BTreeMap<SocketId, (Diagnostic, BTreeSet<Span>)> = BTreeMap::new();
    for (_, rule) in policy.rules_of(Direction::In) {
        let Some(id) = rule.action.receiver() else {
            continue;
        };
        let socket = &policy.sockets[id];
        let Some(listen) = anybodys(socket, rule) else {
            continue;
        };
        if !takes_low_ports(rule) {
            continue;
        }
        let first = || (report(rule, socket, listen), BTreeSet::new());
        let (first, others) = told.entry(id).or_insert_with(first);
        // The entries of a map are one redirect.
        if rule.place.span != first.primary.span {
            others.insert(rule.place.span);
        }
    }
    let all = told.into_values();
    found.extend(all.map(|(first, others)| with_others(first, &others)));
}

/// The report of the first rule, with how many do the same.
fn with_others(first: Diagnostic, others: &BTreeSet<Span>) -> Diagnostic {
    let Some(span) = others.first() else {
        return first;
    };
    let label = match others.len() - 1 {
        0 => "so does this rule".to_owned(),
        1 => "so do this rule and 1 more".to_owned(),
        more => format!("so do this rule and {more} more"),
    };
    first.also(*span, label)
}

/// The address of a socket that any user may bind to get what the rule takes.
fn anybodys<'a>(socket: &'a Socket, rule: &Rule) -> Option<&'a Listen> {
    let SocketOrigin::Listen(addresses) = &socket.origin else {
        return None;
    };
    let protocols = &rule.matches.protocols;
    let takes = |number: IpProtocol| {
        protocols.is_empty() || protocols.iter().any(|one| one.number == number)
    };
    let mut open = addresses
        .iter()
        .filter(|one| socket.owner.is_none() && one.port >= UNPRIVILEGED && takes(one.protocol));
    open.next()
}

fn takes_low_ports(rule: &Rule) -> bool {
    match &rule.matches.to {
        None => true,
        Some(Side::Endpoints {
            negated: false,
            endpoints,
        }) => endpoints.iter().any(has_low_port),
        // What is left over is not looked into.
        Some(_) => false,
    }
}

fn has_low_port(endpoint: &Endpoint) -> bool {
    let ports = endpoint.ports.as_ref();
    ports.is_none_or(|ports| {
        ports
            .ranges()
            .first()
            .is_some_and(|(low, _)| *low < UNPRIVILEGED)
    })
}

fn report(rule: &Rule, socket: &Socket, listen: &Listen) -> Diagnostic {
    let (name, port) = (&socket.name, listen.port);
    Diagnostic::warning(
        ANYBODYS_SOCKET,
        format!("any process that binds port {port} first gets what this rule takes for `{name}`"),
        rule.place.span,
        "it takes ports below 1024, which only root may bind",
    )
    .also(
        socket.place.span,
        format!("any user may bind port {port} while the service is not there"),
    )
    .help(format!(
        "say whose socket it is, such as `owner uid NAME`, after the address of `{name}`"
    ))
}
