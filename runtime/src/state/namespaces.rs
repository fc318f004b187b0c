//! Network namespaces by the names that a policy gives them, and whether those are the ones they were.
//!
//! Takes a name; gives which namespace has it, to be kept in the record, and later what became of it. What a policy does with
//! the namespace is elsewhere: [`crate::names::resolve`] for conditions, [`crate::blocks::ownership`] for `for netns` blocks.

use serde::{Deserialize, Serialize};

use super::State;
use crate::error::Error;
use crate::sys::netns::{self, Identity, Namespace};

/// A network namespace by its name, and which one that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) name: String,
    /// Which one it was.
    pub(crate) identity: Identity,
    /// Whether none had the name at the last apply, so that programs do not look into it though it may go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) missed: bool,
}

impl Known {
    /// The namespace that has this name now.
    pub(crate) fn now(name: &str) -> Result<Self, Error> {
        let identity = netns::identity(name).map_err(|cause| Error::Netns {
            name: name.to_owned(),
            cause,
        })?;
        Ok(Self {
            name: name.to_owned(),
            identity,
            missed: false,
        })
    }

    /// One that was not there yet when it was first looked for. No namespace has the inode 0.
    pub(crate) fn never(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            identity: Identity {
                inode: 0,
                cookie: None,
            },
            missed: true,
        }
    }

    /// What has become of it, if that is another one now or none. To programs that missed it it is another one.
    pub(crate) fn lost(&self) -> Result<Option<Lost>, Error> {
        let lost = lost(&self.name, self.identity)?;
        Ok(lost.or(self.missed.then_some(Lost::MadeAnew)))
    }
}

/// The network namespace of an outer policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// Its inode.
    inode: u64,
    /// Its cookie, where the kernel has one: the inode may be used again.
    cookie: Option<u64>,
}

impl Owner {
    /// Its state, in the bpf file system of another one.
    pub(crate) fn state(&self, near: &State) -> State {
        near.sibling(self.inode)
    }

    /// The namespace of a policy.
    pub(crate) fn of(namespace: &Namespace) -> Self {
        Self {
            inode: namespace.inode,
            cookie: namespace.cookie,
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
    /// Its cookie, where the kernel has one; an older sockc kept none.
    #[serde(default)]
    pub(crate) cookie: Option<u64>,
}

impl Held {
    /// One that was not there yet when it was first looked for. No namespace has the inode 0.
    pub(crate) fn never(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            inode: 0,
            cookie: None,
        }
    }

    /// What has become of it, if that is another one now or none.
    pub(crate) fn lost(&self) -> Result<Option<Lost>, Error> {
        lost(&self.name, self.identity())
    }

    /// Which one it was.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            inode: self.inode,
            cookie: self.cookie,
        }
    }
}

/// A network namespace that goes on without the name that a policy knows it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Living {
    /// The path by which it is entered; `None` where hooks tell that it goes on, and who holds it cannot be seen here.
    pub path: Option<String>,
    /// Which policy holds there.
    pub holds: Holds,
}

/// Which policy holds in a network namespace that a `for netns` block is for, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// That of the block.
    Block,
    /// Another one, by its name, which somebody put there since.
    Other(String),
    /// None.
    Nothing,
    /// It is damaged, and nothing in it says whose it is.
    Unknown,
}

/// What became of a network namespace that a policy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// None has the name.
    Removed,
    /// Another one has the name.
    MadeAnew,
}

/// A network namespace that a policy names, and that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostNamespace {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub lost: Lost,
    /// Whether it is that of a `for netns` block; else conditions look into it.
    pub of_block: bool,
    /// Whether it goes on without its name; asked of blocks only.
    pub living: Option<Living>,
}

impl LostNamespace {
    /// By which path it can be entered, where it goes on without its name and somebody is seen who holds it.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.living.as_ref()?.path.as_deref()
    }

    /// Which policy holds there, where it goes on without its name.
    #[must_use]
    pub fn holds(&self) -> Option<&Holds> {
        self.living.as_ref().map(|living| &living.holds)
    }
}

fn lost(name: &str, was: Identity) -> Result<Option<Lost>, Error> {
    match netns::identity(name) {
        Ok(now) if was.is(now) => Ok(None),
        Ok(_) => Ok(Some(Lost::MadeAnew)),
        Err(error) if netns::is_absent(&error) => Ok(Some(Lost::Removed)),
        Err(cause) => Err(Error::Netns {
            name: name.to_owned(),
            cause,
        }),
    }
}
