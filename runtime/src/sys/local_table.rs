//! The table `local` of a network namespace: what its kernel delivers here, and what in between it does not.
//!
//! Takes nothing; gives the entries of both families, in the calling thread's namespace. Not here: what they say together.
//!
//! The kernel keeps an entry of type `local` for each address of an interface, and each prefix that `ip route add local` makes its
//! own (AnyIP), beside those of type `broadcast`, `anycast` and `multicast` (`fib_add_ifaddr` in `net/ipv4/fib_frontend.c`,
//! `addrconf_f6i_alloc` in `net/ipv6/route.c`). The addresses of an interface in a VRF are in the VRF's table, and not in this.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;

use super::route;

/// The number of the table (`RT_TABLE_LOCAL`).
pub(crate) const TABLE: u8 = 255;

/// An entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The address and the length of its prefix.
    pub(crate) prefix: (IpAddr, u8),
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
        found.extend(of_family(&socket, family)?);
    }
    Ok(found)
}

fn of_family(socket: &Socket, family: AddressFamily) -> io::Result<Vec<Entry>> {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.table = TABLE;
    let routes = match route::list(socket, RouteNetlinkMessage::GetRoute(message)) {
        // A namespace in which no address ever was has no such table (`inet_dump_fib`).
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        routes => routes?,
    };
    let routes = routes.into_iter().filter_map(|route| match route {
        RouteNetlinkMessage::NewRoute(route) => entry(&route, family),
        _ => None,
    });
    Ok(routes.collect())
}

/// The entry that a route is. Those for some senders or for one kind of service only say nothing of an address by itself.
fn entry(route: &RouteMessage, family: AddressFamily) -> Option<Entry> {
    let header = &route.header;
    let for_all = header.source_prefix_length == 0 && header.tos == 0;
    if header.address_family != family || header.table != TABLE || !for_all {
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
        prefix: (destination, header.destination_prefix_length),
        is_local: header.kind == RouteType::Local,
    })
}
