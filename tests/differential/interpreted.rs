//! Our own interpreter's answer on the emitted bytes, and the diagrams' answer, with made-up sockets in every state.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sockc_compiler::artifact::Program;
use sockc_compiler::diagram::flatten::Flat;
use sockc_compiler::diagram::values::values_of;
use sockc_compiler::event::{
    Decider, Decision, Header, Parsed, SocketAnswer, Transport, Verdict, World,
};
use sockc_compiler::field::Field;
use sockc_compiler::hook::Hook;
use sockc_compiler::interpret::{
    self, Input, Kernel, Lookup, LookupKind, Maps, Netns, Skb, SocketModel, Tuple, Xdp,
};
use sockc_compiler::packet::parse::{Layout, parse};
use sockc_compiler::policy::Direction;
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::simulate::filling::slots;
use sockc_testing::Rng;

use crate::Subject;
use crate::cases::{frames, lookups};
use crate::drawn::Drawn;
use crate::expected::{Expected, Totals};
use crate::world::{Flow, Flows, Place, place};

const ESTABLISHED_STATES: [i32; 4] = [1, 2, 6, 8];
const LISTENING_STATES: [i32; 2] = [10, 12];

/// One flow in three has no socket, one a listener, one a connection: a function of the flow.
pub(crate) fn made_up(flow: Flow) -> SocketAnswer {
    match digest(flow) % 3 {
        0 => SocketAnswer::None,
        1 => SocketAnswer::Listening,
        _ => SocketAnswer::Established,
    }
}

fn digest(flow: Flow) -> usize {
    let address = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(v4) => u128::from(v4.to_bits()),
        std::net::IpAddr::V6(v6) => v6.to_bits(),
    };
    let mix = address(flow.from.0)
        .wrapping_mul(31)
        .wrapping_add(address(flow.to.0).wrapping_mul(17))
        .wrapping_add(u128::from(flow.from.1) * 7 + u128::from(flow.to.1) * 3)
        .wrapping_add(u128::from(flow.protocol.0));
    (mix % 1009) as usize
}

/// The kernel of the made-up world.
struct MadeUp;

impl Kernel for MadeUp {
    fn lookup(&mut self, kind: LookupKind, tuple: Tuple, netns: Netns) -> Option<SocketModel> {
        assert_eq!(netns, Netns::Current);
        let (from, to) = (tuple.source, tuple.destination);
        let protocol = if kind == LookupKind::Udp {
            IpProtocol::UDP
        } else {
            IpProtocol::TCP
        };
        let flow = Flow {
            protocol,
            from: (from.ip(), from.port()),
            to: (to.ip(), to.port()),
        };
        let number = digest(flow);
        match (made_up(flow), protocol) {
            (SocketAnswer::None, _) => None,
            (SocketAnswer::Listening, IpProtocol::TCP) => {
                Some(SocketModel::listener(1, to).connected(LISTENING_STATES[number % 2], from))
            }
            (SocketAnswer::Established, IpProtocol::TCP) => {
                Some(SocketModel::listener(2, to).connected(ESTABLISHED_STATES[number % 4], from))
            }
            (SocketAnswer::Listening, _) => Some(SocketModel::udp(3, to)),
            (SocketAnswer::Established, _) => Some(SocketModel::udp(4, to).connected(1, from)),
        }
    }

    fn now(&mut self) -> u64 {
        0
    }

    fn netns_cookie(&mut self) -> u64 {
        1
    }
}

/// A policy's programs and maps in the interpreter.
struct Machine<'a> {
    subject: &'a Subject,
    maps: Maps,
    cookies: BTreeMap<Place, u64>,
}

/// Compares one policy with the interpreter and the diagrams on many packets.
pub(crate) fn check(
    subject: &Subject,
    rng: &mut Rng,
    packets: usize,
    looked_up: usize,
    drawn: &mut Drawn,
) {
    let mut machine = Machine::new(subject, rng);
    let world = Flows {
        answers: &made_up,
        there: machine.cookies.keys().copied().collect(),
    };
    let mut expected = Expected {
        policy: &subject.policy,
        manifest: &subject.built.artifact.manifest,
        totals: Totals::default(),
    };
    for (_, frame) in frames(&subject.policy, rng, packets) {
        for direction in [Direction::In, Direction::Out] {
            let packet = parse(&frame, Layout::Ethernet);
            let linear = rng.below(frame.len() + 1);
            let Some(passes) = machine.run(direction, &frame, linear) else {
                continue;
            };
            let (wanted, decision) = expected.packet(direction, packet.clone(), &world);
            drawn.note(&packet, &decision);
            assert_eq!(
                passes, wanted,
                "{}\n{direction:?} {packet:?}\n{decision:?}",
                subject.text
            );
            if let Parsed::Ip(header) = packet {
                diagram_agrees(subject, direction, &header, &decision, &world);
            }
        }
    }
    for header in lookups(&subject.policy, rng, looked_up) {
        let Some(found) = machine.look_up(&header) else {
            break;
        };
        let decision = expected.lookup(header.clone(), &world);
        let wanted = match decision.verdict {
            Verdict::Redirect(socket) => {
                let member = decision.member.unwrap_or(0);
                let place = (socket, header.family(), header.protocol, member);
                (true, Some(machine.cookies[&place]))
            }
            Verdict::Reject => (false, None),
            _ => (true, None),
        };
        assert_eq!(found, wanted, "{}\n{header:?}\n{decision:?}", subject.text);
    }
    assert_eq!(machine.totals(), expected.totals, "{}", subject.text);
}

