//! Throughput of a connection, by the veth and by the shortcut.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use crate::stage::{Pair, Stage};
use crate::trip::{CPUS, Cpus, SHORTCUT};
use crate::turns::{compare, stay_on};

/// What is sent.
const BYTES: usize = 1 << 28;
const PIECE: usize = 1 << 16;

/// Prints the table.
pub(crate) fn measure(stage: &Stage, turns: usize) {
    stage.apply(SHORTCUT);
    println!(
        "\n{:<28} {:>12} {:>12} {:>7}",
        "throughput", "veth", "shortcut", "times"
    );
    for cpus in &CPUS {
        let flow = |grouped| move || flows(stage.pair(grouped), cpus);
        let compared = compare(turns, flow(false), flow(true));
        let speed = |time: Duration| 8e-9 * BYTES as f64 / time.as_secs_f64();
        println!(
            "{:<28} {:>7.1} Gb/s {:>7.1} Gb/s {:>7.2}",
            cpus.name,
            speed(compared.first),
            speed(compared.second),
            1.0 / compared.ratio
        );
    }
}

fn flows(pair: Pair, cpus: &Cpus) -> Duration {
    let Pair {
        mut client,
        mut server,
    } = pair;
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || {
            stay_on(cpus.client);
            let piece = vec![7; PIECE];
            for _ in 0..BYTES / PIECE {
                client.write_all(&piece).unwrap();
            }
            client.shutdown(Shutdown::Write).unwrap();
            // A reader that is woken for the end finds it; until then this end stays.
            let _ = client.read(&mut [0]);
        });
        let reading = scope.spawn(move || {
            stay_on(cpus.server);
            let (mut room, mut got) = (vec![0; PIECE], 0);
            while got < BYTES {
                got += server.read(&mut room).unwrap();
            }
            began.elapsed()
        });
        reading.join().unwrap()
    })
}
