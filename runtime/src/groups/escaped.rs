//! Connections of a group that its rules concern and that were made before its programs were there: they escape the rules.
//!
//! The processes of the control group tell their sockets; those that are connected, speak TCP, are not in the group's map
//! and should be have escaped. A process may end while we look, so this is a count for a person, not a proof.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::concern::Concern;
use super::connections::{self, Connection};
use crate::error::{Error, at};
use crate::sys::{bpffs, cgroup, map, socket};

/// Connections of the control group at `path` that are not in the map pinned at `peers` though the group's
/// rules concern them.
pub(crate) fn count(path: &Path, peers: &Path, concern: &mut Concern) -> Result<usize, Error> {
    let what = "count the connections of a group";
    let known = cookies(peers).map_err(at(what))?;
    let mut escaped = 0;
    for held in connections::held_by(cgroup::processes(path).map_err(at(what))?) {
        let Some(connection) = held.open() else {
            continue;
        };
        let escapes = !is_known(&connection, &known) && concern.holds(&connection)?;
        escaped += usize::from(escapes);
    }
    Ok(escaped)
}

/// The cookies of the sockets in a map of sockets.
fn cookies(peers: &Path) -> io::Result<BTreeSet<u64>> {
    let peers = bpffs::open(peers)?;
    let mut found = BTreeSet::new();
    for key in map::keys(peers.as_fd())? {
        let mut cookie = [0; 8];
        // One that has closed meanwhile is there no more.
        if map::lookup(peers.as_fd(), &key, &mut cookie)? {
            found.insert(u64::from_ne_bytes(cookie));
        }
    }
    Ok(found)
}

fn is_known(connection: &Connection, known: &BTreeSet<u64>) -> bool {
    let cookie = socket::cookie(connection.socket.as_fd());
    cookie.is_some_and(|cookie| known.contains(&cookie))
}
