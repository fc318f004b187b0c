//! The short plan that `apply` shows before it asks: what changes on one line, and what is done to the kernel.
//!
//! Takes what the runtime foretells. What cannot be compared is said, and is no reason not to ask. Not here: the question.

use sockc_compiler::diff;
use sockc_compiler::observer::Observer;
use sockc_runtime::{Forecast, Options};

use super::{both, drift, note_unverified, summary_of, text};
use crate::machine::drift::tell_drift;
use crate::output::Output;
use crate::policies::ready::Ready;

/// Shows it on standard error, where the question stands too.
pub(crate) fn preview(ready: &Ready, forecast: &Forecast, options: &Options, output: &mut Output) {
    output.watch().stage("look at what runs");
    let line = match both(forecast, ready, options) {
        Ok((old, new)) => {
            let report = diff::compare(&old, &new, diff::Options::default(), output.watch());
            summary_of(&report, forecast)
        }
        Err((cause, _)) => cause,
    };
    output.watch().clear();
    tell_drift(&drift(forecast), output);
    note_unverified(forecast, output);
    let mut page = line;
    page.push('\n');
    text::actions(forecast, &ready.manifest, &mut page);
    output.aside(&page);
}
