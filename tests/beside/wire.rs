//! Sends packets through a router, and tells what became of each.
//!
//! Takes packets; gives whether each arrived where it was sent to, and else how it was answered. What is for others is read as frames at the
//! other end, and belongs to a packet where identity, ends and what stands behind the header are its own; what is for the router itself is
//! counted there, behind every chain. No clock decides: frames of an EtherType that always passes follow, as in the lab's probe, and
//! what was not there when these are has been thrown away.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sockc_compiler::event::Transport;
use sockc_compiler::policy::Family;
use sockc_runtime::lab::{Lab, MAC, PacketSocket, Pinned};
use socket2::{Domain, Protocol, Socket, Type};

use crate::iptables::drawn::List;
use crate::packets::{ETHERNET, Packet, behind};
use crate::scene::{FRONTS, Scene, count};

const V4: u16 = 0x0800;
const V6: u16 = 0x86dd;
/// The EtherType of frames that mark an end: reserved for local experiments.
const MARKER: u16 = 0x88b5;
/// How long one may take: only a broken wire takes this long.
const PATIENCE: u16 = 20_000;
/// So many packets are sent before what came of them is read: they fit into the buffer of a socket.
const BATCH: usize = 40;
/// The protocol of a socket that sends packets as they are.
const RAW: i32 = 255;

/// How what is not let through is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Reset,
    /// An error of ICMP, by type and code.
    Error(u8, u8),
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Arrived,
    Answered(Reply),
    Silence,
}

/// The router's wires.
struct Wire {
    fronts: Vec<Front>,
    raw: [Socket; 2],
    marked: u64,
}

/// A pair of interfaces, at both ends.
struct Front {
    v4: PacketSocket,
    v6: PacketSocket,
    outside: PacketSocket,
    inside: PacketSocket,
}

/// Sends packets, and says what became of each, in their order.
pub(crate) fn sent(scene: &Scene, packets: &[Packet]) -> Vec<Outcome> {
    count(&scene.lab.server);
    let mut wire = Wire::open(&scene.lab);
    let mut seen = Seen::of(packets);
    for batch in packets.chunks(BATCH) {
        let pinned = Pinned::first().unwrap();
        batch.iter().for_each(|packet| wire.send(packet));
        wire.settle();
        drop(pinned);
        wire.drain(&mut seen);
    }
    for family in [Family::V4, Family::V6] {
        let let_in = scene.let_in(family);
        let_in.into_iter().for_each(|id| seen.let_in(family, id));
    }
    seen.outcomes
}

impl Wire {
    fn open(lab: &Lab) -> Self {
        let fronts = FRONTS.map(|name| {
            let open = |kind| PacketSocket::open(name, kind).unwrap();
            let (v4, v6, outside) = lab
                .client
                .run(|| (open(V4), open(V6), open(MARKER)))
                .unwrap();
            Front {
                v4,
                v6,
                outside,
                inside: lab.server.run(|| open(MARKER)).unwrap(),
            }
        });
        let raw = |domain| {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(RAW))).unwrap();
            match domain {
                Domain::IPV4 => socket.set_header_included_v4(true).unwrap(),
                _ => socket.set_header_included_v6(true).unwrap(),
            }
            socket
        };
        let raw = || [Domain::IPV4, Domain::IPV6].map(raw);
        Self {
            fronts: fronts.into(),
            raw: lab.server.run(raw).unwrap(),
            marked: 0,
        }
    }

    fn send(&self, packet: &Packet) {
        let front = &self.fronts[packet.on];
        match (packet.list, packet.family()) {
            (List::Out, family) => self.send_out(packet, family),
            (_, Family::V4) => front.v4.send(&packet.frame).unwrap(),
            (_, Family::V6) => front.v6.send(&packet.frame).unwrap(),
        }
    }

    /// Sends from the router. That it is not let out is told as an error.
    fn send_out(&self, packet: &Packet, family: Family) {
        let raw = &self.raw[usize::from(family == Family::V6)];
        raw.set_mark(packet.header.mark).unwrap();
        let to = SocketAddr::new(packet.header.to, 0);
        let refused = [libc::EPERM, libc::ENOBUFS, libc::ECONNREFUSED];
        if let Err(error) = raw.send_to(&packet.frame[ETHERNET..], &to.into()) {
            let is_refused = error
                .raw_os_error()
                .is_some_and(|one| refused.contains(&one));
            assert!(is_refused, "{error}: {packet:?}");
        }
    }

    /// Waits until all that was sent has come to its end: first at the router, then where it sends.
    fn settle(&mut self) {
        for number in 0..2 * self.fronts.len() {
            let front = &self.fronts[number % self.fronts.len()];
            mark(&mut self.marked, &front.outside, &front.inside);
        }
        for number in 0..2 * self.fronts.len() {
            let front = &self.fronts[number % self.fronts.len()];
            mark(&mut self.marked, &front.inside, &front.outside);
        }
    }

    fn drain(&self, seen: &mut Seen<'_>) {
        for front in &self.fronts {
            while let Some(frame) = front.v4.receive().unwrap() {
                seen.frame(Family::V4, &frame);
            }
            while let Some(frame) = front.v6.receive().unwrap() {
                seen.frame(Family::V6, &frame);
            }
        }
    }
}

