//! Matches and packets in words, as short as an explanation needs them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::decide::Seen;
use crate::event::{Fragment, Header, SocketAnswer, Transport};
use crate::header_field::{Exists, Kind, Row, flag_names, row};
use crate::policy::{
    Addresses, Condition, Direction, Endpoint, FieldTest, NetnsId, Policy, ProtocolMatch,
};
use crate::ranges::{Bound, RangeSet};

/// The maximum number of items of a list that are shown.
const SHOWN: usize = 4;

/// A list, cut where it gets long.
pub(super) fn short(mut items: Vec<String>) -> String {
    let more = items.len().saturating_sub(SHOWN);
    items.truncate(SHOWN);
    if more > 0 {
        items.push(format!("and {more} more"));
    }
    items.join(", ")
}

/// The protocols of a rule.
pub(super) fn protocols(protocols: &[ProtocolMatch]) -> String {
    let word = |one: &ProtocolMatch| {
        let name = one.number.words();
        let types: Vec<String> = one
            .icmp
            .iter()
            .map(|kind| match kind.code {
                Some(code) => format!("{}/{code}", kind.kind),
                None => kind.kind.to_string(),
            })
            .collect();
        if types.is_empty() {
            name
        } else {
            format!("{name} {}", short(types))
        }
    };
    short(protocols.iter().map(word).collect())
}

/// The protocol of a packet, with its ICMP type.
pub(super) fn protocol(header: &Header) -> String {
    let name = header.protocol.words();
    match (header.transport, header.fragment) {
        (Transport::Icmp { kind, code }, _) => format!("{name} {kind}/{code}"),
        (_, Fragment::Later) => format!("a later fragment of {name}"),
        _ => name,
    }
}

/// An endpoint of a rule.
pub(super) fn end(policy: &Policy, endpoint: &Endpoint) -> String {
    let addresses = match &endpoint.addresses {
        Addresses::Set(set) => policy.sets[*set].words(),
        Addresses::Ranges(set) if set.v4.is_full() && set.v6.is_full() => "any".into(),
        Addresses::Ranges(set) => {
            let mut items = ranges(&set.v4, 32, |bits| Ipv4Addr::from_bits(bits).into());
            items.extend(ranges(&set.v6, 128, |bits| {
                Ipv6Addr::from_bits(bits).into()
            }));
            short(items)
        }
    };
    let Some(ports) = &endpoint.ports else {
        return addresses;
    };
    let items = ports.ranges().iter().map(|&(low, high)| {
        if low == high {
            low.to_string()
        } else {
            format!("{low}-{high}")
        }
    });
    let ports = if ports.is_full() {
        "*".into()
    } else {
        short(items.collect())
    };
    format!("{addresses} port {ports}")
}

/// Ranges as addresses, prefixes where they are, and first and last.
pub(crate) fn ranges<T: Bound + Into<u128>>(
    set: &RangeSet<T>,
    bits: u32,
    address: impl Fn(T) -> IpAddr,
) -> Vec<String> {
    let text = |&(low, high): &(T, T)| {
        let (first, last) = (low.into(), high.into());
        let free = (last - first).trailing_ones();
        let is_prefix = last - first == (1u128.checked_shl(free).unwrap_or(0)).wrapping_sub(1)
            && first.trailing_zeros() >= free;
        match (first == last, is_prefix) {
            (true, _) => address(low).to_string(),
            (_, true) => format!("{}/{}", address(low), bits - free),
            _ => format!("{}-{}", address(low), address(high)),
        }
    };
    set.ranges().iter().map(text).collect()
}

/// A condition as a rule writes it.
pub(crate) fn condition(policy: &Policy, condition: &Condition) -> String {
    match condition {
        Condition::No(inner) => format!("no {}", self::condition(policy, inner)),
        Condition::AnyOf(list) => {
            let items: Vec<String> = list
                .iter()
                .map(|one| self::condition(policy, one))
                .collect();
            format!("any of {{ {} }}", items.join(", "))
        }
        Condition::Socket { test, netns } => {
            format!("socket {}{}", test.word(), in_netns(policy, *netns))
        }
        Condition::SockAbsent(socket) => format!("sock {} absent", policy.sockets[*socket].name),
        Condition::Entry { map, socket } => format!(
            "an entry of @{} for sock {}",
            policy.live_maps[*map].name, policy.sockets[*socket].name
        ),
        Condition::Header { field, test } => header_words(row(*field), *test),
        Condition::FirstMatch(group) => format!("first match {group}"),
    }
}

