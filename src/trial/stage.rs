//! The lab set up for one policy: listeners, groups, wires; and one case played on it.
//!
//! What is seen comes from the wire behind the hooks, from the servers' answers and datagrams, and from the error of a
//! write: never from our own programs or counters. Not here: what should have been seen.

use std::net::{IpAddr, SocketAddr};

use sockc_compiler::event::{Event, Header, Parsed, Part, SocketAnswer, Transport};
use sockc_compiler::policy::{Direction, Policy, SocketId};
use sockc_runtime::lab::{
    self, BACK, Error, FRONT, Group, Held, Lab, Listener, Probe, Reply, State, Written, exchange,
    hold,
};

use super::choose::Case;
use super::frame;
use super::world::{Ends, LabWorld, ports};

/// The TTL of the first listener; the next ones count up. Ordinary ones have 64.
const FIRST_TTL: u8 = 100;

/// What was seen of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It did not get past the hooks.
    Dropped,
    /// It got past the hooks; nothing more is to be seen.
    Passed,
    /// It reached this named socket.
    Reached(SocketId),
    /// It got past the hooks, and nobody listened.
    Refused,
    /// The write failed with EACCES.
    Denied,
    /// What was written arrived.
    Delivered,
    /// The lab cannot send it.
    NotSent(String),
}

/// A lab for one policy.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    policy: &'a Policy,
    lab: Lab,
    inward: Probe,
    outward: Probe,
    answers: Probe,
    listeners: Vec<(SocketId, Listener)>,
    groups: Vec<Group>,
    /// The addresses of the present case: ours and the peer's.
    placed: Option<(IpAddr, IpAddr)>,
}

impl<'a> Stage<'a> {
    /// Makes the lab and starts a plain listener wherever the policy names a socket that is not to be absent.
    pub(crate) fn new(policy: &'a Policy, absent: &[SocketId]) -> Result<Self, Error> {
        let lab = Lab::new()?;
        let listeners = lab.server.run(|| listeners(policy, absent))??;
        let groups = policy
            .groups
            .iter()
            .map(|_| Group::new())
            .collect::<Result<_, _>>()?;
        Ok(Self {
            policy,
            inward: Probe::new(&lab.client, &lab.server, FRONT)?,
            outward: Probe::new(&lab.server, &lab.client, FRONT)?,
            answers: Probe::new(&lab.server, &lab.client, BACK)?,
            lab,
            listeners,
            groups,
            placed: None,
        })
    }

    /// The lab, to run things in.
    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The control group that stands for the policy's group of this name, as a path from the root of the hierarchy.
    pub(crate) fn cgroup(&self, name: &str) -> Option<&str> {
        let declared = self.policy.groups.values();
        let mut groups = self.groups.iter().zip(declared);
        groups
            .find(|(_, declared)| declared.name == name)
            .map(|(group, _)| group.path())
    }

    /// Plays one case.
    pub(crate) fn play(&mut self, case: &Case) -> Result<Seen, Error> {
        match &case.event {
            Event::Packet {
                direction, packet, ..
            } => self.packet(*direction, packet, case),
            Event::Send { group, header } => {
                let group = self.groups.get(group.as_u32() as usize);
                match (group, Ends::of(Direction::Send, header)) {
                    (Some(group), Some(ends)) => Ok(self.write(group, ends)),
                    _ => Ok(Seen::NotSent("it is no TCP connection".into())),
                }
            }
            Event::Lookup { .. } => Ok(Seen::NotSent("the lab sends packets".into())),
        }
    }

    fn packet(
        &mut self,
        direction: Direction,
        packet: &Parsed,
        case: &Case,
    ) -> Result<Seen, Error> {
        let frame = frame::bytes(packet);
        if frame.len() > lab::MTU as usize {
            let reason = format!("the lab's wire takes {} bytes", lab::MTU);
            return Ok(Seen::NotSent(reason));
        }
        let _held = match self.prepare(direction, packet, case) {
            Ok(held) => held,
            // An address that no host can have, most likely: nothing was seen, so nothing is wrong.
            Err(error) => return Ok(Seen::NotSent(error.to_string())),
        };
        self.answers.arrived()?;
        for (_, listener) in &self.listeners {
            listener.datagrams()?;
        }
        let probe = match direction {
            Direction::Out => &mut self.outward,
            _ => &mut self.inward,
        };
        let passed = probe.send(&frame)? == lab::Seen::Passed;
        match (passed, direction, packet) {
            (false, ..) => Ok(Seen::Dropped),
            (true, Direction::In, Parsed::Ip(header)) if is_new_flow(header) => {
                self.answered(header)
            }
            _ => Ok(Seen::Passed),
        }
    }

