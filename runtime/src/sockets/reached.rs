//! How the packets of a TCP connection come to this machine: by which interfaces, and who is there to take them.
//!
//! Takes the ends of a connection; asks the kernel for its socket (`sock_diag(7)`), for the route of what answers it, and for what
//! lies below the interface of that route; of a bridge that knows behind which port a neighbour is, that one. Changes nothing. Packets may come by another interface than that by which answers
//! leave: no kernel tells. Not here: what a policy says of them.

mod ports;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkLayerType, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;
use nix::net::if_::if_nametoindex;
use sockc_compiler::event::hardware_number;
use sockc_compiler::protocol::IpProtocol;

use self::ports::{Ports, neighbour_at};
use crate::error::{Error, at};
use crate::names::coverage;
use crate::names::interfaces::There;
use crate::options::Options;
use crate::session::{self, Session};
use crate::state::in_force::hanging_in_force;
use crate::sys::layers::{is_vrf, kind, links, lower, name};
use crate::sys::local_route::{is_local, is_local_by};
use crate::sys::{diag, netns, route};

/// So many interfaces may lie below each other.
const DEPTH: usize = 8;

/// A TCP connection, from the side that was connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// This side.
    pub local: SocketAddr,
    /// The other side.
    pub remote: SocketAddr,
    /// The interface of addresses that are for one wire only, by its name or its number.
    pub zone: Option<String>,
}

/// What this machine knows of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Whether it is there, in the network namespace.
    pub connected: bool,
    /// Whether its address of this side is one of this machine.
    pub local: bool,
    /// Whether that of the other side is one too.
    pub from_here: bool,
    /// The TCP sockets that listen, but those that are bound to an interface by which its packets do not come.
    pub listeners: Vec<Listener>,
    /// By which interfaces its packets come: each that could be, where no route says.
    pub ways: Vec<Arrival>,
    /// Whether a route says so.
    pub routed: bool,
    /// The interfaces that there are: number and name.
    pub present: Vec<(u32, String)>,
    /// Those that the policy in force holds on under another name than it was put on: number, and the name then.
    pub renamed: Vec<(u32, String)>,
}

impl Reached {
    /// Whether somebody listens where a connection goes.
    #[must_use]
    pub fn listens(&self, ends: &Ends) -> bool {
        let mut listeners = self.listeners.iter();
        listeners.any(|one| answers(one.address, ends.local))
    }

    /// The name that a policy for these names and patterns knows an interface by, as it is found when the policy is put in force.
    #[must_use]
    pub fn known_as(&self, way: &Arrival, wanted: &[String]) -> String {
        let there = There {
            present: &self.present,
            renamed: &self.renamed,
        };
        there.known_as(way.index, &way.interface, wanted).to_owned()
    }

    /// Whether a connection is of this network namespace, or a new one to the same address would be.
    #[must_use]
    pub fn is_here(&self, ends: &Ends) -> bool {
        self.connected || self.local && self.listens(ends)
    }
}

/// Whether a socket that listens at an address takes connections to another one: one that listens at `::` may take those of
/// IPv4 too.
#[must_use]
pub fn answers(listener: SocketAddr, local: SocketAddr) -> bool {
    let any = listener.ip().is_unspecified();
    let of_family = listener.is_ipv6() || local.is_ipv4();
    listener.port() == local.port() && (listener.ip() == local.ip() || any && of_family)
}

/// A TCP socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// Whether it is bound to an interface too.
    pub bound: bool,
}

/// An interface by which packets come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub interface: String,
    /// Which of the ways it hands them to, if it is one below that. Where several do, they come by one of them.
    pub above: Option<usize>,
    /// The tag that they have there.
    pub vlan: Option<u16>,
    /// Whether policies may be on it: frames have an Ethernet header.
    pub is_ethernet: bool,
    /// Whether they come in something else before they come by it, as out of a tunnel.
    pub is_tunnel: bool,
    /// The neighbour that hands them over there.
    pub neighbour: IpAddr,
    /// The hardware addresses of their frames: whose sends them and whom they are for, 48 bits as they are written, as far as known.
    pub frame: [Option<u64>; 2],
}

