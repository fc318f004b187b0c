//! Which address `self` stands for in a packet in words: a packet has one, and the machine may have many.
//!
//! Takes the packet and what is said of it; gives the address, and notes that it is one of this machine. Not here: the machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::ast::{Address, Packet, Side};
use sockc_grammar::diagnostic::Diagnostic;

use super::case::{Said, mistake};
use super::codes;
use super::endpoint::End;
use crate::direction::{NO_OWN_END, NO_OWN_END_HELP, PacketEnd};
use crate::policy::{AddressSet, Direction, Policy};

/// The addresses that are chosen where nothing is said: of the blocks for documentation (RFC 5737, RFC 3849), so that nobody takes
/// them for those of the machine on which the question is asked.
const CHOSEN: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 0, 2, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
);

/// The address that `self` stands for, which is a member of `self` from then on; `None` if it is said that there is none of the
/// family. A policy that does not name `self` asks nothing of it.
pub(super) fn address(packet: &Packet, policy: &Policy, said: &mut Said) -> Option<IpAddr> {
    let sides = [&packet.from, &packet.to];
    let written = || {
        sides
            .into_iter()
            .flatten()
            .flat_map(|side| addresses(&side.value))
    };
    if !written().any(|address| *address == Address::Own) {
        return None;
    }
    let v6 = written()
        .any(|address| matches!(address, Address::Prefix { address, .. } if address.is_ipv6()));
    let set = policy.sets.iter().find(|(_, set)| set.is_own());
    let known = said
        .members
        .iter()
        .find(|(id, _)| set.is_some_and(|(own, _)| own == *id));
    if let Some((_, members)) = known {
        return first(members, v6);
    }
    let chosen = match v6 {
        true => IpAddr::from(CHOSEN.1),
        false => IpAddr::from(CHOSEN.0),
    };
    let members = set.map(|(own, _)| (own, AddressSet::of([chosen])));
    said.members.extend(members);
    Some(chosen)
}

/// Where `with self` is said, the address at the machine's end is one of its own, as `with self { … }` would say.
///
/// # Errors
/// Neither end is the machine's, or both are said, and not the same.
pub(super) fn hold(
    said: &mut Said,
    direction: Direction,
    [from, to]: [&End; 2],
    policy: &Policy,
) -> Result<(), Box<Diagnostic>> {
    let Some(span) = said.own.as_ref().map(|own| own.span) else {
        return Ok(());
    };
    let address = match direction.own_end() {
        Some(PacketEnd::From) => from.address,
        Some(PacketEnd::To) => to.address,
        None => {
            return Err(mistake(
                codes::DOES_NOT_FIT,
                NO_OWN_END,
                span,
                "does not fit this packet",
                NO_OWN_END_HELP,
            ));
        }
    };
    if is_nobodys_own(address) {
        return Err(mistake(
            codes::DOES_NOT_FIT,
            format!("{address} is an address of many, and never one of this machine alone"),
            span,
            "does not fit this packet",
            "leave it out: `self` holds neither multicast nor broadcast addresses",
        ));
    }
    let Some((own, _)) = policy.sets.iter().find(|(_, set)| set.is_own()) else {
        return Ok(());
    };
    match said.members.iter().find(|(id, _)| *id == own) {
        Some((_, members)) if members.contains(address) => Ok(()),
        Some(_) => Err(mistake(
            codes::DOES_NOT_FIT,
            format!(
                "{address} is said to be an address of this machine, and not among those that it has"
            ),
            span,
            "does not fit this packet",
            "leave it out, or name the address in `self { … }`",
        )),
        None => {
            said.members.push((own, AddressSet::of([address])));
            Ok(())
        }
    }
}

/// Whether no machine has the address for itself. Which others are broadcast addresses of a link, its routes say.
fn is_nobodys_own(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn addresses(side: &Side) -> impl Iterator<Item = &Address> {
    let endpoints = match side {
        Side::Endpoints { endpoints, .. } => endpoints.as_slice(),
        Side::Group(_) => &[],
    };
    let addresses = endpoints
        .iter()
        .filter_map(|one| one.value.address.as_ref());
    addresses.map(|address| &address.value)
}

/// The first address of a family.
fn first(members: &AddressSet, v6: bool) -> Option<IpAddr> {
    match v6 {
        true => {
            let (low, _) = members.v6.ranges().first()?;
            Some(Ipv6Addr::from_bits(*low).into())
        }
        false => {
            let (low, _) = members.v4.ranges().first()?;
            Some(Ipv4Addr::from_bits(*low).into())
        }
    }
}
