//! Network namespaces that belong to the policy of another one, by its `for netns` blocks.
//!
//! The record of the outer policy names the namespaces it owns; the record of each policy in them names the owner. A policy
//! in force that is not the owner's is never replaced.

use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use crate::apply::Part;
use crate::error::Error;
use crate::options::Options;
use crate::record::Record;
use crate::session::{self, Session};
use crate::settle::remove_all;
use crate::state::{Access, Lock, State};
use crate::sys::netns;

/// The network namespace of an outer policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// Its inode.
    inode: u64,
    /// Its cookie, where the kernel has one: the inode may be used again.
    cookie: Option<u64>,
}

impl Owner {
    /// Its state.
    pub(crate) fn state(&self, options: &Options) -> Result<State, Error> {
        State::at(&options.bpffs, self.inode)
    }

    /// The namespace of a session.
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            inode: session.namespace.inode,
            cookie: session.namespace.cookie,
        }
    }
}

/// A namespace that belongs to a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// Its name.
    pub(crate) name: String,
    /// Its inode.
    pub(crate) inode: u64,
}

/// The policy that others stand in.
#[derive(Debug)]
pub(crate) struct Outer {
    /// Its state.
    pub(crate) state: State,
    /// What is kept of it.
    pub(crate) record: Record,
    /// Its namespace.
    pub(crate) owner: Owner,
    /// The caller's options.
    pub(crate) options: Options,
}

impl Outer {
    /// The policy of a session.
    pub(crate) fn new(session: &Session, record: &Record, options: &Options) -> Self {
        Self {
            state: session.state.clone(),
            record: record.clone(),
            owner: Owner::of(session),
            options: options.clone(),
        }
    }
}

/// The namespaces that some policies are for. Each has one policy: two names of one namespace are an error.
pub(crate) fn open(parts: &[Part<'_>], session: &Session) -> Result<Vec<Held>, Error> {
    let own = Held {
        name: "the outer policy's".to_owned(),
        inode: session.namespace.inode,
    };
    let mut found = vec![own];
    for part in parts {
        let name = part.options.netns.clone().unwrap_or_default();
        let inode = inode(&name)?;
        if let Some(other) = found.iter().find(|held| held.inode == inode) {
            return Err(Error::SameNetns {
                names: [other.name.clone(), name],
            });
        }
        found.push(Held { name, inode });
    }
    found.remove(0);
    Ok(found)
}

fn inode(name: &str) -> Result<u64, Error> {
    let about = netns::open(name).and_then(|file| file.metadata());
    about
        .map(|about| about.ino())
        .map_err(|cause| Error::Netns {
            name: name.to_owned(),
            cause,
        })
}

/// Refuses to replace a policy that another one's block put there, or, for a block, one that the outer policy did not.
pub(crate) fn check(
    before: Option<&Record>,
    outer: Option<&Outer>,
    options: &Options,
) -> Result<(), Error> {
    let Some(before) = before else {
        return Ok(());
    };
    if before.owner == outer.map(|outer| outer.owner) {
        return Ok(());
    }
    Err(Error::OtherPolicy {
        netns: options.netns.clone(),
        policy: before.manifest.policy.clone(),
        owned: before.owner.is_some(),
    })
}

/// The namespaces that were owned and no longer are.
pub(crate) fn gone(before: Option<&Record>, record: &Record) -> Vec<Held> {
    let before = before.iter().flat_map(|before| &before.netns);
    let kept = |held: &Held| record.netns.iter().any(|one| one.inode == held.inode);
    before.filter(|held| !kept(held)).cloned().collect()
}

/// The state of a namespace that was owned, locked; `None` if what is in force there, if anything is, is not the session's
/// any more: it was taken away, or the inode is another namespace's by now.
pub(crate) fn still_ours(
    held: &Held,
    options: &Options,
    session: &Session,
) -> Result<Option<(State, Lock)>, Error> {
    let state = State::at(&options.bpffs, held.inode)?;
    let Some(lock) = Lock::take(&state, Access::Change, options.lock_wait)? else {
        return Ok(None);
    };
    let generation = state.in_force()?;
    if generation == 0 {
        return Ok(None);
    }
    let (record, _) = Record::read(&state.record(generation))?;
    let ours = record.owner == Some(Owner::of(session));
    Ok(ours.then_some((state, lock)))
}

/// Takes the policies of namespaces away that the namespace of the session owns; gives what could not be.
pub(crate) fn release(gone: &[Held], options: &Options, session: &Session) -> Vec<String> {
    let owner = Owner::of(session);
    let released = gone.iter().map(|held| {
        release_one(held, options, owner).err().map(|error| {
            format!(
                "the policy of the network namespace \"{}\" could not be taken away: {error}",
                held.name
            )
        })
    });
    released.flatten().collect()
}

fn release_one(held: &Held, options: &Options, owner: Owner) -> Result<(), Error> {
    if inode(&held.name).is_ok_and(|inode| inode == held.inode) {
        return session::enter(&options.within(&held.name), |session| {
            remove(&session.state, options, owner)
        });
    }
    // The name is gone, and what is left of the policy is its pins.
    remove(&State::at(&options.bpffs, held.inode)?, options, owner)
}

fn remove(state: &State, options: &Options, owner: Owner) -> Result<(), Error> {
    let Some(_lock) = Lock::take(state, Access::Change, options.lock_wait)? else {
        return Ok(());
    };
    let mut ours = false;
    for generation in state.generations()? {
        let record = Record::read(&state.record(generation));
        ours |= record.is_ok_and(|(record, _)| record.owner == Some(owner));
    }
    if ours {
        remove_all(state)?;
        state.remove_if_empty();
    }
    Ok(())
}
