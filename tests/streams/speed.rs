//! The round trip of the shortcut against the one of the veth, on one CPU, measured turn by turn.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::place::*;
use crate::shortcut::SHORTCUT;

const MESSAGE: [u8; 14] = *b"fourteen bytes";
const TRIPS: usize = 3000;
const TURNS: usize = 7;
/// Other work on the machine may spoil one comparison.
const TRIES: usize = 3;

/// Puts the calling thread on the first CPU that it may use.
fn stay_on_one_cpu() {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu).unwrap());
    let mut one = CpuSet::new();
    one.set(first.unwrap()).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
}

fn answer(mut server: TcpStream) {
    stay_on_one_cpu();
    let mut message = MESSAGE;
    while server.read_exact(&mut message).is_ok() {
        server.write_all(&message).unwrap();
    }
}

/// The median round trip.
fn median(pair: Pair) -> Duration {
    let Pair { mut client, server } = pair;
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(move || answer(server));
        let asking = scope.spawn(move || {
            stay_on_one_cpu();
            let mut message = MESSAGE;
            let mut trips: Vec<Duration> = (0..TRIPS)
                .map(|_| {
                    let start = Instant::now();
                    client.write_all(&message).unwrap();
                    client.read_exact(&mut message).unwrap();
                    start.elapsed()
                })
                .collect();
            *trips.select_nth_unstable(TRIPS / 2).1
        });
        asking.join().unwrap()
    })
}

/// The medians of the turns: by the veth, by the shortcut.
fn compare(place: &Place) -> (Duration, Duration) {
    let [mut veth, mut shortcut] = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        veth.push(median(place.pair(CLIENT4, "203.0.113.5", NEITHER)));
        shortcut.push(median(place.pair(CLIENT4, "203.0.113.5", BOTH)));
    }
    let middle = |turns: &mut Vec<Duration>| *turns.select_nth_unstable(TURNS / 2).1;
    (middle(&mut veth), middle(&mut shortcut))
}

#[test]
fn the_shortcut_is_faster_than_the_veth() {
    // Times under emulation say nothing.
    if crate::guests::folder().is_some() {
        return;
    }
    inside(|place| {
        place.apply(SHORTCUT);
        let faster = (0..TRIES).any(|_| {
            let (veth, shortcut) = compare(place);
            let ratio = shortcut.as_secs_f64() / veth.as_secs_f64();
            println!("veth {veth:?}, shortcut {shortcut:?}: ratio {ratio:.2}");
            ratio < 1.0
        });
        assert!(faster);
    });
}
