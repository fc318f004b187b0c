//! What the values of each field say of a region.
//!
//! Takes the packets of a region; gives a constraint for each field that has not every value among them, the most telling
//! first. What the language has no words for is left out. Not here: whether that is all there is to say.

use super::Describing;
use super::constraint::{Constraint, End};
use crate::diagram::{Node, Store};
use crate::field::{FROM, Field, TO};
use crate::header_field::{self, HeaderField, Kind, Row};
use crate::packet::longest_length;
use crate::policy::{
    AddressSet, ClassId, Condition, Direction, Family, FieldTest, IcmpMatch, LiveMapId, NetnsId,
    ProtocolMatch, SetId, SetKind, SocketId, SocketState,
};
use crate::protocol::IpProtocol;
use crate::ranges::{Bound, RangeSet};
use crate::values::addresses::never_reached;

/// More values of one field than this are not listed.
const MAX_LISTED: usize = 12;

type Values = Vec<(u128, u128)>;

pub(super) fn constraints(describing: &Describing<'_, '_, '_>, packets: Node) -> Vec<Constraint> {
    let store = &describing.space.store;
    let mut found = Vec::new();
    found.extend(protocols(store, packets));
    for end in [End::To, End::From] {
        found.extend(addresses(store, packets, end, describing.topic.direction()));
        found.extend(ports(store, packets, end));
    }
    found.extend(questions(describing, packets));
    found.extend(
        header(store, packets)
            .into_iter()
            .map(Constraint::Condition),
    );
    found
}

/// The values of a field, unless it can have every one that occurs.
fn limited(store: &Store, packets: Node, field: Field) -> Option<Values> {
    let values = store.values_of(packets, field)?;
    let whole = [(0, u128::from(field.max()))];
    let mut values = values;
    // Values past the largest that occurs follow it.
    values.retain(|(low, _)| *low <= whole[0].1);
    if let Some(last) = values.last_mut() {
        last.1 = last.1.min(whole[0].1);
    }
    (values != whole).then_some(values)
}

/// Each of the values, if they are few.
fn few(values: &Values) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for &(low, high) in values {
        if high - low >= MAX_LISTED as u128 || all.len() > MAX_LISTED {
            return None;
        }
        all.extend((low..=high).map(|value| value as u32));
    }
    (all.len() <= MAX_LISTED).then_some(all)
}

/// What lies between the values.
fn others(values: &Values, max: u32) -> Values {
    let mut found = Vec::new();
    let mut next = 0;
    for &(low, high) in values {
        if next < low {
            found.push((next, low - 1));
        }
        next = high + 1;
    }
    if next <= u128::from(max) {
        found.push((next, max.into()));
    }
    found
}

fn protocols(store: &Store, packets: Node) -> Option<Constraint> {
    let values = limited(store, packets, Field::Protocol)?;
    let families = store.values_of(packets, Field::Family)?;
    let numbers = few(&values)?;
    let only = match families.as_slice() {
        [(0, 0)] => Some(Family::V4),
        [(1, 1)] => Some(Family::V6),
        _ => None,
    };
    let icmp = icmp_types(store, packets);
    let protocols = numbers.into_iter().map(|number| {
        // ICMP is called so in one family only.
        let number = IpProtocol(number as u8);
        let family = match number {
            IpProtocol::ICMP if only != Some(Family::V6) => Some(Family::V4),
            IpProtocol::ICMP6 if only != Some(Family::V4) => Some(Family::V6),
            _ => None,
        };
        ProtocolMatch {
            family,
            number,
            icmp: match family {
                Some(_) => icmp.clone(),
                None => Vec::new(),
            },
        }
    });
    Some(Constraint::Protocols(protocols.collect()))
}

/// The types of ICMP, if they are few: whole types where every code is among them.
fn icmp_types(store: &Store, packets: Node) -> Vec<IcmpMatch> {
    let mut found = Vec::new();
    for (low, high) in limited(store, packets, Field::Icmp).unwrap_or_default() {
        let mut at = low as u32;
        while u128::from(at) <= high && found.len() <= MAX_LISTED {
            let [_, _, kind, code] = at.to_be_bytes();
            let whole = code == 0 && u128::from(at | 0xff) <= high;
            found.push(IcmpMatch {
                kind,
                code: (!whole).then_some(code),
            });
            at = if whole { (at | 0xff) + 1 } else { at + 1 };
        }
    }
    if found.len() > MAX_LISTED {
        found.clear();
    }
    found
}

fn addresses(store: &Store, packets: Node, end: End, direction: Direction) -> Option<Constraint> {
    let words = match end {
        End::To => TO,
        End::From => FROM,
    };
    let [v4, v6] = store.by_family(packets);
    let v4 = match v4 {
        Node::FALSE => Vec::new(),
        node => store.values_of(node, words[0])?,
    };
    let v6 = match v6 {
        Node::FALSE => Vec::new(),
        node => store.addresses_of(node, words[0])?,
    };
    let v4 = v4.into_iter().map(|(low, high)| (low as u32, high as u32));
    let set = AddressSet {
        v4: RangeSet::from_ranges(v4),
        v6: RangeSet::from_ranges(v6),
    };
    let set = match direction.of_processes() {
        true => with_never_reached(set, direction),
        false => set,
    };
    (!set.v4.is_full() || !set.v6.is_full()).then_some(Constraint::Addresses(end, set))
}

