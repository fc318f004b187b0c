//! The lab set up for one policy: listeners, groups, wires; and one case played on it.
//!
//! What is seen comes from the wire after the hooks, from the servers' answers and datagrams, and from the error of a
//! write: never from our own programs or counters. Not here: what should have been seen.

mod elsewhere;
mod fed;
mod passing;
mod servers;
mod wires;

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use sockc_compiler::event::{Event, Fragment, Header, Parsed, SocketAnswer, Transport};
use sockc_compiler::policy::{Action, ClassId, Direction, Feed, OutInterfaceId, Policy, SocketId};
use sockc_compiler::protocol::IpProtocol;
use sockc_runtime::SlotKind;
use sockc_runtime::lab::{
    self, BACK, Error, Group, Held, Lab, Played, Probe, Reply, Space, State, hold,
};

use super::around;
use super::choose::Case;
use super::frame;
use super::interfaces::Interfaces;
use super::lab_world::{Ends, LabWorld, ports};
use fed::Connections;
use servers::Servers;
use wires::Wires;

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
    /// It did not get past the hooks, and a refusal came back where it came from.
    Answered,
    /// It left by this interface, as it was.
    Forwarded(OutInterfaceId),
    /// What a process did, of this direction, failed with the error of a refusal.
    Denied(Direction),
    /// What a process did went on: what was written arrived.
    Done(Direction),
    /// What was written came out of this queue, and not at the peer.
    Fed(Feed),
    /// The lab cannot send it.
    NotSent(String),
}

/// A lab for one policy.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    policy: &'a Policy,
    lab: Lab,
    wires: Wires,
    answers: Probe,
    servers: Servers,
    connections: Connections,
    groups: Vec<Group>,
    /// The namespaces that conditions name, by number.
    namespaces: Vec<Space>,
    /// The addresses of the present case: ours and the peer's.
    placed: Option<(IpAddr, IpAddr)>,
}

