//! `sockc unload`: removes the policy in force.

use serde::Serialize;

use crate::cli;
use crate::exit::Exit;
use crate::machine::{options, refused};
use crate::output::Output;

/// The JSON of this verb.
#[derive(Serialize)]
struct Report {
    format: &'static str,
    /// Whether something was there.
    removed: bool,
}

/// Asks if somebody is there to answer, and unloads. A "no" ends the command with 1, as with `apply`.
pub(crate) fn run(arguments: &cli::Unload, output: &mut Output) -> Exit {
    let question = "Take the policy of this network namespace away?";
    if !output.consent(arguments.yes, question) {
        output.note("nothing was changed");
        return Exit::Policy;
    }
    match sockc_runtime::unload(&options(&arguments.place)) {
        Ok(removed) if output.is_json() => output.value(&Report {
            format: "sockc.unload/1",
            removed,
        }),
        Ok(true) => output.line("nothing is in force any more"),
        Ok(false) => output.line("no policy is in force"),
        Err(error) => return refused(&error, output),
    }
    Exit::Done
}