/// How a connection's packets come, in the network namespace of the options.
///
/// # Errors
///
/// Any [`Error`].
pub fn reached(options: &Options, ends: &Ends) -> Result<Reached, Error> {
    let what = "find out how the packets of a connection come";
    session::enter(options, |session| {
        let renamed = renamed(session)?;
        let present = netns::interfaces().map_err(at(what))?;
        look(ends, (present, renamed)).map_err(at(what))
    })
}

fn renamed(session: &Session) -> Result<Vec<(u32, String)>, Error> {
    let state = &session.state;
    match hanging_in_force(state)? {
        Some(before) => coverage::renamed(state, (&before.hooks, &before.fillers)),
        None => Ok(Vec::new()),
    }
}

type Names = Vec<(u32, String)>;

fn look(ends: &Ends, (present, renamed): (Names, Names)) -> io::Result<Reached> {
    let socket = route::socket()?;
    let links = links(&socket)?;
    let bound = diag::established(ends.local, ends.remote)?;
    let by = bound_to(&socket, (&links, &bound), ends)?;
    let way = leaves_by(&socket, ends, by)?;
    let ways = match way {
        Some((index, neighbour)) => {
            // What is not known of it is no error: it may be any port then.
            let hardware = neighbour_at(&socket, index, neighbour).unwrap_or_default();
            let ports = Ports::of(&socket, &hardware).unwrap_or_default();
            let frame = frame(&links, index, &hardware);
            let ways = below((&links, &ports), index, neighbour).into_iter();
            ways.map(|way| Arrival { frame, ..way }).collect::<Vec<_>>()
        }
        None => links
            .iter()
            .map(|link| arrival(link, None, ends.remote.ip()))
            .collect(),
    };
    let comes_by = |one: u32| by == Some(one) || ways.iter().any(|way| way.index == one);
    let sockets = diag::open_sockets()?.into_iter();
    let listening = sockets.filter(|one| one.protocol == IpProtocol::TCP);
    let listeners = listening
        .filter(|one| one.interface == 0 || comes_by(one.interface))
        .map(|one| Listener {
            address: one.local,
            bound: one.interface != 0,
        });
    Ok(Reached {
        connected: !bound.is_empty(),
        local: is_own(&socket, ends.local.ip(), by)?,
        from_here: is_own(&socket, ends.remote.ip(), by)?,
        listeners: listeners.collect(),
        routed: way.is_some(),
        ways,
        present,
        renamed,
    })
}

/// The interface that the sockets of a connection are bound to, which is a VRF where they are in one: what its socket says, else
/// where its address is one of this machine.
fn bound_to(
    socket: &Socket,
    (links, bound): (&[LinkMessage], &[u32]),
    ends: &Ends,
) -> io::Result<Option<u32>> {
    let zone = ends.zone.as_deref().and_then(numbered);
    if zone.is_some_and(|zone| bound.contains(&zone)) {
        return Ok(zone);
    }
    if let Some(one) = bound.first() {
        return Ok(Some(*one).filter(|one| *one != 0).or(zone));
    }
    if zone.is_some() || is_own(socket, ends.local.ip(), None)? {
        return Ok(zone);
    }
    let vrfs = links.iter().filter(|link| is_vrf(link));
    for vrf in vrfs.map(|link| link.header.index) {
        if is_own(socket, ends.local.ip(), Some(vrf))? {
            return Ok(Some(vrf));
        }
    }
    Ok(None)
}

/// Whether an address is one of this machine, also for who is bound to an interface that has another one.
fn is_own(socket: &Socket, address: IpAddr, by: Option<u32>) -> io::Result<bool> {
    Ok(is_local(socket, address)? || by.is_some() && is_local_by(socket, address, by)?)
}

/// The number of an interface, which may be named by it.
fn numbered(zone: &str) -> Option<u32> {
    zone.parse().ok().or_else(|| if_nametoindex(zone).ok())
}

/// The interface by which answers leave, and the neighbour that takes them; `None` where there is no route.
fn leaves_by(socket: &Socket, ends: &Ends, zone: Option<u32>) -> io::Result<Option<(u32, IpAddr)>> {
    // An address that is not of this machine is none that a route can be asked for from.
    if let Some(found) = ask(socket, ends, Some(ends.local.ip()), zone)? {
        return Ok(Some(found));
    }
    ask(socket, ends, None, zone)
}

