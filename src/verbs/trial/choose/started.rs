//! What the lab answers when a packet's fields are questions: sets, live maps, named sockets, rates.
//!
//! Takes a region; gives the part of it for which sets and maps hold what they start with, every named socket is there, and
//! every rate fits. Some of it may be left free, since the lab can change it for one packet.

use std::cmp::Reverse;

use sockc_compiler::diagram::classify::{member, sides, within};
use sockc_compiler::diagram::{BudgetExceeded, Node, Store};
use sockc_compiler::field::Field;
use sockc_compiler::policy::{
    AddressSet, Family, LiveEntry, LiveMapId, Policy, SetId, SetKind, SocketId,
};
use sockc_compiler::protocol::IpProtocol;

type Built = Result<Node, BudgetExceeded>;

/// What may be otherwise than at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Free {
    /// What live sets hold.
    pub(super) sets: bool,
    /// Which named sockets are there.
    pub(super) sockets: bool,
}

impl Free {
    /// The less that is changed, the better.
    pub(super) const ORDER: [Self; 3] = [
        Self {
            sets: false,
            sockets: false,
        },
        Self {
            sets: true,
            sockets: false,
        },
        Self {
            sets: true,
            sockets: true,
        },
    ];
}

/// The packets of the region that there are in the lab. Only questions that the region asks are answered.
pub(super) fn as_started(store: &mut Store, policy: &Policy, region: Node, free: Free) -> Built {
    let asked: Vec<Field> = store.fields(region).iter().collect();
    let mut node = region;
    for field in asked {
        let answers = match field {
            Field::ToIn(set) | Field::FromIn(set) => membership(store, policy, field, set, free)?,
            Field::Absent(socket) => presence(store, policy, socket, free)?,
            Field::Entry(map) => entry(store, policy, map)?,
            Field::Conforms(_) => is(store, field, 1)?,
            _ => continue,
        };
        node = store.and(node, answers)?;
    }
    Ok(node)
}

/// Exactly this value.
fn is(store: &mut Store, field: Field, value: u32) -> Built {
    store.range(field, value, value, Node::TRUE, Node::FALSE)
}

fn membership(store: &mut Store, policy: &Policy, field: Field, set: SetId, free: Free) -> Built {
    let contents = match &policy.sets[set].kind {
        SetKind::Constant(contents) => contents.clone(),
        SetKind::Live { .. } if free.sets => return Ok(Node::TRUE),
        SetKind::Live { start, .. } => AddressSet::of_prefixes(start.iter().copied()),
    };
    let [from, to] = sides();
    let side = if matches!(field, Field::ToIn(_)) {
        to
    } else {
        from
    };
    let inside = within(store, &contents, &side)?;
    let yes = member(store, set, &side)?;
    let no = store.not(yes)?;
    store.ite(inside, yes, no)
}

/// A named socket is there for what it may hold, and absent for the rest.
fn presence(store: &mut Store, policy: &Policy, socket: SocketId, free: Free) -> Built {
    let mut families = [Node::FALSE; 2];
    for (node, family) in families.iter_mut().zip([Family::V4, Family::V6]) {
        let held: Vec<(u32, u32)> = IpProtocol::WITH_SOCKETS
            .into_iter()
            .filter(|&protocol| policy.sockets[socket].may_hold(family, protocol))
            .map(|protocol| (protocol.into(), protocol.into()))
            .collect();
        *node = store.ranges(Field::Protocol, &held, Node::TRUE, Node::FALSE)?;
    }
    let may = store.range(Field::Family, 0, 0, families[0], families[1])?;
    let absent = is(store, Field::Absent(socket), 1)?;
    if free.sockets {
        return store.or(absent, may);
    }
    let present = store.not(absent)?;
    store.ite(may, present, absent)
}

/// The entry that a live map has at the start: the most specific one that covers the packet.
fn entry(store: &mut Store, policy: &Policy, map: LiveMapId) -> Built {
    let field = Field::Entry(map);
    let mut entries = policy.live_maps[map].start.clone();
    entries.sort_by_key(|entry| {
        let (low, high) = entry.ports;
        let width = high.saturating_sub(low);
        (entry.prefix.1, Reverse(width), entry.protocol.is_some())
    });
    let mut node = is(store, field, 0)?;
    for one in entries {
        let covered = covered(store, &one)?;
        let named = is(store, field, one.socket.as_u32() + 1)?;
        node = store.ite(covered, named, node)?;
    }
    Ok(node)
}

/// 1 for the packets that an entry covers.
fn covered(store: &mut Store, entry: &LiveEntry) -> Built {
    let [_, to] = sides();
    let mut node = within(store, &AddressSet::of_prefixes([entry.prefix]), &to)?;
    let (low, high) = entry.ports;
    let ports = store.range(
        Field::ToPort,
        low.into(),
        high.into(),
        Node::TRUE,
        Node::FALSE,
    )?;
    let numbers: Vec<(u32, u32)> = match entry.protocol {
        Some(number) => vec![(number.into(), number.into())],
        None => vec![(6, 6), (17, 17)],
    };
    let protocols = store.ranges(Field::Protocol, &numbers, Node::TRUE, Node::FALSE)?;
    let readable = store.range(Field::Fragment, 2, 2, Node::FALSE, Node::TRUE)?;
    for part in [ports, protocols, readable] {
        node = store.and(node, part)?;
    }
    Ok(node)
}
