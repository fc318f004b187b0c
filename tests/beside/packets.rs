//! Packets at the edges of what rules ask, as the bytes that are sent.
//!
//! Each has an identity of its own that no rule asks for: of IPv4 the `id`, of IPv6 the flow label. No two are of one connection of TCP, or
//! of its other direction, but for those of the connection that both machines have. Not here: who sends them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_compiler::event::{Header, Transport, hardware_number};
use sockc_compiler::packet::build::Frame;
use sockc_compiler::policy::Family;
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::lab::{CLIENT, MAC, SERVER};
use sockc_testing::Rng;

use crate::iptables::drawn::{List, OTHER_CARD};
use crate::scene::{At, CALLERS, CONNECTED, FRONTS, LISTENS, Places};

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
const PORTS: [u16; 9] = [0, 22, 53, 80, 443, 444, 1023, 1024, 65535];
const KINDS: [u8; 14] = [0, 1, 2, 3, 4, 8, 11, 12, 13, 128, 129, 135, 139, 143];
const FLAGS: [u8; 10] = [0x02, 0x12, 0x10, 0x00, 0x29, 0x04, 0x03, 0xff, 0x11, 0x14];

/// A packet, and where it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) id: u32,
    pub(crate) list: List,
    /// The interface by which it comes in; of what the router sends there is none.
    pub(crate) on: usize,
    pub(crate) header: Header,
    /// Whether it belongs to a connection that is there already.
    pub(crate) is_connected: bool,
    /// The whole frame.
    pub(crate) frame: Vec<u8>,
}

impl Packet {
    pub(crate) fn family(&self) -> Family {
        self.header.family()
    }

    /// What stands behind the header of IP.
    pub(crate) fn behind(&self) -> &[u8] {
        &self.frame[behind(self.family())..]
    }
}

/// Where that begins in a frame.
pub(crate) fn behind(family: Family) -> usize {
    match family {
        Family::V4 => ETHERNET + 20,
        Family::V6 => ETHERNET + 40,
    }
}

/// Both ends, and the protocol.
type Ends = (u8, (IpAddr, u16), (IpAddr, u16));

/// What packets are drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Edges {
    /// Where each address is.
    pub(crate) places: [Places; 2],
    /// Ports that rules ask about, and those next to them.
    pub(crate) ports: Vec<u16>,
}

impl Edges {
    /// Those of random rule sets.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        Self {
            places: Places::random(rng),
            ports: PORTS.into(),
        }
    }
}

/// So many packets.
pub(crate) fn random(rng: &mut Rng, edges: &Edges, count: usize) -> Vec<Packet> {
    let mut taken = BTreeSet::new();
    let mut packets = Vec::new();
    while packets.len() < count {
        let id = 1 + packets.len() as u32;
        let drawn = Drawn::random(rng, edges);
        if drawn.is_connected || is_free(&mut taken, &drawn.header) {
            packets.push(drawn.packet(id));
        }
    }
    packets
}

/// Whether conntrack knows nothing of it yet, in both directions. What has no ports may come again the same way: it stays NEW.
fn is_free(taken: &mut BTreeSet<Ends>, header: &Header) -> bool {
    let (from, to) = match header.transport {
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => (from, to),
        _ => (0, 0),
    };
    let protocol = header.protocol.0;
    let (one, other) = ((header.from, from), (header.to, to));
    let is_known = taken.contains(&(protocol, other, one));
    !is_known && (taken.insert((protocol, one, other)) || protocol != 6)
}

/// A packet without its identity.
struct Drawn {
    list: List,
    on: usize,
    header: Header,
    is_connected: bool,
}

impl Drawn {
    fn random(rng: &mut Rng, edges: &Edges) -> Self {
        let family = rng.below(2);
        if rng.one_in(10) {
            return Self::connected(rng, family);
        }
        let places = &edges.places[family];
        let list = *rng.one_of(&[List::In, List::In, List::Forward, List::Out]);
        let (mut from, mut to, on) = loop {
            let ends = ends(rng, places, list, family);
            // What is from its own receiver some kernels take for a fault of their own.
            if ends.0 != ends.1 {
                break ends;
            }
        };
        let protocol = protocol(rng, family);
        let transport = transport(rng, (protocol, family), &edges.ports);
        // Errors are about the connection that is there where they are for its ends.
        let is_error = matches!(transport, Transport::Icmp { kind, .. } if is_error(family, kind));
        if is_error && rng.one_in(2) {
            match list {
                List::In => to = SERVER[family],
                List::Out => from = SERVER[family],
                List::Forward => {}
            }
        }
        let header = plain(rng, list, (from, to), protocol, transport);
        Self {
            list,
            on,
            header,
            is_connected: false,
        }
    }

