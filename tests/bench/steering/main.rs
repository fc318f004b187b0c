//! What steering costs: a flood by how its packets find their socket, packets that nobody asked for, to a thousand addresses; and a
//! lookup by how many bindings there are.
//!
//! ```text
//! cargo bench --bench steering
//! cargo bench --bench steering -- --quick
//! SOCKC_TUBULAR=dispatcher_bpfel.o cargo bench --bench steering -- --only bindings
//! ```
//!
//! Takes root and the commands `ip` and `nft`; prints a table for a flood of SYNs and one for a flood of datagrams: what a
//! packet costs one processor with each way of [`ways::WAYS`], and how that compares with one socket that is bound to the port; and
//! one for lookups ([`bindings`]). Fails where a flood does not get to the sockets. Everything happens in network namespaces that go with it. The method is in
//! `docs/speed.md`.

#[allow(
    clippy::unwrap_used,
    reason = "a measurement ends where something is wrong"
)]
mod bindings;
#[path = "../code.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod code;
mod flood;
#[path = "../frame.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod frame;
#[path = "../live/lookups.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "other benchmarks use more of it; a measurement ends where something is wrong"
)]
mod lookups;
#[path = "../median.rs"]
mod median;
#[path = "../rounds.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod rounds;
#[path = "../rules/mod.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod rules;
#[path = "../stage.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod stage;
#[path = "../syscalls.rs"]
mod syscalls;
#[path = "../traffic.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod traffic;
mod ways;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use sockc_runtime::lab::missing_rights;

use crate::flood::Flood;
use crate::stage::Problem;

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A flood by how its packets find their socket
    Floods,
    /// A lookup by how many bindings there are
    Bindings,
}

/// What steering costs.
#[derive(Debug, Parser)]
struct Options {
    /// One part alone
    #[arg(long)]
    only: Option<Part>,
    /// Few rounds, for a first look
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
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Problem> {
    let wants = |part: Part| options.only.is_none_or(|only| only == part);
    if wants(Part::Floods) {
        let rounds = if options.quick { 5 } else { 15 };
        for flood in [Flood::Syn, Flood::Datagrams] {
            print!("{}", flood::measure(flood, rounds)?);
        }
    }
    if wants(Part::Bindings) {
        print!("{}", bindings::measure(options.quick));
    }
    Ok(())
}
