//! Live maps: what a lookup costs next to one in a constant map with the same entries, what commands cost by how many entries there are, and
//! the memory of the kernel's maps.
//!
//! What is in the maps, and how lookups are measured, is in `lookups.rs`. What a constant map cannot hold is
//! compared with the largest that was measured.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lookups::{
    Entry, LARGEST, Pace, SIZES, Stage, file, host, nested, opened, pins, sockc, text,
};
use crate::{MAX_TIME, ROUNDS};

/// The most that a lookup may take of one in a constant map, in percent.
const MOST: u32 = 150;

/// Prints the tables; gives how many figures are beyond what they may be.
pub(crate) fn measure(folder: &Path) -> usize {
    println!(
        "{:<18} {:>24} {:>24} {:>7}",
        "lookup, ns", "constant hot / random", "live hot / random", "ratio"
    );
    let mut wrong = 0;
    let mut constant = [[0; 2]; 2];
    for size in SIZES {
        let last = &mut constant[0];
        wrong += lookups(folder, ("hosts", host), size, last);
        if size == LARGEST {
            wrong += lookups(folder, ("nested", nested), size, &mut constant[1]);
        }
    }
    println!(
        "{:<18} {:>11} {:>11} {:>11} {:>11} {:>11}",
        "command, ms", "load", "add", "del", "replace", "MiB"
    );
    for size in SIZES {
        wrong += commands(folder, size);
    }
    wrong
}

/// Compares a lookup; `last` is the figure of the constant map of the size before, and becomes this one's.
fn lookups(
    folder: &Path,
    (name, entry): (&str, fn(u32) -> Entry),
    size: u32,
    last: &mut [u32; 2],
) -> usize {
    let entries: Vec<Entry> = (0..size).map(entry).collect();
    let live = Stage::live(folder, &entries);
    if size <= LARGEST {
        *last = Stage::constant(folder, &entries).lookup(&entries, Pace::WHOLE);
    }
    let (there, here) = (*last, live.lookup(&entries, Pace::WHOLE));
    let ratio = |place: usize| f64::from(here[place]) / f64::from(there[place]);
    let both = |figures: [u32; 2]| format!("{} / {}", figures[0], figures[1]);
    println!(
        "{:<18} {:>24} {:>24} {:>7}",
        format!("{name} {size}"),
        both(there),
        both(here),
        format!("{:.2} / {:.2}", ratio(0), ratio(1))
    );
    let beyond = here[0] * 100 > there[0] * MOST;
    usize::from(beyond)
}

/// Measures the commands with so many entries in the map.
fn commands(folder: &Path, size: u32) -> usize {
    let entries: Vec<Entry> = (0..size).map(host).collect();
    let file = file(folder, &entries);
    let max = size + 1;
    let stage = Stage::new(
        folder,
        &format!("live map ten max {max}\nredirect by @ten\n"),
    );
    let space = &stage.space;
    let load = sockc(space, &["map", "load", "ten", text(&file)]);
    let entry = "tcp 203.0.113.7:443 -> sock proxy";
    let mut times = [(); 3].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        let [add, del, put] = &mut times;
        add.push(sockc(space, &["map", "add", "ten", entry]));
        put.push(sockc(space, &["map", "add", "ten", "--replace", entry]));
        del.push(sockc(space, &["map", "del", "ten", entry]));
    }
    let medians = times.map(|mut times| {
        times.sort();
        times[ROUNDS / 2]
    });
    let ms = |time: Duration| format!("{:.2}", 1e3 * time.as_secs_f64());
    let [add, del, put] = medians.map(ms);
    println!(
        "{:<18} {:>11} {add:>11} {del:>11} {put:>11} {:>11.1}",
        format!("hosts {size}"),
        ms(load),
        memory(&stage) as f64 / 1024.0
    );
    medians.iter().filter(|time| **time >= MAX_TIME).count()
}

/// Kibibytes of the kernel's maps of the live map.
fn memory(stage: &Stage) -> u64 {
    let sum = || {
        let of_map = |pin: &PathBuf| {
            let map = opened(pin);
            let info = format!("/proc/thread-self/fdinfo/{}", map.as_raw_fd());
            let info = fs::read_to_string(info).unwrap();
            let line = info.lines().find_map(|line| line.strip_prefix("memlock:"));
            line.unwrap().trim().parse::<u64>().unwrap() / 1024
        };
        let pins = pins("_ten");
        assert_eq!(pins.len(), 7, "{pins:?}");
        pins.iter().map(of_map).sum()
    };
    stage.space.run(sum).unwrap()
}
