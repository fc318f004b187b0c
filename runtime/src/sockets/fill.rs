//! Fills the slots of a new generation, each in the way of its named socket: by address, from the generation before, or from
//! the process that holds it. A socket of anybody but the declared owner is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use sockc_compiler::artifact::{Manifest, MapKind, Slot, SlotOrigin, SocketSlots};

use super::inspect;
use super::lookup::{Fill, SlotPrograms, SlotState};
use super::of_process;
use super::open::{Machine, WHOSE, belongs};
use super::owners::Owners;
use crate::code::owner::Belongs;
use crate::error::{Error, at};
use crate::session::Session;
use crate::state::State;
use crate::state::record::Record;
use crate::sys::{map, process};

/// Everything that fills slots, made once and run twice: before the switch and after it.
#[derive(Debug)]
pub(crate) struct SlotFiller<'a> {
    manifest: &'a Manifest,
    session: &'a Session,
    owners: &'a Owners,
    sockets: OwnedFd,
    listen: SlotPrograms,
    registered: Option<SlotPrograms>,
}

impl<'a> SlotFiller<'a> {
    /// Makes it; `None` if the policy has no slots.
    pub(crate) fn new(
        manifest: &'a Manifest,
        before: Option<&Record>,
        session: &'a Session,
        generation: u32,
        owners: &'a Owners,
    ) -> Result<Option<Self>, Error> {
        let state = &session.state;
        let what = "load the programs that fill socket slots";
        if manifest
            .sockets
            .iter()
            .all(|socket| socket.slots.is_empty())
        {
            return Ok(None);
        }
        let sockets = slots_map(state, generation)?;
        let listen = SlotPrograms::new(manifest, sockets.as_fd()).map_err(at(what))?;
        let registered = before.map(|before| copier(manifest, before, state, &sockets));
        Ok(Some(Self {
            manifest,
            session,
            owners,
            listen,
            registered: registered.transpose()?.flatten(),
            sockets,
        }))
    }

    /// Fills what can be filled; gives how each slot stands, by index, and what a person should know.
    pub(crate) fn run(&self) -> Result<(Vec<SlotState>, Vec<String>), Error> {
        let what = "fill the socket slots";
        let mut found = self.listen.run().map_err(at(what))?;
        if let Some(registered) = &self.registered {
            found.extend(registered.run().map_err(at(what))?);
            self.put_others_out()?;
        }
        found.extend(self.take_from_holders(&found)?);
        let mut missed = Vec::new();
        for socket in self
            .manifest
            .sockets
            .iter()
            .filter(|socket| is_held(socket))
        {
            let owner = self.owners.belongs(&socket.name);
            let namespace = self.session.namespace.inode;
            let (filled, why) = of_process::fill(socket, self.sockets.as_fd(), namespace, owner);
            missed.extend(missed_by(socket, &filled, why));
            found.extend(filled);
        }
        let mut states = inspect::states(self.session, self.manifest, self.sockets.as_fd())?;
        let notes = missed
            .iter()
            .filter_map(|missed| missed.note(&states))
            .collect();
        // What was refused while a slot was filled is not to be seen afterwards.
        let refused = found.iter().filter(|one| is_refusal(one.state));
        let refused: BTreeMap<u32, Fill> = refused.map(|one| (one.slot.index, one.state)).collect();
        for state in states
            .iter_mut()
            .filter(|state| state.state != Fill::Filled)
        {
            if let Some(refused) = refused.get(&state.slot.index) {
                state.state = *refused;
            }
        }
        states.sort_by_key(|state| state.slot.index);
        Ok((states, notes))
    }

    /// Sockets that were handed over under the policy before, and that are not of the owner whom this one declares.
    fn put_others_out(&self) -> Result<(), Error> {
        let owned = registered(self.manifest)
            .filter_map(|socket| Some((socket, self.owners.belongs(&socket.name)?)));
        for (socket, owner) in owned {
            let machine = Machine::look(|_| false).map_err(at(WHOSE))?;
            for slot in &socket.slots {
                let key = slot.index.to_ne_bytes();
                let mut cookie = [0; 8];
                let there = map::lookup(self.sockets.as_fd(), &key, &mut cookie);
                if !there.map_err(at("look into the socket slots"))? {
                    continue;
                }
                let theirs = machine.is_of(Some(u64::from_ne_bytes(cookie)), owner);
                if !theirs.map_err(at(WHOSE))? {
                    map::delete(self.sockets.as_fd(), &key).map_err(at("empty a socket slot"))?;
                }
            }
        }
        Ok(())
    }

