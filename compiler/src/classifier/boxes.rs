//! What a rule that asks for the header alone matches, as boxes: a prefix on each side, a range of ports on each side, and
//! protocols.
//!
//! Takes a [`Match`]; gives the boxes of one family, whose union it is. What a list with `not` matches is cut into endpoints
//! that share nothing (`outside`). An ICMP type with its code stands where TCP has the sender's port, so types are ranges
//! of that. Not here: what conditions mean (`classes`), which a box only numbers; and sets that are asked as one question,
//! for which there are no boxes.

use std::borrow::Cow;

use super::asked::header_part;
use super::outside::{MAX_WITH_PORTS, outside};
use crate::policy::{
    AddressSet, Addresses, Condition, Endpoint, Family, IcmpMatch, Match, ProtocolMatch, Side,
};
use crate::protocol::IpProtocol;
use crate::ranges::{Bound, RangeSet};

/// The maximum number of boxes of one rule in one family. A rule of more stays in the diagram.
pub(crate) const MAX_BOXES: usize = 256;

/// A prefix of an address: the address in host order (IPv4 in the low 32 bits) and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// The first address.
    pub address: u128,
    /// 0 to 32 or 128.
    pub length: u8,
}

/// A set of protocol numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocols([u64; 4]);

impl Protocols {
    /// Every number.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// These numbers.
    pub fn of(numbers: impl IntoIterator<Item = u8>) -> Self {
        let mut bits = [0; 4];
        for number in numbers {
            bits[usize::from(number >> 6)] |= 1 << (number & 63);
        }
        Self(bits)
    }

    /// Whether a number is among them.
    #[must_use]
    pub fn contains(&self, number: u8) -> bool {
        self.0[usize::from(number >> 6)] >> (number & 63) & 1 == 1
    }

    /// Whether there is none among them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Those that are among others too.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut bits = self.0;
        for (word, other) in bits.iter_mut().zip(other.0) {
            *word &= other;
        }
        Self(bits)
    }

    /// Those that are among these numbers too.
    #[must_use]
    pub fn among(&self, protocols: &[IpProtocol]) -> Self {
        let numbers = protocols.iter().map(|one| one.0);
        Self::of(numbers.filter(|&one| self.contains(one)))
    }
}

/// What is left of a box without its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service {
    /// The protocols.
    pub protocols: Protocols,
    /// Whether only packets that have ports match: no later fragments.
    pub needs_ports: bool,
    /// Whether only packets that have an ICMP type match: likewise.
    pub needs_type: bool,
    /// The number of its conditions among those of a classifier; 0 for none.
    pub conditions: u16,
    /// The sender's ports, inclusive; or ICMP types with their codes, the types in the high byte.
    pub from: (u16, u16),
    /// The receiver's ports.
    pub to: (u16, u16),
}

/// A box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Boxed {
    /// The sender's addresses.
    pub from: Prefix,
    /// The receiver's addresses.
    pub to: Prefix,
    /// The rest.
    pub service: Service,
}

/// Whether a rule can be told apart by boxes, and by a question if it has one.
#[must_use]
pub(crate) fn is_answerable(matches: &Match) -> bool {
    is_header_only(&header_part(matches))
}

/// Whether a rule can be told apart by boxes.
#[must_use]
pub(crate) fn is_header_only(matches: &Match) -> bool {
    is_made_of_boxes(matches) && !has_many(matches)
}

/// Whether such a rule speaks of nothing but protocols, addresses and ports that it names.
#[must_use]
pub(crate) fn is_plain(matches: &Match) -> bool {
    let sides = [&matches.from, &matches.to].into_iter().flatten();
    let named = |side: &Side| !matches!(side, Side::Endpoints { negated: true, .. });
    matches.conditions.is_empty()
        && matches.protocols.iter().all(|one| one.icmp.is_empty())
        && sides.into_iter().all(named)
        && is_header_only(matches)
}

/// Whether a rule could be told apart by boxes, but for how many they are.
#[must_use]
pub(crate) fn is_in_pieces(matches: &Match) -> bool {
    is_made_of_boxes(matches) && has_many(matches)
}

fn is_made_of_boxes(matches: &Match) -> bool {
    let sides = [&matches.from, &matches.to];
    matches.conditions.iter().all(is_of_header) && sides.into_iter().flatten().all(is_constant)
}

/// Whether the header alone answers a condition.
fn is_of_header(condition: &Condition) -> bool {
    match condition {
        Condition::No(inner) => is_of_header(inner),
        Condition::AnyOf(list) => list.iter().all(is_of_header),
        Condition::Header { .. } => true,
        Condition::Socket { .. }
        | Condition::Entry { .. }
        | Condition::SockAbsent(_)
        | Condition::FirstMatch(_) => false,
    }
}

