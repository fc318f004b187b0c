//! The lock on a state folder: commands on one network namespace come one after the other.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{State, check_owner, make_folder};
use crate::error::{Error, at, unreadable};
use crate::sys::caps;
use crate::sys::process::{self, Hold};

/// Who may hold the lock besides us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Other readers.
    Read,
    /// Nobody.
    Change,
}

/// The lock on a state folder; it ends when this is dropped, or with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Nothing of a member of the group that may read: who opens the folder may keep every apply waiting, so none of them may.
    folder: Option<File>,
}

impl Drop for Lock {
    /// A process that another thread is just starting has the descriptor too, until it runs its own program: closing ours
    /// alone would leave the folder locked for that while.
    fn drop(&mut self) {
        // SAFETY: flock(2) takes a descriptor, which lives through the call, and a number.
        let unlock = |folder: &File| unsafe { libc::flock(folder.as_raw_fd(), libc::LOCK_UN) };
        self.folder.as_ref().map(unlock);
    }
}

impl Lock {
    /// Waits for the lock at most `wait`; `None` if there is no folder.
    pub(crate) fn take(
        state: &State,
        access: Access,
        wait: Duration,
    ) -> Result<Option<Self>, Error> {
        let started = Instant::now();
        loop {
            let folder = match File::open(state.root()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) if is_kept_from(&error, access) => {
                    return Ok(Some(Self { folder: None }));
                }
                folder => folder.map_err(|cause| unreadable(state.root(), cause))?,
            };
            if try_lock(&folder, access).map_err(at("lock the state folder"))? {
                // Whoever held it may have removed the folder: then the lock is on nothing.
                if same(&folder, state.root()) {
                    // Between the first look and the lock somebody else may have made it.
                    check_owner(state.root())?;
                    return Ok(Some(Self {
                        folder: Some(folder),
                    }));
                }
                continue;
            }
            if started.elapsed() >= wait {
                return Err(Error::Locked {
                    path: state.root().to_owned(),
                    waited: wait,
                });
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The same, but makes the folder where there is none.
    pub(crate) fn take_or_make(state: &State, wait: Duration) -> Result<Self, Error> {
        loop {
            match make_folder(state.root()) {
                // Somebody who unloads has just removed the folder above.
                Err(Error::Kernel { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                    continue;
                }
                made => made?,
            }
            if let Some(lock) = Self::take(state, Access::Change, wait)? {
                return Ok(lock);
            }
        }
    }
}

/// Whether this process reads without rights, and the folder is not opened to it.
fn is_kept_from(error: &io::Error, access: Access) -> bool {
    access == Access::Read && caps::only_reads() && error.kind() == io::ErrorKind::PermissionDenied
}

fn try_lock(folder: &File, access: Access) -> io::Result<bool> {
    let hold = match access {
        Access::Read => Hold::WithOthers,
        Access::Change => Hold::Alone,
    };
    process::lock(folder.as_fd(), hold)
}

fn same(folder: &File, path: &Path) -> bool {
    let (Ok(held), Ok(there)) = (folder.metadata(), fs::metadata(path)) else {
        return false;
    };
    held.ino() == there.ino() && held.dev() == there.dev()
}
