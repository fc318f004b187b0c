//! The packets that a line speaks of, as a diagram.

use crate::coverage::Coverage;
use crate::diagram::classify::{Scope, match_diagram, may_hold, member, protocol, sides, within};
use crate::diagram::possible::possible;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::direction::PacketEnd;
use crate::event::{Event, Parsed};
use crate::field::Field;
use crate::policy::{
    AddressSet, ClassId, Condition, Direction, Endpoint, Expect, GroupId, LiveEntry, LiveMapId,
    Match, Policy, Region, Rule, SetKind, Side, SocketId,
};
use crate::protocol::IpProtocol;

type Built = Result<Node, BudgetExceeded>;

/// 1 for the packets of the region, in every world in which the line must hold.
pub(super) fn region(
    store: &mut Store,
    policy: &Policy,
    region: &Region,
    group: Option<GroupId>,
) -> Built {
    let mut node = match_diagram(store, &region.matches, Scope { group })?;
    let possible = possible(store, policy, region.direction)?;
    node = store.and(node, possible)?;
    for socket in policy.sockets.keys() {
        let presence = presence(store, policy, region, socket)?;
        node = store.and(node, presence)?;
    }
    for (set, addresses) in &region.members {
        for side in sides() {
            let named = within(store, addresses, &side)?;
            let member = member(store, *set, &side)?;
            let other = store.not(member)?;
            let known = store.ite(named, member, other)?;
            node = store.and(node, known)?;
        }
    }
    if let (Some(own), Some(end)) = (region.own, region.direction.own_end()) {
        let [from, to] = sides();
        let side = match end {
            PacketEnd::From => from,
            PacketEnd::To => to,
        };
        let held = member(store, own, &side)?;
        node = store.and(node, held)?;
    }
    for (map, entries) in &region.contents {
        let held = holds(store, policy, *map, entries)?;
        node = store.and(node, held)?;
    }
    if let Some(exceeded) = region.rate_exceeded {
        let conforms = u32::from(!exceeded);
        let metered = Field::of(policy).into_iter();
        for field in metered.filter(|field| matches!(field, Field::Conforms(_))) {
            let so = store.range(field, conforms, conforms, Node::TRUE, Node::FALSE)?;
            node = store.and(node, so)?;
        }
    }
    Ok(node)
}

/// 1 where a live map answers as one that holds these entries, the most specific first.
fn holds(store: &mut Store, policy: &Policy, map: LiveMapId, entries: &[LiveEntry]) -> Built {
    let [_, to] = sides();
    let field = Field::Entry(map);
    let mut node = store.range(field, 0, 0, Node::TRUE, Node::FALSE)?;
    for entry in entries.iter().rev() {
        let mut covered = within(store, &AddressSet::of_prefixes([entry.prefix]), &to)?;
        let (low, high) = (entry.ports.0.into(), entry.ports.1.into());
        let ports = store.range(Field::ToPort, low, high, Node::TRUE, Node::FALSE)?;
        covered = store.and(covered, ports)?;
        let mut spoken = Node::FALSE;
        for number in entry.protocols(policy) {
            let named = protocol(store, number)?;
            spoken = store.or(spoken, named)?;
        }
        covered = store.and(covered, spoken)?;
        let number = entry.socket.as_u32() + 1;
        let says = store.range(field, number, number, Node::TRUE, Node::FALSE)?;
        node = store.ite(covered, says, node)?;
    }
    Ok(node)
}

/// 1 for packets of interfaces that the policy may be on.
pub(super) fn covered(
    store: &mut Store,
    policy: &Policy,
    direction: Direction,
    coverage: &Coverage,
) -> Built {
    let classes = coverage.numbers(policy);
    let held = match direction.passes() {
        true => Field::Leaving,
        false => Field::Interface,
    };
    store.ranges(held, &classes, Node::TRUE, Node::FALSE)
}

/// The classes of interfaces that a region names, of those that the policy has to be on to decide.
pub(super) fn classes(region: &Region) -> &[ClassId] {
    region.matches.held_on(region.direction).unwrap_or_default()
}

