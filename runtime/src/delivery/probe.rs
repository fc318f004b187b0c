//! Asks the kernel whether what has a mark is local, as it decides that of a packet that arrives.
//!
//! A rule of routing may be for an interface, so it is asked of each that the policy is on, in the name of a neighbour there: the
//! kernel refuses senders that it has no way to. Where it refuses that question all the same, or there is no interface yet, it is
//! asked as for a packet of this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_sys::Socket;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::if_nametoindex;
use sockc_compiler::policy::Family;

use super::ways::code;
use crate::sys::route;

/// A sender of whom nothing is known.
const SOMEBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 78)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x78)),
];

/// Where packets come from.
struct From {
    interface: u32,
    neighbour: IpAddr,
}

/// What is asked of every address.
pub(super) struct Probe<'a> {
    socket: &'a Socket,
    mark: u32,
    from: Vec<From>,
}

impl<'a> Probe<'a> {
    /// For what arrives on those of these interfaces that are there.
    pub(super) fn new(socket: &'a Socket, mark: u32, interfaces: &[String]) -> io::Result<Self> {
        let addresses: Vec<InterfaceAddress> = getifaddrs()?.collect();
        let there = interfaces
            .iter()
            .filter_map(|name| Some((name, if_nametoindex(name.as_str()).ok()?)));
        let from = there.map(|(name, interface)| From {
            interface,
            neighbour: neighbour(name, &addresses),
        });
        Ok(Self {
            socket,
            mark,
            from: from.collect(),
        })
    }

    /// Whether it is, wherever it comes from.
    pub(super) fn is_local(&self, address: IpAddr) -> io::Result<bool> {
        let mut answers = Vec::new();
        for from in &self.from {
            answers.push(self.ask(address, Some(from))?);
        }
        if answers.is_empty() || answers.contains(&None) {
            answers.push(self.ask(address, None)?);
        }
        Ok(answers.last() != Some(&None) && answers.iter().flatten().all(|local| *local))
    }

    /// `None` if the kernel has no answer.
    fn ask(&self, address: IpAddr, from: Option<&From>) -> io::Result<Option<bool>> {
        let family = Family::of(address);
        let mut message = RouteMessage::default();
        message.header.address_family = code(family);
        message.header.destination_prefix_length = bits(family);
        message.attributes = vec![
            RouteAttribute::Destination(RouteAddress::from(address)),
            RouteAttribute::Mark(self.mark),
        ];
        if let Some(from) = from {
            let sender = match family {
                Family::V4 => from.neighbour,
                Family::V6 => SOMEBODY[1],
            };
            message.header.source_prefix_length = bits(family);
            message.attributes.extend([
                RouteAttribute::Source(RouteAddress::from(sender)),
                RouteAttribute::Iif(from.interface),
            ]);
        }
        let question = RouteNetlinkMessage::GetRoute(message);
        Ok(match route::ask(self.socket, question, 0)? {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                Some(route.header.kind == RouteType::Local)
            }
            _ => None,
        })
    }
}

/// An IPv4 address in a network of an interface that is not this machine's. Of IPv6 senders the kernel asks nothing here.
fn neighbour(name: &str, addresses: &[InterfaceAddress]) -> IpAddr {
    let v4 = |address: &InterfaceAddress| {
        let at = address.address.as_ref()?.as_sockaddr_in()?.ip();
        let mask = address.netmask.as_ref()?.as_sockaddr_in()?.ip();
        Some((at.to_bits(), mask.to_bits()))
    };
    let own: Vec<u32> = addresses.iter().filter_map(v4).map(|(at, _)| at).collect();
    let here = addresses.iter().filter(|one| one.interface_name == name);
    let mut found = here.filter_map(v4).filter_map(|(at, mask)| {
        let first = (at & mask).checked_add(1)?;
        let mut hosts = first..(at | !mask);
        hosts.find(|host| !own.contains(host))
    });
    found
        .next()
        .map_or(SOMEBODY[0], |host| IpAddr::V4(Ipv4Addr::from_bits(host)))
}

fn bits(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}
