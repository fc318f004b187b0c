//! Boxes of packets: the quick way to tell which rules may meet, and to draw those that are plain.
//!
//! Takes matches; gives blocks of single ranges, exact for most rules of large lists and around what they match for the
//! others. Not here: what a block cannot say.

use crate::candidates::{Dimensions, EVERYTHING};
use crate::classifier::Protocols;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::field::{FROM, Field, TO};
use crate::policy::{AddressSet, Addresses, Endpoint, Family, Match, Policy, SetKind, Side};
use crate::protocol::IpProtocol;
use crate::ranges::{Bound, RangeSet};

/// The maximum number of blocks of one rule.
const MAX_BLOCKS: usize = 16;

type Range<T> = (T, T);

/// A box of packets of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Block {
    family: Family,
    protocols: Protocols,
    /// Whether only packets that have ports are in it.
    needs_ports: bool,
    to: Range<u128>,
    from: Range<u128>,
    to_port: Range<u16>,
    from_port: Range<u16>,
}

/// What a match is inside of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cover {
    pub(super) blocks: Vec<Block>,
    /// Whether the blocks are exactly what is matched.
    pub(super) exact: bool,
}

impl Cover {
    /// The blocks of a match, whose sets are those of the policy.
    pub(super) fn of(policy: &Policy, matches: &Match) -> Self {
        if let Some(blocks) = exact(matches) {
            return Self {
                blocks,
                exact: true,
            };
        }
        let families = [Family::V4, Family::V6].into_iter();
        Self {
            blocks: families
                .filter_map(|family| around(policy, matches, family))
                .collect(),
            exact: false,
        }
    }

    /// What is inside of either.
    pub(super) fn with(mut self, other: &Self) -> Self {
        self.blocks.extend(&other.blocks);
        self.exact = false;
        self
    }

    /// Whether they may share packets.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let meets = |one: &Block| other.blocks.iter().any(|two| one.meets(two));
        self.blocks.iter().any(meets)
    }

    /// The ranges around its addresses.
    pub(super) fn span(&self) -> Span {
        let all = self.blocks.iter().map(Block::span);
        all.fold(Span::NOTHING, Span::around)
    }

    /// The parts of this one that are inside of another.
    pub(super) fn clipped(&self, other: &Self) -> Vec<Block> {
        let pairs = self
            .blocks
            .iter()
            .flat_map(|one| other.blocks.iter().map(move |two| one.clip(two)));
        pairs.flatten().collect()
    }
}

/// Ranges around addresses of both families, of IPv6 their upper halves: small, so that many are gone through quickly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    to: Range<u64>,
    from: Range<u64>,
}

impl Span {
    const NOTHING: Self = Self {
        to: (u64::MAX, 0),
        from: (u64::MAX, 0),
    };

    fn around(self, other: Self) -> Self {
        let around = |one: Range<u64>, two: Range<u64>| (one.0.min(two.0), one.1.max(two.1));
        Self {
            to: around(self.to, other.to),
            from: around(self.from, other.from),
        }
    }

    /// Whether they overlap; what does not shares no packet.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let meets = |one: Range<u64>, two: Range<u64>| one.0 <= two.1 && two.0 <= one.1;
        meets(self.to, other.to) && meets(self.from, other.from)
    }
}

impl Block {
    fn span(&self) -> Span {
        // Addresses of IPv4 are ahead of those of IPv6, of which the lowest bit is lost.
        let word = |address: u128| match self.family {
            Family::V4 => address as u64,
            Family::V6 => 1 << 63 | (address >> 65) as u64,
        };
        let range = |(low, high)| (word(low), word(high));
        Span {
            to: range(self.to),
            from: range(self.from),
        }
    }

    /// What is around it, if it is of this family.
    pub(super) fn shape(&self, family: Family) -> Option<Dimensions> {
        let address = |address: u128| match family {
            Family::V4 => address as u64,
            Family::V6 => (address >> 64) as u64,
        };
        let end = |(low, high)| (address(low), address(high));
        let port = |(low, high): Range<u16>| (low.into(), high.into());
        (self.family == family).then(|| {
            let (to, from) = (end(self.to), end(self.from));
            [
                to,
                from,
                port(self.to_port),
                port(self.from_port),
                EVERYTHING,
            ]
        })
    }

    /// Whether they may share packets. Most that do not are told by their ranges, before anything is made.
    fn meets(&self, other: &Self) -> bool {
        both(self.to, other.to).is_some()
            && both(self.from, other.from).is_some()
            && both(self.to_port, other.to_port).is_some()
            && self.clip(other).is_some()
    }

