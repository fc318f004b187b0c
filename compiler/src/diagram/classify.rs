//! What a rule matches, as a diagram with the terminals 0 and 1.
//!
//! A field is tested only where it exists (`docs/meaning.md#fragments-ports-and-types`): guards come from the same few functions for
//! every construct, so that equal meanings get equal nodes. The oracle is `decide::matches`, written apart from this.

use std::collections::BTreeSet;

use super::{BudgetExceeded, Node, Store};
use crate::field::{FROM, Field, TO};
use crate::header_field::{Exists, HeaderField, Row, row};
use crate::packet::longest_length;
use crate::policy::{
    AddressSet, Addresses, Condition, Direction, Endpoint, Family, FieldTest, GroupId, Match,
    ProtocolMatch, Rate, RateUnit, Rule, RuleId, SetId, Side, Socket, SocketState,
};
use crate::protocol::IpProtocol;

type Built = Result<Node, BudgetExceeded>;

/// The sender's side and the receiver's.
#[must_use]
pub fn sides() -> [SideFields; 2] {
    [FROM_SIDE, TO_SIDE]
}

/// Whose packets or writes a diagram speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The group of the writing socket, for `send`.
    pub group: Option<GroupId>,
}

/// The fields of one side of a packet.
pub struct SideFields {
    words: [Field; 4],
    port: Field,
    member: fn(SetId) -> Field,
}

const FROM_SIDE: SideFields = SideFields {
    words: FROM,
    port: Field::FromPort,
    member: Field::FromIn,
};
const TO_SIDE: SideFields = SideFields {
    words: TO,
    port: Field::ToPort,
    member: Field::ToIn,
};

/// 1 for the packets of the scope that the rule speaks of; a rule `at sk_lookup` speaks of new flows only.
pub fn rule_diagram(store: &mut Store, id: RuleId, rule: &Rule, scope: Scope) -> Built {
    let matched = rate_and_match(store, id, rule, scope)?;
    if !rule.in_lookup() {
        return Ok(matched);
    }
    let new = new_flow(store)?;
    store.and(matched, new)
}

/// The same, wherever the rule says it runs.
pub(crate) fn rate_and_match(store: &mut Store, id: RuleId, rule: &Rule, scope: Scope) -> Built {
    let matched = match_diagram(store, &rule.matches, scope)?;
    let Some(rate) = &rule.rate else {
        return Ok(matched);
    };
    let rate = rate_diagram(store, id, (rule.direction, rate))?;
    store.and(matched, rate)
}

/// 1 for the packets of the scope for which every part of the match holds.
pub fn match_diagram(store: &mut Store, matches: &Match, scope: Scope) -> Built {
    let mut node = protocols_diagram(store, &matches.protocols)?;
    for (side, fields) in [(&matches.to, TO_SIDE), (&matches.from, FROM_SIDE)] {
        if let Some(side) = side {
            let part = side_diagram(store, side, &fields, scope)?;
            node = store.and(node, part)?;
        }
    }
    let named = [
        (&matches.on, Field::Interface),
        (&matches.leaves, Field::Leaving),
    ];
    for (classes, field) in named {
        if let Some(classes) = classes {
            let ranges = points(classes.iter().map(|class| class.as_u32()));
            let part = store.ranges(field, &ranges, Node::TRUE, Node::FALSE)?;
            node = store.and(node, part)?;
        }
    }
    for condition in &matches.conditions {
        let part = condition_diagram(store, condition)?;
        node = store.and(node, part)?;
    }
    Ok(node)
}

/// 1 for packets of these protocols, if so that have ports or a type of ICMP, for which every condition holds.
pub(crate) fn header_diagram(
    store: &mut Store,
    protocols: impl Iterator<Item = u8>,
    (needs_ports, needs_type): (bool, bool),
    conditions: &[Condition],
) -> Built {
    let numbers = points(protocols.map(u32::from));
    let mut node = store.ranges(Field::Protocol, &numbers, Node::TRUE, Node::FALSE)?;
    if needs_ports {
        let there = ports_exist(store)?;
        node = store.and(node, there)?;
    }
    if needs_type {
        let there = icmp_exists(store)?;
        node = store.and(node, there)?;
    }
    for condition in conditions {
        let part = condition_diagram(store, condition)?;
        node = store.and(node, part)?;
    }
    Ok(node)
}

