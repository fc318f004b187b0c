//! How the slots of named sockets stand, as the machine says: what is in each, and who else is bound where it should come from.
//!
//! Takes a manifest and the map of its slots; asks the kernel for the sockets of the namespace and `/proc` for the processes
//! that have them. It fills nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};

use sockc_compiler::artifact::{Manifest, Slot, SlotOrigin, SocketSlots};
use sockc_compiler::protocol::IpProtocol;

use super::listen;
use super::lookup::{Fill, SlotPrograms, SlotState};
use super::of_process;
use super::open::{Machine, WHOSE, belongs};
use super::owners::Owners;
use super::places::by_address;
use super::since::Since;
use crate::attach;
use crate::attach::foreign::{self, Foreign};
use crate::code::owner::Belongs;
use crate::error::{Error, at, is_machine};
use crate::hook::Point;
use crate::session::Session;
use crate::state::pin::{LISTEN, TURNED_AWAY};
use crate::state::record::Record;
use crate::sys::diag::{self, Open};
use crate::sys::{bpffs, map, process};

/// How every slot stands.
pub(crate) fn states(
    session: &Session,
    manifest: &Manifest,
    sockets: BorrowedFd<'_>,
) -> Result<Vec<SlotState>, Error> {
    let mut states = SlotPrograms::inspector(manifest, sockets)
        .and_then(|inspector| inspector.run())
        .map_err(at("look into the socket slots"))?;
    let named = manifest.sockets.iter();
    let named: BTreeMap<&str, &SocketSlots> =
        named.map(|socket| (socket.name.as_str(), socket)).collect();
    for state in &mut states {
        let socket = named.get(state.socket.as_str());
        state.member = socket.and_then(|socket| socket.member(&state.slot));
    }
    let cookies: Vec<Option<u64>> = states
        .iter()
        .map(|state| map::cookie_in(sockets, state.slot.index).ok().flatten())
        .collect();
    let machine = match Machine::look(|open| is_wanted(open, manifest, &cookies)) {
        Ok(machine) => machine,
        Err(cause) if is_machine(&cause) => return Err(at("look at who listens")(cause)),
        // Who else is there is not known; what is in the slots is.
        Err(cause) => {
            let errno = cause.raw_os_error().unwrap_or(libc::EINVAL);
            for state in &mut states {
                if state.state == Fill::Absent && state.slot.port != 0 {
                    state.state = Fill::Unknown(errno);
                }
            }
            return Ok(states);
        }
    };
    let owners = Owners::known(manifest);
    let mut look = Look {
        session,
        machine: &machine,
        owners: &owners,
        held: cookies.iter().flatten().copied().collect(),
        told: BTreeSet::new(),
    };
    let filled: Vec<SlotState> = states
        .iter()
        .filter(|state| is_filled(state))
        .cloned()
        .collect();
    for (state, cookie) in states.iter_mut().zip(cookies) {
        if is_closed(state, cookie)? {
            state.state = Fill::Absent;
        }
        if state.state == Fill::Absent {
            if let Some(socket) = named.get(state.socket.as_str()) {
                look.at_absent(state, socket)?;
            }
            if state.state == Fill::Absent && filled.iter().any(|other| is_beside(other, state)) {
                state.state = Fill::Free;
            }
        } else {
            let open = cookie.and_then(|cookie| machine.by_cookie(cookie));
            state.who = open.map(|open| machine.who(open));
        }
    }
    Ok(states)
}

/// The same, with since when sockets are in them, and who found no place since the policy is in force.
pub(crate) fn states_in_force(
    session: &Session,
    record: &Record,
    sockets: BorrowedFd<'_>,
) -> Result<Vec<SlotState>, Error> {
    let mut states = states(session, &record.manifest, sockets)?;
    if let Some(since) = Since::look(&session.state, record.generation, sockets)? {
        since.tell(&mut states)?;
    }
    let open = |name| bpffs::open(&session.state.map(record.generation, name));
    // There are none where nobody tells as services begin to listen, or no address has several places.
    let (Ok(addresses), Ok(turned_away)) = (open(LISTEN), open(TURNED_AWAY)) else {
        return Ok(states);
    };
    for socket in &record.manifest.sockets {
        for slots in by_address(socket) {
            let several = |first: &&&Slot| slots.len() > 1 && first.protocol == IpProtocol::TCP;
            let first = slots.first().filter(several);
            let state = first.and_then(|first| {
                let mut own = states.iter_mut();
                own.find(|state| state.slot.index == first.index)
            });
            if let Some(state) = state {
                let maps = [addresses.as_fd(), turned_away.as_fd()];
                let count = listen::turned_away(maps, &state.slot);
                state.turned_away = count.map_err(at("look who found no place"))?;
            }
        }
    }
    Ok(states)
}

