//! `sockc apply --running`: puts what is in force on interfaces that came after it, or that were made again.
//!
//! Takes what is in force from the kernel's own state, so no file is needed, and a udev rule or a unit can call it. Not here:
//! putting it in force, which is the same as for any other object.

use sockc_runtime::{Error, Status};

use super::{Failure, apply};
use crate::cli;
use crate::machine::options;
use crate::output::Output;
use crate::policies::ready::Ready;

/// So often another apply may come in between.
const TRIES: usize = 3;

/// Applies what is in force once more; with `--interface`, only if one of these lacks it.
pub(super) fn apply_running(arguments: &cli::Apply, output: &mut Output) -> Result<(), Failure> {
    let wanted = &arguments.subject.interfaces;
    let options = options(&arguments.subject.place);
    let mut tries = 0..TRIES;
    loop {
        let status = sockc_runtime::status(&options).map_err(Failure::Refused)?;
        let running = sockc_runtime::running(&options).map_err(Failure::Refused)?;
        let (Some(status), Some(running)) = (status, running) else {
            return Err(Failure::Refused(Error::NothingInForce));
        };
        if running.owned {
            return Err(Failure::Refused(Error::OtherPolicy {
                netns: options.netns.clone(),
                policy: running.policy,
                owned: true,
            }));
        }
        if !wanted.is_empty() && !wanted.iter().any(|interface| lacks(&status, interface)) {
            needless(&status, wanted, output);
            return Ok(());
        }
        let ready = Ready::of_running(running, &arguments.subject, output)?;
        match apply(&ready, arguments, output) {
            // Another apply came in between: what is in force now is looked at again.
            Err(Failure::Refused(Error::Moved { .. })) if tries.next().is_some() => {}
            applied => return applied,
        }
    }
}

/// Whether the policy, or that of one of its blocks, is for an interface and does not hold on it.
fn lacks(status: &Status, interface: &str) -> bool {
    let mut inner = status.netns.iter().filter_map(|(_, inner)| inner.as_ref());
    status.coverage.lacks(interface) || inner.any(|inner| lacks(inner, interface))
}

/// Says that there is nothing to do, and why.
fn needless(status: &Status, interfaces: &[String], output: &mut Output) {
    for interface in interfaces {
        let policy = &status.policy;
        let held = status.hooks.iter().any(|hook| hook.target == *interface);
        output.note(match held {
            true => format!("the policy \"{policy}\" holds on {interface} already; nothing was changed"),
            false => format!("the policy \"{policy}\" is not for {interface}, or it is not there; nothing was changed"),
        });
    }
}
