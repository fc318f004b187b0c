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

/// A world of made-up or real sockets.
pub(crate) struct Flows<'a> {
    pub(crate) answers: &'a dyn Fn(Flow) -> SocketAnswer,
    pub(crate) present: HashSet<(SocketId, Family, IpProtocol)>,
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
        self.present.contains(&(socket, family, protocol))
    }
}

/// Two of three slots have their socket.
pub(crate) fn present<'a>(
    slots: impl Iterator<Item = (SocketId, &'a Slot)>,
    rng: &mut Rng,
) -> HashSet<(SocketId, Family, IpProtocol)> {
    let there = slots.filter(|_| !rng.chance(1, 3));
    there
        .map(|(socket, slot)| (socket, Family::of(slot.address), slot.protocol))
        .collect()
}
