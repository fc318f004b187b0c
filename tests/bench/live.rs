//! What a change of one element of a live set or of one entry of a live map costs, as a whole command, by how many there are, and
//! what a lookup in a live set or map costs next to one in a constant set or map.
//!
//! ```text
//! cargo bench --bench live
//! cargo bench --bench live -- sets
//! cargo bench --bench live -- maps
//! ```
//!
//! Needs root, and makes network namespaces and bpf file systems of its own. Prints a table for sets: for 10 and for 1,000,000
//! members the median time of `sockc set add`, `del` and `test`, in turns, and how much longer they take with more; one of lookups in
//! sets (`live/sets.rs`); then one for maps (`live/maps.rs`). Fails where a command takes 20 ms or longer with 1,000,000 of them, or a lookup too long.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement ends where something is wrong"
)]

#[path = "live/lookups.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod lookups;
#[path = "live/maps.rs"]
mod maps;
#[path = "live/sets.rs"]
mod sets;
#[path = "syscalls.rs"]
mod syscalls;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use sockc_runtime::lab::{Netlink, Space, missing_rights};

use crate::lookups::{sockc, text};

/// The sizes that are compared.
const SIZES: [u32; 2] = [10, 1_000_000];
/// How often each command is measured.
const ROUNDS: usize = 21;
/// What a command with the most members may take.
const MAX_TIME: Duration = Duration::from_millis(20);

const POLICY: &str = "interfaces lo\n\
    live set few_never max 1_500_000\nlive set many_never max 1_500_000\n\
    live set few_soon max 1_500_000 expires 10h\nlive set many_soon max 1_500_000 expires 10h\n\
    default in allow\ndrop from @few_never\ndrop from @many_never\ndrop from @few_soon\ndrop from @many_soon\n";

fn main() -> ExitCode {
    let missing = missing_rights();
    if !missing.is_empty() {
        eprintln!("needs {missing:?}");
        return ExitCode::FAILURE;
    }
    let folder = std::env::temp_dir().join(format!("sockc-bench-live-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let wanted: Vec<String> = std::env::args().collect();
    let wants = |what: &str, other: &str| {
        let all = !wanted.iter().any(|word| word == other);
        all || wanted.iter().any(|word| word == what)
    };
    let mut slow = 0;
    if wants("sets", "maps") {
        slow += sets::measure(&folder);
        slow += measure(&folder);
    }
    if wants("maps", "sets") {
        slow += maps::measure(&folder);
    }
    fs::remove_dir_all(&folder).unwrap();
    match slow {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Prints the table; gives how many commands took too long.
fn measure(folder: &Path) -> usize {
    let space = Space::with_bpffs().unwrap();
    space
        .run(|| Netlink::open().unwrap().up("lo").unwrap())
        .unwrap();
    let policy = folder.join("live.sk");
    fs::write(&policy, POLICY).unwrap();
    sockc(&space, &["apply", text(&policy)]);
    let mut slow = 0;
    println!("{:<16} {:>10} {:>14} {:>7}", "", "10", "1,000,000", "ratio");
    for kind in ["never", "soon"] {
        for (name, [few, many]) in commands(&space, folder, kind) {
            slow += usize::from(many >= MAX_TIME);
            println!(
                "{:<16} {:>7.2} ms {:>11.2} ms {:>7.2}",
                format!("{name} {kind}"),
                1e3 * few.as_secs_f64(),
                1e3 * many.as_secs_f64(),
                many.as_secs_f64() / few.as_secs_f64()
            );
        }
    }
    slow
}

/// What each command takes with few members and with many. Both are measured in each round, so that whatever else the
/// machine does meets both.
fn commands(space: &Space, folder: &Path, kind: &str) -> [(&'static str, [Duration; 2]); 4] {
    let sets = ["few", "many"].map(|size| format!("{size}_{kind}"));
    for (set, size) in sets.iter().zip(SIZES) {
        sockc(space, &["set", "load", set, text(&members(folder, size))]);
    }
    let (host, prefix) = ("203.0.113.7", "203.0.113.0/24");
    let inside = "10.0.0.4";
    let mut times = [(); 4].map(|()| [(); 2].map(|()| Vec::new()));
    for _ in 0..ROUNDS {
        for (place, set) in sets.iter().enumerate() {
            let [add, del, test, net] = &mut times;
            add[place].push(sockc(space, &["set", "add", set, host]));
            test[place].push(sockc(space, &["set", "test", set, inside]));
            del[place].push(sockc(space, &["set", "del", set, host]));
            net[place].push(sockc(space, &["set", "add", set, prefix]));
            sockc(space, &["set", "del", set, prefix]);
        }
    }
    let names = ["add", "del", "test", "add prefix"];
    let mut names = names.into_iter();
    times.map(|both| {
        let medians = both.map(|mut times| {
            times.sort();
            times[ROUNDS / 2]
        });
        (names.next().unwrap_or_default(), medians)
    })
}

/// A file of so many addresses.
fn members(folder: &Path, size: u32) -> PathBuf {
    let path = folder.join(format!("{size}.txt"));
    let host = |number: u32| std::net::Ipv4Addr::from_bits(0x0a00_0000 + 4 * number);
    let lines: Vec<String> = (0..size).map(|number| host(number).to_string()).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    path
}