fn ask(
    socket: &Socket,
    ends: &Ends,
    from: Option<IpAddr>,
    zone: Option<u32>,
) -> io::Result<Option<(u32, IpAddr)>> {
    let mut message = RouteMessage::default();
    let (family, bits) = match ends.remote.ip() {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = bits;
    let to = RouteAttribute::Destination(RouteAddress::from(ends.remote.ip()));
    message.attributes.push(to);
    if let Some(from) = from {
        message.header.source_prefix_length = bits;
        let from = RouteAttribute::Source(RouteAddress::from(from));
        message.attributes.push(from);
    }
    message.attributes.extend(zone.map(RouteAttribute::Oif));
    match route::ask(socket, RouteNetlinkMessage::GetRoute(message), 0)? {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
            Ok(hop(&route, ends.remote.ip()))
        }
        // No route, or one that refuses.
        NetlinkPayload::Error(_) => Ok(None),
        _ => Err(io::Error::other("an answer that is no route")),
    }
}

fn hop(route: &RouteMessage, remote: IpAddr) -> Option<(u32, IpAddr)> {
    let mut attributes = route.attributes.iter();
    let index = attributes.find_map(|one| match one {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })?;
    let mut attributes = route.attributes.iter();
    let gateway = attributes.find_map(|one| match one {
        RouteAttribute::Gateway(RouteAddress::Inet(one)) => Some(IpAddr::V4(*one)),
        RouteAttribute::Gateway(RouteAddress::Inet6(one)) => Some(IpAddr::V6(*one)),
        _ => None,
    });
    Some((index, gateway.unwrap_or(remote)))
}

/// An interface and all that its packets pass before, each behind what it hands them to.
fn below((links, ports): (&[LinkMessage], &Ports), index: u32, neighbour: IpAddr) -> Vec<Arrival> {
    let mut seen = BTreeSet::new();
    let mut ways: Vec<Arrival> = Vec::new();
    let mut next = vec![(None, (index, None))];
    for _ in 0..DEPTH {
        for (above, (index, vlan)) in std::mem::take(&mut next) {
            let mut links_here = links.iter();
            let link = links_here.find(|link| link.header.index == index);
            let Some(link) = link.filter(|_| seen.insert(index)) else {
                continue;
            };
            let here = Some(ways.len());
            ways.push(Arrival {
                above,
                ..arrival(link, vlan, neighbour)
            });
            let port = ports.port(index);
            let lower = lower(links, link, vlan).into_iter();
            let lower = lower.filter(|(one, _)| port.is_none_or(|port| *one == port));
            next.extend(lower.map(|one| (here, one)));
        }
    }
    ways
}

/// The hardware addresses of what a neighbour sends to an interface. On `lo` there is no neighbour: both are its own.
fn frame(links: &[LinkMessage], index: u32, neighbour: &[u8]) -> [Option<u64>; 2] {
    let mut links = links.iter();
    let link = links.find(|link| link.header.index == index);
    let own = link.and_then(|link| {
        link.attributes.iter().find_map(|one| match one {
            LinkAttribute::Address(octets) => number(octets),
            _ => None,
        })
    });
    match link.is_some_and(|link| link.header.link_layer_type == LinkLayerType::Loopback) {
        true => [own, own],
        false => [number(neighbour), own],
    }
}

/// The 48 bits of a hardware address; `None` of one that is none of Ethernet.
fn number(octets: &[u8]) -> Option<u64> {
    octets.try_into().ok().map(hardware_number)
}

fn arrival(link: &LinkMessage, vlan: Option<u16>, neighbour: IpAddr) -> Arrival {
    let layer = link.header.link_layer_type;
    let is_loopback = layer == LinkLayerType::Loopback;
    let is_ethernet = layer == LinkLayerType::Ether || is_loopback;
    let is_wrapped = matches!(
        kind(link),
        Some(
            InfoKind::Vxlan
                | InfoKind::GreTap
                | InfoKind::GreTap6
                | InfoKind::Geneve
                | InfoKind::Tun
        )
    );
    Arrival {
        index: link.header.index,
        interface: name(link).to_owned(),
        above: None,
        vlan,
        is_ethernet,
        is_tunnel: !is_ethernet || is_wrapped,
        neighbour,
        frame: [None; 2],
    }
}
