//! A folder, and others beside it, that tell when names come and go in them (inotify(7)). Pins are names, too: the kernel tells of
//! them as of any file (`vfs_mkobj` in fs/namei.c).

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A folder that is watched.
#[derive(Debug)]
pub(crate) struct Watched(OwnedFd);

impl Watched {
    /// Begins to watch a folder.
    pub(crate) fn folder(path: &Path) -> io::Result<Self> {
        // SAFETY: the call takes a number and gives a new descriptor.
        let fd = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let watched = Self(fd);
        watched.also(path)?;
        Ok(watched)
    }

    /// Watches another folder as well, until that is removed; one that is watched already stays so.
    pub(crate) fn also(&self, path: &Path) -> io::Result<()> {
        let name = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
        let come = libc::IN_CREATE | libc::IN_MOVED_TO;
        let go = libc::IN_DELETE | libc::IN_MOVED_FROM | libc::IN_DELETE_SELF;
        let events = come | go;
        // SAFETY: the descriptor and the name live through the call.
        let added = unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), name.as_ptr(), events) };
        match added {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// What can be waited on.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Forgets what was told. What it was is of no matter: whoever asks looks at the folder.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let mut file = std::fs::File::from(self.0.try_clone()?);
        let mut told = [0; 4096];
        loop {
            match file.read(&mut told) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
