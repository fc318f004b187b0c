//! Headers as frames, and frames as entries of the trace that the generator writes from.
//!
//! Every frame of a layout is as long as every other: what follows the header is room that belongs to the packet. A frame is
//! what TCP, UDP, SCTP and ICMP all take for whole, whatever its protocol says.

use std::net::IpAddr;

use sockc_compiler::bpf::opcode::Width;
use sockc_runtime::lab::MAC;

use super::rules::Header;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What of a frame changes from packet to packet.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Bytes of a frame.
    pub(crate) length: usize,
    /// Bytes of an entry, a power of two.
    pub(crate) entry: usize,
    /// Packets of a trace, a power of two; the trace stays within 4 MiB.
    pub(crate) packets: usize,
    /// What is copied: width, place in the entry, place in the frame.
    pub(crate) copies: &'static [(Width, i16, i16)],
}

/// IPv4 alone: addresses, ports, protocol, checksum.
const FOUR: Layout = Layout {
    length: 74,
    entry: 16,
    packets: 1 << 17,
    copies: &[
        (Width::W, 0, 26),
        (Width::W, 4, 30),
        (Width::W, 8, 34),
        (Width::H, 12, 24),
        (Width::B, 14, 23),
    ],
};

/// Both families: everything from the EtherType on.
const BOTH: Layout = Layout {
    length: 76,
    entry: 64,
    packets: 1 << 16,
    copies: &[
        (Width::DW, 0, 12),
        (Width::DW, 8, 20),
        (Width::DW, 16, 28),
        (Width::DW, 24, 36),
        (Width::DW, 32, 44),
        (Width::DW, 40, 52),
        (Width::DW, 48, 60),
        (Width::DW, 56, 68),
    ],
};

/// IPv4 whole, from the first hardware address on: routers write over all of it, and the kernel hands out their pages again.
const FOUR_WHOLE: Layout = Layout {
    length: 74,
    entry: 64,
    packets: 1 << 16,
    copies: &[
        (Width::DW, 0, 0),
        (Width::DW, 8, 8),
        (Width::DW, 16, 16),
        (Width::DW, 24, 24),
        (Width::DW, 32, 32),
        (Width::DW, 40, 40),
        (Width::DW, 48, 48),
        (Width::DW, 56, 56),
    ],
};

/// IPv4 with the checksum of TCP: every frame gets to a socket.
const FOUR_TCP: Layout = Layout {
    copies: &[
        (Width::DW, 0, 26),
        (Width::W, 8, 34),
        (Width::H, 12, 24),
        (Width::H, 14, 50),
    ],
    ..FOUR
};

/// The same with that of UDP.
const FOUR_UDP: Layout = Layout {
    copies: &[
        (Width::DW, 0, 26),
        (Width::W, 8, 34),
        (Width::H, 12, 24),
        (Width::H, 14, 40),
    ],
    ..FOUR
};

impl Layout {
    /// The layout for rules of IPv4, or of both families.
    pub(crate) fn of(has_ipv6: bool) -> Self {
        if has_ipv6 { BOTH } else { FOUR }
    }

    /// The layout for packets of IPv4 that a router forwards.
    pub(crate) fn for_routers() -> Self {
        FOUR_WHOLE
    }

    /// The layout for packets of IPv4 that sockets are to have.
    pub(crate) fn for_sockets(is_tcp: bool) -> Self {
        if is_tcp { FOUR_TCP } else { FOUR_UDP }
    }

    /// The frame of a header.
    pub(crate) fn frame(&self, header: &Header) -> Vec<u8> {
        let mut frame = vec![0; self.length];
        frame[..6].copy_from_slice(&MAC);
        frame[6..12].copy_from_slice(&MAC);
        let transport = match (header.from, header.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                four(&mut frame, header.protocol, from.octets(), to.octets())
            }
            (from, to) => six(&mut frame, header.protocol, octets(from), octets(to)),
        };
        let length = (self.length - transport) as u16;
        // Both addresses are right ahead of the transport in both families.
        let addresses = sum(&frame[transport - addresses(header.from)..transport]);
        let transport = &mut frame[transport..];
        transport[..2].copy_from_slice(&header.sport.to_be_bytes());
        transport[2..4].copy_from_slice(&header.dport.to_be_bytes());
        // UDP's length; of TCP it is part of the sequence number.
        transport[4..6].copy_from_slice(&length.to_be_bytes());
        // TCP's header is five words; it is a SYN.
        transport[12] = 5 << 4;
        transport[13] = 2;
        let place = if header.protocol == TCP { 16 } else { 6 };
        let pseudo = addresses + u32::from(header.protocol) + u32::from(length);
        let checksum = checksum(pseudo + sum(transport));
        if [TCP, UDP].contains(&header.protocol) {
            transport[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
        }
        frame
    }

    /// The trace of some headers, over and over until it is full.
    pub(crate) fn trace(&self, headers: &[Header]) -> Vec<u8> {
        let entries: Vec<Vec<u8>> = headers.iter().map(|one| self.entry(one)).collect();
        let all = entries.iter().cycle().take(self.packets);
        all.flatten().copied().collect()
    }

    fn entry(&self, header: &Header) -> Vec<u8> {
        let frame = self.frame(header);
        let mut entry = vec![0; self.entry];
        for (width, from, to) in self.copies {
            let (from, to) = (*from as usize, *to as usize);
            entry[from..from + width.bytes()].copy_from_slice(&frame[to..to + width.bytes()]);
        }
        entry
    }
}

/// Writes IPv4's header; gives where the transport's begins.
fn four(frame: &mut [u8], protocol: u8, from: [u8; 4], to: [u8; 4]) -> usize {
    let length = (frame.len() - ETHERNET) as u16;
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let header = &mut frame[ETHERNET..ETHERNET + 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[8] = 64;
    header[9] = protocol;
    header[12..16].copy_from_slice(&from);
    header[16..20].copy_from_slice(&to);
    let checksum = checksum(sum(header));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    ETHERNET + 20
}

/// Writes IPv6's header; gives where the transport's begins.
fn six(frame: &mut [u8], protocol: u8, from: [u8; 16], to: [u8; 16]) -> usize {
    let length = (frame.len() - ETHERNET - 40) as u16;
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    let header = &mut frame[ETHERNET..ETHERNET + 40];
    header[0] = 0x60;
    header[4..6].copy_from_slice(&length.to_be_bytes());
    header[6] = protocol;
    header[7] = 64;
    header[8..24].copy_from_slice(&from);
    header[24..40].copy_from_slice(&to);
    ETHERNET + 40
}

/// The sum of the words of some bytes (RFC 1071), not yet folded.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
    words.sum()
}

/// The checksum of a sum.
fn checksum(sum: u32) -> u16 {
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// How many bytes the two addresses of a header take.
fn addresses(one: IpAddr) -> usize {
    if one.is_ipv4() { 8 } else { 32 }
}

/// The sixteen bytes of an address.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
        IpAddr::V6(six) => six.octets(),
    }
}
