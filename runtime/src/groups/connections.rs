//! The TCP connections that processes hold, by their descriptors, in whatever network namespace.
//!
//! A process may end, and a descriptor be closed, while we look: what is gone is left out. A socket that no process holds a
//! descriptor of (one that is on its way to another process) is not found.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{SockaddrStorage, getpeername, getsockname};

use crate::sys::{process, socket};

/// A socket that a process holds.
#[derive(Debug)]
pub(crate) struct Held {
    process: u32,
    descriptor: i32,
}

/// A copy of a connection's descriptor, and its two ends. IPv4-mapped addresses stand as they are.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The socket.
    pub(crate) socket: OwnedFd,
    /// This side.
    pub(crate) local: SocketAddr,
    /// The other side.
    pub(crate) remote: SocketAddr,
}

impl Held {
    /// Copies the descriptor and asks for both ends; `None` if it is no TCP connection, or is closed by now.
    pub(crate) fn open(&self) -> Option<Connection> {
        let socket = process::descriptor(self.process, self.descriptor).ok()?;
        if !socket::protocol(socket.as_fd()).is_ok_and(|one| one == libc::IPPROTO_TCP) {
            return None;
        }
        let fd = socket.as_raw_fd();
        Some(Connection {
            local: address(&getsockname(fd).ok()?)?,
            remote: address(&getpeername(fd).ok()?)?,
            socket,
        })
    }
}

/// The sockets of these processes, each once.
pub(crate) fn held_by(processes: impl IntoIterator<Item = u32>) -> Vec<Held> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for process in processes {
        for (descriptor, inode) in process::sockets(process).unwrap_or_default() {
            if seen.insert(inode) {
                found.push(Held {
                    process,
                    descriptor,
                });
            }
        }
    }
    found
}

/// Every process.
pub(crate) fn processes() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?.flatten();
    Ok(entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

fn address(found: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = found
        .as_sockaddr_in()
        .map(|&found| SocketAddr::V4(found.into()));
    let v6 = found
        .as_sockaddr_in6()
        .map(|&found| SocketAddr::V6(found.into()));
    v4.or(v6)
}
