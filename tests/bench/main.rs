//! What a packet costs: sockc against the kernel's other filters, with the same rules and the same packets.
//!
//! ```text
//! cargo bench --bench cost -- --quick
//! ```
//!
//! Takes root and the commands `nft` and `iptables`; prints a table for each rule set, and writes JSON and a chart where asked
//! to. The method is in `docs/speed.md`. Everything happens in network namespaces that go with it.

mod applied;
mod chart;
mod code;
mod compiled;
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod frame;
mod hardened;
mod loaded;
mod median;
mod options;
mod point;
mod report;
mod rounds;
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod rules;
mod sockc;
mod stage;
#[allow(dead_code, reason = "the pictures of the command use more of it")]
#[path = "../../src/svg.rs"]
mod svg;
mod syscalls;
mod systems;
mod traffic;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use sockc_compiler::pipeline::Counters;
use sockc_runtime::lab;

use crate::compiled::Folder;
use crate::hardened::Hardened;
use crate::options::Options;
use crate::point::Plan;
use crate::report::Report;
use crate::rules::choice;
use crate::stage::Problem;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let done = match arguments.get(1..) {
        Some([first, policy, made, how @ ..]) if first == compiled::CHILD => {
            let uncounted = how.iter().any(|one| one == compiled::UNCOUNTED);
            let counters = if uncounted {
                Counters::LeftOut
            } else {
                Counters::Kept
            };
            compiled::child(Path::new(policy), Path::new(made), counters)
        }
        _ => run(&Options::parse()),
    };
    match done {
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
        return Err(format!(
            "the benchmarks make network namespaces and load programs; run them as root (missing: {})",
            missing.join(", ")
        )
        .into());
    }
    let folder = Folder::new()?;
    let _hardened = options.jit_harden.map(Hardened::set).transpose()?;
    let systems = options.systems()?;
    let mut reports = Vec::new();
    for (family, size) in options.points()? {
        let Some(set) = choice::set(&family, size)? else {
            println!("\n{family}, {size} rules: there is no such set");
            continue;
        };
        let report = point::measure(&Plan {
            set: &set,
            size,
            systems: &systems,
            rounds: options.rounds(),
            folder: &folder,
        })?;
        print!("{}", report.table());
        reports.push(report);
        // After each point: a run that is ended leaves what it has.
        write(options, &reports)?;
    }
    Ok(())
}

fn write(options: &Options, reports: &[Report]) -> Result<(), Problem> {
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_string_pretty(reports)?)?;
    }
    if let Some(path) = &options.svg {
        fs::write(path, chart::draw(&report::panels(reports)))?;
    }
    Ok(())
}
