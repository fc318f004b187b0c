//! What others changed of a policy in force, and what is not known of it: said, and as JSON.
//!
//! Takes what the runtime found. Not here: what a verb does then.

use serde::Serialize;
use sockc_runtime::Drift;

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
pub(super) const REMEDY: &str = "what runs is not what sockc left; `sockc apply` puts a policy in force again; where it refuses, `sockc unload` first, and every packet passes until the next apply";

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
