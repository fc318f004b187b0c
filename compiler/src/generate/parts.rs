//! The parts of a random rule, each with the blank ahead of it.

use super::random::Random;
use super::values::Values;

/// Protocols as rules write them; twice what occurs most.
#[rustfmt::skip]
const PROTOCOLS: &[&str] = &[
    "",
    "",
    "",
    "",
    " tcp",
    " tcp",
    " tcp",
    " udp",
    " udp",
    " tcp, udp",
    " sctp",
    " icmp",
    " icmp6",
    " icmp echo-request",
    " icmp 3/4",
    " icmp { echo-reply, 3/1, time-exceeded }",
    " icmp6 { neighbour-solicit, packet-too-big }",
    " icmp, icmp6",
    " icmp6 echo-request, udp",
    " esp",
    " ah, gre",
    " proto 89",
    " proto 6",
    " proto 1, proto 58",
];

/// Conditions on what a packet says.
#[rustfmt::skip]
const CONDITIONS: &[&str] = &[
    "tcp flags syn",
    "tcp flags syn no ack",
    "tcp flags no syn",
    "tcp flags rst fin",
    "tcp flags ack psh no fin rst",
    "fragment",
    "length > 468",
    "length <= 60",
    "length = 40",
    "length < 1500",
    "length >= 1280",
];

/// Conditions on the socket of a packet.
const SOCKETS: &[&str] = &["socket exists", "socket established", "socket listening"];

pub(super) fn protocols(random: &mut Random) -> &'static str {
    random.pick::<&str>(PROTOCOLS)
}

/// Both sides, one, or none.
pub(super) fn sides(random: &mut Random, values: &Values) -> String {
    let mut sides = String::new();
    if random.one_in(2) {
        sides += &format!(" from {}", side(random, values));
    }
    if !random.one_in(4) {
        sides += &format!(" to {}", side(random, values));
    }
    sides
}

fn side(random: &mut Random, values: &Values) -> String {
    let not = if random.one_in(6) { "not " } else { "" };
    let count = random.below(3).max(1);
    let endpoints: Vec<String> = (0..count).map(|_| endpoint(random, values)).collect();
    format!("{not}{}", endpoints.join(", "))
}

fn endpoint(random: &mut Random, values: &Values) -> String {
    match random.below(5) {
        0 => format!("port {}", values.ports(random)),
        1 | 2 => format!("{}:{}", values.address(random, true), values.ports(random)),
        _ => values.address(random, false),
    }
}

/// `if …`, or nothing.
pub(super) fn conditions(random: &mut Random, sockets: bool) -> String {
    match random.below(4) {
        0 => format!(" if {}", condition(random, sockets)),
        1 if random.one_in(2) => {
            let first = condition(random, sockets);
            format!(" if {first} and {}", condition(random, sockets))
        }
        _ => String::new(),
    }
}

fn condition(random: &mut Random, sockets: bool) -> String {
    let one = |random: &mut Random| {
        if sockets && random.one_in(3) {
            *random.pick(SOCKETS)
        } else {
            *random.pick(CONDITIONS)
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
