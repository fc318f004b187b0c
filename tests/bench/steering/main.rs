//! What a flood costs by how its packets find their socket: packets that nobody asked for, to a thousand addresses.
//!
//! ```text
//! cargo bench --bench steering
//! cargo bench --bench steering -- --quick
//! ```
//!
//! Takes root and the commands `ip` and `nft`; prints a table for a flood of SYNs and one for a flood of datagrams: what a
//! packet costs one processor with each way of [`ways::WAYS`], and how that compares with one socket that is bound to the port.
//! Fails where a flood does not get to the sockets. Everything happens in network namespaces that go with it. The method is in
//! `docs/speed.md`.

#[path = "../code.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod code;
mod flood;
#[path = "../frame.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod frame;
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

use clap::Parser;
use sockc_runtime::lab::missing_rights;

use crate::flood::Flood;
use crate::stage::Problem;

/// What a flood costs by how its packets find their socket.
#[derive(Debug, Parser)]
struct Options {
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
    match run(if options.quick { 5 } else { 15 }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(rounds: usize) -> Result<(), Problem> {
    for flood in [Flood::Syn, Flood::Datagrams] {
        print!("{}", flood::measure(flood, rounds)?);
    }
    Ok(())
}
