//! Packets: bytes to [`Header`](crate::event::Header)s and back, packets in words.
//!
//! Everything here is slow and obvious on purpose: it is what the emitted parser is compared with. Nothing here is
//! used to generate code, and nothing decides what becomes of a packet.

pub mod build;
pub mod parse;
pub mod text;

use crate::event::Fragment;
use crate::policy::Family;
use crate::protocol::IpProtocol;

/// Bytes of the transport header that a whole packet or first fragment must hold.
#[must_use]
pub(crate) fn transport_length(family: Family, protocol: IpProtocol) -> u32 {
    match (protocol, family) {
        (IpProtocol::TCP, _) => 20,
        (IpProtocol::SCTP, _) => 12,
        (IpProtocol::UDP, _) | (IpProtocol::ICMP, Family::V4) | (IpProtocol::ICMP6, Family::V6) => {
            8
        }
        _ => 0,
    }
}

/// The least length of an IP packet of this kind, without options and without extension headers other than the
/// fragment header it needs.
#[must_use]
pub fn shortest_length(family: Family, protocol: IpProtocol, fragment: Fragment) -> u32 {
    let network = match (family, fragment) {
        (Family::V4, _) => 20,
        (Family::V6, Fragment::Whole) => 40,
        (Family::V6, Fragment::First | Fragment::Later) => 48,
    };
    match fragment {
        Fragment::Later => network,
        Fragment::Whole | Fragment::First => network + transport_length(family, protocol),
    }
}

/// The greatest length that the length field of an IP packet can say.
#[must_use]
pub fn longest_length(family: Family) -> u32 {
    match family {
        Family::V4 => 65_535,
        Family::V6 => 65_575,
    }
}
