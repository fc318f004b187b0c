//! What of a policy can be put in force on trial.
//!
//! Takes the records of the policy in force and of the next one; refuses what the kernel alone could not take back.

use sockc_compiler::artifact::GroupPlan;

use crate::error::Error;
use crate::options::{Options, Streams};
use crate::state::record::Record;

/// Refuses a trial of what is not carried back: connections that groups have taken in stay in maps that both policies
/// write, the kernel remembers each write that it refused, and pairs go on. Where all of that is the same under both policies, it is
/// the same after the trial.
pub(super) fn check(
    before: Option<&Record>,
    record: &Record,
    options: &Options,
) -> Result<(), Error> {
    let Some(confirm) = &options.confirm else {
        return Ok(());
    };
    let why = match (&confirm.streams, before) {
        (Streams::SameAs(generation), Some(before)) if before.generation == *generation => {
            return Ok(());
        }
        (Streams::Differ(what), _) => format!(" while that changes ({what})"),
        _ => String::new(),
    };
    for one in before.into_iter().chain([record]) {
        let manifest = &one.manifest;
        let what = match () {
            () if manifest.groups.iter().any(GroupPlan::takes_in) => {
                "rules of `send`, or of `receive tcp`, whose connections are taken in"
            }
            () if !manifest.pairs.is_empty() => "pairs of connections",
            () => continue,
        };
        return Err(refused(format!(
            "the policy \"{}\" has {what}, which a deadline in the kernel cannot take back{why}; apply it with --no-confirm",
            manifest.policy
        )));
    }
    Ok(())
}

/// That it cannot be put in force on trial, and why.
pub(super) fn refused(why: String) -> Error {
    Error::NoTrial { why }
}
