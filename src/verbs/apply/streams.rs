//! Whether a policy that comes on trial does with the connections of groups what the one in force does.
//!
//! Takes what is ready; gives what the runtime is told of it. Only then can the kernel alone take the policy back. What is in force
//! is known by its text where its code is what that says. Not here: what follows where it is not so.

use sockc_compiler::diff::streams_differ;
use sockc_compiler::faithful;
use sockc_compiler::policy::Policy;
use sockc_runtime::{Options, Streams};

use crate::policies::ready::Ready;

/// Compares both; where something cannot be read, nothing is known.
pub(super) fn compared(ready: &Ready, options: &Options) -> Streams {
    against_running(ready, options).unwrap_or_default()
}

fn against_running(ready: &Ready, options: &Options) -> Option<Streams> {
    let policy = ready.policy().ok()?;
    if !has_connections(&policy) {
        return None;
    }
    let running = sockc_runtime::running(options).ok()??;
    let kept = sockc_runtime::kept(options, running.generation).ok()?;
    if kept.about.owned {
        return None;
    }
    let before = faithful::policy_of(&kept.object, &kept.manifest).ok()?;
    Some(match streams_differ(&before, &policy) {
        None => Streams::SameAs(running.generation),
        Some(what) => Streams::Differ(what),
    })
}

/// Whether a policy may be about connections of groups.
fn has_connections(policy: &Policy) -> bool {
    !policy.groups.is_empty() || !policy.splices.is_empty()
}