/// Sends a frame that marks an end, and waits for it.
fn mark(marked: &mut u64, from: &PacketSocket, to: &PacketSocket) {
    *marked += 1;
    let mut frame = [MAC, MAC].concat();
    frame.extend(MARKER.to_be_bytes());
    frame.extend(marked.to_be_bytes());
    frame.resize(60, 0);
    from.send(&frame).unwrap();
    while let Some(came) = to.wait(PATIENCE).unwrap() {
        if came == frame {
            return;
        }
    }
    panic!("the frame that marks an end never came");
}

/// Both ends of a connection, as the sender sees them.
type Ends = [(IpAddr, u16); 2];

/// What has been seen of packets.
struct Seen<'a> {
    packets: &'a [Packet],
    /// Those of TCP, by the ends that an answer has.
    answered: BTreeMap<Ends, usize>,
    outcomes: Vec<Outcome>,
}

impl<'a> Seen<'a> {
    fn of(packets: &'a [Packet]) -> Self {
        let numbered = packets.iter().enumerate();
        let answered = numbered.filter_map(|(number, packet)| match packet.header.transport {
            Transport::Tcp { from, to, .. } => {
                let header = &packet.header;
                Some(([(header.to, to), (header.from, from)], number))
            }
            _ => None,
        });
        Self {
            packets,
            answered: answered.collect(),
            outcomes: vec![Outcome::Silence; packets.len()],
        }
    }

    /// The packet of an identity and a family.
    fn place(&self, family: Family, id: u32) -> Option<usize> {
        let place = self.packets.binary_search_by_key(&id, |one| one.id).ok()?;
        (self.packets[place].family() == family).then_some(place)
    }

    /// What was let in. What comes of it afterwards is no answer of a rule.
    fn let_in(&mut self, family: Family, id: u32) {
        if let Some(place) = self.place(family, id) {
            self.outcomes[place] = Outcome::Arrived;
        }
    }

    fn answer(&mut self, place: usize, reply: Reply) {
        if self.outcomes[place] == Outcome::Silence {
            self.outcomes[place] = Outcome::Answered(reply);
        }
    }

    /// A frame that came out of the router.
    fn frame(&mut self, family: Family, frame: &[u8]) {
        let packet = &frame[ETHERNET..];
        let rest = &frame[behind(family)..];
        if let Some(place) = self.is_of(family, packet) {
            self.outcomes[place] = Outcome::Arrived;
            return;
        }
        match (protocol(family, packet), rest) {
            (6, _) if rest.get(13).is_some_and(|flags| flags & 4 != 0) => {
                let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
                let ends = addresses(family, packet);
                let ends = [(ends[0], port(0)), (ends[1], port(2))];
                if let Some(place) = self.answered.get(&ends) {
                    self.answer(*place, Reply::Reset);
                }
            }
            (1 | 58, [kind @ (1 | 3), code, _, _, _, _, _, _, quoted @ ..]) => {
                if let Some(place) = self.is_of(family, quoted) {
                    self.answer(place, Reply::Error(*kind, *code));
                }
            }
            _ => {}
        }
    }

    /// The packet that these bytes are, as far as they go.
    fn is_of(&self, family: Family, packet: &[u8]) -> Option<usize> {
        let length = behind(family) - ETHERNET;
        let rest = packet.get(length..)?;
        let id = match family {
            Family::V4 => u32::from(u16::from_be_bytes([packet[4], packet[5]])),
            Family::V6 => u32::from_be_bytes([0, packet[1] & 15, packet[2], packet[3]]),
        };
        let place = self.place(family, id)?;
        let sent = &self.packets[place];
        let shown = rest.len().min(sent.behind().len()).min(8);
        let is_it = protocol(family, packet) == sent.header.protocol.0
            && addresses(family, packet) == [sent.header.from, sent.header.to]
            && rest[..shown] == sent.behind()[..shown];
        is_it.then_some(place)
    }
}

fn protocol(family: Family, packet: &[u8]) -> u8 {
    match family {
        Family::V4 => packet[9],
        Family::V6 => packet[6],
    }
}

fn addresses(family: Family, packet: &[u8]) -> [IpAddr; 2] {
    match family {
        Family::V4 => [12, 16].map(|at| {
            let octets: [u8; 4] = packet[at..at + 4].try_into().unwrap();
            IpAddr::from(octets)
        }),
        Family::V6 => [8, 24].map(|at| {
            let octets: [u8; 16] = packet[at..at + 16].try_into().unwrap();
            IpAddr::from(octets)
        }),
    }
}
