//! Answers to rejected packets: which packets get one, and whether one is right.

use std::net::IpAddr;

use sockc_compiler::event::{Fragment, Header, Parsed, Transport};
use sockc_compiler::packet::parse::{Layout, parse};
use sockc_compiler::protocol::IpProtocol;

const RST: u8 = 4;
/// The bit of a hardware address's first octet that says it is for many.
const LINK_MANY: u64 = 1 << 40;

/// Whether a rejected packet that `lo` brings is answered: later fragments, resets, ICMP but echo requests, and packets from or to an
/// address that is no single machine's are not, be it one of IP or of the frame.
pub(crate) fn is_answered(header: &Header) -> bool {
    let (icmp, echo) = match header.from {
        IpAddr::V4(_) => (IpProtocol::ICMP, 8),
        IpAddr::V6(_) => (IpProtocol::ICMP6, 128),
    };
    let asks = matches!(header.transport, Transport::Icmp { kind, .. } if kind == echo);
    let reset = matches!(header.transport, Transport::Tcp { flags, .. } if flags & RST != 0);
    header.fragment != Fragment::Later
        && (header.protocol != icmp || asks)
        && !reset
        && (header.ether_from | header.ether_to) & LINK_MANY == 0
        && single(header.from)
        && single(header.to)
}

fn single(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => (1..224).contains(&address.octets()[0]),
        IpAddr::V6(address) => {
            !address.is_multicast()
                && !address.is_unspecified()
                && address.to_ipv4_mapped().is_none()
        }
    }
}

/// What is wrong with the answer to a packet, if anything is.
pub(crate) fn wrong_answer(header: &Header, frame: &[u8], answer: &[u8]) -> Option<&'static str> {
    let Parsed::Ip(found) = parse(answer, Layout::Ethernet) else {
        return Some("it is no IP packet");
    };
    if answer[..6] != frame[6..12] || answer[6..12] != frame[..6] {
        return Some("the hardware addresses are not exchanged");
    }
    if (found.from, found.to) != (header.to, header.from) || found.vlan != header.vlan {
        return Some("it goes elsewhere");
    }
    let start = network(answer);
    let packet = &answer[start..start + found.length as usize];
    let right = match (header.transport, found.transport) {
        (
            Transport::Tcp { from, to, .. },
            Transport::Tcp {
                from: back,
                to: at,
                flags,
            },
        ) => (back, at) == (to, from) && flags & RST != 0,
        (Transport::Tcp { .. }, _) => false,
        (_, Transport::Icmp { kind: 3, code: 3 }) => header.from.is_ipv4(),
        (_, Transport::Icmp { kind: 1, code: 4 }) => header.from.is_ipv6(),
        _ => false,
    };
    if !right {
        return Some("it does not say that nobody listens");
    }
    (!sums_are_right(packet, found.protocol.0)).then_some("a checksum is wrong")
}

/// Where the IP packet begins.
fn network(frame: &[u8]) -> usize {
    let mut at = 12;
    while matches!(frame[at..at + 2], [0x81, 0] | [0x88, 0xa8]) {
        at += 4;
    }
    at + 2
}

fn sums_are_right(packet: &[u8], protocol: u8) -> bool {
    let (body, addresses) = match packet[0] >> 4 {
        4 if sum(&[&packet[..20]]) != 0xffff => return false,
        4 if protocol == 1 => return sum(&[&packet[20..]]) == 0xffff,
        4 => (&packet[20..], &packet[12..20]),
        _ => (&packet[40..], &packet[8..40]),
    };
    let length = (body.len() as u32).to_be_bytes();
    sum(&[addresses, &length, &[0, 0, 0, protocol], body]) == 0xffff
}

/// The sum of RFC 1071; every part but the last has an even length.
fn sum(parts: &[&[u8]]) -> u32 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let total: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = (total & 0xffff) + (total >> 16);
    (folded & 0xffff) + (folded >> 16)
}
