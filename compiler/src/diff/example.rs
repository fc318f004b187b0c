//! The plainest packet of a region: one that a person would write down, and that both policies understand.
//!
//! Takes a region; gives the values of its fields. What a text cannot say (what a live map holds) is as it starts, where
//! the region has such a packet. Not here: the region in words.

use std::net::IpAddr;

use cranelift_entity::PrimaryMap;

use super::joint::Which;
use super::space::{Built, Space, metered};
use crate::diagram::classify::{member, sides, within};
use crate::diagram::plain::{plain_headers, preferred};
use crate::diagram::{BudgetExceeded, FieldValues, Node};
use crate::field::Field;
use crate::policy::{AddressSet, LiveEntry, LiveMapId, Policy, RuleId, SetId, SetKind, SocketId};

/// The values of the plainest packet of a region.
pub(super) fn plainest(
    space: &mut Space<'_, '_>,
    meters: &PrimaryMap<RuleId, RuleId>,
    region: Node,
) -> Result<Option<FieldValues>, BudgetExceeded> {
    let mut node = region;
    for &socket in space.joint.sockets.presence.values() {
        let there = space.is(Field::Absent(socket), 0)?;
        node = preferred(&mut space.store, node, there)?;
    }
    for started in as_started(space)? {
        node = preferred(&mut space.store, node, started)?;
    }
    let rates = metered(space.joint, meters);
    for answer in [1, 0] {
        let mut all = Node::TRUE;
        for &rate in &rates {
            let one = space.is(Field::Conforms(rate), answer)?;
            all = space.store.and(all, one)?;
        }
        node = preferred(&mut space.store, node, all)?;
    }
    node = plain_headers(&mut space.store, node)?;
    Ok(space.store.satisfy(node, 1))
}

/// For each live set and map of both policies 1 where it answers as it starts.
fn as_started(space: &mut Space<'_, '_>) -> Result<Vec<Node>, BudgetExceeded> {
    let joint = space.joint;
    let mut nodes = Vec::new();
    for which in Which::BOTH {
        let side = joint.side(which);
        for (own, set) in &side.policy.sets {
            if let SetKind::Live { start, .. } = &set.kind {
                nodes.push(set_as_started(space, side.ids.sets[own], start)?);
            }
        }
        for (own, map) in &side.policy.live_maps {
            let shared = side.ids.live_maps[own];
            let sockets = &side.ids.sockets;
            let first = |socket: SocketId| joint.sockets.named[sockets[socket]];
            let started = (side.policy, map.start.as_slice());
            nodes.push(map_as_started(space, shared, started, first)?);
        }
    }
    Ok(nodes)
}

fn set_as_started(space: &mut Space<'_, '_>, set: SetId, start: &[(IpAddr, u8)]) -> Built {
    let addresses = AddressSet::of_prefixes(start.iter().copied());
    let mut node = Node::TRUE;
    for side in sides() {
        let inside = within(&mut space.store, &addresses, &side)?;
        let answer = member(&mut space.store, set, &side)?;
        let other = space.store.not(answer)?;
        let alike = space.store.ite(inside, answer, other)?;
        node = space.store.and(node, alike)?;
    }
    Ok(node)
}

/// The most specific entry first, as the language says.
fn map_as_started(
    space: &mut Space<'_, '_>,
    map: LiveMapId,
    (policy, start): (&Policy, &[LiveEntry]),
    first: impl Fn(SocketId) -> SocketId,
) -> Built {
    let [_, to] = sides();
    let mut entries: Vec<&LiveEntry> = start.iter().collect();
    entries.sort_by_key(|entry| {
        let ports = entry.ports.1 - entry.ports.0;
        (
            entry.prefix.1,
            std::cmp::Reverse(ports),
            entry.protocol.is_some(),
        )
    });
    let mut node = space.is(Field::Entry(map), 0)?;
    for entry in entries {
        let prefix = AddressSet::of_prefixes([entry.prefix]);
        let mut covered = within(&mut space.store, &prefix, &to)?;
        let (low, high) = (entry.ports.0.into(), entry.ports.1.into());
        let ports = space
            .store
            .range(Field::ToPort, low, high, Node::TRUE, Node::FALSE)?;
        covered = space.store.and(covered, ports)?;
        let mut spoken = Node::FALSE;
        for protocol in entry.protocols(policy) {
            let named = space.is(Field::Protocol, protocol.into())?;
            spoken = space.store.or(spoken, named)?;
        }
        covered = space.store.and(covered, spoken)?;
        let number = first(entry.socket).as_u32() + 1;
        let says = space.is(Field::Entry(map), number)?;
        node = space.store.ite(covered, says, node)?;
    }
    Ok(node)
}
