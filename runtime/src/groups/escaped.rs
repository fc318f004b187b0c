//! Connections of groups that their rules concern and do not reach: mostly made before the groups' programs were there.
//!
//! All processes tell their sockets; those that are connected, speak TCP, were made in a group, are not in its maps and should be
//! have escaped. Where the kernel does not tell where one was made, it counts for the group if a process of the group holds it.
//! A process may end while we look, so this is a count for a person, not a proof.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use sockc_compiler::lower::{PEER_KEY, unmark_outside};

use super::PARKED;
use super::concern::Concern;
use super::connections::{self, Held};
use super::makers::{Makers, Members};
use crate::error::{Error, at};
use crate::hook::{PEERS, READERS};
use crate::state::OWN;
use crate::sys::{bpffs, cgroup, map, socket};

const WHAT: &str = "count the connections of a group";

/// How many connections escape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Escaped {
    /// Those whose writes are not decided.
    pub(crate) writes: usize,
    /// Those that may write nothing, since they could not be taken in and the default refuses.
    pub(crate) refused: usize,
    /// Those on which what arrives is not decided.
    pub(crate) reads: usize,
}

/// What a group reaches, and how many connections it does not.
pub(crate) struct Tally<'a> {
    concern: &'a mut Concern,
    peers: BTreeSet<u64>,
    readers: BTreeSet<u64>,
    /// Where those keep a mark that could not be taken in, if they may write nothing.
    refusing: Option<OwnedFd>,
    members: Members,
    /// The inodes of the sockets that its processes hold.
    held: BTreeSet<u64>,
    escaped: Escaped,
}

impl<'a> Tally<'a> {
    /// That of the group whose control group is at `path` and whose maps are in `folder`; `refuses` says whether those may write
    /// nothing that could not be taken in.
    pub(crate) fn of(
        path: &Path,
        folder: &Path,
        concern: &'a mut Concern,
        refuses: bool,
    ) -> Result<Self, Error> {
        let own = || bpffs::open(&folder.join(OWN)).map_err(at(WHAT));
        let known = |pin| cookies(&folder.join(pin)).map_err(at(WHAT));
        let mut peers = known(PEERS)?;
        peers.extend(known(PARKED)?);
        let processes = cgroup::processes(path).map_err(at(WHAT))?;
        Ok(Self {
            concern,
            peers,
            readers: known(READERS)?,
            refusing: refuses.then(own).transpose()?,
            members: Members::of(path).map_err(at(WHAT))?,
            held: connections::inodes_of(processes),
            escaped: Escaped::default(),
        })
    }

    fn add(&mut self, held: &Held, cookie: u64, makers: &mut Makers) -> Result<(), Error> {
        let (writes, reads) = (self.peers.contains(&cookie), self.readers.contains(&cookie));
        if (writes && reads) || !self.has(held, makers) {
            return Ok(());
        }
        if let Some(connection) = held.connection() {
            let concerned = self.concern.of_connection(&connection)?;
            if concerned.writes && !writes {
                match self.is_marked(held) {
                    true => self.escaped.refused += 1,
                    false => self.escaped.writes += 1,
                }
            }
            self.escaped.reads += usize::from(concerned.reads && !reads);
        }
        Ok(())
    }

    /// Whether a connection may write nothing.
    fn is_marked(&self, held: &Held) -> bool {
        let descriptor = held.socket.as_raw_fd().to_ne_bytes();
        let mut key = [0; PEER_KEY as usize];
        self.refusing.as_ref().is_some_and(|own| {
            let known = map::lookup(own.as_fd(), &descriptor, &mut key);
            known.unwrap_or(false) && unmark_outside(&mut key)
        })
    }

    /// Whether a socket is the group's.
    fn has(&self, held: &Held, makers: &mut Makers) -> bool {
        match makers.of(held) {
            Some(maker) if self.members.have(maker) => true,
            Some(maker) if makers.is_there(maker) => false,
            _ => self.held.contains(&held.inode),
        }
    }
}

/// Counts the connections of each group.
pub(crate) fn count(tallies: &mut [Tally<'_>]) -> Result<Vec<Escaped>, Error> {
    let mut makers = Makers::default();
    let processes = match tallies.is_empty() {
        true => Vec::new(),
        false => connections::processes().map_err(at(WHAT))?,
    };
    for held in connections::held_by(processes) {
        let Some(cookie) = socket::cookie(held.socket.as_fd()) else {
            continue;
        };
        for tally in &mut *tallies {
            tally.add(&held, cookie, &mut makers)?;
        }
    }
    Ok(tallies.iter().map(|tally| tally.escaped).collect())
}

/// The cookies of the sockets in a map of sockets; none if there is no such map.
fn cookies(pin: &Path) -> io::Result<BTreeSet<u64>> {
    let sockets = match bpffs::open(pin) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        opened => opened?,
    };
    let mut found = BTreeSet::new();
    for key in map::keys(sockets.as_fd())? {
        let mut cookie = [0; 8];
        // One that has closed meanwhile is there no more.
        if map::lookup(sockets.as_fd(), &key, &mut cookie)? {
            found.insert(u64::from_ne_bytes(cookie));
        }
    }
    Ok(found)
}
