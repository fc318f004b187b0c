//! What is built is parsed back, whatever the options; and the checksums are right.

use super::*;
use crate::event::{Parsed, Transport};
use crate::packet::parse::{Layout, parse};
use crate::protocol::IpProtocol;
use crate::testing::Rng;
use crate::testing::arbitrary_header;

/// Random options that leave the packet well-formed.
pub(crate) fn with_options(header: Header, rng: &mut Rng) -> Frame {
    let mut frame = Frame::new(header)
        .addresses([rng.byte(); 6], [rng.byte(); 6])
        .ip_options(rng.below(11))
        .tcp_options(rng.below(11))
        .ttl(rng.byte())
        .ecn(rng.byte())
        .padding(rng.below(40));
    while frame.tags.len() < 2 && rng.chance(1, 2) {
        let kind = if rng.chance(1, 2) { 0x8100 } else { 0x88a8 };
        let control = rng.half();
        frame = frame.tag(Tag { kind, control });
    }
    for _ in 0..rng.below(6) {
        let units = u8::try_from(rng.below(4)).unwrap();
        frame = frame.extension(match rng.below(3) {
            0 => Extension::HopByHop(units),
            1 => Extension::Routing(units),
            _ => Extension::Destination(units),
        });
    }
    if rng.chance(1, 2) && frame.extensions.len() < 6 {
        frame = frame.extension(Extension::Fragment);
    }
    if frame.header.length < frame.shortest() {
        frame = frame.shrink();
    }
    frame
}

#[test]
fn what_is_built_is_parsed_back() {
    let mut rng = Rng::new(42);
    for _ in 0..20_000 {
        let header = arbitrary_header(&mut rng);
        let frame = with_options(header, &mut rng);
        // The mark is no part of a frame.
        let expected = Parsed::Ip(Header {
            mark: 0,
            ..frame.header().clone()
        });
        assert_eq!(
            parse(&frame.bytes(), Layout::Ethernet),
            expected,
            "{frame:?}"
        );
    }
}

#[test]
fn a_cut_anywhere_inside_the_packet_is_never_an_ip_packet() {
    let mut rng = Rng::new(43);
    for _ in 0..500 {
        let header = arbitrary_header(&mut rng);
        let frame = with_options(header, &mut rng);
        let link = 14 + frame.tags.len() * 4;
        let whole = link + usize::try_from(frame.header().length).unwrap();
        for cut in 0..whole {
            let broken = Broken {
                cut: Some(cut),
                ..Broken::default()
            };
            let bytes = frame.clone().broken(broken).bytes();
            let expected = match cut < link {
                true => Parsed::NotIp,
                false => Parsed::Malformed,
            };
            assert_eq!(parse(&bytes, Layout::Ethernet), expected, "{cut} {frame:?}");
        }
    }
}

fn syn() -> Header {
    Header {
        from: [10, 0, 0, 1].into(),
        to: [10, 0, 0, 2].into(),
        protocol: IpProtocol::TCP,
        fragment: Fragment::Whole,
        transport: Transport::Tcp {
            from: 1024,
            to: 80,
            flags: 2,
        },
        length: 40,
        ..Header::PLAIN
    }
}

#[test]
fn checksums_are_right() {
    let bytes = Frame::new(syn()).payload(b"odd").bytes();
    assert_eq!(bytes.len(), 14 + 43);
    assert_eq!(checksum::finish(checksum::sum(&bytes[14..34])), 0);
    let segment = &bytes[34..];
    let pseudo = checksum::pseudo(syn().from, syn().to, 6, 23);
    assert_eq!(checksum::finish(pseudo + checksum::sum(segment)), 0);
}

#[test]
fn a_whole_frame_byte_by_byte() {
    let header = Header {
        protocol: IpProtocol::UDP,
        transport: Transport::Ports {
            from: 53,
            to: 0x1234,
        },
        length: 28,
        ether_from: 0x02_00_00_00_00_01,
        ether_to: 0x02_00_00_00_00_02,
        ..syn()
    };
    // The checksums were worked out by hand: 0x4500+0x1c+0x1234+0x4011+... for IP, the pseudo header for UDP.
    let expected = [
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00, //
        0x45, 0, 0, 28, 0x12, 0x34, 0, 0, 64, 17, 0x54, 0x9b, 10, 0, 0, 1, 10, 0, 0, 2, //
        0, 53, 0x12, 0x34, 0, 8, 0xd9, 0x72,
    ];
    assert_eq!(Frame::new(header).bytes(), expected);
}

#[test]
fn udp_never_says_that_it_has_no_checksum() {
    let checksum = |from| {
        let header = Header {
            protocol: IpProtocol::UDP,
            transport: Transport::Ports { from, to: 9 },
            length: 28,
            ..syn()
        };
        Frame::new(header).bytes()[40..42].to_vec()
    };
    // One sender's port makes the sum come out as zero.
    assert!((0..=u16::MAX).any(|from| checksum(from) == [0xff, 0xff]));
    assert!((0..=u16::MAX).all(|from| checksum(from) != [0, 0]));
}

#[test]
fn the_header_is_in_the_frame_with_its_tag_and_class() {
    let header = Header {
        ttl: 3,
        dscp: 46,
        vlan: Some(12),
        mark: 7,
        ..syn()
    };
    let v4 = Frame::new(header.clone()).ecn(1).bytes();
    assert_eq!(v4[12..18], [0x81, 0, 0, 12, 8, 0]);
    assert_eq!((v4[19], v4[26]), (46 << 2 | 1, 3));
    // A second tag is inside the first, whose number is the one that counts.
    let inner = Frame::new(header.clone()).vlan(13);
    assert_eq!(inner.header().vlan, Some(12));
    assert_eq!(inner.bytes()[16..20], [0x81, 0, 0, 13]);
    let v6 = Header {
        from: std::net::Ipv6Addr::LOCALHOST.into(),
        to: std::net::Ipv6Addr::LOCALHOST.into(),
        length: 60,
        vlan: None,
        ..header
    };
    let bytes = Frame::new(v6).ecn(3).bytes();
    assert_eq!(bytes[14..16], [0x6b, 0xb0]);
    assert_eq!(bytes[21], 3);
}
