//! Which connections the rules of a group concern, asked of the object's own program.
//!
//! The group's sock_ops program says so of each connection when it is made. Of those that were made before, the runtime asks
//! the very same program, in the compiler's interpreter: there is no second reading of the rules. A connection that was left
//! alone under the policy before, and that the new one concerns, is taken in by the key that was kept for it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use sockc_compiler::artifact::{Artifact, AttachPoint, MapId, Program};
use sockc_compiler::interpret;
use sockc_compiler::interpret::{Bare, Input, Maps, SockOps, SocketModel, run};
use sockc_compiler::lower::PEER_KEY;

use super::PEERS;
use super::connections::{self, Connection};
use crate::error::{Error, at};
use crate::state::OWN;
use crate::sys::{bpffs, map};

/// `BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB` of `linux/bpf.h`.
const ESTABLISHED_CALLBACK: i32 = 4;

/// The sock_ops program of a group, ready to be asked.
pub(crate) struct Concern {
    program: Program,
    maps: Maps,
    peers: MapId,
}

impl Concern {
    /// That of the group with this index.
    pub(crate) fn of(artifact: &Artifact, group: usize) -> Result<Self, Error> {
        let lacks = |what: &str| Error::Object {
            cause: format!("it lacks {what} of a group"),
        };
        let manifest = &artifact.manifest;
        let plan = manifest
            .groups
            .get(group)
            .ok_or_else(|| lacks("the plan"))?;
        let mut attached = manifest.programs.iter();
        let attach = attached.find(|one| one.point == AttachPoint::SockOps(group));
        let name = attach.map(|attach| attach.program.as_str());
        let mut programs = artifact.programs.iter();
        let program = programs.find(|one| Some(one.name.as_str()) == name);
        let maps = Maps::new(&artifact.maps);
        Ok(Self {
            program: program.cloned().ok_or_else(|| lacks("the program"))?,
            peers: maps.named(&plan.peers).ok_or_else(|| lacks("the map"))?,
            maps,
        })
    }

    /// Whether the rules concern a connection.
    pub(crate) fn holds(&mut self, connection: &Connection) -> Result<bool, Error> {
        let (local, remote) = (connection.local, connection.remote);
        let input = Input::SockOps(SockOps {
            op: ESTABLISHED_CALLBACK,
            connection: interpret::Connection { local, remote },
            state: 1,
            snd_nxt: 0,
            rcv_nxt: 0,
            socket: Some(SocketModel::listener(1, local).connected(1, remote)),
        });
        run(&self.program, &mut self.maps, input, &mut Bare::default()).map_err(|fault| {
            Error::Object {
                cause: format!("a program of a group cannot be asked: {fault}"),
            }
        })?;
        // The next question finds the map as this one did.
        Ok(self.maps.take_sockets(self.peers) > 0)
    }
}

/// Takes in the connections that were left alone and that the rules now concern. `folder` has the group's maps.
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
        if !known.unwrap_or(false) || is_in(peers.as_fd(), &key)? || !concern.holds(&connection)? {
            continue;
        }
        let value = i64::from(descriptor).to_ne_bytes();
        // One that is closing, or that has no room, is counted as escaped.
        let _ = map::update(peers.as_fd(), &key, &value);
    }
    Ok(())
}

/// Whether there is a socket of this key. The map tells it by the socket's cookie.
fn is_in(peers: BorrowedFd<'_>, key: &[u8]) -> Result<bool, Error> {
    let mut cookie = [0; 8];
    map::lookup(peers, key, &mut cookie).map_err(at("look for a connection of a group"))
}
