//! The linear scan: which rule matches first. Slow and obvious, it is what every faster answer is compared with.
//!
//! Takes rules and headers; gives the index of the first rule that matches, or none.

use std::net::IpAddr;
use std::thread;

use super::{Header, Prefix, Rule, WITH_PORTS};

/// Rules in the form that they are compared in.
pub(crate) struct Scan {
    rows: Vec<Row>,
}

struct Row {
    ipv6: bool,
    from: (u128, u128),
    to: (u128, u128),
    sports: (u16, u16),
    dports: (u16, u16),
    protocol: Option<u8>,
    has_ports: bool,
}

impl Scan {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        Self {
            rows: rules.iter().map(Row::new).collect(),
        }
    }

    /// The first rule that matches a header.
    pub(crate) fn first(&self, header: &Header) -> Option<usize> {
        let ipv6 = header.to.is_ipv6();
        let (from, to) = (bits(header.from), bits(header.to));
        self.rows
            .iter()
            .position(|row| row.ipv6 == ipv6 && row.matches(from, to, header))
    }

    /// The first rule for each of many headers, on every processor.
    pub(crate) fn all(&self, headers: &[Header]) -> Vec<Option<usize>> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = headers.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let work = |part: &[Header]| part.iter().map(|one| self.first(one)).collect();
            let parts: Vec<_> = headers
                .chunks(share)
                .map(|part| scope.spawn(move || -> Vec<Option<usize>> { work(part) }))
                .collect();
            let done = parts.into_iter().map(|part| part.join());
            done.flat_map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }
}

impl Row {
    fn new(rule: &Rule) -> Self {
        Self {
            ipv6: rule.is_ipv6(),
            from: masked(rule.from),
            to: masked(rule.to),
            sports: rule.sports,
            dports: rule.dports,
            protocol: rule.protocol,
            has_ports: rule.has_ports(),
        }
    }

    fn matches(&self, from: u128, to: u128, header: &Header) -> bool {
        let within = |(low, high): (u16, u16), port| low <= port && port <= high;
        from & self.from.1 == self.from.0
            && to & self.to.1 == self.to.0
            && self.protocol.is_none_or(|one| one == header.protocol)
            && (!self.has_ports
                || WITH_PORTS.contains(&header.protocol)
                    && within(self.sports, header.sport)
                    && within(self.dports, header.dport))
    }
}

/// The bits of a prefix and the mask of those that count.
fn masked(prefix: Prefix) -> (u128, u128) {
    let width = if prefix.address.is_ipv4() { 32 } else { 128 };
    let mask = u128::MAX
        .checked_shl(width - u32::from(prefix.length))
        .unwrap_or(0);
    (bits(prefix.address), mask)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_bits().into(),
        IpAddr::V6(six) => six.to_bits(),
    }
}
