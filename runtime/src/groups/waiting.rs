//! Data that rules have put into the queue of a socket and that its program has not read.
//!
//! The kernel throws it away when the socket leaves the last map that it is in (`sk_psock_drop` of `net/core/skmsg.c`). So a
//! socket where such data waits is left in its map: once no program decides there any more it reads first what waits, then what
//! TCP brings. Not here: how long the map lives then (see [`crate::attach::dispatch`]).

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use sockc_compiler::lower::{PEER_KEY, is_of_cookie, unmark};

use super::connections;
use crate::sys::symbols::Symbol;
use crate::sys::{caps, map, socket};

/// What FIONREAD tells of sockets that are in a map.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    /// Whether it counts that queue, and nothing else (`tcp_bpf_ioctl` of `net/ipv4/tcp_bpf.c`, since Linux 6.5).
    own_queue: bool,
}

impl Waiting {
    /// Asks the kernel that runs.
    pub(super) fn of_this_kernel() -> Self {
        Self {
            own_queue: Symbol::TcpBpfIoctl.is_there(),
        }
    }

    /// Whether such data waits in a socket. Where it cannot be told from what TCP brought, anything that waits counts.
    pub(super) fn in_socket(self, socket: BorrowedFd<'_>) -> bool {
        match self.own_queue {
            true => socket::unread(socket).is_none_or(|bytes| bytes > 0),
            false => socket::has_data(socket),
        }
    }
}

/// Takes the sockets out of a group's map in which nothing of that kind waits. `own` is the storage with their keys. A socket that
/// no process holds, being on its way to another one, stays.
pub(super) fn let_go_of_others(peers: BorrowedFd<'_>, own: BorrowedFd<'_>) -> io::Result<()> {
    let keys = map::keys(peers)?;
    if keys.is_empty() {
        return Ok(());
    }
    // What was decided before the word changed is on its way no more. Where the kernel does not let us wait, it may be.
    let _ = caps::wait_for_running_programs();
    let (waiting, mut quiet) = (Waiting::of_this_kernel(), BTreeSet::new());
    for held in connections::held_by(connections::processes()?) {
        let socket = held.socket.as_fd();
        let mut key = [0; PEER_KEY as usize];
        let known = map::lookup(own, &socket.as_raw_fd().to_ne_bytes(), &mut key);
        if known.unwrap_or(false) && (is_of_cookie(&key) || !waiting.in_socket(socket)) {
            unmark(&mut key);
            quiet.insert(key.to_vec());
        }
    }
    for key in keys.iter().filter(|key| quiet.contains(*key)) {
        map::delete(peers, key)?;
    }
    Ok(())
}
