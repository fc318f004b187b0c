//! Connections of a group that its rules concern and that were made before its programs were there: they escape the rules.
//!
//! The processes of the control group tell their sockets; those that are connected, speak TCP, are not in the group's maps
//! and should be have escaped. A process may end while we look, so this is a count for a person, not a proof.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::PARKED;
use super::concern::Concern;
use super::connections::{self, Connection};
use crate::error::{Error, at};
use crate::hook::{PEERS, READERS};
use crate::sys::{bpffs, cgroup, map, socket};

/// How many connections escape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Escaped {
    /// Those whose writes are not decided.
    pub(crate) writes: usize,
    /// Those on which what arrives is not decided.
    pub(crate) reads: usize,
}

/// Connections of the control group at `path` that are not in the maps pinned in `folder` though the group's rules concern
/// them.
pub(crate) fn count(path: &Path, folder: &Path, concern: &mut Concern) -> Result<Escaped, Error> {
    let what = "count the connections of a group";
    let known = |pin| cookies(&folder.join(pin)).map_err(at(what));
    let (mut peers, readers) = (known(PEERS)?, known(READERS)?);
    peers.extend(known(PARKED)?);
    let mut escaped = Escaped::default();
    for held in connections::held_by(cgroup::processes(path).map_err(at(what))?) {
        let Some(connection) = held.open() else {
            continue;
        };
        let (writes, reads) = (
            is_known(&connection, &peers),
            is_known(&connection, &readers),
        );
        if writes && reads {
            continue;
        }
        let concerned = concern.of_connection(&connection)?;
        escaped.writes += usize::from(concerned.writes && !writes);
        escaped.reads += usize::from(concerned.reads && !reads);
    }
    Ok(escaped)
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
