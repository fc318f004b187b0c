//! The same cases without a lab: the emitted bytecode in the compiler's interpreter.
//!
//! The programs run in the kernel's order: for what arrives XDP, then TC, then the lookup if the packet is of a new flow; for
//! what leaves TC; for a write the message program of its group.

use std::net::SocketAddr;

use sockc_compiler::artifact::{Artifact, AttachPoint, Program};
use sockc_compiler::bpf::constant::{SK_PASS, TC_ACT_SHOT, TCP_ESTABLISHED, XDP_DROP};
use sockc_compiler::event::{Event, Header, Parsed, Part, SocketAnswer};
use sockc_compiler::interpret::{
    self, Fault, Input, Kernel, Lookup, LookupKind, Maps, Message, Netns, Outcome, Skb,
    SocketModel, Tuple, Xdp,
};
use sockc_compiler::policy::{Direction, GroupId, Policy, SocketId};

use super::choose::Case;
use super::frame;
use super::stage::Seen;
use super::world::{Ends, LabWorld};
use crate::compile::Compiled;

/// The id of a socket that no name stands for; the slots of named ones count from 1.
const UNNAMED: u64 = 0;

/// Plays every case.
pub(crate) fn play(compiled: &Compiled, cases: &[Case]) -> Vec<Seen> {
    cases
        .iter()
        .map(|case| {
            let mut machine = Machine::new(compiled, case);
            machine.play().unwrap_or_else(|fault| {
                Seen::NotSent(format!("a fault of the bytecode: {fault:?}"))
            })
        })
        .collect()
}

/// A machine with the sockets of one case.
struct Machine<'a> {
    policy: &'a Policy,
    artifact: &'a Artifact,
    case: &'a Case,
    maps: Maps,
    slots: Vec<SocketId>,
    sockets: Sockets,
}

impl<'a> Machine<'a> {
    fn new(compiled: &'a Compiled, case: &'a Case) -> Self {
        let artifact = &compiled.built.artifact;
        let mut machine = Self {
            policy: &compiled.policy,
            artifact,
            case,
            maps: Maps::new(&artifact.maps),
            slots: Vec::new(),
            sockets: Sockets::of(&compiled.policy, case),
        };
        machine.fill();
        machine
    }

    /// Puts the named sockets that are there into their slots.
    fn fill(&mut self) {
        let map = self.maps.named("sockets");
        for (id, socket) in &self.policy.sockets {
            let plan = self.artifact.manifest.sockets.iter();
            for slot in plan
                .filter(|plan| plan.name == socket.name)
                .flat_map(|plan| &plan.slots)
            {
                self.slots.push(id);
                let address = SocketAddr::new(slot.address, slot.port);
                let number = self.slots.len() as u64;
                let model = match slot.protocol {
                    6 => SocketModel::listener(number, address),
                    _ => SocketModel::udp(number, address),
                };
                if let (Some(map), false) = (map, self.case.absent.contains(&id)) {
                    // A slot of the manifest is one of the map; were it not, the packet would find it empty.
                    let _ = self
                        .maps
                        .update_socket(map, &slot.index.to_le_bytes(), model, 0);
                }
            }
        }
    }

    fn play(&mut self) -> Result<Seen, Fault> {
        match &self.case.event {
            Event::Packet {
                direction: Direction::In,
                packet,
                ..
            } => self.arrives(packet),
            Event::Packet { packet, .. } => {
                let dropped = self.packet(&AttachPoint::TcOut, packet)?;
                Ok(if dropped { Seen::Dropped } else { Seen::Passed })
            }
            Event::Lookup { header, .. } => self.looked_up(header),
            Event::Send { group, header } => self.written(*group, header),
        }
    }

    fn arrives(&mut self, packet: &Parsed) -> Result<Seen, Fault> {
        for point in [AttachPoint::Xdp, AttachPoint::TcIn] {
            if self.packet(&point, packet)? {
                return Ok(Seen::Dropped);
            }
        }
        match packet {
            Parsed::Ip(header) if is_looked_up(header, self.case.socket) => self.looked_up(header),
            _ => Ok(Seen::Passed),
        }
    }

    /// Whether the program at a packet hook drops the packet.
    fn packet(&mut self, point: &AttachPoint, packet: &Parsed) -> Result<bool, Fault> {
        let bytes = frame::bytes(packet);
        let (input, drop) = match point {
            AttachPoint::Xdp => (Input::Xdp(Xdp::new(bytes)), XDP_DROP),
            AttachPoint::TcOut => {
                let skb = Skb {
                    egress: true,
                    ..Skb::new(bytes)
                };
                (Input::Skb(skb), TC_ACT_SHOT)
            }
            _ => (Input::Skb(Skb::new(bytes)), TC_ACT_SHOT),
        };
        let outcome = self.run(point, input)?;
        Ok(outcome.is_some_and(|outcome| outcome.code() == drop))
    }

