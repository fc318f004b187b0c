//! Ports of sets: a protocol and what stands in its header, as one number.
//!
//! Takes them as ipset writes them; gives numbers, and what packets numbers stand for. Which protocols the kernel reads ports of, and what
//! becomes of parts of a datagram, is as in its `get_port` and `ip_set_get_ip4_port` (net/netfilter/ipset/ip_set_getport.c). Not here: whose
//! ports they are.

use std::collections::{BTreeMap, BTreeSet};

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::entry::Wrong;
use super::matching::Within;
use crate::verbs::import::ports;
use crate::verbs::import::protocols;
use crate::verbs::import::what::{Of, What, icmp};

/// How many bits of a number stand behind the protocol.
const WIDTH: u32 = 17;
/// What stands there where a packet has no ports, and all numbers behind it: of such a protocol nothing else is asked.
const WITHOUT: u128 = 1 << 16;
/// The last number of all.
pub(super) const LAST: u128 = (256 << WIDTH) - 1;
/// The protocols with ports that a rule can name.
const WITH_PORTS: [u8; 3] = [6, 17, 132];
/// UDP-Lite, whose ports the kernel reads, and no rule.
const UDPLITE: u8 = 136;
/// The protocols that a set of ports alone is about.
pub(super) const PLAIN: [u8; 2] = [6, 17];

/// The first and the last number of a protocol's ports.
pub(super) fn numbers(protocol: u8, (low, high): (u16, u16)) -> (u128, u128) {
    let begin = u128::from(protocol) << WIDTH;
    (begin + u128::from(low), begin + u128::from(high))
}

/// Reads a protocol with its ports; of TCP, where none stands there.
pub(super) fn read(text: &str, family: Family) -> Result<(u128, u128), Wrong> {
    let wrong = || Wrong::Mistake(format!("`{text}` is no port; write one such as tcp:80"));
    let (name, rest) = text.split_once(':').unwrap_or(("tcp", text));
    let protocol = protocols::number(&name.to_ascii_lowercase());
    let Some(protocol) = protocol else {
        return Err(Wrong::Unsaid(format!(
            "the protocol {name} is not known here; write its number"
        )));
    };
    match protocol {
        0 => Err(wrong()),
        UDPLITE => Err(Wrong::Unsaid(
            "ports are those of TCP, UDP and SCTP".to_owned(),
        )),
        1 | 58 if protocol != icmp(family) => Err(Wrong::Unsaid(
            "it is about the ICMP of the other family".to_owned(),
        )),
        1 | 58 => {
            let (kind, code) = type_of(rest, family).ok_or_else(wrong)?;
            let both = u16::from_be_bytes([kind, code]);
            Ok(numbers(protocol, (both, both)))
        }
        _ if WITH_PORTS.contains(&protocol) => {
            Ok(numbers(protocol, ports::range(rest).ok_or_else(wrong)?))
        }
        _ if family == Family::V6 && protocols::BETWEEN.contains(&protocol) => {
            Err(Wrong::Unsaid(protocols::STEPPED_OVER.to_owned()))
        }
        _ => {
            let begin = u128::from(protocol) << WIDTH;
            Ok((begin, begin + (1 << WIDTH) - 1))
        }
    }
}

/// A type and a code of ICMP, by their numbers or by a name.
fn type_of(text: &str, family: Family) -> Option<(u8, u8)> {
    let names = match family {
        Family::V4 => ICMP.as_slice(),
        Family::V6 => ICMP6.as_slice(),
    };
    let numbered = || {
        let (kind, code) = text.split_once('/')?;
        Some((kind.parse().ok()?, code.parse().ok()?))
    };
    let named = names.iter().find(|(name, _)| *name == text);
    named.map(|(_, both)| *both).or_else(numbered)
}

/// Packets that some of these numbers stand for, and how their later fragments fare otherwise.
#[derive(Debug, Default)]
pub(super) struct Packets {
    /// Any of these, which share no packet.
    pub(super) cases: Vec<What>,
    /// How they are others.
    pub(super) changed: Option<&'static str>,
    /// Whether protocols are among them of which nothing is read.
    pub(super) is_of_others: bool,
}

/// What is said where packets without ports are meant beside some with ports.
const WITHOUT_PORTS: &str = "later fragments, which have no ports, do not match here";
/// What is said of a protocol whose later fragments the kernel does not look at.
pub(super) const LATER: &str = "later fragments match, too";

