//! What the kernel does otherwise on connections that rules concern, as `apply` and `status` tell it.
//!
//! Takes what the runtime found by trying; gives words and JSON. Not here: what each of it means, which the manual says.

use serde::Serialize;
use sockc_runtime::{Fault, Faults, Way};

use crate::output::Output;
use crate::output::count;

/// The word of what stops programs that people use.
const FIONREAD: &str = "fionread";

/// It in JSON.
#[derive(Serialize)]
pub(crate) struct Row<'a> {
    word: &'a str,
    what: &'a str,
    /// On which connections: those that `send`, a `shortcut` or `receive` is about.
    ways: Vec<&'static str>,
}

/// The JSON of all of it.
pub(crate) fn rows(faults: &Faults) -> Vec<Row<'_>> {
    let rows = faults.found.iter();
    rows.map(|fault| Row {
        word: &fault.word,
        what: &fault.what,
        ways: words(fault).collect(),
    })
    .collect()
}

fn words(fault: &Fault) -> impl Iterator<Item = &'static str> {
    fault.ways.iter().copied().map(Way::word)
}

/// Says on one line that there is some.
pub(crate) fn tell(faults: &Faults, output: &mut Output) {
    if !faults.found.is_empty() {
        let found = count::of(faults.found.len(), "thing");
        output.line(format!(
            "  otherwise  the kernel does {found} otherwise on connections that rules concern; `sockc status` lists them"
        ));
    }
    if let Some(fault) = faults.found.iter().find(|fault| fault.word == FIONREAD) {
        let ways: Vec<_> = words(fault).collect();
        output.note(format!(
            "FIONREAD says 0 while data waits ({}): a program that asks it, as nginx does where it passes answers on, stands still on connections that these rules alone concern; where a rule of `receive` is about the same ones, as `count receive tcp`, it says what waits",
            ways.join(", ")
        ));
    }
    note(faults, output);
}

/// Lists it.
pub(crate) fn list(faults: &Faults, output: &mut Output) {
    let rows: Vec<_> = faults
        .found
        .iter()
        .map(|fault| {
            let ways: Vec<_> = words(fault).collect();
            vec![
                "  otherwise".to_owned(),
                fault.word.clone(),
                ways.join(", "),
                fault.what.clone(),
            ]
        })
        .collect();
    output.table(&rows);
    if !rows.is_empty() {
        output.line("  The kernel does so on connections that these rules concern; docs/streams.md says why, and what helps");
    }
    note(faults, output);
}

fn note(faults: &Faults, output: &mut Output) {
    if let Some(why) = &faults.untried {
        output.note(format!(
            "what the kernel does otherwise on connections that rules concern could not all be tried ({why}) and is not known; docs/streams.md lists it"
        ));
    }
}
