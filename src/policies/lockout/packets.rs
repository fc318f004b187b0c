//! The packets of an SSH connection: those of one that is there, those that make a new one, and those without which no neighbour
//! of IPv6 hands anything over.
//!
//! Takes the ends; gives headers, and the socket that the kernel has for each. What nobody can know of packets to come (TTL,
//! DSCP) has plain values here, and others in [`variants`].

use std::net::{IpAddr, Ipv6Addr};

use sockc_compiler::event::{Header, SocketAnswer, Transport};
use sockc_compiler::policy::Direction;
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::{Arrival, Ends};

use super::judge::Part;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
/// The source ports of new connections that are asked about: the ends of what Linux takes by itself.
const NEW: [u16; 2] = [32_768, 60_999];
/// Lengths of packets over IPv4: the first of a connection, one without data, one with some, one that is full.
const FIRST: u32 = 60;
const BARE: u32 = 52;
const SOME: u32 = 100;
const FULL: u32 = 1500;
/// How much longer a header of IPv6 is.
const LONGER: u32 = 20;
/// Neighbour solicitation and advertisement (RFC 4861), their length and TTL.
const SOLICIT: u8 = 135;
const ADVERT: u8 = 136;
const NEIGHBOURLY: (u32, u8) = (72, 255);

/// A packet, and what there is for it.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// Of what it is.
    pub(super) part: Part,
    /// Whether it arrives or leaves.
    pub(super) direction: Direction,
    /// Its header.
    pub(super) header: Header,
    /// The socket that the kernel finds for it.
    pub(super) socket: SocketAnswer,
}

/// Those of a connection that come by an interface, or leave by it, of these parts.
pub(super) fn packets(ends: &Ends, way: &Arrival, parts: &[Part]) -> Vec<Packet> {
    let all = parts.iter().flat_map(|part| match part {
        Part::New => new(ends, way),
        Part::Established => established(ends, way),
        Part::Neighbour => neighbour(ends, way),
    });
    all.collect()
}

/// What of a packet nobody knows beforehand, each by itself with another value: how far it has come, and its class.
pub(super) fn variants(header: &Header) -> Vec<Header> {
    const TTLS: [u8; 5] = [40, 52, 116, 250, 255];
    // CS1, AF21 and EF: what OpenSSH sets, by its version.
    const CLASSES: [u8; 3] = [8, 18, 46];
    const CAPABLE: u8 = 2;
    // A neighbour's packets have come no way, and have no class.
    if header.protocol != IpProtocol::TCP {
        return Vec::new();
    }
    let ttls = TTLS.map(|ttl| Header {
        ttl,
        ..header.clone()
    });
    let classes = CLASSES.map(|dscp| Header {
        dscp,
        ..header.clone()
    });
    let capable = Header {
        ecn: CAPABLE,
        ..header.clone()
    };
    ttls.into_iter().chain(classes).chain([capable]).collect()
}

/// A packet with data as several that came after each other, which cards and the kernel join to one before programs see it.
pub(super) fn joined(header: &Header) -> Vec<Header> {
    const LENGTHS: [u32; 2] = [9000, 65_535];
    let with_data = header.protocol == IpProtocol::TCP && header.length >= SOME;
    let lengths = LENGTHS.iter().filter(|_| with_data);
    let of_length = |length: &u32| Header {
        length: *length,
        ..header.clone()
    };
    lengths.map(of_length).collect()
}

fn new(ends: &Ends, way: &Arrival) -> Vec<Packet> {
    use SocketAnswer::{Established, Listening};
    let kinds = [
        (Direction::In, SYN, FIRST, Listening),
        (Direction::Out, SYN | ACK, FIRST, Listening),
        // The handshake is not over yet.
        (Direction::In, ACK, BARE, Listening),
        (Direction::In, PSH | ACK, SOME, Established),
        (Direction::Out, PSH | ACK, SOME, Established),
    ];
    let ports = NEW.map(|port| match port == ends.remote.port() {
        true => port + 1,
        false => port,
    });
    let of_port = |port| kinds.map(|kind| packet(ends, way, (Part::New, port), kind));
    ports.into_iter().flat_map(of_port).collect()
}

