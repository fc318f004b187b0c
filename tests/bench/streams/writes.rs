//! What a write costs by how many rules of `send` there are, next to one that no rule is about.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::stage::{Pair, Stage};
use crate::turns::{compare, stay_on};

const SIZES: [u32; 3] = [10, 1_000, 10_000];
const WRITES: u32 = 20_000;
const MESSAGE: [u8; 14] = *b"fourteen bytes";

/// Prints the table.
pub(crate) fn measure(stage: &Stage, turns: usize) {
    println!(
        "\n{:<28} {:>12} {:>12} {:>7}",
        "a write of 14 bytes", "left alone", "decided", "ratio"
    );
    for size in SIZES {
        stage.apply(&rules(size));
        let write = |grouped| move || writes(stage.pair(grouped));
        let compared = compare(turns, write(false), write(true));
        let nanos = |time: Duration| 1e9 * time.as_secs_f64();
        println!(
            "{:<28} {:>9.0} ns {:>9.0} ns {:>7.3}",
            format!("{size} rules"),
            nanos(compared.first),
            nanos(compared.second),
            compared.ratio
        );
    }
}

/// Rules about others, and one that counts what is written to the server.
fn rules(size: u32) -> String {
    let other = |number: u32| {
        let [_, a, b, c] = number.wrapping_mul(2_654_435_761).to_be_bytes();
        format!(
            "drop send tcp from group pods to 10.{a}.{b}.{c}:{}\n",
            1 + number
        )
    };
    let others: String = (1..size).map(other).collect();
    others + "seen: allow send tcp from group pods to 203.0.113.0/24\n"
}

/// The mean time of a write, each of which is a message of its own.
fn writes(pair: Pair) -> Duration {
    let Pair {
        mut client,
        mut server,
    } = pair;
    thread::scope(|scope| {
        scope.spawn(move || {
            stay_on(1);
            let mut room = vec![0; 1 << 16];
            while server.read(&mut room).is_ok_and(|got| got > 0) {}
        });
        let writing = scope.spawn(move || {
            stay_on(0);
            let began = Instant::now();
            for _ in 0..WRITES {
                client.write_all(&MESSAGE).unwrap();
            }
            began.elapsed() / WRITES
        });
        writing.join().unwrap()
    })
}