    /// One of the connections of TCP and UDP that are there. Its flags end nothing.
    fn connected(rng: &mut Rng, family: usize) -> Self {
        let (client, server) = (CLIENT[family], SERVER[family]);
        let by_tcp = rng.one_in(2);
        let (caller, called) = match by_tcp {
            true => (CALLERS[0], LISTENS[0]),
            false => (CALLERS[1], CONNECTED),
        };
        let arrives = rng.one_in(2);
        let ((from, to), (source, target)) = match arrives {
            true => ((client, server), (caller, called)),
            false => ((server, client), (called, caller)),
        };
        let transport = match by_tcp {
            true => Transport::Tcp {
                from: source,
                to: target,
                flags: *rng.one_of(&[0x10, 0x18]),
            },
            false => Transport::Ports {
                from: source,
                to: target,
            },
        };
        let list = if arrives { List::In } else { List::Out };
        let protocol = if by_tcp { 6 } else { 17 };
        Self {
            list,
            on: 0,
            header: plain(rng, list, (from, to), protocol, transport),
            is_connected: true,
        }
    }

    /// The packet with an identity.
    fn packet(self, id: u32) -> Packet {
        let mut frame = self.frame().bytes();
        identify(&mut frame, self.header.family(), id);
        if matches!(self.header.transport, Transport::Icmp { .. }) {
            let place = behind(self.header.family());
            let asks = self.quoted().is_none();
            // What is asked, and a question that nobody has asked yet.
            if asks {
                replace(&mut frame, place + 4, (id & 0xffff) as u16, place + 2);
            }
        }
        Packet {
            id,
            list: self.list,
            on: self.on,
            is_connected: self.is_connected,
            header: self.header,
            frame,
        }
    }

    fn frame(&self) -> Frame {
        let frame = match self.quoted() {
            Some(quoted) => Frame::new(self.header.clone()).payload(&quoted),
            None => Frame::new(self.header.clone()),
        };
        let shortest = frame.shortest();
        let header = Header {
            length: self.header.length.max(shortest),
            ..self.header.clone()
        };
        match self.quoted() {
            Some(quoted) => Frame::new(header).payload(&quoted),
            None => Frame::new(header),
        }
    }

    /// What an error is about: a packet of the connection that is there, sent to whoever tells.
    fn quoted(&self) -> Option<Vec<u8>> {
        let family = usize::from(self.header.family() == Family::V6);
        let Transport::Icmp { kind, .. } = self.header.transport else {
            return None;
        };
        let arrives = self.list != List::Out;
        let ((from, to), (source, target)) = match arrives {
            true => ((SERVER, CLIENT), (LISTENS[0], CALLERS[0])),
            false => ((CLIENT, SERVER), (CALLERS[0], LISTENS[0])),
        };
        is_error(family, kind).then(|| {
            let header = Header {
                from: from[family],
                to: to[family],
                protocol: IpProtocol(6),
                transport: Transport::Tcp {
                    from: source,
                    to: target,
                    flags: 0x10,
                },
                ..Header::PLAIN
            };
            let bytes = Frame::new(header).shrink().bytes();
            bytes[ETHERNET..].to_vec()
        })
    }
}

/// Whether a type is one of those that quote a packet.
fn is_error(family: usize, kind: u8) -> bool {
    match family {
        0 => matches!(kind, 3 | 4 | 11 | 12),
        _ => (1..=4).contains(&kind),
    }
}