    /// What both have.
    fn clip(&self, other: &Self) -> Option<Self> {
        if self.family != other.family {
            return None;
        }
        let protocols = self.protocols.and(&other.protocols);
        let needs_ports = self.needs_ports || other.needs_ports;
        let protocols = match needs_ports {
            true => protocols.among(&IpProtocol::WITH_PORTS),
            false => protocols,
        };
        (!protocols.is_empty()).then_some(())?;
        Some(Self {
            family: self.family,
            protocols,
            needs_ports,
            to: both(self.to, other.to)?,
            from: both(self.from, other.from)?,
            to_port: both(self.to_port, other.to_port)?,
            from_port: both(self.from_port, other.from_port)?,
        })
    }

    /// `inside` for what is in it, else `outside`; both are terminals.
    pub(super) fn draw(
        &self,
        store: &mut Store,
        inside: Node,
        outside: Node,
    ) -> Result<Node, BudgetExceeded> {
        let port = |range: Range<u16>| (u32::from(range.0), u32::from(range.1));
        let mut node = inside;
        if self.needs_ports {
            let (low, high) = port(self.from_port);
            node = store.range(Field::FromPort, low, high, node, outside)?;
        }
        for (words, range) in [(FROM, self.from), (TO, self.to)] {
            node = match self.family {
                // IPv4 addresses are kept in the low 32 bits.
                Family::V4 => {
                    store.range(words[0], range.0 as u32, range.1 as u32, node, outside)?
                }
                Family::V6 => store.address_ranges(words[0], &[range], node, outside)?,
            };
        }
        if self.needs_ports {
            let (low, high) = port(self.to_port);
            node = store.range(Field::ToPort, low, high, node, outside)?;
            node = store.range(Field::Fragment, 0, 1, node, outside)?;
        }
        if self.protocols != Protocols::ALL {
            let numbers = (0..=u8::MAX).filter(|&number| self.protocols.contains(number));
            let ranges: Vec<(u32, u32)> = numbers.map(|one| (one.into(), one.into())).collect();
            node = store.ranges(Field::Protocol, &ranges, node, outside)?;
        }
        match self.family {
            Family::V4 => store.range(Field::Family, 0, 0, node, outside),
            Family::V6 => store.range(Field::Family, 1, 1, node, outside),
        }
    }
}

fn both<T: Ord + Copy>(one: Range<T>, other: Range<T>) -> Option<Range<T>> {
    let range = (one.0.max(other.0), one.1.min(other.1));
    (range.0 <= range.1).then_some(range)
}

/// The blocks that are exactly what is matched, if there are few of them and nothing else is asked.
fn exact(matches: &Match) -> Option<Vec<Block>> {
    let no_types = matches.protocols.iter().all(|one| one.icmp.is_empty());
    let plain = no_types && matches.conditions.is_empty();
    let plain = plain && matches.on.is_none() && matches.leaves.is_none();
    plain.then_some(())?;
    let mut blocks = Vec::new();
    for family in [Family::V4, Family::V6] {
        let whole = whole(matches, family);
        let Some(whole) = whole else { continue };
        let (from, to) = (ends(&matches.from, family)?, ends(&matches.to, family)?);
        for (from, from_port) in &from {
            for (to, to_port) in &to {
                let block = Block {
                    needs_ports: from_port.is_some() || to_port.is_some(),
                    to: *to,
                    from: *from,
                    to_port: to_port.unwrap_or((0, u16::MAX)),
                    from_port: from_port.unwrap_or((0, u16::MAX)),
                    ..whole
                };
                blocks.extend(block.clip(&whole));
            }
        }
        (blocks.len() <= MAX_BLOCKS).then_some(())?;
    }
    Some(blocks)
}

/// Every packet of the protocols of a match in a family.
fn whole(matches: &Match, family: Family) -> Option<Block> {
    let here = matches
        .protocols
        .iter()
        .filter(|one| one.family.is_none_or(|only| only == family));
    let protocols = match matches.protocols.is_empty() {
        true => Protocols::ALL,
        false => Protocols::of(here.map(|one| one.number.0)),
    };
    let last = last(family);
    (!protocols.is_empty()).then_some(Block {
        family,
        protocols,
        needs_ports: false,
        to: (0, last),
        from: (0, last),
        to_port: (0, u16::MAX),
        from_port: (0, u16::MAX),
    })
}

fn last(family: Family) -> u128 {
    match family {
        Family::V4 => u32::MAX.into(),
        Family::V6 => u128::MAX,
    }
}

