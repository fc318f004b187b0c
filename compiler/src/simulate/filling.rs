//! What a runtime would fill the maps with, for one packet in a world that is known.

use std::net::{IpAddr, SocketAddr};

use super::{CAME_IN, FIRST_PORT, INTERFACE, MEMBER, Run};
use crate::artifact::{Artifact, Slot, in_slot};
use crate::bpf::constant::TCP_ESTABLISHED;
use crate::entry_table::{HEAD, Key, Piece, Plan, head_bits, value};
use crate::event::{Event, Header, World};
use crate::interpret::SocketModel;
use crate::lower::Meters;
use crate::policy::{Family, Per, Policy, RuleId, SocketId};
use crate::protocol::IpProtocol;

/// An element of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// The map's name in the object.
    pub map: String,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Everything but sockets that the maps must hold for the world's answers about one event to be theirs.
///
/// A rate that the packet does not fit in has an emptied bucket; the others have none here, which is a full one.
#[must_use]
pub fn entries(
    policy: &Policy,
    artifact: &Artifact,
    event: &Event,
    world: &dyn World,
) -> Vec<Element> {
    let header = event.header();
    let mut filling = Filling {
        policy,
        artifact,
        entries: Vec::new(),
    };
    filling.interfaces(event);
    if let Some(header) = header {
        filling.live_sets(header, world);
        filling.live_maps(header, world);
        filling.rates(header, world);
    }
    filling.entries
}

/// The slots of the map `sockets` with the sockets that they are for, and which of their members.
pub fn slots<'a>(
    policy: &'a Policy,
    artifact: &'a Artifact,
) -> impl Iterator<Item = (SocketId, u32, &'a Slot)> {
    let named = artifact.manifest.sockets.iter().filter_map(|named| {
        let mut sockets = policy.sockets.iter();
        let (socket, _) = sockets.find(|(_, one)| one.name == named.name)?;
        Some((socket, named))
    });
    named.flat_map(|(socket, named)| {
        let members = (0..named.members).cycle();
        members
            .zip(&named.slots)
            .map(move |(member, slot)| (socket, member, slot))
    })
}

/// Where the bucket stands that a packet takes tokens of, for the rate of a rule: the map and the key.
#[must_use]
pub fn bucket(policy: &Policy, rule: RuleId, header: &Header) -> Option<(&'static str, Vec<u8>)> {
    let rate = policy.rules[rule].rate?;
    let number = Meters::new(policy, 0).rule(rule)?;
    Some(match rate.per {
        None => ("rates", number.to_ne_bytes().to_vec()),
        Some(per) => {
            let end = if per.destination {
                header.to
            } else {
                header.from
            };
            ("buckets", bucket_key(number, end, per))
        }
    })
}

impl Run<'_> {
    /// Fills what the manifest speaks of. An update that a map refuses leaves it empty, and the verdict shows it.
    pub(super) fn fill(&mut self, event: &Event, world: &dyn World) {
        for entry in entries(self.policy, self.artifact, event, world) {
            if let Some(map) = self.maps.named(&entry.map) {
                let _ = self.maps.update(map, &entry.key, &entry.value, 0);
            }
        }
        if let Some(header) = event.header() {
            self.sockets(header, world);
            self.ends(header, world);
        }
    }

    /// Puts the sockets whose queues take data and that are there into their slots.
    fn ends(&mut self, header: &Header, world: &dyn World) {
        let Some(map) = self.maps.named("ends") else {
            return;
        };
        for plan in &self.artifact.manifest.ends {
            let mut sockets = self.policy.sockets.iter();
            let Some((socket, _)) = sockets.find(|(_, one)| one.name == plan.name) else {
                continue;
            };
            if !world.present(socket, header.family(), header.protocol) {
                continue;
            }
            let number = u64::from(socket.as_u32()) + 1;
            let somewhere = SocketAddr::new(header.to, 1);
            let model = SocketModel::listener(number, somewhere);
            let model = model.connected(TCP_ESTABLISHED, somewhere);
            let _ = self
                .maps
                .update_socket(map, &plan.index.to_ne_bytes(), model, 0);
        }
    }

    /// Puts the named sockets that are there into their slots.
    fn sockets(&mut self, header: &Header, world: &dyn World) {
        let Some(map) = self.maps.named("sockets") else {
            return;
        };
        for (socket, member, data) in slots(self.policy, self.artifact) {
            let (family, protocol) = (Family::of(data.address), data.protocol);
            let there = world.present(socket, family, protocol)
                && world.holds(socket, family, protocol, member);
            if !there || family != header.family() {
                continue;
            }
            let number = u64::from(socket.as_u32()) + 1 + u64::from(member) * MEMBER;
            // One that is handed over is bound somewhere, too.
            let address = SocketAddr::new(data.address, data.port.max(1));
            let model = match data.protocol {
                IpProtocol::TCP => SocketModel::listener(number, address),
                _ => SocketModel::udp(number, address),
            };
            let _ = self
                .maps
                .update_socket(map, &data.index.to_ne_bytes(), model, 0);
        }
    }
}

