//! Control groups of version 2: where they are mounted, which id one has.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the version-2 hierarchy is mounted; the last mount wins, as it hides earlier ones.
pub(crate) fn root() -> io::Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/thread-self/mounts")?;
    Ok(mount_point(&mounts))
}

fn mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().rev().find_map(|line| {
        let mut words = line.split(' ');
        let (point, kind) = (words.nth(1)?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(point.replace("\\040", " ")))
    })
}

/// A control group: its directory, open, and its id, which is the inode of the directory and is never used twice while
/// the group lives.
#[derive(Debug)]
pub(crate) struct Cgroup {
    /// The open directory.
    pub(crate) directory: File,
    /// The id.
    pub(crate) id: u64,
}

/// Opens a control group.
pub(crate) fn open(path: &Path) -> io::Result<Cgroup> {
    let directory = File::open(path)?;
    let about = directory.metadata()?;
    if !about.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory));
    }
    Ok(Cgroup {
        id: about.ino(),
        directory,
    })
}

/// Whether a control group, or one below it, has this id.
pub(crate) fn holds(path: &Path, id: u64) -> io::Result<bool> {
    with_id(path, id).map(|found| found.is_some())
}

/// The folder of the control group with this id, at or below a path.
pub(crate) fn with_id(path: &Path, id: u64) -> io::Result<Option<PathBuf>> {
    if unless_gone(fs::metadata(path))?.is_some_and(|about| about.is_dir() && about.ino() == id) {
        return Ok(Some(path.to_owned()));
    }
    for path in below(path)? {
        let found = with_id(&path, id)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The folder of the control group with this id, wherever; none where the hierarchy is not mounted.
pub(crate) fn folder(id: u64) -> io::Result<Option<PathBuf>> {
    let folder = root()?.map(|root| with_id(&root, id));
    folder.transpose().map(Option::flatten)
}

/// The control groups below one, whatever their level.
pub(crate) fn all_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in below(path)? {
        found.extend(all_below(&path)?);
        found.push(path);
    }
    Ok(found)
}

/// The control groups right below one; none below one that is gone.
fn below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in unless_gone(fs::read_dir(path))?.into_iter().flatten() {
        // One that is read to its end may go away before that (ENODEV of kernfs).
        let Some(entry) = unless_gone(entry)? else {
            break;
        };
        if unless_gone(entry.file_type())?.is_some_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// What was found; nothing of a control group that is gone, or goes away while we look.
pub(crate) fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if is_gone(&error) => Ok(None),
        found => found.map(Some),
    }
}

/// Whether a refusal says that there is no control group.
pub(crate) fn is_gone(refusal: &io::Error) -> bool {
    let no_more = refusal.raw_os_error() == Some(libc::ENODEV);
    no_more
        || matches!(
            refusal.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
}

/// Whether a folder is the root of all control groups, and not that of a container: its id is the first one.
pub(crate) fn is_first(root: &Path) -> bool {
    fs::metadata(root).is_ok_and(|about| about.ino() == 1)
}

/// The processes of a control group and of every group below it, sorted; none of one that is gone.
pub(crate) fn processes(path: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for group in [path.to_owned()].into_iter().chain(all_below(path)?) {
        let members = unless_gone(fs::read_to_string(group.join("cgroup.procs")))?;
        let members = members.iter().flat_map(|members| members.lines());
        found.extend(members.filter_map(|line| line.parse::<u32>().ok()));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mount_of_version_2() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            mount_point(mounts),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(mount_point("proc /proc proc rw 0 0\n"), None);
    }
}
