//! What a forwarded packet costs: sockc's `forward` against nftables' chain of that name, with the same rules and the same packets.
//!
//! ```text
//! cargo bench --bench forward -- --quick
//! ```
//!
//! Takes root and the commands `nft` and `ip`; prints a line for each set of rules and system. Frames arrive at a router's interface, are
//! routed to another, and end in the namespace behind it, where they are counted: a system that lost some would look fast. Everything
//! happens in namespaces that go with it.

mod code;
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod frame;
mod median;
#[path = "forward/point.rs"]
mod point;
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod rounds;
#[path = "forward/router.rs"]
mod router;
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod rules;
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod stage;
mod syscalls;
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod systems;
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod traffic;
#[path = "forward/written.rs"]
mod written;

use std::process::ExitCode;

use clap::Parser;
use sockc_runtime::lab;

use crate::rules::choice;
use crate::stage::Problem;

/// What a forwarded packet costs.
#[derive(Debug, Parser)]
struct Options {
    /// Few sizes and rounds, for a first look
    #[arg(long)]
    quick: bool,
    /// Families of rule sets, by name, separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_values = ["exact", "acl"])]
    family: Vec<String>,
    /// Numbers of rules, such as 10 or 10k, separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = choice::number)]
    size: Vec<usize>,
    /// Rounds that are kept of each point
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The sizes of a whole run, and those of a first look.
const SIZES: [usize; 5] = [1, 10, 100, 1_000, 10_000];
const FEW_SIZES: [usize; 2] = [10, 1_000];

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Problem> {
    let missing = lab::missing_rights();
    if !missing.is_empty() {
        return Err(format!("run it as root (missing: {})", missing.join(", ")).into());
    }
    let sizes = match (options.size.as_slice(), options.quick) {
        ([], true) => FEW_SIZES.to_vec(),
        ([], false) => SIZES.to_vec(),
        (sizes, _) => sizes.to_vec(),
    };
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 7 });
    for family in choice::named(&options.family)? {
        for size in &sizes {
            let set = choice::set(&family, *size)?;
            let set = set.ok_or_else(|| format!("{family} has no set of {size} rules"))?;
            print!("{}", point::measure(&set, rounds)?);
        }
    }
    Ok(())
}
