//! Network namespaces that belong to the policy of another one, by its `for netns` blocks.
//!
//! The record of the outer policy names the namespaces it owns; the record of each policy in them names the owner. A policy
//! in force that is not the owner's is never replaced.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::entrance;
use super::part::Part;
use crate::error::{Error, unreadable};
use crate::options::Options;
use crate::reconcile::remove_all;
use crate::session::{self, Session};
use crate::state::in_force;
use crate::state::namespaces::{Held, Holds, Known, Owner};
use crate::state::record::Record;
use crate::state::{self, Access, Lock, State};
use crate::sys::netns::Identity;
use crate::sys::{bpffs, map, netns};

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
            owner: Owner::of(&session.namespace),
            options: options.clone(),
        }
    }
}

/// The namespaces that some policies are for. Each has one policy: two names of one namespace are an error.
pub(crate) fn open(parts: &[Part<'_>], session: &Session) -> Result<Vec<Held>, Error> {
    let mut found: Vec<Held> = Vec::new();
    for part in parts {
        let place = part.options.netns.clone().unwrap_or_default();
        let Identity { inode, cookie } = Known::now(&place)?.identity;
        let name = part.block.map_or(place, str::to_owned);
        let other = found.iter().find(|held| held.inode == inode);
        if other.is_some() || inode == session.namespace.inode {
            let other = other.map(|other| other.name.clone());
            return Err(Error::SameNetns { other, name });
        }
        found.push(Held {
            name,
            inode,
            cookie,
        });
    }
    Ok(found)
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

/// The namespaces that stay and have another name in the next policy: the name before, and the next one.
pub(crate) fn renamed(before: Option<&Record>, record: &Record) -> Vec<(String, String)> {
    let before = before.iter().flat_map(|before| &before.netns);
    // Of those that were not there yet nothing tells one from another.
    let before = before.filter(|held| held.inode != 0);
    let renamed = before.filter_map(|held| {
        let mut next = record.netns.iter();
        let next = next.find(|one| one.identity() == held.identity())?;
        (next.name != held.name).then(|| (held.name.clone(), next.name.clone()))
    });
    renamed.collect()
}

/// Of namespaces that are gone, those whose folders are not those of others by now: an inode is used again.
pub(crate) fn ended(gone: &[Held], there: &[Held]) -> Vec<Held> {
    let again = |held: &Held| there.iter().any(|one| one.inode == held.inode);
    gone.iter().filter(|held| !again(held)).cloned().collect()
}

/// The namespaces whose policies belong to the one of the session: those that its records name, and those whose own folders say
/// so. So one that is damaged, or half removed, is found too.
///
/// # Errors
///
/// If a folder could not be looked at, so that nobody can know whether it belongs.
pub(crate) fn blocks(session: &Session) -> Result<Vec<Held>, Error> {
    let state = &session.state;
    let mut found: Vec<Held> = Vec::new();
    for generation in state.generations()? {
        let record = match Record::read_alone(&state.record(generation)) {
            Ok(record) => record,
            // The folders of the others tell as well.
            Err(Error::State { .. }) => continue,
            Err(cause) => return Err(unknowable(cause)),
        };
        for held in record.netns {
            if !found.iter().any(|one| one.inode == held.inode) {
                found.push(held);
            }
        }
    }
    for inode in state.others()? {
        if found.iter().any(|one| one.inode == inode) {
            continue;
        }
        let name = netns::name_of(inode);
        let belongs = belongs(&state.sibling(inode), session).map_err(|cause| Error::Unknowable {
            netns: name.clone().unwrap_or_else(|| NAMELESS.to_owned()),
            cause: Box::new(cause),
        });
        if belongs? {
            let name = name.unwrap_or_else(|| inode.to_string());
            found.push(Held {
                name,
                inode,
                cookie: None,
            });
        }
    }
    Ok(found)
}

/// That the record, which names the namespaces, could not be read this time.
fn unknowable(cause: Error) -> Error {
    match cause {
        Error::Kernel { what, cause } => Error::Kernel {
            what: format!(
                "{what}, so that the network namespaces of the policy's blocks cannot be known, and nothing was changed"
            ),
            cause,
        },
        cause => cause,
    }
}

/// How a namespace without a name is entered: by any process that is in it.
const NAMELESS: &str = "/proc/PID/ns/net";

/// Whether the policy in a folder belongs to the one of the session. Its block follows the same word, or its record says so.
fn belongs(block: &State, session: &Session) -> Result<bool, Error> {
    let own = word_at(&session.state.control())?;
    let followed = word_at(&block.outer())?;
    if own.is_some() && followed.is_some() {
        return Ok(own == followed);
    }
    let mut damaged = None;
    for generation in block.generations()? {
        match Record::read_alone(&block.record(generation)) {
            Ok(record) => return Ok(record.owner == Some(Owner::of(&session.namespace))),
            Err(error @ Error::State { .. }) => damaged = Some(error),
            Err(error) => return Err(error),
        }
    }
    // It is somebody's block, and nothing is left that says whose.
    match damaged {
        Some(error) if followed.is_some() => match in_force::in_force(block) {
            // What an unload that was refused half-way left is nobody's policy any more.
            Ok(None) => Ok(false),
            _ => Err(error),
        },
        _ => Ok(false),
    }
}

/// The id of the word that is pinned at a path; a map of another shape is none.
fn word_at(path: &Path) -> Result<Option<u32>, Error> {
    let look = |map: OwnedFd| Ok((map::shape(map.as_fd())?, map::id(map.as_fd())?));
    match bpffs::open(path).and_then(look) {
        Ok((shape, id)) => Ok((shape == state::WORD).then_some(id)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => match unreadable(path, error) {
            // What is no map is nobody's word.
            Error::State { .. } => Ok(None),
            error => Err(error),
        },
    }
}

/// Refuses a block that follows another word than the outer policy's: one word could not switch both.
pub(crate) fn check_word(
    state: &State,
    outer: Option<&Outer>,
    options: &Options,
) -> Result<(), Error> {
    let Some(outer) = outer else {
        return Ok(());
    };
    if word_at(&state.outer())? == word_at(&outer.state.control())? {
        return Ok(());
    }
    let name = options.netns.clone().unwrap_or_default();
    Err(Error::State {
        path: state.root().to_owned(),
        cause: format!(
            "the policy in the network namespace \"{name}\" follows another word than the one it would be switched by; take it away first, with `sockc unload --netns {name}`"
        ),
    })
}

/// What could not be taken away from a namespace.
#[derive(Debug)]
pub(crate) struct Left {
    /// The namespace.
    pub(crate) inode: u64,
    /// What is in force there, in words.
    pub(crate) what: String,
    /// Why.
    pub(crate) cause: Error,
}

/// Takes the policies of namespaces away that the namespace of the session owns; gives what could not be.
pub(crate) fn release(gone: &[Held], options: &Options, session: &Session) -> Vec<Left> {
    let released = gone.iter().filter_map(|held| {
        let cause = release_one(held, options, session).err()?;
        let what = match in_force::in_force(&session.state.sibling(held.inode)) {
            Ok(None) => "is in force no more, but could not be removed",
            Ok(Some(_)) => "could not be taken away, and is still in force",
            Err(_) => "could not be taken away, and whether it is in force cannot be known",
        };
        let name = &held.name;
        Some(Left {
            inode: held.inode,
            what: format!("the policy of the network namespace \"{name}\" {what}"),
            cause,
        })
    });
    released.collect()
}

/// Takes the policy of one namespace away, if it belongs to the one of the session, and what killed commands left there.
pub(crate) fn release_one(held: &Held, options: &Options, session: &Session) -> Result<(), Error> {
    let owner = Owner::of(&session.namespace);
    let state = State::at(&options.bpffs, held.inode)?;
    let Some(place) = entrance::entrance(held)? else {
        // Where the namespace has ended, what is left of the policy is its pins.
        return remove(&state, options, owner);
    };
    match session::enter(&options.within(&place), |_| remove(&state, options, owner)) {
        // It ended just now.
        Err(error) if error.is_no_namespace() => remove(&state, options, owner),
        removed => removed,
    }
}

fn remove(state: &State, options: &Options, owner: Owner) -> Result<(), Error> {
    let Some(_lock) = Lock::take(state, Access::Change, options.lock_wait)? else {
        return Ok(());
    };
    // Where nothing is in force, somebody was killed there.
    if let Holds::Block | Holds::Nothing = holds(state, owner)? {
        remove_all(state)?;
        state.remove_if_empty();
    }
    Ok(())
}

/// Which policy holds in a folder that an owner's block is for, or was.
pub(crate) fn holds(state: &State, owner: Owner) -> Result<Holds, Error> {
    match in_force::record_in_force(state) {
        Ok(Some(record)) if record.owner == Some(owner) => Ok(Holds::Block),
        Ok(Some(record)) => Ok(Holds::Other(record.manifest.policy.clone())),
        Ok(None) => Ok(Holds::Nothing),
        Err(Error::State { .. }) => match is_named(state, owner)? {
            true => Ok(Holds::Block),
            false => Ok(Holds::Unknown),
        },
        Err(error) => Err(error),
    }
}

/// Whether a damaged folder is that of an owner's block, as far as anything in it tells: what follows another's word has no
/// policy of its own.
fn is_named(state: &State, owner: Owner) -> Result<bool, Error> {
    for generation in state.generations()? {
        if let Ok(record) = Record::read_alone(&state.record(generation)) {
            return Ok(record.owner == Some(owner));
        }
    }
    Ok(word_at(&state.outer())?.is_some())
}
