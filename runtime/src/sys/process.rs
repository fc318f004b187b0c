//! Other processes: which sockets they have, and copies of their descriptors; which network namespaces they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::iter;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::readlinkat;

use super::retry::again;

/// Another process, whose descriptors are copied.
#[derive(Debug)]
pub(crate) struct Process(OwnedFd);

impl Process {
    /// The process of this number.
    pub(crate) fn of(process: u32) -> io::Result<Self> {
        open(libc::SYS_pidfd_open, process.into(), 0).map(Self)
    }

    /// A copy of one of its descriptors.
    pub(crate) fn descriptor(&self, fd: i32) -> io::Result<OwnedFd> {
        open(libc::SYS_pidfd_getfd, self.0.as_raw_fd().into(), fd.into())
    }
}

/// A copy of a descriptor of another process.
pub(crate) fn descriptor(process: u32, fd: i32) -> io::Result<OwnedFd> {
    Process::of(process)?.descriptor(fd)
}

/// A copy of a descriptor of this process that is known by its number only.
///
/// # Errors
///
/// That it is not open.
pub(crate) fn own_descriptor(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers only, and says so if the descriptor is not open.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// A copy of a descriptor that systemd handed over, known by its number only. Commands that this process starts from now on have
/// neither.
///
/// # Errors
///
/// That it is not open.
pub fn take_over(fd: i32) -> io::Result<OwnedFd> {
    let copy = own_descriptor(fd)?;
    // SAFETY: the call takes numbers only, and says so if the descriptor is not open.
    match unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } {
        0 => Ok(copy),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has a command that is started end with the thread that starts it, however that ends.
pub fn end_with_caller(command: &mut Command) {
    let caller = std::process::id();
    let work = move || {
        // SAFETY: the call takes numbers only.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // One whose caller was gone by then would never hear of it.
        // SAFETY: the call takes nothing.
        match u32::try_from(unsafe { libc::getppid() }) {
            Ok(parent) if parent == caller => Ok(()),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: the closure makes system calls only, and takes no memory.
    unsafe { command.pre_exec(work) };
}

/// Becomes a command that has these descriptors, from 3 on; comes back only where that fails.
pub(crate) fn become_command(mut command: Command, descriptors: Vec<OwnedFd>) -> io::Error {
    const FIRST: libc::c_int = 3;
    let above = FIRST + descriptors.len() as libc::c_int;
    // Each is first copied to where none of them is to go, so that none takes the place of another one that has still to be copied.
    let mut copies = Vec::new();
    for descriptor in &descriptors {
        // SAFETY: the call takes a descriptor, which lives through it, and a number.
        let copy = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, above) };
        if copy < 0 {
            return io::Error::last_os_error();
        }
        copies.push(copy);
    }
    let place = move || {
        for (to, copy) in (FIRST..).zip(&copies) {
            // SAFETY: the call takes numbers only. What it closes at these is nobody's any more: the process becomes another one, or ends.
            if unsafe { libc::dup2(*copy, to) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only; no other process is made, so that nothing is shared with one.
    unsafe { command.pre_exec(place) };
    let error = command.exec();
    // Their numbers may be those of the copies by now.
    mem::forget(descriptors);
    error
}

/// How a folder is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// By this process alone.
    Alone,
    /// With others who keep it so.
    WithOthers,
}

/// Keeps a folder for this process as long as the descriptor lives; `false` if another process has it.
pub(crate) fn lock(folder: BorrowedFd<'_>, hold: Hold) -> io::Result<bool> {
    let kind = match hold {
        Hold::Alone => libc::LOCK_EX,
        Hold::WithOthers => libc::LOCK_SH,
    };
    let locked = again(|| {
        // SAFETY: flock(2) takes a descriptor, which lives through the call, and a number.
        match unsafe { libc::flock(folder.as_raw_fd(), kind | libc::LOCK_NB) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    });
    match locked {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        locked => locked.map(|()| true),
    }
}

/// The sockets of a process: descriptor and inode, by descriptor.
pub(crate) fn sockets(process: u32) -> io::Result<Vec<(i32, u64)>> {
    let path = format!("/proc/{process}/fd");
    let (folder, entries) = (fs::File::open(&path)?, fs::read_dir(&path)?);
    let sockets = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let fd = name.to_str()?.parse().ok()?;
        // Some processes have tens of thousands: the way to their folder is gone once.
        let target = readlinkat(&folder, name.as_os_str()).ok()?;
        let inode = target
            .to_str()?
            .strip_prefix("socket:[")?
            .strip_suffix(']')?;
        Some((fd, inode.parse().ok()?))
    });
    let mut sockets: Vec<(i32, u64)> = sockets.collect();
    sockets.sort_unstable();
    Ok(sockets)
}

/// The processes that are seen here, in order.
pub(super) fn all() -> io::Result<Vec<u32>> {
    numbers("/proc")
}

/// The paths of the network namespaces that the threads of a process are in, the first thread's as that of the process.
pub(super) fn namespaces(process: u32) -> impl Iterator<Item = PathBuf> {
    let others = numbers(&format!("/proc/{process}/task")).unwrap_or_default();
    let others = others.into_iter().filter(move |thread| *thread != process);
    let others = others.map(move |thread| format!("/proc/{process}/task/{thread}/ns/net"));
    iter::once(format!("/proc/{process}/ns/net"))
        .chain(others)
        .map(PathBuf::from)
}

/// The paths of the network namespaces that a process has open; none of our own, which lasts no longer than this command.
pub(super) fn open_namespaces(process: u32) -> impl Iterator<Item = PathBuf> {
    let folder = format!("/proc/{process}/fd");
    let open = match process == std::process::id() {
        true => Vec::new(),
        false => numbers(&folder).unwrap_or_default(),
    };
    let paths = open
        .into_iter()
        .map(move |fd| PathBuf::from(format!("{folder}/{fd}")));
    paths.filter(|path| fs::read_link(path).is_ok_and(|target| is_namespace(&target)))
}

fn is_namespace(target: &Path) -> bool {
    let target = target.to_str();
    target.is_some_and(|target| target.starts_with("net:["))
}

/// The numbers among the names in a folder, in order.
fn numbers(folder: &str) -> io::Result<Vec<u32>> {
    let entries = again(|| fs::read_dir(folder))?.flatten();
    let mut found: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// For each of these inodes of sockets a process that has it open, and its descriptor: of several the first.
pub(crate) fn holders(inodes: &BTreeSet<u64>) -> BTreeMap<u64, (u32, i32)> {
    let mut found = BTreeMap::new();
    for process in all().unwrap_or_default() {
        if found.len() == inodes.len() {
            break;
        }
        // One that ended meanwhile, or that we may not look at, has none that we could take.
        for (fd, inode) in sockets(process).unwrap_or_default() {
            if inodes.contains(&inode) {
                found.entry(inode).or_insert((process, fd));
            }
        }
    }
    found
}

/// Calls a system call of two numbers (and flags of zero) that makes a descriptor.
fn open(call: libc::c_long, one: libc::c_long, other: libc::c_long) -> io::Result<OwnedFd> {
    // SAFETY: both calls take numbers only.
    let fd = unsafe { libc::syscall(call, one, other, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a thread of a process waits in a call that reads from a descriptor (`/proc/PID/task/TID/syscall`).
pub(crate) fn reads_from(process: u32, fd: i32) -> bool {
    const READS: [libc::c_long; 6] = [
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_recvmmsg,
        libc::SYS_splice,
    ];
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    threads.into_iter().flatten().flatten().any(|thread| {
        let call = fs::read_to_string(thread.path().join("syscall")).unwrap_or_default();
        let mut words = call.split_whitespace();
        let number = words.next().and_then(|word| word.parse().ok());
        let first = words.next().and_then(|word| word.strip_prefix("0x"));
        let first = first.and_then(|word| u64::from_str_radix(word, 16).ok());
        // A descriptor is 32 bits of the register.
        number.is_some_and(|number| READS.contains(&number))
            && first.is_some_and(|first| first as u32 == fd.cast_unsigned())
    })
}
