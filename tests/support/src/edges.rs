//! Packets at the edges of a policy: where a compiler that is off by one shows it.
//!
//! Takes a policy and a generator; gives consistent headers whose addresses, ports, lengths, flags, types and protocols
//! are ends of the policy's ranges, their neighbours, zero or the greatest value. Most fields of one packet come from
//! one rule, so that packets get past the rule's other conditions. What becomes of them is not decided here.

mod values;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use self::values::{Corner, Values};
use sockc_compiler::event::{Fragment, Header, Transport};
use sockc_compiler::header_field::{self, ByField, Exists, Plain};
use sockc_compiler::packet::{longest_length, shortest_length};
use sockc_compiler::policy::{Family, Policy};
use sockc_compiler::protocol::IpProtocol;
use sockc_random::Rng;

/// This many headers at the policy's edges.
#[must_use]
pub fn edge_headers(policy: &Policy, rng: &mut Rng, count: usize) -> Vec<Header> {
    let rules: Vec<Values> = policy.rules.values().map(Values::of_rule).collect();
    let all = Values::of_policy(policy, &rules);
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let rule = rng.pick(&rules).unwrap_or(&all);
        headers.push(Edges { rule, all: &all }.header(rng));
    }
    headers
}

/// Any consistent header, without a policy.
#[must_use]
pub fn arbitrary_header(rng: &mut Rng) -> Header {
    let family = family(rng);
    let corner = |rng: &mut Rng| Corner {
        v4: vec![rng.word()],
        v6: vec![u128::from(rng.bits()) << 64 | u128::from(rng.bits())],
        ports: vec![rng.half()],
    };
    let mut values = Values {
        from: vec![corner(rng)],
        to: vec![corner(rng)],
        protocols: vec![
            IpProtocol::TCP,
            IpProtocol::TCP,
            IpProtocol::UDP,
            IpProtocol::SCTP,
            IpProtocol::ICMP,
            IpProtocol::ICMP6,
            IpProtocol(rng.byte()),
        ],
        icmp: vec![(rng.byte(), rng.byte())],
        fields: ByField::default(),
    };
    for row in header_field::rows() {
        // Long packets take long to be built.
        let (plain, largest) = match row.plain {
            Plain::Value(value) => (Some(value), row.max),
            Plain::Absent => (None, row.max),
            Plain::Shortest => (Some(0), 1500),
        };
        let any = |rng: &mut Rng| {
            let word = u64::from(rng.word()) << 32 | u64::from(rng.word());
            Some(word % (largest + 1))
        };
        values.fields[row.field] = vec![any(rng), any(rng), plain];
    }
    values.protocols.retain(|&number| possible(family, number));
    let edges = Edges {
        rule: &values,
        all: &values,
    };
    edges.header_of(rng, family)
}

/// Values of the rule a packet is made for, and of the whole policy.
struct Edges<'a> {
    rule: &'a Values,
    all: &'a Values,
}

impl Edges<'_> {
    fn header(&self, rng: &mut Rng) -> Header {
        let family = match self.rule.only_family() {
            Some(family) if rng.chance(7, 8) => family,
            _ => family(rng),
        };
        self.header_of(rng, family)
    }

    fn header_of(&self, rng: &mut Rng, family: Family) -> Header {
        let protocol = self.protocol(rng, family);
        let fragment = fragment(rng);
        let (from, from_port) = self.side(rng, family, |values| &values.from);
        let (to, to_port) = self.side(rng, family, |values| &values.to);
        let transport = match protocol {
            _ if fragment == Fragment::Later => Transport::None,
            IpProtocol::TCP => Transport::Tcp {
                from: from_port,
                to: to_port,
                flags: 0,
            },
            number if number.has_ports() => Transport::Ports {
                from: from_port,
                to: to_port,
            },
            number if number == family.icmp() => {
                let (kind, code) = self.pick(rng, |values| &values.icmp).unwrap_or((8, 0));
                Transport::Icmp { kind, code }
            }
            _ => Transport::None,
        };
        let mut header = Header {
            from,
            to,
            protocol,
            fragment,
            transport,
            ..Header::PLAIN
        };
        self.set_fields(rng, &mut header);
        let shortest = shortest_length(family, protocol, fragment);
        header.length = header.length.clamp(shortest, longest_length(family));
        header
    }

    /// The fields of the header that the rest of it does not depend on.
    fn set_fields(&self, rng: &mut Rng, header: &mut Header) {
        for row in header_field::rows().filter(|row| !row.shapes()) {
            if row.exists == Exists::InTcp && (row.get)(header).is_none() {
                continue;
            }
            if let Some(Some(value)) = self.pick(rng, |values| &values.fields[row.field]) {
                (row.set)(header, value);
            }
        }
    }

    fn protocol(&self, rng: &mut Rng, family: Family) -> IpProtocol {
        let picked = self.pick(rng, |values| &values.protocols);
        picked
            .filter(|&number| possible(family, number))
            .unwrap_or(IpProtocol::TCP)
    }

    /// An address and a port, as a rule from one endpoint.
    fn side(
        &self,
        rng: &mut Rng,
        family: Family,
        of: impl Fn(&Values) -> &[Corner],
    ) -> (IpAddr, u16) {
        let (ours, all) = (rng.pick(of(self.rule)), rng.pick(of(self.all)));
        let corner = if rng.chance(7, 8) { ours.or(all) } else { all };
        let port = corner.and_then(|corner| rng.pick(&corner.ports).copied());
        let v4 = corner.and_then(|corner| rng.pick(&corner.v4).copied());
        let v6 = corner.and_then(|corner| rng.pick(&corner.v6).copied());
        let address = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(v4.unwrap_or_else(|| rng.word()))),
            Family::V6 => IpAddr::V6(v6.map_or(Ipv6Addr::LOCALHOST, Ipv6Addr::from_bits)),
        };
        (address, port.unwrap_or_else(|| rng.half()))
    }

    fn pick<T: Copy>(&self, rng: &mut Rng, of: impl Fn(&Values) -> &[T]) -> Option<T> {
        let ours = rng.pick(of(self.rule)).copied();
        let all = rng.pick(of(self.all)).copied();
        if rng.chance(7, 8) { ours.or(all) } else { all }
    }
}

fn family(rng: &mut Rng) -> Family {
    if rng.chance(1, 2) {
        Family::V4
    } else {
        Family::V6
    }
}

fn fragment(rng: &mut Rng) -> Fragment {
    match rng.below(16) {
        0 => Fragment::First,
        1 => Fragment::Later,
        _ => Fragment::Whole,
    }
}

/// Whether a parsed packet can have this protocol; IPv6's extension headers are stepped over.
fn possible(family: Family, number: IpProtocol) -> bool {
    family == Family::V4 || !number.is_extension()
}

#[cfg(test)]
mod tests;
