//! What the rules of a policy can tell apart: of all headers that get the same answer from every rule, one.
//!
//! Takes a policy once, then headers; gives for each a header that every rule matches exactly if it matches the first.
//! So a decision is looked for once for packets that differ only where no rule looks. Not here: decisions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::event::{Header, Transport};
use crate::header_field::{ByField, HeaderField, Row, row};
use crate::policy::{Addresses, Condition, FieldTest, Policy, SetKind, Side};
use crate::ranges::{Bound, RangeSet};

/// Where the answers of rules may change.
pub(super) struct Sight {
    from: End,
    to: End,
    fields: ByField<Looked>,
}

/// What rules look at of a field of the header.
#[derive(Default)]
struct Looked {
    /// Values that they tell apart.
    values: Cuts<u64>,
    /// Bits that they tell apart.
    bits: u64,
}

impl Looked {
    fn add(&mut self, row: &Row, test: FieldTest) {
        match test {
            FieldTest::Range { low, high } => {
                let (low, high) = (low.min(row.max), high.min(row.max));
                self.values
                    .add(row.encode(Some(low)), row.encode(Some(high)));
            }
            FieldTest::Masked { mask, .. } => self.bits |= mask,
        }
    }

    /// The smallest value that is looked at like this one; where rules look in both ways, itself.
    fn first_like(&self, value: u64) -> u64 {
        match (self.bits, self.values.0.is_empty()) {
            (0, _) => self.values.first_like(value),
            (bits, true) => value & bits,
            (_, false) => value,
        }
    }
}

/// One side of a packet.
#[derive(Default)]
struct End {
    v4: Cuts<u32>,
    v6: Cuts<u128>,
    port: Cuts<u16>,
}

/// The first value of each run that is looked at alike; the run of the smallest value needs none.
#[derive(Default)]
struct Cuts<T>(Vec<T>);

impl<T: Bound> Cuts<T> {
    fn add(&mut self, low: T, high: T) {
        self.0.push(low);
        self.0.extend(high.next());
    }

    fn add_all(&mut self, ranges: &RangeSet<T>) {
        for &(low, high) in ranges.ranges() {
            self.add(low, high);
        }
    }

    fn finish(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
    }

    /// The smallest value that is looked at like this one.
    fn first_like(&self, value: T) -> T {
        let after = self.0.partition_point(|start| *start <= value);
        after.checked_sub(1).map_or(T::MIN, |at| self.0[at])
    }
}

impl End {
    fn add_side(&mut self, policy: &Policy, side: Option<&Side>) {
        let Some(Side::Endpoints { endpoints, .. }) = side else {
            return;
        };
        for endpoint in endpoints {
            match &endpoint.addresses {
                Addresses::Ranges(set) => {
                    self.v4.add_all(&set.v4);
                    self.v6.add_all(&set.v6);
                }
                Addresses::Set(set) => self.add_set(&policy.sets[*set].kind),
            }
            if let Some(ports) = &endpoint.ports {
                self.port.add_all(ports);
            }
        }
    }

    fn add_set(&mut self, kind: &SetKind) {
        match kind {
            SetKind::Constant(set) => {
                self.v4.add_all(&set.v4);
                self.v6.add_all(&set.v6);
            }
            SetKind::Live { start, .. } => {
                for &(address, length) in start {
                    self.add_prefix(address, length);
                }
            }
        }
    }

    fn add_prefix(&mut self, network: IpAddr, length: u8) {
        match network {
            IpAddr::V4(network) => {
                let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                let bits = network.to_bits();
                self.v4.add(bits & !host, bits | host);
            }
            IpAddr::V6(network) => {
                let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                let bits = network.to_bits();
                self.v6.add(bits & !host, bits | host);
            }
        }
    }

    fn finish(&mut self) {
        self.v4.finish();
        self.v6.finish();
        self.port.finish();
    }

    fn address(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(self.v4.first_like(v4.to_bits())).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(self.v6.first_like(v6.to_bits())).into(),
        }
    }
}

impl Sight {
    /// What the rules of a policy look at, in every direction; live sets and maps hold what they start with.
    pub(super) fn of(policy: &Policy) -> Self {
        let mut sight = Self {
            from: End::default(),
            to: End::default(),
            fields: ByField::default(),
        };
        for rule in policy.rules.values() {
            sight.from.add_side(policy, rule.matches.from.as_ref());
            sight.to.add_side(policy, rule.matches.to.as_ref());
            for condition in &rule.matches.conditions {
                sight.add_condition(policy, condition);
            }
            if let Some(longest) = rule.rate.and_then(|rate| rate.longest(rule.direction)) {
                sight.add_longest(longest);
            }
        }
        sight.from.finish();
        sight.to.finish();
        for (_, looked) in sight.fields.iter_mut() {
            looked.values.finish();
        }
        sight
    }

    fn add_condition(&mut self, policy: &Policy, condition: &Condition) {
        match condition {
            Condition::No(inner) => self.add_condition(policy, inner),
            Condition::AnyOf(any) => any.iter().for_each(|one| self.add_condition(policy, one)),
            Condition::Entry { map, .. } => {
                for entry in &policy.live_maps[*map].start {
                    self.to.add_prefix(entry.prefix.0, entry.prefix.1);
                    self.to.port.add(entry.ports.0, entry.ports.1);
                }
            }
            Condition::Header { field, test } => self.fields[*field].add(row(*field), *test),
            // The protocol of a header stays as it is.
            Condition::Socket { .. } | Condition::SockAbsent(_) | Condition::FirstMatch(_) => {}
        }
    }

    /// What is longer than a full bucket of bytes never fits.
    fn add_longest(&mut self, longest: u64) {
        let field = HeaderField::Length;
        self.fields[field].add(
            row(field),
            FieldTest::Range {
                low: 0,
                high: longest,
            },
        );
    }

    /// The header that stands for all that rules cannot tell from this one.
    pub(super) fn of_header(&self, header: &Header) -> Header {
        let mut like = Header {
            from: self.from.address(header.from),
            to: self.to.address(header.to),
            protocol: header.protocol,
            fragment: header.fragment,
            transport: self.transport(header.transport),
            ..Header::PLAIN
        };
        for (row, looked) in self.fields.iter().filter(|(row, _)| !row.shapes()) {
            let code = looked.first_like(row.encode((row.get)(header)));
            if let Some(value) = row.decode(code) {
                (row.set)(&mut like, value);
            }
        }
        like
    }

    fn transport(&self, transport: Transport) -> Transport {
        match transport {
            Transport::Tcp { from, to, flags } => Transport::Tcp {
                from: self.from.port.first_like(from),
                to: self.to.port.first_like(to),
                flags,
            },
            Transport::Ports { from, to } => Transport::Ports {
                from: self.from.port.first_like(from),
                to: self.to.port.first_like(to),
            },
            Transport::Icmp { .. } | Transport::None => transport,
        }
    }
}
