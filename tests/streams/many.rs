//! Many rules of a group: found in tables, at writes and calls and where connections are taken in.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use socket2::SockAddr;

use crate::alone::waiting;
use crate::place::*;
use crate::writes::{DATA, is_refused};

/// So many that no compare tree holds them on a kernel without long jumps; fewer where every instruction is emulated.
fn many() -> u32 {
    match crate::guests::folder() {
        None => 10_000,
        Some(_) => 3_000,
    }
}

/// What is refused stands in the middle of much that is about others.
fn policy(verb: &str) -> String {
    let other = |number: u32| {
        let [_, a, b, c] = number.wrapping_mul(2_654_435_761).to_be_bytes();
        format!(
            "drop {verb} tcp from group pods to 10.{a}.{b}.{c}:{}\n",
            1 + number
        )
    };
    let others = |range: std::ops::Range<u32>| range.map(other).collect::<String>();
    let (before, after) = (others(0..many() / 2), others(many() / 2..many()));
    format!(
        "default {verb} allow\nGROUP\n{before}four: drop {verb} tcp from group pods to 192.0.2.0/24\n\
        six: drop {verb} tcp from group pods to 2001:db8:2::/48\n{after}"
    )
}

/// What is refused, and what no rule is about.
const ADDRESSES: [(&str, &str, &str, &str); 2] = [
    ("four", CLIENT4, "192.0.2.5", "203.0.113.5"),
    ("six", CLIENT6, "2001:db8:2::5", "2001:db8:3::5"),
];

#[test]
fn a_write_is_refused_by_one_rule_of_many() {
    inside(|place| {
        place.apply(&policy("send"));
        for (label, from, refused, left_alone) in ADDRESSES {
            let mut pair = place.pair(from, refused, CLIENT);
            assert!(is_refused(&pair.client.write(DATA)));
            assert_eq!(place.counted(label), (1, DATA.len() as u64));
            // One that was taken in says 0.
            let mut other = place.pair(from, left_alone, CLIENT);
            assert_eq!(waiting(&mut other), DATA.len().to_string());
            let mut rest = [0; DATA.len()];
            other.client.read_exact(&mut rest).unwrap();
            assert_eq!(&rest, DATA);
        }
    });
}

#[test]
fn a_call_is_refused_by_one_rule_of_many() {
    inside(|place| {
        place.apply(&policy("connect"));
        for (label, from, refused, allowed) in ADDRESSES {
            let client = place.client(&place.lab.client, SocketAddr::new(ip(from), 0), true);
            let to = SockAddr::from(SocketAddr::new(ip(refused), 80));
            let refusal = client.connect(&to).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::PermissionDenied, "{refusal}");
            assert_eq!(place.counted(label).0, 1);
            drop(place.pair(from, allowed, CLIENT));
        }
    });
}
