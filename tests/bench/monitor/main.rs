//! What `sockc monitor` costs, and what is lost, where a policy logs every packet: at 100,000 packets a second and as fast as one
//! processor sends them; and what a packet costs with a reader, without one, and without `log`, at both paces.
//!
//! ```text
//! cargo bench --bench monitor
//! cargo bench --bench monitor -- --quick
//! ```
//!
//! Needs root and two processors, and makes network namespaces and a bpf file system of its own. Prints two tables. Fails where
//! what was read and what was lost are not, together, what the rule counted, or where `monitor` tells another number of lost
//! records than the programs counted. Not here: what a record says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement ends where something is wrong"
)]

#[path = "../median.rs"]
mod median;
mod reader;
mod sender;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use std::{env, fs};

use clap::Parser;
use sockc_runtime::lab::{FRONT, Lab, missing_rights};

use crate::median::median;
use crate::reader::{Form, Reader};
use crate::sender::{Pace, send};

/// A policy that logs every packet of a port.
const LOGS: &str = "default in allow\nall: drop udp to port 9 log sample 1/1\n";
/// The same without.
const SILENT: &str = "default in allow\nall: drop udp to port 9\n";

/// What monitor costs.
#[derive(Debug, Parser)]
struct Options {
    /// Few packets and rounds, for a first look
    #[arg(long)]
    quick: bool,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// Where everything happens.
struct Stage {
    lab: Lab,
    folder: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let folder = env::temp_dir().join(format!("sockc-bench-monitor-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self {
            lab: Lab::new().unwrap(),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn sockc(&self, arguments: &[&str]) -> String {
        let run = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
            command.args(arguments).stdin(Stdio::null());
            command.output().unwrap()
        };
        let ran = self.lab.server.run(run).unwrap();
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Puts a policy in force, whose counters begin at 0.
    fn apply(&self, text: &str) {
        let path = self.path("policy.sk");
        fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        self.sockc(&["apply", path, "--interface", FRONT, "--yes"]);
        self.sockc(&["counters", "--reset", "--yes"]);
    }

    /// What the rule counted, and how many of its records were lost.
    fn counted(&self) -> [u64; 2] {
        let json: serde_json::Value =
            serde_json::from_str(&self.sockc(&["counters", "--json"])).unwrap();
        let rows = json["rules"].as_array().unwrap();
        let number = |key: &str, value: &str| {
            let row = rows.iter().find(|row| row[key] == value);
            row.map_or(0, |row| row["packets"].as_u64().unwrap())
        };
        [number("rule", "all"), number("kind", "lost")]
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let missing = missing_rights();
    if !missing.is_empty() {
        eprintln!("needs {missing:?}");
        return ExitCode::FAILURE;
    }
    let stage = Stage::new();
    let wrong = readers(&stage, options.quick);
    path(&stage, options.quick);
    match wrong {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Prints what each form of reading costs at each pace; gives how many of them told something that is not so.
fn readers(stage: &Stage, quick: bool) -> usize {
    let time = Duration::from_secs(if quick { 2 } else { 10 });
    let mut wrong = 0;
    println!(
        "{:<20} {:<20} {:>11} {:>11} {:>11} {:>11} {:>16}",
        "packets", "monitor", "sent/s", "logged", "read", "lost", "CPU s a million"
    );
    for pace in [Pace::Steady(100_000), Pace::Fast] {
        for form in Form::ALL {
            wrong += usize::from(!one(stage, pace, form, time));
        }
    }
    wrong
}

/// Measures one; whether all that was told is so.
fn one(stage: &Stage, pace: Pace, form: Form, time: Duration) -> bool {
    stage.apply(LOGS);
    let out = stage.path("out");
    let reader = Reader::start(&stage.lab.server, form, &out);
    let sent = send(&stage.lab.client, pace, time);
    let ended = reader.end();
    let [logged, lost] = stage.counted();
    let read = match form.is_kept() {
        true => reader::told(&out),
        false => reader::Told {
            records: logged - lost,
            lost,
        },
    };
    println!(
        "{:<20} {:<20} {:>11.0} {:>11} {:>11} {:>11} {:>16.2}",
        pace.name(),
        form.name(),
        sent.a_second(),
        logged,
        read.records,
        lost,
        ended.as_secs_f64() * 1e6 / read.records as f64
    );
    let exact = read.records + lost == logged && read.lost == lost;
    if !exact {
        println!(
            "  WRONG: {} read and {lost} lost are not {logged}, or monitor tells {} lost",
            read.records, read.lost
        );
    }
    if sent.count != logged {
        println!(
            "  {} more were sent, and lost on the way",
            sent.count - logged
        );
    }
    exact
}

/// Prints what a packet costs whoever sends it, by who reads. The processor's time is that of the sender alone, so that it says
/// something on a machine that does other work too.
fn path(stage: &Stage, quick: bool) {
    let (rounds, time) = match quick {
        true => (3, Duration::from_millis(500)),
        false => (9, Duration::from_secs(2)),
    };
    let ways = [
        ("without log", SILENT, false),
        ("log, nobody reads", LOGS, false),
        ("log, monitor reads", LOGS, true),
    ];
    for pace in [Pace::Steady(100_000), Pace::Fast] {
        let mut costs = vec![Vec::new(); ways.len()];
        for _ in 0..rounds {
            for ((_, policy, reads), costs) in ways.iter().zip(&mut costs) {
                stage.apply(policy);
                let reader = reads
                    .then(|| Reader::start(&stage.lab.server, Form::Json, Path::new("/dev/null")));
                let sent = send(&stage.lab.client, pace, time);
                reader.map(Reader::end);
                costs.push([sent.cost(), 1e9 / sent.a_second()]);
            }
        }
        show(&pace.name(), &ways.map(|(name, ..)| name), &costs);
    }
}

/// Prints the medians of what a packet takes of the processor, and of the time from one to the next.
fn show(pace: &str, ways: &[&str], costs: &[Vec<[f64; 2]>]) {
    let of =
        |costs: &[[f64; 2]], which: usize| median(costs.iter().map(|cost| cost[which]).collect());
    println!(
        "\n{pace:<24} {:>14} {:>7} {:>14}",
        "CPU ns/packet", "ratio", "apart ns"
    );
    let whole = of(&costs[0], 0);
    for (name, costs) in ways.iter().zip(costs) {
        let (cost, apart) = (of(costs, 0), of(costs, 1));
        println!(
            "{name:<24} {cost:>14.0} {:>7.2} {apart:>14.0}",
            cost / whole
        );
    }
}
