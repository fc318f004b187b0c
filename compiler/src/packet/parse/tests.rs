//! Every sentence of the language's point 8, as bytes.

use super::*;
use crate::packet::build::{Broken, Extension, Frame};
use crate::protocol::IpProtocol;

fn header(family: Family, protocol: u8, transport: Transport, length: u32) -> Header {
    let (from, to): (IpAddr, IpAddr) = match family {
        Family::V4 => ([192, 0, 2, 1].into(), [192, 0, 2, 2].into()),
        Family::V6 => (
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2].into(),
        ),
    };
    Header {
        from,
        to,
        protocol: IpProtocol(protocol),
        fragment: Fragment::Whole,
        transport,
        length,
        ..Header::PLAIN
    }
}

const SYN: Transport = Transport::Tcp {
    from: 1000,
    to: 80,
    flags: 2,
};

fn v4() -> Header {
    header(Family::V4, 6, SYN, 40)
}

fn v6() -> Header {
    header(Family::V6, 6, SYN, 60)
}

fn with(frame: Frame, broken: Broken) -> Parsed {
    parse(&frame.broken(broken).bytes(), Layout::Ethernet)
}

fn plain(frame: Frame) -> Parsed {
    parse(&frame.bytes(), Layout::Ethernet)
}

#[test]
fn what_is_not_ip_passes() {
    let arp = Broken {
        ether_type: Some(0x0806),
        ..Broken::default()
    };
    assert_eq!(with(Frame::new(v4()), arp), Parsed::NotIp);
    assert_eq!(with(Frame::new(v4()).vlan(1), arp), Parsed::NotIp);
    assert_eq!(parse(&[], Layout::Ethernet), Parsed::NotIp);
    assert_eq!(parse(&[0x45; 20], Layout::Bare(0x0806)), Parsed::NotIp);
}

#[test]
fn a_third_tag_is_malformed_even_when_it_is_cut() {
    let two = Frame::new(v4()).vlan(1).vlan(2);
    let tagged = Header {
        vlan: Some(1),
        ..v4()
    };
    assert_eq!(plain(two.clone()), Parsed::Ip(tagged));
    let three = two.vlan(3);
    assert_eq!(plain(three.clone()), Parsed::Malformed);
    let cut = Broken {
        cut: Some(14 + 8),
        ..Broken::default()
    };
    assert_eq!(with(three, cut), Parsed::Malformed);
    let cut_in_second = Broken {
        cut: Some(14 + 7),
        ..Broken::default()
    };
    let two = Frame::new(v4()).vlan(1).vlan(2);
    assert_eq!(with(two, cut_in_second), Parsed::NotIp);
}

#[test]
fn versions_and_header_lengths() {
    let version = |version| Broken {
        version: Some(version),
        ..Broken::default()
    };
    assert_eq!(with(Frame::new(v4()), version(6)), Parsed::Malformed);
    assert_eq!(with(Frame::new(v6()), version(4)), Parsed::Malformed);
    for words in [0, 4, 15] {
        let broken = Broken {
            header_words: Some(words),
            ..Broken::default()
        };
        assert_eq!(with(Frame::new(v4()), broken), Parsed::Malformed, "{words}");
    }
}

#[test]
fn length_fields() {
    let field = |length| Broken {
        length_field: Some(length),
        ..Broken::default()
    };
    for length in [0, 19, 39, 41] {
        assert_eq!(with(Frame::new(v4()), field(length)), Parsed::Malformed);
    }
    assert_eq!(with(Frame::new(v4()), field(40)), Parsed::Ip(v4()));
    for length in [0, 19, 21] {
        assert_eq!(with(Frame::new(v6()), field(length)), Parsed::Malformed);
    }
    let padded = Frame::new(v4()).padding(6);
    assert_eq!(with(padded.clone(), field(40)), Parsed::Ip(v4()));
    assert_eq!(with(padded, field(47)), Parsed::Malformed);
}

#[test]
fn transport_headers_must_be_whole() {
    let ports = Transport::Ports { from: 1, to: 2 };
    let echo = Transport::Icmp { kind: 8, code: 0 };
    for (family, protocol, transport, needed) in [
        (Family::V4, 6, SYN, 20),
        (Family::V6, 6, SYN, 20),
        (Family::V4, 17, ports, 8),
        (Family::V6, 17, ports, 8),
        (Family::V4, 132, ports, 12),
        (Family::V4, 1, echo, 8),
        (Family::V6, 58, echo, 8),
    ] {
        let network = if family == Family::V4 { 20 } else { 40 };
        for (length, fits) in [(network + needed, true), (network + needed - 1, false)] {
            let header = header(family, protocol, transport, length);
            let expected = match fits {
                true => Parsed::Ip(header.clone()),
                false => Parsed::Malformed,
            };
            assert_eq!(plain(Frame::new(header)), expected, "{protocol} {length}");
        }
    }
}