/// Whether what is in a slot is a UDP socket that nobody has any more ([`lookup::check_state`]): the next one takes its place.
fn is_closed(state: &SlotState, cookie: Option<u64>) -> Result<bool, Error> {
    let idle = state.state == Fill::NotListening && state.slot.protocol == IpProtocol::UDP;
    match cookie.filter(|_| idle) {
        Some(cookie) => {
            let there = diag::with_cookie(cookie).map_err(at("look at who listens"))?;
            Ok(there.is_none())
        }
        None => Ok(false),
    }
}

/// How the slots of a policy would stand that is put in force now: who is there for them to take ([`Fill::Waiting`]), or why
/// nobody is. What was handed over is in no slot of it.
pub(crate) fn expected(session: &Session, manifest: &Manifest) -> Result<Vec<SlotState>, Error> {
    let machine =
        Machine::look(|open| is_wanted(open, manifest, &[])).map_err(at("look for sockets"))?;
    let owners = Owners::known(manifest);
    let mut look = Look {
        session,
        machine: &machine,
        owners: &owners,
        held: BTreeSet::new(),
        told: BTreeSet::new(),
    };
    let mut states = Vec::new();
    for socket in &manifest.sockets {
        for slot in &socket.slots {
            let mut state = SlotState::new(&socket.name, slot, Fill::Absent);
            state.member = socket.member(slot);
            look.at_absent(&mut state, socket)?;
            states.push(state);
        }
    }
    Ok(states)
}

/// Whether what is in a slot is of another than the owner whom a policy declares for its socket.
pub(crate) fn disowned(state: &SlotState, manifest: &Manifest) -> Result<bool, Error> {
    let owners = Owners::known(manifest);
    let Some(owner) = owners.belongs(&state.socket) else {
        return Ok(false);
    };
    let machine = Machine::look(|_| false).map_err(at(WHOSE))?;
    let cookie = state.who.as_ref().map(|who| who.cookie);
    let theirs = machine.is_of(cookie, owner).map_err(at(WHOSE))?;
    Ok(!theirs)
}

fn is_wanted(open: &Open, manifest: &Manifest, cookies: &[Option<u64>]) -> bool {
    let mut slots = manifest.sockets.iter().flat_map(|socket| &socket.slots);
    cookies.contains(&Some(open.cookie))
        || slots.any(|slot| slot.protocol == open.protocol && slot.port == open.local.port())
        || manifest
            .sockets
            .iter()
            .any(|socket| matches!(socket.origin, SlotOrigin::Systemd(..)))
}

fn is_filled(state: &SlotState) -> bool {
    state.state == Fill::Filled
}

/// Whether two slots are for members of one name.
fn is_beside(one: &SlotState, other: &SlotState) -> bool {
    one.socket == other.socket && one.slot.is_of_kind(&other.slot)
}

/// What is needed to say why a slot is empty.
struct Look<'a> {
    session: &'a Session,
    machine: &'a Machine,
    owners: &'a Owners,
    /// The sockets that stand in some slot.
    held: BTreeSet<u64>,
    /// Those that wait at an address with several slots, and were told of one of them.
    told: BTreeSet<u64>,
}