    fn looked_up(&mut self, header: &Header) -> Result<Seen, Fault> {
        let Some(ends) = Ends::of(Direction::In, header) else {
            return Ok(Seen::Passed);
        };
        let lookup = Lookup {
            protocol: header.protocol,
            remote: ends.remote,
            local: ends.local,
            ingress_ifindex: 1,
        };
        let Some(outcome) = self.run(&AttachPoint::SkLookup, Input::Lookup(lookup))? else {
            return Ok(Seen::Passed);
        };
        let chosen = outcome.assigned.and_then(|socket| self.named(socket));
        Ok(match chosen {
            _ if outcome.code() != SK_PASS => Seen::Refused,
            Some(socket) => Seen::Reached(socket),
            None => Seen::Passed,
        })
    }

    fn written(&mut self, group: GroupId, header: &Header) -> Result<Seen, Fault> {
        let Some(ends) = Ends::of(Direction::Send, header) else {
            return Ok(Seen::NotSent("it is no TCP connection".into()));
        };
        let socket =
            SocketModel::listener(UNNAMED, ends.local).connected(TCP_ESTABLISHED, ends.remote);
        let message = Message {
            socket,
            data: b"sockc".to_vec(),
        };
        let name = &self.policy.groups[group].name;
        let mut plans = self.artifact.manifest.groups.iter();
        let Some(place) = plans.position(|plan| plan.name == *name) else {
            return Ok(Seen::Delivered);
        };
        let point = AttachPoint::SkMsg(place);
        Ok(match self.run(&point, Input::Message(message))? {
            Some(outcome) if outcome.code() != SK_PASS => Seen::Denied,
            _ => Seen::Delivered,
        })
    }

    /// Runs the program at an attach point, if there is one.
    fn run(&mut self, point: &AttachPoint, input: Input) -> Result<Option<Outcome>, Fault> {
        let Some(program) = self.program(point) else {
            return Ok(None);
        };
        interpret::run(program, &mut self.maps, input, &mut self.sockets).map(Some)
    }

    fn program(&self, point: &AttachPoint) -> Option<&'a Program> {
        let attach = self
            .artifact
            .manifest
            .programs
            .iter()
            .find(|one| one.point == *point)?;
        self.artifact
            .programs
            .iter()
            .find(|program| program.name == attach.program)
    }

    fn named(&self, socket: SocketModel) -> Option<SocketId> {
        let slot = usize::try_from(socket.id.checked_sub(1)?).ok()?;
        self.slots.get(slot).copied()
    }
}

/// Whether the kernel asks a lookup program: TCP and UDP that no connected socket takes, once the datagram is whole.
fn is_looked_up(header: &Header, socket: SocketAnswer) -> bool {
    socket != SocketAnswer::Established && header.part == Part::Whole
}

/// The socket that a lookup helper finds for the one packet there is.
struct Sockets {
    tuple: Option<Tuple>,
    found: Option<SocketModel>,
}

impl Sockets {
    fn of(policy: &Policy, case: &Case) -> Self {
        let Event::Packet {
            direction,
            packet: Parsed::Ip(header),
            ..
        } = &case.event
        else {
            return Self {
                tuple: None,
                found: None,
            };
        };
        let Some(ends) = Ends::of(*direction, header) else {
            return Self {
                tuple: None,
                found: None,
            };
        };
        let plain = match header.protocol {
            6 => SocketModel::listener(UNNAMED, ends.local),
            _ => SocketModel::udp(UNNAMED, ends.local),
        };
        let world = LabWorld::of(policy, case);
        Self {
            tuple: Some(Tuple {
                source: ends.remote,
                destination: ends.local,
            }),
            found: match world.answer(*direction, header) {
                SocketAnswer::None => None,
                SocketAnswer::Listening => Some(plain),
                SocketAnswer::Established => Some(plain.connected(TCP_ESTABLISHED, ends.remote)),
            },
        }
    }
}

impl Kernel for Sockets {
    fn lookup(&mut self, _: LookupKind, tuple: Tuple, netns: Netns) -> Option<SocketModel> {
        let asked = self.tuple == Some(tuple) && netns == Netns::Current;
        self.found.filter(|_| asked)
    }

    fn now(&mut self) -> u64 {
        0
    }

    fn netns_cookie(&mut self) -> u64 {
        1
    }
}