/// Entries in the making.
struct Filling<'a> {
    policy: &'a Policy,
    artifact: &'a Artifact,
    entries: Vec<Element>,
}

impl Filling<'_> {
    fn put(&mut self, map: &str, key: &[u8], value: &[u8]) {
        self.entries.push(Element {
            map: map.into(),
            key: key.into(),
            value: value.into(),
        });
    }

    fn interfaces(&mut self, event: &Event) {
        if let Some(class) = event.on() {
            let value = class.as_u32() + 1;
            let came_in = match event {
                Event::Passing { .. } => CAME_IN,
                _ => INTERFACE,
            };
            self.put("interfaces", &came_in.to_ne_bytes(), &value.to_ne_bytes());
        }
        for (port, _) in (0u32..).zip(&self.artifact.manifest.out_interfaces) {
            self.put("ports", &port.to_ne_bytes(), &in_slot(FIRST_PORT + port));
        }
        // The id of a namespace is its number here; the map holds one more.
        for (number, _) in (0u32..).zip(&self.artifact.manifest.namespaces) {
            let id = number + 1;
            self.put("namespaces", &number.to_ne_bytes(), &id.to_ne_bytes());
        }
    }

    /// The ends of the packet that are members, each as a prefix of its whole length.
    fn live_sets(&mut self, header: &Header, world: &dyn World) {
        for plan in &self.artifact.manifest.sets {
            let mut sets = self.policy.sets.iter();
            let Some((set, _)) = sets.find(|(_, one)| one.name == plan.name) else {
                continue;
            };
            for end in [header.from, header.to] {
                if world.member(set, end) {
                    let (family, bits, address) = whole(end);
                    let mut key = (8 + bits).to_ne_bytes().to_vec();
                    key.push(family);
                    key.extend(address);
                    key.extend([0; 3]);
                    // Both times, then the length.
                    let mut value = vec![0xff; 16];
                    value.extend(bits.to_ne_bytes());
                    value.extend([0; 4]);
                    self.put(&plan.map, &key, &value);
                }
            }
        }
    }

    /// The packet's entry, for every port.
    fn live_maps(&mut self, header: &Header, world: &dyn World) {
        for (map, live) in &self.policy.live_maps {
            let mut plans = self.artifact.manifest.maps.iter();
            let plan = plans.find(|plan| plan.name == live.name);
            let (Some(plan), Some(socket)) = (plan, world.entry(map, header)) else {
                continue;
            };
            let number = u16::try_from(socket.as_u32() + 1).unwrap_or_default();
            let values = match header.protocol {
                IpProtocol::TCP => [number, 0],
                IpProtocol::UDP => [0, number],
                _ => continue,
            };
            let (_, bits, _) = whole(header.to);
            let every = Piece { port: 0, bits: 0 };
            let key = Key::new(header.to, bits as u8, every);
            let made = Plan {
                seed: 0,
                side: 0,
                kinds: vec![key.kind()],
            };
            let head = key.hash(made.seed, head_bits(plan.max));
            // The state is 0: the first plan and the first value of a node hold.
            let mut first = 1_u32.to_ne_bytes().to_vec();
            first.resize(HEAD as usize, 0);
            let node = key.node(0, [value(values), 0]);
            self.put(
                &plan.plans,
                &[0; 4],
                &made.bytes(plan.max).unwrap_or_default(),
            );
            self.put(&plan.heads, &head.to_ne_bytes(), &first);
            self.put(&plan.nodes, &1_u32.to_ne_bytes(), &node);
        }
    }

    /// Empties the buckets of the rates that the packet does not fit in; untouched ones are full.
    fn rates(&mut self, header: &Header, world: &dyn World) {
        let policy = self.policy;
        for (id, rule) in &policy.rules {
            if rule.rate.is_none() || world.conforms(id, header) {
                continue;
            }
            if let Some((map, key)) = bucket(policy, id, header) {
                self.put(map, &key, &NEVER.to_ne_bytes());
            }
        }
    }
}

/// The time at which an emptied bucket would be full again.
pub(super) const NEVER: u64 = u64::MAX / 2;

/// The key of the bucket of an address.
fn bucket_key(number: u32, address: IpAddr, per: Per) -> Vec<u8> {
    let (family, _, mut bytes) = whole(address);
    let kept = u32::from(if address.is_ipv4() { per.v4 } else { per.v6 });
    for (at, byte) in (0u32..).zip(bytes.iter_mut()) {
        let mask = u8::MAX.checked_shl(8u32.saturating_sub(kept.saturating_sub(8 * at)));
        *byte &= mask.unwrap_or(0);
    }
    let mut key = number.to_ne_bytes().to_vec();
    key.extend(u32::from(family).to_ne_bytes());
    key.extend(bytes);
    key
}

/// An address as keys hold it: family, bits, and 16 bytes with zeros after those of IPv4.
fn whole(address: IpAddr) -> (u8, u32, [u8; 16]) {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            let (head, _) = bytes.split_at_mut(4);
            head.copy_from_slice(&v4.octets());
            (4, 32, bytes)
        }
        IpAddr::V6(v6) => (6, 128, v6.octets()),
    }
}
