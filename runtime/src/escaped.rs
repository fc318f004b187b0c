//! Connections of a group that were made before its programs were there, and so escape its rules.
//!
//! The processes of the control group tell their sockets; those that are established, speak TCP and are not in the group's
//! map have escaped. A process may end while we look, so this is a count for a person, not a proof.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::sys::{bpffs, cgroup, map, process};

/// `TCP_ESTABLISHED` as `/proc/net/tcp` writes it.
const ESTABLISHED: &str = "01";

/// Established connections of the control group at `path` that are not in the map pinned at `peers`.
pub(crate) fn count(path: &Path, peers: &Path) -> usize {
    let known = cookies(peers).unwrap_or_default();
    let mut established = BTreeMap::new();
    let mut escaped = BTreeSet::new();
    for process in cgroup::processes(path).unwrap_or_default() {
        let Ok(namespace) = fs::metadata(format!("/proc/{process}/ns/net")) else {
            continue;
        };
        let inodes = established
            .entry(namespace.ino())
            .or_insert_with(|| established_of(process));
        for (fd, inode) in process::sockets(process).unwrap_or_default() {
            if inodes.contains(&inode) && !is_known(process, fd, &known) {
                escaped.insert(inode);
            }
        }
    }
    escaped.len()
}

/// The cookies of the sockets in a map of sockets.
fn cookies(peers: &Path) -> io::Result<BTreeSet<u64>> {
    let peers = bpffs::open(peers)?;
    let mut found = BTreeSet::new();
    for key in map::keys(peers.as_fd())? {
        let mut cookie = [0; 8];
        if map::lookup(peers.as_fd(), &key, &mut cookie).unwrap_or(false) {
            found.insert(u64::from_ne_bytes(cookie));
        }
    }
    Ok(found)
}

/// The inodes of the established TCP sockets in the network namespace of a process.
fn established_of(process: u32) -> BTreeSet<u64> {
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{process}/net/{table}")).ok())
        .flat_map(|table| table.lines().filter_map(inode_of).collect::<Vec<_>>())
        .collect()
}

fn inode_of(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    let state = words.nth(3)?;
    let inode = words.nth(5)?;
    (state == ESTABLISHED).then(|| inode.parse().ok())?
}

/// Whether a socket is in the map. Only asked when the map has sockets, for it needs a copy of the descriptor.
fn is_known(process: u32, fd: i32, known: &BTreeSet<u64>) -> bool {
    !known.is_empty()
        && process::socket_cookie(process, fd).is_some_and(|cookie| known.contains(&cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_established_inodes() {
        let line = "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 20 4 30 10 -1";
        assert_eq!(inode_of(line), Some(4711));
        assert_eq!(inode_of(&line.replace(" 01 ", " 0A ")), None);
        assert_eq!(inode_of("  sl  local_address"), None);
    }
}
