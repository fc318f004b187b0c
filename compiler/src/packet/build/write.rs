//! The bytes of a [`Frame`], layer by layer.

use std::net::IpAddr;

use super::{Extension, Fragmented, Frame, checksum};
use crate::bpf::constant::{ETH_P_IP, ETH_P_IPV6};
use crate::event::{Fragment, Transport, hardware_octets};
use crate::protocol::IpProtocol;

pub(super) fn clamp(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Bytes of the transport header with its options.
pub(super) fn transport_length(frame: &Frame) -> usize {
    match frame.header.transport {
        Transport::None => 0,
        Transport::Tcp { .. } => 20 + frame.tcp_options * 4,
        Transport::Ports { .. } if frame.header.protocol == IpProtocol::SCTP => 12,
        Transport::Ports { .. } | Transport::Icmp { .. } => 8,
    }
}

pub(super) fn frame(frame: &Frame) -> Vec<u8> {
    let packet = match (frame.header.from, frame.header.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(frame, from.octets(), to.octets()),
        (from, to) => ipv6(frame, wide(from), wide(to)),
    };
    let kind = match frame.header.from {
        IpAddr::V4(_) => ETH_P_IP,
        IpAddr::V6(_) => ETH_P_IPV6,
    };
    let addresses = [frame.header.ether_to, frame.header.ether_from];
    let mut bytes = addresses.map(hardware_octets).concat();
    for tag in &frame.tags {
        bytes.extend(tag.kind.to_be_bytes());
        bytes.extend(tag.control.to_be_bytes());
    }
    bytes.extend(frame.broken.ether_type.unwrap_or(kind).to_be_bytes());
    bytes.extend(packet);
    bytes.resize(bytes.len() + frame.padding, 0);
    bytes
}

fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// DSCP and congestion notification in one byte.
fn traffic_class(frame: &Frame) -> u8 {
    frame.header.dscp << 2 | frame.header.ecn
}

fn ipv4(frame: &Frame, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let header = 20 + frame.ip_options * 4;
    let words = u8::try_from(header / 4).unwrap_or(15);
    let Fragmented {
        uncut, reserved, ..
    } = frame.fragmented;
    let (offset, more) = offset_and_more(frame);
    let flags = u16::from(reserved & 1) << 2 | u16::from(uncut) << 1 | u16::from(more);
    let fragment = flags << 13 | offset;
    let length = u16::try_from(frame.header.length).unwrap_or(u16::MAX);
    let mut bytes = vec![
        frame.broken.version.unwrap_or(4) << 4 | frame.broken.header_words.unwrap_or(words),
        traffic_class(frame),
    ];
    bytes.extend(frame.broken.length_field.unwrap_or(length).to_be_bytes());
    bytes.extend([0x12, 0x34]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([frame.header.ttl, frame.header.protocol.0, 0, 0]);
    bytes.extend(from.iter().chain(&to));
    bytes.resize(header, 1);
    let sum = checksum::finish(checksum::sum(&bytes));
    put(&mut bytes, 10, &sum.to_be_bytes());
    bytes.extend(segment(frame, header));
    bytes
}

fn ipv6(frame: &Frame, from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
    let extensions = frame.extensions_in_place();
    let length = u16::try_from(frame.header.length.saturating_sub(40)).unwrap_or(u16::MAX);
    let first = next_header(frame, &extensions, 0);
    let class = traffic_class(frame);
    let version = frame.broken.version.unwrap_or(6) << 4;
    let mut bytes = vec![version | class >> 4, class << 4, 0, 0];
    bytes.extend(frame.broken.length_field.unwrap_or(length).to_be_bytes());
    bytes.extend([first, frame.header.ttl]);
    bytes.extend(from.iter().chain(&to));
    for (index, &extension) in extensions.iter().enumerate() {
        let next = next_header(frame, &extensions, index + 1);
        bytes.extend(extension_header(frame, extension, next));
    }
    let header = bytes.len();
    bytes.extend(segment(frame, header));
    bytes
}

/// The number that announces the extension header at `index`, or the protocol after the last.
fn next_header(frame: &Frame, extensions: &[Extension], index: usize) -> u8 {
    let next = match extensions.get(index) {
        Some(Extension::HopByHop(_)) => IpProtocol::HOP_BY_HOP,
        Some(Extension::Routing(_)) => IpProtocol::ROUTING,
        Some(Extension::Destination(_)) => IpProtocol::DESTINATION,
        Some(Extension::Fragment) => IpProtocol::FRAGMENT,
        None => frame.header.protocol,
    };
    next.0
}

fn extension_header(frame: &Frame, extension: Extension, next: u8) -> Vec<u8> {
    match extension {
        Extension::HopByHop(units) | Extension::Destination(units) => options(next, units),
        Extension::Routing(units) => {
            // Type 253 (experiments) with no segments left: nodes step over it.
            let mut bytes = vec![next, units, 253, 0];
            bytes.resize(extension.length(), 0);
            bytes
        }
        Extension::Fragment => {
            let (offset, more) = offset_and_more(frame);
            let reserved = frame.fragmented.reserved;
            let field = offset << 3 | u16::from(reserved & 3) << 1 | u16::from(more);
            let [high, low] = field.to_be_bytes();
            vec![next, reserved, high, low, 0, 0, 0x12, 0x34]
        }
    }
}

/// Where the fragment begins, in units of 8 bytes, and whether another one comes after it.
fn offset_and_more(frame: &Frame) -> (u16, bool) {
    let Fragmented { offset, more, .. } = frame.fragmented;
    match frame.header.fragment {
        Fragment::Whole => (0, false),
        Fragment::First => (0, true),
        Fragment::Later => (offset, more),
    }
}

/// An options header that holds nothing but padding; one padding option holds at most 255 bytes.
fn options(next: u8, units: u8) -> Vec<u8> {
    let length = 8 + usize::from(units) * 8;
    let mut bytes = vec![next, units];
    while let left @ 1.. = length - bytes.len() {
        match u8::try_from(left.min(200).saturating_sub(2)) {
            Ok(inner) if left > 1 => {
                bytes.extend([1, inner]);
                bytes.resize(bytes.len() + usize::from(inner), 0);
            }
            _ => bytes.push(0),
        }
    }
    bytes
}

/// The transport header, the payload and its filling, up to the packet's length.
fn segment(frame: &Frame, network: usize) -> Vec<u8> {
    let mut bytes = transport(frame);
    bytes.extend(&frame.payload);
    let length = usize::try_from(frame.header.length).unwrap_or(0);
    let filled = length.saturating_sub(network).min(usize::from(u16::MAX));
    bytes.resize(bytes.len().max(filled), 0);
    seal(frame, &mut bytes);
    bytes
}

fn transport(frame: &Frame) -> Vec<u8> {
    match frame.header.transport {
        Transport::None => Vec::new(),
        Transport::Tcp { from, to, flags } => tcp(frame, from, to, flags),
        Transport::Ports { from, to } => {
            let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
            bytes.resize(transport_length(frame), 0);
            bytes
        }
        Transport::Icmp { kind, code } => vec![kind, code, 0, 0, 0, 1, 0, 1],
    }
}

fn tcp(frame: &Frame, from: u16, to: u16, flags: u8) -> Vec<u8> {
    let words = 5 + u8::try_from(frame.tcp_options).unwrap_or(10);
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend(frame.sequence.0.to_be_bytes());
    bytes.extend(frame.sequence.1.to_be_bytes());
    bytes.push(frame.broken.data_offset.unwrap_or(words) << 4);
    bytes.push(flags);
    bytes.extend([0xff, 0xff, 0, 0, 0, 0]);
    bytes.resize(transport_length(frame), 1);
    bytes
}

/// Writes UDP's length and the checksum into a finished segment.
fn seal(frame: &Frame, bytes: &mut [u8]) {
    let header = &frame.header;
    let length = clamp(bytes.len());
    let (place, start) = match (header.transport, header.protocol) {
        (Transport::Tcp { .. }, _) => (16, true),
        (Transport::Ports { .. }, IpProtocol::UDP) => {
            let field = u16::try_from(length).unwrap_or(0);
            put(bytes, 4, &field.to_be_bytes());
            (6, true)
        }
        (Transport::Icmp { .. }, number) => (2, number == IpProtocol::ICMP6),
        _ => return,
    };
    let pseudo = match start {
        true => checksum::pseudo(header.from, header.to, header.protocol.0, length),
        false => 0,
    };
    let sum = match checksum::finish(pseudo + checksum::sum(bytes)) {
        // In UDP a checksum of zero means none.
        0 if header.protocol == IpProtocol::UDP => 0xffff,
        sum => sum,
    };
    put(bytes, place, &sum.to_be_bytes());
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
