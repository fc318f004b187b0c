//! The maps of some pairs, as their keeper uses them: who is joined with whom, whose data is moved, how much was and may be.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use sockc_compiler::artifact::PairsPlan;

use super::expected::Expected;
use super::side::Side;
use crate::error::{Error, at};
use crate::pairs::{self, ALLOWED, JOINED, MOVED, SOURCES, TARGETS, number};
use crate::state::State;
use crate::sys::ringbuf::Ring;
use crate::sys::{bpffs, map};

/// What the program has counted of a side's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Came {
    /// Those that were left to its reader.
    pub(super) left: u64,
    /// Those that were moved to the other side.
    pub(super) moved: u64,
}

/// The maps. One process has them at a time.
pub(super) struct Joint {
    targets: OwnedFd,
    sources: OwnedFd,
    joined: OwnedFd,
    allowed: OwnedFd,
    /// What says which byte comes next on a target.
    pub(super) expected: Expected,
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
        let folder = pairs::keep(name, state)?.ok_or_else(|| Error::Pairs {
            pairs: name.to_owned(),
            cause: "another `sockc socket pair` keeps them; hand pairs over to that one, or end it first".to_owned(),
        })?;
        let open = |pin: &str| bpffs::open(&path.join(pin)).map_err(at(what));
        let sources = open(SOURCES)?;
        let targets = open(TARGETS)?;
        let joint = Self {
            expected: Expected::load(targets.as_fd()).map_err(at(what))?,
            id: map::id(sources.as_fd()).map_err(at(what))?,
            targets,
            sources,
            joined: open(JOINED)?,
            allowed: open(ALLOWED)?,
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
    pub(super) fn is_of(&self, state: &State, name: &str) -> io::Result<bool> {
        let pinned = bpffs::open(&state.pairs(number(name)).join(SOURCES))?;
        Ok(map::id(pinned.as_fd())? == self.id)
    }

    /// Joins two sockets: the first has called the proxy. Nothing is moved yet.
    pub(super) fn join(&self, sides: &[Side; 2]) -> io::Result<()> {
        let [client, upstream] = sides;
        let both = [(client, upstream, 0u32), (upstream, client, 1)];
        let join = |(own, other, back): (&Side, &Side, u32)| {
            self.allow(own.slot, 0, 0)?;
            let mut value = [0; PairsPlan::JOINED as usize];
            value[..8].copy_from_slice(&other.cookie.to_ne_bytes());
            value[24..28].copy_from_slice(&own.slot.to_ne_bytes());
            value[28..32].copy_from_slice(&back.to_ne_bytes());
            map::update(self.joined.as_fd(), &own.cookie.to_ne_bytes(), &value)?;
            put(&self.targets, own.cookie, own.fd())
        };
        let done = both.into_iter().try_for_each(join);
        if done.is_err() {
            self.part(sides);
        }
        done
    }

    /// Takes both sides out of all maps. They may have left some of them by themselves.
    pub(super) fn part(&self, sides: &[Side; 2]) {
        for cookie in sides.iter().map(|side| side.cookie) {
            for map in [&self.sources, &self.targets, &self.joined] {
                let _ = map::delete(map.as_fd(), &cookie.to_ne_bytes());
            }
        }
    }

    /// From now on what arrives on a side is moved, the byte with this sequence number first, until both sides part: the kernel throws away what comes while a socket is
    /// taken out (`sk_psock_stop_verdict`).
    pub(super) fn let_flow(&self, side: &Side, next: u32) -> io::Result<()> {
        let mut value = self.value(side.cookie)?;
        value[32..36].copy_from_slice(&next.to_ne_bytes());
        map::update(self.joined.as_fd(), &side.cookie.to_ne_bytes(), &value)?;
        put(&self.sources, side.cookie, side.fd())
    }

    /// Says how many of the bytes that were left to the reader of a side were sent, and how many may be moved in all. Both are
    /// written in place, each as one word (`array_map_update_elem`).
    pub(super) fn allow(&self, slot: u32, sent: u64, most: u64) -> io::Result<()> {
        let mut value = [0; PairsPlan::ALLOWED as usize];
        value[..8].copy_from_slice(&sent.to_ne_bytes());
        value[8..].copy_from_slice(&most.to_ne_bytes());
        map::update(self.allowed.as_fd(), &slot.to_ne_bytes(), &value)
    }

    /// What has come from a side since data flows.
    pub(super) fn came_from(&self, cookie: u64) -> io::Result<Came> {
        let value = self.value(cookie)?;
        // The program has found what it cannot put in order.
        if value[36..] != [0; 4] {
            return Err(io::Error::from_raw_os_error(libc::EBADMSG));
        }
        Ok(Came {
            left: number_at(&value, 8),
            moved: number_at(&value, 16),
        })
    }

    fn value(&self, cookie: u64) -> io::Result<[u8; PairsPlan::JOINED as usize]> {
        let mut value = [0; PairsPlan::JOINED as usize];
        match map::lookup(self.joined.as_fd(), &cookie.to_ne_bytes(), &mut value)? {
            true => Ok(value),
            false => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }

    /// How often the program could not say that a side has come further.
    pub(super) fn unsaid(&self) -> io::Result<u64> {
        let mut value = [0; PairsPlan::ALLOWED as usize];
        let last = PairsPlan::ROOM.to_ne_bytes();
        map::lookup(self.allowed.as_fd(), &last, &mut value)?;
        Ok(number_at(&value, 0))
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

fn number_at(value: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&value[at..at + 8]);
    u64::from_ne_bytes(number)
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
