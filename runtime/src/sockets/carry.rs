//! Which sockets of the generation before go on in the slots of a new one, and where.
//!
//! Takes two manifests and the slots of the older one; gives programs that copy. Those that were handed over go on, since nobody
//! would hand them over again, and so do those of a group at one address, so that flows stay where they are. A socket keeps its
//! place; where there are fewer members now, those beyond take places that were free. Not here: whose they have to be
//! (`runtime/src/sockets/fill.rs`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sockc_compiler::artifact::{Manifest, Slot, SlotOrigin, SocketSlots};

use super::fill::slots_map;
use super::lookup::SlotPrograms;
use super::places::{Places, by_address, by_kind};
use super::registered::SlotKind;
use crate::error::{Error, at};
use crate::state::State;
use crate::state::record::Record;

/// What goes where.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// The slots of the generation before.
    from: Option<OwnedFd>,
    /// The name, the new slot, and the index of the old one.
    copied: Vec<(&'a str, &'a Slot, u32)>,
    /// What is said of those that find no place.
    pub(super) left_out: Vec<String>,
}

/// Whether sockets of a name go on in a new generation. The others are looked for again.
pub(super) fn is_carried(socket: &SocketSlots) -> bool {
    match socket.origin {
        SlotOrigin::Registered => true,
        SlotOrigin::Listen => socket.slots.iter().any(|slot| socket.shares_address(slot)),
        SlotOrigin::Process(_) | SlotOrigin::Systemd(..) => false,
    }
}

/// What of the generation before goes where in one with this manifest.
pub(super) fn plan<'a>(
    manifest: &'a Manifest,
    before: &Record,
    state: &State,
) -> Result<Plan<'a>, Error> {
    let mut plan = Plan::default();
    let carried = manifest.sockets.iter().filter(|socket| is_carried(socket));
    for socket in carried {
        let mut old = before.manifest.sockets.iter();
        let old = old.find(|old| old.name == socket.name && old.origin == socket.origin);
        let Some(old) = old else { continue };
        let from = match plan.from.take() {
            Some(from) => from,
            None => slots_map(state, before.generation)?,
        };
        plan.socket(socket, old, from.as_fd())?;
        plan.from = Some(from);
    }
    Ok(plan)
}

impl<'a> Plan<'a> {
    /// The programs that copy into these slots; `None` if there is nothing to copy.
    pub(super) fn programs(&self, sockets: BorrowedFd<'_>) -> Result<Option<SlotPrograms>, Error> {
        let Some(from) = self.from.as_ref().filter(|_| !self.copied.is_empty()) else {
            return Ok(None);
        };
        SlotPrograms::copier(self.copied.iter().copied(), from.as_fd(), sockets)
            .map(Some)
            .map_err(at("load the programs that carry sockets over"))
    }

    fn socket(
        &mut self,
        new: &'a SocketSlots,
        old: &SocketSlots,
        from: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let (groups, before) = match new.origin {
            SlotOrigin::Registered => (by_kind(new), by_kind(old)),
            _ => (by_address(new), by_address(old)),
        };
        for slots in groups {
            let same = |old: &&Vec<&Slot>| match (slots.first(), old.first()) {
                (Some(new), Some(old)) if new.port == 0 => new.is_of_kind(old),
                (Some(new), Some(old)) => new.is_for_address(old),
                _ => false,
            };
            if let Some(old) = before.iter().find(same) {
                self.slots(new, &slots, old, from)?;
            }
        }
        Ok(())
    }

    /// Each to its own place, those beyond the last one to places that nobody of them has.
    fn slots(
        &mut self,
        socket: &'a SocketSlots,
        new: &[&'a Slot],
        old: &[&Slot],
        from: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let own = new.iter().zip(old);
        self.copied
            .extend(own.map(|(new, old)| (socket.name.as_str(), *new, old.index)));
        let beyond = old.get(new.len()..).unwrap_or_default();
        if beyond.is_empty() {
            return Ok(());
        }
        let before = Places::look(old.iter().copied(), from);
        let before = before.map_err(at("look into the socket slots"))?;
        let mut free = new.iter().zip(old).filter(|(_, old)| !before.is_taken(old));
        let mut left_out = 0;
        for slot in beyond.iter().filter(|slot| before.is_taken(slot)) {
            match free.next() {
                Some((new, _)) => self.copied.push((&socket.name, new, slot.index)),
                None => left_out += 1,
            }
        }
        if let Some(first) = new.first().filter(|_| left_out > 0) {
            self.left_out.push(format!(
                "{left_out} of the {} sockets behind \"{}\" get nothing any more: it holds {} of these now",
                SlotKind::of(first).name(),
                socket.name,
                new.len()
            ));
        }
        Ok(())
    }
}
