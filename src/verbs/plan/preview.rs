//! The short plan that `apply` shows before it asks: what changes on one line, and what is done to the kernel.
//!
//! Takes what the runtime foretells. What cannot be compared is said, and is no reason not to ask. Not here: the question.

use std::fmt::Write as _;

use sockc_compiler::diff;
use sockc_compiler::observer::Observer;
use sockc_compiler::policy::Policy;
use sockc_runtime::{Forecast, Options};

use super::{both, drift, limits, near, note_unverified, notes, reach, summary_of, text, told};
use crate::changes::MAX_CHANGES;
use crate::machine::drift::tell_drift;
use crate::machine::others;
use crate::output::Output;
use crate::policies::ready::Ready;

/// Shows it on standard error, where the question stands too.
pub(crate) fn preview(ready: &Ready, forecast: &Forecast, options: &Options, output: &mut Output) {
    output.watch().stage("look at what runs");
    let (line, reach) = match both(forecast, ready, options) {
        Ok((old, new)) => {
            let report = diff::compare(&old, &new, limits(Some(MAX_CHANGES)), output.watch());
            let reach = reach(forecast, [&old, &new]);
            let mut line = summary_of(&report, forecast, &reach);
            for incomplete in report
                .scopes
                .iter()
                .filter_map(|one| one.incomplete.as_ref())
            {
                let _ = write!(line, "\nincomplete: {}", incomplete.why);
            }
            (line, reach)
        }
        // Which groups have rules is not known then, and their hooks are told all the same.
        Err((cause, _)) => {
            let nothing = Policy::default();
            (cause, reach(forecast, [&nothing, &nothing]))
        }
    };
    output.watch().clear();
    tell_drift(&drift(forecast), output);
    note_unverified(forecast, output);
    let mut notes = notes::notes(forecast, &ready.manifest);
    match near(forecast, &ready.manifest, options) {
        Ok(Some(near)) => notes.extend(near.words(&told(forecast))),
        Ok(None) => drop(others::tell(options, output)),
        Err(error) => notes.push(others::unknown(&error)),
    }
    let mut page = line;
    page.push('\n');
    text::actions(forecast, &notes, &reach, &mut page);
    output.aside(&output.suggested(&page));
}
