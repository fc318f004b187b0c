//! Network namespaces that lost their name and live on: `ip netns del` takes no more than the name.
//!
//! Takes which namespace it was; gives a path by which it can be entered: that of a thread in it, or another mount of it, in
//! whatever mount namespace. What only an open file or a socket holds is not found: nothing can be sent from there any more but
//! what comes in by its interfaces. Changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sys::netns::{self, Identity};

/// What became of a namespace that lost its name.
#[derive(Debug)]
pub(crate) enum Way {
    /// It lives, and this path leads to it.
    Path(PathBuf),
    /// It has ended.
    Ended,
    /// There are processes that may not be looked at, and no others are in it.
    Unknown,
}

/// Looks for a namespace.
pub(crate) fn way_into(was: Identity) -> io::Result<Way> {
    let mut seen = BTreeSet::new();
    let mut unknown = false;
    for process in numbered(Path::new("/proc"))? {
        for thread in numbered(&process.join("task"))? {
            let path = thread.join("ns/net");
            match leads_to(&path, was) {
                Ok(true) => return Ok(Way::Path(path)),
                Ok(false) => {}
                Err(error) => unknown |= is_closed(&thread, error)?,
            }
        }
        let mounts = match unless_gone(fs::metadata(process.join("ns/mnt"))) {
            Ok(mounts) => mounts,
            Err(error) => {
                unknown |= is_closed(&process, error)?;
                continue;
            }
        };
        if mounts.is_some_and(|mounts| seen.insert(mounts.ino()))
            && let Some(path) = mounted(&process, was)?
        {
            return Ok(Way::Path(path));
        }
    }
    Ok(if unknown { Way::Unknown } else { Way::Ended })
}

/// Where a namespace is mounted, as a process sees it.
fn mounted(process: &Path, was: Identity) -> io::Result<Option<PathBuf>> {
    let Some(mounts) = unless_gone(fs::read_to_string(process.join("mountinfo")))? else {
        return Ok(None);
    };
    let title = format!("net:[{}]", was.inode);
    for line in mounts.lines() {
        // What of the file system is mounted, and where (proc_pid_mountinfo(5)).
        let mut words = line.split(' ').skip(3);
        let (Some(what), Some(place)) = (words.next(), words.next()) else {
            continue;
        };
        let place = place.replace("\\040", " ");
        let path = process.join("root").join(place.trim_start_matches('/'));
        if what == title && leads_to(&path, was)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn leads_to(path: &Path, was: Identity) -> io::Result<bool> {
    let Some(about) = unless_gone(fs::metadata(path))? else {
        return Ok(false);
    };
    if about.ino() != was.inode {
        return Ok(false);
    }
    let now = unless_gone(netns::identity(&path.display().to_string()))?;
    Ok(now.is_some_and(|now| was.cookie.is_none() || now.cookie == was.cookie))
}

/// The folders of processes or threads.
fn numbered(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = unless_gone(fs::read_dir(folder))?.into_iter().flatten();
    let paths = entries.flatten().map(|entry| entry.path());
    let is_number = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.iter().all(u8::is_ascii_digit)
    };
    Ok(paths.filter(is_number).collect())
}

/// Whether a process or thread may not be looked at. The kernel says the same of one that has ended and that nobody has waited
/// for (`proc_ns_get_link`): that one is in no namespace any more.
fn is_closed(task: &Path, refusal: io::Error) -> io::Result<bool> {
    match refusal.kind() {
        io::ErrorKind::PermissionDenied => Ok(!has_ended(task)?),
        _ => Err(refusal),
    }
}

/// Whether the state in `stat`, behind the name in brackets, is that of one that has ended (proc_pid_stat(5)).
fn has_ended(task: &Path) -> io::Result<bool> {
    let Some(stat) = unless_gone(fs::read(task.join("stat")))? else {
        return Ok(true);
    };
    let behind = stat.iter().rposition(|byte| *byte == b')');
    let state = behind.and_then(|at| stat.get(at + 2));
    Ok(matches!(state, Some(b'Z' | b'X' | b'x')))
}

/// Nothing of a process that has ended, or is about to.
fn unless_gone<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || matches!(
                    error.raw_os_error(),
                    Some(libc::ESRCH | libc::EINVAL | libc::ENOTDIR)
                ) =>
        {
            Ok(None)
        }
        looked => looked.map(Some),
    }
}
