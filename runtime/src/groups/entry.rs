//! Takes connections in that exist: found through the processes that hold them, one after the other.
//!
//! One that the policy before left alone has kept its key, and is taken in by that. One that was made before any policy of its
//! group has none. It is given a key that no shortcut leads to ([`key_of_cookie`]): what would come that way would be read before what
//! waits by TCP. It may be in the middle of a transfer: a write that is under way goes on to its end, the next one is decided.
//! What arrives on a connection is not decided from then on: a reader that waits in the kernel for data while its socket becomes
//! one of those whose data the kernel hands out another way (`tcp_bpf_recvmsg_parser`) may wait on.
//!
//! One that no room is for gets the mark of those that could not be taken in, and loses it when there is room: by that it goes as
//! `default send` says.
//!
//! Takes the groups' maps, and what their rules concern. What cannot be taken in (one that is closing, that is in a map of
//! others, that has TLS of the kernel, for which there is no room) is counted by [`super::escaped`].

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use sockc_compiler::lower::{PEER_KEY, key_of_cookie, mark_outside, unmark, unmark_outside};

use super::concern::Concern;
use super::connections::{self, Connection, Held};
use super::makers::{Makers, Members};
use crate::error::{Error, at};
use crate::hook::PEERS;
use crate::state::OWN;
use crate::sys::{bpffs, map, socket};

const WHAT: &str = "take in the connections of a group";
/// How long all busy connections of a group are waited for in all, and how long until one is tried again.
const PATIENCE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(5);

/// Which connections are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Those that the policy before left alone.
    LeftAlone,
    /// And those that were made before any policy.
    All,
}

/// The way into a group.
pub(crate) struct Entry<'a> {
    concern: &'a mut Concern,
    peers: OwnedFd,
    own: OwnedFd,
    members: Members,
    /// How long it was waited for busy ones.
    waited: Cell<Duration>,
}

impl<'a> Entry<'a> {
    /// That of the group whose control group is at `path` and whose maps are in `folder`.
    pub(crate) fn open(
        path: &Path,
        folder: &Path,
        concern: &'a mut Concern,
    ) -> Result<Self, Error> {
        let open = |pin| bpffs::open(&folder.join(pin)).map_err(at(WHAT));
        Ok(Self {
            concern,
            peers: open(PEERS)?,
            own: open(OWN)?,
            members: Members::of(path).map_err(at(WHAT))?,
            waited: Cell::default(),
        })
    }
}

/// Takes them in, by the groups that they are of.
pub(crate) fn take_in(entries: &mut [Entry<'_>], whom: Whom) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut makers = Makers::default();
    for held in connections::held_by(connections::processes().map_err(at(WHAT))?) {
        let mut known = false;
        for entry in &mut *entries {
            known |= entry.take_known(&held)?;
        }
        if !known && whom == Whom::All {
            take_unknown(entries, &held, &mut makers)?;
        }
    }
    Ok(())
}

/// Whether the kernel, and what the process has put between itself and TCP, let a connection be taken in.
fn may_enter(connection: &Connection<'_>) -> bool {
    let socket = connection.socket;
    !connection.is_mptcp && socket::is_established(socket) && !socket::is_layered(socket)
}

fn take_unknown(entries: &mut [Entry<'_>], held: &Held, makers: &mut Makers) -> Result<(), Error> {
    let Some(maker) = makers.of(held) else {
        return Ok(());
    };
    let theirs = |entry: &&mut Entry<'_>| entry.members.have(maker);
    let mut entries = entries.iter_mut().filter(theirs).peekable();
    if entries.peek().is_none() {
        return Ok(());
    }
    if let Some(connection) = held.connection().filter(may_enter) {
        for entry in entries {
            if entry.concern.of_connection(&connection)?.writes {
                entry.take_new(&connection);
            }
        }
    }
    Ok(())
}

impl Entry<'_> {
    /// Takes a connection in that has kept a key, if the rules concern it; whether it has one.
    fn take_known(&mut self, held: &Held) -> Result<bool, Error> {
        let descriptor = held.socket.as_raw_fd().to_ne_bytes();
        let mut key = [0; PEER_KEY as usize];
        if !map::lookup(self.own.as_fd(), &descriptor, &mut key).unwrap_or(false) {
            return Ok(false);
        }
        // Those that were refused are in a map, or are seen to by [`super::refused`].
        let marked = unmark_outside(&mut key);
        let out = !unmark(&mut key) && !is_in(self.peers.as_fd(), &key)?;
        if out
            && let Some(connection) = held.connection()
            && self.concern.of_connection(&connection)?.writes
        {
            let taken = self.put(&key, connection.socket).is_ok();
            // What ends keeps what it was: its last data is on its way.
            if taken == marked && (taken || socket::is_established(connection.socket)) {
                self.mark(&connection, !taken);
            }
        }
        Ok(true)
    }

    /// Puts the mark of those that could not be taken in on the key that a connection keeps by now, or takes it off. A program may
    /// have put another one there in between.
    fn mark(&self, connection: &Connection<'_>, outside: bool) {
        let descriptor = connection.socket.as_raw_fd().to_ne_bytes();
        let mut key = [0; PEER_KEY as usize];
        if map::lookup(self.own.as_fd(), &descriptor, &mut key).unwrap_or(false) {
            match outside {
                true => mark_outside(&mut key),
                false => drop(unmark_outside(&mut key)),
            }
            let _ = map::update(self.own.as_fd(), &descriptor, &key);
        }
    }

    /// Puts a connection into the map. One that a policy of before has just let go stays busy as long as a call is at work on it, which holds
    /// what the kernel knew of it (`sock_map_link` of net/core/sock_map.c).
    fn put(&self, key: &[u8], socket: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            let put = map::put_socket(self.peers.as_fd(), key, socket);
            let busy = |error: &io::Error| error.raw_os_error() == Some(libc::EBUSY);
            if !put.as_ref().is_err_and(busy) || self.waited.get() >= PATIENCE {
                return put;
            }
            thread::sleep(STEP);
            self.waited.set(self.waited.get() + STEP);
        }
    }

    /// Takes a connection in that keeps no key. The key comes first: a socket that is in the map without one is let go in
    /// the plain way, and nobody finds it when it was refused.
    fn take_new(&self, connection: &Connection<'_>) {
        let socket = connection.socket;
        let Some(cookie) = socket::cookie(socket) else {
            return;
        };
        let key = key_of_cookie(connection.local, connection.remote, cookie);
        let descriptor = connection.socket.as_raw_fd().to_ne_bytes();
        if map::update(self.own.as_fd(), &descriptor, &key).is_err() {
            return;
        }
        let refused = self.put(&key, socket).err();
        match refused.map(|error| error.raw_os_error()) {
            None => {}
            Some(Some(libc::E2BIG)) => self.mark(connection, true),
            // A socket of the group whose key was taken away stands in the map by that one: no other is its own.
            Some(_) => drop(map::delete(self.own.as_fd(), &descriptor)),
        }
    }
}

/// Whether there is a socket of this key. The map tells it by the socket's cookie.
fn is_in(peers: BorrowedFd<'_>, key: &[u8]) -> Result<bool, Error> {
    let mut cookie = [0; 8];
    map::lookup(peers, key, &mut cookie).map_err(at("look for a connection of a group"))
}