/// Numbers in any order as ranges of one number each, in order.
fn points(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let numbers: BTreeSet<u32> = numbers.collect();
    numbers.into_iter().map(|number| (number, number)).collect()
}

/// 1 for the part that the rate of a rule matches. Its tokens are asked for only where its unit counts the packet, and a
/// full bucket has enough of them.
pub(crate) fn rate_diagram(
    store: &mut Store,
    id: RuleId,
    (direction, rate): (Direction, &Rate),
) -> Built {
    let mut conforms = store.range(Field::Conforms(id), 1, 1, Node::TRUE, Node::FALSE)?;
    if let Some(longest) = rate.longest(direction).and_then(below_longest) {
        conforms = store.range(Field::Length, 0, longest, conforms, Node::FALSE)?;
    }
    let counted = match rate.unit {
        RateUnit::Packets | RateUnit::Bytes => Node::TRUE,
        RateUnit::Connections => connection_starts(store)?,
    };
    let conforms = store.ite(counted, conforms, Node::TRUE)?;
    if rate.above {
        store.not(conforms)
    } else {
        Ok(conforms)
    }
}

/// A length that some packet is longer than. One joined from segments that is longer than a length field can say is told by
/// the bucket itself.
fn below_longest(length: u64) -> Option<u32> {
    let length = u32::try_from(length).ok();
    length.filter(|&length| length < longest_length(Family::V6))
}

/// 1 for TCP SYNs without ACK, and for UDP packets (no later fragments) without a connected socket.
pub(crate) fn connection_starts(store: &mut Store) -> Built {
    const SYN: u64 = 0x02;
    const ACK: u64 = 0x10;
    let begins = FieldTest::bits(SYN, ACK);
    let tcp = header_test(store, row(HeaderField::TcpFlags), begins)?;
    let udp = transport_of(store, &[IpProtocol::UDP])?;
    let connected = socket_test(store, SocketState::Established, Field::Socket)?;
    let free = store.not(connected)?;
    let udp = store.and(udp, free)?;
    store.or(tcp, udp)
}

/// 1 for packets for which the kernel asks a lookup program: TCP and UDP, not a later fragment, no connected socket.
pub(crate) fn new_flow(store: &mut Store) -> Built {
    let connected = socket_test(store, SocketState::Established, Field::Socket)?;
    let free = store.not(connected)?;
    let exists = sockets_exist(store)?;
    store.and(exists, free)
}

/// 1 for the first fragments among these.
pub(crate) fn new_fragment(store: &mut Store) -> Built {
    let first = crate::event::Fragment::First as u32;
    let first = store.range(Field::Fragment, first, first, Node::TRUE, Node::FALSE)?;
    let new = new_flow(store)?;
    store.and(new, first)
}

/// 1 for the families and protocols that a named socket may hold.
pub(crate) fn may_hold(store: &mut Store, socket: &Socket) -> Built {
    let mut families = [Node::FALSE; 2];
    for (node, family) in families.iter_mut().zip([Family::V4, Family::V6]) {
        let numbers: Vec<(u32, u32)> = IpProtocol::WITH_SOCKETS
            .into_iter()
            .filter(|&number| socket.may_hold(family, number))
            .map(|number| (number.into(), number.into()))
            .collect();
        *node = store.ranges(Field::Protocol, &numbers, Node::TRUE, Node::FALSE)?;
    }
    store.range(Field::Family, 0, 0, families[0], families[1])
}

/// 1 for the given protocol number.
pub(crate) fn protocol(store: &mut Store, number: IpProtocol) -> Built {
    let number = number.into();
    store.range(Field::Protocol, number, number, Node::TRUE, Node::FALSE)
}

fn family(store: &mut Store, family: Family) -> Built {
    let value = u32::from(family == Family::V6);
    store.range(Field::Family, value, value, Node::TRUE, Node::FALSE)
}

