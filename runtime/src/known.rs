//! Network namespaces by the names that a policy gives them, and whether those are the ones they were.
//!
//! Takes a name; gives which namespace has it, to be kept in the record, and later what became of it. What a policy does with
//! the namespace is elsewhere: [`crate::named`] for conditions, [`crate::owned`] for `for netns` blocks.

use std::io;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::record::Held;
use crate::sys::netns::{self, Identity};

/// A network namespace by its name, and which one that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) name: String,
    /// Which one it was.
    pub(crate) identity: Identity,
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
        })
    }

    /// What has become of it, if that is another one now or none.
    pub(crate) fn lost(&self) -> Result<Option<Lost>, Error> {
        lost(&self.name, self.identity)
    }
}

impl Held {
    /// Which one it was.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            inode: self.inode,
            cookie: self.cookie,
        }
    }

    /// What has become of it, if that is another one now or none.
    pub(crate) fn lost(&self) -> Result<Option<Lost>, Error> {
        lost(&self.name, self.identity())
    }
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
}

fn lost(name: &str, was: Identity) -> Result<Option<Lost>, Error> {
    match netns::identity(name) {
        // A record that holds no cookie is of a kernel, or a sockc, that had none.
        Ok(now) if was.inode == now.inode && (was.cookie.is_none() || was.cookie == now.cookie) => {
            Ok(None)
        }
        Ok(_) => Ok(Some(Lost::MadeAnew)),
        // A name whose mount is gone is an ordinary file.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(Some(Lost::Removed))
        }
        Err(cause) => Err(Error::Netns {
            name: name.to_owned(),
            cause,
        }),
    }
}
