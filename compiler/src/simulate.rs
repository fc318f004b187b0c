//! What the emitted programs do to one event, in the interpreter.
//!
//! Takes an artifact, the policy it was made from, an event, and a world; fills the maps as a runtime would and as the
//! world answers, runs the programs in the kernel's order (XDP, TC, then the lookup if one is made) and gives the verdict
//! that comes of it. The world is asked before the programs run, about this one packet. Not here: what the rules say.

mod effects;
pub mod filling;
mod kernel;

use std::net::SocketAddr;

use crate::artifact::{Artifact, AttachPoint, Program};
use crate::bpf::constant::{SK_PASS, TC_ACT_REDIRECT, TC_ACT_SHOT, XDP_DROP, XDP_REDIRECT, XDP_TX};
use crate::event::{Event, Header, Parsed, Transport, Verdict, World};
use crate::hook::Hook;
use crate::interpret::{
    self, Execution, Fault, Input, Lookup, Maps, Redirect, Skb, SocketModel, Xdp,
};
use crate::policy::{ClassId, Direction, Feed, GroupId, OutInterfaceId, Policy, Queue, SocketId};
pub use effects::Effects;
use kernel::Machine;

/// The interface that a packet arrives on or leaves by.
pub const INTERFACE: u32 = 1;
/// The interface that what passes through came in by.
pub(crate) const CAME_IN: u32 = 2;
/// The first of the interfaces that packets are sent out of, by [`OutInterfaceId`].
pub(crate) const FIRST_PORT: u32 = 100;

/// By so much the ids of two members of a name lie apart; the first has one more than the number of the name.
const MEMBER: u64 = 1 << 32;

/// What the programs did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What became of the event.
    pub verdict: Verdict,
    /// The mark that the packet goes on with, if a program at TC ran and let it pass.
    pub mark: Option<u32>,
    /// What they left in the maps.
    pub effects: Effects,
    /// The member of a named socket that got it, where that may have several.
    pub member: Option<u32>,
    /// Whether it got as far as a lookup program.
    pub looked_up: bool,
}

/// Runs every program that the event meets. `frame` holds the bytes of a packet; it is not looked at for other events.
///
/// # Errors
/// A fault of the bytecode, which is a bug in sockc.
pub fn simulate(
    policy: &Policy,
    artifact: &Artifact,
    event: &Event,
    frame: &[u8],
    world: &dyn World,
) -> Result<Ran, Fault> {
    run(policy, artifact, (event, event), frame, world)
}

/// The same of what a process does with addresses that stand for those of the event: `named` is the event with these.
///
/// # Errors
/// A fault of the bytecode, which is a bug in sockc.
pub fn simulate_named(
    policy: &Policy,
    artifact: &Artifact,
    (event, named): (&Event, &Event),
    world: &dyn World,
) -> Result<Ran, Fault> {
    run(policy, artifact, (event, named), &[], world)
}

fn run(
    policy: &Policy,
    artifact: &Artifact,
    (event, named): (&Event, &Event),
    frame: &[u8],
    world: &dyn World,
) -> Result<Ran, Fault> {
    let mut run = Run {
        policy,
        artifact,
        maps: Maps::new(&artifact.maps),
        machine: Machine::new(policy, event, world),
        mark: None,
        member: None,
        looked_up: false,
    };
    run.fill(event, world);
    let verdict = match named {
        Event::Packet {
            direction,
            class,
            packet,
        } => run.packet(*direction, *class, packet, frame)?,
        Event::Passing { leaves, packet, .. } => {
            run.packet(Direction::Forward, *leaves, packet, frame)?
        }
        Event::Lookup { header, .. } => run.looked_up(header)?,
        Event::Process {
            direction,
            group,
            header,
        } => run.done((*direction, *group), header)?,
    };
    Ok(Ran {
        verdict,
        mark: run.mark,
        member: run.member,
        effects: run.effects(event),
        looked_up: run.looked_up,
    })
}

/// A run in the making.
struct Run<'a> {
    policy: &'a Policy,
    artifact: &'a Artifact,
    maps: Maps,
    machine: Machine,
    mark: Option<u32>,
    member: Option<u32>,
    looked_up: bool,
}

