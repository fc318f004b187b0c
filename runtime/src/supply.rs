//! Fills the slots of a new generation, each in the way of its named socket: by address, from the generation before, or from
//! the process that holds it.

use std::os::fd::{AsFd, OwnedFd};

use sockc_compiler::artifact::{Manifest, Slot, SlotOrigin, SocketSlots};

use crate::error::{Error, at};
use crate::fill::{Filler, SlotState};
use crate::holder;
use crate::record::Record;
use crate::state::State;
use crate::sys::bpffs;

/// Everything that fills slots, made once and run twice: before the switch and after it.
#[derive(Debug)]
pub(crate) struct Supply<'a> {
    manifest: &'a Manifest,
    namespace: u64,
    sockets: OwnedFd,
    listen: Filler,
    registered: Option<Filler>,
}

impl<'a> Supply<'a> {
    /// Makes it; `None` if the policy has no slots. `namespace` is the inode of the policy's network namespace.
    pub(crate) fn new(
        manifest: &'a Manifest,
        before: Option<&Record>,
        state: &State,
        generation: u32,
        namespace: u64,
    ) -> Result<Option<Self>, Error> {
        let what = "load the programs that fill socket slots";
        if manifest
            .sockets
            .iter()
            .all(|socket| socket.slots.is_empty())
        {
            return Ok(None);
        }
        let sockets = slots_map(state, generation)?;
        let listen = Filler::new(manifest, sockets.as_fd()).map_err(at(what))?;
        let registered = before.map(|before| copier(manifest, before, state, &sockets));
        Ok(Some(Self {
            manifest,
            namespace,
            listen,
            registered: registered.transpose()?.flatten(),
            sockets,
        }))
    }

    /// Fills what can be filled; gives how each slot stands, by index, and what a person should know.
    pub(crate) fn run(&self) -> Result<(Vec<SlotState>, Vec<String>), Error> {
        let what = "fill the socket slots";
        let mut states = self.listen.run().map_err(at(what))?;
        if let Some(registered) = &self.registered {
            states.extend(registered.run().map_err(at(what))?);
        }
        let mut notes = Vec::new();
        for socket in self
            .manifest
            .sockets
            .iter()
            .filter(|socket| is_held(socket))
        {
            let (filled, note) = holder::fill(socket, self.sockets.as_fd(), self.namespace);
            states.extend(filled);
            notes.extend(note);
        }
        self.add_missing(&mut states);
        states.sort_by_key(|state| state.slot.index);
        Ok((states, notes))
    }

    /// Slots of registered sockets that nothing was copied to are absent.
    fn add_missing(&self, states: &mut Vec<SlotState>) {
        for socket in &self.manifest.sockets {
            for slot in &socket.slots {
                if !states.iter().any(|state| state.slot.index == slot.index) {
                    states.push(SlotState::absent(&socket.name, slot));
                }
            }
        }
    }
}

fn is_held(socket: &SocketSlots) -> bool {
    matches!(
        socket.origin,
        SlotOrigin::Process(_) | SlotOrigin::Systemd(..)
    )
}

/// The map of the slots of a generation.
pub(crate) fn slots_map(state: &State, generation: u32) -> Result<OwnedFd, Error> {
    bpffs::open(&state.map(generation, "sockets")).map_err(|_| Error::Object {
        cause: "it names sockets but lacks the map \"sockets\"".to_owned(),
    })
}

/// Copies registered sockets to the slots of the same name, protocol and family.
fn copier(
    manifest: &Manifest,
    before: &Record,
    state: &State,
    sockets: &OwnedFd,
) -> Result<Option<Filler>, Error> {
    let mut copied: Vec<(&str, &Slot, u32)> = Vec::new();
    for socket in registered(manifest) {
        let same = registered(&before.manifest).find(|old| old.name == socket.name);
        let old = same.map_or(&[][..], |old| old.slots.as_slice());
        for slot in &socket.slots {
            if let Some(old) = old.iter().find(|old| same_kind(old, slot)) {
                copied.push((&socket.name, slot, old.index));
            }
        }
    }
    if copied.is_empty() {
        return Ok(None);
    }
    let from = slots_map(state, before.generation)?;
    Filler::copier(copied.into_iter(), from.as_fd(), sockets.as_fd())
        .map(Some)
        .map_err(at("load the programs that carry registered sockets over"))
}

fn registered(manifest: &Manifest) -> impl Iterator<Item = &SocketSlots> {
    let sockets = manifest.sockets.iter();
    sockets.filter(|socket| socket.origin == SlotOrigin::Registered)
}

fn same_kind(one: &Slot, other: &Slot) -> bool {
    one.protocol == other.protocol && one.address.is_ipv4() == other.address.is_ipv4()
}