/// A malformed packet of a region, on an interface of this class where the policy would decide it.
pub(super) fn malformed(policy: &Policy, region: &Region, held: ClassId) -> Event {
    let mut came_in = region.matches.on.iter().flatten();
    let came_in = came_in.find(|class| policy.lead_through(**class, held));
    let on = match region.direction.passes() {
        true => came_in.copied().unwrap_or(Policy::plain_class()),
        false => held,
    };
    Event::of_packet(region.direction, [on, held], Parsed::Malformed)
}

/// A named socket is there for what it may hold, unless the line says that it is not; for the rest it is absent.
fn presence(store: &mut Store, policy: &Policy, region: &Region, socket: SocketId) -> Built {
    let absent = store.range(Field::Absent(socket), 1, 1, Node::TRUE, Node::FALSE)?;
    let may = may_hold(store, &policy.sockets[socket])?;
    if said_absent(&region.matches.conditions, socket) {
        return store.or(absent, may);
    }
    let present = store.not(absent)?;
    store.ite(may, present, absent)
}

fn said_absent(conditions: &[Condition], socket: SocketId) -> bool {
    conditions.contains(&Condition::SockAbsent(socket))
}

/// 1 where the named socket is there for the packet.
pub(super) fn held(store: &mut Store, policy: &Policy, socket: SocketId) -> Built {
    let present = store.range(Field::Absent(socket), 0, 0, Node::TRUE, Node::FALSE)?;
    let may = may_hold(store, &policy.sockets[socket])?;
    store.and(may, present)
}

/// Those of the packets for which the constant sets answer as their contents say. Only sets that the packets depend on
/// are looked at, since their diagrams may be large.
pub(super) fn with_constant_sets(store: &mut Store, policy: &Policy, packets: Node) -> Built {
    let mut node = packets;
    for (set, data) in &policy.sets {
        let SetKind::Constant(contents) = &data.kind else {
            continue;
        };
        let tested = store.fields(node);
        for (side, field) in sides()
            .into_iter()
            .zip([Field::FromIn(set), Field::ToIn(set)])
        {
            if !tested.contains(field) || node == Node::FALSE {
                continue;
            }
            let inside = within(store, contents, &side)?;
            let yes = store.range(field, 1, 1, Node::TRUE, Node::FALSE)?;
            let no = store.not(yes)?;
            let answers = store.ite(inside, yes, no)?;
            node = store.and(node, answers)?;
        }
    }
    Ok(node)
}

/// Whether a rule and a line clearly share no packet, by protocols and addresses alone.
pub(crate) fn disjoint(rule: &Rule, expect: &Expect) -> bool {
    let (rule, line) = (&rule.matches, &expect.region.matches);
    protocols_disjoint(rule, line)
        || sides_disjoint(rule.from.as_ref(), line.from.as_ref())
        || sides_disjoint(rule.to.as_ref(), line.to.as_ref())
}

fn protocols_disjoint(rule: &Match, line: &Match) -> bool {
    let shared = |number: IpProtocol| line.protocols.iter().any(|one| one.number == number);
    !rule.protocols.is_empty()
        && !line.protocols.is_empty()
        && !rule.protocols.iter().any(|one| shared(one.number))
}

fn sides_disjoint(rule: Option<&Side>, line: Option<&Side>) -> bool {
    let (
        Some(Side::Endpoints {
            negated: false,
            endpoints: rule,
        }),
        Some(Side::Endpoints {
            negated: false,
            endpoints: line,
        }),
    ) = (rule, line)
    else {
        return false;
    };
    rule.iter()
        .all(|one| line.iter().all(|other| endpoints_disjoint(one, other)))
}

fn endpoints_disjoint(one: &Endpoint, other: &Endpoint) -> bool {
    let ports = match (&one.ports, &other.ports) {
        (Some(one), Some(other)) => !one.meets(other),
        _ => false,
    };
    let addresses = match (one.addresses.ranges(), other.addresses.ranges()) {
        (Some(one), Some(other)) => !one.v4.meets(&other.v4) && !one.v6.meets(&other.v6),
        _ => false,
    };
    ports || addresses
}
