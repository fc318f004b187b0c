//! Packets: bytes to [`Header`](crate::event::Header)s and back, packets at a policy's edges, packets in words.
//!
//! Everything here is slow and obvious on purpose: it is what the emitted parser is compared with. Nothing here is
//! used to generate code, and nothing decides what becomes of a packet.

pub mod build;
pub mod edges;
pub mod parse;
pub mod random;
pub mod text;

use crate::event::Part;
use crate::policy::Family;

/// IP protocol numbers that rules and headers name.
pub mod protocol {
    /// IPv6 hop-by-hop options, an extension header.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP; with a header that is checked only over IPv4.
    pub const ICMP: u8 = 1;
    /// TCP
    pub const TCP: u8 = 6;
    /// UDP
    pub const UDP: u8 = 17;
    /// IPv6 routing header, an extension header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header, an extension header.
    pub const FRAGMENT: u8 = 44;
    /// GRE
    pub const GRE: u8 = 47;
    /// ESP
    pub const ESP: u8 = 50;
    /// AH, a protocol like any other: it is not walked.
    pub const AH: u8 = 51;
    /// ICMPv6; with a header that is checked only over IPv6.
    pub const ICMP6: u8 = 58;
    /// IPv6 destination options, an extension header.
    pub const DESTINATION: u8 = 60;
    /// SCTP
    pub const SCTP: u8 = 132;

    /// Whether this is an IPv6 extension header that is walked (language section 2, point 8).
    #[must_use]
    pub fn is_extension(number: u8) -> bool {
        matches!(number, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION)
    }
}

/// Bytes of the transport header that a whole packet or first fragment must hold.
#[must_use]
pub fn transport_length(family: Family, number: u8) -> u32 {
    match (number, family) {
        (protocol::TCP, _) => 20,
        (protocol::SCTP, _) => 12,
        (protocol::UDP, _) | (protocol::ICMP, Family::V4) | (protocol::ICMP6, Family::V6) => 8,
        _ => 0,
    }
}

/// The least length of an IP packet of this kind, without options and without extension headers other than the
/// fragment header it needs.
#[must_use]
pub fn shortest_length(family: Family, number: u8, part: Part) -> u32 {
    let network = match (family, part) {
        (Family::V4, _) => 20,
        (Family::V6, Part::Whole) => 40,
        (Family::V6, Part::First | Part::Later) => 48,
    };
    match part {
        Part::Later => network,
        Part::Whole | Part::First => network + transport_length(family, number),
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
