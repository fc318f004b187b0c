//! The bytes of a packet that is tried.

use std::net::{IpAddr, Ipv4Addr};

use sockc_compiler::event::{Fragment, Header, Parsed, Transport};
use sockc_compiler::packet::build::{Broken, Frame};
use sockc_compiler::protocol::IpProtocol;

/// The frame of a packet; a malformed one has an impossible header length.
pub(crate) fn bytes(packet: &Parsed) -> Vec<u8> {
    match packet {
        Parsed::Ip(header) => Frame::new(header.clone()).bytes(),
        Parsed::Malformed => Frame::new(plain())
            .shrink()
            .broken(Broken {
                header_words: Some(4),
                ..Broken::default()
            })
            .bytes(),
        Parsed::NotIp => Frame::new(plain())
            .shrink()
            .broken(Broken {
                ether_type: Some(0x0806),
                ..Broken::default()
            })
            .bytes(),
    }
}

/// A packet from one documentation address to another.
fn plain() -> Header {
    Header {
        from: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
        to: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        protocol: IpProtocol::UDP,
        fragment: Fragment::Whole,
        transport: Transport::Ports {
            from: 40_000,
            to: 9,
        },
        length: 0,
        ..Header::PLAIN
    }
}