type End = (Range<u128>, Option<Range<u16>>);

/// The ends of a side, if few ranges say them.
fn ends(side: &Option<Side>, family: Family) -> Option<Vec<End>> {
    let endpoints = match side {
        None => return Some(vec![((0, last(family)), None)]),
        Some(Side::Endpoints {
            negated: false,
            endpoints,
        }) => endpoints,
        Some(_) => return None,
    };
    let mut ends = Vec::new();
    for endpoint in endpoints {
        let addresses = ranges(endpoint.addresses.ranges()?, family);
        let ports: Vec<Option<Range<u16>>> = match &endpoint.ports {
            None => vec![None],
            Some(ports) => ports.ranges().iter().copied().map(Some).collect(),
        };
        (addresses.len() * ports.len() <= MAX_BLOCKS).then_some(())?;
        for range in addresses {
            ends.extend(ports.iter().map(|&port| (range, port)));
        }
    }
    (ends.len() <= MAX_BLOCKS).then_some(ends)
}

fn ranges(set: &AddressSet, family: Family) -> Vec<Range<u128>> {
    match family {
        Family::V4 => {
            let ranges = set.v4.ranges().iter();
            ranges
                .map(|&(low, high)| (low.into(), high.into()))
                .collect()
        }
        Family::V6 => set.v6.ranges().to_vec(),
    }
}

/// The block around what is matched in a family.
fn around(policy: &Policy, matches: &Match, family: Family) -> Option<Block> {
    let whole = whole(matches, family)?;
    let (from, from_port) = span(policy, &matches.from, family)?;
    let (to, to_port) = span(policy, &matches.to, family)?;
    let block = Block {
        needs_ports: from_port.is_some() || to_port.is_some(),
        to,
        from,
        to_port: to_port.unwrap_or((0, u16::MAX)),
        from_port: from_port.unwrap_or((0, u16::MAX)),
        ..whole
    };
    block.clip(&whole)
}

/// The ranges around a side; `None` if nothing of the family is on it.
fn span(policy: &Policy, side: &Option<Side>, family: Family) -> Option<End> {
    let everything = ((0, last(family)), None);
    let Some(Side::Endpoints {
        negated: false,
        endpoints,
    }) = side
    else {
        return Some(everything);
    };
    let spans = endpoints
        .iter()
        .filter_map(|one| endpoint_span(policy, one, family));
    spans.reduce(|one, other| {
        let ports = one.1.zip(other.1);
        let ports = ports.map(|(one, other)| (one.0.min(other.0), one.1.max(other.1)));
        ((one.0.0.min(other.0.0), one.0.1.max(other.0.1)), ports)
    })
}

fn endpoint_span(policy: &Policy, endpoint: &Endpoint, family: Family) -> Option<End> {
    let known = match &endpoint.addresses {
        Addresses::Ranges(set) => Some(set),
        Addresses::Set(set) => match &policy.sets[*set].kind {
            SetKind::Constant(set) => Some(set),
            SetKind::Live { .. } => None,
        },
    };
    let addresses = match (known, family) {
        (None, _) => (0, last(family)),
        (Some(set), Family::V4) => {
            let (low, high) = hull(&set.v4)?;
            (low.into(), high.into())
        }
        (Some(set), Family::V6) => hull(&set.v6)?,
    };
    let ports = match &endpoint.ports {
        None => None,
        Some(ports) => Some(hull(ports)?),
    };
    Some((addresses, ports))
}

fn hull<T: Bound>(set: &RangeSet<T>) -> Option<Range<T>> {
    let ranges = set.ranges();
    Some((ranges.first()?.0, ranges.last()?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of TCP for the first and the last number of each side.
    fn block(to: Range<u128>, from: Range<u128>, ports: [Range<u16>; 2]) -> Block {
        Block {
            family: Family::V4,
            protocols: Protocols::of([6]),
            needs_ports: true,
            to,
            from,
            to_port: ports[0],
            from_port: ports[1],
        }
    }

    #[test]
    fn what_two_blocks_share_is_the_narrower_of_each_side() {
        let wide = block((0, 100), (5, 9), [(1, 10), (7, 7)]);
        let narrow = block((40, 200), (0, 8), [(3, 20), (0, 9)]);
        let both = block((40, 100), (5, 8), [(3, 10), (7, 7)]);
        assert_eq!(wide.clip(&narrow), Some(both));
        assert_eq!(narrow.clip(&wide), Some(both));
        let apart = block((101, 101), (0, 8), [(3, 20), (0, 9)]);
        assert_eq!(wide.clip(&apart), None);
    }
}
