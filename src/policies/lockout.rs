//! Whether a policy cuts the SSH connection that a command comes over, or lets no new one in.
//!
//! Takes a policy and where it is to be in force; asks the machine by which interfaces that connection's packets come and what
//! live sets and maps hold, and `decide` what becomes of them. Gives what would be cut, and what cannot be known. Not here:
//! whether that is in the way of anything.

mod json;
mod judge;
mod known;
mod members;
mod packets;
mod ways;
mod words;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use sockc_compiler::kept::KeptTexts;
use sockc_compiler::policy::Policy;
use sockc_runtime::{Ends, Error, KeptGeneration, Options, Reached};

use crate::exit::Exit;
use crate::machine::local::within;
use crate::machine::remote;
use crate::output::Output;
pub(crate) use json::Row;
pub(crate) use judge::{Cut, Found};
use known::Known;
pub(crate) use members::{Change, Changed};
pub(crate) use words::taken_back;

/// What a policy does to the SSH connection that the command comes over.
#[derive(Clone, Debug)]
pub(crate) enum Lockout {
    /// The command comes over none.
    NoConnection,
    /// It is not known, and why.
    NotLookedAt(String),
    /// It is, as far as it goes.
    Looked(Box<Looked>),
}

impl Lockout {
    /// Says what is not known, and, where somebody wants that all the same, what will happen; else refuses what cuts the connection, in the
    /// words of `refusal`. `ends` says how long it will be so, as [`taken_back`] does.
    pub(crate) fn settle(
        &self,
        wanted: bool,
        ends: &str,
        refusal: impl FnOnce(&Looked) -> String,
        output: &mut Output,
    ) -> Result<(), Exit> {
        for note in self.notes() {
            output.note(note);
        }
        let Self::Looked(looked) = self else {
            return Ok(());
        };
        match (looked.cuts(), wanted) {
            (false, _) => Ok(()),
            (true, true) => {
                output.note(looked.forced(ends));
                Ok(())
            }
            (true, false) => {
                output.error_about(refusal(looked), &looked.about());
                Err(Exit::Guard)
            }
        }
    }
}

/// A connection, and what a policy does to it.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    /// Its ends.
    pub(crate) ends: Ends,
    /// Whether it is there. Else it is over, and only a new one is spoken of.
    pub(crate) connected: bool,
    /// What was found.
    pub(crate) found: Found,
    /// The policy, where it is not in force, and comes back if the one on trial is not confirmed.
    pub(crate) waits: Option<Waits>,
}

/// A policy that was in force before the one on trial.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    /// Its name.
    pub(crate) policy: String,
    /// After how long it comes back.
    pub(crate) left: Duration,
}

/// What is asked of a policy.
#[derive(Clone, Copy, Debug)]
enum Asks<'a> {
    /// What it cuts.
    Policy,
    /// What a change of a set cuts.
    Change(&'a Changed<'a>),
    /// The same, where it comes back after so long.
    Waiting(&'a Changed<'a>, Duration),
}

/// Whether the command comes over an SSH connection.
pub(crate) fn is_over_ssh() -> bool {
    remote::connection().is_some()
}

/// Looks at what a policy does to the connection, where it is to be in force.
pub(crate) fn look(policy: &Policy, options: &Options) -> Lockout {
    let Some(connection) = remote::connection() else {
        return Lockout::NoConnection;
    };
    let Some(ends) = remote::ends(&connection.ends) else {
        return Lockout::NotLookedAt(words::no_ends(&connection.ends));
    };
    told(&ends, of_connection(policy, options, &ends, Asks::Policy))
}

/// Looks at what a change of a live set of the policy in force does to the connection: at what would be cut by it that is not cut now. Where
/// that policy is on trial, the one that may come back has the same set, and is looked at too.
pub(crate) fn look_at_set(changed: &Changed<'_>, options: &Options) -> Vec<Lockout> {
    let Some(connection) = remote::connection() else {
        return Vec::new();
    };
    let Some(ends) = remote::ends(&connection.ends) else {
        return vec![Lockout::NotLookedAt(words::no_ends(&connection.ends))];
    };
    match changed.concerns(options, &ends, None) {
        Ok(true) => {}
        // What is wrong with the set is said by whoever changes it.
        Ok(false) | Err(_) => return Vec::new(),
    }
    let now = match in_force(options) {
        Ok(Some((policy, options))) => {
            if !matches!(changed.concerns(&options, &ends, Some(&policy)), Ok(true)) {
                return Vec::new();
            }
            let asks = Asks::Change(changed);
            told(&ends, of_connection(&policy, &options, &ends, asks))
        }
        Ok(None) => return Vec::new(),
        Err(why) => Lockout::NotLookedAt(words::unknown(&ends, &why)),
    };
    let then = then(changed, options, &ends);
    [Some(now), then].into_iter().flatten().collect()
}

/// What the policy does after the change that comes back if the one on trial is not confirmed.
fn then(changed: &Changed<'_>, options: &Options, ends: &Ends) -> Option<Lockout> {
    let unknown = |why: &dyn Display| Some(Lockout::NotLookedAt(words::waits_unknown(ends, why)));
    let (waiting, kept) = match sockc_runtime::comes_back(options) {
        Ok(found) => found?,
        Err(error) => return unknown(&error),
    };
    let (policy, options) = match read(kept, options) {
        Ok(found) => found?,
        Err(why) => return unknown(&why),
    };
    let asks = Asks::Waiting(changed, waiting.left);
    match of_connection(&policy, &options, ends, asks) {
        // Whatever is said of the connection was said of the policy in force.
        Ok(Lockout::Looked(looked)) => Some(Lockout::Looked(looked)),
        Ok(_) => None,
        Err(error) => unknown(&error),
    }
}

