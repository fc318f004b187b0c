//! Which connections the rules of a group concern, asked of the object's own program.
//!
//! The group's sock_ops program says so of each connection when it is made. Of those that were made before, the runtime asks
//! the very same program, in the compiler's interpreter: there is no second reading of the rules. A connection that was left
//! alone under the policy before, and that the new one concerns, is taken in by the key that was kept for it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use sockc_compiler::artifact::{Artifact, AttachPoint, MapId, Program};
use sockc_compiler::interpret;
use sockc_compiler::interpret::{Input, Maps, SockOps, SocketModel};
use sockc_compiler::lower::{PEER_KEY, unmark};

use super::asked::{ask, lacks, program};
use super::connections::{self, Connection};
use crate::error::{Error, at};
use crate::hook::PEERS;
use crate::state::OWN;
use crate::sys::{bpffs, map};

/// `BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB` of `linux/bpf.h`.
const ESTABLISHED_CALLBACK: i32 = 4;

/// The sock_ops program of a group, ready to be asked.
pub(crate) struct Concern {
    program: Program,
    maps: Maps,
    peers: MapId,
    readers: Option<MapId>,
}

/// What of a connection the rules concern.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Concerned {
    /// What is written to it, or put into its queue by a shortcut.
    pub(crate) writes: bool,
    /// What arrives on it.
    pub(crate) reads: bool,
}

impl Concern {
    /// That of the group with this index.
    pub(crate) fn of(artifact: &Artifact, group: usize) -> Result<Self, Error> {
        let manifest = &artifact.manifest;
        let plan = manifest
            .groups
            .get(group)
            .ok_or_else(|| lacks("the plan"))?;
        let program = program(artifact, AttachPoint::SockOps(group))?;
        let maps = Maps::new(&artifact.maps);
        Ok(Self {
            program: program.cloned().ok_or_else(|| lacks("the program"))?,
            peers: maps.named(&plan.peers).ok_or_else(|| lacks("the map"))?,
            readers: maps.named(&plan.readers),
            maps,
        })
    }

    /// Whether the rules concern a connection, and what of it.
    pub(crate) fn of_connection(&mut self, connection: &Connection) -> Result<Concerned, Error> {
        let (local, remote) = (connection.local, connection.remote);
        let input = Input::SockOps(SockOps {
            op: ESTABLISHED_CALLBACK,
            connection: interpret::Connection { local, remote },
            state: 1,
            new_state: 0,
            callbacks: 0,
            snd_nxt: 0,
            rcv_nxt: 0,
            socket: Some(SocketModel::listener(1, local).connected(1, remote)),
        });
        ask(&self.program, &mut self.maps, input, 0)?;
        // The next question finds the maps as this one did.
        let readers = self.readers.map(|readers| self.maps.take_sockets(readers));
        Ok(Concerned {
            writes: self.maps.take_sockets(self.peers) > 0,
            reads: readers.is_some_and(|count| count > 0),
        })
    }
}

/// Takes in the connections that were left alone and that the rules now concern. `folder` has the group's maps. What arrives on
/// a connection is not decided from then on: a reader that waits in the kernel for data while its socket becomes one of those
/// whose data the kernel hands out another way (`tcp_bpf_recvmsg_parser`) may wait on.
pub(crate) fn take_in(folder: &Path, concern: &mut Concern) -> Result<(), Error> {
    let what = "take in the connections of a group";
    let peers = bpffs::open(&folder.join(PEERS)).map_err(at(what))?;
    let own = bpffs::open(&folder.join(OWN)).map_err(at(what))?;
    for held in connections::held_by(connections::processes().map_err(at(what))?) {
        let Some(connection) = held.open() else {
            continue;
        };
        let descriptor = connection.socket.as_raw_fd();
        let mut key = [0; PEER_KEY as usize];
        let known = map::lookup(own.as_fd(), &descriptor.to_ne_bytes(), &mut key);
        // Those that were refused are in a map, or are seen to by [`super::refused`].
        let known = known.unwrap_or(false) && !unmark(&mut key) && !is_in(peers.as_fd(), &key)?;
        if !known || !concern.of_connection(&connection)?.writes {
            continue;
        }
        // One that is closing, or that has no room, is counted as escaped.
        let _ = map::put_socket(peers.as_fd(), &key, connection.socket.as_fd());
    }
    Ok(())
}

/// Whether there is a socket of this key. The map tells it by the socket's cookie.
fn is_in(peers: BorrowedFd<'_>, key: &[u8]) -> Result<bool, Error> {
    let mut cookie = [0; 8];
    map::lookup(peers, key, &mut cookie).map_err(at("look for a connection of a group"))
}
