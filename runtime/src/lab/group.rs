//! A cgroup of the lab's own, and sockets that belong to it.
//!
//! A socket belongs for good to the cgroup of the process that made it. So a short-lived child that shares our descriptors
//! steps into the cgroup, makes the socket and is gone; this process never moves.

use std::ffi::{c_int, c_void};
use std::fs::{self, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::error::{Error, While};
use super::state;

/// Bytes of stack the child gets; it makes two system calls.
const STACK: usize = 64 * 1024;

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
            let fd = socket_made_inside(members.as_raw_fd(), local, protocol)?;
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

/// What the child is told, and what it answers: a descriptor, or a negative error number.
struct Order {
    members: RawFd,
    family: c_int,
    protocol: c_int,
    result: c_int,
}

fn socket_made_inside(members: RawFd, local: SocketAddr, protocol: c_int) -> io::Result<OwnedFd> {
    let family = if local.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let mut order = Order {
        members,
        family,
        protocol,
        result: -libc::EIO,
    };
    let mut stack = vec![0u128; STACK / 16];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: with CLONE_VFORK this thread sleeps until the child has ended, so `stack` and `order` outlive it and are
    // touched by one side at a time; `obey` makes only system calls. The top of the stack is aligned to 16 bytes.
    let child = unsafe {
        libc::clone(
            obey,
            stack.as_mut_ptr().add(stack.len()).cast(),
            flags,
            (&raw mut order).cast(),
        )
    };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None)?;
    if order.result < 0 {
        return Err(io::Error::from_raw_os_error(-order.result));
    }
    // SAFETY: the child opened this descriptor in the table it shared with us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(order.result) })
}

/// The child: steps into the cgroup and makes the socket.
extern "C" fn obey(order: *mut c_void) -> c_int {
    // SAFETY: `socket_made_inside` passes its own `Order`, and sleeps while this runs.
    let order = unsafe { &mut *order.cast::<Order>() };
    // SAFETY: plain system calls; the only pointer is to one static byte. "0" means the writer itself.
    order.result = unsafe {
        if libc::write(order.members, c"0".as_ptr().cast(), 1) < 0 {
            -*libc::__errno_location()
        } else {
            let kind = match order.protocol {
                libc::IPPROTO_UDP => libc::SOCK_DGRAM,
                _ => libc::SOCK_STREAM,
            };
            match libc::socket(order.family, kind | libc::SOCK_CLOEXEC, order.protocol) {
                -1 => -*libc::__errno_location(),
                fd => fd,
            }
        }
    };
    0
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
