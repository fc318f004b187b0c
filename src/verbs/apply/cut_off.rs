//! Before anything is put in force: the SSH connection that the command comes over goes on, and a new one gets in.
//!
//! Takes what is ready; ends the command with 4 where its policy says otherwise, unless somebody wants that. What nobody knows is
//! said, and is in the way of nothing. Not here: how it is found out.

use sockc_runtime::Options;

use super::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::policies::lockout::{self, Lockout};
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
    for note in lockout.notes() {
        output.note(note);
    }
    let Lockout::Looked(looked) = &lockout else {
        return Ok(());
    };
    match (looked.cuts(), wanted) {
        (false, _) => Ok(()),
        (true, true) => {
            let confirm = options.confirm.as_ref();
            output.note(looked.forced(confirm.map(|confirm| confirm.within)));
            Ok(())
        }
        (true, false) => {
            output.error_about(looked.refusal(), &looked.about());
            Err(Failure::Told(Exit::Guard))
        }
    }
}
