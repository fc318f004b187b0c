//! Which connections the rules of a group concern, asked of the object's own program.
//!
//! The group's sock_ops program says so of each connection when it is made. Of those that were made before, the runtime asks
//! the very same program, in the compiler's interpreter: there is no second reading of the rules. Not here: what becomes of
//! them ([`super::entry`], [`super::escaped`]).

use sockc_compiler::artifact::{Artifact, AttachPoint, MapId, Program};
use sockc_compiler::interpret;
use sockc_compiler::interpret::{Input, Maps, SockOps, SocketModel};

use super::asked::{ask, lacks, program};
use super::connections::Connection;
use crate::error::Error;

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
    pub(crate) fn of_connection(
        &mut self,
        connection: &Connection<'_>,
    ) -> Result<Concerned, Error> {
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
