//! Before anything is put in force: the SSH connection that the command comes over goes on, and a new one gets in.
//!
//! Takes what is ready; ends the command with 4 where its policy says otherwise, unless somebody wants that. What nobody knows is
//! said, and is in the way of nothing. Not here: how it is found out.

use sockc_runtime::Options;

use super::Failure;
use crate::output::Output;
use crate::policies::lockout::{self, Looked};
use crate::policies::ready::Ready;

/// Refuses, or says what will happen.
pub(super) fn refuse(
    ready: &Ready,
    options: &Options,
    wanted: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    if !lockout::is_over_ssh() {
        return Ok(());
    }
    // Of an object whose text cannot be read nothing can be asked, nor can it be put in force.
    let Ok(policy) = ready.policy() else {
        return Ok(());
    };
    let lockout = lockout::look(&policy, options);
    if lockout.says_something() {
        // What is refused for another reason is in nobody's way.
        sockc_runtime::forecast_object(&ready.object, &ready.manifest, options)
            .map_err(Failure::Refused)?;
    }
    let within = options.confirm.as_ref().map(|confirm| confirm.within);
    let ends = lockout::taken_back(within);
    lockout.settle(wanted, &ends, Looked::refusal, output)?;
    Ok(())
}
