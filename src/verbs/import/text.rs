//! What a rule is about, as the language writes it.
//!
//! Takes a conjunction; gives protocols and clauses. A family is said by addresses, where the caller asks for it. Not here: verbs,
//! logs and notes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::list::List;
use super::what::{Live, Named, OWN, Pattern, Side, Type, What, Zone, bits, every, icmp};

/// The protocols, with a blank behind them; nothing where it is every one. The language has no word for all but some, so those are named
/// one by one: a long line, and the same packets.
pub(super) fn protocols(what: &What) -> String {
    if what.protocols.is_full() {
        return String::new();
    }
    let ranges = what.protocols.ranges().iter();
    let numbers = ranges.flat_map(|&(low, high)| low..=high);
    let named: Vec<String> = numbers.map(|one| protocol(what, one)).collect();
    named.join(", ") + " "
}

fn protocol(what: &What, number: u8) -> String {
    match (number, what.family) {
        (6, _) => "tcp".to_owned(),
        (17, _) => "udp".to_owned(),
        (132, _) => "sctp".to_owned(),
        (50, _) => "esp".to_owned(),
        (51, _) => "ah".to_owned(),
        (47, _) => "gre".to_owned(),
        (1, Family::V4) => "icmp".to_owned() + &icmp_types(what),
        (58, Family::V6) => "icmp6".to_owned() + &icmp_types(what),
        _ => format!("proto {number}"),
    }
}

/// The types of ICMP, by their names where they have one.
fn icmp_types(what: &What) -> String {
    let Some(types) = &what.icmp else {
        return String::new();
    };
    let named: Vec<String> = types
        .iter()
        .map(|one| icmp_type(what.family, *one))
        .collect();
    match named.as_slice() {
        [one] => format!(" {one}"),
        _ => format!(" {{ {} }}", named.join(", ")),
    }
}

fn icmp_type(family: Family, (kind, code): Type) -> String {
    use sockc_compiler::names::IcmpKind;
    use sockc_compiler::policy::IcmpMatch;
    let family = match family {
        Family::V4 => IcmpKind::Icmp,
        Family::V6 => IcmpKind::Icmp6,
    };
    match (family.name_of(IcmpMatch { kind, code }), code) {
        (Some(name), _) => name.to_owned(),
        (None, Some(code)) => format!("{kind}/{code}"),
        (None, None) => format!("{kind}"),
    }
}

/// The clauses, each with a blank ahead. With `scoped` they hold for no packet of the other family.
pub(super) fn clauses(what: &What, list: List, scoped: bool) -> String {
    let every = every(what.family);
    let says_icmp = what.protocols.ranges() == [(icmp(what.family), icmp(what.family))];
    let is_live = what.from.live.is_some() || what.to.live.is_some();
    let is_said =
        says_icmp || is_live || what.from.addresses != every || what.to.addresses != every;
    let from_says = scoped && !is_said;
    let mut text = side("from", &what.from, what, (scoped, from_says));
    text += &side("to", &what.to, what, (scoped, false));
    text += &interfaces(what, list);
    let conditions: Vec<&str> = what
        .conditions
        .iter()
        .map(|one| one.text.as_str())
        .collect();
    if !conditions.is_empty() {
        text += &format!(" if {}", conditions.join(" and "));
    }
    if let Some(rate) = &what.rate {
        let word = if rate.above { "above" } else { "up to" };
        text += &format!(" {word} {}", rate.text);
    }
    text
}

/// The interfaces: what leaves names its own as what arrives does.
fn interfaces(what: &What, list: List) -> String {
    let interface = |word: &str, one: &Pattern| format!(" {word} interface {}", pattern(one));
    let zone = |word: &str, one: &Zone| format!(" {word} zone {}", one.name);
    let said = match list {
        List::Out => [
            what.leaves.as_ref().map(|one| interface("on", one)),
            what.to_zone.as_ref().map(|one| zone("on", one)),
            None,
            None,
        ],
        List::In | List::Forward => [
            what.on.as_ref().map(|one| interface("on", one)),
            what.on_zone.as_ref().map(|one| zone("on", one)),
            what.leaves.as_ref().map(|one| interface("to", one)),
            what.to_zone.as_ref().map(|one| zone("to", one)),
        ],
    };
    said.into_iter().flatten().collect()
}

/// Names of interfaces. A name with a digit in it is no reserved word, so it needs no quotes; nor does `lo`.
pub(super) fn pattern(pattern: &Pattern) -> String {
    let text = match pattern {
        Pattern::One(name) => name.clone(),
        Pattern::Begins(name) => format!("{name}*"),
    };
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'*')
        && (text == "lo"
            || text
                .bytes()
                .any(|byte| byte.is_ascii_digit() || byte == b'*'));
    match is_plain {
        true => text,
        false => quoted(&text),
    }
}

