//! The parts of a random rule, each with the blank ahead of it.

use super::Options;
use super::random::Random;
use super::values::{Lean, Values};
use super::whole;
use crate::header_field::{self, HeaderField};

/// Protocols as rules write them, with the family they are of and whether they have ports; more of what occurs most.
#[rustfmt::skip]
const PROTOCOLS: &[(&str, Lean, bool)] = &[
    ("", Lean::Either, true), ("", Lean::V4, true), ("", Lean::V6, true),
    (" tcp", Lean::Either, true), (" tcp", Lean::V4, true), (" tcp", Lean::V6, true),
    (" udp", Lean::V4, true), (" udp", Lean::V6, true),
    (" tcp, udp", Lean::V4, true), (" tcp, udp", Lean::V6, true),
    (" sctp", Lean::V4, true), (" sctp", Lean::V6, true),
    (" icmp", Lean::V4, false), (" icmp6", Lean::V6, false),
    (" icmp echo-request", Lean::V4, false), (" icmp 3/4", Lean::V4, false),
    (" icmp { echo-reply, 3/1, time-exceeded }", Lean::V4, false),
    (" icmp6 { neighbour-solicit, packet-too-big }", Lean::V6, false),
    (" icmp, icmp6", Lean::Either, false), (" icmp6 echo-request, udp", Lean::V6, true),
    (" esp", Lean::V4, false), (" ah, gre", Lean::V6, false), (" proto 89", Lean::V4, false),
    (" proto 6", Lean::V6, true), (" proto 1, proto 58", Lean::V6, false),
];

/// The fields of the header that plain policies look at.
const PLAIN: [HeaderField; 3] = [
    HeaderField::TcpFlags,
    HeaderField::Fragment,
    HeaderField::Length,
];

/// Conditions on those, or on all other fields of the header.
pub(super) fn drawn(plain: bool) -> Vec<&'static str> {
    header_field::rows()
        .filter(|row| PLAIN.contains(&row.field) == plain)
        .flat_map(|row| row.drawn)
        .copied()
        .collect()
}

/// Conditions on the socket of a packet.
const SOCKETS: &[&str] = &["socket exists", "socket established", "socket listening"];

/// What a rule is about: protocols, then both sides, one, or none.
pub(super) fn subject(random: &mut Random, values: &Values) -> String {
    let &(protocols, lean, ports) = random.pick(PROTOCOLS);
    // Some rules that can match nothing belong to the test.
    let ports = ports || random.one_in(12);
    let lean = if random.one_in(12) {
        Lean::Either
    } else {
        lean
    };
    format!("{protocols}{}", sides(random, values, lean, ports))
}

/// Both sides, one, or none.
pub(super) fn sides(random: &mut Random, values: &Values, lean: Lean, ports: bool) -> String {
    let mut sides = String::new();
    if random.one_in(2) {
        sides += &format!(" from {}", side(random, values, lean, ports));
    }
    if !random.one_in(4) {
        sides += &format!(" to {}", side(random, values, lean, ports));
    }
    sides
}

/// A list of endpoints, or what is none of them.
pub(super) fn side(random: &mut Random, values: &Values, lean: Lean, ports: bool) -> String {
    let not = if random.one_in(6) { "not " } else { "" };
    let count = random.below(3).max(1);
    let endpoints: Vec<String> = (0..count)
        .map(|_| endpoint(random, values, lean, ports))
        .collect();
    format!("{not}{}", endpoints.join(", "))
}

fn endpoint(random: &mut Random, values: &Values, lean: Lean, ports: bool) -> String {
    match random.below(5) {
        0 if ports => format!("port {}", values.ports(random)),
        1 | 2 if ports => {
            let address = values.address(random, lean, true);
            format!("{address}:{}", values.ports(random))
        }
        _ => values.address(random, lean, false),
    }
}

/// `if …`, or nothing; `arriving`: whether the rule is about packets that arrive.
pub(super) fn conditions(random: &mut Random, options: Options, arriving: bool) -> String {
    match random.below(4) {
        0 => format!(" if {}", condition(random, options, arriving)),
        1 if random.one_in(2) => {
            let first = condition(random, options, arriving);
            format!(" if {first} and {}", condition(random, options, arriving))
        }
        _ => String::new(),
    }
}

fn condition(random: &mut Random, options: Options, arriving: bool) -> String {
    let sockets = options.socket_conditions;
    let named = arriving && options.redirects;
    let one = |random: &mut Random| {
        if let Some(other) = whole::condition(random, options.features, sockets, named) {
            other
        } else if sockets && random.one_in(3) {
            *random.pick(SOCKETS)
        } else {
            *random.pick(&drawn(true))
        }
    };
    match random.below(6) {
        0 => format!("no {}", one(random)),
        1 => {
            let first = one(random);
            format!("any of {{ {first}, no {} }}", one(random))
        }
        2 if sockets => "no socket".to_owned(),
        _ => one(random).to_owned(),
    }
}
