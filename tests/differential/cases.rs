//! Frames and lookups at the edges of a policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_compiler::event::{Fragment, Header, Transport};
use sockc_compiler::packet::build::{Broken, Extension, Fragmented, Frame, Tag};
use sockc_compiler::policy::{Family, Policy, SetKind};
use sockc_compiler::protocol::IpProtocol;
use sockc_testing::Rng;
use sockc_testing::edge_headers;

/// The kernel's test run wants more than an Ethernet header.
pub(crate) const MIN_FRAME: usize = 15;
/// Longer frames do not fit the page of an XDP test run.
const MAX_FRAME: usize = 3_000;

/// Packets that are this long, with everything that may be around them, are frames that are not cut.
const LONG: u32 = 2_000;

/// Frames are cut after every number of bytes up to this one.
const CUTS: usize = 80;

/// Frames at the edges of the policy, each with the header that it was made from: plain ones, ones with tags, options and
/// extension headers, broken ones.
pub(crate) fn frames(policy: &Policy, rng: &mut Rng, count: usize) -> Vec<(Header, Vec<u8>)> {
    let edges = SetEdges::of(policy);
    edge_headers(policy, rng, count)
        .into_iter()
        .map(|header| {
            let header = edges.moved(header, rng);
            (header.clone(), frame(header, rng))
        })
        .collect()
}

/// The ends of the ranges of sets that are asked as one question, and their neighbours.
struct SetEdges {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

impl SetEdges {
    fn of(policy: &Policy) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for set in policy.sets.values() {
            let SetKind::Constant(set) = &set.kind else {
                continue;
            };
            for &(low, high) in set.v4.ranges() {
                let near = [low, high, low.wrapping_sub(1), high.wrapping_add(1)];
                v4.extend(near.map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))));
            }
            for &(low, high) in set.v6.ranges() {
                let near = [low, high, low.wrapping_sub(1), high.wrapping_add(1)];
                v6.extend(near.map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))));
            }
        }
        Self { v4, v6 }
    }

    /// One header in four has an end there.
    fn moved(&self, mut header: Header, rng: &mut Rng) -> Header {
        let edges = match header.family() {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        if edges.is_empty() || !rng.chance(1, 4) {
            return header;
        }
        let end = if rng.chance(1, 2) {
            &mut header.from
        } else {
            &mut header.to
        };
        *end = rng.pick(edges).copied().unwrap_or(*end);
        header
    }
}

/// One frame cut after every number of bytes from `shortest` on.
pub(crate) fn truncations(
    policy: &Policy,
    rng: &mut Rng,
    shortest: usize,
) -> Vec<(Header, Vec<u8>)> {
    let Some(header) = edge_headers(policy, rng, 1).pop() else {
        return Vec::new();
    };
    let whole = frame(header.clone(), rng);
    let cut = |length: usize| (header.clone(), whole[..length.min(whole.len())].to_vec());
    (shortest..=CUTS).map(cut).collect()
}

fn frame(mut header: Header, rng: &mut Rng) -> Vec<u8> {
    let family = header.family();
    // Longer packets are cut, which makes them malformed; some stay so.
    if rng.chance(15, 16) {
        header.length = header.length.min(LONG);
    }
    let mut frame = Frame::new(header).fragmented(fragmented(rng));
    if rng.chance(1, 6) {
        for _ in 0..=rng.below(2) {
            let kind = if rng.chance(1, 2) { 0x8100 } else { 0x88a8 };
            frame = frame.tag(Tag {
                kind,
                control: rng.half(),
            });
        }
    }
    if rng.chance(1, 40) {
        frame = frame.vlan(1).vlan(2).vlan(3);
    }
    if rng.chance(1, 5) {
        frame = match family {
            Family::V4 => frame.ip_options(rng.below(11)),
            Family::V6 => extended(frame, rng),
        };
    }
    if rng.chance(1, 8) {
        frame = frame.tcp_options(rng.below(11));
    }
    // Options make headers longer than most packets at the edges are; shorter ones are malformed, and some stay so.
    if frame.header().length < frame.shortest() && rng.chance(19, 20) {
        frame = frame.shrink();
    }
    if rng.chance(1, 10) {
        frame = frame.padding(rng.below(30));
    }
    if rng.chance(1, 30) {
        frame = frame.broken(broken(rng));
    }
    let mut bytes = frame.bytes();
    bytes.truncate(MAX_FRAME);
    if bytes.len() < MIN_FRAME {
        bytes.resize(MIN_FRAME, 0);
    }
    bytes
}

/// Nearly all real packets of IPv4 say that they must not be cut. A single bit of an offset is what a wrong mask misses.
fn fragmented(rng: &mut Rng) -> Fragmented {
    let offset = match rng.below(4) {
        0 => 185,
        1 => rng.half() & 0x1fff,
        _ => 1 << rng.below(13),
    };
    Fragmented {
        offset,
        more: rng.chance(1, 2),
        uncut: rng.chance(2, 3),
        reserved: if rng.chance(1, 6) { rng.byte() } else { 0 },
    }
}

/// As many extension headers as are read, now and then one more.
fn extended(mut frame: Frame, rng: &mut Rng) -> Frame {
    for _ in 0..[1, 1, 2, 2, 3, 4, 6, 7][rng.below(8)] {
        let length = if rng.chance(1, 32) {
            rng.byte()
        } else {
            rng.byte() % 3
        };
        frame = frame.extension(match rng.below(4) {
            0 => Extension::HopByHop(length),
            1 => Extension::Routing(length),
            2 => Extension::Destination(length),
            _ => Extension::Fragment,
        });
    }
    frame
}

fn broken(rng: &mut Rng) -> Broken {
    let mut broken = Broken::default();
    match rng.below(6) {
        0 => broken.ether_type = Some(if rng.chance(1, 2) { 0x0806 } else { 0x0800 }),
        1 => broken.version = Some(rng.byte() & 15),
        2 => broken.header_words = Some(rng.byte() & 15),
        3 => {
            broken.length_field = Some(if rng.chance(1, 2) {
                rng.half()
            } else {
                rng.half() % 100
            })
        }
        4 => broken.data_offset = Some(rng.byte() & 15),
        _ => broken.cut = Some(rng.below(130)),
    }
    broken
}

/// Headers that the kernel can look a socket up for: whole TCP and UDP packets.
pub(crate) fn lookups(policy: &Policy, rng: &mut Rng, count: usize) -> Vec<Header> {
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let headers = edge_headers(policy, rng, count);
        found.extend(headers.into_iter().filter_map(|header| whole(header, rng)));
    }
    found.truncate(count);
    found
}

fn whole(mut header: Header, rng: &mut Rng) -> Option<Header> {
    let (from, to) = match header.transport {
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => (from, to),
        Transport::None | Transport::Icmp { .. } => return None,
    };
    header.fragment = Fragment::Whole;
    (header.protocol, header.transport) = if rng.chance(1, 2) {
        (IpProtocol::TCP, Transport::Tcp { from, to, flags: 2 })
    } else {
        (IpProtocol::UDP, Transport::Ports { from, to })
    };
    header.length = 60;
    Some(header)
}
