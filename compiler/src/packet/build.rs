//! Headers to frames: the bytes that a machine would send, or deliberately broken ones.
//!
//! Takes a [`Header`] and options; gives the bytes of an Ethernet frame with right IPv4, TCP, UDP, ICMP and ICMPv6
//! checksums, so that a real stack takes them. SCTP's checksum is left zero, and that of a first fragment covers only
//! its own part, since the rest is not there.

mod checksum;
mod write;

use crate::bpf::constant::ETH_P_8021Q;
use crate::event::{Fragment, Header, hardware_number};
use crate::policy::Family;

/// A frame to be built. By default as plain as the header allows.
#[derive(Clone, Debug)]
pub struct Frame {
    header: Header,
    tags: Vec<Tag>,
    ip_options: usize,
    extensions: Vec<Extension>,
    fragmented: Fragmented,
    tcp_options: usize,
    sequence: (u32, u32),
    payload: Vec<u8>,
    padding: usize,
    broken: Broken,
}

/// A VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its EtherType: 0x8100 or 0x88a8.
    pub kind: u16,
    /// Priority and number.
    pub control: u16,
}

impl Tag {
    /// An ordinary tag with this number and no priority.
    fn numbered(number: u16) -> Self {
        Self {
            kind: ETH_P_8021Q,
            control: number,
        }
    }

    /// The number without the priority.
    fn number(self) -> u16 {
        self.control & 0x0fff
    }
}

/// An IPv6 extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Hop-by-hop options, with this many times 8 bytes after the first 8.
    HopByHop(u8),
    /// A routing header, with this many times 8 bytes after the first 8.
    Routing(u8),
    /// Destination options, with this many times 8 bytes after the first 8.
    Destination(u8),
    /// Where the fragment header stands; in a whole packet it is an atomic one.
    Fragment,
}

/// What a packet says of fragments, besides which part it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragmented {
    /// Where a later fragment begins, in units of 8 bytes: 1 to 0x1fff.
    pub offset: u16,
    /// Whether another one comes after a later fragment.
    pub more: bool,
    /// Whether an IPv4 packet must not be cut.
    pub uncut: bool,
    /// What stands in reserved bits: IPv4's in the lowest one, those of IPv6's fragment header in the two lowest, and all
    /// of it in the reserved byte there.
    pub reserved: u8,
}

impl Default for Fragmented {
    fn default() -> Self {
        Self {
            offset: 185,
            more: false,
            uncut: false,
            reserved: 0,
        }
    }
}

/// What is wrong with the frame on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// Another EtherType.
    pub ether_type: Option<u16>,
    /// Another IP version.
    pub version: Option<u8>,
    /// Another IPv4 header length, in words.
    pub header_words: Option<u8>,
    /// Another value of the length field: IPv4's total length, IPv6's payload length.
    pub length_field: Option<u16>,
    /// Another TCP data offset, in words.
    pub data_offset: Option<u8>,
    /// The frame ends after this many bytes.
    pub cut: Option<usize>,
}

impl Frame {
    /// A frame with this header, in a VLAN tag if it names one; its mark is no part of a frame. A length below the headers' own stays in the length field, which makes the packet
    /// malformed; above, the packet is filled with zeros.
    #[must_use]
    pub fn new(header: Header) -> Self {
        Self {
            tags: header.vlan.map(Tag::numbered).into_iter().collect(),
            header,
            ip_options: 0,
            extensions: Vec::new(),
            fragmented: Fragmented::default(),
            tcp_options: 0,
            sequence: (1, 0),
            payload: Vec::new(),
            padding: 0,
            broken: Broken::default(),
        }
    }

    /// Sender and receiver on the link.
    #[must_use]
    pub fn addresses(mut self, source: [u8; 6], destination: [u8; 6]) -> Self {
        self.header.ether_from = hardware_number(source);
        self.header.ether_to = hardware_number(destination);
        self
    }

    /// One more VLAN tag, inside those before it.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Self {
        self.header.vlan = self.header.vlan.or(Some(tag.number()));
        self.tags.push(tag);
        self
    }

    /// One more VLAN tag with this number.
    #[must_use]
    pub fn vlan(self, number: u16) -> Self {
        self.tag(Tag::numbered(number))
    }

    /// This many words (at most 10) of IPv4 options, all "no operation".
    #[must_use]
    pub fn ip_options(mut self, words: usize) -> Self {
        self.ip_options = words.min(10);
        self
    }

    /// One more IPv6 extension header. Fragments get their fragment header at the end if none is placed.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// What it says of fragments; an offset of 0 is none of a later fragment, and counts as 1.
    #[must_use]
    pub fn fragmented(mut self, fragmented: Fragmented) -> Self {
        let offset = fragmented.offset.clamp(1, 0x1fff);
        self.fragmented = Fragmented {
            offset,
            ..fragmented
        };
        self
    }

    /// This many words (at most 10) of TCP options, all "no operation".
    #[must_use]
    pub fn tcp_options(mut self, words: usize) -> Self {
        self.tcp_options = words.min(10);
        self
    }

    /// Time to live, or hop limit.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.header.ttl = ttl;
        self
    }

    /// The two bits of explicit congestion notification, 0 to 3, besides the DSCP value.
    #[must_use]
    pub fn ecn(mut self, bits: u8) -> Self {
        self.header.ecn = bits & 3;
        self
    }

    /// TCP's sequence and acknowledgement numbers.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn sequence(mut self, sequence: u32, acknowledgement: u32) -> Self {
        self.sequence = (sequence, acknowledgement);
        self
    }

    /// The first bytes after the transport header; the length grows to hold them.
    #[must_use]
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        let needed = self.headers_length() + bytes.len();
        self.header.length = self.header.length.max(write::clamp(needed));
        self
    }

    /// This many bytes after the packet.
    #[must_use]
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// What is wrong with it.
    #[must_use]
    pub fn broken(mut self, broken: Broken) -> Self {
        self.broken = broken;
        self
    }

    /// The least length with these options at which the packet holds its headers.
    #[must_use]
    pub fn shortest(&self) -> u32 {
        write::clamp(self.headers_length())
    }

    /// The same with the least length that holds its headers.
    #[must_use]
    pub fn shrink(mut self) -> Self {
        self.header.length = self.shortest();
        self
    }

    /// The header as a parser should see it (if nothing is broken).
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = write::frame(self);
        frame.truncate(self.broken.cut.unwrap_or(usize::MAX));
        frame
    }

    fn headers_length(&self) -> usize {
        let network = match self.header.family() {
            Family::V4 => 20 + self.ip_options * 4,
            Family::V6 => {
                let extensions = self.extensions_in_place();
                40 + extensions.iter().map(|it| it.length()).sum::<usize>()
            }
        };
        network + write::transport_length(self)
    }

    /// The extension headers, with the fragment header that a fragment needs.
    fn extensions_in_place(&self) -> Vec<Extension> {
        let mut all = self.extensions.clone();
        if self.header.fragment != Fragment::Whole && !all.contains(&Extension::Fragment) {
            all.push(Extension::Fragment);
        }
        all
    }
}

impl Extension {
    fn length(self) -> usize {
        match self {
            Self::HopByHop(units) | Self::Routing(units) | Self::Destination(units) => {
                8 + usize::from(units) * 8
            }
            Self::Fragment => 8,
        }
    }
}

#[cfg(test)]
mod tests;
