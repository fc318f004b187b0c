//! `sockc metrics`: numbers of what is in force, for Prometheus and whoever reads its formats.

mod catalog;
mod counted;
mod family;
mod gather;
mod listen;
mod request;
mod serve;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use sockc_runtime::Options;

use crate::cli::{self, Form};
use crate::exit::Exit;
use crate::files::written;
use crate::machine::refused_to_status;
use crate::output::Output;
use family::Row;
use gather::{Gathered, Which, gather};

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    metrics: Vec<Row<'a>>,
}

/// Prints them, or writes or offers them.
pub(crate) fn run(arguments: &cli::Metrics, output: &mut Output) -> Exit {
    let places = places(arguments);
    let which = match arguments.all_rules {
        true => Which::All,
        false => Which::Labelled,
    };
    if output.is_json() && arguments.textfile.is_some() {
        output.error("a text file holds no JSON; leave --json or --textfile out");
        return Exit::Usage;
    }
    if let Some(door) = &arguments.listen {
        if output.is_json() {
            output.error("an exporter prints no JSON; leave --json or --listen out");
            return Exit::Usage;
        }
        return listen::run(door, arguments.mode, (&places, which), output);
    }
    let Gathered { metrics, errors } = gather(&places, which);
    let metrics = Arc::new(metrics);
    let mut exit = Exit::Done;
    for error in &errors {
        exit = exit.max(refused_to_status(error, output));
    }
    if let Some(file) = &arguments.textfile {
        let form = arguments.format.unwrap_or(Form::Prometheus);
        return exit.max(write(file, &metrics.text(form), output));
    }
    if output.is_json() {
        output.value(&Report {
            format: "sockc.metrics/1",
            metrics: metrics.rows(),
        });
    } else {
        let form = arguments.format.unwrap_or(Form::Openmetrics);
        output.bytes(metrics.text(form).as_bytes());
    }
    exit
}

/// The namespaces that are asked for, each once.
fn places(arguments: &cli::Metrics) -> Vec<Options> {
    let one = |netns: Option<String>| Options {
        bpffs: arguments.bpffs.clone(),
        netns,
        ..Options::default()
    };
    if arguments.netns.is_empty() {
        return vec![one(None)];
    }
    let mut named: Vec<&String> = Vec::new();
    for netns in &arguments.netns {
        if !named.contains(&netns) {
            named.push(netns);
        }
    }
    named
        .into_iter()
        .map(|netns| one(Some(netns.clone())))
        .collect()
}

fn write(file: &Path, text: &str, output: &mut Output) -> Exit {
    match written::for_readers(file, text.as_bytes()) {
        Ok(()) => Exit::Done,
        Err(error) => written::refused(file, &error, output),
    }
}
