//! The maps that the runtime keeps beside those of an object's live sets and maps: how they are called, and found.
//!
//! Not here: what is in them.

use std::os::fd::{AsFd, OwnedFd};

use crate::error::Error;
use crate::sys::map;

/// A kind of such a map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside {
    /// What its pin's name adds to that of the object's map.
    pub(crate) word: &'static str,
    /// How its title in the kernel begins; that of no map of an object begins so.
    pub(crate) title: &'static str,
}

impl Beside {
    /// Its pin beside a map of the object. The kernel takes no such letter in the name of an object's map, so that none of them,
    /// whatever is declared, has this name.
    pub(crate) fn name(self, of: &str) -> String {
        format!("{of}-{}", self.word)
    }

    /// Its title, by what is declared.
    pub(crate) fn titled(self, declared: &str) -> String {
        format!("{}{declared}", self.title)
    }

    /// Opens it by its name, else by the one that older versions gave it, whose policies may be in force. A map of the object may
    /// have that name as well, where something is declared that is called so: the title tells them apart.
    pub(crate) fn open(
        self,
        of: &str,
        open: impl Fn(&str) -> Result<OwnedFd, Error>,
    ) -> Result<OwnedFd, Error> {
        let is_it = |map: &OwnedFd| {
            map::title(map.as_fd()).is_ok_and(|title| title.starts_with(self.title))
        };
        open(&self.name(of)).or_else(|missing| match open(&format!("{of}_{}", self.word)) {
            Ok(map) if is_it(&map) => Ok(map),
            // A refusal that passes says nothing of whether it is there.
            Err(passing) if !matches!(passing, Error::State { .. } | Error::Object { .. }) => {
                Err(passing)
            }
            _ => Err(missing),
        })
    }
}