fn has_many(matches: &Match) -> bool {
    let mut families = [Family::V4, Family::V6].into_iter();
    families.any(|family| count(matches, family) > MAX_BOXES)
}

fn is_constant(side: &Side) -> bool {
    let (negated, endpoints) = match side {
        // Whoever asks is of the group: who is not does not ask with this rule.
        Side::Group(_) => return true,
        Side::Endpoints { negated, endpoints } => (*negated, endpoints),
    };
    let with_ports = || endpoints.iter().any(|one| one.ports.is_some());
    let constant = |one: &Endpoint| matches!(one.addresses, Addresses::Ranges(_));
    endpoints.iter().all(constant) && !(negated && endpoints.len() > MAX_WITH_PORTS && with_ports())
}

/// The boxes of a rule in one family, without its question; the number of its conditions is still to be told.
#[must_use]
pub(crate) fn boxes(matches: &Match, family: Family) -> Vec<Boxed> {
    let mut found = Vec::new();
    Parts::default().boxes(matches, family, |one| found.push(one));
    found
}

/// What the boxes of a rule are made of; for many rules in turn.
#[derive(Default)]
pub(super) struct Parts {
    from: Vec<PrefixPorts>,
    to: Vec<PrefixPorts>,
}

impl Parts {
    /// Gives each of the boxes of a rule in one family, as [`boxes`] does.
    pub(super) fn boxes(&mut self, matches: &Match, family: Family, mut give: impl FnMut(Boxed)) {
        let matches = &*header_part(matches);
        parts(matches.from.as_ref(), family, &mut self.from);
        parts(matches.to.as_ref(), family, &mut self.to);
        if self.from.is_empty() || self.to.is_empty() {
            return;
        }
        let kinds = kinds(matches, family);
        for from in &self.from {
            for to in &self.to {
                let services = kinds
                    .iter()
                    .filter_map(|kind| service(kind, from.ports, to.ports));
                services.for_each(|service| {
                    give(Boxed {
                        from: from.prefix,
                        to: to.prefix,
                        service,
                    });
                });
            }
        }
    }
}

/// Protocols with everything they carry, or some types of ICMP.
struct Kind {
    protocols: Protocols,
    types: Option<(u16, u16)>,
}

/// The service of a kind between these ports, unless nothing has both.
fn service(kind: &Kind, from: Option<(u16, u16)>, to: Option<(u16, u16)>) -> Option<Service> {
    let needs_ports = from.is_some() || to.is_some();
    let protocols = match needs_ports {
        true => kind.protocols.among(&IpProtocol::WITH_PORTS),
        false => kind.protocols,
    };
    let any = (0, u16::MAX);
    (!protocols.is_empty()).then(|| Service {
        protocols,
        needs_ports,
        needs_type: kind.types.is_some(),
        conditions: 0,
        from: kind.types.or(from).unwrap_or(any),
        to: to.unwrap_or(any),
    })
}

/// What a rule names of protocols in a family. Types are there for the family's own ICMP only.
fn kinds(matches: &Match, family: Family) -> Vec<Kind> {
    let whole = |protocols| Kind {
        protocols,
        types: None,
    };
    if matches.protocols.is_empty() {
        return vec![whole(Protocols::ALL)];
    }
    let here = matches
        .protocols
        .iter()
        .filter(|one| one.family.is_none_or(|only| only == family));
    if matches.protocols.iter().all(|one| one.icmp.is_empty()) {
        let all = Protocols::of(here.map(|one| one.number.0));
        return Vec::from_iter((!all.is_empty()).then(|| whole(all)));
    }
    let (all, typed): (Vec<&ProtocolMatch>, Vec<_>) = here.partition(|one| one.icmp.is_empty());
    let all = Protocols::of(all.into_iter().map(|one| one.number.0));
    let own = typed.into_iter().filter(|one| one.number == family.icmp());
    let types = RangeSet::from_ranges(own.flat_map(|one| &one.icmp).map(types_of));
    let typed = types.ranges().iter().map(|&types| Kind {
        protocols: Protocols::of([family.icmp().0]),
        types: Some(types),
    });
    let all = (!all.is_empty()).then(|| whole(all));
    all.into_iter().chain(typed).collect()
}

/// How many of them there are.
fn kind_count(matches: &Match, family: Family) -> usize {
    let protocols = &matches.protocols;
    if protocols.iter().any(|one| !one.icmp.is_empty()) {
        return kinds(matches, family).len();
    }
    let is_here = |one: &ProtocolMatch| one.family.is_none_or(|own| own == family);
    usize::from(protocols.is_empty() || protocols.iter().any(is_here))
}