/// A string of the language.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One side. `scoped` is whether packets of the other family come here, and `says` whether this side has to keep them out.
fn side(word: &str, side: &Side, what: &What, (scoped, says): (bool, bool)) -> String {
    let every = every(what.family);
    if let Some(live) = &side.live {
        return format!(" {word} {}", of_live(live, side, what.family, scoped));
    }
    let is_every = side.addresses == every && !says;
    let text = match (&side.ports, is_every) {
        (None, true) => return String::new(),
        (Some(ports), true) => {
            if ports.is_full() && says_ports_otherwise(word, what) {
                return String::new();
            }
            ports_alone(ports)
        }
        (None, false) => match named_here(side, scoped) {
            Some(set) => named(set, what.family, scoped),
            None => addresses(&side.addresses, what.family, scoped),
        },
        (Some(ports), false) if named_here(side, scoped).is_some_and(|set| !set.negated) => {
            let set = side.set.as_ref().map(called);
            format!("{}:{}", set.unwrap_or_default(), port_list(ports))
        }
        (Some(ports), false) => {
            let ports = port_list(ports);
            let all = hosts(&side.addresses, what.family).into_iter();
            let all: Vec<String> = match what.family {
                Family::V4 => all.map(|one| format!("{one}:{ports}")).collect(),
                Family::V6 => all.map(|one| format!("[{one}]:{ports}")).collect(),
            };
            all.join(", ")
        }
    };
    format!(" {word} {text}")
}

/// A side that is a live set, with the ports that it has.
fn of_live(live: &Live, side: &Side, family: Family, scoped: bool) -> String {
    let set = Named::new(live.name.clone(), live.negated);
    match &side.ports {
        Some(ports) => format!("{}:{}", called(&set), port_list(ports)),
        None => named(&set, family, scoped),
    }
}

/// Whether the other side names ports, so that a packet has some for certain; of two sides that name every port, `to` says so.
fn says_ports_otherwise(word: &str, what: &What) -> bool {
    match word {
        "to" => what
            .from
            .ports
            .as_ref()
            .is_some_and(|ports| !ports.is_full()),
        _ => what.to.ports.is_some(),
    }
}

/// Ports of any address.
fn ports_alone(ports: &RangeSet<u16>) -> String {
    let others = RangeSet::full().minus(ports);
    if others.is_empty() {
        "port *".to_owned()
    } else if others.ranges().len() < ports.ranges().len() {
        format!("not port {}", port_list(&others))
    } else {
        format!("port {}", port_list(ports))
    }
}

fn port_list(ports: &RangeSet<u16>) -> String {
    if ports.is_full() {
        return "*".to_owned();
    }
    let all = ports.ranges().iter();
    let all: Vec<String> = all
        .map(|&(low, high)| match low == high {
            true => low.to_string(),
            false => format!("{low}-{high}"),
        })
        .collect();
    match all.as_slice() {
        [only] => only.clone(),
        _ => format!("{{{}}}", all.join(", ")),
    }
}

/// The set that a rule names for these addresses. Those of the machine are of both families, so a rule of one family has to say them otherwise.
fn named_here(side: &Side, scoped: bool) -> Option<&Named> {
    side.set.as_ref().filter(|set| !scoped || set.name != OWN)
}

/// A set as a rule names it.
fn called(set: &Named) -> String {
    match set.name.as_str() {
        OWN => OWN.to_owned(),
        name => format!("@{name}"),
    }
}

/// The addresses of a set, or all but these of the family.
fn named(set: &Named, family: Family, scoped: bool) -> String {
    let name = called(set);
    match (set.negated, scoped) {
        (false, _) => name,
        (true, false) => format!("not {name}"),
        (true, true) => format!("not {name}, {}", whole(other(family))),
    }
}

/// Addresses without ports, as they are or as those that are not meant, whichever is shorter. `not` would let the other family
/// in, so that is named too where its packets come here.
fn addresses(meant: &RangeSet<u128>, family: Family, scoped: bool) -> String {
    let plain = hosts(meant, family);
    let others = every(family).minus(meant);
    let mut not = hosts(&others, family);
    if scoped {
        not.push(whole(other(family)).to_owned());
    }
    let (plain, not) = (plain.join(", "), format!("not {}", not.join(", ")));
    match others.is_empty() || not.len() >= plain.len() {
        true => plain,
        false => not,
    }
}

/// The other family.
pub(super) fn other(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}

