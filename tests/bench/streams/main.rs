//! What a policy of streams costs and what a shortcut saves, measured turn by turn.
//!
//! ```text
//! cargo bench --bench streams
//! cargo bench --bench streams -- --quick
//! ```
//!
//! Needs root, and makes network namespaces, a control group and a bpf file system of its own. Prints tables: the round trip
//! and the throughput of a connection between two namespaces over veth, without and with the shortcut, of this program's own
//! and of `sockperf` where it is installed; and what a write costs by how many rules of `send` there are. Fails where a
//! round trip with the shortcut takes more of one without than [`trip::CPUS`] says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement ends where something is wrong"
)]

#[path = "../../../examples/proxy/ask.rs"]
mod ask;
mod flow;
#[path = "../../../examples/proxy/pairs.rs"]
mod pairs;
mod proxied;
#[path = "../../../examples/proxy/relay.rs"]
mod relay;
mod sockperf;
mod stage;
mod trip;
mod turns;
mod writes;

use std::process::ExitCode;

use clap::Parser;
use sockc_runtime::lab::missing_rights;

use crate::stage::Stage;

/// What a policy of streams costs and what a shortcut saves.
#[derive(Debug, Parser)]
struct Options {
    /// Few turns, for a first look
    #[arg(long)]
    quick: bool,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let missing = missing_rights();
    if !missing.is_empty() {
        eprintln!("needs {missing:?}");
        return ExitCode::FAILURE;
    }
    let turns = if options.quick { 5 } else { 15 };
    let stage = Stage::new();
    let slow = trip::measure(&stage, turns) + sockperf::measure(&stage, turns / 2);
    flow::measure(&stage, turns);
    proxied::measure(&stage, turns);
    writes::measure(&stage, turns);
    match slow {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
