//! The round trip of a message, by the veth and by the shortcut (the experiment of the talk at SREcon 2023).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::stage::{Pair, Stage};
use crate::turns::{Compared, compare, median, stay_on};

/// Where the two ends run.
pub(crate) struct Cpus {
    pub(crate) name: &'static str,
    pub(crate) client: usize,
    pub(crate) server: usize,
    /// How much of the round trip without the shortcut one with it may take.
    pub(crate) most: f64,
}

/// On one CPU, and on two. Between two CPUs, waking the other one takes most of the time.
pub(crate) const CPUS: [Cpus; 2] = [
    Cpus {
        name: "one CPU",
        client: 0,
        server: 0,
        most: 0.60,
    },
    Cpus {
        name: "two CPUs",
        client: 0,
        server: 1,
        most: 0.85,
    },
];

/// What is sent and sent back; the first is the talk's.
const SIZES: [usize; 3] = [14, 1024, 16_384];
const TRIPS: usize = 4000;

pub(crate) const SHORTCUT: &str = "near: shortcut tcp within group pods\n";

/// Prints the table; gives how many ratios are too large.
pub(crate) fn measure(stage: &Stage, turns: usize) -> usize {
    stage.apply(SHORTCUT);
    head("round trip");
    let mut slow = 0;
    for cpus in &CPUS {
        for size in SIZES {
            let trip = |grouped| move || trips(stage.pair(grouped), cpus, size);
            let compared = compare(turns, trip(false), trip(true));
            let limit = (size == SIZES[0]).then_some(cpus.most);
            slow += line(&format!("{size} bytes, {}", cpus.name), compared, limit);
        }
    }
    slow
}

/// The head of a table of two ways.
pub(crate) fn head(what: &str) {
    println!(
        "\n{what:<28} {:>12} {:>12} {:>7}",
        "veth", "shortcut", "ratio"
    );
}

/// A line of it; gives 1 if the ratio is beyond the limit.
pub(crate) fn line(what: &str, compared: Compared, limit: Option<f64>) -> usize {
    let micros = |time: Duration| 1e6 * time.as_secs_f64();
    let slow = limit.is_some_and(|most| compared.ratio > most);
    let asked = limit.map_or(String::new(), |most| format!("  asked: {most:.2}"));
    println!(
        "{what:<28} {:>9.2} us {:>9.2} us {:>7.2}{asked}{}",
        micros(compared.first),
        micros(compared.second),
        compared.ratio,
        if slow { ", too slow" } else { "" }
    );
    usize::from(slow)
}

/// The median round trip of a connection.
fn trips(pair: Pair, cpus: &Cpus, size: usize) -> Duration {
    let Pair { client, server } = pair;
    thread::scope(|scope| {
        scope.spawn(move || answer(server, cpus.server, size));
        let asking = scope.spawn(move || ask(client, cpus.client, size));
        asking.join().unwrap()
    })
}

fn ask(mut client: TcpStream, cpu: usize, size: usize) -> Duration {
    stay_on(cpu);
    let mut message = vec![7; size];
    let trips = (0..TRIPS).map(|_| {
        let began = Instant::now();
        client.write_all(&message).unwrap();
        client.read_exact(&mut message).unwrap();
        began.elapsed()
    });
    median(trips)
}

fn answer(mut server: TcpStream, cpu: usize, size: usize) {
    stay_on(cpu);
    let mut message = vec![0; size];
    while server.read_exact(&mut message).is_ok() {
        server.write_all(&message).unwrap();
    }
}
