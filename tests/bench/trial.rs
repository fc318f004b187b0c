//! What a deadline costs a packet: the same policy in force for good and on trial, side by side.
//!
//! ```text
//! cargo bench --bench trial
//! ```
//!
//! Needs root, and makes two network namespaces with bpf file systems of its own. A packet is a run of the program that the kernel
//! calls at XDP, in its mode for test runs: it drops one frame again and again. Both take turns, so that whatever else the machine
//! does meets both. Fails where the deadline costs more than 3 ns.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement ends where something is wrong"
)]

#[path = "live/lookups.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod lookups;
#[path = "median.rs"]
mod median;
#[path = "syscalls.rs"]
mod syscalls;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use aya::programs::loaded_programs;
use sockc_compiler::bpf::constant::XDP_DROP;
use sockc_runtime::lab::{Netlink, Space, missing_rights};

use crate::lookups::{sockc, text};
use crate::median::median;
use crate::syscalls::run;

const POLICY: &str =
    "interfaces lo\ndefault in allow\nallow tcp to port 22\ndrop udp to port 9 at xdp\n";
/// How often each is measured, and how many packets make a measurement.
const ROUNDS: usize = 101;
const PACKETS: u32 = 1 << 19;
/// What a deadline may cost, in nanoseconds a packet.
const MOST: f64 = 3.0;

fn main() -> ExitCode {
    let missing = missing_rights();
    if !missing.is_empty() {
        eprintln!("needs {missing:?}");
        return ExitCode::FAILURE;
    }
    let folder = std::env::temp_dir().join(format!("sockc-bench-trial-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let both = [false, true].map(|on_trial| Place::new(&folder, on_trial));
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let [good, trial] = both.each_ref().map(Place::nanoseconds);
        rounds.push((good, trial));
    }
    fs::remove_dir_all(&folder).unwrap();
    let good = median(rounds.iter().map(|(good, _)| *good).collect());
    let trial = median(rounds.iter().map(|(_, trial)| *trial).collect());
    let more = median(rounds.iter().map(|(good, trial)| trial - good).collect());
    println!("for good {good:.1} ns a packet, on trial {trial:.1} ns: {more:.1} ns more");
    match more <= MOST {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// A namespace with the policy in force, and the program that the kernel calls there.
struct Place {
    _space: Space,
    program: OwnedFd,
}

impl Place {
    fn new(folder: &Path, on_trial: bool) -> Self {
        let space = Space::with_bpffs().unwrap();
        let up = || Netlink::open().unwrap().up("lo").unwrap();
        space.run(up).unwrap();
        let file = folder.join("policy.sk");
        fs::write(&file, POLICY).unwrap();
        sockc(&space, &["apply", text(&file)]);
        let program = newest_dispatcher();
        if on_trial {
            // Another text, since one that is in force already would change nothing.
            fs::write(&file, format!("{POLICY}drop udp to port 10 at xdp\n")).unwrap();
            sockc(&space, &["apply", text(&file), "--confirm", "1h"]);
        }
        Self {
            _space: space,
            program,
        }
    }

    fn nanoseconds(&self) -> f64 {
        let frame = frame();
        let began = Instant::now();
        // The kernel's own number is a whole one.
        let (verdict, _) = run::dry(self.program.as_fd(), &frame, PACKETS).unwrap();
        let took = began.elapsed();
        assert_eq!(verdict, XDP_DROP.cast_unsigned());
        took.as_secs_f64() * 1e9 / f64::from(PACKETS)
    }
}

/// The program that was attached last: a trial keeps it.
fn newest_dispatcher() -> OwnedFd {
    let programs = loaded_programs().map(Result::unwrap);
    let ours = programs.filter(|one| one.name_as_str().is_some_and(is_dispatcher));
    let newest = ours.max_by_key(|one| one.id()).unwrap();
    newest.fd().unwrap().as_fd().try_clone_to_owned().unwrap()
}

fn is_dispatcher(name: &str) -> bool {
    let number = name.strip_prefix("sockc_");
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// A datagram of IPv4 to port 9.
fn frame() -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([127, 0, 0, 1, 127, 0, 0, 1]);
    frame.extend([0x10, 0, 0, 9, 0, 9, 0, 0, 1]);
    frame
}
