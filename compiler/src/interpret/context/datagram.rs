//! A datagram as a socket gets it: `struct __sk_buff` of a packet that stands at its IP header.

use std::net::{IpAddr, SocketAddr};

use super::{Cell, Content};
use crate::interpret::socket::SocketModel;
use crate::protocol::IpProtocol;

/// A packet that arrives at a socket, or leaves from it.
#[derive(Clone, Debug)]
pub struct Arriving {
    /// The bytes, from the IP header on.
    pub packet: Vec<u8>,
    /// How many of them are linear.
    pub linear: usize,
    /// The socket that gets it, or sends it.
    pub socket: SocketModel,
    /// How many segments are joined in it; 0 for none.
    pub gso_segs: u32,
}

impl Arriving {
    /// A packet at its socket, all of it linear.
    #[must_use]
    pub fn new(packet: Vec<u8>, socket: SocketModel) -> Self {
        Self {
            linear: packet.len(),
            packet,
            socket,
            gso_segs: 0,
        }
    }

    /// A datagram of one byte, at a socket of the receiver's address. On the wire an address that stands for one of IPv4 is that.
    pub(super) fn datagram(from: SocketAddr, to: SocketAddr) -> Self {
        let [sender, receiver] = [from, to].map(|end| end.ip().to_canonical());
        let mut udp = Vec::from(from.port().to_be_bytes());
        udp.extend(to.port().to_be_bytes());
        udp.extend([0, 9, 0, 0, 0]);
        let packet = match (sender, receiver) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let head = [0x45, 0, 0, 29, 0, 0, 0, 0, 64, IpProtocol::UDP.0, 0, 0];
                [&head[..], &from.octets(), &to.octets(), &udp].concat()
            }
            (from, to) => {
                let six = |address: IpAddr| match address {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                    IpAddr::V6(v6) => v6.octets(),
                };
                let head = [0x60, 0, 0, 0, 0, 9, IpProtocol::UDP.0, 64];
                [&head[..], &six(from), &six(to), &udp].concat()
            }
        };
        Self::new(packet, SocketModel::udp(0, to))
    }
}

/// Of what `cg_skb_is_valid_access` of net/core/filter.c allows to be read, that which a program here has to do with.
pub(super) fn cells(arriving: &Arriving) -> Vec<Cell> {
    let length = u32::try_from(arriving.packet.len()).unwrap_or(u32::MAX);
    vec![
        Cell::narrow(0, length),
        Cell::pointer(76, 4, Content::Data),
        Cell::pointer(80, 4, Content::DataEnd),
        Cell::narrow(164, arriving.gso_segs),
        Cell::pointer(168, 8, Content::OwnSocket),
    ]
}
