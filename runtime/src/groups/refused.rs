//! Connections that were refused a write and that the policy in force lets go.
//!
//! The kernel asks no program about a socket again once sk_msg has refused it (`psock->eval` in `tcp_bpf_send_verdict`), as
//! long as it is in a map or somebody reads from it. Programs mark such sockets in the keys that these keep. Here they are
//! found by that, through the processes that hold them, and taken out of their map and in again, which makes the kernel
//! forget. What the policy says of them is asked of the object's own program, in the compiler's interpreter. Between out and
//! in a write is not decided, so only those are touched that may write. Until there is nothing in the way of that a socket
//! stands in a second map, without programs: there it stays refused, whoever is killed when.
//!
//! Left as they are: sockets that data of a shortcut waits in or may come to, which would be lost.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use sockc_compiler::lower::{PEER_KEY, mirrored, unmark};
use sockc_compiler::object;
use sockc_compiler::policy::{Direction, Verb};

use super::PARKED;
use super::connections::{self, Connection, Held};
use super::judge::Judge;
use super::waiting::Waiting;
use crate::error::{Error, at};
use crate::hook::PEERS;
use crate::state::record::Record;
use crate::state::{OWN, State, totals};
use crate::sys::map::Shape;
use crate::sys::{bpffs, map, socket};

/// What is being done here.
const WHAT: &str = "let refused connections go";
/// Sockets that may stand in a map without programs at a time.
const ROOM: u32 = 1024;
/// How often a socket is tried that a call is at work on; each takes a microsecond, as a refused write does.
const TRIES: usize = 100;

type Key = [u8; PEER_KEY as usize];

/// The shape of the map that holds refused sockets while their map does not.
pub(crate) fn parked() -> Shape {
    Shape::sockets(8, ROOM)
}

/// A group's maps.
struct Group {
    /// Its place in the manifest.
    index: usize,
    peers: OwnedFd,
    own: OwnedFd,
    parked: OwnedFd,
}

/// A socket that was refused a write.
struct Marked<'a> {
    connection: Connection<'a>,
    /// The key that it keeps, without the mark.
    key: Key,
}

/// Lets those connections go that the policy in force would; how many it would and that stay refused until it is tried
/// again. One after the other: there may be more of them than descriptors.
pub(crate) fn let_go(state: &State, record: &Record, object: &[u8]) -> Result<usize, Error> {
    let groups = opened(state, record)?;
    let processes = match groups.is_empty() {
        true => Vec::new(),
        false => connections::processes().map_err(at(WHAT))?,
    };
    let mut pass = None;
    let mut left = 0;
    for held in connections::held_by(processes) {
        let Some((group, marked)) = marked(&groups, &held) else {
            continue;
        };
        let pass = match &mut pass {
            Some(pass) => pass,
            none => none.insert(Pass::of(state, record, object)?),
        };
        left += usize::from(!pass.settle(&groups, group, &marked)?);
    }
    Ok(left)
}

/// Connections that were refused by what a set held, or since nobody was handed over, and are not any more, go on. The change is
/// made by now: where that cannot be done, they stay refused until the next apply, which says so.
pub(crate) fn changed(state: &State, record: &Record) {
    if may_have_refused(state, record).unwrap_or(true)
        && let Ok((_, object)) = Record::read(&state.record(record.generation))
    {
        let _ = let_go(state, record, &object);
    }
}

/// What is asked about each of them.
struct Pass {
    judge: Judge,
    waiting: Waiting,
}

impl Pass {
    fn of(state: &State, record: &Record, object: &[u8]) -> Result<Self, Error> {
        let artifact = object::read(object).map_err(|error| Error::Object {
            cause: error.to_string(),
        })?;
        Ok(Self {
            judge: Judge::of(artifact, state, record)?,
            waiting: Waiting::of_this_kernel(),
        })
    }

    /// Lets one go that may; `false` if it may and cannot.
    fn settle(
        &mut self,
        groups: &[Group],
        group: &Group,
        marked: &Marked<'_>,
    ) -> Result<bool, Error> {
        if !self.judge.lets_go(group.index, &marked.connection)? {
            group.keep(marked).map_err(at(WHAT))?;
            return Ok(true);
        }
        let near = self.judge.has_shortcuts && is_near(groups, &marked.key)?;
        let quiet = !near && !self.waiting.in_socket(marked.connection.socket);
        Ok(quiet && group.renew(marked).map_err(at(WHAT))?)
    }
}

/// Whether a policy has refused a write, by its counters; where one that may refuse does not count, it may have. A redirect
/// refuses what is for nobody.
fn may_have_refused(state: &State, record: &Record) -> Result<bool, Error> {
    if record.taken_in().next().is_none() {
        return Ok(false);
    }
    let totals = totals::totals(state, record)?;
    let mut counters = record.manifest.counters.iter().zip(totals);
    Ok(counters.any(|(counter, total)| {
        let refuses = counter.direction == Direction::Send.word()
            && [Verb::Drop, Verb::Reject, Verb::Feed]
                .iter()
                .any(|verb| verb.word() == counter.verdict)
            && !counter.audit;
        refuses && (total.packets > 0 || !counter.counted)
    }))
}

