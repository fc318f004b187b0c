//! Whether a policy cuts the SSH connection that a command comes over, or lets no new one in.
//!
//! Takes a policy and where it is to be in force; asks the machine by which interfaces that connection's packets come and what
//! live sets and maps hold, and `decide` what becomes of them. Gives what would be cut, and what cannot be known. Not here:
//! whether that is in the way of anything.

mod json;
mod judge;
pub(crate) mod known;
mod packets;
mod ways;
mod words;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;

use sockc_compiler::policy::Policy;
use sockc_runtime::{Ends, Error, Options, Reached};

use crate::machine::local::within;
use crate::machine::remote;
pub(crate) use json::Row;
pub(crate) use judge::{Cut, Found};

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

/// A connection, and what a policy does to it.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    /// Its ends.
    pub(crate) ends: Ends,
    /// Whether it is there. Else it is over, and only a new one is spoken of.
    pub(crate) connected: bool,
    /// What was found.
    pub(crate) found: Found,
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
    match of_connection(policy, options, &ends) {
        Ok(looked) => looked,
        // Whoever puts the policy in force says it then.
        Err(Error::Rights { .. } | Error::NoBpffs { .. }) => Lockout::NoConnection,
        Err(error) => Lockout::NotLookedAt(words::unknown(&ends, &error)),
    }
}

fn of_connection(policy: &Policy, options: &Options, ends: &Ends) -> Result<Lockout, Error> {
    let reached = sockc_runtime::reached(options, ends)?;
    if reached.is_here(ends) {
        let policy = attached(policy, &options.interfaces);
        return Ok(judged(&policy, options, (ends, &reached)));
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
            return Ok(judged(&block.policy, &options, (ends, &reached)));
        }
    }
    // What is of another network namespace is in the way of nothing here, though its packets may come through this one.
    Ok(match reached.local {
        true => Lockout::NotLookedAt(words::is_over(ends)),
        false => Lockout::NoConnection,
    })
}

fn judged(policy: &Policy, options: &Options, (ends, reached): (&Ends, &Reached)) -> Lockout {
    let mut addresses: Vec<IpAddr> = reached.ways.iter().map(|way| way.neighbour).collect();
    addresses.extend([ends.local.ip(), ends.remote.ip()]);
    addresses.sort_unstable();
    addresses.dedup();
    let is_ipv4 = ends.local.is_ipv4();
    let known = known::known(policy, options, &addresses, is_ipv4);
    let asked = judge::Asked {
        policy,
        ends,
        reached,
        known: &known,
    };
    Lockout::Looked(Box::new(Looked {
        ends: ends.clone(),
        connected: reached.connected,
        found: judge::judge(&asked),
    }))
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
