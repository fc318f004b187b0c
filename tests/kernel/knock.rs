//! One packet from the client, and everything that the wire then shows: no clock decides that nothing came back.

use std::net::SocketAddr;

use sockc_compiler::event::{Fragment, Header, Transport};
use sockc_compiler::packet::build::Frame;
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::lab::{FRONT, Probe, Reply, Seen};

use crate::stage::{Stage, at, client_for};

/// The first port that packets come from.
const FIRST_PORT: u16 = 20_000;
/// The flag that ends a direction.
pub(crate) const FIN: u8 = 0x01;
/// The flag that opens a connection.
pub(crate) const SYN: u8 = 0x02;
/// The flag of every later segment.
pub(crate) const ACK: u8 = 0x10;

/// What a packet met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It did not get past the hooks.
    Dropped,
    /// It got past them, and nothing came back.
    Silence,
    /// A SYN-ACK came back.
    Accepted,
    /// A reset or port unreachable came back.
    Refused,
    /// Something else came back.
    Other,
}

/// The client's end of the wire.
pub(crate) struct Knocker {
    inward: Probe,
    answers: Probe,
    port: u16,
}

impl Knocker {
    /// Watches the interface of the policy.
    pub(crate) fn new(stage: &Stage) -> Self {
        let (client, server) = (&stage.lab.client, &stage.lab.server);
        Self {
            inward: Probe::new(client, server, FRONT).unwrap(),
            answers: Probe::new(server, client, FRONT).unwrap(),
            port: FIRST_PORT,
        }
    }

    /// A SYN from a new port.
    pub(crate) fn tcp(&mut self, to: &str) -> Answer {
        let (from, to) = (self.next_port(to), at(to));
        self.knock(&header(6, from, to, SYN))
    }

    /// A datagram from a new port.
    pub(crate) fn udp(&mut self, to: &str) -> Answer {
        let (from, to) = (self.next_port(to), at(to));
        self.knock(&header(17, from, to, 0))
    }

    fn next_port(&mut self, to: &str) -> SocketAddr {
        self.port += 1;
        SocketAddr::new(client_for(at(to)).ip(), self.port)
    }

    /// Whether a packet with this header gets past the hooks.
    pub(crate) fn passes(&mut self, header: &Header) -> bool {
        let frame = Frame::new(header.clone()).shrink();
        self.inward.send(&frame.bytes()).unwrap() == Seen::Passed
    }

    fn knock(&mut self, header: &Header) -> Answer {
        self.answers.arrived().unwrap();
        if !self.passes(header) {
            return Answer::Dropped;
        }
        let frames = self.answers.arrived().unwrap();
        let (from, to) = ports(header);
        let mut replies = frames
            .iter()
            .filter_map(|frame| Reply::read(frame, header.to, header.from, (to, from)));
        match replies.next() {
            None => Answer::Silence,
            Some(Reply::SynAck { .. }) => Answer::Accepted,
            Some(Reply::Reset | Reply::Unreachable) => Answer::Refused,
            Some(Reply::Other) => Answer::Other,
        }
    }
}

fn ports(header: &Header) -> (u16, u16) {
    match header.transport {
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => (from, to),
        Transport::None | Transport::Icmp { .. } => (0, 0),
    }
}

/// A header of TCP or UDP.
pub(crate) fn header(protocol: u8, from: SocketAddr, to: SocketAddr, flags: u8) -> Header {
    let (sender, receiver) = (from.port(), to.port());
    let transport = if protocol == 6 {
        Transport::Tcp {
            from: sender,
            to: receiver,
            flags,
        }
    } else {
        Transport::Ports {
            from: sender,
            to: receiver,
        }
    };
    let header = Header {
        from: from.ip(),
        to: to.ip(),
        protocol: IpProtocol(protocol),
        fragment: Fragment::Whole,
        transport,
        length: 0,
        ..Header::PLAIN
    };
    Frame::new(header).shrink().header().clone()
}
