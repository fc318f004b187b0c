//! `sockc apply --running`: puts what is in force on interfaces that came after it, or that were made again.
//!
//! Takes what is in force from the kernel's own state, so no file is needed, and a udev rule or a unit can call it. Not here:
//! putting it in force, which is the same as for any other object.

use std::collections::BTreeSet;
use std::sync::Arc;

use sockc_runtime::{Error, Options, Status};

use super::{Attached, FORMAT, Failure, Hook, Inner, Report, apply};
use crate::cli;
use crate::machine::otherwise;
use crate::machine::slots::{ends, slots};
use crate::machine::{means, options, readers, waiting};
use crate::output::Output;
use crate::policies::guards::judge;
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

/// Puts what is in force in force once more, without a word where that is done.
pub(super) fn again(arguments: &cli::Apply, output: &mut Output) -> Result<(), Failure> {
    let options = options(&arguments.subject.place);
    let mut tries = 0..TRIES;
    loop {
        let running = sockc_runtime::running(&options).map_err(Failure::Refused)?;
        let Some(running) = running.filter(|running| !running.owned) else {
            return Err(Failure::Refused(Error::NothingInForce));
        };
        let author = running.author.clone();
        let ready = Ready::of_running(running, &arguments.subject, output)?;
        if let Some(guarded) = ready.guarded(&arguments.subject, output)? {
            judge(&guarded, output)?;
        }
        let options = Options {
            author: author.map(Arc::new),
            kept_in: None,
            ..ready.options(&arguments.subject)
        };
        output.watch().clear();
        let applied = sockc_runtime::apply_object(&ready.object, &ready.manifest, &options);
        match applied.map_err(Failure::Refused) {
            Err(Failure::Refused(Error::Moved { .. })) if tries.next().is_some() => {}
            applied => return applied.map(drop),
        }
    }
}

/// Whether the policy, or that of one of its blocks, is for an interface and does not hold on it.
fn lacks(status: &Status, interface: &str) -> bool {
    let mut inner = status.netns.iter().filter_map(|(_, inner)| inner.status());
    status.coverage.lacks(interface) || inner.any(|inner| lacks(inner, interface))
}

/// Whether packet rules of the policy, or of that of one of its blocks, hold on an interface. What only fills slots of named
/// sockets there is no rule.
fn holds(status: &Status, interface: &str) -> bool {
    let here = status.hooks.iter().any(|hook| {
        let name = hook.now.as_ref().unwrap_or(&hook.target);
        is_packet(&hook.hook) && hook.alive && name == interface
    });
    let mut inner = status.netns.iter().filter_map(|(_, inner)| inner.status());
    here || inner.any(|inner| holds(inner, interface))
}

/// Whether a hook of this name meets the packets of an interface by rules.
fn is_packet(hook: &str) -> bool {
    ["xdp", "tc-in", "tc-out"].contains(&hook)
}

/// Says that there is nothing to do, and why.
fn needless(status: &Status, interfaces: &[String], output: &mut Output) {
    let unique: BTreeSet<&String> = interfaces.iter().collect();
    let notes = unique.into_iter().map(|interface| {
        let policy = &status.policy;
        match holds(status, interface) {
            true => format!("the policy \"{policy}\" holds on {interface} already; nothing was changed"),
            false => format!("the policy \"{policy}\" has no packet rules for {interface}, or it is not there; nothing was changed"),
        }
    });
    let notes: Vec<String> = notes.collect();
    if output.is_json() {
        output.value(&in_force(status, &notes));
    }
    notes.into_iter().for_each(|note| output.note(note));
}

/// Says what is in force, in JSON, with what is to be known of it.
pub(super) fn told(status: &Status, notes: &[String], output: &mut Output) {
    output.value(&in_force(status, notes));
}

/// What is in force, in the JSON of an apply that put it there.
fn in_force<'a>(status: &'a Status, notes: &'a [String]) -> Report<'a> {
    let inner = status.netns.iter().filter_map(|(netns, inner)| {
        let inner = inner.status()?;
        Some(Inner {
            netns,
            path: None,
            generation: inner.generation,
            interfaces: attached(inner),
            hooks: others(inner),
            sockets: slots(&inner.sockets),
            escaped: Vec::new(),
            refused: Vec::new(),
            unseen: Vec::new(),
            notes: &[],
        })
    });
    Report {
        format: FORMAT,
        policy: &status.policy,
        generation: status.generation,
        trial: status.trial.as_ref().map(waiting::row),
        again: None,
        start: None,
        guards: Vec::new(),
        interfaces: attached(status),
        hooks: others(status),
        sockets: slots(&status.sockets),
        ends: ends(&status.ends),
        escaped: Vec::new(),
        refused: Vec::new(),
        unseen: Vec::new(),
        otherwise: status
            .faults
            .as_ref()
            .map(otherwise::rows)
            .unwrap_or_default(),
        readers: status.readers.map(readers::name),
        notes,
        netns: inner.collect(),
    }
}

fn attached(status: &Status) -> Vec<Attached<'_>> {
    let hooks = status
        .hooks
        .iter()
        .filter(|hook| hook.alive && is_packet(&hook.hook));
    let attached = hooks.map(|hook| Attached {
        interface: hook.now.as_ref().unwrap_or(&hook.target),
        hook: &hook.hook,
        means: means(hook.means),
    });
    attached.collect()
}

fn others(status: &Status) -> Vec<Hook<'_>> {
    let hooks = status
        .hooks
        .iter()
        .filter(|hook| hook.alive && !is_packet(&hook.hook));
    let others = hooks.map(|hook| Hook {
        hook: &hook.hook,
        target: hook.now.as_ref().unwrap_or(&hook.target),
        on: hook.on.as_deref(),
        means: means(hook.means),
    });
    others.collect()
}
