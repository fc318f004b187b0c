//! Connections that were refused a write and that the next policy lets go. The kernel asks no program again for a socket that it
//! told to drop (`psock->eval` in `tcp_bpf_send_verdict`), as long as it stands in a map or somebody is at work on it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use sockc_testing::again;

use crate::alone::wait_until;
use crate::egress::{TALK, arrives, dual_stack};
use crate::full::reconnected;
use crate::place::*;
use crate::writes::{DATA, is_refused};

const OPEN: &str = "
default send allow
GROUP
open: count send tcp from group pods to any
elsewhere: drop send tcp from group pods to 10.0.0.0/8
";
const NEAR: &str = "
default send allow
GROUP
quarantine: drop send tcp from group pods to 192.0.2.0/24
near: shortcut tcp within group pods
";
const NEAR_OPEN: &str = "
default send allow
GROUP
near: shortcut tcp within group pods
";

/// Whether an apply says that connections stay refused.
fn says_refused(place: &Place, policy: &str) -> bool {
    let notes = place.apply(policy).notes;
    notes.iter().any(|note| note.contains("stay refused"))
}

fn goes(pair: &mut Pair) -> bool {
    pair.client.write_all(DATA).unwrap();
    arrives(&mut pair.server)
}

#[test]
fn what_was_refused_goes_when_it_is_allowed_and_is_decided_from_then_on() {
    inside(|place| {
        place.apply(TALK);
        let mut pairs = [
            place.pair(CLIENT4, "192.0.2.5", CLIENT),
            place.pair(CLIENT6, "2001:db8:2::5", CLIENT),
        ];
        for round in 1..=3 {
            for pair in &mut pairs {
                assert!(is_refused(&pair.client.write(DATA)), "{round}");
            }
            assert!(!says_refused(place, OPEN));
            for pair in &mut pairs {
                assert!(goes(pair), "{round}");
            }
            assert_eq!(place.counted("open").0, 2, "both are decided: {round}");
            place.apply(TALK);
        }
    });
}

/// A dual-stack socket's connection of IPv4, whose addresses are mapped ones.
#[test]
fn a_mapped_connection_goes_too() {
    inside(|place| {
        place.apply(TALK);
        let mut pair = dual_stack(place, "192.0.2.5");
        assert!(is_refused(&pair.client.write(DATA)));
        assert!(!says_refused(place, OPEN));
        assert!(goes(&mut pair));
    });
}

#[test]
fn data_that_waits_is_not_lost_by_it() {
    inside(|place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&pair.client.write(DATA)));
        pair.server.write_all(DATA).unwrap();
        wait_until(|| again(|| pair.client.peek(&mut [0; DATA.len()])).unwrap() == DATA.len());
        place.apply(OPEN);
        place.apply(OPEN);
        assert!(arrives(&mut pair.client));
        place.apply(OPEN);
        assert!(goes(&mut pair));
    });
}

#[test]
fn what_a_live_set_refused_goes_when_it_is_taken_out_of_the_set() {
    inside(|place| {
        place.apply(
            "default send allow\nGROUP\nlive set bad max 10\nbad: drop send tcp from group pods to @bad\n",
        );
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(goes(&mut pair));
        for round in 1..=2 {
            place.add_to_set("bad", ip("192.0.2.5"));
            assert!(is_refused(&pair.client.write(DATA)));
            place.add_to_set("bad", ip("192.0.2.6"));
            assert!(is_refused(&pair.client.write(DATA)));
            assert_eq!(place.counted("bad").0, round, "asked once");
            place.take_from_set("bad", ip("192.0.2.5"));
            assert!(goes(&mut pair));
            place.take_from_set("bad", ip("192.0.2.6"));
        }
    });
}

/// Does `work` while a read of one byte waits on the pair's client, which ends by a byte of the server.
fn while_read(pair: &mut Pair, work: impl FnOnce(&mut TcpStream)) {
    let mut reader = pair.client.try_clone().unwrap();
    let (begun, begins) = mpsc::channel();
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            begun.send(nix::unistd::gettid()).unwrap();
            again(|| reader.read(&mut [0; 1])).unwrap()
        });
        let thread = begins.recv().unwrap();
        wait_until(|| {
            let call = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall"));
            call.unwrap().starts_with(&libc::SYS_recvfrom.to_string())
        });
        work(&mut pair.client);
        pair.server.write_all(b"x").unwrap();
        assert_eq!(reading.join().unwrap(), 1);
    });
}

/// The kernel remembers as long as a call is at work on the socket.
#[test]
fn a_socket_that_somebody_reads_from_stays_refused_until_an_apply_after_that() {
    inside(|place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&pair.client.write(DATA)));
        while_read(&mut pair, |client| {
            assert!(says_refused(place, OPEN));
            assert!(is_refused(&client.write(DATA)));
            assert!(says_refused(place, OPEN), "each time");
            assert_eq!(place.apply(OPEN).escaped, [("pods".to_owned(), 0)]);
        });
        assert!(is_refused(&pair.client.write(DATA)), "no apply since");
        assert!(!says_refused(place, OPEN));
        assert!(goes(&mut pair));
        assert_eq!(place.counted("open").0, 1);
        place.apply(TALK);
        assert!(is_refused(&pair.client.write(DATA)));
    });
}