    /// Takes sockets from the processes that hold them: those that have an owner, and those that the kernel's lookup, as `found`
    /// says, does not find. There a lookup program of somebody else may decide.
    fn take_from_holders(&self, found: &[SlotState]) -> Result<Vec<SlotState>, Error> {
        let listen = self.manifest.sockets.iter();
        let listen = listen.filter(|socket| socket.origin == SlotOrigin::Listen);
        let slots = listen.flat_map(|socket| {
            let owner = self.owners.belongs(&socket.name);
            socket.slots.iter().map(move |slot| Sought {
                socket: &socket.name,
                slot,
                owner,
            })
        });
        let unfound =
            |sought: &Sought<'_>| sought.owner.is_some() || is_unfound(found, sought.slot);
        let slots: Vec<Sought<'_>> = slots.filter(unfound).collect();
        if slots.is_empty() {
            return Ok(Vec::new());
        }
        let ports: BTreeSet<u16> = slots.iter().map(|sought| sought.slot.port).collect();
        let machine =
            Machine::look(|open| ports.contains(&open.local.port())).map_err(at(WHOSE))?;
        let mut taken = Vec::new();
        for sought in slots {
            let holder = sought.holder(&machine).map_err(at(WHOSE))?;
            let fill = holder.map(|holder| self.take(sought.slot, holder));
            taken.extend(fill.map(|fill| SlotState::new(sought.socket, sought.slot, fill)));
        }
        Ok(taken)
    }

    fn take(&self, slot: &Slot, (process, fd): (u32, i32)) -> Fill {
        let taken = process::descriptor(process, fd).and_then(|socket| {
            map::put_socket(
                self.sockets.as_fd(),
                &slot.index.to_ne_bytes(),
                socket.as_fd(),
            )
        });
        match taken {
            Ok(()) => Fill::Filled,
            Err(error) => Fill::Refused(error.raw_os_error().unwrap_or(libc::EINVAL)),
        }
    }
}

/// A slot whose socket is looked for among those that processes hold.
struct Sought<'a> {
    socket: &'a str,
    slot: &'a Slot,
    owner: Option<&'a Belongs>,
}

impl Sought<'_> {
    /// The process that has the socket at the address, and its descriptor.
    fn holder(&self, machine: &Machine) -> io::Result<Option<(u32, i32)>> {
        for open in machine.at(self.slot).filter(|open| !open.mptcp) {
            let is_meant = match self.owner {
                Some(owner) => belongs(open, owner)?,
                // What answers by one interface alone is taken for nobody who did not ask for it.
                None => open.interface == 0,
            };
            if is_meant && let Some(holder) = machine.holder(open) {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }
}

/// Whether the kernel's lookup found nobody at the address of a slot.
fn is_unfound(found: &[SlotState], slot: &Slot) -> bool {
    let mut found = found.iter().filter(|one| one.slot.index == slot.index);
    found.any(|one| matches!(one.state, Fill::Absent | Fill::WildcardOnly))
}

/// A socket that was not found in the process that should hold it.
struct Missed<'a> {
    socket: &'a str,
    /// The indices of its slots for which nothing was found.
    slots: Vec<u32>,
    /// Why there was no process to look into.
    why: Option<String>,
}

/// What is not found needs a word where a slot may hold something from before.
fn missed_by<'a>(
    socket: &'a SocketSlots,
    found: &[SlotState],
    why: Option<String>,
) -> Option<Missed<'a>> {
    let absent = found.iter().filter(|one| one.state == Fill::Absent);
    let slots: Vec<u32> = absent.map(|one| one.slot.index).collect();
    let socket = &socket.name;
    (!slots.is_empty()).then_some(Missed { socket, slots, why })
}

impl Missed<'_> {
    /// What a person should know, as the slots stand.
    fn note(&self, states: &[SlotState]) -> Option<String> {
        let Self { socket, slots, why } = self;
        let mut own = states
            .iter()
            .filter(|state| slots.contains(&state.slot.index));
        let stays = own.any(|state| state.state == Fill::Filled);
        match (why, stays) {
            (Some(why), false) => Some(format!("the socket \"{socket}\" is absent: {why}")),
            (Some(why), true) => Some(format!(
                "the socket \"{socket}\" keeps what it holds until the next `sockc apply`, which leaves it out: {why}"
            )),
            (None, true) => Some(format!(
                "the socket \"{socket}\" keeps what it holds until the next `sockc apply`, which leaves it out: it is not of the process that the policy names"
            )),
            // How its slots stand says that.
            (None, false) => None,
        }
    }
}

/// Whether the kernel said why it did not take a socket.
fn is_refusal(state: Fill) -> bool {
    matches!(
        state,
        Fill::Refused(_) | Fill::Unknown(_) | Fill::Mptcp | Fill::NotListening
    )
}

fn is_held(socket: &SocketSlots) -> bool {
    matches!(
        socket.origin,
        SlotOrigin::Process(_) | SlotOrigin::Systemd(..)
    )
}

/// The map of the slots of a generation.
pub(crate) fn slots_map(state: &State, generation: u32) -> Result<OwnedFd, Error> {
    state.open_map(generation, "sockets", MapKind::SockMap)
}

/// Copies registered sockets to the slots of the same name, protocol and family.
fn copier(
    manifest: &Manifest,
    before: &Record,
    state: &State,
    sockets: &OwnedFd,
) -> Result<Option<SlotPrograms>, Error> {
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
    SlotPrograms::copier(copied.into_iter(), from.as_fd(), sockets.as_fd())
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
