//! Those who hand pairs over: the socket at which they connect, and their connections.
//!
//! A proxy may connect and say nothing for as long as it likes, but not so many that nobody else can: of more than [`MOST`],
//! the one that has been silent for longest is let go. Takes a path; gives messages, and carries answers. Not here: what a
//! message means ([`super::handover`]).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::PROXY;
use super::handover::MESSAGE;
use crate::error::{Error, at};
use crate::sys::epoll::{Epoll, Interest};
use crate::sys::handed::{self, Message};
use crate::sys::unix::{self, Connection};

/// How many may be connected at once.
const MOST: usize = 256;

/// What was heard of a proxy.
pub(super) enum Heard {
    /// Nothing, now or ever.
    Nothing,
    /// A message, and its bytes.
    Message(Message, Vec<u8>),
}

/// A proxy, and when it said something last, in turns.
struct Proxy {
    connection: Connection,
    heard: u64,
}

/// All of them.
pub(super) struct Proxies {
    listener: OwnedFd,
    path: PathBuf,
    connected: BTreeMap<u64, Proxy>,
    turn: u64,
}

impl Proxies {
    /// Listens; a socket at the path that nobody listens at is replaced.
    pub(super) fn listen(path: &Path, mode: u32) -> Result<Self, Error> {
        let what = format!("listen at {}", path.display());
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() && !unix::answers(path) => {
                fs::remove_file(path).map_err(at(what.clone()))?;
            }
            _ => {}
        }
        let listener = unix::listen(path).map_err(at(what.clone()))?;
        let proxies = Self {
            listener,
            path: path.to_owned(),
            connected: BTreeMap::new(),
            turn: 0,
        };
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, mode).map_err(at(what))?;
        Ok(proxies)
    }

    /// What becomes readable when somebody connects.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Takes in those that have connected. Descriptors are kept free for them ([`super::RESERVED`]).
    pub(super) fn accept(&mut self, epoll: &Epoll) {
        while let Ok(Some(connection)) = unix::accept(self.listener.as_fd()) {
            if self.connected.len() >= MOST {
                self.let_one_go();
            }
            self.turn += 1;
            let token = PROXY | self.turn;
            let added = epoll.add(connection.fd(), token, Interest::Readable);
            if added.is_ok() {
                let heard = self.turn;
                self.connected.insert(token, Proxy { connection, heard });
            }
        }
    }

    fn let_one_go(&mut self) {
        let silent = self.connected.iter().min_by_key(|(_, proxy)| proxy.heard);
        if let Some(token) = silent.map(|(token, _)| *token) {
            self.connected.remove(&token);
        }
    }

    /// The next message of a proxy; one that has closed its connection is forgotten.
    pub(super) fn hear(&mut self, token: u64) -> Heard {
        let Some(proxy) = self.connected.get_mut(&token) else {
            return Heard::Nothing;
        };
        let mut bytes = vec![0; MESSAGE];
        match handed::message(proxy.connection.fd(), &mut bytes) {
            Ok(None) => Heard::Nothing,
            Ok(Some(message)) if message.length > 0 => {
                self.turn += 1;
                proxy.heard = self.turn;
                Heard::Message(message, bytes)
            }
            _ => {
                self.connected.remove(&token);
                Heard::Nothing
            }
        }
    }

    /// Answers a proxy. Who reads no answers hands nothing over any more.
    pub(super) fn answer(&mut self, token: u64, answer: &str) {
        let proxy = self.connected.get_mut(&token);
        let written = proxy.map(|proxy| proxy.connection.write_all(answer.as_bytes()));
        if written.is_some_and(|written| written.is_err()) {
            self.connected.remove(&token);
        }
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
