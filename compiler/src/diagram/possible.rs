//! Which values of the fields a well-formed packet can have.
//!
//! A diagram speaks of every value that its bits can hold. What is said of packets has to leave out those that none has:
//! a packet shorter than its headers, a fourth kind of fragment, an interface of no class.

use std::collections::BTreeSet;

use super::classify::{protocol as protocol_is, sides, within};
use super::{BudgetExceeded, Node, Store};
use crate::event::Fragment;
use crate::field::Field;
use crate::hook::Hook;
use crate::packet::{longest_length, shortest_length};
use crate::policy::{ClassId, Direction, Family, Policy};
use crate::protocol::IpProtocol;
use crate::values::addresses::never_reached;

type Built = Result<Node, BudgetExceeded>;

/// 1 for the packets (or, for `send`, the connections) of a direction that there can be.
pub fn possible(store: &mut Store, policy: &Policy, direction: Direction) -> Built {
    let mut node = lengths(store)?;
    for field in Field::of(policy) {
        let high = match field {
            Field::Interface | Field::Leaving => policy.classes.len() as u32 - 1,
            Field::Entry(_) => policy.sockets.len() as u32,
            other => other.max(),
        };
        let within = store.range(field, 0, high, Node::TRUE, Node::FALSE)?;
        node = store.and(node, within)?;
    }
    let beyond = beyond_direction(store, policy, direction)?;
    let node = store.and(node, beyond)?;
    if !direction.passes() {
        return Ok(node);
    }
    let classes = policy.classes.keys();
    let through = through(store, classes.filter(|one| policy.is_one_interface(*one)))?;
    store.and(node, through)
}

/// 1 for what leaves by another interface than that by which it came in, where each of these classes is one interface.
pub(crate) fn through(store: &mut Store, alone: impl Iterator<Item = ClassId>) -> Built {
    let mut node = Node::TRUE;
    for class in alone {
        let number = class.as_u32();
        let other = store.range(Field::Leaving, number, number, Node::FALSE, Node::TRUE)?;
        let came_in = store.range(Field::Interface, number, number, Node::TRUE, Node::FALSE)?;
        node = store.ite(came_in, other, node)?;
    }
    Ok(node)
}

/// What the direction rules out: a socket of what passes through, a tag that its packets never have, an address that stands for another.
fn beyond_direction(store: &mut Store, policy: &Policy, direction: Direction) -> Built {
    let protocols: BTreeSet<IpProtocol> = Hook::of(direction)
        .filter(|hook| hook.is_process())
        .flat_map(|hook| hook.spec().sees.protocols)
        .copied()
        .collect();
    if direction.passes() {
        return store.range(Field::Socket, 0, 0, Node::TRUE, Node::FALSE);
    }
    if protocols.is_empty() {
        return Ok(Node::TRUE);
    }
    let mut node = Node::FALSE;
    for number in protocols {
        let one = protocol_is(store, number)?;
        node = store.or(node, one)?;
    }
    let nothing = Field::of(policy).into_iter().filter(|field| {
        matches!(
            field,
            Field::Fragment | Field::Socket | Field::SocketIn(_) | Field::Vlan
        )
    });
    for field in nothing {
        let none = store.range(field, 0, 0, Node::TRUE, Node::FALSE)?;
        node = store.and(node, none)?;
    }
    let [from, to] = sides();
    let known = std::iter::once(to).chain(direction.has_sender().then_some(from));
    for side in known {
        let others = within(store, &never_reached(direction), &side)?;
        let reached = store.not(others)?;
        node = store.and(node, reached)?;
    }
    Ok(node)
}

/// 1 where the length has room for the headers.
fn lengths(store: &mut Store) -> Built {
    let mut families = [Node::FALSE; 2];
    for (node, family) in families.iter_mut().zip([Family::V4, Family::V6]) {
        *node = family_lengths(store, family)?;
    }
    store.range(Field::Family, 0, 0, families[0], families[1])
}

fn family_lengths(store: &mut Store, family: Family) -> Built {
    let parts = [Fragment::Whole, Fragment::First, Fragment::Later];
    let mut node = Node::FALSE;
    for (number, fragment) in (0u32..).zip(parts) {
        let lengths = lengths_of(store, family, fragment)?;
        node = store.range(Field::Fragment, number, number, lengths, node)?;
    }
    Ok(node)
}

/// Protocols with a transport header that is looked at have a length of their own; the others share one.
fn lengths_of(store: &mut Store, family: Family, fragment: Fragment) -> Built {
    let length = |store: &mut Store, number: IpProtocol| {
        let low = shortest_length(family, number, fragment);
        store.range(
            Field::Length,
            low,
            longest_length(family),
            Node::TRUE,
            Node::FALSE,
        )
    };
    // Protocol 255 is reserved and has no header.
    let mut node = length(store, IpProtocol(255))?;
    let icmp = family.icmp();
    for number in [IpProtocol::TCP, IpProtocol::UDP, IpProtocol::SCTP, icmp] {
        let own = length(store, number)?;
        node = store.range(Field::Protocol, number.into(), number.into(), own, node)?;
    }
    extension_headers_are_no_protocol(store, family, node)
}

/// Over IPv6, a packet's protocol is never an extension header that is walked, except in later fragments.
fn extension_headers_are_no_protocol(store: &mut Store, family: Family, node: Node) -> Built {
    if family == Family::V4 {
        return Ok(node);
    }
    let walked: Vec<(u32, u32)> = (0..=u8::MAX)
        .map(IpProtocol)
        .filter(|number| number.is_extension())
        .map(|number| (number.into(), number.into()))
        .collect();
    let later = store.range(Field::Fragment, 2, 2, node, Node::FALSE)?;
    store.ranges(Field::Protocol, &walked, later, node)
}
