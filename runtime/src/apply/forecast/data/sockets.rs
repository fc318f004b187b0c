//! What an apply does to the slots of named sockets that both policies have.
//!
//! A new generation begins with empty slots, and each is filled in the way that the policy says. So a socket that serves now
//! is put out where the policy means another: its process is not the one that the pid file names, or not of the owner.

use std::os::fd::AsFd;

use sockc_compiler::artifact::{Manifest, MapKind, Slot, SlotOrigin, SocketSlots};

use super::{Carried, DataForecast, by_name};
use crate::error::Error;
use crate::session::Session;
use crate::sockets::lookup::{Fill, SlotState};
use crate::sockets::places::by_kind;
use crate::sockets::{ends, inspect};
use crate::state::pinned_map;
use crate::state::record::Record;

/// The slots that hold nobody under the policy in force and that the next one finds a socket for, and those that hold one that
/// the next one does not take; and the sockets that are handed over of which the policy in force has none.
pub(super) fn forecast(
    manifest: &Manifest,
    session: &Session,
    before: Option<&Record>,
) -> Result<(Vec<DataForecast>, Vec<String>), Error> {
    let Some(before) = before else {
        return Ok((Vec::new(), Vec::new()));
    };
    let path = session.state.map(before.generation, "sockets");
    let Ok(sockets) = pinned_map(&path, MapKind::SockMap) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let now = inspect::states(session, &before.manifest, sockets.as_fd())?;
    let mut found = Vec::new();
    let expected = inspect::expected(session, manifest)?;
    for socket in &manifest.sockets {
        found.extend(members(socket, &now, &expected, manifest)?);
    }
    for next in expected {
        let Some(now) = now.iter().find(|now| is_same(now, &next)) else {
            continue;
        };
        // Members were looked at all at once.
        if now.member.is_some() || next.member.is_some() {
            continue;
        }
        let handed = is_registered(manifest, &next.socket);
        found.extend(if handed {
            put_out(now, manifest)?
        } else {
            becomes(now, next)
        });
    }
    let holds = |name: &str| {
        now.iter()
            .any(|one| one.socket == name && one.state == Fill::Filled)
    };
    let old = before.manifest.sockets.iter().map(|socket| &socket.name);
    let absent = old.filter(|name| is_registered(&before.manifest, name) && !holds(name));
    Ok((found, absent.cloned().collect()))
}

/// What becomes of the sockets whose queues take data.
pub(super) fn ends(
    manifest: &Manifest,
    session: &Session,
    before: Option<&Record>,
) -> Result<Vec<DataForecast>, Error> {
    let names = |manifest: &Manifest| -> Vec<String> {
        let ends = manifest.ends.iter();
        ends.map(|end| end.name.clone()).collect()
    };
    let (old, carried) = match before {
        Some(before) => {
            let carried = ends::carriable(before, manifest, &session.state)?;
            (names(&before.manifest), carried)
        }
        None => (Vec::new(), Vec::new()),
    };
    let put_out = |name: &String| {
        let mut carried = carried.iter();
        carried.any(|one| one.name == *name && one.there && !one.stays)
    };
    let new = names(manifest).into_iter().map(|name| {
        let known = carried.iter().find(|one| one.name == name);
        let absent = known.is_some_and(|one| !one.there).then_some(0);
        (name, absent)
    });
    let mut found = by_name("connected socket", &old, new.collect());
    for one in found.iter_mut().filter(|one| put_out(&one.name)) {
        one.fate = Carried::Emptied;
    }
    Ok(found)
}

/// What becomes of the members of a name. Those that are there stay, as long as the policy means them and there are places; who
/// waits takes the places that are left.
fn members(
    socket: &SocketSlots,
    now: &[SlotState],
    expected: &[SlotState],
    manifest: &Manifest,
) -> Result<Vec<DataForecast>, Error> {
    let own = now.iter().filter(|now| now.socket == socket.name);
    let own: Vec<&SlotState> = own.collect();
    if socket.members == 1 && own.iter().all(|now| now.member.is_none()) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for slots in by_kind(socket) {
        let is_here = |state: &SlotState| {
            let mut slots = slots.iter();
            state.socket == socket.name && slots.any(|slot| slot.is_of_kind(&state.slot))
        };
        let waiting = expected.iter().filter(|next| is_here(next) && waits(next));
        let waiting: Vec<&SlotState> = waiting.collect();
        let held = own.iter().copied().filter(|now| is_here(now));
        let mut stay = Vec::new();
        for one in held.filter(|now| now.state == Fill::Filled) {
            let goes = match &socket.origin {
                SlotOrigin::Registered => put_out(one, manifest)?,
                SlotOrigin::Listen if slots.iter().any(|slot| slot.is_for_address(&one.slot)) => {
                    None
                }
                _ if waiting.iter().any(|next| cookie(next) == cookie(one)) => None,
                _ => Some(leaves(one)),
            };
            match goes {
                Some(goes) => found.push(goes),
                None => stay.push(one),
            }
        }
        let beyond = stay.get(slots.len()..).unwrap_or_default();
        found.extend(beyond.iter().map(|one| leaves(one)));
        let new = waiting.into_iter().filter(|next| {
            let mut stay = stay.iter();
            !stay.any(|one| cookie(one) == cookie(next))
        });
        let room = slots.len().saturating_sub(stay.len());
        found.extend(
            new.take(room)
                .map(|next| told(Carried::Filled, next.clone())),
        );
    }
    Ok(found)
}

/// Whether somebody is there whom an apply takes.
fn waits(state: &SlotState) -> bool {
    matches!(state.state, Fill::Waiting | Fill::Shadowed | Fill::Hidden)
}

fn cookie(state: &SlotState) -> Option<u64> {
    state.who.as_ref().map(|who| who.cookie)
}

/// A socket that has no place any more.
fn leaves(state: &SlotState) -> DataForecast {
    let state = SlotState {
        state: Fill::Free,
        ..state.clone()
    };
    told(Carried::Emptied, state)
}

/// Whether both are the slot of one socket, for the same address.
fn is_same(one: &SlotState, other: &SlotState) -> bool {
    let key = |slot: &Slot| (slot.protocol, slot.address, slot.port);
    one.socket == other.socket && key(&one.slot) == key(&other.slot)
}

fn is_registered(manifest: &Manifest, name: &str) -> bool {
    let mut sockets = manifest.sockets.iter();
    sockets.any(|socket| socket.name == name && socket.origin == SlotOrigin::Registered)
}

fn becomes(now: &SlotState, next: SlotState) -> Option<DataForecast> {
    let fate = match (now.state, next.state) {
        // Who is there could not be found out, or it is taken again.
        (_, Fill::Unknown(_)) => return None,
        (Fill::Filled, _) if waits(&next) => return None,
        (Fill::Filled, _) => Carried::Emptied,
        _ if waits(&next) => Carried::Filled,
        _ => return None,
    };
    Some(told(fate, next))
}

/// A socket that was handed over goes with the slot, unless the policy now says whose it has to be.
fn put_out(now: &SlotState, manifest: &Manifest) -> Result<Option<DataForecast>, Error> {
    let goes = now.state == Fill::Filled && inspect::disowned(now, manifest)?;
    Ok(goes.then(|| {
        let state = SlotState {
            state: Fill::NotOwner,
            ..now.clone()
        };
        told(Carried::Emptied, state)
    }))
}

fn told(fate: Carried, state: SlotState) -> DataForecast {
    DataForecast {
        kind: "socket",
        name: state.socket.clone(),
        fate,
        elements: None,
        slot: Some(state),
    }
}
