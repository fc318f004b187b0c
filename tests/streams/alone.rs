//! Connections that no rule of a group concerns behave as if there were no policy.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use sockc_testing::again;

use crate::egress::{TALK, arrives};
use crate::place::*;
use crate::writes::{DATA, is_refused};

/// A policy about one network only, as a blocklist is.
const ELSEWHERE: &str = "
default send allow
GROUP
elsewhere: drop send tcp from group pods to 10.0.0.0/8, 2001:db8:ffff::/48
";
const PEERS: [(&str, &str); 2] = [(CLIENT4, "203.0.113.5"), (CLIENT6, "2001:db8:3::5")];
/// Within this long everything here happens, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something that a socket of a SOCKMAP does otherwise.
type Deed = fn(&mut Pair) -> String;

const DEEDS: [(&str, Deed); 4] = [
    ("a blocking read after a shutdown", read_after_shutdown),
    ("FIONREAD", waiting),
    ("MSG_WAITALL", wait_for_all),
    ("SO_RCVLOWAT", low_water),
];

/// One thread: writes, says that this was all, and reads the answer, which comes later.
fn read_after_shutdown(pair: &mut Pair) -> String {
    let Pair { client, server } = pair;
    client.write_all(DATA).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut all = Vec::new();
            server.read_to_end(&mut all).unwrap();
            // The acknowledgement of the FIN wakes the reader; the answer comes after it.
            std::thread::sleep(Duration::from_millis(50));
            server.write_all(&all).unwrap();
            server.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        let read = client.read_to_end(&mut answer);
        format!("{:?} {answer:?}", read.map_err(|error| error.kind()))
    })
}

/// How much FIONREAD says is waiting, once everything is there.
pub(crate) fn waiting(pair: &mut Pair) -> String {
    pair.server.write_all(DATA).unwrap();
    let mut seen = [0; DATA.len()];
    wait_until(|| again(|| pair.client.peek(&mut seen)).unwrap() == DATA.len());
    format!("{}", fionread(&pair.client))
}

fn fionread(stream: &TcpStream) -> libc::c_int {
    let mut count: libc::c_int = -1;
    // SAFETY: the request writes one int, which lives through the call.
    let done = unsafe { libc::ioctl(stream.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    assert_eq!(done, 0);
    count
}

/// How much a read with MSG_WAITALL gives of three writes.
fn wait_for_all(pair: &mut Pair) -> String {
    let Pair { client, server } = pair;
    let mut place = [0u8; 3 * DATA.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| write_slowly(server));
        // SAFETY: the buffer has the length that is passed with it.
        let got = unsafe {
            libc::recv(
                client.as_raw_fd(),
                place.as_mut_ptr().cast(),
                place.len(),
                libc::MSG_WAITALL,
            )
        };
        format!("{got}")
    })
}

/// How much there is when a read with SO_RCVLOWAT returns.
fn low_water(pair: &mut Pair) -> String {
    let Pair { client, server } = pair;
    let least: libc::c_int = 3 * DATA.len() as libc::c_int;
    // SAFETY: the option is an int and lives through the call.
    let set = unsafe {
        libc::setsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const least).cast(),
            4,
        )
    };
    assert_eq!(set, 0);
    let mut place = [0u8; 64];
    std::thread::scope(|scope| {
        scope.spawn(|| write_slowly(server));
        format!("{:?}", again(|| client.read(&mut place)).unwrap())
    })
}

fn write_slowly(stream: &mut TcpStream) {
    for _ in 0..3 {
        stream.write_all(DATA).unwrap();
        std::thread::sleep(Duration::from_millis(30));
    }
}

pub(crate) fn wait_until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "it never came");
        std::thread::yield_now();
    }
}

/// What all of them do on connections of their own.
fn deeds(place: &Place, sides: Sides) -> Vec<String> {
    let mut found = Vec::new();
    for (name, deed) in DEEDS {
        for (from, to) in PEERS {
            let mut pair = place.pair(from, to, sides);
            pair.client.set_read_timeout(Some(PATIENCE)).unwrap();
            found.push(format!("{name} to {to}: {}", deed(&mut pair)));
        }
    }
    found
}

#[test]
fn a_policy_about_one_network_changes_nothing_for_any_other_connection() {
    inside(|place| {
        let before = deeds(place, BOTH);
        place.apply(ELSEWHERE);
        assert_eq!(deeds(place, CLIENT), before);
        assert_eq!(deeds(place, BOTH), before);
        place.apply(ELSEWHERE);
        assert_eq!(deeds(place, BOTH), before);
    });
}

/// What was left alone stays so over an apply that does not concern it, and is decided from one on that does.
#[test]
fn a_connection_is_taken_in_by_the_policy_that_concerns_it() {
    inside(|place| {
        place.apply(ELSEWHERE);
        let mut pair = place.pair(CLIENT4, "192.0.2.5", CLIENT);
        let mut other = place.pair(CLIENT4, "203.0.113.5", CLIENT);
        place.apply(ELSEWHERE);
        assert_eq!(waiting(&mut pair), DATA.len().to_string());
        let mut rest = [0; DATA.len()];
        pair.client.read_exact(&mut rest).unwrap();
        let only_drop = TALK.replace("rest: count send tcp from group pods to any\n", "");
        let applied = place.apply(&only_drop);
        assert_eq!(applied.escaped, [("pods".to_owned(), 0)]);
        assert!(is_refused(&pair.client.write(DATA)));
        pair.server.write_all(DATA).unwrap();
        assert!(arrives(&mut pair.client));
        assert_eq!(waiting(&mut other), DATA.len().to_string());
    });
}
