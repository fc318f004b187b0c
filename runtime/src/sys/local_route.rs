//! Whether the kernel delivers an address here: the route of it, as a packet of this machine would get it (`RTM_GETROUTE`).
//!
//! Takes a socket to ask by and an address; gives whether its route is a local one, in the socket's network namespace. Not here:
//! lists of routes.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;

use super::route;

/// Whether an address is local.
pub(crate) fn is_local(socket: &Socket, address: IpAddr) -> io::Result<bool> {
    is_local_by(socket, address, None)
}

/// The same, for who is bound to an interface: the addresses of a VRF are known there alone.
pub(crate) fn is_local_by(
    socket: &Socket,
    address: IpAddr,
    interface: Option<u32>,
) -> io::Result<bool> {
    let mut message = RouteMessage::default();
    let (family, bits) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = bits;
    let destination = RouteAttribute::Destination(RouteAddress::from(address));
    message.attributes.push(destination);
    let interface = interface.map(RouteAttribute::Oif);
    message.attributes.extend(interface);
    match route::ask(socket, RouteNetlinkMessage::GetRoute(message), 0)? {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
            Ok(route.header.kind == RouteType::Local)
        }
        // No route at all, or one that refuses.
        NetlinkPayload::Error(error) if is_unreachable(&error.to_io()) => Ok(false),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("an answer that is no route")),
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    let unreachable = [
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EACCES,
        libc::EINVAL,
        libc::ENETDOWN,
    ];
    error
        .raw_os_error()
        .is_some_and(|errno| unreachable.contains(&errno))
}
