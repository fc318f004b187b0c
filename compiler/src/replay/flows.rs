//! The flows of a recording: packets between two ends, both ways together.
//!
//! Takes headers; gives each flow a number, as long as there are not too many. Not here: what is counted of them.

use std::net::IpAddr;

use indexmap::IndexMap;

use super::traffic::Talk;
use crate::decide::{from_port, to_port};
use crate::event::{Fragment, Header, Transport};
use crate::packet::shortest_length;
use crate::policy::Family;
use crate::protocol::IpProtocol;

/// So many flows are told apart, at some 200 bytes each. Packets of more are counted, but not as flows.
pub const MAX_FLOWS: usize = 1 << 20;

/// An address, and the port if the protocol has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct End {
    pub(super) address: IpAddr,
    pub(super) port: Option<u16>,
}

/// What the packets of a flow have in common: the ends in order, so that both ways are one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) ends: [End; 2],
    pub(super) protocol: IpProtocol,
}

/// A flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// Which end was seen sending first.
    pub(super) first: usize,
    /// Whether a packet of it changes its fate.
    pub(super) changes: bool,
    pub(super) talk: Talk,
}

/// All flows, in the order of their first packets.
pub(super) struct Flows {
    known: IndexMap<Key, Flow>,
    most: usize,
    /// Packets of flows that are not told apart.
    pub(super) beyond: u64,
}

impl Flows {
    /// None yet, and never more than `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            known: IndexMap::new(),
            most,
            beyond: 0,
        }
    }

    /// The flow of a packet and the end that sends it; nothing if there are too many flows.
    pub(super) fn of(&mut self, header: &Header) -> Option<(usize, usize)> {
        let (key, sender) = Key::of(header);
        if self.known.len() >= self.most && !self.known.contains_key(&key) {
            self.beyond += 1;
            return None;
        }
        let entry = self.known.entry(key);
        let index = entry.index();
        entry.or_insert(Flow {
            first: sender,
            changes: false,
            talk: Talk::default(),
        });
        Some((index, sender))
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<(&Key, &mut Flow)> {
        self.known.get_index_mut(index)
    }

    pub(super) fn get(&self, index: usize) -> Option<(&Key, &Flow)> {
        self.known.get_index(index)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Flow> {
        self.known.values_mut()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Flow> {
        self.known.values()
    }
}

impl Key {
    /// The flow of a packet, and which of its ends is the sender.
    pub(super) fn of(header: &Header) -> (Self, usize) {
        let from = End {
            address: header.from,
            port: from_port(header),
        };
        let to = End {
            address: header.to,
            port: to_port(header),
        };
        let sender = usize::from(from > to);
        let ends = if sender == 0 { [from, to] } else { [to, from] };
        let key = Self {
            ends,
            protocol: header.protocol,
        };
        (key, sender)
    }

    /// A header of the flow, from the end that `sender` says.
    pub(super) fn header(&self, sender: usize) -> Header {
        const SYN: u8 = 0x02;
        let [from, to] = match sender {
            0 => self.ends,
            _ => [self.ends[1], self.ends[0]],
        };
        let ports = from.port.zip(to.port);
        let transport = match (ports, self.protocol) {
            (Some((from, to)), IpProtocol::TCP) => Transport::Tcp {
                from,
                to,
                flags: SYN,
            },
            (Some((from, to)), _) => Transport::Ports { from, to },
            (None, _) => Transport::None,
        };
        let fragment = match (ports, self.protocol) {
            (None, protocol) if protocol.has_ports() => Fragment::Later,
            _ => Fragment::Whole,
        };
        Header {
            from: from.address,
            to: to.address,
            protocol: self.protocol,
            fragment,
            transport,
            length: shortest_length(Family::of(from.address), self.protocol, fragment),
            ..Header::PLAIN
        }
    }
}
