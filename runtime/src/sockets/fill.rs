//! Fills the slots of a new generation, each in the way of its named socket: by address, from the generation before, or from
//! the process that holds it. A socket of anybody but the declared owner is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use sockc_compiler::artifact::{Manifest, MapKind, Slot, SlotOrigin, SocketSlots};

use super::carry;
use super::inspect;
use super::lookup::{Fill, SlotPrograms, SlotState};
use super::of_process;
use super::open::{Machine, WHOSE, belongs};
use super::owners::Owners;
use super::places::{Places, by_address};
use super::since::{Earlier, Since};
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
    generation: u32,
    before: Option<Record>,
    sockets: OwnedFd,
    listen: SlotPrograms,
    carried: Option<SlotPrograms>,
    /// What is said of sockets that find no place any more.
    left_out: Vec<String>,
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
        let carried = match before {
            Some(before) => carry::plan(manifest, before, state)?,
            None => carry::Plan::default(),
        };
        Ok(Some(Self {
            manifest,
            session,
            owners,
            generation,
            before: before.cloned(),
            listen,
            carried: carried.programs(sockets.as_fd())?,
            left_out: carried.left_out,
            sockets,
        }))
    }

    /// Fills what can be filled; gives how each slot stands, by index, and what a person should know.
    pub(crate) fn run(&self) -> Result<(Vec<SlotState>, Vec<String>), Error> {
        let what = "fill the socket slots";
        let since = Since::look(&self.session.state, self.generation, self.sockets.as_fd())?;
        if let Some(since) = &since {
            since.settle(self.slots().map(|(_, slot)| slot))?;
        }
        let mut found = self.listen.run().map_err(at(what))?;
        if let Some(carried) = &self.carried {
            found.extend(carried.run().map_err(at(what))?);
            self.put_others_out()?;
        }
        let mut notes = self.left_out.clone();
        found.extend(self.take_from_holders(&found, &mut notes)?);
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
        if let Some(since) = &since {
            let state = &self.session.state;
            let earlier = self.before.as_ref();
            let earlier = earlier.map(|before| Earlier::look(state, before));
            since.note(self.slots(), &earlier.transpose()?.unwrap_or_default())?;
            since.tell(&mut states)?;
        }
        notes.extend(missed.iter().filter_map(|missed| missed.note(&states)));
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

    /// All slots, with the names of their sockets.
    fn slots(&self) -> impl Iterator<Item = (&'a str, &'a Slot)> {
        let named = self.manifest.sockets.iter();
        named.flat_map(|socket| socket.slots.iter().map(|slot| (socket.name.as_str(), slot)))
    }

    /// Sockets that were carried over from the policy before, and that are not of the owner whom this one declares.
    fn put_others_out(&self) -> Result<(), Error> {
        let carried = self.manifest.sockets.iter();
        let owned = carried
            .filter(|socket| carry::is_carried(socket))
            .filter_map(|socket| Some((socket, self.owners.belongs(&socket.name)?)));
        for (socket, owner) in owned {
            let machine = Machine::look(|_| false).map_err(at(WHOSE))?;
            for slot in &socket.slots {
                let cookie = map::cookie_in(self.sockets.as_fd(), slot.index);
                let cookie = cookie.map_err(at("look into the socket slots"))?;
                if cookie.is_none() || machine.is_of(cookie, owner).map_err(at(WHOSE))? {
                    continue;
                }
                let emptied = map::empty_slot(self.sockets.as_fd(), slot.index);
                emptied.map_err(at("empty a socket slot"))?;
            }
        }
        Ok(())
    }

    /// Takes sockets from the processes that hold them: those that have an owner, those of a group at one address, and those that the
    /// kernel's lookup, as `found` says, does not find. There a lookup program of somebody else may decide.
    fn take_from_holders(
        &self,
        found: &[SlotState],
        notes: &mut Vec<String>,
    ) -> Result<Vec<SlotState>, Error> {
        let sought = self.sought(found);
        if sought.is_empty() {
            return Ok(Vec::new());
        }
        let ports: BTreeSet<u16> = sought.iter().map(|sought| sought.first.port).collect();
        let machine =
            Machine::look(|open| ports.contains(&open.local.port())).map_err(at(WHOSE))?;
        let mut taken = Vec::new();
        for sought in sought {
            let there = sought.there(&machine).map_err(at(WHOSE))?;
            if !sought.others.is_empty() {
                taken.extend(self.take_members(&sought, there, notes)?);
                continue;
            }
            let fill = there
                .first()
                .map(|(_, holder)| self.take(sought.first, *holder));
            let state = fill.map(|fill| SlotState::new(&sought.socket.name, sought.first, fill));
            taken.extend(state);
        }
        Ok(taken)
    }

    /// The addresses whose sockets are looked for in processes.
    fn sought(&self, found: &[SlotState]) -> Vec<Sought<'a>> {
        let mut all = Vec::new();
        let listen = self.manifest.sockets.iter();
        for socket in listen.filter(|socket| socket.origin == SlotOrigin::Listen) {
            let owner = self.owners.belongs(&socket.name);
            for slots in by_address(socket) {
                let Some((first, others)) = slots.split_first() else {
                    continue;
                };
                if owner.is_some() || !others.is_empty() || is_unfound(found, first) {
                    all.push(Sought {
                        socket,
                        first,
                        others: others.to_vec(),
                        owner,
                    });
                }
            }
        }
        all
    }

    /// Puts the sockets of one address into the places that are free, each once.
    fn take_members(
        &self,
        sought: &Sought<'_>,
        mut there: Vec<Found>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<SlotState>, Error> {
        let slots = std::iter::once(sought.first).chain(sought.others.iter().copied());
        let places = Places::look(slots, self.sockets.as_fd());
        let mut places = places.map_err(at("look into the socket slots"))?;
        for slot in places.twice() {
            let emptied = map::empty_slot(self.sockets.as_fd(), slot.index);
            emptied.map_err(at("empty a socket slot"))?;
        }
        // In the order in which they were made, or nearly so.
        there.sort_unstable();
        let mut taken = Vec::new();
        let mut more = 0;
        for (cookie, holder) in there {
            if places.of(cookie).is_some() {
                continue;
            }
            match places.take(cookie) {
                Some(slot) => {
                    let fill = self.take(slot, holder);
                    taken.push(SlotState::new(&sought.socket.name, slot, fill));
                }
                None => more += 1,
            }
        }
        if more > 0 {
            notes.push(no_room(
                &sought.socket.name,
                sought.first,
                places.count(),
                more,
            ));
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

/// A socket, by its cookie, with a process that has it and the descriptor there.
type Found = (u64, (u32, i32));

/// An address whose sockets are looked for among those that processes hold.
struct Sought<'a> {
    socket: &'a SocketSlots,
    first: &'a Slot,
    /// The other slots for the same address.
    others: Vec<&'a Slot>,
    owner: Option<&'a Belongs>,
}

impl Sought<'_> {
    /// Those that are meant.
    fn there(&self, machine: &Machine) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for open in machine.at(self.first).filter(|open| !open.mptcp) {
            let is_meant = match self.owner {
                Some(owner) => belongs(open, owner)?,
                // What answers by one interface alone is taken for nobody who did not ask for it.
                None => open.interface == 0,
            };
            if is_meant && let Some(holder) = machine.holder(open) {
                found.push((open.cookie, holder));
            }
        }
        Ok(found)
    }
}

/// That more sockets are there than places.
fn no_room(socket: &str, slot: &Slot, places: usize, more: usize) -> String {
    let address = SocketAddr::new(slot.address, slot.port);
    let (sockets, get) = match more {
        1 => ("socket", "gets"),
        _ => ("sockets", "get"),
    };
    format!(
        "{more} more {sockets} at {address} {get} nothing: the socket \"{socket}\" has {places} places for them, all taken; a higher number behind `members` makes room"
    )
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