fn opened(state: &State, record: &Record) -> Result<Vec<Group>, Error> {
    let mut groups = Vec::new();
    let plans = record.manifest.groups.iter().zip(&record.cgroups);
    for (index, (plan, number)) in plans.enumerate() {
        // Objects of earlier versions kept no key of every socket.
        if plan.own.is_empty() {
            continue;
        }
        let folder = state.group(*number);
        let open = |pin| bpffs::open(&folder.join(pin)).map_err(at(WHAT));
        groups.push(Group {
            index,
            peers: open(PEERS)?,
            own: open(OWN)?,
            parked: open(PARKED)?,
        });
    }
    Ok(groups)
}

/// A connection that was refused a write, with its group.
fn marked<'a>(groups: &'a [Group], held: &'a Held) -> Option<(&'a Group, Marked<'a>)> {
    let descriptor = held.socket.as_raw_fd().to_ne_bytes();
    let mut key = [0; PEER_KEY as usize];
    let group = groups.iter().find(|group| {
        let known = map::lookup(group.own.as_fd(), &descriptor, &mut key);
        known.unwrap_or(false) && unmark(&mut key)
    })?;
    let connection = held.connection()?;
    Some((group, Marked { connection, key }))
}

impl Group {
    /// Takes a socket out of the map and in again. `false` if it stays refused: others are busy with it, or it ends.
    fn renew(&self, marked: &Marked<'_>) -> io::Result<bool> {
        let socket = marked.connection.socket;
        let Some(cookie) = socket::cookie(socket) else {
            return Ok(false);
        };
        if !socket::is_established(socket) || !self.may_stand(&marked.key, cookie)? {
            return Ok(false);
        }
        let parked = cookie.to_ne_bytes();
        if map::put_socket(self.parked.as_fd(), &parked, socket).is_err() {
            return Ok(false);
        }
        map::delete(self.peers.as_fd(), &marked.key)?;
        map::delete(self.parked.as_fd(), &parked)?;
        for _ in 0..TRIES {
            if self.take_in(marked)? {
                return Ok(true);
            }
        }
        // A call that is at work on the socket keeps what the kernel remembers. Held there it stays refused; if that call has
        // ended just now, nothing is remembered any more, and if the connection has, nothing is taken in.
        let held = map::put_socket(self.parked.as_fd(), &parked, socket).is_ok();
        let done = self.take_in(marked)?;
        if done && held {
            map::delete(self.parked.as_fd(), &parked)?;
        }
        Ok(done)
    }

    /// Whether the key is that of no other socket.
    fn may_stand(&self, key: &Key, cookie: u64) -> io::Result<bool> {
        let mut there = [0; 8];
        let other = map::lookup(self.peers.as_fd(), key, &mut there)?;
        Ok(!other || u64::from_ne_bytes(there) == cookie)
    }

    /// Takes it in; `false` if the kernel still remembers. One that ends in this very moment is not taken, and remembered by
    /// nobody: it is as if it were left alone, and [`super::escaped`] counts it.
    fn take_in(&self, marked: &Marked<'_>) -> io::Result<bool> {
        let socket = marked.connection.socket;
        let taken = map::put_socket(self.peers.as_fd(), &marked.key, socket);
        if taken.is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY)) {
            return Ok(false);
        }
        let descriptor = socket.as_raw_fd().to_ne_bytes();
        map::update(self.own.as_fd(), &descriptor, &marked.key)?;
        Ok(true)
    }

    /// One that is to stay refused must be in a map: a command that was killed may have left it in none.
    fn keep(&self, marked: &Marked<'_>) -> io::Result<()> {
        let socket = marked.connection.socket;
        let Some(cookie) = socket::cookie(socket) else {
            return Ok(());
        };
        let mut there = [0; 8];
        let parked = map::lookup(self.parked.as_fd(), &cookie.to_ne_bytes(), &mut there)?;
        if !parked && !map::lookup(self.peers.as_fd(), &marked.key, &mut there)? {
            self.take_in(marked)?;
        }
        Ok(())
    }
}

/// Whether data of a shortcut may come to the socket of this key: its peer is in a map, too.
fn is_near(groups: &[Group], key: &Key) -> Result<bool, Error> {
    let other = mirrored(key);
    let mut cookie = [0; 8];
    for group in groups {
        if map::lookup(group.peers.as_fd(), &other, &mut cookie).map_err(at(WHAT))? {
            return Ok(true);
        }
    }
    Ok(false)
}
