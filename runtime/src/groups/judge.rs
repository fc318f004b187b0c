//! What the policy in force says of writes, asked of the object's own programs, with what its live sets hold now.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use sockc_compiler::artifact::{Artifact, AttachPoint, MapId, Program};
use sockc_compiler::bpf::constant::SK_PASS;
use sockc_compiler::interpret::{Input, Maps, SocketModel};
use sockc_compiler::policy::Verb;
use sockc_compiler::protocol::IpProtocol;

use super::asked::{ask, lacks, program};
use super::connections::Connection;
use crate::error::{Error, at};
use crate::state::State;
use crate::state::record::Record;
use crate::sys::{batch, clock, map};

/// A state of sockets, of `net/tcp_states.h`.
const TCP_ESTABLISHED: i32 = 1;

/// The policy in force.
pub(super) struct Judge {
    artifact: Artifact,
    maps: Maps,
    /// Whether it has shortcuts.
    pub(super) has_shortcuts: bool,
}

impl Judge {
    /// That of an object.
    pub(super) fn of(artifact: Artifact, state: &State, record: &Record) -> Result<Self, Error> {
        let mut maps = Maps::new(&artifact.maps);
        for name in changing(&artifact) {
            let id = maps.named(name).ok_or_else(|| lacks("a live set"))?;
            if !is_asked(&artifact, id)? {
                continue;
            }
            let live = state.open_map(record.generation, name, artifact.maps[id].kind)?;
            let mut put = Ok(());
            // Arrays are large, and zeros where nothing is, as they begin here.
            let walked = batch::walk(live.as_fd(), |key, value| {
                if put.is_ok() && value.iter().any(|byte| *byte != 0) {
                    put = maps.update(id, key, value, 0).map(drop);
                }
            });
            walked.map_err(at("read a live set"))?;
            put.map_err(|_| lacks("room for a live set"))?;
        }
        hand_over(&artifact, &mut maps, state, record)?;
        let mut counters = artifact.manifest.counters.iter();
        Ok(Self {
            has_shortcuts: counters.any(|counter| counter.verdict == Verb::Shortcut.word()),
            artifact,
            maps,
        })
    }

    /// Whether writes to a connection of the group with this index go.
    pub(super) fn lets_go(
        &mut self,
        group: usize,
        connection: &Connection<'_>,
    ) -> Result<bool, Error> {
        let Some(program) = program(&self.artifact, AttachPoint::SkMsg(group))? else {
            // No rule decides about writes of this group.
            return Ok(true);
        };
        let (from, to) = (connection.local, connection.remote);
        let input = Input::of_process(program.section, IpProtocol::TCP, from, to);
        let input = input.ok_or_else(|| lacks("a program for the writes"))?;
        let execution = ask(program, &mut self.maps, input, clock::now())?;
        Ok(execution.code() == SK_PASS)
    }
}

/// Puts somebody into the slots of sockets whose queues take data, where somebody is in them now: what is for nobody is refused.
fn hand_over(
    artifact: &Artifact,
    maps: &mut Maps,
    state: &State,
    record: &Record,
) -> Result<(), Error> {
    let Some(id) = maps.named("ends") else {
        return Ok(());
    };
    let slots = state.open_map(record.generation, "ends", artifact.maps[id].kind)?;
    let somewhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let somebody = SocketModel::listener(0, somewhere).connected(TCP_ESTABLISHED, somewhere);
    for plan in &artifact.manifest.ends {
        let key = plan.index.to_ne_bytes();
        let held = map::lookup(slots.as_fd(), &key, &mut [0; 8]);
        if held.map_err(at("look into the slots of sockets that take data"))? {
            let put = maps.update_socket(id, &key, somebody, 0);
            put.map_err(|_| lacks("room for a socket"))?;
        }
    }
    Ok(())
}

/// The maps of an object that commands change while it is in force and that decide about writes.
fn changing(artifact: &Artifact) -> impl Iterator<Item = &str> {
    let sets = artifact.manifest.sets.iter();
    sets.flat_map(|set| {
        let table = set.table.iter();
        let table = table.flat_map(|table| [&table.plans, &table.heads, &table.nodes]);
        [&set.map, &set.state].into_iter().chain(table)
    })
    .map(String::as_str)
}

/// Whether a program for writes asks this map.
fn is_asked(artifact: &Artifact, map: MapId) -> Result<bool, Error> {
    for index in 0..artifact.manifest.groups.len() {
        let program: Option<&Program> = program(artifact, AttachPoint::SkMsg(index))?;
        let mut asked = program.iter().flat_map(|one| &one.relocations);
        if asked.any(|relocation| relocation.map == map) {
            return Ok(true);
        }
    }
    Ok(false)
}
