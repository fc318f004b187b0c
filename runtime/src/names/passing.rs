//! By which interfaces a machine passes packets on that no program of a policy meets.
//!
//! Takes the patterns that a policy is for; gives the interfaces with addresses of others that it is not on, where the kernel
//! forwards. Not here: what a policy says of what passes through.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use netlink_packet_route::link::{InfoKind, LinkLayerType, LinkMessage};
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

use super::classes::covers;
use super::coverage;
use super::interfaces::There;
use crate::error::{Error, at};
use crate::options::Options;
use crate::session::{self, Session};
use crate::state::in_force::hanging_in_force;
use crate::sys::{layers, route};

/// So many interfaces may lie below each other.
const DEPTH: usize = 8;

/// An interface by which the kernel passes packets on, and that a policy is not on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassedBy {
    /// Its name.
    pub name: String,
    /// Whether its frames are Ethernet's: no program of a policy can be on others.
    pub carries_ethernet: bool,
}

/// The interfaces in the namespace of the options by which the kernel passes packets on, and whose packets no program meets where a
/// policy is on those that one of these names or patterns covers: those that are up and have an address of a family that it
/// forwards. What leaves by a bridge, a bond, a VLAN or a macvlan leaves by what that is on as well, and meets programs there.
///
/// # Errors
///
/// The namespace cannot be entered, or its interfaces not be listed.
pub fn passed_by(options: &Options, wanted: &[String]) -> Result<Vec<PassedBy>, Error> {
    session::enter(options, |session| {
        let forwards = [forwards_v4(), forwards_v6()];
        if forwards == [false; 2] {
            return Ok(Vec::new());
        }
        let list = "list the interfaces";
        let socket = route::socket().map_err(at(list))?;
        let links = layers::links(&socket).map_err(at(list))?;
        let held = held(session, &links, wanted)?;
        let listed = getifaddrs().map_err(|errno| errno.into());
        let listed = listed.map_err(at("list the addresses of interfaces"))?;
        let is_met = |name: &str| {
            let mut links_here = links.iter();
            links_here
                .find(|link| layers::name(link) == name)
                .is_none_or(|link| is_met(&links, &held, link, DEPTH))
        };
        let beside = beside(listed, forwards, is_met).into_iter();
        let named = beside.map(|name| PassedBy {
            carries_ethernet: links.iter().any(|link| {
                layers::name(link) == name && link.header.link_layer_type == LinkLayerType::Ether
            }),
            name,
        });
        Ok(named.collect())
    })
}

/// The ports of bridges in the namespace of the options that one of these names or patterns covers, each with its bridge.
///
/// # Errors
///
/// The namespace cannot be entered, or its interfaces not be listed.
pub fn bridged(options: &Options, wanted: &[String]) -> Result<Vec<[String; 2]>, Error> {
    session::enter(options, |session| {
        let list = "list the interfaces";
        let socket = route::socket().map_err(at(list))?;
        let links = layers::links(&socket).map_err(at(list))?;
        let held = held(session, &links, wanted)?;
        let bridge = |link: &LinkMessage| {
            let above = layers::controller(link)?;
            let mut bridges = links.iter();
            let is_it = |one: &&LinkMessage| {
                one.header.index == above && layers::kind(one) == Some(&InfoKind::Bridge)
            };
            bridges.find(is_it).map(|one| layers::name(one).to_owned())
        };
        let ports = links
            .iter()
            .filter(|link| held.contains(&link.header.index));
        let ports = ports.filter_map(|link| Some([layers::name(link).to_owned(), bridge(link)?]));
        Ok(ports.collect())
    })
}

/// The numbers of the interfaces that a policy is on: those that the patterns cover, by the names that it knows them by.
fn held(
    session: &Session,
    links: &[LinkMessage],
    wanted: &[String],
) -> Result<BTreeSet<u32>, Error> {
    let state = &session.state;
    let renamed = match hanging_in_force(state)? {
        Some(before) => coverage::renamed(state, (&before.hooks, &before.fillers))?,
        None => Vec::new(),
    };
    let present: Vec<(u32, String)> = links
        .iter()
        .map(|link| (link.header.index, layers::name(link).to_owned()))
        .collect();
    let there = There {
        present: &present,
        renamed: &renamed,
    };
    let held = present.iter().filter(|(index, name)| {
        let known = there.known_as(*index, name, wanted);
        wanted.iter().any(|one| covers(one, known))
    });
    Ok(held.map(|(index, _)| *index).collect())
}

/// Whether what leaves by an interface meets the policy: there, or on all that lies below. A VRF has no packets of its own.
fn is_met(links: &[LinkMessage], held: &BTreeSet<u32>, link: &LinkMessage, depth: usize) -> bool {
    if held.contains(&link.header.index) || layers::is_vrf(link) {
        return true;
    }
    let below = layers::lower(links, link, None);
    let met = |index: u32| {
        let mut links_here = links.iter();
        let below = links_here.find(|one| one.header.index == index);
        below.is_some_and(|below| is_met(links, held, below, depth - 1))
    };
    depth > 1 && !below.is_empty() && below.iter().all(|(index, _)| met(*index))
}

/// Whether the kernel passes packets of IPv4 on that arrive by some interface of the calling thread's namespace (`IN_DEV_FORWARD`).
fn forwards_v4() -> bool {
    let each = settings("/proc/sys/net/ipv4/conf");
    // These two are for interfaces to come.
    let mut each = each.filter(|one| !one.ends_with("all") && !one.ends_with("default"));
    each.any(|one| is_on(&one.join("forwarding")))
}

/// The same of IPv6, where one setting is for all interfaces (`ip6_forward`), and since Linux 6.17 each may have its own.
fn forwards_v6() -> bool {
    let folder = Path::new("/proc/sys/net/ipv6/conf");
    let mut each = settings(folder);
    is_on(&folder.join("all/forwarding")) || each.any(|one| is_on(&one.join("force_forwarding")))
}

/// The folders of the interfaces' settings.
fn settings(folder: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    let each = fs::read_dir(folder).into_iter().flatten().flatten();
    each.map(|one| one.path())
}

fn is_on(setting: &Path) -> bool {
    fs::read_to_string(setting).is_ok_and(|value| value.trim() != "0")
}

/// Those that the policy is not met on, each once. An address of the link alone is no sign that something is routed there: each port of a
/// bridge may have one.
fn beside(
    listed: impl Iterator<Item = InterfaceAddress>,
    [v4, v6]: [bool; 2],
    is_met: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = BTreeSet::new();
    for one in listed {
        let Some(address) = one.address else { continue };
        let of_v4 = v4 && address.as_sockaddr_in().is_some();
        let of_v6 = address
            .as_sockaddr_in6()
            .is_some_and(|address| v6 && !address.ip().is_unicast_link_local());
        let is_up = one.flags.contains(InterfaceFlags::IFF_UP);
        let is_other = !one.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        if is_up && is_other && (of_v4 || of_v6) && !is_met(&one.interface_name) {
            found.insert(one.interface_name);
        }
    }
    found.into_iter().collect()
}
