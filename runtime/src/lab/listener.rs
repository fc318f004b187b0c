//! Plain servers, and which of them a packet reached.
//!
//! Each listener has a TTL of its own, which its SYN-ACK carries: one SYN on the wire says which socket the lookup chose,
//! without a handshake that a policy might forbid half-way. A UDP socket simply has the datagram.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    Backlog, MsgFlags, SockaddrStorage, bind, listen, recv, setsockopt, sockopt,
};

use super::error::{Error, While};
use super::state;
use sockc_compiler::protocol::IpProtocol;

/// A TCP listener or a UDP socket.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    /// 6 for TCP, 17 for UDP.
    pub protocol: IpProtocol,
    /// Where it is bound.
    pub address: SocketAddr,
    /// The TTL (hop limit) of all it sends.
    pub ttl: u8,
}

impl Listener {
    /// Starts one in the calling thread's namespace.
    pub fn start(protocol: IpProtocol, address: SocketAddr, ttl: u8) -> Result<Self, Error> {
        Self::make(protocol, address, ttl, false)
    }

    /// Starts one that answers in the name of any address (`IP_TRANSPARENT`).
    pub fn transparent(protocol: IpProtocol, address: SocketAddr, ttl: u8) -> Result<Self, Error> {
        Self::make(protocol, address, ttl, true)
    }

    fn make(
        protocol: IpProtocol,
        address: SocketAddr,
        ttl: u8,
        transparent: bool,
    ) -> Result<Self, Error> {
        let start = || {
            let fd = state::open(protocol, address)?;
            if transparent {
                // Of both families.
                setsockopt(&fd, sockopt::IpTransparent, &true)?;
            }
            if address.is_ipv4() {
                setsockopt(&fd, sockopt::Ipv4Ttl, &i32::from(ttl))?;
            } else {
                setsockopt(&fd, sockopt::Ipv6Ttl, &i32::from(ttl))?;
            }
            bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
            if protocol == IpProtocol::TCP {
                listen(&fd, Backlog::MAXCONN)?;
            }
            Ok::<_, nix::Error>(fd)
        };
        let fd = start().doing(|| format!("listening on {address}"))?;
        Ok(Self {
            fd,
            protocol,
            address,
            ttl,
        })
    }

    /// The number of its descriptor in this process.
    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// The datagrams that came since the last call; a TCP listener has none.
    pub fn datagrams(&self) -> Result<Vec<Vec<u8>>, Error> {
        if self.protocol == IpProtocol::TCP {
            return Ok(Vec::new());
        }
        let mut datagrams = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => datagrams.push(buffer.iter().take(length).copied().collect()),
                Err(nix::Error::EAGAIN) => return Ok(datagrams),
                Err(error) => {
                    return Err(Error::new(format!("reading from {}", self.address), error));
                }
            }
        }
    }
}

/// What a server's stack answered to one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A SYN-ACK, with its TTL.
    SynAck {
        /// The listener's own.
        ttl: u8,
    },
    /// A TCP reset.
    Reset,
    /// ICMP port unreachable.
    Unreachable,
    /// Another packet, such as an ACK.
    Other,
}

impl Reply {
    /// The answer that a frame is, if it goes from one address to the other. TCP ports (sender's, receiver's) are those of
    /// the answer; an ICMP error has none.
    #[must_use]
    pub fn read(frame: &[u8], from: IpAddr, to: IpAddr, ports: (u16, u16)) -> Option<Self> {
        let packet = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(frame, &from.octets(), &to.octets())?,
            (IpAddr::V6(from), IpAddr::V6(to)) => ipv6(frame, &from.octets(), &to.octets())?,
            _ => return None,
        };
        match (packet.protocol, packet.payload) {
            (IpProtocol::TCP, [a, b, c, d, _, _, _, _, _, _, _, _, _, flags, ..]) => {
                let seen = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
                (seen == ports).then(|| Self::of_flags(*flags, packet.ttl))
            }
            (IpProtocol::ICMP, [3, 3, ..]) | (IpProtocol::ICMP6, [1, 4, ..]) => {
                Some(Self::Unreachable)
            }
            _ => Some(Self::Other),
        }
    }

    fn of_flags(flags: u8, ttl: u8) -> Self {
        match flags {
            flags if flags & 0x12 == 0x12 => Self::SynAck { ttl },
            flags if flags & 4 != 0 => Self::Reset,
            _ => Self::Other,
        }
    }
}

/// What an answer is read from.
struct Packet<'a> {
    ttl: u8,
    protocol: IpProtocol,
    payload: &'a [u8],
}

fn ipv4<'a>(frame: &'a [u8], from: &[u8], to: &[u8]) -> Option<Packet<'a>> {
    let packet = of_type(frame, [0x08, 0])?;
    let header = usize::from(packet.first()? & 15) * 4;
    (packet.get(12..16)? == from && packet.get(16..20)? == to).then_some(())?;
    Some(Packet {
        ttl: *packet.get(8)?,
        protocol: IpProtocol(*packet.get(9)?),
        payload: packet.get(header..)?,
    })
}

fn ipv6<'a>(frame: &'a [u8], from: &[u8], to: &[u8]) -> Option<Packet<'a>> {
    let packet = of_type(frame, [0x86, 0xdd])?;
    (packet.get(8..24)? == from && packet.get(24..40)? == to).then_some(())?;
    Some(Packet {
        ttl: *packet.get(7)?,
        protocol: IpProtocol(*packet.get(6)?),
        payload: packet.get(40..)?,
    })
}

fn of_type(frame: &[u8], ethertype: [u8; 2]) -> Option<&[u8]> {
    (frame.get(12..14)? == ethertype).then_some(())?;
    frame.get(14..)
}
