//! `sockc counters --reset`: has counters begin at 0 again, for those who look by this command.
//!
//! What they had counted is taken down in the kernel, and subtracted by who shows them. Totals go on, for `sockc metrics` and for the
//! next apply.

use serde::Serialize;
use sockc_runtime::{CounterValue, Options};

use super::wanted::{chosen, is_chosen};
use crate::exit::Exit;
use crate::machine::refused;
use crate::output::{Output, count};

/// The JSON.
#[derive(Serialize)]
struct Report {
    format: &'static str,
    /// How many counters begin at 0.
    reset: usize,
}

pub(super) fn run(place: &Options, rules: &[String], yes: bool, output: &mut Output) -> Exit {
    let values = match sockc_runtime::counters(place) {
        Ok(values) => values,
        Err(error) => return refused(&error, output),
    };
    if values.is_empty() {
        output
            .error("no policy is in force in this network namespace, so there is nothing to reset");
        return Exit::Policy;
    }
    let meant = match chosen(values, rules, output) {
        Ok(values) => values.len(),
        Err(exit) => return exit,
    };
    let what = count::of(meant, "counter");
    let question = format!(
        "{what} will begin at 0 for everybody who looks by `sockc counters`; `sockc metrics` goes on. Reset?"
    );
    if !output.consent(yes, question) {
        output.note("nothing was changed");
        return Exit::Policy;
    }
    let is_chosen = |value: &CounterValue| is_chosen(value, rules);
    let reset = match sockc_runtime::reset_counters(place, &is_chosen) {
        Ok(reset) => reset,
        Err(error) => return refused(&error, output),
    };
    if output.is_json() {
        output.value(&Report {
            format: "sockc.counters-reset/1",
            reset,
        });
    } else {
        let what = count::of(reset, "counter");
        output.line(format!("{what} reset"));
    }
    Exit::Done
}