impl<'a> Stage<'a> {
    /// Makes the lab, and starts a server or makes a connection for every named socket that is not to be absent.
    pub(crate) fn new(
        policy: &'a Policy,
        interfaces: &Interfaces,
        absent: &[SocketId],
    ) -> Result<Self, Error> {
        let lab = Lab::with(&interfaces.all())?;
        let servers = lab.server.run(|| Servers::start(policy, absent))??;
        let made = lab.server.run(|| Connections::make(policy, absent))?;
        let connections = made.map_err(|error| Error::new("making a connection", error))?;
        let groups = policy.groups.values().map(|_| Group::new());
        let namespaces = policy.namespaces.values().map(|_| Space::new());
        Ok(Self {
            policy,
            wires: Wires::new(&lab, interfaces)?,
            answers: Probe::new(&lab.server, &lab.client, BACK)?,
            groups: groups.collect::<Result<_, _>>()?,
            namespaces: namespaces.collect::<Result<_, _>>()?,
            lab,
            servers,
            connections,
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

    /// Paths of the namespaces that conditions name, by number, for this process.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = String> {
        let spaces = self.namespaces.iter();
        spaces.map(|space| format!("/proc/self/fd/{}", space.net().as_raw_fd()))
    }

    /// The descriptor of the server that stands for a named socket in slots of this kind.
    pub(crate) fn server_of(&self, socket: SocketId, kind: SlotKind) -> Option<i32> {
        self.servers.descriptor(socket, kind)
    }

    /// The descriptor of the connection that stands for a named socket whose queues take data.
    pub(crate) fn connection_of(&self, socket: SocketId) -> Option<i32> {
        self.connections.descriptor(socket)
    }

    /// Plays one case.
    pub(crate) fn play(&mut self, case: &Case) -> Result<Seen, Error> {
        if case.rate_exceeded {
            return Ok(Seen::NotSent("every rate of the lab has tokens".into()));
        }
        match &case.event {
            Event::Packet {
                direction,
                class,
                packet,
            } => self.packet((*direction, *class), packet, case),
            Event::Process {
                direction,
                group,
                header,
            } => {
                let group = self.groups.get(group.as_u32() as usize);
                match (group, Ends::of(*direction, header)) {
                    (Some(group), Some(ends)) => {
                        Ok(self.deed(*direction, group, header.protocol, ends))
                    }
                    _ => Ok(Seen::NotSent("it is no TCP connection".into())),
                }
            }
            Event::Passing {
                came_in, leaves, ..
            } => self.passing([*came_in, *leaves], case),
            Event::Lookup { .. } => Ok(Seen::NotSent(
                "the lab sends packets to interfaces that the policy is on".into(),
            )),
        }
    }

    fn packet(
        &mut self,
        (direction, class): (Direction, ClassId),
        packet: &Parsed,
        case: &Case,
    ) -> Result<Seen, Error> {
        let frame = frame::bytes(packet);
        let obstacle = self.obstacle(class, packet, &frame);
        if let Some(reason) = obstacle.or_else(|| around::redirected(self.policy, case)) {
            return Ok(Seen::NotSent(reason));
        }
        let _held = match self.prepare(direction, packet, case) {
            Ok(held) => held,
            // An address that no host can have, most likely: nothing was seen, so nothing is wrong.
            Err(error) => return Ok(Seen::NotSent(error.to_string())),
        };
        self.answers.arrived()?;
        self.servers.datagrams()?;
        self.wires.clear()?;
        if let Some(seen) = self.taken((direction, class), packet, &frame)? {
            return Ok(seen);
        }
        let passed = self.wires.send(direction, class, &frame)?;
        match packet {
            Parsed::Ip(header) if passed => {
                if direction == Direction::In && is_new_flow(header) {
                    self.answered(header)
                } else {
                    Ok(Seen::Passed)
                }
            }
            Parsed::Ip(header) => self.held_back(direction, class, header, &frame),
            _ if passed => Ok(Seen::Passed),
            _ => Ok(Seen::Dropped),
        }
    }

    /// The socket that a packet hook gave a packet. A frame that is looked at behind the hook has lost that by then, so this one is
    /// sent unseen; one that reaches no socket is sent again.
    fn taken(
        &mut self,
        (direction, class): (Direction, ClassId),
        packet: &Parsed,
        frame: &[u8],
    ) -> Result<Option<Seen>, Error> {
        let mut rules = self.policy.rules.values();
        let takes = rules.any(|rule| matches!(rule.action, Action::Intercept(_)));
        let Parsed::Ip(header) = packet else {
            return Ok(None);
        };
        if !takes || direction != Direction::In || !is_new_flow(header) {
            return Ok(None);
        }
        self.wires.send_unseen(class, frame)?;
        let seen = self.answered(header)?;
        Ok(matches!(seen, Seen::Reached(_)).then_some(seen))
    }

    /// Why the lab cannot send a packet.
    fn obstacle(&self, class: ClassId, packet: &Parsed, frame: &[u8]) -> Option<String> {
        let is = |holds: fn(&Header) -> bool| matches!(packet, Parsed::Ip(header) if holds(header));
        if !self.wires.has(class) {
            Some("no interface of the lab is one of those".into())
        } else if frame.len() > lab::MTU as usize {
            Some(format!("the lab's wire takes {} bytes", lab::MTU))
        } else if is(|header| header.mark != 0) {
            Some("packets of the lab come without a mark".into())
        } else {
            // The kernel takes a frame for another machine to a hook, and no further (`PACKET_OTHERHOST`).
            let elsewhere = is(|header| header.ether_to != Header::PLAIN.ether_to);
            elsewhere.then(|| "the lab's interfaces have another hardware address".into())
        }
    }

    /// What became of a packet that did not get past the hooks: it left elsewhere, was refused, or dropped in silence.
    fn held_back(
        &mut self,
        direction: Direction,
        class: ClassId,
        header: &Header,
        frame: &[u8],
    ) -> Result<Seen, Error> {
        if let Some(port) = self.wires.left_by(frame)? {
            return Ok(Seen::Forwarded(port));
        }
        let (from, to) = ports(header).unwrap_or_default();
        let frames = self.wires.came_back(direction, class)?;
        let refused = frames
            .iter()
            .filter_map(|frame| Reply::read(frame, header.to, header.from, (to, from)))
            .any(|reply| matches!(reply, Reply::Reset | Reply::Unreachable));
        Ok(if refused {
            Seen::Answered
        } else {
            Seen::Dropped
        })
    }

    /// Brings addresses and sockets into the state that the case is about.
    fn prepare(
        &mut self,
        direction: Direction,
        packet: &Parsed,
        case: &Case,
    ) -> Result<Vec<Held>, Error> {
        let Parsed::Ip(header) = packet else {
            return Ok(Vec::new());
        };
        self.place(direction, header)?;
        let mut held = Vec::new();
        held.extend(self.socket(direction, header, case)?);
        for (netns, answer) in &case.elsewhere {
            let space = self.namespaces.get(netns.as_u32() as usize);
            if let (Some(space), Some(ends)) = (space, Ends::of(direction, header)) {
                held.extend(elsewhere::hold(space, header.protocol, ends, *answer)?);
            }
        }
        Ok(held)
    }

    /// What becomes of what a process of the group does. A connection that cannot be made is no verdict.
    fn deed(&self, direction: Direction, group: &Group, protocol: IpProtocol, ends: Ends) -> Seen {
        let space = &self.lab.server;
        // What is refused comes out nowhere, and is not waited for where no rule of the direction puts it elsewhere.
        let mut rules = self.policy.rules_of(direction);
        let feeds = rules.any(|(_, rule)| matches!(rule.action, Action::Feed(_)));
        let places = self.connections.ends().filter(|_| feeds);
        let (queues, watched): (Vec<_>, Vec<_>) = places.unzip();
        let sides = (protocol, ends.local, ends.remote);
        match lab::play(space, direction, group, sides, &watched) {
            Ok(Played::Done) => Seen::Done(direction),
            Ok(Played::Elsewhere(place)) => queues
                .get(place)
                .map_or(Seen::Dropped, |feed| Seen::Fed(*feed)),
            Ok(Played::Denied) => Seen::Denied(direction),
            Ok(Played::Lost) => Seen::Dropped,
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
        self.clear()?;
        let next = (is_ordinary(local) && is_ordinary(remote) && local != remote)
            .then_some((local, remote));
        self.lab.server.run(|| {
            let mut netlink = lab::Netlink::open()?;
            if let Some((local, remote)) = next {
                netlink.local(local, whole(local))?;
                netlink.route(remote, whole(remote), BACK)?;
            }
            Ok(())
        })??;
        self.placed = next;
        Ok(())
    }

    /// Takes the addresses of the case before away.
    fn clear(&mut self) -> Result<(), Error> {
        let Some((local, remote)) = self.placed.take() else {
            return Ok(());
        };
        self.lab.server.run(|| {
            let mut netlink = lab::Netlink::open()?;
            netlink.remove_local(local, whole(local))?;
            netlink.remove_route(remote, whole(remote), BACK)
        })?
    }

    /// Puts the socket there that the case is about, unless a named one is there already.
    fn socket(
        &self,
        direction: Direction,
        header: &Header,
        case: &Case,
    ) -> Result<Option<Held>, Error> {
        let Some(state) = state_of(case.socket) else {
            return Ok(None);
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
        if let Some(socket) = self.servers.reached(header.protocol)? {
            return Ok(Seen::Reached(socket));
        }
        let replies = frames
            .iter()
            .filter_map(|frame| Reply::read(frame, header.to, header.from, (to, from)));
        for reply in replies {
            match reply {
                Reply::SynAck { ttl } => {
                    let ours = self.servers.with_ttl(ttl);
                    return Ok(ours.map_or(Seen::Passed, Seen::Reached));
                }
                Reply::Reset | Reply::Unreachable => return Ok(Seen::Refused),
                Reply::Other => {}
            }
        }
        Ok(Seen::Passed)
    }
}

/// The state of a socket that a lookup answers so for.
fn state_of(answer: SocketAnswer) -> Option<State> {
    match answer {
        SocketAnswer::None => None,
        SocketAnswer::Listening => Some(State::Listening),
        SocketAnswer::Established => Some(State::Established),
    }
}

/// Whether the server's answer tells which socket the lookup found: an opening TCP segment, or a whole datagram.
pub(crate) fn is_new_flow(header: &Header) -> bool {
    header.fragment == Fragment::Whole
        && match header.transport {
            Transport::Tcp { flags, .. } => flags & 0x17 == 0x02,
            Transport::Ports { .. } => header.protocol == IpProtocol::UDP,
            _ => false,
        }
}

/// The prefix length of one address.
fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Whether an address can be a host's.
pub(crate) fn is_ordinary(address: IpAddr) -> bool {
    let beyond = match address {
        IpAddr::V4(address) => matches!(address.octets(), [0 | 224..=255, ..]),
        IpAddr::V6(_) => false,
    };
    !beyond && !address.is_unspecified() && !address.is_multicast() && !address.is_loopback()
}
