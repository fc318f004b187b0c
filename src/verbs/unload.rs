//! `sockc unload`: removes the policy in force.

use serde::Serialize;

use crate::cli;
use crate::exit::Exit;
use crate::machine::{options, others, refused};
use crate::output::Output;

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    /// Whether something was there.
    removed: bool,
    notes: &'a [String],
    /// Policies of other network namespaces that hold for groups.
    other_namespaces: Option<Vec<others::Row>>,
}

/// Asks if somebody is there to answer, and unloads. A "no" ends the command with 1, as with `apply`.
pub(crate) fn run(arguments: &cli::Unload, output: &mut Output) -> Exit {
    let question = "Take the policy of this network namespace away?";
    if !output.consent(arguments.yes, question) {
        output.note("nothing was changed");
        return Exit::Policy;
    }
    let place = options(&arguments.place);
    let unloaded = match sockc_runtime::unload(&place) {
        Ok(unloaded) => unloaded,
        Err(error) => return refused(&error, output),
    };
    let notes = unloaded.notes.iter();
    let notes: Vec<String> = notes.map(|note| output.suggested(note)).collect();
    if output.is_json() {
        let other_namespaces = others::tell(&place, output);
        output.value(&Report {
            format: "sockc.unload/1",
            removed: unloaded.removed,
            notes: &notes,
            other_namespaces,
        });
    } else {
        output.line(match unloaded.removed {
            true => "nothing is in force any more in this network namespace",
            false => "no policy is in force in this network namespace",
        });
        others::tell(&place, output);
    }
    notes.into_iter().for_each(|note| output.note(note));
    Exit::Done
}