impl Run<'_> {
    fn packet(
        &mut self,
        direction: Direction,
        class: ClassId,
        packet: &Parsed,
        frame: &[u8],
    ) -> Result<Verdict, Fault> {
        let points: &[AttachPoint] = match direction {
            Direction::In => &[AttachPoint::Xdp, AttachPoint::TcIn],
            _ => &[AttachPoint::TcOut],
        };
        for point in points {
            let input = input(point, direction, packet, frame);
            let Some(outcome) = self.run(point, Some(class), input)? else {
                continue;
            };
            if let Some(end) = end(point, &outcome) {
                return Ok(end);
            }
            self.mark = outcome.mark;
            if let Some(socket) = self.chosen(&outcome) {
                return Ok(Verdict::Redirect(socket));
            }
        }
        match packet {
            Parsed::Ip(header)
                if direction == Direction::In && header.is_looked_up(self.machine.own) =>
            {
                self.looked_up(header)
            }
            _ => Ok(Verdict::Allow),
        }
    }

    fn looked_up(&mut self, header: &Header) -> Result<Verdict, Fault> {
        let Some((from, to)) = ends(header) else {
            return Ok(Verdict::Allow);
        };
        let lookup = Lookup {
            protocol: header.protocol,
            remote: from,
            local: to,
            ingress_ifindex: INTERFACE,
        };
        let Some(outcome) = self.run(&AttachPoint::SkLookup, None, Input::Lookup(lookup))? else {
            return Ok(Verdict::Allow);
        };
        self.looked_up = true;
        let chosen = self.chosen(&outcome);
        Ok(match chosen {
            _ if outcome.code() != SK_PASS => Verdict::Reject,
            Some(socket) => Verdict::Redirect(socket),
            None => Verdict::Allow,
        })
    }

    /// The name whose socket a program gave away; which of its members that is, is noted.
    fn chosen(&mut self, outcome: &Execution) -> Option<SocketId> {
        let (socket, member) = outcome.assigned.and_then(|socket| self.named(socket))?;
        let data = self.policy.sockets.get(socket)?;
        self.member = (data.members > 1).then_some(member);
        Some(socket)
    }

    /// What a process does, at the hook that meets it. Whether the peer is in the group too is not known, so a shortcut
    /// shows as an allow.
    fn done(
        &mut self,
        (direction, group): (Direction, GroupId),
        header: &Header,
    ) -> Result<Verdict, Fault> {
        let name = &self.policy.groups[group].name;
        let mut plans = self.artifact.manifest.groups.iter();
        let place = plans.position(|plan| plan.name == *name);
        let hook = Hook::meeting(direction, header.family(), header.protocol);
        let (Some((from, to)), Some(place), Some(hook)) = (ends(header), place, hook) else {
            return Ok(Verdict::Allow);
        };
        let spec = hook.spec();
        let Some(input) = Input::of_process(spec.section, header.protocol, from, to) else {
            return Ok(Verdict::Allow);
        };
        let outcome = self.run(&(spec.attach)(place), None, input)?;
        let Some(outcome) = outcome else {
            return Ok(Verdict::Allow);
        };
        let fed = outcome.redirected.and_then(|redirect| self.fed(redirect));
        Ok(match fed {
            _ if outcome.code() != spec.codes.pass => Verdict::Drop,
            Some(feed) => Verdict::Feed(feed),
            None => Verdict::Allow,
        })
    }

    /// Runs the program at an attach point, if there is one.
    fn run(
        &mut self,
        point: &AttachPoint,
        class: Option<ClassId>,
        input: Input,
    ) -> Result<Option<Execution>, Fault> {
        let Some(program) = program(self.artifact, point, class) else {
            return Ok(None);
        };
        interpret::run(program, &mut self.maps, input, &mut self.machine).map(Some)
    }

    /// The queue that data was put into, if it is one of a named socket.
    fn fed(&self, redirect: Redirect) -> Option<Feed> {
        let (socket, _) = self.named(redirect.socket)?;
        let queue = match redirect.ingress {
            true => Queue::Input,
            false => Queue::Output,
        };
        let data = self.policy.sockets.get(socket)?;
        data.fed.then_some(Feed { socket, queue })
    }

    /// The name that a socket stands behind, and which of its members it is.
    fn named(&self, socket: SocketModel) -> Option<(SocketId, u32)> {
        let number = socket.id.checked_sub(1)?;
        let named = u32::try_from(number % MEMBER).ok()?;
        let member = u32::try_from(number / MEMBER).ok()?;
        Some((SocketId::from_u32(named), member))
    }
}

/// The program that holds at an attach point, for a class of interfaces if it is a packet hook's.
fn program<'a>(
    artifact: &'a Artifact,
    point: &AttachPoint,
    class: Option<ClassId>,
) -> Option<&'a Program> {
    let class = class.map(|class| class.as_u32() as usize);
    let mut attached = artifact.manifest.programs.iter();
    let attach = attached.find(|one| one.point == *point && one.class == class)?;
    let mut programs = artifact.programs.iter();
    programs.find(|program| program.name == attach.program)
}

/// What a packet hook is given.
fn input(point: &AttachPoint, direction: Direction, packet: &Parsed, frame: &[u8]) -> Input {
    if *point == AttachPoint::Xdp {
        return Input::Xdp(Xdp {
            ingress_ifindex: INTERFACE,
            ..Xdp::new(frame.to_vec())
        });
    }
    let leaves = *point == AttachPoint::TcOut;
    let mark = match packet {
        Parsed::Ip(header) => header.mark,
        Parsed::NotIp | Parsed::Malformed => 0,
    };
    Input::Skb(Skb {
        mark,
        ifindex: INTERFACE,
        ingress_ifindex: match (leaves, direction.passes()) {
            (true, true) => CAME_IN,
            (true, false) => 0,
            (false, _) => INTERFACE,
        },
        egress: leaves,
        ..Skb::new(frame.to_vec())
    })
}

/// The verdict, if a packet hook is the last to see the packet. An answer leaves by the interface it came in by; what
/// is rejected and cannot be answered is dropped.
fn end(point: &AttachPoint, outcome: &Execution) -> Option<Verdict> {
    let sent = outcome.forwarded.map(|forward| {
        let port = forward.ifindex.checked_sub(FIRST_PORT);
        port.map_or(Verdict::Reject, |port| {
            Verdict::Forward(OutInterfaceId::from_u32(port))
        })
    });
    // The numbers of the two hooks mean different things.
    match (*point == AttachPoint::Xdp, outcome.code()) {
        (true, XDP_TX) => Some(Verdict::Reject),
        (true, XDP_REDIRECT) | (false, TC_ACT_REDIRECT) => sent,
        (true, XDP_DROP) | (false, TC_ACT_SHOT) => Some(Verdict::Drop),
        _ => None,
    }
}

/// The sender's and the receiver's end, where there are ports.
fn ends(header: &Header) -> Option<(SocketAddr, SocketAddr)> {
    let (from, to) = match header.transport {
        Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => (from, to),
        Transport::Icmp { .. } | Transport::None => return None,
    };
    Some((
        SocketAddr::new(header.from, from),
        SocketAddr::new(header.to, to),
    ))
}
