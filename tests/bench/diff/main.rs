//! What a comparison of two policies costs, and what the lints cost, by rule set and size.
//!
//! ```text
//! cargo bench --bench diff -- --size 1k
//! ```
//!
//! Takes no rights and touches nothing but a folder for temporary files. Prints two tables; fails where a row is wrong. The
//! method is in `docs/speed.md`.

mod cases;
mod measured;
mod rows;
#[path = "../rules/mod.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod rules;
mod table;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::cases::Kind;
use crate::measured::{CHILD, Problem, answer};
use crate::rows::Plan;
use crate::rules::choice;
use crate::table::{Row, diff_head, lint_head};

/// The sizes of a run, and what `--large` adds.
const SIZES: [usize; 2] = [1_000, 10_000];
const LARGE: usize = 100_000;

/// What a comparison of two policies costs, and what the lints cost.
#[derive(Debug, Parser)]
struct Options {
    /// Sets of 100,000 rules too
    #[arg(long)]
    large: bool,
    /// Families of rule sets, by name, separated by commas; `classbench` is all of ClassBench that is there
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    family: Vec<String>,
    /// Numbers of rules, such as 1k or 100k, separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = choice::number)]
    size: Vec<usize>,
    /// How often each thing is measured
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Write everything as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let done = match arguments.get(1..) {
        Some([first, asked @ ..]) if first == CHILD => answer(asked).map(|()| true),
        _ => run(&Options::parse()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything that is asked for; says whether all of it is right.
fn run(options: &Options) -> Result<bool, Problem> {
    let name = format!("sockc-bench-diff-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder)?;
    let measured = tables(
        options,
        &Plan {
            folder: &folder,
            rounds: options.rounds,
        },
    );
    fs::remove_dir_all(&folder)?;
    Ok(measured?.iter().all(|row| row.wrong.is_none()))
}

fn tables(options: &Options, plan: &Plan<'_>) -> Result<Vec<Row>, Problem> {
    let mut rows = Vec::new();
    println!("{}", diff_head());
    for (family, size) in options.points()? {
        if let Some(set) = choice::rules(&family, size)? {
            for kind in [Kind::Many, Kind::One, Kind::Without] {
                options.add(plan.diff(&set, kind)?, &mut rows)?;
            }
        }
    }
    println!("\n{}", lint_head());
    for (family, size) in options.points()? {
        if let Some(set) = choice::rules(&family, size)? {
            options.add(plan.lint(&set, size)?, &mut rows)?;
        }
    }
    Ok(rows)
}

impl Options {
    /// Family and size of everything that is measured.
    fn points(&self) -> Result<Vec<(String, usize)>, Problem> {
        let mut sizes = self.size.clone();
        if sizes.is_empty() {
            sizes.extend(SIZES);
        }
        sizes.extend(self.large.then_some(LARGE));
        sizes.sort_unstable();
        sizes.dedup();
        let families = match self.family.as_slice() {
            [] => choice::all(),
            wanted => choice::named(wanted)?,
        };
        let points = families.iter().flat_map(|family| {
            let sizes = sizes.iter().copied();
            sizes
                .filter(|size| choice::exists(family, *size))
                .map(|size| (family.clone(), size))
        });
        Ok(points.collect())
    }

    /// Shows a row and keeps it. JSON is written after each: a run that is ended leaves what it has.
    fn add(&self, row: Option<Row>, rows: &mut Vec<Row>) -> Result<(), Problem> {
        let Some(row) = row else {
            return Ok(());
        };
        println!("{}", row.line());
        rows.push(row);
        if let Some(path) = &self.json {
            fs::write(path, serde_json::to_string_pretty(rows)?)?;
        }
        Ok(())
    }
}
