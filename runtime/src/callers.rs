//! Those who hand descriptors over: the UNIX socket at which they connect, and their connections.
//!
//! A caller may connect and say nothing for as long as it likes, but not so many that nobody else can: of more than [`MOST`],
//! the one that has been silent for longest is let go. Takes a path; gives messages, and carries answers. Not here: what a
//! message means (`runtime/src/keeper/handover.rs` for pairs, `runtime/src/sockets/desk.rs` for sockets).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, at};
use crate::sys::epoll::{Epoll, Interest};
use crate::sys::handed::{self, Message};
use crate::sys::unix::{self, Connection};

/// How many may be connected at once.
const MOST: usize = 256;
/// How a caller's connection is known to who waits for it: this, and its number.
pub(crate) const CALLER: u64 = 1 << 63;

/// What was heard of a caller.
pub(crate) enum Heard {
    /// Nothing, now or ever.
    Nothing,
    /// A message, and its bytes.
    Message(Message, Vec<u8>),
}

/// A caller, and when it said something last, in turns.
struct Caller {
    connection: Connection,
    heard: u64,
}

/// All of them.
pub(crate) struct Callers {
    listener: OwnedFd,
    path: PathBuf,
    /// The maximum size of a message, in bytes.
    room: usize,
    connected: BTreeMap<u64, Caller>,
    turn: u64,
}

impl Callers {
    /// Listens; a socket at the path that nobody listens at is replaced.
    pub(crate) fn listen((path, mode): (&Path, u32), room: usize) -> Result<Self, Error> {
        let what = format!("listen at {}", path.display());
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() && !unix::answers(path) => {
                fs::remove_file(path).map_err(at(what.clone()))?;
            }
            _ => {}
        }
        let listener = unix::listen(path).map_err(at(what.clone()))?;
        let callers = Self {
            listener,
            path: path.to_owned(),
            room,
            connected: BTreeMap::new(),
            turn: 0,
        };
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, mode).map_err(at(what))?;
        Ok(callers)
    }

    /// What becomes readable when somebody connects.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Takes in those that have connected. A process that has many descriptors keeps some free for them.
    pub(crate) fn accept(&mut self, epoll: &Epoll) {
        while let Ok(Some(connection)) = unix::accept(self.listener.as_fd()) {
            if self.connected.len() >= MOST {
                self.let_one_go();
            }
            self.turn += 1;
            let token = CALLER | self.turn;
            let added = epoll.add(connection.fd(), token, Interest::Readable);
            if added.is_ok() {
                let heard = self.turn;
                self.connected.insert(token, Caller { connection, heard });
            }
        }
    }

    fn let_one_go(&mut self) {
        let silent = self.connected.iter().min_by_key(|(_, caller)| caller.heard);
        if let Some(token) = silent.map(|(token, _)| *token) {
            self.connected.remove(&token);
        }
    }

    /// The next message of a caller; one that has closed its connection is forgotten.
    pub(crate) fn hear(&mut self, token: u64) -> Heard {
        let Some(caller) = self.connected.get_mut(&token) else {
            return Heard::Nothing;
        };
        let mut bytes = vec![0; self.room];
        match handed::message(caller.connection.fd(), &mut bytes) {
            Ok(None) => Heard::Nothing,
            Ok(Some(message)) if message.length > 0 => {
                self.turn += 1;
                caller.heard = self.turn;
                Heard::Message(message, bytes)
            }
            _ => {
                self.connected.remove(&token);
                Heard::Nothing
            }
        }
    }

    /// The process that a caller is, and its user.
    pub(crate) fn who(&self, token: u64) -> Option<(i32, u32)> {
        let caller = self.connected.get(&token)?;
        caller.connection.peer().ok()
    }

    /// Answers a caller. Who reads no answers hands nothing over any more.
    pub(crate) fn answer(&mut self, token: u64, answer: &str) {
        let caller = self.connected.get_mut(&token);
        let written = caller.map(|caller| caller.connection.write_all(answer.as_bytes()));
        if written.is_some_and(|written| written.is_err()) {
            self.connected.remove(&token);
        }
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
