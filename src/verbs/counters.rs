//! `sockc counters`: what each rule has counted, since it came or since somebody reset it.

pub(crate) mod rates;
mod reset;
mod wanted;
mod watch;

use serde::Serialize;
use sockc_runtime::{CounterValue, Error, Options};

use crate::cli;
use crate::exit::Exit;
use crate::machine::counted::{Row, is_left_out, rows, table};
use crate::machine::losses::note_losses;
use crate::machine::{options, others, refused};
use crate::output::Output;

pub(crate) use wanted::names_counter;

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    /// Whether rules count; a policy that was compiled without counters has no rows for them.
    counted: bool,
    rules: Vec<Row<'a>>,
    /// Where nothing is in force: policies of other network namespaces that hold for groups.
    other_namespaces: Option<Vec<others::Row>>,
}

/// Shows them.
pub(crate) fn run(arguments: &cli::Counters, output: &mut Output) -> Exit {
    let place = options(&arguments.place);
    if let Some(rules) = &arguments.reset {
        return reset::run(&place, rules, arguments.yes, output);
    }
    if let Some(every) = arguments.watch {
        return watch::run(&place, arguments, every, output);
    }
    let values = match look(&place) {
        Ok(values) => values,
        Err(error) => return refused(&error, output),
    };
    let in_force = !values.is_empty();
    note_losses(&place, output);
    let values = match wanted::chosen(values, &arguments.rules, output) {
        Ok(values) => values,
        Err(exit) => return exit,
    };
    let (mut values, left_out): (Vec<_>, Vec<_>) =
        values.into_iter().partition(|value| value.counter.counted);
    if arguments.nonzero {
        values.retain(|value| value.packets > 0);
    }
    let counted = !left_out.iter().any(|value| is_left_out(&value.counter));
    if !in_force && !output.is_json() {
        output.line("no policy is in force in this network namespace");
    }
    let other_namespaces = match in_force {
        true => Some(Vec::new()),
        false => others::tell(&place, output),
    };
    if output.is_json() {
        output.value(&Report {
            format: "sockc.counters/1",
            counted,
            rules: rows(&values),
            other_namespaces,
        });
        return Exit::Done;
    }
    if !counted {
        output.line(LEFT_OUT);
    }
    if !values.is_empty() {
        table(&values, output);
    }
    if values.iter().any(|value| value.reset != [0, 0]) {
        output.note(RESET);
    }
    Exit::Done
}

/// What is shown of each counter: since it was reset.
fn look(place: &Options) -> Result<Vec<CounterValue>, Error> {
    let mut values = sockc_runtime::counters(place)?;
    for value in &mut values {
        [value.packets, value.bytes] = value.since_reset();
    }
    Ok(values)
}

/// What stands for the counters of rules that do not count.
pub(crate) const LEFT_OUT: &str = "this policy was compiled without counters";

/// That numbers are not those since the rules came.
const RESET: &str =
    "some of these were reset, and say what was counted since; `sockc metrics` says all of it";
