//! A policy that changes, or goes, while connections live.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::egress::{TALK, arrives};
use crate::place::*;
use crate::writes::{DATA, is_refused};

const OPEN: &str = "
default send allow
GROUP
elsewhere: drop send tcp from group pods to 10.0.0.0/8
";

#[test]
fn an_allowed_socket_that_becomes_denied_is_denied_at_once() {
    inside(|place| {
        place.apply(OPEN);
        let mut pairs = [
            place.pair(CLIENT4, "192.0.2.5", CLIENT),
            place.pair(CLIENT6, "2001:db8:2::5", CLIENT),
        ];
        for pair in &mut pairs {
            pair.client.write_all(DATA).unwrap();
            assert!(arrives(&mut pair.server));
        }
        place.apply(TALK);
        for pair in &mut pairs {
            assert!(is_refused(&pair.client.write(DATA)));
        }
        assert_eq!((place.counted("four").0, place.counted("six").0), (1, 1));
    });
}

#[test]
fn counters_outlive_the_policy_that_counted() {
    inside(|place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&pair.client.write(DATA)));
        place.apply(TALK);
        assert_eq!(place.counted("four").0, 1);
    });
}

#[test]
fn unload_releases_the_sockets_and_apply_takes_them_in_again() {
    inside(|place| {
        place.apply(TALK);
        let mut denied = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&denied.client.write(DATA)));
        assert!(place.unload());
        denied.client.write_all(DATA).unwrap();
        assert!(arrives(&mut denied.server));
        assert!(!place.unload());
        place.apply(TALK);
        let mut new = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        for pair in [&mut denied, &mut new] {
            assert!(is_refused(&pair.client.write(DATA)));
        }
    });
}

/// Numbers, one after the other: what is lost, doubled or out of order shows.
pub(crate) fn count_up(stream: &mut TcpStream, stop: &AtomicBool, sent: &AtomicU64) {
    let mut number = 0u64;
    while !stop.load(Ordering::Acquire) {
        stream.write_all(&number.to_be_bytes()).unwrap();
        number += 1;
        sent.store(number, Ordering::Release);
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
}

pub(crate) fn numbers(stream: &mut TcpStream) -> u64 {
    let mut expected = 0u64;
    let mut word = [0; 8];
    while stream.read_exact(&mut word).is_ok() {
        assert_eq!(u64::from_be_bytes(word), expected);
        expected += 1;
    }
    expected
}

#[test]
fn traffic_goes_on_over_applies_and_an_unload() {
    inside(|place| {
        place.apply(OPEN);
        let Pair {
            mut client,
            mut server,
        } = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let writer = scope.spawn(|| count_up(&mut client, &stop, &sent));
            let reader = scope.spawn(|| numbers(&mut server));
            let goes_on = || {
                let before = sent.load(Ordering::Acquire);
                while sent.load(Ordering::Acquire) < before + 1000 && !writer.is_finished() {
                    thread::yield_now();
                }
            };
            for policy in [TALK, OPEN, TALK] {
                goes_on();
                place.apply(policy);
            }
            goes_on();
            place.unload();
            goes_on();
            place.apply(TALK);
            goes_on();
            stop.store(true, Ordering::Release);
            writer.join().unwrap();
            assert_eq!(reader.join().unwrap(), sent.load(Ordering::Acquire));
        });
    });
}
