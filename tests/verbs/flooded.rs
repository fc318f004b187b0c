//! Applies, one after the other, under as many packets as come: each packet gets a verdict that one of both policies gives it, is
//! counted by that rule, and nothing grows.
//!
//! A few applies in every run; with `SOCKC_APPLIES=1000` so many.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use aya::maps::loaded_maps;
use aya::programs::loaded_programs;
use sockc_runtime::lab::{BPFFS, CLIENT, FRONT, Lab, SERVER};
use sockc_testing::again;

use super::{Folder, root, run};

/// Ports, by what becomes of their packets: allowed by both policies, dropped by both, and by one of them.
const PORTS: [(u16, &str); 4] = [
    (2001, "allowed"),
    (2002, "dropped"),
    (2003, "first"),
    (2004, "second"),
];

/// Two policies with the same labels, of which one drops what the other lets in.
fn policy(first: &str, second: &str) -> String {
    format!(
        "default in allow\nallowed: allow udp to port 2001\ndropped: drop udp to port 2002\n\
         first: {first} udp to port 2003\nsecond: {second} udp to port 2004\n\
         foreign: drop udp to port 2001-2004\n"
    )
}

#[test]
fn packets_meet_one_of_both_policies_while_one_replaces_the_other() {
    if !root() {
        return;
    }
    let applies = std::env::var("SOCKC_APPLIES").map_or(12, |text| text.parse().unwrap());
    let (lab, folder) = (Lab::new().unwrap(), Folder::new("flooded"));
    let files = [("odd", "drop", "allow"), ("even", "allow", "drop")];
    let files = files
        .map(|(name, first, second)| folder.file(&format!("{name}.sk"), &policy(first, second)));
    let apply = |file: &str| {
        let arguments = ["apply", file, "--interface", FRONT];
        let ran = lab.server.run(|| run(&arguments)).unwrap();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    };
    // So many that as many generations are kept as ever will be.
    for number in 0..8 {
        apply(&files[number % 2]);
    }
    let before = held(&lab);
    let (done, began) = (AtomicBool::new(false), Instant::now());
    let (sent, arrived) = thread::scope(|scope| {
        let sending = scope.spawn(|| lab.client.run(|| flood(&done)).unwrap());
        let receiving = scope.spawn(|| lab.server.run(|| receive(&done)).unwrap());
        for number in 0..applies {
            apply(&files[number % 2]);
        }
        done.store(true, Ordering::Relaxed);
        (sending.join().unwrap(), receiving.join().unwrap())
    });
    let seconds = began.elapsed().as_secs_f64();
    let each = sent as f64 / seconds;
    println!("{applies} applies in {seconds:.1} s under {each:.0} packets a second");
    assert_eq!(arrived["dropped"], 0);
    assert!(
        arrived
            .iter()
            .all(|(name, count)| *name == "dropped" || *count > 0)
    );
    let counted = counters(&lab);
    assert_eq!(counted["foreign"], 0);
    let by_port = sent / PORTS.len() as u64;
    let counted = PORTS.map(|(_, name)| (name, counted[name]));
    assert_eq!(counted, PORTS.map(|(_, name)| (name, by_port)));
    let after = held(&lab);
    assert_eq!(after.pins, before.pins);
    // Whoever else works on the machine has programs and maps, too.
    if applies >= 1000 {
        println!("{before:?}\n{after:?}");
        assert_eq!((after.programs, after.maps), (before.programs, before.maps));
    }
}

/// Sends to each port in turn until it is done; how many were sent.
fn flood(done: &AtomicBool) -> u64 {
    let socket = UdpSocket::bind((CLIENT[0], 4000)).unwrap();
    let mut sent = 0;
    while !done.load(Ordering::Relaxed) {
        for (port, _) in PORTS {
            // A queue that is full takes the next one.
            while socket.send_to(b"x", (SERVER[0], port)).is_err() {}
            sent += 1;
        }
    }
    sent
}

/// How many datagrams came to each port until it was done. Some are lost where a queue is full.
fn receive(done: &AtomicBool) -> BTreeMap<&'static str, u64> {
    let sockets = PORTS.map(|(port, name)| {
        let socket = UdpSocket::bind((SERVER[0], port)).unwrap();
        socket.set_nonblocking(true).unwrap();
        (name, socket)
    });
    let mut arrived: BTreeMap<_, _> = PORTS.map(|(_, name)| (name, 0)).into();
    let mut last = false;
    loop {
        let mut some = false;
        for (name, socket) in &sockets {
            while again(|| socket.recv(&mut [0; 8])).is_ok() {
                *arrived.get_mut(name).unwrap() += 1;
                some = true;
            }
        }
        if last && !some {
            return arrived;
        }
        last = done.load(Ordering::Relaxed);
        thread::yield_now();
    }
}

/// Packets by label, over all generations.
fn counters(lab: &Lab) -> BTreeMap<String, u64> {
    let ran = lab.server.run(|| run(&["counters", "--json"])).unwrap();
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let rules = json["rules"].as_array().unwrap().iter();
    let named = |rule: &serde_json::Value| {
        let name = rule["rule"].as_str().unwrap().to_owned();
        (name, rule["packets"].as_u64().unwrap())
    };
    rules.map(named).collect()
}

/// What the kernel holds.
#[derive(Debug)]
struct Held {
    /// How many names there are in the folders of what is in force, and of those before.
    pins: usize,
    programs: usize,
    maps: usize,
}

fn held(lab: &Lab) -> Held {
    let pins = lab.server.run(|| names(Path::new(BPFFS))).unwrap();
    Held {
        pins,
        programs: loaded_programs().count(),
        maps: loaded_maps().count(),
    }
}

fn names(folder: &Path) -> usize {
    let Ok(entries) = folder.read_dir() else {
        return 0;
    };
    let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let inner = paths.iter().map(|path| names(path));
    paths.len() + inner.sum::<usize>()
}
