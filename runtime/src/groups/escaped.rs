//! Connections of groups that their rules concern and do not reach: mostly made before the groups' programs were there.
//!
//! All processes tell their sockets; those that are connected, speak TCP, were made in a group, are not in its maps and should be
//! have escaped. Where the kernel does not tell where one was made, it counts for the group if a process of the group holds it.
//! A process may end while we look, so this is a count for a person, not a proof.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::PARKED;
use super::concern::Concern;
use super::connections::{self, Connection};
use super::makers::{Makers, Members};
use crate::error::{Error, at};
use crate::hook::{PEERS, READERS};
use crate::sys::{bpffs, cgroup, map, socket};

const WHAT: &str = "count the connections of a group";

/// How many connections escape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Escaped {
    /// Those whose writes are not decided.
    pub(crate) writes: usize,
    /// Those on which what arrives is not decided.
    pub(crate) reads: usize,
}

/// What a group reaches, and how many connections it does not.
pub(crate) struct Tally<'a> {
    concern: &'a mut Concern,
    peers: BTreeSet<u64>,
    readers: BTreeSet<u64>,
    members: Members,
    /// The inodes of the sockets that its processes hold.
    held: BTreeSet<u64>,
    escaped: Escaped,
}

impl<'a> Tally<'a> {
    /// That of the group whose control group is at `path` and whose maps are in `folder`.
    pub(crate) fn of(path: &Path, folder: &Path, concern: &'a mut Concern) -> Result<Self, Error> {
        let known = |pin| cookies(&folder.join(pin)).map_err(at(WHAT));
        let mut peers = known(PEERS)?;
        peers.extend(known(PARKED)?);
        let processes = cgroup::processes(path).map_err(at(WHAT))?;
        Ok(Self {
            concern,
            peers,
            readers: known(READERS)?,
            members: Members::of(path).map_err(at(WHAT))?,
            held: connections::inodes_of(processes),
            escaped: Escaped::default(),
        })
    }

    fn add(&mut self, connection: &Connection, makers: &mut Makers) -> Result<(), Error> {
        let (writes, reads) = (
            is_known(connection, &self.peers),
            is_known(connection, &self.readers),
        );
        if writes && reads {
            return Ok(());
        }
        if self.has(connection, makers) {
            let concerned = self.concern.of_connection(connection)?;
            self.escaped.writes += usize::from(concerned.writes && !writes);
            self.escaped.reads += usize::from(concerned.reads && !reads);
        }
        Ok(())
    }

    /// Whether a connection is the group's.
    fn has(&self, connection: &Connection, makers: &mut Makers) -> bool {
        match makers.of(connection) {
            Some(maker) if self.members.have(maker) => true,
            Some(maker) if makers.is_there(maker) => false,
            _ => self.held.contains(&connection.inode),
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
    for connection in connections::held_by(processes) {
        for tally in &mut *tallies {
            tally.add(&connection, &mut makers)?;
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

fn is_known(connection: &Connection, known: &BTreeSet<u64>) -> bool {
    let cookie = socket::cookie(connection.socket.as_fd());
    cookie.is_some_and(|cookie| known.contains(&cookie))
}
