//! A packet that a rule is about, in the words of `explain`.
//!
//! Takes a conjunction; gives a packet where one can be made without asking the machine. Not here: what becomes of it.

use std::collections::BTreeMap;

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::list::List;
use super::text::address;
use super::what::{Pattern, What, Zone, icmp};

/// Addresses that nobody has (RFC 5737, RFC 3849), for senders and receivers.
const PLAIN_V4: [u128; 2] = [0xc000_0209, 0xc633_6401];
const PLAIN_V6: [u128; 2] = [
    0x2001_0db8_0000_0000_0000_0000_0000_0009,
    0x2001_0db8_0001_0000_0000_0000_0000_0001,
];

/// A packet.
pub(super) fn packet(what: &What, list: List) -> Option<String> {
    let number = protocol(what)?;
    let has_ports = matches!(number, 6 | 17 | 132);
    let [from, to] = match what.family {
        Family::V4 => PLAIN_V4,
        Family::V6 => PLAIN_V6,
    };
    let from = host(&what.from.addresses, from)?;
    let to = host(&what.to.addresses, to)?;
    let end = |host: u128, ports: &Option<RangeSet<u16>>, plain: u16| {
        let port = ports
            .as_ref()
            .map_or(Some(plain), |ports| port(ports, plain))?;
        let host = address(host, what.family);
        Some(match (has_ports, what.family) {
            (false, _) => host.to_string(),
            (true, Family::V4) => format!("{host}:{port}"),
            (true, Family::V6) => format!("[{host}]:{port}"),
        })
    };
    let mut text = String::new();
    if list != List::In {
        text += list.word();
        text.push(' ');
    }
    text += &named(what, number);
    text += &format!(
        " from {} to {}",
        end(from, &what.from.ports, 40000)?,
        end(to, &what.to.ports, 80)?
    );
    text += &interfaces(what, list);
    let mut with: Vec<String> = with(what, number)?.into_iter().map(str::to_owned).collect();
    with.extend(members(what, [from, to]));
    if !with.is_empty() {
        text += &format!(" with {}", with.join(", "));
    }
    Some(text)
}

/// The live sets that have the ends of the packet, with these.
fn members(what: &What, ends: [u128; 2]) -> impl Iterator<Item = String> {
    let mut held: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (side, end) in [&what.from, &what.to].into_iter().zip(ends) {
        if let Some(live) = side.live.as_ref().filter(|live| !live.negated) {
            let end = address(end, what.family).to_string();
            held.entry(&live.name).or_default().push(end);
        }
    }
    let held = held.into_iter();
    held.map(|(name, ends)| format!("@{name} {{ {} }}", ends.join(", ")))
}

/// What the packet says beside its ends; nothing where that would be said twice, or be of another protocol.
fn with(what: &What, number: u8) -> Option<Vec<&str>> {
    let mut all: Vec<&str> = Vec::new();
    for condition in &what.conditions {
        let said = condition.with.as_deref()?;
        // What is denied of the flags of TCP, other protocols have.
        let is_denied = number != 6 && condition.text.starts_with("no tcp flags");
        if said.is_empty() || is_denied || all.contains(&said) {
            continue;
        }
        let field = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
        let is_apart = match field(said).as_str() {
            "tcp" => number == 6,
            "socket" => matches!(number, 6 | 17),
            "length" => is_long_enough(said, what.family, number),
            _ => true,
        };
        if !is_apart || all.iter().any(|one| field(one) == field(said)) {
            return None;
        }
        all.push(said);
    }
    Some(all)
}

/// Whether a packet of this length has room for its headers.
fn is_long_enough(said: &str, family: Family, number: u8) -> bool {
    let ahead = match family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let own = match number {
        6 => 20,
        132 => 12,
        1 | 17 | 58 => 8,
        _ => 0,
    };
    let length = said.rsplit(' ').next().map(str::parse::<u32>);
    matches!(length, Some(Ok(length)) if length >= ahead + own)
}

fn interfaces(what: &What, list: List) -> String {
    let text = |name: String| super::text::pattern(&Pattern::One(name));
    let member =
        |zone: &'_ Option<Zone>| zone.as_ref().and_then(|zone| zone.members.first().cloned());
    let came_in = what.on.clone().or_else(|| member(&what.on_zone));
    let goes = what.leaves.clone().or_else(|| member(&what.to_zone));
    let (on, leaves) = match list {
        List::Out => (goes, None),
        List::In | List::Forward => (came_in, goes),
    };
    let (not_on, not_leaves) = match list {
        List::Out => (&what.not_leaves, &what.not_on),
        List::In | List::Forward => (&what.not_on, &what.not_leaves),
    };
    // Where one name alone is meant at an end, the other end has another one.
    let only = match &on {
        Some(Pattern::One(name)) => Some(name.clone()),
        _ => None,
    };
    let leaves = leaves.map(|one| name(&one, not_leaves, only.as_deref()));
    let on = on.map(|one| name(&one, not_on, leaves.as_deref()));
    let on = on.map(|on| format!(" on interface {}", text(on)));
    let leaves = leaves.map(|one| format!(" to interface {}", text(one)));
    on.unwrap_or_default() + &leaves.unwrap_or_default()
}

/// A name of a pattern that is none of these, and not that of the packet's other end.
fn name(pattern: &Pattern, not: &[Pattern], other: Option<&str>) -> String {
    let begins = match pattern {
        Pattern::One(name) => return name.clone(),
        Pattern::Begins(begins) => begins,
    };
    let all = (0..10).map(|number| format!("{begins}{number}"));
    let mut free = all.filter(|name| {
        let one = Pattern::One(name.clone());
        other != Some(name) && !not.iter().any(|not| not.has(&one))
    });
    free.next().unwrap_or_else(|| format!("{begins}0"))
}

/// A protocol, the likeliest first.
fn protocol(what: &What) -> Option<u8> {
    const LIKELY: [u8; 2] = [6, 17];
    // Behind these headers of IPv6 another one stands, so none is a packet's protocol.
    let is_between = |one: &u8| what.family == Family::V6 && [0, 43, 44, 60].contains(one);
    let ranges = what.protocols.ranges().iter();
    let mut numbers = ranges.flat_map(|&(low, high)| low..=high);
    let first = numbers.find(|one| !is_between(one));
    let likely = LIKELY.into_iter().find(|one| what.protocols.contains(*one));
    likely.or(first)
}

fn named(what: &What, number: u8) -> String {
    let first = what.icmp.as_ref().and_then(|types| types.first().copied());
    let (kind, code) = first.unwrap_or((8, None));
    let code = code.map(|code| format!("/{code}")).unwrap_or_default();
    match number {
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        132 => "sctp".to_owned(),
        1 if icmp(what.family) == 1 => format!("icmp {kind}{code}"),
        58 if icmp(what.family) == 58 => {
            let kind = if what.icmp.is_some() { kind } else { 128 };
            format!("icmp6 {kind}{code}")
        }
        _ => format!("proto {number}"),
    }
}

/// An address of these: the plain one, else the second of the first range, as the first may be a network's.
fn host(addresses: &RangeSet<u128>, plain: u128) -> Option<u128> {
    if addresses.contains(plain) {
        return Some(plain);
    }
    let &(low, high) = addresses.ranges().first()?;
    Some(if low < high { low + 1 } else { low })
}

fn port(ports: &RangeSet<u16>, plain: u16) -> Option<u16> {
    match ports.contains(plain) {
        true => Some(plain),
        false => ports.ranges().first().map(|range| range.0),
    }
}
