//! The values at which a rule's answer may change.

use std::net::IpAddr;

use sockc_compiler::header_field::{ByField, Kind, Row, row};
use sockc_compiler::policy::{
    Addresses, Condition, Endpoint, Family, FieldTest, Match, Policy, Rule, SetKind, Side,
};
use sockc_compiler::protocol::IpProtocol;
use sockc_compiler::ranges::{Bound, RangeSet};

/// So many ranges at each end of a large set are edges of the policy.
const OUTERMOST: usize = 8;

/// Values of one rule, or of every rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    pub(super) from: Vec<Corner>,
    pub(super) to: Vec<Corner>,
    pub(super) protocols: Vec<IpProtocol>,
    pub(super) icmp: Vec<(u8, u8)>,
    /// Of each field of the header; `None` where a packet does not have it.
    pub(super) fields: ByField<Vec<Option<u64>>>,
}

/// Addresses and ports of one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Corner {
    pub(super) v4: Vec<u32>,
    pub(super) v6: Vec<u128>,
    pub(super) ports: Vec<u16>,
}

impl Values {
    pub(super) fn of_rule(rule: &Rule) -> Self {
        let matches = &rule.matches;
        let mut values = Self {
            from: corners(matches.from.as_ref()),
            to: corners(matches.to.as_ref()),
            protocols: matches.protocols.iter().map(|it| it.number).collect(),
            icmp: icmp(matches),
            ..Self::default()
        };
        for condition in &matches.conditions {
            values.add_condition(condition);
        }
        values
    }

    /// Everything of every rule, the named sockets' addresses, and what every policy must stand.
    pub(super) fn of_policy(policy: &Policy, rules: &[Self]) -> Self {
        let mut all = Self::always();
        for rule in rules {
            all.from.extend(rule.from.iter().cloned());
            all.to.extend(rule.to.iter().cloned());
            all.protocols.extend(&rule.protocols);
            all.icmp.extend(&rule.icmp);
            for (row, values) in rule.fields.iter() {
                all.fields[row.field].extend(values);
            }
        }
        for listen in policy
            .sockets
            .values()
            .filter_map(|socket| socket.origin.listen())
            .flatten()
        {
            all.to.push(Corner::exact(listen.address, listen.port));
        }
        for set in policy.sets.values() {
            let corner = Corner::of_set(&set.kind);
            all.from.push(corner.clone());
            all.to.push(corner);
        }
        all
    }

    /// The family that every address of the rule lies in, if it is one and the rule names addresses.
    pub(super) fn only_family(&self) -> Option<Family> {
        let of = |corners: &[Corner]| match corners {
            [] => None,
            all if all.iter().all(|corner| corner.v6.is_empty()) => Some(Family::V4),
            all if all.iter().all(|corner| corner.v4.is_empty()) => Some(Family::V6),
            _ => None,
        };
        of(&self.from).or_else(|| of(&self.to))
    }

    fn always() -> Self {
        let ends = Corner {
            v4: vec![0, u32::MAX, 0x0102_0304],
            v6: vec![0, u128::MAX, 1],
            ports: vec![0, 1, 80, u16::MAX],
        };
        Self {
            from: vec![ends.clone()],
            to: vec![ends],
            protocols: vec![
                IpProtocol::TCP,
                IpProtocol::UDP,
                IpProtocol::SCTP,
                IpProtocol::ICMP,
                IpProtocol::ICMP6,
                IpProtocol::ESP,
                IpProtocol::AH,
                IpProtocol(254),
                IpProtocol(255),
            ],
            icmp: vec![(0, 0), (8, 0), (255, 255)],
            fields: ByField::of(|row| row.edges.to_vec()),
        }
    }

    fn add_condition(&mut self, condition: &Condition) {
        match condition {
            Condition::No(inner) => self.add_condition(inner),
            Condition::AnyOf(all) => all.iter().for_each(|one| self.add_condition(one)),
            Condition::Header { field, test } => {
                let around = around(row(*field), *test);
                self.fields[*field].extend(around.into_iter().map(Some));
            }
            Condition::Socket { .. }
            | Condition::SockAbsent(_)
            | Condition::Entry { .. }
            | Condition::FirstMatch(_) => {}
        }
    }
}