/// The kernel remembers it over a disconnect, too.
#[test]
fn a_socket_that_is_connected_to_somebody_else_goes_after_an_apply() {
    inside(|place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&pair.client.write(DATA)));
        let mut pair = reconnected(place, pair.client, "203.0.113.5");
        assert!(is_refused(&pair.client.write(DATA)));
        assert!(!says_refused(place, TALK));
        assert!(goes(&mut pair));
        assert_eq!(place.counted("rest").0, 1);
    });
}

/// It stands in another map by then.
#[test]
fn a_policy_that_refuses_again_finds_it_refused_and_an_unload_releases_it() {
    inside(|place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&pair.client.write(DATA)));
        while_read(&mut pair, |_| assert!(says_refused(place, OPEN)));
        assert!(!says_refused(place, TALK));
        assert!(is_refused(&pair.client.write(DATA)));
        assert!(place.unload());
        assert!(goes(&mut pair));
    });
}

#[test]
fn where_a_shortcut_may_lead_to_it_it_stays_refused_and_that_is_said() {
    inside(|place| {
        place.apply(NEAR);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", BOTH);
        assert!(is_refused(&pair.client.write(DATA)));
        pair.server.write_all(DATA).unwrap();
        assert!(says_refused(place, NEAR_OPEN), "its peer is there");
        assert!(is_refused(&pair.client.write(DATA)));
        assert!(says_refused(place, OPEN), "data of the shortcut waits");
        assert!(is_refused(&pair.client.write(DATA)));
        assert!(arrives(&mut pair.client), "it was not lost");
        assert!(!says_refused(place, OPEN));
        assert!(goes(&mut pair));
    });
}

#[test]
fn a_peer_outside_the_group_takes_no_shortcut_so_it_goes() {
    inside(|place| {
        place.apply(NEAR);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&pair.client.write(DATA)));
        assert!(!says_refused(place, NEAR_OPEN));
        assert!(goes(&mut pair));
        assert_eq!(place.counted("near").0, 1);
    });
}

/// The kernel takes none in whose other side has ended.
#[test]
fn one_whose_peer_has_ended_stays_refused_and_that_is_said() {
    inside(|place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        assert!(is_refused(&pair.client.write(DATA)));
        pair.server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(again(|| pair.client.read(&mut [0; 1])).unwrap(), 0);
        assert!(says_refused(place, OPEN));
        assert!(is_refused(&pair.client.write(DATA)));
    });
}

/// Nothing of what two policies refuse goes out while they change, and nothing is said of it.
#[test]
fn what_both_policies_refuse_never_goes() {
    const OTHER: &str =
        "default send allow\nGROUP\nother: drop send tcp from group pods to 192.0.2.0/24\n";
    inside(|place| {
        place.apply(TALK);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        let stop = AtomicBool::new(false);
        let writes = |mut stream: &TcpStream| {
            let mut refused = 0u64;
            while !stop.load(Ordering::Acquire) {
                assert!(is_refused(&stream.write(DATA)));
                refused += 1;
            }
            refused
        };
        thread::scope(|scope| {
            let writing = scope.spawn(|| writes(&pair.client));
            let end = Ends(&stop);
            let said = [OTHER, TALK, OTHER, TALK].map(|policy| says_refused(place, policy));
            drop(end);
            assert!(writing.join().unwrap() > 0);
            assert_eq!(said, [false; 4]);
        });
        pair.client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(again(|| pair.server.read(&mut [0; 1])).unwrap(), 0);
    });
}

/// Ends what goes on beside a test, however the test ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// While policies that allow and refuse change places: each write is whole or refused, and what goes arrives in order.
#[test]
fn while_policies_change_every_write_is_refused_or_arrives() {
    inside(|place| {
        place.apply(TALK);
        let Pair { client, mut server } = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let (mut client, mut sent) = (client, 0u64);
                while !stop.load(Ordering::Acquire) {
                    match client.write(&sent.to_be_bytes()) {
                        Ok(8) => sent += 1,
                        other => assert!(is_refused(&other), "{other:?}"),
                    }
                }
                sent
            });
            let reading = scope.spawn(move || {
                let (mut word, mut expected) = ([0; 8], 0u64);
                while server.read_exact(&mut word).is_ok() {
                    assert_eq!(u64::from_be_bytes(word), expected);
                    expected += 1;
                }
                expected
            });
            let end = Ends(&stop);
            for policy in [OPEN, TALK, OPEN, TALK, OPEN] {
                // The writer may be held up in the middle of a write.
                wait_until(|| !says_refused(place, policy));
            }
            drop(end);
            let sent = writing.join().unwrap();
            assert_eq!((sent > 0, reading.join().unwrap()), (true, sent));
        });
    });
}
