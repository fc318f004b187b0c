//! The maps of some pairs, as their keeper uses them: who is joined with whom, whose data is moved, how much was.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use sockc_compiler::artifact::PairsPlan;

use crate::error::{Error, at};
use crate::pairs::{JOINED, MOVED, SOURCES, TARGETS, number};
use crate::state::State;
use crate::sys::ringbuf::Ring;
use crate::sys::{bpffs, map, process};

/// The maps. One process has them at a time.
pub(super) struct Joint {
    targets: OwnedFd,
    sources: OwnedFd,
    joined: OwnedFd,
    /// Which sides have come a step further.
    pub(super) moved: Ring,
    /// The id of the map of sources, which tells these maps from others of the name.
    id: u32,
    /// The lock on the folder.
    _folder: File,
}

impl Joint {
    /// Opens the maps of the pairs of a name, and removes what a keeper left that was killed.
    pub(super) fn open(state: &State, name: &str) -> Result<Self, Error> {
        let what = "open the maps of pairs";
        let path = state.pairs(number(name));
        let folder = File::open(&path).map_err(at(what))?;
        if !process::lock(folder.as_fd()).map_err(at(what))? {
            return Err(Error::Pairs {
                pairs: name.to_owned(),
                cause: "another `sockc socket pair` keeps them; hand pairs over to that one, or end it first".to_owned(),
            });
        }
        let open = |pin: &str| bpffs::open(&path.join(pin)).map_err(at(what));
        let sources = open(SOURCES)?;
        let joint = Self {
            id: map::id(sources.as_fd()).map_err(at(what))?,
            targets: open(TARGETS)?,
            sources,
            joined: open(JOINED)?,
            moved: Ring::open(&path.join(MOVED)).map_err(at(what))?,
            _folder: folder,
        };
        joint.clear().map_err(at("remove what was left of pairs"))?;
        Ok(joint)
    }

    fn clear(&self) -> io::Result<()> {
        for map in [&self.sources, &self.targets, &self.joined] {
            for key in map::keys(map.as_fd())? {
                map::delete(map.as_fd(), &key)?;
            }
        }
        Ok(())
    }

    /// Whether these are the maps that are pinned for a name.
    pub(super) fn is_of(&self, state: &State, name: &str) -> bool {
        let pinned = bpffs::open(&state.pairs(number(name)).join(SOURCES));
        let id = pinned.and_then(|pinned| map::id(pinned.as_fd()));
        id.is_ok_and(|id| id == self.id)
    }

    /// Joins two sockets, by their cookies: the first has called the proxy. Nothing is moved yet.
    pub(super) fn join(&self, sides: [(u64, BorrowedFd<'_>); 2]) -> io::Result<()> {
        let [(client, _), (upstream, _)] = sides;
        let both = [(client, upstream, 0u64), (upstream, client, 1)];
        let done = both
            .iter()
            .try_for_each(|(own, other, back)| {
                let mut value = [0; PairsPlan::JOINED as usize];
                value[..8].copy_from_slice(&other.to_ne_bytes());
                value[16..24].copy_from_slice(&back.to_ne_bytes());
                map::update(self.joined.as_fd(), &own.to_ne_bytes(), &value)
            })
            .and_then(|()| {
                let mut sides = sides.iter();
                sides.try_for_each(|(cookie, socket)| put(&self.targets, *cookie, *socket))
            });
        if done.is_err() {
            self.part([client, upstream]);
        }
        done
    }

    /// Takes both sides out of all maps. They may have left some of them by themselves.
    pub(super) fn part(&self, sides: [u64; 2]) {
        for cookie in sides {
            for map in [&self.sources, &self.targets, &self.joined] {
                let _ = map::delete(map.as_fd(), &cookie.to_ne_bytes());
            }
        }
    }

    /// From now on what arrives on a side is moved.
    pub(super) fn let_flow(&self, cookie: u64, socket: BorrowedFd<'_>) -> io::Result<()> {
        put(&self.sources, cookie, socket)
    }

    /// From now on what arrives on a side waits there. What was moved already goes on: the socket stays in `targets`, so the
    /// kernel keeps its queue (`sock_map_del_link` stops the verdict alone).
    pub(super) fn hold(&self, cookie: u64) -> io::Result<()> {
        map::delete(self.sources.as_fd(), &cookie.to_ne_bytes()).map(drop)
    }

    /// The bytes that were moved from a side.
    pub(super) fn moved_from(&self, cookie: u64) -> io::Result<u64> {
        let mut value = [0; PairsPlan::JOINED as usize];
        if !map::lookup(self.joined.as_fd(), &cookie.to_ne_bytes(), &mut value)? {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        let mut moved = [0; 8];
        moved.copy_from_slice(&value[8..16]);
        Ok(u64::from_ne_bytes(moved))
    }

    /// The sides that have come a step further since they were asked for last.
    pub(super) fn told(&mut self) -> Vec<u64> {
        let mut told = Vec::new();
        while let Some(record) = self.moved.take() {
            let cookie = record.as_slice().try_into().map(u64::from_ne_bytes);
            told.extend(cookie);
        }
        told.sort_unstable();
        told.dedup();
        told
    }
}

/// Puts a socket into a map; one that is there already stays.
fn put(map: &OwnedFd, cookie: u64, socket: BorrowedFd<'_>) -> io::Result<()> {
    // A SOCKHASH takes a descriptor of 4 bytes or of 8 (`sock_map_update_elem_sys`); its values have 8.
    let descriptor = u64::from(socket.as_raw_fd().cast_unsigned());
    map::update(
        map.as_fd(),
        &cookie.to_ne_bytes(),
        &descriptor.to_ne_bytes(),
    )
}