fn established(ends: &Ends, way: &Arrival) -> Vec<Packet> {
    let kinds = [
        (ACK, BARE),
        (PSH | ACK, SOME),
        (ACK, FULL),
        (FIN | ACK, BARE),
    ];
    let both = [Direction::In, Direction::Out];
    let all = both.into_iter().flat_map(|direction| {
        let port = ends.remote.port();
        kinds.map(|(flags, length)| {
            let kind = (direction, flags, length, SocketAnswer::Established);
            packet(ends, way, (Part::Established, port), kind)
        })
    });
    all.collect()
}

fn packet(
    ends: &Ends,
    way: &Arrival,
    (part, port): (Part, u16),
    (direction, flags, length, socket): (Direction, u8, u32, SocketAnswer),
) -> Packet {
    let (near, far) = (
        (ends.local.ip(), ends.local.port()),
        (ends.remote.ip(), port),
    );
    let (from, to) = match direction {
        Direction::Out => (near, far),
        _ => (far, near),
    };
    let longer = if near.0.is_ipv6() { LONGER } else { 0 };
    let header = Header {
        from: from.0,
        to: to.0,
        protocol: IpProtocol::TCP,
        transport: Transport::Tcp {
            from: from.1,
            to: to.1,
            flags,
        },
        length: (length + longer).min(FULL),
        vlan: way.vlan,
        ..in_frame(way)
    };
    Packet {
        part,
        direction,
        header,
        socket,
    }
}

/// What a neighbour asks and answers before it hands a packet of IPv6 over; of IPv4 that is ARP, which no policy sees.
fn neighbour(ends: &Ends, way: &Arrival) -> Vec<Packet> {
    let (IpAddr::V6(own), IpAddr::V6(other)) = (ends.local.ip(), way.neighbour) else {
        return Vec::new();
    };
    if !way.is_ethernet || own.is_loopback() || own == other {
        return Vec::new();
    }
    let kinds = [
        (Direction::In, SOLICIT, other, many(own)),
        (Direction::Out, ADVERT, own, other),
        (Direction::Out, SOLICIT, own, many(other)),
        (Direction::In, ADVERT, other, own),
    ];
    let all = kinds.map(|(direction, kind, from, to)| Packet {
        part: Part::Neighbour,
        direction,
        header: Header {
            from: from.into(),
            to: to.into(),
            protocol: IpProtocol::ICMP6,
            transport: Transport::Icmp { kind, code: 0 },
            length: NEIGHBOURLY.0,
            ttl: NEIGHBOURLY.1,
            vlan: way.vlan,
            ether_to: asked_by_many(to).unwrap_or(in_frame(way).ether_to),
            ..in_frame(way)
        },
        socket: SocketAnswer::None,
    });
    all.into()
}

/// A plain header in a frame with the addresses of a way.
fn in_frame(way: &Arrival) -> Header {
    let [from, to] = way.frame;
    Header {
        ether_from: from.unwrap_or(Header::PLAIN.ether_from),
        ether_to: to.unwrap_or(Header::PLAIN.ether_to),
        ..Header::PLAIN
    }
}

/// The hardware address that a packet for many is sent to (RFC 2464, section 7).
fn asked_by_many(to: Ipv6Addr) -> Option<u64> {
    let last = u128::from(to) & u128::from(u32::MAX);
    to.is_multicast().then_some(0x3333 << 32 | last as u64)
}

/// The address at which all listen whose address ends as this one does (RFC 4291, 2.7.1).
fn many(address: Ipv6Addr) -> Ipv6Addr {
    const PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(PREFIX | address.to_bits() & 0xff_ffff)
}
