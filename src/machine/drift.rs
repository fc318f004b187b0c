//! What others changed of a policy in force, and what is not known of it: said, and as JSON.
//!
//! Takes what the runtime found. Not here: what a verb does then.

use serde::Serialize;
use sockc_runtime::{Drift, Options};

use crate::output::Output;

/// What somebody else changed, in JSON.
#[derive(Serialize)]
pub(crate) struct Changed<'a> {
    path: String,
    expected: &'a str,
    found: &'a str,
}

/// That nobody knows whether what runs does what its text says.
pub(crate) fn unverified(why: &str) -> String {
    format!(
        "whether the code in force is what its text says was not looked at: {why}; `sockc apply` with the policy makes it sure"
    )
}

/// Says what others changed; `true` if nothing.
pub(crate) fn tell_drift(drift: &[Drift], output: &mut Output) -> bool {
    for changed in drift {
        output.error(changed);
    }
    if !drift.is_empty() {
        output.note(REMEDY);
    }
    drift.is_empty()
}

/// What is to be done about it.
const REMEDY: &str = "what runs is not what sockc left; `sockc apply` puts a policy in force again; where it refuses, `sockc unload` first, and every packet passes until the next apply";

/// Says beside something else what others changed of hooks.
pub(crate) fn note_changed_hooks<'a>(
    changed: impl IntoIterator<Item = &'a Drift>,
    output: &mut Output,
) {
    let mut changed = changed.into_iter().peekable();
    let is_any = changed.peek().is_some();
    for one in changed {
        output.note(one);
    }
    if is_any {
        output.note(REMEDY);
    }
}

/// Looks whether others changed hooks of the policy in force, and says it. What cannot be looked at was not seen to be changed:
/// `status` says why it cannot.
pub(crate) fn look_at_hooks(options: &Options, output: &mut Output) {
    let changed = sockc_runtime::changed_hooks(options).unwrap_or_default();
    note_changed_hooks(&changed, output);
}

/// What others changed in JSON.
pub(crate) fn drift_in_json(drift: &[Drift]) -> Vec<Changed<'_>> {
    let changed = drift.iter();
    changed
        .map(|one| Changed {
            path: one.path.display().to_string(),
            expected: &one.expected,
            found: &one.found,
        })
        .collect()
}
