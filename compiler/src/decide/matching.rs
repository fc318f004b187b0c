//! Whether a packet is one that a rule speaks of.
//!
//! Takes a rule's [`Match`] and a packet's [`Header`]; gives yes or no. Not here: what then becomes of the packet, and
//! whether a socket belongs to a group, which the caller knows.

use std::net::IpAddr;

use crate::event::{Header, Part, SocketAnswer, Transport};
use crate::policy::{Condition, Endpoint, IcmpMatch, Match, ProtocolMatch, Side, SocketTest};

/// Whether every part of `matches` holds for the packet, `socket` being the answer of the lookup for it.
///
/// `from group G` holds here for every packet: whose socket it is, the header does not say.
#[must_use]
pub fn matches(matches: &Match, header: &Header, socket: SocketAnswer) -> bool {
    protocols_match(&matches.protocols, header)
        && side_matches(matches.from.as_ref(), header.from, from_port(header))
        && side_matches(matches.to.as_ref(), header.to, to_port(header))
        && matches
            .conditions
            .iter()
            .all(|condition| holds(condition, header, socket))
}

/// No protocols named: every one.
fn protocols_match(protocols: &[ProtocolMatch], header: &Header) -> bool {
    protocols.is_empty()
        || protocols.iter().any(|protocol| {
            protocol
                .family
                .is_none_or(|family| family == header.family())
                && protocol.number == header.protocol
                && icmp_matches(&protocol.icmp, header)
        })
}

/// No types named: every packet of the protocol, later fragments included. Else the type must be there to be read.
fn icmp_matches(types: &[IcmpMatch], header: &Header) -> bool {
    if types.is_empty() {
        return true;
    }
    let Transport::Icmp { kind, code } = header.transport else {
        return false;
    };
    types.iter().any(|wanted| {
        wanted.kind == kind && wanted.code.is_none_or(|wanted_code| wanted_code == code)
    })
}

/// A `from` or `to`; one that is left out matches everything.
fn side_matches(side: Option<&Side>, address: IpAddr, port: Option<u16>) -> bool {
    match side {
        None | Some(Side::Group(_)) => true,
        Some(Side::Endpoints {
            negated: false,
            endpoints,
        }) => endpoints
            .iter()
            .any(|endpoint| endpoint_matches(endpoint, address, port)),
        // What no endpoint of the list matches; a list with ports still speaks only of packets that have ports.
        Some(Side::Endpoints {
            negated: true,
            endpoints,
        }) => {
            let names_ports = endpoints.iter().any(|endpoint| endpoint.ports.is_some());
            let none = !endpoints
                .iter()
                .any(|endpoint| endpoint_matches(endpoint, address, port));
            none && (port.is_some() || !names_ports)
        }
    }
}

/// An endpoint that names ports never matches a packet without.
fn endpoint_matches(endpoint: &Endpoint, address: IpAddr, port: Option<u16>) -> bool {
    let port_fits = match (&endpoint.ports, port) {
        (None, _) => true,
        (Some(ports), Some(port)) => ports.contains(port),
        (Some(_), None) => false,
    };
    endpoint.addresses.contains(address) && port_fits
}

/// The sender's port: only in TCP, UDP and SCTP, unfragmented or in the first fragment.
fn from_port(header: &Header) -> Option<u16> {
    match header.transport {
        Transport::Tcp { from, .. } | Transport::Ports { from, .. } => Some(from),
        Transport::Icmp { .. } | Transport::None => None,
    }
}

/// The receiver's port, likewise.
fn to_port(header: &Header) -> Option<u16> {
    match header.transport {
        Transport::Tcp { to, .. } | Transport::Ports { to, .. } => Some(to),
        Transport::Icmp { .. } | Transport::None => None,
    }
}

/// Whether a condition holds.
fn holds(condition: &Condition, header: &Header, socket: SocketAnswer) -> bool {
    match condition {
        Condition::No(inner) => !holds(inner, header, socket),
        Condition::AnyOf(any) => any.iter().any(|inner| holds(inner, header, socket)),
        Condition::Socket(SocketTest::Exists) => socket != SocketAnswer::None,
        Condition::Socket(SocketTest::Established) => socket == SocketAnswer::Established,
        Condition::Socket(SocketTest::Listening) => socket == SocketAnswer::Listening,
        Condition::TcpFlags { set, clear } => match header.transport {
            Transport::Tcp { flags, .. } => flags & set == *set && flags & clear == 0,
            _ => false,
        },
        Condition::Fragment => header.part != Part::Whole,
        Condition::Length { low, high } => (*low..=*high).contains(&header.length),
    }
}

/// Whether a socket lookup can tell if a rule matches: it reads addresses, protocol and ports, and knows that no
/// established socket was found.
pub(super) fn readable_at_lookup(matches: &Match) -> bool {
    fn readable(condition: &Condition) -> bool {
        match condition {
            Condition::No(inner) => readable(inner),
            Condition::AnyOf(any) => any.iter().all(readable),
            Condition::Socket(SocketTest::Established) => true,
            Condition::Socket(SocketTest::Exists | SocketTest::Listening)
            | Condition::TcpFlags { .. }
            | Condition::Fragment
            | Condition::Length { .. } => false,
        }
    }
    matches.conditions.iter().all(readable)
}