    /// Brings addresses and sockets into the state that the case is about.
    fn prepare(
        &mut self,
        direction: Direction,
        packet: &Parsed,
        case: &Case,
    ) -> Result<Option<Held>, Error> {
        let Parsed::Ip(header) = packet else {
            return Ok(None);
        };
        self.place(direction, header)?;
        self.socket(direction, header, case)
    }

    /// What becomes of a write of the group. A connection that cannot be made is no verdict.
    fn write(&self, group: &Group, ends: Ends) -> Seen {
        match exchange(&self.lab.server, group, ends.local, ends.remote) {
            Ok(Written::Delivered) => Seen::Delivered,
            Ok(Written::Denied) => Seen::Denied,
            Ok(Written::Lost) => Seen::Dropped,
            Err(error) => Seen::NotSent(error.to_string()),
        }
    }

    /// Makes our address the server's own, and the peer's one that answers reach past the policy; those of the case before
    /// go, since an address may change sides.
    fn place(&mut self, direction: Direction, header: &Header) -> Result<(), Error> {
        let (local, remote) = match direction {
            Direction::In => (header.to, header.from),
            _ => (header.from, header.to),
        };
        let before = self.placed.take();
        let next = (is_ordinary(local) && is_ordinary(remote) && local != remote)
            .then_some((local, remote));
        self.lab.server.run(|| {
            let mut netlink = lab::Netlink::open()?;
            if let Some((local, remote)) = before {
                netlink.remove_local(local, whole(local))?;
                netlink.remove_route(remote, whole(remote), BACK)?;
            }
            if let Some((local, remote)) = next {
                netlink.local(local, whole(local))?;
                netlink.route(remote, whole(remote), BACK)?;
            }
            Ok(())
        })??;
        self.placed = next;
        Ok(())
    }

    /// Puts the socket there that the case is about, unless a named one is there already.
    fn socket(
        &self,
        direction: Direction,
        header: &Header,
        case: &Case,
    ) -> Result<Option<Held>, Error> {
        let state = match case.socket {
            SocketAnswer::None => return Ok(None),
            SocketAnswer::Listening => State::Listening,
            SocketAnswer::Established => State::Established,
        };
        let world = LabWorld::of(self.policy, case).holding(SocketAnswer::None);
        let Some(ends) = Ends::of(direction, header) else {
            return Ok(None);
        };
        if world.answer(direction, header) == case.socket {
            return Ok(None);
        }
        self.lab
            .server
            .run(|| hold(header.protocol, ends.local, ends.remote, state))?
            .map(Some)
    }

    /// What the server did with a packet of a new flow that got past the hooks.
    fn answered(&mut self, header: &Header) -> Result<Seen, Error> {
        let (from, to) = ports(header).unwrap_or_default();
        let frames = self.answers.arrived()?;
        for (socket, listener) in &self.listeners {
            if listener.protocol == header.protocol && !listener.datagrams()?.is_empty() {
                return Ok(Seen::Reached(*socket));
            }
        }
        let replies = frames
            .iter()
            .filter_map(|frame| Reply::read(frame, header.to, header.from, (to, from)));
        for reply in replies {
            match reply {
                Reply::SynAck { ttl } => {
                    let ours = self
                        .listeners
                        .iter()
                        .find(|(_, listener)| listener.ttl == ttl);
                    return Ok(ours.map_or(Seen::Passed, |(socket, _)| Seen::Reached(*socket)));
                }
                Reply::Reset | Reply::Unreachable => return Ok(Seen::Refused),
                Reply::Other => {}
            }
        }
        Ok(Seen::Passed)
    }
}

/// Starts the listeners; only TCP ones need a TTL of their own, but each has one.
fn listeners(policy: &Policy, absent: &[SocketId]) -> Result<Vec<(SocketId, Listener)>, Error> {
    let named = policy
        .sockets
        .iter()
        .filter(|(id, _)| !absent.contains(id))
        .flat_map(|(id, socket)| {
            socket
                .origin
                .listen()
                .unwrap_or_default()
                .iter()
                .map(move |listen| (id, listen))
        });
    (FIRST_TTL..=u8::MAX)
        .cycle()
        .zip(named)
        .map(|(ttl, (id, listen))| {
            let address = SocketAddr::new(listen.address, listen.port);
            Ok((id, Listener::start(listen.protocol, address, ttl)?))
        })
        .collect()
}

/// Whether the server's answer tells which socket the lookup found: an opening TCP segment, or a whole datagram.
pub(crate) fn is_new_flow(header: &Header) -> bool {
    header.part == Part::Whole
        && match header.transport {
            Transport::Tcp { flags, .. } => flags & 0x17 == 0x02,
            Transport::Ports { .. } => header.protocol == 17,
            _ => false,
        }
}

/// The prefix length of one address.
fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Whether an address can be a host's.
fn is_ordinary(address: IpAddr) -> bool {
    !address.is_unspecified()
        && !address.is_multicast()
        && !address.is_loopback()
        && address != IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}