impl Look<'_> {
    fn at_absent(&mut self, state: &mut SlotState, socket: &SocketSlots) -> Result<(), Error> {
        match &socket.origin {
            SlotOrigin::Registered => return Ok(()),
            SlotOrigin::Listen => self.at_address(state, socket)?,
            SlotOrigin::Process(_) | SlotOrigin::Systemd(..) => self.at_process(state, socket)?,
        }
        // Nobody waits for two places.
        let who = state.who.as_ref().filter(|_| socket.members > 1);
        self.told.extend(who.map(|who| who.cookie));
        Ok(())
    }

    /// The sockets at an address that may be those for a slot: of a name with members those that are in no slot, and that no other
    /// slot waits for.
    fn at(&self, slot: &Slot, socket: &SocketSlots) -> Vec<&Open> {
        let taken = |open: &&Open| {
            socket.members > 1
                && (self.held.contains(&open.cookie) || self.told.contains(&open.cookie))
        };
        self.machine.at(slot).filter(|open| !taken(open)).collect()
    }

    fn at_address(&self, state: &mut SlotState, socket: &SocketSlots) -> Result<(), Error> {
        let there = self.at(&state.slot, socket);
        let plain = || there.iter().filter(|open| !open.mptcp);
        let owner = self.owners.belongs(&socket.name);
        let mut strange = BTreeSet::new();
        for open in &there {
            if !self.is_theirs(open, owner)? {
                strange.insert(open.cookie);
            }
        }
        let own = plain().find(|open| !strange.contains(&open.cookie));
        let shared = !strange.is_empty();
        let (found, open) = match (own, plain().next(), there.first()) {
            (Some(own), ..) => (self.waiting(state, own, shared)?, own),
            (None, Some(other), _) => (Fill::NotOwner, other),
            (None, None, Some(mptcp)) => (Fill::Mptcp, mptcp),
            (None, None, None) => {
                let nobody = self.machine.at(&state.slot).next().is_none();
                if nobody && self.machine.has_wildcard(&state.slot) {
                    state.state = Fill::WildcardOnly;
                }
                return Ok(());
            }
        };
        state.state = found;
        state.who = Some(self.machine.who(open));
        if found == Fill::Hidden {
            state.foreign = self.foreign()?;
        }
        Ok(())
    }

    /// Whether a socket is of the owner, if there is to be one.
    fn is_theirs(&self, open: &Open, owner: Option<&Belongs>) -> Result<bool, Error> {
        owner.map_or(Ok(true), |owner| belongs(open, owner).map_err(at(WHOSE)))
    }

    /// Whether the kernel's lookup finds the socket, which is there. Where somebody else is there too, the kernel is asked
    /// whose the one is that it finds, if programs can ask: else none fills the slot anyway.
    fn waiting(&self, state: &SlotState, there: &Open, shared: bool) -> Result<Fill, Error> {
        let asking = Some(self.owners).filter(|owners| shared && owners.can_ask());
        let found = SlotPrograms::prober(&state.socket, &state.slot, asking)
            .and_then(|prober| prober.run())
            .map_err(at("look for a socket"))?;
        Ok(match found.first().map(|found| found.state) {
            Some(Fill::Filled) => Fill::Waiting,
            Some(Fill::NotOwner) => Fill::Shadowed,
            _ if there.interface != 0 => Fill::OfInterface,
            _ => Fill::Hidden,
        })
    }

    /// The lookup programs of others.
    fn foreign(&self) -> Result<Vec<Foreign>, Error> {
        let state = &self.session.state;
        let mut ours = Vec::new();
        let own = state.hooks()?.into_iter();
        for hook in own.filter(|hook| hook.point == Point::Lookup) {
            ours.extend(attach::describe(state, &hook)?.map(|link| link.program));
        }
        foreign::lookups(self.session.namespace.as_fd(), &ours)
    }

    fn at_process(&self, state: &mut SlotState, socket: &SocketSlots) -> Result<(), Error> {
        let named = of_process::named(socket);
        let (process, addresses) = match &named {
            Ok((process, addresses)) => (Some(*process), addresses.as_slice()),
            Err(_) => (None, &[][..]),
        };
        let address = addresses
            .iter()
            .find(|(index, ..)| *index == state.slot.index);
        let slot = Slot {
            address: address.map_or(state.slot.address, |(.., at)| at.ip()),
            port: address.map_or(state.slot.port, |(.., at)| at.port()),
            ..state.slot.clone()
        };
        let has = process.map(|process| process::sockets(process).unwrap_or_default());
        let holds = |open: &&Open| has.iter().flatten().any(|(_, inode)| *inode == open.inode);
        let owner = self.owners.belongs(&socket.name);
        let there = self.at(&slot, socket);
        let theirs = there.iter().copied().find(holds);
        let (found, open) = match (theirs, there.first().copied()) {
            (Some(open), _) if !self.is_theirs(open, owner)? => (Fill::NotOwner, open),
            (Some(open), _) => (Fill::Waiting, open),
            (None, Some(open)) => (Fill::OtherProcess, open),
            (None, None) => return Ok(()),
        };
        state.state = found;
        state.who = Some(self.machine.who(open));
        Ok(())
    }
}
