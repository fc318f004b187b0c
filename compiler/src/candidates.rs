//! Which rules may match a packet, or share packets with a rule, by addresses, ports and protocol.
//!
//! For each family a tree over one of these dimensions, whose nodes have trees over the others as long as many rules
//! stand in them: so few rules are looked at of 100,000. What a dimension cannot say of a rule (a negated list, a live
//! set) spans everything, and several ranges count as the one around them. Not here: whether the rule really matches, which
//! `decide` says.
//!
//! In the literature: range trees (J. L. Bentley, "Decomposable searching problems", 1979).

mod flat;
mod tree;

use std::cell::Cell;
use std::net::IpAddr;
use std::ops::Range;

use cranelift_entity::SecondaryMap;

pub(crate) use self::flat::Flat;

use self::tree::{Counted, Subtree};
use crate::decide::{from_port, to_port};
use crate::event::Header;
use crate::policy::{Endpoint, Family, Match, Policy, RuleId, Side};

/// Receiver's and sender's address, their ports, the protocol.
const DIMENSIONS: usize = 5;

/// Inclusive; addresses of IPv6 by their upper half.
pub(crate) type Values = (u64, u64);

pub(crate) const EVERYTHING: Values = (0, u64::MAX);

/// Where a value that a packet does not have would be: rules that do not ask for it have it.
const NONE: Values = (u64::MAX, u64::MAX);

/// What a rule says in each dimension.
pub(crate) type Dimensions = [Values; DIMENSIONS];

/// The same of each rule.
pub(crate) type Shapes = SecondaryMap<RuleId, Dimensions>;

/// How many rules may still be looked at.
pub(crate) struct Looks(Cell<u64>);

impl Looks {
    /// So many.
    pub(crate) fn new(count: u64) -> Self {
        Self(Cell::new(count))
    }

    /// Takes some, if there are any left.
    pub(crate) fn take(&self, count: u64) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(count));
        left > count
    }

    /// Whether none are left.
    pub(crate) fn are_gone(&self) -> bool {
        self.0.get() == 0
    }
}

/// The rules of a list, findable by packet and by rule.
pub(crate) struct Index {
    /// By family, IPv4 first.
    families: [Rules; 2],
}

/// The rules that may match packets of a family.
struct Rules {
    part: Subtree,
    shapes: Shapes,
}

impl Index {
    /// Takes the rules of a list, in order.
    pub(crate) fn new<'a>(
        policy: &Policy,
        rules: impl Iterator<Item = (RuleId, &'a Match)> + Clone,
    ) -> Self {
        let of = |family| {
            let mut shapes = Shapes::new();
            let shaped = rules.clone().filter_map(|(id, one)| {
                shapes[id] = shape(policy, one, family)?;
                Some(id)
            });
            (shaped.collect(), shapes)
        };
        Self::of_shapes([of(Family::V4), of(Family::V6)])
    }

    /// Takes the rules of a list in each family, in order, and what is around each of them.
    pub(crate) fn of_shapes(families: [(Vec<RuleId>, Shapes); 2]) -> Self {
        let families = families.map(|(ids, shapes)| {
            let mut left = Counted::for_rules(ids.len());
            Rules {
                part: Subtree::of(ids, &shapes, [false; DIMENSIONS], &mut left),
                shapes,
            }
        });
        Self { families }
    }

    /// Tells of rules among `ids` that may match the packet, each once; every other one of them does not. They come part
    /// by part, in order within each; `take` says whether to go on with the part. Says whether the looks sufficed.
    pub(crate) fn around(
        &self,
        header: &Header,
        ids: Range<u32>,
        looks: &Looks,
        take: &mut dyn FnMut(RuleId) -> bool,
    ) -> bool {
        let point = place(header);
        let Rules { part, shapes } = &self.families[usize::from(header.to.is_ipv6())];
        let mut sufficed = true;
        part.around(&point, &mut |list| {
            among(list, &ids).all(|id| {
                sufficed &= looks.take(1);
                sufficed && (!meet(&shapes[id], &point) || take(id))
            });
        });
        sufficed
    }

    /// Tells of rules among `ids` that may share packets with a match, in no order, some of them twice, until `take` says
    /// that it is enough; every other one of them shares none. Says whether the looks sufficed.
    pub(crate) fn sharing(
        &self,
        policy: &Policy,
        one: &Match,
        ids: Range<u32>,
        looks: &Looks,
        take: &mut dyn FnMut(RuleId) -> bool,
    ) -> bool {
        let shapes = [Family::V4, Family::V6].map(|family| shape(policy, one, family));
        self.meeting(&shapes, ids, looks, take)
    }