#[test]
fn icmp_of_the_other_family_has_no_header() {
    for (family, protocol, length) in [(Family::V6, 1, 40), (Family::V4, 58, 20)] {
        let header = header(family, protocol, Transport::None, length);
        assert_eq!(plain(Frame::new(header.clone())), Parsed::Ip(header));
    }
}

#[test]
fn tcp_data_offsets() {
    for words in 0..16 {
        let broken = Broken {
            data_offset: Some(words),
            ..Broken::default()
        };
        let frame = Frame::new(Header { length: 48, ..v4() });
        let good = (5..=7).contains(&words);
        let expected = match good {
            true => Parsed::Ip(frame.header().clone()),
            false => Parsed::Malformed,
        };
        assert_eq!(with(frame, broken), expected, "{words}");
    }
}

#[test]
fn fragments() {
    for family in [Family::V4, Family::V6] {
        let network = if family == Family::V4 { 20 } else { 48 };
        let first = Header {
            fragment: Fragment::First,
            ..header(family, 6, SYN, network + 20)
        };
        assert_eq!(plain(Frame::new(first.clone())), Parsed::Ip(first.clone()));
        let short = Header {
            length: network + 19,
            ..first
        };
        assert_eq!(plain(Frame::new(short)), Parsed::Malformed);
        let later = Header {
            fragment: Fragment::Later,
            ..header(family, 6, Transport::None, network)
        };
        assert_eq!(plain(Frame::new(later.clone())), Parsed::Ip(later));
    }
}

#[test]
fn six_extension_headers_and_not_seven() {
    let mut frame = Frame::new(v6());
    for _ in 0..6 {
        frame = frame.extension(Extension::Destination(0));
    }
    let six = frame.clone().shrink();
    assert_eq!(plain(six.clone()), Parsed::Ip(six.header().clone()));
    let seven = frame.extension(Extension::HopByHop(0)).shrink();
    assert_eq!(plain(seven), Parsed::Malformed);
}

#[test]
fn the_walk_stops_at_a_later_fragment_and_goes_on_after_a_first() {
    let later = Header {
        fragment: Fragment::Later,
        ..header(Family::V6, IpProtocol::DESTINATION.0, Transport::None, 48)
    };
    assert_eq!(plain(Frame::new(later.clone())), Parsed::Ip(later));
    let first = Header {
        fragment: Fragment::First,
        ..header(Family::V6, 6, SYN, 0)
    };
    let frame = Frame::new(first)
        .extension(Extension::Fragment)
        .extension(Extension::Destination(2))
        .shrink();
    assert_eq!(plain(frame.clone()), Parsed::Ip(frame.header().clone()));
}

#[test]
fn an_atomic_fragment_is_whole() {
    let frame = Frame::new(v6()).extension(Extension::Fragment).shrink();
    let Parsed::Ip(seen) = plain(frame) else {
        panic!("an atomic fragment is an IP packet");
    };
    assert_eq!((seen.fragment, seen.length), (Fragment::Whole, 68));
}

#[test]
fn ah_is_a_protocol_and_is_not_walked() {
    let header = header(Family::V6, IpProtocol::AH.0, Transport::None, 40);
    assert_eq!(plain(Frame::new(header.clone())), Parsed::Ip(header));
}

#[test]
fn an_atomic_fragment_header_does_not_make_a_first_fragment_whole() {
    let mut packet = vec![0x60, 0, 0, 0, 0, 16, IpProtocol::FRAGMENT.0, 64];
    packet.resize(40, 0);
    packet.extend([IpProtocol::FRAGMENT.0, 0, 0, 1, 0, 0, 0, 0]);
    packet.extend([IpProtocol::ESP.0, 0, 0, 0, 0, 0, 0, 0]);
    let Parsed::Ip(seen) = parse(&packet, Layout::Bare(ETH_P_IPV6)) else {
        panic!("two fragment headers are no mistake");
    };
    assert_eq!(
        (seen.fragment, seen.protocol),
        (Fragment::First, IpProtocol::ESP)
    );
}
