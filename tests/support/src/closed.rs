//! Sockets are let go for good.
//!
//! A process that another test starts holds copies of all descriptors until it runs its program (fork(2), execve(2)). Until
//! then a socket that its own test has closed is still open: a listener among them takes connections.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::linux::fs::MetadataExt;

/// The tables in which the kernel lists sockets with their inodes (proc(5)).
const TABLES: [&str; 4] = ["tcp", "tcp6", "udp", "udp6"];

/// Closes a socket of TCP or UDP that is bound in some network namespace. What is given says, to a thread in that namespace,
/// whether the kernel still has it.
///
/// # Errors
///
/// The socket's inode, or later the kernel's tables, cannot be read.
pub fn closing(socket: impl AsFd) -> io::Result<impl Fn() -> io::Result<bool>> {
    let copy = fs::File::from(socket.as_fd().try_clone_to_owned()?);
    let inode = copy.metadata()?.st_ino().to_string();
    drop((copy, socket));
    Ok(move || {
        for name in TABLES {
            let table = fs::read_to_string(format!("/proc/thread-self/net/{name}"))?;
            if table.split_whitespace().any(|word| word == inode) {
                return Ok(true);
            }
        }
        Ok(false)
    })
}
