//! Which sockets a recording shows: a recording has packets only, so what answers must have had a socket.
//!
//! Read twice: first for who answers whom, then packet by packet for how far each connection has come.
//! - TCP: who sent a SYN has a connected socket; who answered one has a handshake that is not finished until the other
//!   side's next packet, and a connected socket then; an end that answers a SYN anywhere in the recording listens all
//!   the time. Of a connection that began before the recording, an end that ever speaks in it has a connected socket. A
//!   reset ends a connection.
//! - UDP: of a flow that an end began, it has a connected socket; of others an unconnected one, if it ever sends from that
//!   address and port.
//!
//! What never answers has no socket. Not here: what rules make of it.

use std::collections::HashSet;

use super::flows::{End, Flow, Flows, Key};
use crate::event::{Fragment, Header, SocketAnswer, Transport};
use crate::policy::Direction;
use crate::protocol::IpProtocol;

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// How far a flow has come, by end, and what the first reading found of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Talk {
    /// Sent a SYN.
    opened: [bool; 2],
    /// Answered a SYN.
    answered: [bool; 2],
    /// Sent anything after the handshake's own packets.
    went_on: [bool; 2],
    /// Was reset.
    over: bool,
    /// Speaks in a connection whose beginning is not in the recording. Stays from the first reading.
    speaks_midway: [bool; 2],
}

impl Talk {
    /// Forgets how far it has come, and keeps what was found.
    fn rewind(&mut self) {
        *self = Self {
            speaks_midway: self.speaks_midway,
            ..Self::default()
        };
    }

    /// Whether the beginning of a TCP connection was seen.
    fn begun(&self) -> bool {
        self.opened != [false; 2] || self.answered != [false; 2]
    }

    /// A TCP packet of an end.
    fn tcp(&mut self, sender: usize, flags: u8) {
        match flags & (SYN | ACK | RST) {
            SYN => {
                let again = self.opened[sender] && !self.over;
                if !again {
                    self.rewind();
                }
                self.opened[sender] = true;
            }
            kind if kind == SYN | ACK => self.answered[sender] = true,
            kind if kind & RST != 0 => self.over = true,
            _ => self.went_on[sender] = true,
        }
    }

    /// What a lookup on the side of `own` finds.
    fn tcp_socket(&self, own: usize, listens: bool, syn: bool) -> SocketAnswer {
        let other = 1 - own;
        let idle = if listens {
            SocketAnswer::Listening
        } else {
            SocketAnswer::None
        };
        if self.over || syn && !self.opened[own] && !self.answered[own] {
            idle
        } else if self.answered[own] {
            if self.went_on[other] {
                SocketAnswer::Established
            } else {
                SocketAnswer::Listening
            }
        } else if self.opened[own] || !self.begun() && self.speaks_midway[own] {
            SocketAnswer::Established
        } else {
            idle
        }
    }
}

/// What the first reading finds of the ends.
#[derive(Default)]
pub(super) struct Traffic {
    /// Ends that answer a SYN with TCP, or send with UDP.
    answering: HashSet<(IpProtocol, End)>,
    most: usize,
}

impl Traffic {
    /// Knows nothing yet, and never more than `most` ends.
    pub(super) fn new(most: usize) -> Self {
        Self {
            answering: HashSet::new(),
            most,
        }
    }

    /// A packet of the first reading.
    pub(super) fn learn(&mut self, flows: &mut Flows, header: &Header) {
        let Some((index, sender)) = flows.of(header) else {
            return;
        };
        let Some((key, flow)) = flows.get_mut(index) else {
            return;
        };
        let answers = match header.transport {
            Transport::Tcp { flags, .. } => {
                let midway = !flow.talk.begun() && flags & (SYN | RST) == 0;
                flow.talk.speaks_midway[sender] |= midway;
                flags & (SYN | ACK | RST) == SYN | ACK
            }
            Transport::Ports { .. } => header.protocol == IpProtocol::UDP,
            Transport::Icmp { .. } | Transport::None => false,
        };
        step(flow, sender, header);
        if answers && self.answering.len() < self.most {
            self.answering.insert((key.protocol, key.ends[sender]));
        }
    }

    /// What the lookup for a packet finds, given what came before it; then takes the packet in.
    pub(super) fn socket(
        &self,
        (key, flow): (&Key, &mut Flow),
        sender: usize,
        direction: Direction,
        header: &Header,
    ) -> SocketAnswer {
        if header.fragment == Fragment::Later {
            return SocketAnswer::None;
        }
        let own = match direction {
            Direction::Out => sender,
            _ => 1 - sender,
        };
        // A packet that leaves is already its sender's doing, but for a reset, which the socket that it ends has sent.
        let done = direction == Direction::Out && !resets(header);
        if done {
            step(flow, sender, header);
        }
        let answers = self.answering.contains(&(key.protocol, key.ends[own]));
        let found = match header.transport {
            Transport::Tcp { flags, .. } => {
                let syn = flags & (SYN | ACK | RST) == SYN;
                flow.talk.tcp_socket(own, answers, syn)
            }
            Transport::Ports { .. } if header.protocol == IpProtocol::UDP && answers => {
                if flow.first == own {
                    SocketAnswer::Established
                } else {
                    SocketAnswer::Listening
                }
            }
            _ => SocketAnswer::None,
        };
        if !done {
            step(flow, sender, header);
        }
        found
    }

    /// Ends the first reading.
    pub(super) fn rewind(flows: &mut Flows) {
        flows.beyond = 0;
        for flow in flows.values_mut() {
            flow.talk.rewind();
        }
    }
}

fn resets(header: &Header) -> bool {
    matches!(header.transport, Transport::Tcp { flags, .. } if flags & RST != 0)
}

fn step(flow: &mut Flow, sender: usize, header: &Header) {
    if let Transport::Tcp { flags, .. } = header.transport {
        flow.talk.tcp(sender, flags);
    }
}