    /// The same for what is around something, by family.
    pub(crate) fn meeting(
        &self,
        shapes: &[Option<Dimensions>; 2],
        ids: Range<u32>,
        looks: &Looks,
        take: &mut dyn FnMut(RuleId) -> bool,
    ) -> bool {
        let mut sufficed = true;
        for (shape, rules) in shapes.iter().zip(&self.families) {
            let Some(shape) = shape else {
                continue;
            };
            let mut in_list = |list: &[RuleId]| {
                among(list, &ids).all(|id| {
                    sufficed &= looks.take(1);
                    sufficed && (!meet(&rules.shapes[id], shape) || take(id))
                })
            };
            if !rules.part.meeting(shape, &mut in_list) {
                break;
            }
        }
        sufficed
    }
}

/// Whether two shapes share something.
fn meet(one: &Dimensions, other: &Dimensions) -> bool {
    one.iter()
        .zip(other)
        .all(|(one, other)| one.0 <= other.1 && other.0 <= one.1)
}

/// What a packet has in each dimension.
fn place(header: &Header) -> Dimensions {
    let port = |port: Option<u16>| port.map_or(NONE, |port| (port.into(), port.into()));
    [
        point(header.to),
        point(header.from),
        port(to_port(header)),
        port(from_port(header)),
        (header.protocol.0.into(), header.protocol.0.into()),
    ]
}

/// The rules of a list in order that are among `ids`.
fn among(list: &[RuleId], ids: &Range<u32>) -> impl Iterator<Item = RuleId> {
    let start = list.partition_point(|id| id.as_u32() < ids.start);
    let end = ids.end;
    let rest = list[start..].iter().copied();
    rest.take_while(move |id| id.as_u32() < end)
}

fn point(address: IpAddr) -> Values {
    let bits = match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => upper(v6.to_bits()),
    };
    (bits, bits)
}

/// The upper half of an IPv6 address.
fn upper(bits: u128) -> u64 {
    u64::try_from(bits >> 64).unwrap_or(u64::MAX)
}

/// What a match says of the packets of a family, if it may match any.
fn shape(policy: &Policy, one: &Match, family: Family) -> Option<Dimensions> {
    let [to, from] = [one.to.as_ref(), one.from.as_ref()];
    Some([
        addresses(policy, to, family)?,
        addresses(policy, from, family)?,
        ports(to),
        ports(from),
        protocols(one, family)?,
    ])
}

fn protocols(one: &Match, family: Family) -> Option<Values> {
    if one.protocols.is_empty() {
        return Some(EVERYTHING);
    }
    let fits = one
        .protocols
        .iter()
        .filter(|protocol| protocol.family.is_none_or(|named| named == family));
    around(fits.map(|protocol| (protocol.number.0.into(), protocol.number.0.into())))
}

/// The addresses of a side in one family.
fn addresses(policy: &Policy, side: Option<&Side>, family: Family) -> Option<Values> {
    let Some(endpoints) = plain(side) else {
        return Some(EVERYTHING);
    };
    around(endpoints.iter().filter_map(|endpoint| {
        let Some(set) = endpoint.addresses.constant(policy) else {
            return Some(EVERYTHING);
        };
        match family {
            Family::V4 => hull(set.v4.ranges(), u64::from),
            Family::V6 => hull(set.v6.ranges(), upper),
        }
    }))
}

/// The ports of a side; without ports, what has none fits too.
fn ports(side: Option<&Side>) -> Values {
    let range = |endpoint: &Endpoint| match &endpoint.ports {
        None => Some(EVERYTHING),
        Some(ports) => hull(ports.ranges(), u64::from),
    };
    plain(side)
        .and_then(|endpoints| around(endpoints.iter().filter_map(range)))
        .unwrap_or(EVERYTHING)
}

/// The endpoints of a side that says which it matches, not which it does not.
fn plain(side: Option<&Side>) -> Option<&[Endpoint]> {
    match side {
        Some(Side::Endpoints {
            negated: false,
            endpoints,
        }) => Some(endpoints),
        _ => None,
    }
}

/// The range around sorted ones, if there are any.
fn hull<T: Copy>(ranges: &[(T, T)], of: impl Fn(T) -> u64) -> Option<Values> {
    Some((of(ranges.first()?.0), of(ranges.last()?.1)))
}

/// The range around all, if there are any.
fn around(ranges: impl Iterator<Item = Values>) -> Option<Values> {
    ranges.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
}