fn in_netns(policy: &Policy, netns: Option<NetnsId>) -> String {
    netns.map_or_else(String::new, |id| {
        format!(" in netns \"{}\"", policy.namespaces[id])
    })
}

fn header_words(row: &Row, test: FieldTest) -> String {
    let word = row.word();
    match (row.kind, test) {
        (Kind::Present, _) => word.into(),
        // A bit that is to be set and clear is in the one and not in the other.
        (Kind::Flags, FieldTest::Masked { wanted, mask }) => flags(word, wanted, wanted ^ mask),
        (_, FieldTest::Masked { wanted, mask }) if mask == row.max => format!("{word} {wanted:#x}"),
        (_, FieldTest::Masked { wanted, mask }) => format!("{word} {wanted:#x}/{mask:#x}"),
        (Kind::Code | Kind::Address, FieldTest::Range { low, high }) if low == high => {
            format!("{word} {}", row.value_word(low))
        }
        (_, FieldTest::Range { low, high }) => between(word, low, high),
    }
}

fn between(what: &str, low: u64, high: u64) -> String {
    match (low, high) {
        (low, high) if low > high => format!("no {what} at all"),
        (low, high) if low == high => format!("{what} = {low}"),
        (0, high) => format!("{what} <= {high}"),
        (low, high) if high >= u32::MAX.into() => format!("{what} >= {low}"),
        (low, high) => format!("{what} >= {low} and {what} <= {high}"),
    }
}

fn flags(word: &str, set: u64, clear: u64) -> String {
    let set = flag_names(set).map(str::to_owned);
    let clear = flag_names(clear).map(|name| format!("no {name}"));
    let words: Vec<String> = set.chain(clear).collect();
    format!("{word} {}", words.join(" "))
}

/// What a packet has in place of what a condition wants; empty where nothing short can be said.
pub(super) fn found(seen: &Seen<'_>, condition: &Condition) -> String {
    let header = seen.header;
    match condition {
        Condition::No(inner) => found(seen, inner),
        Condition::AnyOf(_) | Condition::FirstMatch(_) => String::new(),
        Condition::Socket { netns, .. } => socket(seen, *netns),
        Condition::SockAbsent(_) => "it is there".into(),
        Condition::Entry { .. } => "it has none for this packet".into(),
        Condition::Header { field, .. } => found_in_header(row(*field), header),
    }
}

/// What a packet has as the value of a field.
fn found_in_header(row: &Row, header: &Header) -> String {
    let Some(value) = (row.get)(header) else {
        return match row.exists {
            Exists::InTcp => "it has no TCP header".into(),
            Exists::Always | Exists::Optional => format!("it has no {}", row.noun()),
        };
    };
    match row.kind {
        Kind::Present => "it is whole".into(),
        Kind::Flags if value == 0 => "it has no flag set".into(),
        Kind::Flags => format!("it has {}", flag_names(value).collect::<Vec<_>>().join(" ")),
        Kind::Masked => format!("its {} is {value:#x}", row.word()),
        Kind::Code | Kind::Range | Kind::Address => {
            format!("its {} is {}", row.word(), row.value_word(value))
        }
    }
}

fn socket(seen: &Seen<'_>, netns: Option<NetnsId>) -> String {
    let there = in_netns(seen.policy, netns);
    let own = match (seen.direction(), netns) {
        (Direction::Out, None) => "its sender has",
        _ => "the lookup finds",
    };
    match seen.socket(netns) {
        SocketAnswer::None => format!("{own} no socket{there}"),
        SocketAnswer::Listening => format!("{own} a listening socket{there}"),
        SocketAnswer::Established => format!("{own} a connected socket{there}"),
    }
}
