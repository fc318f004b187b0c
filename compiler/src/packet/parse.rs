//! The reference parser: a frame to what rules look at, by `docs/meaning.md#malformed-packets`.
//!
//! Takes the bytes as they are on the wire; gives [`Parsed`]. Checksums, UDP's own length, TCP options and the contents
//! of IPv4 options are not looked at.
//!
//! Choices where the language is silent:
//! - A frame too short for its Ethernet header, or cut inside a VLAN tag, is not IP. A third tag is malformed as soon as
//!   the second one announces it.
//! - A frame that says it is IP and is shorter than an IP header is malformed: its total length lies beyond the frame.
//! - Every bound is the packet's own total length, which must fit in the frame; bytes after it are padding.
//! - Extension headers are walked in any order and may repeat. Each takes at least 8 bytes; a fragment header exactly 8.
//! - After a fragment header with an offset the walk stops: that header's protocol is the packet's, even if it names an
//!   extension header. With several fragment headers the packet is what the strongest says: an atomic one does not make
//!   a first fragment whole again.
//! - The packet mark is no part of a frame: it is 0 here, and the caller's to set.
//! - A payload length of 0 in IPv6 means 0 bytes. Jumbograms and joined segments beyond 64 KiB are the hook's business.

use std::net::IpAddr;

use crate::bpf::constant::{ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6};
use crate::event::{Fragment, Header, Parsed, Transport};
use crate::policy::Family;
use crate::protocol::IpProtocol;

/// Extension headers that are walked; one more is malformed.
const EXTENSION_HEADERS: usize = 6;
/// VLAN tags that are stepped over; one more is malformed.
const VLAN_TAGS: usize = 2;

/// What stands before the IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// An Ethernet header, then up to two VLAN tags.
    Ethernet,
    /// Nothing: the device has no link header (tun, WireGuard) and the EtherType comes from elsewhere.
    Bare(u16),
}

/// What the frame is.
#[must_use]
pub fn parse(frame: &[u8], layout: Layout) -> Parsed {
    let link = match layout {
        Layout::Ethernet => ethernet(frame),
        Layout::Bare(kind) => Link::Packet(kind, frame, None),
    };
    let (header, vlan) = match link {
        Link::Packet(ETH_P_IP, packet, vlan) => (ipv4(packet), vlan),
        Link::Packet(ETH_P_IPV6, packet, vlan) => (ipv6(packet), vlan),
        Link::Packet(..) | Link::Cut => return Parsed::NotIp,
        Link::TooManyTags => return Parsed::Malformed,
    };
    let (ether_from, ether_to) = match layout {
        Layout::Ethernet => (hardware(frame, 6), hardware(frame, 0)),
        Layout::Bare(_) => (Header::PLAIN.ether_from, Header::PLAIN.ether_to),
    };
    let whole = |header| Header {
        vlan,
        ether_from,
        ether_to,
        ..header
    };
    header.map_or(Parsed::Malformed, |header| Parsed::Ip(whole(header)))
}

/// The six octets at this place of a frame, which is no shorter.
fn hardware(frame: &[u8], at: usize) -> u64 {
    let octets = frame.iter().skip(at).take(6);
    octets.fold(0, |address, octet| address << 8 | u64::from(*octet))
}

/// Who sent an IP packet, as far as its header is there: also of one that is malformed otherwise.
#[must_use]
pub fn sender(frame: &[u8], layout: Layout) -> Option<IpAddr> {
    let link = match layout {
        Layout::Ethernet => ethernet(frame),
        Layout::Bare(kind) => Link::Packet(kind, frame, None),
    };
    let Link::Packet(kind, packet, _) = link else {
        return None;
    };
    match (kind, packet.first()? >> 4) {
        (ETH_P_IP, 4) => Some(IpAddr::from(*packet.get(12..)?.first_chunk::<4>()?)),
        (ETH_P_IPV6, 6) => Some(IpAddr::from(*packet.get(8..)?.first_chunk::<16>()?)),
        _ => None,
    }
}

enum Link<'a> {
    /// An EtherType that is no VLAN tag, what follows, and the identifier in the outer tag.
    Packet(u16, &'a [u8], Option<u16>),
    Cut,
    TooManyTags,
}

fn ethernet(frame: &[u8]) -> Link<'_> {
    let Some((addresses_and_kind, mut rest)) = frame.split_first_chunk::<14>() else {
        return Link::Cut;
    };
    let [.., high, low] = *addresses_and_kind;
    let mut kind = u16::from_be_bytes([high, low]);
    let mut outer = None;
    for _ in 0..VLAN_TAGS {
        if !is_vlan(kind) {
            return Link::Packet(kind, rest, outer);
        }
        let Some((&[tag, id, high, low], after)) = rest.split_first_chunk::<4>() else {
            return Link::Cut;
        };
        outer = outer.or(Some(u16::from_be_bytes([tag, id]) & 0x0fff));
        (kind, rest) = (u16::from_be_bytes([high, low]), after);
    }
    if is_vlan(kind) {
        return Link::TooManyTags;
    }
    Link::Packet(kind, rest, outer)
}

fn is_vlan(kind: u16) -> bool {
    matches!(kind, ETH_P_8021Q | ETH_P_8021AD)
}

