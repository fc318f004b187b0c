//! Sockets of other processes, to be told apart but not used.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::netns;

/// The cookie of a socket of another process.
pub(crate) fn socket_cookie(process: u32, fd: i32) -> Option<u64> {
    let process = open(libc::SYS_pidfd_open, process.into(), 0)?;
    let socket = open(libc::SYS_pidfd_getfd, process.as_raw_fd().into(), fd.into())?;
    netns::option(socket.as_fd(), libc::SO_COOKIE)
}

/// Calls a system call of two numbers (and flags of zero) that makes a descriptor.
fn open(call: libc::c_long, one: libc::c_long, other: libc::c_long) -> Option<OwnedFd> {
    // SAFETY: both calls take numbers only.
    let fd = unsafe { libc::syscall(call, one, other, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the kernel has just made this descriptor for us, and nothing else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}
