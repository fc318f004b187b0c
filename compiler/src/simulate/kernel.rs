//! The kernel around the programs: sockets as the world answers, a clock that stands.

use std::net::SocketAddr;

use super::ends;
use crate::bpf::constant::TCP_ESTABLISHED;
use crate::event::{Event, Header, SocketAnswer, World};
use crate::interpret::{Kernel, LookupKind, Netns, SocketModel, Tuple};
use crate::policy::{Direction, NetnsId, Policy};
use crate::protocol::IpProtocol;

/// Nanoseconds since boot: long enough ago that every rate has had time to fill.
pub(super) const NOW: u64 = 1 << 50;

/// The id of a socket that no name stands for; the slots of named ones count from 1.
const UNNAMED: u64 = 0;

/// The machine, and what it answers about one packet.
pub(super) struct Machine {
    /// What the lookup in the interface's own namespace finds.
    pub(super) own: SocketAnswer,
    /// What it finds in the named ones, by number.
    elsewhere: Vec<SocketAnswer>,
    /// The protocol, our end and the peer's; `None` for what has no socket.
    ends: Option<(IpProtocol, SocketAddr, SocketAddr)>,
}

impl Machine {
    pub(super) fn new(policy: &Policy, event: &Event, world: &dyn World) -> Self {
        let (direction, header) = match event {
            Event::Packet { .. } => (event.direction(), event.header()),
            // No lookup is made for what passes through.
            _ => (Direction::In, None),
        };
        let answer = |netns: Option<NetnsId>| {
            header.map_or(SocketAnswer::None, |header| {
                world.socket(direction, netns, header)
            })
        };
        Self {
            own: answer(None),
            elsewhere: policy
                .namespaces
                .keys()
                .map(|id| answer(Some(id)))
                .collect(),
            ends: header.and_then(|header| local_and_remote(direction, header)),
        }
    }

    fn answer(&self, netns: Netns) -> SocketAnswer {
        match netns {
            Netns::Current => self.own,
            Netns::Id(id) => {
                let found = self.elsewhere.get(id as usize);
                found.copied().unwrap_or(SocketAnswer::None)
            }
        }
    }
}

fn local_and_remote(
    direction: Direction,
    header: &Header,
) -> Option<(IpProtocol, SocketAddr, SocketAddr)> {
    let (from, to) = ends(header)?;
    Some(match direction {
        Direction::In => (header.protocol, to, from),
        _ => (header.protocol, from, to),
    })
}

impl Kernel for Machine {
    /// The packet's own tuple is asked for as it would come in, whichever way the packet goes.
    fn lookup(&mut self, kind: LookupKind, tuple: Tuple, netns: Netns) -> Option<SocketModel> {
        let (protocol, local, remote) = self.ends?;
        if tuple.source != remote || tuple.destination != local {
            return None;
        }
        let asked = if kind == LookupKind::Udp {
            IpProtocol::UDP
        } else {
            IpProtocol::TCP
        };
        let plain = match protocol {
            IpProtocol::TCP => SocketModel::listener(UNNAMED, local),
            _ => SocketModel::udp(UNNAMED, local),
        };
        match self.answer(netns) {
            _ if asked != protocol => None,
            SocketAnswer::None => None,
            SocketAnswer::Listening => Some(plain),
            SocketAnswer::Established => Some(plain.connected(TCP_ESTABLISHED, remote)),
        }
    }

    fn now(&mut self) -> u64 {
        NOW
    }

    fn netns_cookie(&mut self) -> u64 {
        1
    }
}