/// The packets whose ports at a side are these, of those that else the rule asks.
pub(super) fn packets(
    ranges: &[(u128, u128)],
    within: &Within,
    (of, family): (Of, Family),
) -> Result<Packets, String> {
    let mut found = Packets::default();
    let mut whole = Vec::new();
    let mut by_ports: BTreeMap<Vec<(u16, u16)>, Vec<u8>> = BTreeMap::new();
    for protocol in (0..=u8::MAX).filter(|one| within.protocols.contains(*one)) {
        let Own {
            ports,
            is_whole,
            is_without,
        } = own(ranges, protocol);
        if is_whole {
            whole.push(protocol);
        } else if ports.is_empty() {
            continue;
        } else if WITH_PORTS.contains(&protocol) {
            if is_without && !within.have_ports {
                found.changed = Some(WITHOUT_PORTS);
            }
            by_ports.entry(ports).or_default().push(protocol);
        } else if protocol == icmp(family) && !is_without {
            found.cases.push(of_types(&ports, family));
        } else if protocol == icmp(family) {
            return Err(
                "all types of ICMP but some are meant; a rule names those that it is about"
                    .to_owned(),
            );
        } else {
            return Err("ports are those of TCP, UDP and SCTP".to_owned());
        }
    }
    found.is_of_others = whole.iter().any(|one| !WITH_PORTS.contains(one));
    found.cases.extend(of_protocols(&whole, family));
    found
        .cases
        .extend(by_ports.iter().map(|(ports, protocols)| {
            let mut what = What::any(family);
            what.protocols = RangeSet::from_ranges(protocols.iter().map(|one| (*one, *one)));
            what.side_mut(of).ports = Some(RangeSet::from_ranges(ports.iter().copied()));
            what
        }));
    Ok(found)
}

/// What of some numbers belongs to a protocol.
struct Own {
    ports: Vec<(u16, u16)>,
    /// Whether packets of it are meant whatever they have.
    is_whole: bool,
    /// Whether packets without ports are meant.
    is_without: bool,
}

fn own(ranges: &[(u128, u128)], protocol: u8) -> Own {
    let (begin, end) = (
        u128::from(protocol) << WIDTH,
        (u128::from(protocol) + 1) << WIDTH,
    );
    let inside = ranges
        .iter()
        .filter(|(low, high)| *low < end && *high >= begin);
    let inside =
        inside.map(|(low, high)| (*low.max(&begin) - begin, *high.min(&(end - 1)) - begin));
    let inside: Vec<(u128, u128)> = inside.collect();
    let port = |one: u128| u16::try_from(one).unwrap_or(u16::MAX);
    let with = inside.iter().filter(|(low, _)| *low < WITHOUT);
    Own {
        ports: with.map(|(low, high)| (port(*low), port(*high))).collect(),
        is_whole: inside == [(0, end - begin - 1)],
        is_without: inside.iter().any(|(_, high)| *high >= WITHOUT),
    }
}

/// Every packet of some protocols, as one case.
fn of_protocols(protocols: &[u8], family: Family) -> Option<What> {
    let held = RangeSet::from_ranges(protocols.iter().map(|one| (*one, *one)));
    (!held.is_empty()).then(|| What {
        protocols: held,
        ..What::any(family)
    })
}

/// ICMP of some types. All codes of a type are the type.
fn of_types(ranges: &[(u16, u16)], family: Family) -> What {
    let mut types = BTreeSet::new();
    for &(low, high) in ranges {
        let mut next = u32::from(low);
        while next <= u32::from(high) {
            let [_, _, kind, code] = next.to_be_bytes();
            let is_whole = code == 0 && next + 255 <= u32::from(high);
            types.insert((kind, (!is_whole).then_some(code)));
            next += if is_whole { 256 } else { 1 };
        }
    }
    What {
        icmp: Some(types),
        ..What::protocol(family, icmp(family))
    }
}

