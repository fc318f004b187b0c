//! Live sets: what a lookup costs next to one in a constant set with the same members, by random members, and what 1,000 additions
//! by one command take.
//!
//! `hosts` are addresses, half of them IPv6; `nets` the prefixes of [`nested`]: seven lengths of IPv4 and eight of
//! IPv6, all of which the table takes. Both sets are of senders; the constant one is measured right after the live one, so that whatever else the
//! machine does meets both.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lookups::{Entry, Pace, Stage, host, nested, sockc, text};

/// The sizes that are compared.
const SIZES: [u32; 5] = [10, 1000, 45_376, 100_000, 1_000_000];
/// The most that a lookup may take of one in a constant set, in percent.
const MOST: u32 = 150;
/// How many are added by one command, and what that may take.
const MANY: u32 = 1000;
const MAX_TIME: Duration = Duration::from_millis(20);

/// Prints the tables; gives how many figures are beyond what they may be.
pub(crate) fn measure(folder: &Path) -> usize {
    println!(
        "{:<18} {:>24} {:>24} {:>12} {:>9} {:>10} {:>12}",
        "set lookup, ns",
        "constant hot / random",
        "live hot / random",
        "ratio",
        "load",
        "1000 adds",
        "list"
    );
    let mut wrong = 0;
    for (name, entry) in [("hosts", host as fn(u32) -> Entry), ("nets", net)] {
        for size in SIZES {
            wrong += lookups(folder, (name, entry), size);
        }
    }
    wrong
}

/// The prefixes of `nested`, each once.
fn net(number: u32) -> Entry {
    nested(20 * number)
}

fn lookups(folder: &Path, (name, entry): (&str, fn(u32) -> Entry), size: u32) -> usize {
    let members: Vec<Entry> = (0..size).map(entry).collect();
    let file = file(folder, "members.txt", &members);
    let max = size + MANY;
    let live = Stage::new(
        folder,
        &format!("live set ten max {max}\nredirect tcp @ten:* to sock proxy\n"),
    );
    let load = sockc(&live.space, &["set", "load", "ten", text(&file)]);
    let constant = Stage::new(
        folder,
        "set ten = file \"members.txt\" max 1_000_000\nredirect tcp @ten:* to sock proxy\n",
    );
    let pace = Pace::WHOLE;
    let here = live.lookup(&members, pace);
    let there = constant.lookup(&members, pace);
    let both = |figures: [u32; 2]| format!("{} / {}", figures[0], figures[1]);
    let ratio = |place: usize| f64::from(here[place]) / f64::from(there[place]);
    let more: Vec<String> = (0..MANY)
        .map(|number| std::net::Ipv4Addr::from_bits(0xc633_0000 + number).to_string())
        .collect();
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let many = sockc(&live.space, &[&["set", "add", "ten"], &more[..]].concat());
    let list = sockc(&live.space, &["set", "list", "ten"]);
    println!(
        "{:<18} {:>24} {:>24} {:>12} {:>6.0} ms {:>7.1} ms {:>9.0} ms",
        format!("{name} {size}"),
        both(there),
        both(here),
        format!("{:.2} / {:.2}", ratio(0), ratio(1)),
        1e3 * load.as_secs_f64(),
        1e3 * many.as_secs_f64(),
        1e3 * list.as_secs_f64(),
    );
    let beyond = here[1] * 100 > there[1] * MOST;
    usize::from(beyond) + usize::from(many > MAX_TIME)
}

/// A file of members, as `set load` reads them.
fn file(folder: &Path, name: &str, members: &[Entry]) -> PathBuf {
    let path = folder.join(name);
    let lines: Vec<String> = members
        .iter()
        .map(|member| format!("{}/{}", member.address, member.length))
        .collect();
    fs::write(&path, lines.join("\n")).unwrap();
    path
}
