//! What an apply does to the slots of named sockets that both policies have.
//!
//! A new generation begins with empty slots, and each is filled in the way that the policy says. So a socket that serves now
//! is put out where the policy means another: its process is not the one that the pid file names, or not of the owner.

use std::os::fd::AsFd;

use sockc_compiler::artifact::{Manifest, MapKind, Slot, SlotOrigin};

use super::{Carried, DataForecast, by_name};
use crate::error::Error;
use crate::session::Session;
use crate::sockets::lookup::{Fill, SlotState};
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
    for next in inspect::expected(session, manifest)? {
        let Some(now) = now.iter().find(|now| is_same(now, &next)) else {
            continue;
        };
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
        (Fill::Filled, Fill::Waiting | Fill::Shadowed | Fill::Hidden) => return None,
        (Fill::Filled, _) => Carried::Emptied,
        (_, Fill::Waiting | Fill::Shadowed | Fill::Hidden) => Carried::Filled,
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