/// Types and codes as ipset names them.
const ICMP: [(&str, (u8, u8)); 28] = [
    ("echo-reply", (0, 0)),
    ("network-unreachable", (3, 0)),
    ("host-unreachable", (3, 1)),
    ("protocol-unreachable", (3, 2)),
    ("port-unreachable", (3, 3)),
    ("fragmentation-needed", (3, 4)),
    ("source-route-failed", (3, 5)),
    ("network-unknown", (3, 6)),
    ("host-unknown", (3, 7)),
    ("network-prohibited", (3, 9)),
    ("host-prohibited", (3, 10)),
    ("communication-prohibited", (3, 13)),
    ("host-precedence-violation", (3, 14)),
    ("precedence-cutoff", (3, 15)),
    ("source-quench", (4, 0)),
    ("network-redirect", (5, 0)),
    ("host-redirect", (5, 1)),
    ("echo-request", (8, 0)),
    ("router-advertisement", (9, 0)),
    ("router-solicitation", (10, 0)),
    ("ttl-zero-during-transit", (11, 0)),
    ("ttl-zero-during-reassembly", (11, 1)),
    ("ip-header-bad", (12, 0)),
    ("required-option-missing", (12, 1)),
    ("timestamp-request", (13, 0)),
    ("timestamp-reply", (14, 0)),
    ("address-mask-request", (17, 0)),
    ("address-mask-reply", (18, 0)),
];
const ICMP6: [(&str, (u8, u8)); 17] = [
    ("no-route", (1, 0)),
    ("communication-prohibited", (1, 1)),
    ("address-unreachable", (1, 3)),
    ("port-unreachable", (1, 4)),
    ("packet-too-big", (2, 0)),
    ("ttl-zero-during-transit", (3, 0)),
    ("ttl-zero-during-reassembly", (3, 1)),
    ("bad-header", (4, 0)),
    ("unknown-header-type", (4, 1)),
    ("unknown-option", (4, 2)),
    ("echo-request", (128, 0)),
    ("echo-reply", (129, 0)),
    ("router-solicitation", (133, 0)),
    ("router-advertisement", (134, 0)),
    ("neighbour-solicitation", (135, 0)),
    ("neighbour-advertisement", (136, 0)),
    ("redirect", (137, 0)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::import::list::List;
    use crate::verbs::import::text::{clauses, protocols as words};

    fn said(ranges: &[(u128, u128)], family: Family) -> Result<Vec<String>, String> {
        let within = Within::of(&[What::any(family)]);
        let found = packets(ranges, &within, (Of::To, family))?;
        let text = |what: &What| words(what) + &clauses(what, List::In, false);
        Ok(found.cases.iter().map(text).collect())
    }

    #[test]
    fn ports_are_those_of_their_protocols() {
        for (text, rule) in [
            ("tcp:80", "tcp  to port 80"),
            ("80-90", "tcp  to port 80-90"),
            ("udp:domain", "udp  to port 53"),
            ("sctp:0", "sctp  to port 0"),
            ("icmp:echo-request", "icmp 8/0 "),
            ("icmp:3/4", "icmp fragmentation-needed "),
            ("gre:0", "gre "),
            ("253:0", "proto 253 "),
        ] {
            let read = read(text, Family::V4).unwrap();
            assert_eq!(said(&[read], Family::V4).unwrap(), [rule], "{text}");
        }
        let both = PLAIN.map(|protocol| numbers(protocol, (22, 23)));
        assert_eq!(
            said(&both, Family::V4).unwrap(),
            ["tcp, udp  to port 22-23"]
        );
        let whole = numbers(1, (0x0300, 0x03ff));
        assert_eq!(
            said(&[whole], Family::V4).unwrap(),
            ["icmp destination-unreachable "]
        );
        for wrong in ["tcp:", "tcp:70000", "icmp:no-such", "0:0"] {
            assert!(
                matches!(read(wrong, Family::V4), Err(Wrong::Mistake(_))),
                "{wrong}"
            );
        }
        for (unsaid, family) in [
            ("udplite:5", Family::V4),
            ("icmpv6:128/0", Family::V4),
            ("icmp:8/0", Family::V6),
            ("ah:0", Family::V6),
            ("no-such:0", Family::V4),
        ] {
            assert!(
                matches!(read(unsaid, family), Err(Wrong::Unsaid(_))),
                "{unsaid}"
            );
        }
    }

    #[test]
    fn all_but_some_ports_are_those_and_what_has_none_is_told() {
        let (low, high) = numbers(6, (80, 80));
        let others = [(0, low - 1), (high + 1, LAST)];
        let within = Within::of(&[What::protocol(Family::V4, 6)]);
        let found = packets(&others, &within, (Of::To, Family::V4)).unwrap();
        assert_eq!(found.changed, Some(WITHOUT_PORTS));
        assert_eq!(clauses(&found.cases[0], List::In, false), " to not port 80");
        let mut ported = What::protocol(Family::V4, 6);
        ported.from.ports = Some(RangeSet::full());
        let found = packets(&others, &Within::of(&[ported]), (Of::To, Family::V4)).unwrap();
        assert_eq!(found.changed, None);
        let (low, high) = numbers(1, (0x0800, 0x0800));
        let not_types = said(&[(0, low - 1), (high + 1, LAST)], Family::V4);
        assert!(
            not_types
                .unwrap_err()
                .contains("all types of ICMP but some")
        );
    }
}