/// The same with the addresses that no process reaches, which nothing depends on, where that takes fewer words.
fn with_never_reached(set: AddressSet, direction: Direction) -> AddressSet {
    fn fewer<T: Bound>(set: RangeSet<T>, more: &RangeSet<T>) -> RangeSet<T> {
        let size = |set: &RangeSet<T>| set.ranges().len() + set.complement().ranges().len();
        let both = set.union(more);
        match size(&both) < size(&set) {
            true => both,
            false => set,
        }
    }
    let never = never_reached(direction);
    AddressSet {
        v4: fewer(set.v4, &never.v4),
        v6: fewer(set.v6, &never.v6),
    }
}

/// The ports; every one where only packets that have ports are in the region.
fn ports(store: &Store, packets: Node, end: End) -> Option<Constraint> {
    let field = match end {
        End::To => Field::ToPort,
        End::From => Field::FromPort,
    };
    let values = store.values_of(packets, field)?;
    let fragments = store.values_of(packets, Field::Fragment)?;
    let protocols = store.values_of(packets, Field::Protocol)?;
    let has_ports = fragments.iter().all(|(_, high)| *high < 2)
        && few(&protocols)?
            .iter()
            .all(|&number| Field::has_ports(number as u8));
    let ranges = values
        .into_iter()
        .map(|(low, high)| (low as u16, high as u16));
    let ports = RangeSet::from_ranges(ranges);
    (has_ports && (end == End::To || !ports.is_full())).then_some(Constraint::Ports(end, ports))
}

/// Interfaces, sockets, live sets and maps, rates.
fn questions(describing: &Describing<'_, '_, '_>, packets: Node) -> Vec<Constraint> {
    let store = &describing.space.store;
    let mut found = Vec::new();
    for field in store.fields(packets).iter() {
        let Some(values) = limited(store, packets, field) else {
            continue;
        };
        let one = match values.as_slice() {
            [(low, high)] if low == high => Some(*low == 1),
            _ => None,
        };
        found.extend(match field {
            Field::Interface => few_classes(&values, describing).map(Constraint::On),
            Field::Leaving => few_classes(&values, describing).map(Constraint::Leaves),
            Field::Socket => socket(&values, None).map(Constraint::Condition),
            Field::SocketIn(netns) => socket(&values, Some(netns)).map(Constraint::Condition),
            Field::ToIn(set) if is_live(describing, set) => {
                one.map(|inside| Constraint::Member(End::To, set, inside))
            }
            Field::FromIn(set) if is_live(describing, set) => {
                one.map(|inside| Constraint::Member(End::From, set, inside))
            }
            Field::Absent(socket) => one.map(|absent| absence(socket, absent)),
            Field::Conforms(rule) => one.map(|conforms| Constraint::Rate(rule, conforms)),
            Field::Entry(map) => few(&values)
                .and_then(|numbers| entries(map, &numbers))
                .map(Constraint::Condition),
            _ => None,
        });
    }
    found
}

fn is_live(describing: &Describing<'_, '_, '_>, set: SetId) -> bool {
    let sets = &describing.space.joint.tables.sets;
    matches!(sets[set].kind, SetKind::Live { .. })
}

/// The classes, unless it is every one there is.
fn few_classes(values: &Values, describing: &Describing<'_, '_, '_>) -> Option<Vec<ClassId>> {
    let all = describing.space.joint.tables.classes.len();
    let mut classes = Vec::new();
    for &(low, high) in values {
        let high = high.min(all as u128 - 1);
        classes.extend((low..=high).map(|class| ClassId::from_u32(class as u32)));
    }
    (classes.len() < all).then_some(classes)
}

fn absence(socket: SocketId, absent: bool) -> Constraint {
    let condition = Condition::SockAbsent(socket);
    Constraint::Condition(match absent {
        true => condition,
        false => no(condition),
    })
}

/// The sockets that a live map names; where it may name none, that is left to the exceptions.
fn entries(map: LiveMapId, numbers: &[u32]) -> Option<Condition> {
    let entry = |number: &u32| {
        let socket = SocketId::from_u32(number.checked_sub(1)?);
        Some(Condition::Entry { map, socket })
    };
    let mut named = numbers.iter().map(entry).collect::<Option<Vec<_>>>()?;
    match named.len() {
        1 => named.pop(),
        _ => Some(Condition::AnyOf(named)),
    }
}

fn no(condition: Condition) -> Condition {
    Condition::No(Box::new(condition))
}

fn socket(values: &Values, netns: Option<NetnsId>) -> Option<Condition> {
    let test = |test| Condition::Socket { test, netns };
    Some(match few(values)?.as_slice() {
        [0] => no(test(SocketState::Exists)),
        [1] => test(SocketState::Listening),
        [2] => test(SocketState::Established),
        [0, 1] => no(test(SocketState::Established)),
        [0, 2] => no(test(SocketState::Listening)),
        [1, 2] => test(SocketState::Exists),
        _ => return None,
    })
}

