//! Behind which port of a bridge a neighbour is.
//!
//! Takes the interface where a neighbour's link-layer address is known, and bridges; gives the port where packets from there came
//! last (`bridge fdb`). What is not known is no error: then it may be any port. Changes nothing.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;

use crate::sys::route;

/// Where bridges had packets from, for one neighbour.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// A bridge and its port, for each entry.
    learned: Vec<(u32, u32)>,
}

/// The link-layer address of a neighbour on an interface; empty where none is known.
pub(super) fn neighbour_at(
    socket: &Socket,
    interface: u32,
    neighbour: IpAddr,
) -> io::Result<Vec<u8>> {
    let family = match neighbour {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let there = all(socket, family)?
        .into_iter()
        .find(|one| one.header.ifindex == interface && destination(one) == Some(neighbour));
    let address = there.as_ref().and_then(link_layer);
    Ok(address.unwrap_or_default().to_vec())
}

impl Ports {
    /// Those of a neighbour with this link-layer address.
    pub(super) fn of(socket: &Socket, address: &[u8]) -> io::Result<Self> {
        if address.is_empty() {
            return Ok(Self::default());
        }
        let entries = all(socket, AddressFamily::Bridge)?;
        let entries = entries
            .iter()
            .filter(|one| link_layer(one) == Some(address));
        let learned = entries.filter_map(|one| Some((controller(one)?, one.header.ifindex)));
        Ok(Self {
            learned: learned.collect(),
        })
    }

    /// The port of a bridge; `None` where it knows none, or several.
    pub(super) fn port(&self, bridge: u32) -> Option<u32> {
        let mut ports = self.learned.iter().filter(|(one, _)| *one == bridge);
        let (_, first) = ports.next()?;
        ports.all(|(_, port)| port == first).then_some(*first)
    }
}

fn all(socket: &Socket, family: AddressFamily) -> io::Result<Vec<NeighbourMessage>> {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    let found = route::list(socket, RouteNetlinkMessage::GetNeighbour(message))?;
    let found = found.into_iter().filter_map(|one| match one {
        RouteNetlinkMessage::NewNeighbour(one) => Some(one),
        _ => None,
    });
    Ok(found.collect())
}

fn destination(entry: &NeighbourMessage) -> Option<IpAddr> {
    entry.attributes.iter().find_map(|one| match one {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(one)) => Some((*one).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(one)) => Some((*one).into()),
        _ => None,
    })
}

fn link_layer(entry: &NeighbourMessage) -> Option<&[u8]> {
    entry.attributes.iter().find_map(|one| match one {
        NeighbourAttribute::LinkLayerAddress(one) => Some(one.as_slice()),
        _ => None,
    })
}

fn controller(entry: &NeighbourMessage) -> Option<u32> {
    entry.attributes.iter().find_map(|one| match one {
        NeighbourAttribute::Controller(one) => Some(*one),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_that_all_entries_of_a_bridge_name() {
        let ports = Ports {
            learned: vec![(3, 7), (4, 7), (3, 7), (5, 8), (5, 9)],
        };
        let found = [3, 4, 5, 6].map(|bridge| ports.port(bridge));
        assert_eq!(found, [Some(7), Some(7), None, None]);
    }
}