/// 1 in unfragmented packets and first fragments, where a transport header can be.
fn has_transport(store: &mut Store) -> Built {
    store.range(Field::Fragment, 2, 2, Node::FALSE, Node::TRUE)
}

/// 1 where one of the protocols has its transport header.
fn transport_of(store: &mut Store, protocols: &[IpProtocol]) -> Built {
    let there = has_transport(store)?;
    let numbers = protocols.iter().map(|&one| u32::from(one));
    let ranges: Vec<(u32, u32)> = numbers.map(|number| (number, number)).collect();
    store.ranges(Field::Protocol, &ranges, there, Node::FALSE)
}

fn ports_exist(store: &mut Store) -> Built {
    transport_of(store, &IpProtocol::WITH_PORTS)
}

fn sockets_exist(store: &mut Store) -> Built {
    transport_of(store, &IpProtocol::WITH_SOCKETS)
}

fn icmp_exists(store: &mut Store) -> Built {
    let v4 = transport_of(store, &[IpProtocol::ICMP])?;
    let v6 = transport_of(store, &[IpProtocol::ICMP6])?;
    store.range(Field::Family, 0, 0, v4, v6)
}

fn protocols_diagram(store: &mut Store, protocols: &[ProtocolMatch]) -> Built {
    if protocols.is_empty() {
        return Ok(Node::TRUE);
    }
    let mut any = Node::FALSE;
    for one in protocols {
        let node = protocol_diagram(store, one)?;
        any = store.or(any, node)?;
    }
    Ok(any)
}

fn protocol_diagram(store: &mut Store, wanted: &ProtocolMatch) -> Built {
    let mut node = protocol(store, wanted.number)?;
    if let Some(wanted) = wanted.family {
        let guard = family(store, wanted)?;
        node = store.and(guard, node)?;
    }
    if wanted.icmp.is_empty() {
        return Ok(node);
    }
    let mut types = Node::FALSE;
    for one in &wanted.icmp {
        let low = u32::from(one.kind) << 8 | u32::from(one.code.unwrap_or(0));
        let high = u32::from(one.kind) << 8 | u32::from(one.code.unwrap_or(u8::MAX));
        let range = store.range(Field::Icmp, low, high, Node::TRUE, Node::FALSE)?;
        types = store.or(types, range)?;
    }
    let there = icmp_exists(store)?;
    let readable = store.and(there, types)?;
    store.and(node, readable)
}

fn side_diagram(store: &mut Store, side: &Side, fields: &SideFields, scope: Scope) -> Built {
    let (negated, endpoints) = match side {
        Side::Group(group) if scope.group == Some(*group) => return Ok(Node::TRUE),
        Side::Group(_) => return Ok(Node::FALSE),
        Side::Endpoints { negated, endpoints } => (*negated, endpoints),
    };
    let mut nodes = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        nodes.push(endpoint_diagram(store, endpoint, fields)?);
    }
    let any = store.any(&nodes)?;
    if !negated {
        return Ok(any);
    }
    let none = store.not(any)?;
    if endpoints.iter().all(|endpoint| endpoint.ports.is_none()) {
        return Ok(none);
    }
    let there = ports_exist(store)?;
    store.and(there, none)
}

fn endpoint_diagram(store: &mut Store, endpoint: &Endpoint, fields: &SideFields) -> Built {
    let addresses = addresses_diagram(store, &endpoint.addresses, fields)?;
    let Some(ports) = &endpoint.ports else {
        return Ok(addresses);
    };
    let ranges: Vec<(u32, u32)> = ports
        .ranges()
        .iter()
        .map(|&(low, high)| (low.into(), high.into()))
        .collect();
    let inside = store.ranges(fields.port, &ranges, Node::TRUE, Node::FALSE)?;
    let there = ports_exist(store)?;
    let ports = store.and(there, inside)?;
    store.and(ports, addresses)
}

