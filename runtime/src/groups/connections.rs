//! The sockets that processes hold, by their descriptors, in whatever network namespace, and what those are that are TCP connections.
//!
//! A process may end, and a descriptor be closed, while we look: what is gone is left out. A socket that no process holds a
//! descriptor of (one that is on its way to another process) is not found.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use nix::sys::socket::{SockaddrStorage, getpeername, getsockname};

use crate::sys::process::{self, Process};
use crate::sys::socket;

/// A copy of the descriptor of a socket that a process holds.
#[derive(Debug)]
pub(crate) struct Held {
    /// The socket.
    pub(crate) socket: OwnedFd,
    /// Its inode, by which all its descriptors are known.
    pub(crate) inode: u64,
}

/// A connection, and its two ends. IPv4-mapped addresses stand as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection<'a> {
    /// The socket.
    pub(crate) socket: BorrowedFd<'a>,
    /// This side.
    pub(crate) local: SocketAddr,
    /// The other side.
    pub(crate) remote: SocketAddr,
    /// Whether it is one of MPTCP, of which programs see the parts alone.
    pub(crate) is_mptcp: bool,
}

impl Held {
    /// What the socket is; `None` if it is no TCP connection.
    pub(crate) fn connection(&self) -> Option<Connection<'_>> {
        let socket = self.socket.as_fd();
        let is_mptcp = match socket::protocol(socket).ok()? {
            libc::IPPROTO_TCP => false,
            socket::MPTCP => true,
            _ => return None,
        };
        let fd = socket.as_raw_fd();
        Some(Connection {
            local: address(&getsockname(fd).ok()?)?,
            remote: address(&getpeername(fd).ok()?)?,
            socket,
            is_mptcp,
        })
    }
}

/// The sockets that these processes hold, each once, and one after the other: there may be more than this process may have
/// descriptors. Of several processes that hold one any will do, also where others end meanwhile.
pub(crate) fn held_by(processes: impl IntoIterator<Item = u32>) -> impl Iterator<Item = Held> {
    let mut seen = BTreeSet::new();
    let descriptors = processes.into_iter().flat_map(|number| {
        let process = Process::of(number).ok().map(Rc::new);
        let sockets = process::sockets(number).unwrap_or_default();
        sockets
            .into_iter()
            .filter_map(move |(fd, inode)| Some((process.clone()?, fd, inode)))
    });
    descriptors.filter_map(move |(process, fd, inode)| {
        if seen.contains(&inode) {
            return None;
        }
        let socket = File::from(process.descriptor(fd).ok()?);
        // Its number may be another one's by now.
        if socket.metadata().ok()?.ino() != inode {
            return None;
        }
        seen.insert(inode);
        Some(Held {
            socket: socket.into(),
            inode,
        })
    })
}

/// The inodes of the sockets that these processes hold.
pub(crate) fn inodes_of(processes: impl IntoIterator<Item = u32>) -> BTreeSet<u64> {
    let sockets = processes
        .into_iter()
        .flat_map(|process| process::sockets(process).unwrap_or_default());
    sockets.map(|(_, inode)| inode).collect()
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