/// `None` is malformed, here and below.
fn ipv4(packet: &[u8]) -> Option<Header> {
    let head: &[u8; 20] = packet.first_chunk()?;
    let header = usize::from(head[0] & 15) * 4;
    let total = u16::from_be_bytes([head[2], head[3]]);
    let end = usize::from(total);
    if head[0] >> 4 != 4 || header < 20 || end < header {
        return None;
    }
    let body = packet.get(..end)?.get(header..)?;
    let field = u16::from_be_bytes([head[6], head[7]]);
    let fragment = fragment(field & 0x1fff != 0, field & 0x2000 != 0, Fragment::Whole);
    let [.., a, b, c, d, e, f, g, h] = *head;
    Some(Header {
        from: IpAddr::from([a, b, c, d]),
        to: IpAddr::from([e, f, g, h]),
        protocol: IpProtocol(head[9]),
        fragment,
        transport: transport(Family::V4, IpProtocol(head[9]), fragment, body)?,
        length: u32::from(total),
        ttl: head[8],
        dscp: head[1] >> 2,
        ecn: head[1] & 3,
        ..Header::PLAIN
    })
}

fn ipv6(packet: &[u8]) -> Option<Header> {
    let (head, rest) = packet.split_first_chunk::<40>()?;
    if head[0] >> 4 != 6 {
        return None;
    }
    let payload = u16::from_be_bytes([head[4], head[5]]);
    let walked = walk(IpProtocol(head[6]), rest.get(..usize::from(payload))?)?;
    let (_, addresses) = head.split_first_chunk::<8>()?;
    let (from, to) = addresses.split_first_chunk::<16>()?;
    Some(Header {
        from: IpAddr::from(*from),
        to: IpAddr::from(*to.first_chunk::<16>()?),
        protocol: walked.protocol,
        fragment: walked.fragment,
        transport: transport(Family::V6, walked.protocol, walked.fragment, walked.rest)?,
        length: 40 + u32::from(payload),
        ttl: head[7],
        dscp: (head[0] & 0x0f) << 2 | head[1] >> 6,
        ecn: head[1] >> 4 & 3,
        ..Header::PLAIN
    })
}

/// How far the walk over the extension headers got.
#[derive(Clone, Copy)]
struct Walked<'a> {
    protocol: IpProtocol,
    fragment: Fragment,
    rest: &'a [u8],
}

impl Walked<'_> {
    fn done(&self) -> bool {
        self.fragment == Fragment::Later || !self.protocol.is_extension()
    }
}

fn walk(protocol: IpProtocol, body: &[u8]) -> Option<Walked<'_>> {
    let mut walked = Walked {
        protocol,
        fragment: Fragment::Whole,
        rest: body,
    };
    for _ in 0..EXTENSION_HEADERS {
        if walked.done() {
            break;
        }
        walked = step(walked)?;
    }
    walked.done().then_some(walked)
}

fn step(at: Walked<'_>) -> Option<Walked<'_>> {
    let &[next, units, high, low, ..] = at.rest.first_chunk::<8>()?;
    let (length, fragment) = if at.protocol == IpProtocol::FRAGMENT {
        let field = u16::from_be_bytes([high, low]);
        (8, fragment(field >> 3 != 0, field & 1 != 0, at.fragment))
    } else {
        (8 + usize::from(units) * 8, at.fragment)
    };
    Some(Walked {
        protocol: IpProtocol(next),
        fragment,
        rest: at.rest.get(length..)?,
    })
}

/// What a fragment field makes of a packet that was `before` until then.
fn fragment(offset: bool, more: bool, before: Fragment) -> Fragment {
    match (offset, more) {
        (true, _) => Fragment::Later,
        (false, true) => Fragment::First,
        (false, false) => before,
    }
}

fn transport(
    family: Family,
    number: IpProtocol,
    fragment: Fragment,
    body: &[u8],
) -> Option<Transport> {
    if fragment == Fragment::Later {
        return Some(Transport::None);
    }
    match (number, family) {
        (IpProtocol::TCP, _) => tcp(body),
        (IpProtocol::UDP, _) => body.first_chunk::<8>().map(|head| ports(*head)),
        (IpProtocol::SCTP, _) => {
            let head: &[u8; 12] = body.first_chunk()?;
            head.first_chunk::<8>().map(|head| ports(*head))
        }
        (IpProtocol::ICMP, Family::V4) | (IpProtocol::ICMP6, Family::V6) => {
            let &[kind, code, ..] = body.first_chunk::<8>()?;
            Some(Transport::Icmp { kind, code })
        }
        _ => Some(Transport::None),
    }
}

fn ports([a, b, c, d, ..]: [u8; 8]) -> Transport {
    Transport::Ports {
        from: u16::from_be_bytes([a, b]),
        to: u16::from_be_bytes([c, d]),
    }
}

fn tcp(body: &[u8]) -> Option<Transport> {
    let head: &[u8; 20] = body.first_chunk()?;
    let header = usize::from(head[12] >> 4) * 4;
    if header < 20 || header > body.len() {
        return None;
    }
    Some(Transport::Tcp {
        from: u16::from_be_bytes([head[0], head[1]]),
        to: u16::from_be_bytes([head[2], head[3]]),
        flags: head[13],
    })
}

#[cfg(test)]
mod tests;
