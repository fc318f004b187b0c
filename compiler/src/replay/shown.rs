//! What a recording shows of its machine's sockets, packet by packet, for one policy's sake.
//!
//! Takes the packets twice, as a [`super::Replay`] does; gives what the lookup for each finds. Not here: what rules make of
//! it.

use super::MAX_FLOWS;
use super::flows::Flows;
use super::traffic::Traffic;
use crate::event::{Parsed, SocketAnswer};
use crate::policy::Direction;

/// The sockets that the traffic shows.
pub struct Shown {
    traffic: Traffic,
    flows: Flows,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            traffic: Traffic::new(MAX_FLOWS),
            flows: Flows::new(MAX_FLOWS),
        }
    }
}

impl Shown {
    /// Takes a packet of the first reading.
    pub fn learn(&mut self, packet: &Parsed) {
        if let Parsed::Ip(header) = packet {
            self.traffic.learn(&mut self.flows, header);
        }
    }

    /// Ends the first reading.
    pub fn learnt(&mut self) {
        Traffic::rewind(&mut self.flows);
    }

    /// What the lookup for a packet of the second reading finds, given what came before it.
    pub fn socket(&mut self, packet: &Parsed, direction: Direction) -> SocketAnswer {
        let Parsed::Ip(header) = packet else {
            return SocketAnswer::None;
        };
        let Some((flow, sender)) = self.flows.of(header) else {
            return SocketAnswer::None;
        };
        let flow = self.flows.get_mut(flow);
        flow.map_or(SocketAnswer::None, |flow| {
            self.traffic.socket(flow, sender, direction, header)
        })
    }
}
