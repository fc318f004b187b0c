//! The table `local` of a network namespace: what its kernel delivers here, and what in between it does not.
//!
//! Takes nothing; gives the entries of both families, in the calling thread's namespace, and those of table `main` for IPv4, which
//! may be asked together with them. Not here: what they say together.
//!
//! The kernel keeps an entry of type `local` for each address of an interface, and each prefix that `ip route add local` makes its
//! own (AnyIP), beside those of type `broadcast`, `anycast` and `multicast` (`fib_add_ifaddr` in `net/ipv4/fib_frontend.c`,
//! `addrconf_f6i_alloc` in `net/ipv6/route.c`). The addresses of an interface in a VRF are in the VRF's table, and not in this.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;

use super::route;
use crate::prefix::Prefix;

/// The number of the table (`RT_TABLE_LOCAL`).
pub(crate) const TABLE: u8 = 255;

/// The number of the table `main` (`RT_TABLE_MAIN`).
pub(crate) const MAIN: u8 = 254;

/// An entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What it is for.
    pub(crate) prefix: Prefix,
    /// Whether what is for it is delivered here; else it is for many, or refused.
    pub(crate) is_local: bool,
}

/// The entries, in the order in which the kernel asks those of one prefix.
pub(crate) fn entries() -> io::Result<Vec<Entry>> {
    let socket = route::socket()?;
    // Without this the kernel ignores what is asked for, and lists the tables of a router with a million routes (Linux 4.20).
    socket.set_netlink_get_strict_chk(true)?;
    let mut found = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        each(&socket, family, TABLE, |entry| found.push(entry))?;
    }
    Ok(found)
}

/// The entries of table `main` for IPv4, one by one: there may be a million.
pub(crate) fn each_of_main(take: impl FnMut(Entry)) -> io::Result<()> {
    let socket = route::socket()?;
    socket.set_netlink_get_strict_chk(true)?;
    each(&socket, AddressFamily::Inet, MAIN, take)
}

/// The entry of table `main` for IPv4 that a message tells of which the kernel sent by itself, if it does.
pub(crate) fn told_of_main(message: &[u8]) -> Option<Entry> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message).ok()?;
    match message.payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) => entry(&route, AddressFamily::Inet, MAIN),
        _ => None,
    }
}

fn each(
    socket: &Socket,
    family: AddressFamily,
    table: u8,
    mut take: impl FnMut(Entry),
) -> io::Result<()> {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.table = table;
    let entries = |route| {
        if let RouteNetlinkMessage::NewRoute(route) = route {
            entry(&route, family, table).into_iter().for_each(&mut take);
        }
    };
    match route::each(socket, RouteNetlinkMessage::GetRoute(message), entries) {
        // A namespace in which no address ever was has no such table (`inet_dump_fib`).
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The entry that a route is. Those for some senders or for one kind of service only say nothing of an address by itself.
fn entry(route: &RouteMessage, family: AddressFamily, table: u8) -> Option<Entry> {
    let header = &route.header;
    let for_all = header.source_prefix_length == 0 && header.tos == 0;
    if header.address_family != family || header.table != table || !for_all {
        return None;
    }
    let destination = route.attributes.iter().find_map(|one| match one {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    // The prefix of every address has no address in the message.
    let destination = destination.unwrap_or(match family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    });
    Some(Entry {
        prefix: Prefix::new(destination, header.destination_prefix_length)?,
        is_local: header.kind == RouteType::Local,
    })
}
