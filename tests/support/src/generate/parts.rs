//! The parts of a random rule, each with the blank ahead of it.

use super::Options;
use super::values::{Lean, Values};
use super::whole;
use sockc_compiler::field::FieldKind;
use sockc_compiler::header_field::{self, HeaderField};
use sockc_random::Rng;

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

/// Conditions on those, or on all other fields of the header; `frames`: with those of the frame.
pub(super) fn drawn(plain: bool, frames: bool) -> Vec<&'static str> {
    header_field::rows()
        .filter(|row| PLAIN.contains(&row.field) == plain)
        .filter(|row| frames || row.variables[0].kind() != FieldKind::Ether)
        .flat_map(|row| row.drawn)
        .copied()
        .collect()
}

/// Conditions on the socket of a packet.
const SOCKETS: &[&str] = &["socket exists", "socket established", "socket listening"];

/// What a rule is about: protocols, then both sides, one, or none.
pub(super) fn subject(rng: &mut Rng, values: &Values) -> String {
    let &(protocols, lean, ports) = rng.one_of(PROTOCOLS);
    // Some rules that can match nothing belong to the test.
    let ports = ports || rng.one_in(12);
    let lean = if rng.one_in(12) { Lean::Either } else { lean };
    format!("{protocols}{}", sides(rng, values, lean, ports))
}

/// Both sides, one, or none.
pub(super) fn sides(rng: &mut Rng, values: &Values, lean: Lean, ports: bool) -> String {
    let mut sides = String::new();
    if rng.one_in(2) {
        sides += &format!(" from {}", side(rng, values, lean, ports));
    }
    if !rng.one_in(4) {
        sides += &format!(" to {}", side(rng, values, lean, ports));
    }
    sides
}

/// A list of endpoints, or what is none of them.
pub(super) fn side(rng: &mut Rng, values: &Values, lean: Lean, ports: bool) -> String {
    let not = if rng.one_in(6) { "not " } else { "" };
    let count = rng.below(3).max(1);
    let endpoints: Vec<String> = (0..count)
        .map(|_| endpoint(rng, values, lean, ports))
        .collect();
    format!("{not}{}", endpoints.join(", "))
}

fn endpoint(rng: &mut Rng, values: &Values, lean: Lean, ports: bool) -> String {
    match rng.below(5) {
        0 if ports => format!("port {}", values.ports(rng)),
        1 | 2 if ports => {
            let address = values.address(rng, lean, true);
            format!("{address}:{}", values.ports(rng))
        }
        _ => values.address(rng, lean, false),
    }
}

/// `if …`, or nothing; `arriving`: whether the rule is about packets that arrive.
pub(super) fn conditions(rng: &mut Rng, options: Options, arriving: bool) -> String {
    match rng.below(4) {
        0 => format!(" if {}", condition(rng, options, arriving)),
        1 if rng.one_in(2) => {
            let first = condition(rng, options, arriving);
            format!(" if {first} and {}", condition(rng, options, arriving))
        }
        _ => String::new(),
    }
}

fn condition(rng: &mut Rng, options: Options, arriving: bool) -> String {
    let sockets = options.socket_conditions;
    let named = arriving && options.redirects;
    let one = |rng: &mut Rng| {
        if let Some(other) = whole::condition(rng, options.features, sockets, (arriving, named)) {
            other
        } else if sockets && rng.one_in(3) {
            *rng.one_of(SOCKETS)
        } else {
            *rng.one_of(&drawn(true, false))
        }
    };
    match rng.below(6) {
        0 => format!("no {}", one(rng)),
        1 => {
            let first = one(rng);
            format!("any of {{ {first}, no {} }}", one(rng))
        }
        2 if sockets => "no socket".to_owned(),
        _ => one(rng).to_owned(),
    }
}