/// What headers say besides addresses and ports, the most telling first.
fn header(store: &Store, packets: Node) -> Vec<Condition> {
    let mut rows: Vec<&Row> = header_field::rows().rev().collect();
    rows.sort_by_key(|row| row.kind);
    rows.into_iter()
        .filter_map(|row| match row.kind {
            Kind::Flags => flags(store, packets, row),
            Kind::Present => present(store, packets, row),
            Kind::Masked => bits(store, packets, row),
            Kind::Code => listed(store, packets, row),
            Kind::Range => between(store, packets, row),
            Kind::Address => one(store, packets, row),
        })
        .collect()
}

/// Flags that are the same in all of the region, or in all that is not in it.
fn flags(store: &Store, packets: Node, row: &Row) -> Option<Condition> {
    let field = row.variables[0];
    let values = limited(store, packets, field)?;
    let others = others(&values, field.max());
    let (test, exact) = cube(&values, row.max);
    if exact {
        return Some(Condition::header(row.field, test));
    }
    let (other, exact) = cube(&others, row.max);
    Some(match exact {
        true => no(Condition::header(row.field, other)),
        false => Condition::header(row.field, test),
    })
}

/// The flags that all values share, and whether every value that shares them is there.
fn cube(values: &Values, all: u64) -> (FieldTest, bool) {
    let (mut set, mut clear, mut count) = (all, all, 0u32);
    for &(low, high) in values {
        for value in low..=high {
            set &= value as u64;
            clear &= !(value as u64);
            count += 1;
        }
    }
    let bits = all.count_ones();
    let free = bits - (set.count_ones() + clear.count_ones()).min(bits);
    (FieldTest::bits(set, clear), count == 1 << free)
}

fn present(store: &Store, packets: Node, row: &Row) -> Option<Condition> {
    let values = limited(store, packets, row.variables[0])?;
    let high = row.max;
    let there = Condition::header(row.field, FieldTest::Range { low: 1, high });
    match few(&values)?.as_slice() {
        [0] => Some(no(there)),
        [0, _] => None,
        _ => Some(there),
    }
}

/// Bits that are the same in all of the region.
fn bits(store: &Store, packets: Node, row: &Row) -> Option<Condition> {
    let (mut wanted, mut mask) = (0u64, 0u64);
    for &variable in row.variables {
        let values = store.values_of(packets, variable)?;
        let (mut set, mut clear) = (variable.max(), variable.max());
        for part in values.iter().flat_map(|&(low, high)| low..=high) {
            set &= part as u32;
            clear &= !(part as u32);
        }
        wanted = wanted << variable.bits() | u64::from(set);
        mask = mask << variable.bits() | u64::from(set | clear);
    }
    (mask != 0).then(|| Condition::header(row.field, FieldTest::Masked { wanted, mask }))
}

/// The one value, in as many variables as it takes. These are wide, so their values are not gone through.
fn one(store: &Store, packets: Node, row: &Row) -> Option<Condition> {
    let mut value = 0;
    for &variable in row.variables {
        let values = store.values_of(packets, variable)?;
        let &(part, last) = values.first()?;
        if part != last || values.len() > 1 {
            return None;
        }
        value = value << variable.bits() | part as u64;
    }
    Some(Condition::header(row.field, FieldTest::exactly(value)))
}

/// One of a few values, or none of a few.
fn listed(store: &Store, packets: Node, row: &Row) -> Option<Condition> {
    let field = row.variables[0];
    let values = limited(store, packets, field)?;
    let of = |code: u32| {
        Some(Condition::header(
            row.field,
            FieldTest::exactly(row.decode(code.into())?),
        ))
    };
    let any = |numbers: Vec<u32>| -> Option<Condition> {
        let mut list = numbers.into_iter().map(of).collect::<Option<Vec<_>>>()?;
        match list.len() {
            1 => list.pop(),
            _ => Some(Condition::AnyOf(list)),
        }
    };
    if let Some(found) = few(&values).and_then(any) {
        return Some(found);
    }
    few(&others(&values, field.max())).and_then(any).map(no)
}

/// A range of values, or everything but one.
fn between(store: &Store, packets: Node, row: &Row) -> Option<Condition> {
    let field = row.variables[0];
    let values = limited(store, packets, field)?;
    let (first, last) = (values.first()?.0, values.last()?.1);
    let most = match row.field {
        HeaderField::Length => longest_length(Family::V4).into(),
        _ => row.max,
    };
    let high = match last >= u128::from(most) && last != first {
        // No upper bound is said where there is none, but for a single value.
        true => u32::MAX.into(),
        false => last as u64,
    };
    let of = |low: u128, high: u64| {
        let low = low as u64;
        Condition::header(row.field, FieldTest::Range { low, high })
    };
    if let (0, [(low, to)]) = (first, others(&values, field.max()).as_slice())
        && *to < u128::from(field.max())
    {
        return Some(no(of(*low, *to as u64)));
    }
    Some(of(first, high))
}
