//! Control groups of version 2: where they are mounted, which id one has.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the version-2 hierarchy is mounted; the last mount wins, as it hides earlier ones.
pub(crate) fn root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/thread-self/mounts").ok()?;
    mount_point(&mounts)
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
pub(crate) fn holds(path: &Path, id: u64) -> bool {
    with_id(path, id).is_some()
}

/// The folder of the control group with this id, at or below a path.
pub(crate) fn with_id(path: &Path, id: u64) -> Option<PathBuf> {
    let is = fs::metadata(path).is_ok_and(|about| about.is_dir() && about.ino() == id);
    match is {
        true => Some(path.to_owned()),
        false => below(path).iter().find_map(|path| with_id(path, id)),
    }
}

/// The control groups below one, whatever their level.
pub(crate) fn all_below(path: &Path) -> Vec<PathBuf> {
    let below = below(path).into_iter();
    below
        .flat_map(|path| {
            let mut deeper = all_below(&path);
            deeper.push(path);
            deeper
        })
        .collect()
}

/// The control groups right below one. A group may go away while we look.
fn below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// Whether a folder is the root of all control groups, and not that of a container: its id is the first one.
pub(crate) fn is_first(root: &Path) -> bool {
    fs::metadata(root).is_ok_and(|about| about.ino() == 1)
}

/// The processes of a control group and of every group below it, sorted.
pub(crate) fn processes(path: &Path) -> io::Result<Vec<u32>> {
    let mut found: Vec<u32> = fs::read_to_string(path.join("cgroup.procs"))?
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            // A group may go away while we look.
            found.extend(processes(&entry.path()).unwrap_or_default());
        }
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
