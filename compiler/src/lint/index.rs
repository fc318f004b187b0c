//! Which rules may match a packet, by its addresses and the port it goes to.
//!
//! For each of a few dimensions a segment tree over the ends of the rules' ranges: each node has the rules that span it,
//! so that the rules around a value stand on one way from the root. What a dimension cannot say of a rule (a negated
//! list, a live set) spans everything. Not here: whether the rule really matches.

use std::net::IpAddr;

use super::boxes::known;
use crate::decide::to_port;
use crate::event::Header;
use crate::policy::{Endpoint, Match, Policy, RuleId, Side};

/// Ranges of one rule beyond this number are taken together as the one around them.
const MOST_RANGES: usize = 64;

/// The rules of a list, findable by packet.
pub(super) struct Index {
    to: [Tree; 2],
    from: [Tree; 2],
    port: Tree,
}

/// A range of values, inclusive.
type Range = (u128, u128);

impl Index {
    /// Takes the rules of a list, in order.
    pub(super) fn new<'a>(
        policy: &Policy,
        rules: impl Iterator<Item = (RuleId, &'a Match)> + Clone,
    ) -> Self {
        let tree = |of: &dyn Fn(&Match) -> Vec<Range>| {
            Tree::new(rules.clone().map(|(id, one)| (id, of(one))).collect())
        };
        let side = |side: Option<&Side>, family| side_ranges(policy, side, family);
        Self {
            to: [0, 1].map(|family| tree(&|one| side(one.to.as_ref(), family))),
            from: [0, 1].map(|family| tree(&|one| side(one.from.as_ref(), family))),
            port: tree(&|one| port_ranges(one.to.as_ref())),
        }
    }

    /// Rules that may match the packet, each once, in no order; every other one does not.
    pub(super) fn around(&self, header: &Header) -> impl Iterator<Item = RuleId> {
        let family = usize::from(header.to.is_ipv6());
        let to = self.to[family].around(bits(header.to));
        let from = self.from[family].around(bits(header.from));
        let port = to_port(header).map(|port| self.port.around(port.into()));
        [Some(to), Some(from), port]
            .into_iter()
            .flatten()
            .min_by_key(Around::len)
            .into_iter()
            .flat_map(|around| around.lists)
            .flatten()
            .copied()
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

const EVERYTHING: Range = (0, u128::MAX);

/// The addresses of a side in one family (0 for IPv4).
fn side_ranges(policy: &Policy, side: Option<&Side>, family: usize) -> Vec<Range> {
    let Some(Side::Endpoints {
        negated: false,
        endpoints,
    }) = side
    else {
        return vec![EVERYTHING];
    };
    let mut ranges = Vec::new();
    for endpoint in endpoints {
        let Some(set) = known(policy, &endpoint.addresses) else {
            return vec![EVERYTHING];
        };
        match family {
            0 if set.v4.is_full() => return vec![EVERYTHING],
            0 => ranges.extend(
                set.v4
                    .ranges()
                    .iter()
                    .map(|&(low, high)| (low.into(), high.into())),
            ),
            _ => ranges.extend_from_slice(set.v6.ranges()),
        }
    }
    joined(ranges)
}

/// The ports of the receiver's side.
fn port_ranges(side: Option<&Side>) -> Vec<Range> {
    let Some(Side::Endpoints {
        negated: false,
        endpoints,
    }) = side
    else {
        return vec![EVERYTHING];
    };
    let ports = |endpoint: &Endpoint| match &endpoint.ports {
        None => vec![EVERYTHING],
        Some(ports) => ports
            .ranges()
            .iter()
            .map(|&(low, high)| (low.into(), high.into()))
            .collect(),
    };
    joined(endpoints.iter().flat_map(ports).collect())
}

/// The ranges without overlaps; many of them as one.
fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    if ranges.len() > MOST_RANGES {
        let low = ranges.first().map_or(0, |first| first.0);
        let high = ranges.iter().map(|one| one.1).max().unwrap_or(low);
        return vec![(low, high)];
    }
    let mut apart: Vec<Range> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match apart.last_mut() {
            Some(last) if low <= last.1 => last.1 = last.1.max(high),
            _ => apart.push((low, high)),
        }
    }
    apart
}

/// A segment tree.
struct Tree {
    /// Where a segment begins; the first begins at 0.
    starts: Vec<u128>,
    /// Nodes in the order of a heap, the leaves from `leaves` on.
    nodes: Vec<Vec<RuleId>>,
    leaves: usize,
}

/// The lists on the way from a leaf to the root.
struct Around<'a> {
    lists: Vec<&'a [RuleId]>,
}

impl Around<'_> {
    fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }
}

impl Tree {
    /// The ranges of one rule do not overlap.
    fn new(rules: Vec<(RuleId, Vec<Range>)>) -> Self {
        let mut starts = vec![0];
        for (low, high) in rules.iter().flat_map(|(_, ranges)| ranges) {
            starts.push(*low);
            starts.extend(high.checked_add(1));
        }
        starts.sort_unstable();
        starts.dedup();
        let leaves = starts.len().next_power_of_two();
        let mut tree = Self {
            starts,
            nodes: vec![Vec::new(); leaves * 2],
            leaves,
        };
        for (id, ranges) in &rules {
            for &range in ranges {
                tree.insert(*id, range);
            }
        }
        tree
    }

    /// The segment that a value lies in.
    fn segment(&self, value: u128) -> usize {
        self.starts.partition_point(|&start| start <= value) - 1
    }

    fn insert(&mut self, id: RuleId, (low, high): Range) {
        if (low, high) == EVERYTHING {
            self.nodes[1].push(id);
            return;
        }
        let mut left = self.segment(low) + self.leaves;
        let mut right = self.segment(high) + self.leaves + 1;
        while left < right {
            if left % 2 == 1 {
                self.nodes[left].push(id);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                self.nodes[right].push(id);
            }
            left /= 2;
            right /= 2;
        }
    }

    fn around(&self, value: u128) -> Around<'_> {
        let mut lists = Vec::new();
        let mut at = self.segment(value) + self.leaves;
        while at > 0 {
            if !self.nodes[at].is_empty() {
                lists.push(self.nodes[at].as_slice());
            }
            at /= 2;
        }
        Around { lists }
    }
}