fn types_of(one: &IcmpMatch) -> (u16, u16) {
    let with = |code| u16::from_be_bytes([one.kind, code]);
    (
        with(one.code.unwrap_or(0)),
        with(one.code.unwrap_or(u8::MAX)),
    )
}

/// One prefix with one range of ports, if ports are named.
struct PrefixPorts {
    prefix: Prefix,
    ports: Option<(u16, u16)>,
}

/// Those of one side, in the place of what is there.
fn parts(side: Option<&Side>, family: Family, found: &mut Vec<PrefixPorts>) {
    found.clear();
    let Some(endpoints) = endpoints_of(side) else {
        let prefix = Prefix {
            address: 0,
            length: 0,
        };
        found.push(PrefixPorts {
            prefix,
            ports: None,
        });
        return;
    };
    for endpoint in &*endpoints {
        endpoint_parts(endpoint, family, found);
    }
}

/// The endpoints that a side matches; `None` for every one.
fn endpoints_of(side: Option<&Side>) -> Option<Cow<'_, [Endpoint]>> {
    match side? {
        Side::Group(_) => None,
        Side::Endpoints {
            negated: false,
            endpoints,
        } => Some(Cow::Borrowed(endpoints)),
        Side::Endpoints { endpoints, .. } => Some(Cow::Owned(outside(endpoints))),
    }
}

fn endpoint_parts(endpoint: &Endpoint, family: Family, found: &mut Vec<PrefixPorts>) {
    let Some(addresses) = endpoint.addresses.ranges() else {
        return;
    };
    prefixes(addresses, family, |prefix| match &endpoint.ports {
        None => found.push(PrefixPorts {
            prefix,
            ports: None,
        }),
        Some(ports) => found.extend(ports.ranges().iter().map(|&ports| PrefixPorts {
            prefix,
            ports: Some(ports),
        })),
    });
}

fn prefixes(addresses: &AddressSet, family: Family, give: impl FnMut(Prefix)) {
    match family {
        Family::V4 => cut(&addresses.v4, 32, give),
        Family::V6 => cut(&addresses.v6, 128, give),
    }
}

/// Gives each of the prefixes that ranges are, by increasing address.
fn cut<T: Bound + Into<u128>>(set: &RangeSet<T>, width: u32, mut give: impl FnMut(Prefix)) {
    for &(low, high) in set.ranges() {
        let (mut low, high): (u128, u128) = (low.into(), high.into());
        loop {
            let size = largest(low, high, width);
            give(Prefix {
                address: low,
                // `size` is at most `width`, which is at most 128.
                length: (width - size) as u8,
            });
            let last = low | low_bits(size);
            if last >= high {
                break;
            }
            low = last + 1;
        }
    }
}

/// The logarithm of the largest block that begins at `low` and ends at `high` or before.
fn largest(low: u128, high: u128, width: u32) -> u32 {
    let aligned = low.trailing_zeros().min(width);
    let mut size = aligned;
    while low | low_bits(size) > high {
        size -= 1;
    }
    size
}

/// A number whose low bits are set.
pub(super) fn low_bits(bits: u32) -> u128 {
    match bits {
        0 => 0,
        bits => u128::MAX >> (128 - bits.min(128)),
    }
}

/// How many boxes there would be, or more than [`MAX_BOXES`].
fn count(matches: &Match, family: Family) -> usize {
    let side = |side: &Option<Side>| match endpoints_of(side.as_ref()) {
        Some(endpoints) => endpoints
            .iter()
            .map(|endpoint| endpoint_count(endpoint, family))
            .fold(0usize, usize::saturating_add),
        None => 1,
    };
    let [from, to] = [side(&matches.from), side(&matches.to)];
    if from.max(to) > MAX_BOXES {
        // A list that `outside` left undone has too many, whatever the other side is.
        return MAX_BOXES + 1;
    }
    from.saturating_mul(to)
        .saturating_mul(kind_count(matches, family))
}

fn endpoint_count(endpoint: &Endpoint, family: Family) -> usize {
    let Some(addresses) = endpoint.addresses.ranges() else {
        return MAX_BOXES + 1;
    };
    let ports = endpoint
        .ports
        .as_ref()
        .map_or(1, |ports| ports.ranges().len());
    let ranges = match family {
        Family::V4 => addresses.v4.ranges().len(),
        Family::V6 => addresses.v6.ranges().len(),
    };
    if ranges > MAX_BOXES {
        return MAX_BOXES + 1;
    }
    let mut count = 0usize;
    prefixes(addresses, family, |_| count += 1);
    count.saturating_mul(ports)
}