/// The policy in force, and where it is; nothing of that of a `for netns` block, which has no text of its own.
fn in_force(options: &Options) -> Result<Option<(Policy, Options)>, Box<dyn Display>> {
    let found = sockc_runtime::running(options).and_then(|running| {
        let generation = running.ok_or(Error::NothingInForce)?.generation;
        sockc_runtime::kept(options, generation)
    });
    read(found.map_err(boxed)?, options)
}

fn boxed(error: Error) -> Box<dyn Display> {
    Box::new(error)
}

/// A policy out of what is kept of it.
fn read(
    found: KeptGeneration,
    options: &Options,
) -> Result<Option<(Policy, Options)>, Box<dyn Display>> {
    if found.about.owned {
        return Ok(None);
    }
    let texts = KeptTexts::of_object(&found.object, &found.manifest);
    let kept = texts.and_then(|texts| texts.policy());
    let kept = kept.map_err(|error| Box::new(error) as Box<dyn Display>)?;
    let options = Options {
        interfaces: found.about.interfaces,
        ..options.clone()
    };
    Ok(Some((kept.policy, options)))
}

fn told(ends: &Ends, found: Result<Lockout, Error>) -> Lockout {
    match found {
        Ok(looked) => looked,
        // Whoever puts the policy in force says it then.
        Err(Error::Rights { .. } | Error::NoBpffs { .. }) => Lockout::NoConnection,
        Err(error) => Lockout::NotLookedAt(words::unknown(ends, &error)),
    }
}

fn of_connection(
    policy: &Policy,
    options: &Options,
    ends: &Ends,
    asks: Asks<'_>,
) -> Result<Lockout, Error> {
    let reached = sockc_runtime::reached(options, ends)?;
    if reached.is_here(ends) {
        let policy = attached(policy, &options.interfaces);
        return judged(&policy, options, (ends, &reached), asks);
    }
    for block in &policy.netns {
        let options = Options {
            interfaces: Vec::new(),
            ..within(options, &block.name)
        };
        // What cannot be entered is told by whoever puts the policy in force.
        let reached = sockc_runtime::reached(&options, ends);
        if let Ok(reached) = reached
            && reached.connected
        {
            return match asks {
                Asks::Policy => judged(&block.policy, &options, (ends, &reached), asks),
                // A block's sets are changed in its namespace, and what it says of them is no matter of a change here.
                Asks::Change(_) | Asks::Waiting(..) => Ok(Lockout::NoConnection),
            };
        }
    }
    // What is of another network namespace is in the way of nothing here, though its packets may come through this one.
    Ok(match (reached.local, &options.netns) {
        (true, _) => Lockout::NotLookedAt(words::is_over(ends)),
        // Somebody who names a namespace knows that it is another one.
        (false, Some(_)) => Lockout::NoConnection,
        (false, None) => Lockout::NotLookedAt(words::is_elsewhere(ends)),
    })
}

fn judged(
    policy: &Policy,
    options: &Options,
    (ends, reached): (&Ends, &Reached),
    asks: Asks<'_>,
) -> Result<Lockout, Error> {
    let mut addresses: Vec<IpAddr> = reached.ways.iter().map(|way| way.neighbour).collect();
    addresses.extend([ends.local.ip(), ends.remote.ip()]);
    addresses.sort_unstable();
    addresses.dedup();
    let is_ipv4 = ends.local.is_ipv4();
    let known = known::known(policy, options, &addresses, is_ipv4);
    let known = match asks {
        Asks::Policy | Asks::Change(_) => known,
        Asks::Waiting(..) => known.of_waiting(policy, options),
    };
    let judged = |known: &Known| {
        judge::judge(&judge::Asked {
            policy,
            ends,
            reached,
            known,
        })
    };
    let (found, waits) = match asks {
        Asks::Policy => (judged(&known), None),
        Asks::Change(changed) | Asks::Waiting(changed, _) => {
            let after = changed.after((policy, options), &known, &addresses)?;
            let mut found = judged(&after).besides(&judged(&known));
            let [before, later] =
                [&known, &after].map(|one| judged(&changed.once_ended(policy, one)));
            let later = later.besides(&before).besides(&found);
            let waits = match asks {
                Asks::Waiting(_, left) => Some(Waits {
                    policy: policy.name.clone(),
                    left,
                }),
                Asks::Policy | Asks::Change(_) => None,
            };
            let ends = later.cuts.iter();
            let ends = ends.map(|cut| words::ends(cut, changed.set, waits.as_ref()));
            found.doubts = ends.collect();
            (found, waits)
        }
    };
    Ok(Lockout::Looked(Box::new(Looked {
        ends: ends.clone(),
        connected: reached.connected,
        found,
        waits,
    })))
}

/// A policy with the interfaces that were given instead of its own.
fn attached<'a>(policy: &'a Policy, interfaces: &[String]) -> Cow<'a, Policy> {
    if interfaces.is_empty() || policy.interfaces == interfaces {
        return Cow::Borrowed(policy);
    }
    Cow::Owned(Policy {
        interfaces: interfaces.to_vec(),
        ..policy.clone()
    })
}