fn addresses_diagram(store: &mut Store, addresses: &Addresses, fields: &SideFields) -> Built {
    match addresses {
        Addresses::Ranges(set) => within(store, set, fields),
        Addresses::Set(set) => member(store, *set, fields),
    }
}

/// 1 where the side's address is in the set, the text says.
pub fn member(store: &mut Store, set: SetId, fields: &SideFields) -> Built {
    yes(store, (fields.member)(set))
}

/// 1 where the side's address is one of these.
pub fn within(store: &mut Store, set: &AddressSet, fields: &SideFields) -> Built {
    let word = fields.words[0];
    let v4 = store.ranges(word, set.v4.ranges(), Node::TRUE, Node::FALSE)?;
    let v6 = store.address_ranges(word, set.v6.ranges(), Node::TRUE, Node::FALSE)?;
    store.range(Field::Family, 0, 0, v4, v6)
}

fn condition_diagram(store: &mut Store, condition: &Condition) -> Built {
    match condition {
        Condition::No(inner) => {
            let inner = condition_diagram(store, inner)?;
            store.not(inner)
        }
        Condition::AnyOf(list) => {
            let mut any = Node::FALSE;
            for one in list {
                let node = condition_diagram(store, one)?;
                any = store.or(any, node)?;
            }
            Ok(any)
        }
        Condition::Socket { test, netns } => {
            let field = netns.map_or(Field::Socket, Field::SocketIn);
            socket_test(store, *test, field)
        }
        Condition::SockAbsent(socket) => yes(store, Field::Absent(*socket)),
        Condition::Entry { map, socket } => {
            let number = socket.as_u32() + 1;
            let named = store.range(Field::Entry(*map), number, number, Node::TRUE, Node::FALSE)?;
            let exists = sockets_exist(store)?;
            store.and(exists, named)
        }
        Condition::Header { field, test } => header_test(store, row(*field), *test),
        Condition::FirstMatch(group) => {
            store.range(Field::FirstMatch, *group, *group, Node::TRUE, Node::FALSE)
        }
    }
}

/// 1 where the packet has the field, with such a value.
fn header_test(store: &mut Store, row: &Row, test: FieldTest) -> Built {
    let value = match test {
        FieldTest::Range { low, high } => in_range(store, row, low, high)?,
        FieldTest::Masked { wanted, mask } => masked(store, row, wanted, mask)?,
    };
    match row.exists {
        Exists::Always | Exists::Optional => Ok(value),
        Exists::InTcp => {
            let there = transport_of(store, &[IpProtocol::TCP])?;
            store.and(there, value)
        }
    }
}

/// 1 for the values from `low` to `high`.
fn in_range(store: &mut Store, row: &Row, low: u64, high: u64) -> Built {
    let high = high.min(row.max);
    if low > high {
        return Ok(Node::FALSE);
    }
    let (low, high) = (row.encode(Some(low)), row.encode(Some(high)));
    match row.variables {
        [one] => store.range(*one, low as u32, high as u32, Node::TRUE, Node::FALSE),
        several => store.spread(several, low, high),
    }
}

/// 1 where the masked bits of the field are those that are wanted.
fn masked(store: &mut Store, row: &Row, wanted: u64, mask: u64) -> Built {
    if wanted & !mask != 0 {
        return Ok(Node::FALSE);
    }
    let mut node = Node::TRUE;
    for ((field, wanted), (_, mask)) in row.parts(wanted).zip(row.parts(mask)) {
        let part = store.masked(field, mask, wanted)?;
        node = store.and(node, part)?;
    }
    Ok(node)
}

/// 1 where a question is answered with yes.
fn yes(store: &mut Store, field: Field) -> Built {
    store.range(field, 1, 1, Node::TRUE, Node::FALSE)
}

fn socket_test(store: &mut Store, test: SocketState, field: Field) -> Built {
    let (low, high) = match test {
        SocketState::Exists => (1, 2),
        SocketState::Listening => (1, 1),
        SocketState::Established => (2, 2),
    };
    let answer = store.range(field, low, high, Node::TRUE, Node::FALSE)?;
    let exists = sockets_exist(store)?;
    store.and(exists, answer)
}
