//! Filter rules as data: what they are, where they come from, what they decide, and the packets they are asked about.
//!
//! Takes seeds, sizes and files; gives rules, headers, the text of a policy, and the answer of a linear scan. It knows no
//! kernel and no other system, so that tests elsewhere take it in by `#[path]`; it is a `mod.rs` for their sake.

pub(crate) mod choice;
pub(crate) mod classbench;
pub(crate) mod family;
pub(crate) mod generate;
pub(crate) mod hostile;
pub(crate) mod policy;
pub(crate) mod scan;
pub(crate) mod trace;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Every port.
pub(crate) const ANY_PORT: (u16, u16) = (0, u16::MAX);
/// TCP, UDP and SCTP: the protocols that have ports.
pub(crate) const WITH_PORTS: [u8; 3] = [6, 17, 132];

/// Addresses that begin with the same bits; the others of `address` are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Prefix {
    pub(crate) address: IpAddr,
    pub(crate) length: u8,
}

impl Prefix {
    /// The prefix of this length that holds an address.
    pub(crate) fn of(address: IpAddr, length: u8) -> Self {
        let address = match address {
            IpAddr::V4(four) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Ipv4Addr::from_bits(four.to_bits() & mask).into()
            }
            IpAddr::V6(six) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Ipv6Addr::from_bits(six.to_bits() & mask).into()
            }
        };
        Self { address, length }
    }

    /// Every address of the family.
    pub(crate) fn any(is_ipv6: bool) -> Self {
        let address: IpAddr = if is_ipv6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        Self { address, length: 0 }
    }
}

/// A rule: what it matches. Its verdict follows from its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub(crate) from: Prefix,
    pub(crate) to: Prefix,
    pub(crate) sports: (u16, u16),
    pub(crate) dports: (u16, u16),
    /// `None` is every protocol, or, where there are ports, every protocol that has them.
    pub(crate) protocol: Option<u8>,
}

impl Rule {
    /// Whether it is about IPv6.
    pub(crate) fn is_ipv6(&self) -> bool {
        self.to.address.is_ipv6()
    }

    /// Whether it asks for ports, which later fragments and most protocols do not have.
    pub(crate) fn has_ports(&self) -> bool {
        self.sports != ANY_PORT || self.dports != ANY_PORT
    }

    /// Whether it can match at all: ports of a protocol that has none never do.
    pub(crate) fn can_match(&self) -> bool {
        let ports_exist = self
            .protocol
            .is_none_or(|protocol| WITH_PORTS.contains(&protocol));
        ports_exist || !self.has_ports()
    }
}

/// What is read of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Header {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) protocol: u8,
}

/// Rules of one source, in their order, none twice.
#[derive(Clone, Debug)]
pub(crate) struct RuleSet {
    /// The name of the family.
    pub(crate) family: String,
    pub(crate) rules: Vec<Rule>,
    /// How many were left out, since they match nothing.
    pub(crate) left_out: usize,
    /// Headers that came with the rules.
    pub(crate) headers: Vec<Header>,
}

impl RuleSet {
    /// A set without the rules that are there twice and those that match nothing.
    pub(crate) fn new(family: &str, rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut seen = HashSet::new();
        let unique: Vec<Rule> = rules
            .into_iter()
            .filter(|rule| seen.insert(*rule))
            .collect();
        let all = unique.len();
        let rules: Vec<Rule> = unique.into_iter().filter(Rule::can_match).collect();
        Self {
            family: family.to_owned(),
            left_out: all - rules.len(),
            rules,
            headers: Vec::new(),
        }
    }

    /// Whether any rule is about IPv6.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.rules.iter().any(Rule::is_ipv6)
    }
}
