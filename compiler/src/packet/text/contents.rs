//! What live maps hold in words, both ways.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::ast::{Address, Endpoint, MapEntry, PortItem, Ports, Protocol};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::case::mistake;
use super::codes;
use super::endpoint::{number_of, service};
use super::members::prefix_of;
use super::with::find;
use crate::event::{Header, Transport};
use crate::policy::{LiveEntry, Policy, SocketId};
use crate::protocol::IpProtocol;

/// Every port.
const ALL: (u16, u16) = (0, u16::MAX);

/// The entries that are listed, in the order of their fields.
pub(super) fn read(
    written: &[Spanned<MapEntry>],
    policy: &Policy,
) -> Result<Vec<LiveEntry>, Box<Diagnostic>> {
    let mut entries = Vec::new();
    for entry in written {
        entries.extend(parts(&entry.value, entry.span, policy)?);
    }
    entries.sort_unstable();
    Ok(entries)
}

fn parts(entry: &MapEntry, span: Span, policy: &Policy) -> Result<Vec<LiveEntry>, Box<Diagnostic>> {
    let sockets = policy.sockets.iter();
    let sockets = sockets.map(|(id, socket)| (id, socket.name.as_str()));
    let socket = find(&entry.socket, "socket", sockets)?;
    let protocol = match entry.protocol.as_ref().map(|one| &one.value) {
        None => None,
        Some(Protocol::Tcp) => Some(IpProtocol::TCP),
        Some(Protocol::Udp) => Some(IpProtocol::UDP),
        Some(_) => return Err(no_entry(span)),
    };
    let mut found = Vec::new();
    for prefix in prefixes(&entry.endpoint.value, span)? {
        for ports in port_ranges(&entry.endpoint.value, span)? {
            found.push(LiveEntry {
                prefix,
                ports,
                protocol,
                socket,
            });
        }
    }
    Ok(found)
}

fn prefixes(endpoint: &Endpoint, span: Span) -> Result<Vec<(IpAddr, u8)>, Box<Diagnostic>> {
    match endpoint.address.as_ref().map(|address| &address.value) {
        None | Some(Address::Any) => Ok([
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ]
        .map(|address| (address, 0))
        .to_vec()),
        Some(Address::Prefix { address, length }) => {
            let length = prefix_of(*address, *length, span)?;
            Ok(vec![(*address, length)])
        }
        Some(_) => Err(no_entry(span)),
    }
}

fn port_ranges(endpoint: &Endpoint, span: Span) -> Result<Vec<(u16, u16)>, Box<Diagnostic>> {
    match endpoint.ports.as_ref().map(|ports| &ports.value) {
        Some(Ports::Any) => Ok(vec![ALL]),
        Some(Ports::List(items)) => items.iter().map(port_range).collect(),
        None => Err(no_entry(span)),
    }
}

fn port_range(item: &Spanned<PortItem>) -> Result<(u16, u16), Box<Diagnostic>> {
    let (low, high) = match &item.value {
        PortItem::One(number) => (
            number_of(*number, item.span)?,
            number_of(*number, item.span)?,
        ),
        PortItem::Range(low, high) => (number_of(*low, item.span)?, number_of(*high, item.span)?),
        PortItem::Service(name) => (service(name, item.span)?, service(name, item.span)?),
        PortItem::Set(_) => return Err(no_entry(item.span)),
    };
    if low <= high {
        Ok((low, high))
    } else {
        Err(no_entry(item.span))
    }
}

fn no_entry(span: Span) -> Box<Diagnostic> {
    mistake(
        codes::DOES_NOT_FIT,
        "a live map holds prefixes with ports, each with a socket",
        span,
        "no entry of a live map",
        "write entries such as `tcp 10.7.3.0/28:443 -> sock web`",
    )
}

/// What a map holds if it names this socket, or none, for exactly this packet.
pub(crate) fn of_packet(header: &Header, socket: Option<SocketId>) -> Vec<LiveEntry> {
    let port = match header.transport {
        Transport::Tcp { to, .. } | Transport::Ports { to, .. } => Some(to),
        Transport::None | Transport::Icmp { .. } => None,
    };
    let length = if header.to.is_ipv4() { 32 } else { 128 };
    let entry = socket.zip(port).map(|(socket, port)| LiveEntry {
        prefix: (header.to, length),
        ports: (port, port),
        protocol: None,
        socket,
    });
    entry.into_iter().collect()
}

/// The entries as a list, without braces.
pub(crate) fn words(policy: &Policy, entries: &[LiveEntry]) -> String {
    let words: Vec<_> = entries
        .iter()
        .map(|entry| entry_words(policy, entry))
        .collect();
    words.join(", ")
}

/// An entry as a policy writes it; the prefix of one address is written as that address.
pub(crate) fn entry_words(policy: &Policy, entry: &LiveEntry) -> String {
    let prefix = match entry.prefix {
        (IpAddr::V4(address), 32) => address.to_string(),
        (IpAddr::V4(address), length) => format!("{address}/{length}"),
        (IpAddr::V6(address), 128) => format!("[{address}]"),
        (IpAddr::V6(address), length) => format!("[{address}/{length}]"),
    };
    let ports = match entry.ports {
        ALL => "*".to_owned(),
        (low, high) if low == high => low.to_string(),
        (low, high) => format!("{low}-{high}"),
    };
    let protocol = match entry.protocol {
        Some(IpProtocol::TCP) => "tcp ",
        Some(IpProtocol::UDP) => "udp ",
        _ => "",
    };
    let socket = &policy.sockets[entry.socket].name;
    format!("{protocol}{prefix}:{ports} -> sock {socket}")
}