/// The prefix of a whole family.
pub(super) fn whole(family: Family) -> &'static str {
    match family {
        Family::V4 => "0.0.0.0/0",
        Family::V6 => "::/0",
    }
}

/// Addresses, prefixes and ranges.
pub(super) fn hosts(addresses: &RangeSet<u128>, family: Family) -> Vec<String> {
    let all = addresses.ranges().iter();
    all.map(|&range| host(range, family)).collect()
}

/// A range as an address, a prefix, or as it is.
fn host((low, high): (u128, u128), family: Family) -> String {
    if low == high {
        return address(low, family).to_string();
    }
    let bits = bits(family);
    // The bits in which the ends of a prefix differ are its last ones, and all of them.
    let differing = low ^ high;
    let is_prefix = differing & differing.wrapping_add(1) == 0 && low & differing == 0;
    match is_prefix {
        true => format!("{}/{}", address(low, family), bits - differing.count_ones()),
        false => format!("{}-{}", address(low, family), address(high, family)),
    }
}

/// An address of a number.
pub(super) fn address(number: u128, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> u128 {
        match text.parse().unwrap() {
            IpAddr::V4(address) => u32::from(address).into(),
            IpAddr::V6(address) => address.into(),
        }
    }

    fn set(ranges: &[(&str, &str)]) -> RangeSet<u128> {
        RangeSet::from_ranges(ranges.iter().map(|(low, high)| (number(low), number(high))))
    }

    #[test]
    fn sides_are_written_the_shorter_way_and_keep_to_their_family() {
        let mut what = What::any(Family::V4);
        assert_eq!(clauses(&what, List::In, false), "");
        assert_eq!(clauses(&what, List::In, true), " from 0.0.0.0/0");
        what.to.ports = Some(RangeSet::full());
        assert_eq!(clauses(&what, List::In, true), " from 0.0.0.0/0 to port *");
        what.from.ports = Some(RangeSet::from_ranges([(53, 53)]));
        assert_eq!(clauses(&what, List::In, true), " from 0.0.0.0/0:53");
        what.from.ports = Some(RangeSet::full().minus(&RangeSet::from_ranges([(53, 54)])));
        assert_eq!(clauses(&what, List::In, false), " from not port 53-54");
        what.from.ports = None;
        what.to.ports = None;
        what.from.addresses = every(Family::V4).minus(&set(&[("10.0.0.0", "10.255.255.255")]));
        assert_eq!(clauses(&what, List::In, false), " from not 10.0.0.0/8");
        assert_eq!(clauses(&what, List::In, true), " from not 10.0.0.0/8, ::/0");
        what.from.addresses = set(&[("10.0.0.1", "10.0.0.3"), ("192.0.2.4", "192.0.2.5")]);
        assert_eq!(
            clauses(&what, List::In, true),
            " from 10.0.0.1-10.0.0.3, 192.0.2.4/31"
        );
        let mut what = What::any(Family::V6);
        what.to = Side {
            addresses: set(&[("2001:db8::", "2001:db8::ffff")]),
            ports: Some(RangeSet::from_ranges([(22, 22), (80, 81)])),
            set: None,
            live: None,
        };
        what.leaves = Some(Pattern::Begins("eth".into()));
        let text = " to [2001:db8::/112]:{22, 80-81}";
        assert_eq!(
            clauses(&what, List::Out, true),
            format!("{text} on interface eth*")
        );
        assert_eq!(
            clauses(&what, List::Forward, true),
            format!("{text} to interface eth*")
        );
    }

    #[test]
    fn protocols_are_named_also_where_all_but_some_are_meant() {
        let mut what = What::icmp(Family::V4, 8, None);
        assert_eq!(protocols(&what), "icmp echo-request ");
        what = What::icmp(Family::V4, 3, Some(15));
        assert_eq!(protocols(&what), "icmp 3/15 ");
        what.protocols = RangeSet::from_ranges([(6, 6), (17, 17), (89, 89)]);
        assert_eq!(protocols(&what), "tcp, udp, proto 89 ");
        what.protocols = RangeSet::full().minus(&what.protocols);
        what.icmp = None;
        let named = protocols(&what);
        assert_eq!(named.split(", ").count(), 253, "{named}");
        assert!(named.starts_with("proto 0, icmp, proto 2, "), "{named}");
        assert_eq!(protocols(&What::protocol(Family::V6, 1)), "proto 1 ");
        assert_eq!(pattern(&Pattern::One("in".into())), "\"in\"");
        assert_eq!(pattern(&Pattern::One("br-lan".into())), "\"br-lan\"");
    }
}
