//! Which place of a name's members a socket gets.
//!
//! Takes the slots of one protocol and family of a name, as they stand; gives a socket the one that it has, or a free one, so that
//! none is in two, and those that are there stay where they are. A place where a closed socket was left is free. Not here: whether a
//! socket may stand behind the name.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;

use sockc_compiler::artifact::{Slot, SocketSlots};
use sockc_compiler::protocol::IpProtocol;

use crate::sys::{diag, map};

/// The places of a name's members, with the cookies of the sockets in them.
#[derive(Debug)]
pub(crate) struct Places<'a>(Vec<(&'a Slot, Option<u64>)>);

impl<'a> Places<'a> {
    /// As these slots stand in the map.
    pub(crate) fn look(
        slots: impl Iterator<Item = &'a Slot>,
        sockets: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let places = slots.map(|slot| Ok((slot, map::cookie_in(sockets, slot.index)?)));
        let mut places = Self(places.collect::<io::Result<_>>()?);
        let is_udp = |(slot, held): &(&Slot, Option<u64>)| {
            held.is_some() && slot.protocol == IpProtocol::UDP
        };
        if places.0.iter().any(is_udp) {
            let open = diag::open_sockets()?.into_iter().map(|open| open.cookie);
            places.without_closed(&open.collect(), |cookie| {
                Ok(diag::with_cookie(cookie)?.is_some())
            })?;
        }
        Ok(places)
    }

    /// Forgets the sockets of UDP that are not among those that are open, nor there in any other way, such as connected: they are
    /// closed, and may stand in their places for good ([`super::lookup::check_state`]).
    fn without_closed(
        &mut self,
        open: &BTreeSet<u64>,
        is_there: impl Fn(u64) -> io::Result<bool>,
    ) -> io::Result<()> {
        for (slot, held) in &mut self.0 {
            let unseen = held.filter(|cookie| !open.contains(cookie));
            if let Some(cookie) = unseen.filter(|_| slot.protocol == IpProtocol::UDP)
                && !is_there(cookie)?
            {
                *held = None;
            }
        }
        Ok(())
    }

    /// Whether somebody is in the place of a slot.
    pub(crate) fn is_taken(&self, slot: &Slot) -> bool {
        let mut places = self.0.iter();
        places.any(|(other, held)| other.index == slot.index && held.is_some())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The place of a socket that is in one.
    pub(crate) fn of(&self, cookie: u64) -> Option<&'a Slot> {
        let mut places = self.0.iter();
        let found = places.find(|(_, held)| *held == Some(cookie));
        found.map(|(slot, _)| *slot)
    }

    /// The place for a socket, which is its own from now on: the one that it is in, else the first that is free; `None` if all are
    /// taken.
    pub(crate) fn take(&mut self, cookie: u64) -> Option<&'a Slot> {
        if let Some(slot) = self.of(cookie) {
            return Some(slot);
        }
        let mut places = self.0.iter_mut();
        let (slot, held) = places.find(|(_, held)| held.is_none())?;
        *held = Some(cookie);
        Some(slot)
    }

    /// The same for a socket whose place is held by the one with this cookie.
    pub(crate) fn take_from(&mut self, cookie: u64, held: u64) -> Option<&'a Slot> {
        let mut places = self.0.iter_mut();
        let (slot, held) = places.find(|(_, other)| *other == Some(held))?;
        *held = Some(cookie);
        Some(slot)
    }

    /// The slots that hold a socket which an earlier one holds too.
    pub(crate) fn twice(&self) -> impl Iterator<Item = &'a Slot> {
        self.0.iter().enumerate().filter_map(|(at, (slot, held))| {
            let earlier = self.0.get(..at).unwrap_or_default();
            let twice = held.is_some() && earlier.iter().any(|(_, other)| other == held);
            twice.then_some(*slot)
        })
    }
}

/// The slots of a name by protocol and family, each in their order.
pub(crate) fn by_kind(socket: &SocketSlots) -> Vec<Vec<&Slot>> {
    grouped(socket, Slot::is_of_kind)
}

/// The slots of a name by the address that is looked for: sockets of one address are one reuseport group.
pub(crate) fn by_address(socket: &SocketSlots) -> Vec<Vec<&Slot>> {
    grouped(socket, Slot::is_for_address)
}

fn grouped(socket: &SocketSlots, same: impl Fn(&Slot, &Slot) -> bool) -> Vec<Vec<&Slot>> {
    let mut groups: Vec<Vec<&Slot>> = Vec::new();
    for slot in &socket.slots {
        let known = groups
            .iter_mut()
            .find(|group| group.first().is_some_and(|first| same(first, slot)));
        match known {
            Some(group) => group.push(slot),
            None => groups.push(vec![slot]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn slot(index: u32) -> Slot {
        of(IpProtocol::TCP, index)
    }

    fn of(protocol: IpProtocol, index: u32) -> Slot {
        Slot {
            index,
            protocol,
            address: Ipv4Addr::LOCALHOST.into(),
            port: 1,
        }
    }

    #[test]
    fn a_socket_keeps_its_place_and_none_gets_two() {
        let slots = [slot(4), slot(5), slot(6)];
        let held = [Some(70), None, Some(71)];
        let mut places = Places(slots.iter().zip(held).collect());
        let index = |slot: Option<&Slot>| slot.map(|slot| slot.index);
        assert_eq!(index(places.take(71)), Some(6));
        assert_eq!(index(places.take(72)), Some(5));
        assert_eq!(index(places.take(72)), Some(5));
        assert_eq!(index(places.take(73)), None);
        assert_eq!(index(places.take_from(73, 99)), None);
        assert_eq!(index(places.take_from(73, 70)), Some(4));
        assert_eq!(index(places.of(70)), None);
        assert_eq!(places.twice().count(), 0);
        let held = [Some(70), Some(71), Some(70)];
        let places = Places(slots.iter().zip(held).collect());
        assert_eq!(
            places.twice().map(|slot| slot.index).collect::<Vec<_>>(),
            [6]
        );
    }

    #[test]
    fn the_place_of_a_closed_socket_is_free() {
        let slots = [
            of(IpProtocol::UDP, 0),
            of(IpProtocol::UDP, 1),
            of(IpProtocol::UDP, 2),
            slot(3),
        ];
        let held = [70, 71, 72, 73].map(Some);
        let mut places = Places(slots.iter().zip(held).collect());
        // The second is closed, the third connected; one of TCP that does not listen keeps its place.
        let open = BTreeSet::from([70]);
        let is_there = |cookie| Ok(cookie == 72);
        places.without_closed(&open, is_there).unwrap();
        let taken = slots.iter().map(|slot| places.is_taken(slot));
        assert_eq!(taken.collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(places.take(74).map(|slot| slot.index), Some(1));
    }
}
