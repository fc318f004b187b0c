//! A world whose answers are a function of the packet, so that every engine gets the same.

use std::collections::HashSet;
use std::net::IpAddr;

use sockc_compiler::artifact::Slot;
use sockc_compiler::event::{Fragment, Header, SocketAnswer, Transport, World};
use sockc_compiler::policy::{Direction, Family, NetnsId, SocketId};
use sockc_compiler::protocol::IpProtocol;
use sockc_testing::Rng;

/// Which connection a question is about, from the sender to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    pub(crate) protocol: IpProtocol,
    pub(crate) from: (IpAddr, u16),
    pub(crate) to: (IpAddr, u16),
}

impl Flow {
    /// The flow of a packet that a socket can have.
    pub(crate) fn of(header: &Header) -> Option<Self> {
        let ports = match header.transport {
            Transport::Tcp { from, to, .. } => (from, to),
            Transport::Ports { from, to } if header.protocol == IpProtocol::UDP => (from, to),
            _ => return None,
        };
        (header.fragment != Fragment::Later).then_some(Self {
            protocol: header.protocol,
            from: (header.from, ports.0),
            to: (header.to, ports.1),
        })
    }

    pub(crate) fn reversed(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
            ..self
        }
    }
}

/// A family and a protocol of a named socket, and one of its members.
pub(crate) type Place = (SocketId, Family, IpProtocol, u32);

/// The places that have their socket.
#[derive(Debug, Default)]
pub(crate) struct There(HashSet<Place>);

impl There {
    /// Whether a name has any.
    pub(crate) fn any(&self, socket: SocketId, family: Family, protocol: IpProtocol) -> bool {
        let mut there = self.0.iter();
        there.any(|&(other, of, number, _)| (other, of, number) == (socket, family, protocol))
    }

    pub(crate) fn has(&self, place: &Place) -> bool {
        self.0.contains(place)
    }
}

impl FromIterator<Place> for There {
    fn from_iter<I: IntoIterator<Item = Place>>(places: I) -> Self {
        Self(places.into_iter().collect())
    }
}

/// A world of made-up or real sockets.
pub(crate) struct Flows<'a> {
    pub(crate) answers: &'a dyn Fn(Flow) -> SocketAnswer,
    pub(crate) there: There,
}

impl World for Flows<'_> {
    fn socket(&self, direction: Direction, _: Option<NetnsId>, header: &Header) -> SocketAnswer {
        let Some(flow) = Flow::of(header) else {
            return SocketAnswer::None;
        };
        match direction {
            Direction::Out => (self.answers)(flow.reversed()),
            _ => (self.answers)(flow),
        }
    }

    fn present(&self, socket: SocketId, family: Family, protocol: IpProtocol) -> bool {
        self.there.any(socket, family, protocol)
    }

    fn holds(&self, socket: SocketId, family: Family, protocol: IpProtocol, member: u32) -> bool {
        self.there.has(&(socket, family, protocol, member))
    }
}

/// The place of a member's slot.
pub(crate) fn place(socket: SocketId, member: u32, slot: &Slot) -> Place {
    (socket, Family::of(slot.address), slot.protocol, member)
}

/// Two of three slots have their socket.
pub(crate) fn there<'a>(
    slots: impl Iterator<Item = (SocketId, u32, &'a Slot)>,
    rng: &mut Rng,
) -> There {
    let there = slots.filter(|_| !rng.chance(1, 3));
    there
        .map(|(socket, member, slot)| place(socket, member, slot))
        .collect()
}
