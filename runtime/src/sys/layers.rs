//! Interfaces that lie on others: bridges and their ports, VLANs and what they are on.
//!
//! Takes what the kernel lists; gives what lies below an interface. Not here: what that means for packets.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_sys::Socket;

use super::route;

/// All interfaces of the calling thread's network namespace.
pub(crate) fn links(socket: &Socket) -> io::Result<Vec<LinkMessage>> {
    let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let found = route::list(socket, message)?.into_iter();
    Ok(found
        .filter_map(|one| match one {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        })
        .collect())
}

/// What lies directly below an interface: the ports of a bridge or bond, and what a VLAN or a macvlan is on.
pub(crate) fn lower(
    links: &[LinkMessage],
    upper: &LinkMessage,
    vlan: Option<u16>,
) -> Vec<(u32, Option<u16>)> {
    let on = match kind(upper) {
        Some(InfoKind::Vlan) => on(upper).map(|index| (index, tag(upper))),
        Some(InfoKind::MacVlan | InfoKind::IpVlan) => on(upper).map(|index| (index, vlan)),
        _ => None,
    };
    // What is in a VRF is no port: packets come by it alone.
    let has_ports = !is_vrf(upper);
    let ports = links
        .iter()
        .filter(|link| has_ports && controller(link) == Some(upper.header.index));
    let ports = ports.map(|link| (link.header.index, vlan));
    on.into_iter().chain(ports).collect()
}

/// What it is called.
pub(crate) fn name(link: &LinkMessage) -> &str {
    let mut attributes = link.attributes.iter();
    let name = attributes.find_map(|one| match one {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    });
    name.unwrap_or_default()
}

/// The interface that another one is on, in the same namespace.
fn on(link: &LinkMessage) -> Option<u32> {
    let mut attributes = link.attributes.iter();
    let is_elsewhere = attributes.any(|one| matches!(one, LinkAttribute::LinkNetNsId(_)));
    let mut attributes = link.attributes.iter();
    let found = attributes.find_map(|one| match one {
        LinkAttribute::Link(index) => Some(*index),
        _ => None,
    });
    found.filter(|_| !is_elsewhere)
}

/// The bridge, bond or VRF that it is a port of.
pub(crate) fn controller(link: &LinkMessage) -> Option<u32> {
    let mut attributes = link.attributes.iter();
    attributes.find_map(|one| match one {
        LinkAttribute::Controller(index) => Some(*index),
        _ => None,
    })
}

fn facts(link: &LinkMessage) -> impl Iterator<Item = &LinkInfo> {
    let attributes = link.attributes.iter();
    attributes.flat_map(|one| match one {
        LinkAttribute::LinkInfo(facts) => facts.as_slice(),
        _ => &[],
    })
}

/// What it is, where the kernel says.
pub(crate) fn kind(link: &LinkMessage) -> Option<&InfoKind> {
    facts(link).find_map(|fact| match fact {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    })
}

/// Whether it stands for a routing table of its own.
pub(crate) fn is_vrf(link: &LinkMessage) -> bool {
    matches!(kind(link), Some(InfoKind::Vrf))
}

fn tag(link: &LinkMessage) -> Option<u16> {
    facts(link).find_map(|fact| match fact {
        LinkInfo::Data(InfoData::Vlan(said)) => said.iter().find_map(|one| match one {
            InfoVlan::Id(tag) => Some(*tag),
            _ => None,
        }),
        _ => None,
    })
}
