//! Which place of a name's members a socket gets.
//!
//! Takes the slots of one protocol and family of a name, as they stand; gives a socket the one that it has, or a free one, so that
//! none is in two, and those that are there stay where they are. Not here: whether a socket may stand behind the name.

use std::io;
use std::os::fd::BorrowedFd;

use sockc_compiler::artifact::{Slot, SocketSlots};

use crate::sys::map;

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
        places.collect::<io::Result<_>>().map(Self)
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

    use sockc_compiler::protocol::IpProtocol;

    use super::*;

    fn slot(index: u32) -> Slot {
        Slot {
            index,
            protocol: IpProtocol::TCP,
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
}