/// From whom, to whom, and by which interface.
fn ends(rng: &mut Rng, places: &Places, list: List, family: usize) -> (IpAddr, IpAddr, usize) {
    let of = |is_own: bool| {
        let places = places.0.iter();
        let places = places.filter(move |(_, at)| (*at == At::Router) == is_own);
        places.copied().collect::<Vec<_>>()
    };
    let (own, others) = (of(true), of(false));
    let other = rng.one_of(&others).0;
    let on = rng.below(FRONTS.len());
    match list {
        List::In => {
            let many: &[IpAddr] = match family {
                0 => &[
                    IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)),
                    IpAddr::V4(Ipv4Addr::BROADCAST),
                ],
                _ => &[IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1))],
            };
            let to = match rng.one_in(6) {
                true => *rng.one_of(many),
                false => rng.one_of(&own).0,
            };
            let from = match family == 1 && rng.one_in(8) {
                true => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
                false => other,
            };
            (from, to, on)
        }
        List::Out => (rng.one_of(&own).0, other, 0),
        List::Forward => {
            // What goes back where it came from meets no list.
            let (to, at) = *rng.one_of(&others);
            let turned = 1 + rng.below(FRONTS.len() - 1);
            let At::Behind(leaves) = at else {
                return (other, to, on);
            };
            (other, to, (leaves + turned) % FRONTS.len())
        }
    }
}

fn protocol(rng: &mut Rng, family: usize) -> u8 {
    let icmp = [1, 58][family];
    *rng.one_of(&[6, 6, 6, 17, 17, icmp, icmp, 132, 47, 89, 1, 58])
}

fn transport(rng: &mut Rng, (protocol, family): (u8, usize), ports: &[u16]) -> Transport {
    let mut port = || match rng.one_in(3) {
        true => 1025 + rng.half() % 30_000,
        false => *rng.one_of(ports),
    };
    let (from, to) = (port(), port());
    match protocol {
        6 => Transport::Tcp {
            from,
            to,
            flags: *rng.one_of(&FLAGS),
        },
        17 | 132 => Transport::Ports { from, to },
        one if one == [1, 58][family] => Transport::Icmp {
            kind: *rng.one_of(&KINDS),
            code: *rng.one_of(&[0, 0, 1, 4]),
        },
        _ => Transport::None,
    }
}

/// The rest of a header, of which rules may ask everything. A mark is there only on what the router sends: none comes over a wire.
fn plain(
    rng: &mut Rng,
    list: List,
    (from, to): (IpAddr, IpAddr),
    protocol: u8,
    transport: Transport,
) -> Header {
    // The kernel itself takes what it can pass on no further.
    let ttl = match list {
        List::Forward => *rng.one_of(&[2, 3, 4, 64, 65, 255]),
        _ => *rng.one_of(&[1, 2, 3, 64, 65, 255]),
    };
    let card = match rng.one_in(3) {
        true => OTHER_CARD,
        false => MAC,
    };
    let mark = match list {
        List::Out => *rng.one_of(&[0, 1, 0x11, 0x1011]),
        _ => 0,
    };
    Header {
        from,
        to,
        protocol: IpProtocol(protocol),
        transport,
        length: *rng.one_of(&[20, 40, 60, 61, 80, 100, 101, 1400, 1401]),
        ttl,
        dscp: *rng.one_of(&[0, 46, 10]),
        ecn: rng.below(4) as u8,
        mark,
        ether_from: hardware_number(card),
        ether_to: hardware_number(MAC),
        ..Header::PLAIN
    }
}

/// Gives a frame its identity.
fn identify(frame: &mut [u8], family: Family, id: u32) {
    match family {
        Family::V4 => replace(frame, ETHERNET + 4, (id & 0xffff) as u16, ETHERNET + 10),
        Family::V6 => {
            let first = &mut frame[ETHERNET..ETHERNET + 4];
            let word = u32::from_be_bytes([first[0], first[1], first[2], first[3]]);
            first.copy_from_slice(&(word & 0xfff0_0000 | id).to_be_bytes());
        }
    }
}

/// Puts another word into a frame, and mends the checksum over it (RFC 1624).
fn replace(frame: &mut [u8], place: usize, word: u16, checksum: usize) {
    let read = |frame: &[u8], at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let (before, sum) = (read(frame, place), read(frame, checksum));
    let sum = u32::from(!sum) + u32::from(!before) + u32::from(word);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[place..place + 2].copy_from_slice(&word.to_be_bytes());
    frame[checksum..checksum + 2].copy_from_slice(&sum.to_be_bytes());
}
