//! What a lookup costs by how many bindings there are: by a constant map, by a live one, and by tubular's own program where
//! `SOCKC_TUBULAR` names it, with the same entries and the same packets in one run.

#[path = "../../differential/tubular/peer.rs"]
mod peer;
#[path = "../../kernels/syscalls.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod syscalls;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::lookups::{Entry, LARGEST, Pace, SIZES, Stage, cost, host, nested};
use peer::{Binding, Peer};

/// What is measured of a lookup: one entry again and again, and each of many once.
type Cost = [u32; 2];

/// Measures every size; `quick`: few lookups, and none among the most bindings.
pub(crate) fn measure(quick: bool) -> String {
    let folder = env::temp_dir().join(format!("sockc-bench-bindings-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let tubular = env::var_os("SOCKC_TUBULAR").map(PathBuf::from);
    let pace = if quick { Pace::QUICK } else { Pace::WHOLE };
    let mut text = head(tubular.as_deref());
    for size in SIZES {
        if quick && size > LARGEST {
            continue;
        }
        line(
            &mut text,
            &folder,
            ("hosts", host),
            size,
            pace,
            tubular.as_deref(),
        );
        if size == LARGEST {
            line(
                &mut text,
                &folder,
                ("nested", nested),
                size,
                pace,
                tubular.as_deref(),
            );
        }
    }
    // It is in the folder of temporary files, where whoever cannot remove it hurts nobody.
    let _ = fs::remove_dir_all(&folder);
    text
}

fn head(tubular: Option<&Path>) -> String {
    let mut text = format!(
        "\n{:<20} {:>14} {:>14} {:>14} {:>14} {:>14}\n",
        "lookup, hot / random",
        "constant, ns",
        "live, ns",
        "tubular, ns",
        "live/constant",
        "live/tubular"
    );
    if tubular.is_none() {
        text.push_str("(tubular is not measured: SOCKC_TUBULAR names no object of it)\n");
    }
    text
}

/// One line of the table.
fn line(
    text: &mut String,
    folder: &Path,
    (name, entry): (&str, fn(u32) -> Entry),
    size: u32,
    pace: Pace,
    tubular: Option<&Path>,
) {
    let entries: Vec<Entry> = (0..size).map(entry).collect();
    let stage = Stage::live(folder, &entries);
    let live = stage.lookup(&entries, pace);
    let theirs = tubular.map(|path| {
        let peer = bound(path, &stage, &entries);
        cost(peer.program(), &entries, pace)
    });
    let constant =
        (size <= LARGEST).then(|| Stage::constant(folder, &entries).lookup(&entries, pace));
    let both = |cost: Option<Cost>| match cost {
        Some([hot, random]) => format!("{hot} / {random}"),
        None => "-".to_owned(),
    };
    let ratio = |other: Option<Cost>| match other {
        Some(other) => {
            let of = |place: usize| f64::from(live[place]) / f64::from(other[place]);
            format!("{:.2} / {:.2}", of(0), of(1))
        }
        None => "-".to_owned(),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<20} {:>14} {:>14} {:>14} {:>14} {:>14}",
        format!("{name} {size}"),
        both(constant),
        both(Some(live)),
        both(theirs),
        ratio(constant),
        ratio(theirs)
    );
}

/// tubular's program with the same bindings and sockets.
fn bound(path: &Path, stage: &Stage, entries: &[Entry]) -> Peer {
    let peer = Peer::load(path);
    for (number, socket) in (0..).zip(stage.sockets()) {
        peer.register(number, socket);
    }
    for entry in entries {
        peer.bind(&binding(entry), destination(entry));
    }
    peer
}

fn binding(entry: &Entry) -> Binding {
    let (address, bits) = match entry.address {
        IpAddr::V4(address) => (address.to_ipv6_mapped().to_bits(), 96 + entry.length),
        IpAddr::V6(address) => (address.to_bits(), entry.length),
    };
    Binding {
        protocol: entry.protocol,
        port: entry.named.unwrap_or(0),
        address,
        bits,
    }
}

/// The place of an entry's socket among those of the stage.
fn destination(entry: &Entry) -> u32 {
    let is_udp = entry.protocol == 17;
    2 * u32::from(is_udp) + u32::from(entry.address.is_ipv6())
}
