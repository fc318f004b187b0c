//! `sockc counters`: what each rule has counted.

use serde::Serialize;

use crate::cli;
use crate::exit::Exit;
use crate::machine::counted::{Row, is_left_out, rows, table};
use crate::machine::{options, others, refused};
use crate::output::Output;

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
    let values = match sockc_runtime::counters(&place) {
        Ok(values) => values,
        Err(error) => return refused(&error, output),
    };
    let in_force = !values.is_empty();
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
    Exit::Done
}

/// What stands for the counters of rules that do not count.
const LEFT_OUT: &str = "this policy was compiled without counters";