/// Values that pass a test and values next to those that do.
fn around(row: &Row, test: FieldTest) -> Vec<u64> {
    let mut values = match (row.kind, test) {
        (Kind::Code, FieldTest::Range { low, .. }) => vec![low, low ^ 1],
        // The same with a bit of each half flipped.
        (Kind::Address, FieldTest::Range { low, .. }) => vec![low, low ^ 1, low ^ 1 << 24],
        (_, FieldTest::Range { low, high }) => [low, high]
            .into_iter()
            .flat_map(|end| [end.saturating_sub(1), end, end.saturating_add(1)])
            .collect(),
        // Just these flags, every other one too, and each named one flipped.
        (Kind::Flags, FieldTest::Masked { wanted, mask }) => {
            let bits = (0..u64::BITS).map(|bit| 1 << bit);
            let named = bits.filter(|bit| (wanted | mask) & bit != 0);
            let flipped = named.map(|bit| wanted ^ bit);
            [wanted, row.max & !(mask ^ wanted)]
                .into_iter()
                .chain(flipped)
                .collect()
        }
        (_, FieldTest::Masked { wanted, mask }) => vec![wanted, wanted | !mask, wanted ^ mask],
    };
    values.retain(|value| *value <= row.max);
    values
}

impl Corner {
    /// The ends of an endpoint's ranges; what a set holds that is asked as one question is not an edge of the rule.
    fn of(endpoint: &Endpoint) -> Self {
        let (v4, v6) = match &endpoint.addresses {
            Addresses::Ranges(set) => (ends(&set.v4), ends(&set.v6)),
            Addresses::Set(_) => (Vec::new(), Vec::new()),
        };
        Self {
            v4,
            v6,
            ports: endpoint.ports.as_ref().map(ends).unwrap_or_default(),
        }
    }

    /// The ends of the ranges at both ends of a set that is asked as one question; of a live one, of what it starts with.
    fn of_set(kind: &SetKind) -> Self {
        let mut corner = Self::default();
        match kind {
            SetKind::Constant(set) => {
                corner.v4 = ends(&outermost(&set.v4));
                corner.v6 = ends(&outermost(&set.v6));
            }
            SetKind::Live { start, .. } => {
                let outer = start.iter().take(OUTERMOST);
                for &(address, length) in outer.chain(start.iter().rev().take(OUTERMOST)) {
                    corner.add_prefix(address, length);
                }
            }
        }
        corner
    }

    fn add_prefix(&mut self, address: IpAddr, length: u8) {
        match address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                let low = address.to_bits() & !host;
                self.v4
                    .extend(ends(&RangeSet::from_ranges([(low, low | host)])));
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                let low = address.to_bits() & !host;
                self.v6
                    .extend(ends(&RangeSet::from_ranges([(low, low | host)])));
            }
        }
    }

    fn exact(address: IpAddr, port: u16) -> Self {
        let (v4, v6) = match address {
            IpAddr::V4(v4) => (vec![v4.to_bits()], Vec::new()),
            IpAddr::V6(v6) => (Vec::new(), vec![v6.to_bits()]),
        };
        Self {
            v4,
            v6,
            ports: vec![port],
        }
    }
}

fn corners(side: Option<&Side>) -> Vec<Corner> {
    match side {
        Some(Side::Endpoints { endpoints, .. }) => endpoints.iter().map(Corner::of).collect(),
        Some(Side::Group(_)) | None => Vec::new(),
    }
}

/// The first and the last ranges of a set.
fn outermost<T: Bound>(set: &RangeSet<T>) -> RangeSet<T> {
    let ranges = set.ranges().iter();
    let last = ranges.clone().rev().take(OUTERMOST);
    RangeSet::from_ranges(ranges.take(OUTERMOST).chain(last).copied())
}

/// The ends of every range and their neighbours; the ends twice, since inside is where later rules are reached.
fn ends<T: Bound>(set: &RangeSet<T>) -> Vec<T> {
    let mut values = Vec::with_capacity(set.ranges().len() * 6);
    for &(low, high) in set.ranges() {
        values.extend([low, high, low, high]);
        values.extend(low.previous());
        values.extend(high.next());
    }
    values
}

fn icmp(matches: &Match) -> Vec<(u8, u8)> {
    let named = matches.protocols.iter().flat_map(|it| &it.icmp);
    named
        .flat_map(|it| {
            let code = it.code.unwrap_or(0);
            [
                (it.kind, code),
                (it.kind, code.wrapping_add(1)),
                (it.kind.wrapping_sub(1), code),
                (it.kind.wrapping_add(1), code),
            ]
        })
        .collect()
}
