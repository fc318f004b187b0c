//! A cgroup of the lab's own, and sockets that belong to it.
//!
//! Not here: how a socket is made that belongs to another cgroup than this process (`inside` of `sys`).

use std::ffi::c_int;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::error::{Error, While};
use super::state;
use crate::sys::inside;

/// What the name of a lab's cgroup begins with; the number of its process follows, and the PID namespace that it has it in.
const NAME: &str = "sockc-lab-";

/// A cgroup that is removed when this is dropped.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    path: String,
}

impl Group {
    /// A new cgroup below the root of the cgroup-v2 hierarchy.
    pub fn new() -> Result<Self, Error> {
        Self::named("")
    }

    /// The same with a name that ends in `ending`.
    pub fn named(ending: &str) -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let numbers = numbers()?;
        let name = format!("{NAME}{}-{numbers}-{number}{ending}", std::process::id());
        let root = root()?;
        sweep(&root, numbers);
        let folder = root.join(&name);
        fs::create_dir(&folder).doing(|| format!("making the cgroup {}", folder.display()))?;
        Ok(Self {
            folder,
            path: format!("/{name}"),
        })
    }

    /// A chain of cgroups below this one, each in the one before; the lowest stands first, and so is removed first.
    pub fn chain(&self, levels: usize) -> Result<Vec<Self>, Error> {
        let mut chain: Vec<Self> = Vec::new();
        for _ in 0..levels {
            let above = chain.last().unwrap_or(self);
            let below = Self {
                folder: above.folder.join("n"),
                path: format!("{}/n", above.path),
            };
            fs::create_dir(&below.folder)
                .doing(|| format!("making the cgroup {}", below.folder.display()))?;
            chain.push(below);
        }
        chain.reverse();
        Ok(chain)
    }

    /// Removes the cgroup, which must be empty, and makes one of the same name.
    pub fn remake(&self) -> Result<(), Error> {
        let make = || fs::remove_dir(&self.folder).and_then(|()| fs::create_dir(&self.folder));
        make().doing(|| format!("making the cgroup {} anew", self.path))
    }

    /// Its path from the root of the hierarchy.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Moves a process into the cgroup; the sockets that it has already stay where they were made.
    pub fn join(&self, process: u32) -> Result<(), Error> {
        fs::write(self.members(), process.to_string())
            .doing(|| format!("moving the process {process} into the cgroup {}", self.path))
    }

    fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// A TCP socket of this group for the family of `local`, in the calling thread's network namespace; not bound.
    pub fn tcp_socket(&self, local: SocketAddr) -> Result<OwnedFd, Error> {
        self.socket(local, libc::IPPROTO_TCP)
    }

    /// The same for UDP.
    pub fn udp_socket(&self, local: SocketAddr) -> Result<OwnedFd, Error> {
        self.socket(local, libc::IPPROTO_UDP)
    }

    /// The same for MPTCP, which the kernel may lack.
    pub fn mptcp_socket(&self, local: SocketAddr) -> Result<OwnedFd, Error> {
        self.socket(local, libc::IPPROTO_MPTCP)
    }

    fn socket(&self, local: SocketAddr, protocol: c_int) -> Result<OwnedFd, Error> {
        let make = || {
            let members = OpenOptions::new().write(true).open(self.members())?;
            let family = match local.is_ipv4() {
                true => libc::AF_INET,
                false => libc::AF_INET6,
            };
            let kind = match protocol {
                libc::IPPROTO_UDP => libc::SOCK_DGRAM,
                _ => libc::SOCK_STREAM,
            };
            let mut made = inside::sockets(members.as_fd(), [family, kind, protocol], 1)?;
            let fd = made.pop().ok_or(io::ErrorKind::NotFound)?;
            state::prepare(&fd, local)?;
            Ok::<_, io::Error>(fd)
        };
        make().doing(|| format!("making a socket in the cgroup {}", self.path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A cgroup that somebody else entered meanwhile cannot be removed, and is theirs to empty.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The inode of the PID namespace that this process has its number in.
fn numbers() -> Result<u64, Error> {
    let namespace =
        fs::metadata("/proc/self/ns/pid").doing(|| "looking for the PID namespace".into());
    Ok(namespace?.ino())
}

/// Removes the cgroups of labs whose processes were killed, of those that have their numbers in the PID namespace `numbers`, which is
/// this process's: what a number means in another one cannot be known here. What cannot be removed is in use, or not ours to
/// remove.
fn sweep(root: &Path, numbers: u64) {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let parts = name.to_str().and_then(|name| name.strip_prefix(NAME));
        let mut parts = parts.into_iter().flat_map(|rest| rest.split('-'));
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (process, space) = (number(), number());
        let is_gone = process.is_some_and(|process| {
            let process = i32::try_from(process).map(Pid::from_raw);
            // Not /proc, which may be that of another PID namespace.
            process.is_ok_and(|process| kill(process, None) == Err(Errno::ESRCH))
        });
        if space == Some(numbers) && is_gone {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Where the cgroup-v2 hierarchy is mounted.
fn root() -> Result<PathBuf, Error> {
    let doing = || "looking for the cgroup-v2 hierarchy in /proc/self/mountinfo".to_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo").doing(doing)?;
    mounts
        .lines()
        .find_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            filesystem.starts_with("cgroup2 ").then_some(())?;
            mount.split(' ').nth(4).map(PathBuf::from)
        })
        .ok_or_else(|| Error::new(doing(), io::Error::from(io::ErrorKind::NotFound)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_lab_left_is_removed_and_what_lives_stays() {
        let folder = std::env::temp_dir().join(format!("sockc-sweep-{}", std::process::id()));
        let (own, process) = (numbers().unwrap(), std::process::id());
        // No process has a number beyond `PID_MAX_LIMIT`, 2^22.
        let gone = [format!("4194305-{own}-0"), format!("4194305-{own}-1-deep")];
        let mut stay = vec![
            "other".to_owned(),
            format!("{NAME}x"),
            format!("{NAME}{process}-{own}-0"),
            // Of another PID namespace, or of a version that said none.
            format!("{NAME}4194305-{}-0", own + 1),
            format!("{NAME}4194305-0"),
        ];
        for name in gone.map(|name| format!("{NAME}{name}")).iter().chain(&stay) {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        sweep(&folder, own);
        let left = fs::read_dir(&folder).unwrap();
        let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<String> = names.collect();
        left.sort();
        stay.sort();
        assert_eq!(left, stay);
        fs::remove_dir_all(&folder).unwrap();
    }
}
