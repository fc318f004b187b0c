//! Interfaces on which a packet does not keep the socket that it is given: those that belong to another one, to which the kernel
//! hands each of their packets, as to a bridge.
//!
//! Takes names of interfaces in the namespace of the calling thread; says what is wrong with them, and whether `lo` is up.

use std::io;

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_sys::Socket;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use crate::sys::route;

/// What is said of those that belong to another.
pub(super) fn enslaved(interfaces: &[String]) -> io::Result<Vec<String>> {
    let socket = route::socket()?;
    let mut found = Vec::new();
    for name in interfaces {
        let master = match index(name)? {
            Some(index) => master(&socket, index)?,
            None => None,
        };
        if let Some(master) = master {
            found.push(words(name, &master));
        }
    }
    Ok(found)
}

/// The interface that one belongs to, by its number and name.
pub(crate) fn above(index: u32) -> io::Result<Option<(u32, String)>> {
    let master = master(&route::socket()?, index)?;
    Ok(master.map(|master| (master.header.index, called(&master).to_owned())))
}

/// Whether the kernel delivers anything over `lo`.
pub(super) fn is_lo_up() -> io::Result<bool> {
    let socket = route::socket()?;
    let lo = match index("lo")? {
        Some(index) => link(&socket, index)?,
        None => None,
    };
    Ok(lo.is_some_and(|lo| lo.header.flags.contains(LinkFlags::Up)))
}

fn words(name: &str, master: &LinkMessage) -> String {
    let called = called(master);
    let said = format!(
        "the interface \"{name}\" belongs to \"{called}\", and on the way through that a packet may lose the socket that a redirect `at tc` has given it"
    );
    match kind(master) {
        Some(InfoKind::Bridge | InfoKind::Bond | InfoKind::Team) => {
            format!("{said}: put the policy on that, with `interfaces {called}`")
        }
        _ => format!(
            "{said}: put the policy on another interface, or take this one out (`ip link set {name} nomaster`)"
        ),
    }
}

/// None of an interface that has ended meanwhile.
fn index(name: &str) -> io::Result<Option<u32>> {
    match if_nametoindex(name) {
        Err(Errno::ENODEV) => Ok(None),
        found => Ok(Some(found?)),
    }
}

fn master(socket: &Socket, index: u32) -> io::Result<Option<LinkMessage>> {
    let Some(own) = link(socket, index)? else {
        return Ok(None);
    };
    let mut attributes = own.attributes.iter();
    let master = attributes.find_map(|one| match one {
        LinkAttribute::Controller(master) if *master != 0 => Some(*master),
        _ => None,
    });
    match master {
        Some(master) => link(socket, master),
        None => Ok(None),
    }
}

fn link(socket: &Socket, index: u32) -> io::Result<Option<LinkMessage>> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    match route::ask(socket, RouteNetlinkMessage::GetLink(message), 0)? {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(Some(link)),
        NetlinkPayload::Error(error) if error.to_io().raw_os_error() != Some(libc::ENODEV) => {
            Err(error.to_io())
        }
        _ => Ok(None),
    }
}

fn called(link: &LinkMessage) -> &str {
    let mut attributes = link.attributes.iter();
    let name = attributes.find_map(|one| match one {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    });
    name.unwrap_or_default()
}

fn kind(link: &LinkMessage) -> Option<&InfoKind> {
    let mut attributes = link.attributes.iter();
    attributes.find_map(|one| match one {
        LinkAttribute::LinkInfo(facts) => facts.iter().find_map(|fact| match fact {
            LinkInfo::Kind(kind) => Some(kind),
            _ => None,
        }),
        _ => None,
    })
}