/// The diagram of the hook where the decider counts names the same entry.
fn diagram_agrees(
    subject: &Subject,
    direction: Direction,
    header: &Header,
    decision: &Decision,
    world: &Flows<'_>,
) {
    let Decider::Rule(rule) = decision.decider else {
        return;
    };
    let values = values_of(header, world.socket(direction, None, header));
    // Where a bulk rule decides, it is the first match of them. Where another rule does, their first match stands after it, or there is none.
    let bulk = subject.built.bulk.as_ref();
    let group = bulk.and_then(|bulk| {
        let mut groups = bulk.groups.iter();
        groups.find(|group| group.members.contains(&rule))
    });
    let values = values.with(Field::FirstMatch, group.map_or(0, |group| group.number));
    let rule = match (bulk, group) {
        (_, Some(group)) => group.rule,
        (Some(bulk), None) => {
            let mut rules = bulk.policy.rules.keys();
            rules.find(|&one| bulk.origin(one) == rule).unwrap()
        }
        (None, None) => rule,
    };
    for (chain, roots) in subject.built.chains.iter().zip(&subject.built.decisions) {
        let home = chain
            .entries
            .iter()
            .any(|entry| entry.rule == rule && entry.counts);
        if !home || chain.hook == Hook::SkLookup {
            continue;
        }
        let flat: &Flat = &roots.decision;
        let entry = chain.entries.get(flat.evaluate(&values) as usize);
        assert_eq!(
            entry.map(|entry| entry.rule),
            Some(rule),
            "{}\n{header:?}",
            subject.text
        );
    }
}

impl<'a> Machine<'a> {
    /// Fills some of the slots.
    fn new(subject: &'a Subject, rng: &mut Rng) -> Self {
        let artifact = &subject.built.artifact;
        let mut maps = Maps::new(&artifact.maps);
        let mut cookies = BTreeMap::new();
        let sockets = maps.named("sockets");
        for (socket, member, slot) in slots(&subject.policy, artifact) {
            let Some(map) = sockets else { continue };
            // One that is handed over is bound somewhere, too.
            let local = SocketAddr::new(slot.address, slot.port.max(1));
            let cookie = 100 + u64::from(slot.index);
            if rng.chance(1, 3) {
                // A closed socket is nobody in one of several places.
                if subject.policy.sockets[socket].members > 1 && slot.protocol == IpProtocol::UDP {
                    let closed = SocketModel::udp(cookie, SocketAddr::new(slot.address, 0));
                    maps.update_socket(map, &slot.index.to_ne_bytes(), closed, 0)
                        .unwrap();
                }
                continue;
            }
            let model = match slot.protocol {
                IpProtocol::TCP => SocketModel::listener(cookie, local),
                _ => SocketModel::udp(cookie, local),
            };
            maps.update_socket(map, &slot.index.to_ne_bytes(), model, 0)
                .unwrap();
            cookies.insert(place(socket, member, slot), cookie);
        }
        Self {
            subject,
            maps,
            cookies,
        }
    }

    fn program(&self, name: &str) -> Option<&'a Program> {
        let programs = &self.subject.built.artifact.programs;
        programs.iter().find(|program| program.name == name)
    }

    /// Whether the packet hooks of a direction let the frame pass; `None` where there are none.
    fn run(&mut self, direction: Direction, frame: &[u8], linear: usize) -> Option<bool> {
        let names: &[(&str, i32)] = match direction {
            Direction::In => &[("xdp_in", 2), ("tc_in", -1)],
            _ => &[("tc_out", -1)],
        };
        let mut passes = None;
        for &(name, pass) in names {
            let Some(program) = self.program(name) else {
                continue;
            };
            let input = match name {
                "xdp_in" => Input::Xdp(Xdp::new(frame.to_vec())),
                _ => Input::Skb(Skb {
                    egress: direction == Direction::Out,
                    ..Skb::new(frame.to_vec()).with_linear(linear)
                }),
            };
            let outcome = interpret::run(program, &mut self.maps, input, &mut MadeUp);
            let outcome = outcome.unwrap_or_else(|fault| {
                panic!("{}\n{name}: {fault}\n{frame:02x?}", self.subject.text)
            });
            passes = Some(outcome.code() == pass);
            if outcome.code() != pass {
                break;
            }
        }
        passes
    }

    fn look_up(&mut self, header: &Header) -> Option<(bool, Option<u64>)> {
        let program = self.program("lookup")?;
        let (from, to) = match header.transport {
            Transport::Tcp { from, to, .. } | Transport::Ports { from, to } => (from, to),
            Transport::None | Transport::Icmp { .. } => (0, 0),
        };
        let input = Input::Lookup(Lookup {
            protocol: header.protocol,
            remote: SocketAddr::new(header.from, from),
            local: SocketAddr::new(header.to, to),
            ingress_ifindex: 1,
        });
        let outcome = interpret::run(program, &mut self.maps, input, &mut MadeUp);
        let outcome =
            outcome.unwrap_or_else(|fault| panic!("{}\nlookup: {fault}", self.subject.text));
        Some((
            outcome.code() == 1,
            outcome.assigned.map(|socket| socket.id),
        ))
    }

    fn totals(&self) -> Totals {
        let slots = 0..self.subject.built.artifact.manifest.counters.len();
        let packets = slots.filter_map(|slot| {
            let [packets, _] = self.maps.counted(slot as u32)?;
            (packets > 0).then_some((slot, packets))
        });
        Totals(packets.collect())
    }
}
