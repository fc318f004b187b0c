//! Random packets at the edges of what random rule sets ask.

use std::net::IpAddr;

use sockc_compiler::event::{Fragment, Header, SocketAnswer, Transport, hardware_number};
use sockc_compiler::protocol::IpProtocol;
use sockc_testing::Rng;

use super::drawn::{LISTS, List, OTHER_CARD};

/// A packet, with what the machine knows of it.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) list: List,
    pub(crate) header: Header,
    pub(crate) on: &'static str,
    pub(crate) leaves: &'static str,
    pub(crate) socket: SocketAnswer,
    /// Whether it fits in every rate.
    pub(crate) fits: bool,
}

const V4: [&str; 9] = [
    "10.0.0.1",
    "10.1.2.3",
    "10.1.2.4",
    "10.1.2.128",
    "10.1.2.129",
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "8.8.8.8",
];
const V6: [&str; 7] = [
    "2001:db8::1",
    "2001:db8:1::2",
    "2001:db8:1::9",
    "2001:db8:1::a",
    "fe80::1",
    "ff02::1",
    "2a00::1",
];
const INTERFACES: [&str; 5] = ["eth0", "eth1", "eth9", "wlan0", "ppp0"];
const PORTS: [u16; 8] = [0, 22, 53, 80, 443, 1023, 1024, 65535];

impl Packet {
    /// Whether it is for one machine, and not for many.
    pub(crate) fn is_for_one(&self) -> bool {
        is_of_one(self.header.to)
    }

    /// Whether it may be the last of a handshake that is not finished here: the socket of that counts as listening.
    pub(crate) fn ends_a_handshake(&self) -> bool {
        let has_ack = |flags: u8| flags & 0x12 == 0x10;
        let is_ack =
            matches!(self.header.transport, Transport::Tcp { flags, .. } if has_ack(flags));
        self.list == List::In && is_ack && self.socket == SocketAnswer::Listening
    }
}

/// Whether an address is that of one machine.
pub(crate) fn is_of_one(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_multicast() && !is_broadcast
}

pub(crate) fn packet(rng: &mut Rng) -> Packet {
    let header = header(rng);
    let answers = [
        SocketAnswer::None,
        SocketAnswer::Listening,
        SocketAnswer::Established,
    ];
    let socket = match header.has_socket() {
        true => *rng.one_of(&answers),
        false => SocketAnswer::None,
    };
    // What goes back out of the interface by which it came in meets no list of what passes through.
    let on = *rng.one_of(&INTERFACES);
    let leaves = INTERFACES.iter().cycle().skip_while(|one| **one != on);
    let leaves = *leaves
        .into_iter()
        .nth(1 + rng.below(INTERFACES.len() - 1))
        .unwrap();
    Packet {
        list: *rng.one_of(&LISTS),
        header,
        on,
        leaves,
        socket,
        fits: rng.one_in(2),
    }
}

fn header(rng: &mut Rng) -> Header {
    let (addresses, icmp): (&[&str], u8) = match rng.one_in(2) {
        true => (&V4, 1),
        false => (&V6, 58),
    };
    let [from, to] = [(); 2].map(|()| (*rng.one_of(addresses)).parse::<IpAddr>().unwrap());
    let protocol = *rng.one_of(&[6, 6, 6, 17, 17, icmp, icmp, 132, 47, 89, 1, 58]);
    let fragment = match rng.below(8) {
        0 => Fragment::First,
        1 => Fragment::Later,
        _ => Fragment::Whole,
    };
    let ports = [*rng.one_of(&PORTS), *rng.one_of(&PORTS)];
    let transport = match (fragment, protocol) {
        (Fragment::Later, _) => Transport::None,
        (_, 6) => Transport::Tcp {
            from: ports[0],
            to: ports[1],
            flags: *rng.one_of(&[0x02, 0x12, 0x10, 0x00, 0x29, 0x04, 0x03, 0xff, 0x11, 0x14]),
        },
        (_, 17 | 132) => Transport::Ports {
            from: ports[0],
            to: ports[1],
        },
        (_, one) if one == icmp => Transport::Icmp {
            kind: *rng.one_of(&[0, 1, 2, 3, 4, 8, 11, 12, 13, 128, 129, 135, 139, 143]),
            code: *rng.one_of(&[0, 1, 4]),
        },
        _ => Transport::None,
    };
    Header {
        from,
        to,
        protocol: IpProtocol(protocol),
        fragment,
        transport,
        length: *rng.one_of(&[40, 60, 61, 100, 1400, 1401]),
        ttl: *rng.one_of(&[1, 2, 3, 64, 255]),
        dscp: *rng.one_of(&[0, 46, 10]),
        ecn: rng.below(4) as u8,
        mark: *rng.one_of(&[0, 1, 0x11, 0x1011]),
        ether_from: match rng.one_in(3) {
            true => hardware_number(OTHER_CARD),
            false => Header::PLAIN.ether_from,
        },
        ..Header::PLAIN
    }
}
