//! What a plain rule matches, as boxes: a prefix on each side, a range of ports on each side, and protocols.
//!
//! Takes a [`Match`]; gives the boxes of one family, whose union it is. Not here: rules with conditions, with ICMP types,
//! with `not`, or with sets that are asked as one question, for which there are no boxes.

use crate::policy::{AddressSet, Addresses, Endpoint, Family, Match, Side};
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
    /// The sender's ports, inclusive.
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

/// Whether a rule can be told apart by boxes.
#[must_use]
pub(crate) fn is_plain(matches: &Match) -> bool {
    is_made_of_boxes(matches) && !has_many(matches)
}

/// Whether a rule could be told apart by boxes, but for how many they are.
#[must_use]
pub(crate) fn is_in_pieces(matches: &Match) -> bool {
    is_made_of_boxes(matches) && has_many(matches)
}

fn is_made_of_boxes(matches: &Match) -> bool {
    let protocols = matches.protocols.iter().all(|one| one.icmp.is_empty());
    let sides = [&matches.from, &matches.to];
    protocols && matches.conditions.is_empty() && sides.into_iter().flatten().all(is_plain_side)
}

fn has_many(matches: &Match) -> bool {
    let mut families = [Family::V4, Family::V6].into_iter();
    families.any(|family| count(matches, family) > MAX_BOXES)
}

fn is_plain_side(side: &Side) -> bool {
    match side {
        // Whoever asks is of the group: who is not does not ask with this rule.
        Side::Group(_) => true,
        Side::Endpoints { negated: true, .. } => false,
        Side::Endpoints { endpoints, .. } => endpoints
            .iter()
            .all(|one| matches!(one.addresses, Addresses::Ranges(_))),
    }
}

/// The boxes of a plain rule in one family.
#[must_use]
pub(crate) fn boxes(matches: &Match, family: Family) -> Vec<Boxed> {
    let protocols = protocols_in(matches, family);
    let mut found = Vec::new();
    if protocols.is_empty() {
        return found;
    }
    let from = parts(matches.from.as_ref(), family);
    let to = parts(matches.to.as_ref(), family);
    for from in &from {
        for to in &to {
            let needs_ports = from.ports.is_some() || to.ports.is_some();
            let protocols = match needs_ports {
                true => protocols.among(&IpProtocol::WITH_PORTS),
                false => protocols,
            };
            if protocols.is_empty() {
                continue;
            }
            found.push(Boxed {
                from: from.prefix,
                to: to.prefix,
                service: Service {
                    protocols,
                    needs_ports,
                    from: from.ports.unwrap_or((0, u16::MAX)),
                    to: to.ports.unwrap_or((0, u16::MAX)),
                },
            });
        }
    }
    found
}

fn protocols_in(matches: &Match, family: Family) -> Protocols {
    if matches.protocols.is_empty() {
        return Protocols::ALL;
    }
    let here = matches
        .protocols
        .iter()
        .filter(|one| one.family.is_none_or(|only| only == family));
    Protocols::of(here.map(|one| one.number.0))
}

/// One prefix with one range of ports, if ports are named.
struct PrefixPorts {
    prefix: Prefix,
    ports: Option<(u16, u16)>,
}

fn parts(side: Option<&Side>, family: Family) -> Vec<PrefixPorts> {
    let Some(Side::Endpoints { endpoints, .. }) = side else {
        let prefix = Prefix {
            address: 0,
            length: 0,
        };
        return vec![PrefixPorts {
            prefix,
            ports: None,
        }];
    };
    endpoints
        .iter()
        .flat_map(|endpoint| endpoint_parts(endpoint, family))
        .collect()
}

fn endpoint_parts(endpoint: &Endpoint, family: Family) -> Vec<PrefixPorts> {
    let Some(addresses) = endpoint.addresses.ranges() else {
        return Vec::new();
    };
    let ports: Vec<Option<(u16, u16)>> = match &endpoint.ports {
        None => vec![None],
        Some(ports) => ports.ranges().iter().copied().map(Some).collect(),
    };
    let mut found = Vec::new();
    for prefix in prefixes(addresses, family) {
        found.extend(ports.iter().map(|&ports| PrefixPorts { prefix, ports }));
    }
    found
}

fn prefixes(addresses: &AddressSet, family: Family) -> Vec<Prefix> {
    match family {
        Family::V4 => cut(&addresses.v4, 32),
        Family::V6 => cut(&addresses.v6, 128),
    }
}

/// Ranges as prefixes, by increasing address.
fn cut<T: Bound + Into<u128>>(set: &RangeSet<T>, width: u32) -> Vec<Prefix> {
    let mut found = Vec::new();
    for &(low, high) in set.ranges() {
        let (mut low, high): (u128, u128) = (low.into(), high.into());
        loop {
            let size = largest(low, high, width);
            found.push(Prefix {
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
    found
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
    let side = |side: &Option<Side>| match side {
        Some(Side::Endpoints { endpoints, .. }) => endpoints
            .iter()
            .map(|endpoint| endpoint_count(endpoint, family))
            .fold(0usize, usize::saturating_add),
        _ => 1,
    };
    side(&matches.from).saturating_mul(side(&matches.to))
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
    prefixes(addresses, family).len().saturating_mul(ports)
}
