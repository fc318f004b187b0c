//! Since when sockets are in their slots.
//!
//! Beside the map `sockets` of a generation stands an array of [`Entry`]: the cookie of who came into a slot, and when. Programs write it
//! that fill slots as services listen ([`super::listen`]) and as packets come ([`super::refill`]), and commands do around what they put in.
//! A socket takes its time along when a new policy takes it over.
//!
//! Two do not write at once what a reader takes for one. So a program voids the time, puts the socket in, writes the cookie and
//! then the time: an entry with a time is of who was there before it was voided, or of who is there now. And a reader takes it only if the
//! cookie is that of who is in the slot, before and after it has read. Where packets come no program can tell cookies: it leaves 0,
//! which is for whoever is in the slot, and whoever puts another one in voids it first, or makes it that one's.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sockc_compiler::artifact::{Manifest, Slot};
use sockc_compiler::bpf::asm;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{JumpOp, Register, Width};

use super::fill::slots_map;
use super::lookup::{Fill, SlotState};
use crate::code::{Code, Label};
use crate::error::{Error, at};
use crate::state::pin::SINCE;
use crate::state::record::Record;
use crate::state::{State, pinned_there};
use crate::sys::{bpffs, clock, map};

/// What is being done.
const NOTE: &str = "note since when sockets are in their slots";
/// Bytes of an entry.
const SIZE: u32 = 16;
/// Where an entry has the cookie and the time.
pub(super) const COOKIE: i16 = 0;
pub(super) const TIME: i16 = 8;
/// The number of the helper that gives nanoseconds since boot, sleep included; the compiler does not know it.
const KTIME_GET_BOOT_NS: i32 = 125;

/// Who came into a slot and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// The cookie; 0 is for whoever is there.
    cookie: u64,
    /// Nanoseconds since boot; 0 where that is not known.
    time: u64,
}

impl Entry {
    /// When the socket came that was in the slot before this was read, and after; `None` if that is not known.
    fn of(self, [before, after]: [Option<u64>; 2]) -> Option<Self> {
        let cookie = before.filter(|_| before == after)?;
        let its_own = self.cookie == 0 || self.cookie == cookie;
        (its_own && self.time != 0).then_some(Self { cookie, ..self })
    }
}

/// The maps of a generation that programs write when they fill a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maps<'a> {
    /// The slots.
    pub(crate) sockets: BorrowedFd<'a>,
    /// Since when sockets are in them.
    pub(crate) times: BorrowedFd<'a>,
}

/// The map of a generation and the one of its slots.
#[derive(Debug)]
pub(super) struct Since<'a> {
    sockets: BorrowedFd<'a>,
    times: OwnedFd,
}

/// Makes the map of a generation, if it has slots.
pub(crate) fn prepare(state: &State, generation: u32, manifest: &Manifest) -> Result<(), Error> {
    let slots = manifest.sockets.iter().flat_map(|socket| &socket.slots);
    let Some(last) = slots.map(|slot| slot.index).max() else {
        return Ok(());
    };
    let shape = map::Shape::array(SIZE, last + 1);
    let times = map::create(SINCE, shape).map_err(at(NOTE))?;
    bpffs::pin(times.as_fd(), &state.map(generation, SINCE)).map_err(at(NOTE))
}

/// The map of a generation; one that an older sockc put in force has none.
pub(crate) fn open(state: &State, generation: u32) -> Result<Option<OwnedFd>, Error> {
    pinned_there(&state.map(generation, SINCE))
}

impl<'a> Since<'a> {
    /// That of a generation with this map of slots.
    pub(super) fn look(
        state: &State,
        generation: u32,
        sockets: BorrowedFd<'a>,
    ) -> Result<Option<Self>, Error> {
        let times = open(state, generation)?;
        Ok(times.map(|times| Self { sockets, times }))
    }

    fn read(&self, slot: &Slot) -> io::Result<Option<Entry>> {
        let before = map::cookie_in(self.sockets, slot.index)?;
        let mut value = [0; SIZE as usize];
        map::lookup(self.times.as_fd(), &slot.index.to_ne_bytes(), &mut value)?;
        let after = map::cookie_in(self.sockets, slot.index)?;
        let [cookie, time] = [0, 8].map(|from| {
            let number = value.get(from..).and_then(<[u8]>::first_chunk);
            number.map_or(0, |number| u64::from_ne_bytes(*number))
        });
        Ok(Entry { cookie, time }.of([before, after]))
    }

    fn write(&self, slot: &Slot, entry: Entry) -> io::Result<()> {
        let value = [entry.cookie, entry.time].map(u64::to_ne_bytes).concat();
        map::update(self.times.as_fd(), &slot.index.to_ne_bytes(), &value)
    }

    /// Before others are put into these slots: what is known is of who is there, and of nobody else.
    pub(super) fn settle<'b>(&self, slots: impl Iterator<Item = &'b Slot>) -> Result<(), Error> {
        for slot in slots {
            let known = self.read(slot).map_err(at(NOTE))?;
            self.write(slot, known.unwrap_or_default())
                .map_err(at(NOTE))?;
        }
        Ok(())
    }

    /// After that: who is there and has no time came now, or when `earlier` says.
    pub(super) fn note<'b>(
        &self,
        slots: impl Iterator<Item = (&'b str, &'b Slot)>,
        earlier: &Earlier,
    ) -> Result<(), Error> {
        for (name, slot) in slots {
            let inside = map::cookie_in(self.sockets, slot.index).map_err(at(NOTE))?;
            let Some(cookie) = inside else { continue };
            if self.read(slot).map_err(at(NOTE))?.is_none() {
                let before = earlier.0.get(&(name.to_owned(), cookie));
                let time = before.copied().unwrap_or_else(clock::since_boot);
                self.write(slot, Entry { cookie, time }).map_err(at(NOTE))?;
            }
        }
        Ok(())
    }

    /// Says of slots that hold a socket since when.
    pub(super) fn tell(&self, states: &mut [SlotState]) -> Result<(), Error> {
        for state in states
            .iter_mut()
            .filter(|state| state.state == Fill::Filled)
        {
            let known = self.read(&state.slot).map_err(at(NOTE))?;
            let who = state.who.as_ref().map(|who| who.cookie);
            let known = known.filter(|entry| who.is_none_or(|cookie| cookie == entry.cookie));
            state.since = known.map(|entry| entry.time);
        }
        Ok(())
    }
}

/// When sockets came into the slots of a generation before, by the name and the cookie.
#[derive(Debug, Default)]
pub(super) struct Earlier(BTreeMap<(String, u64), u64>);

impl Earlier {
    /// As they are in the slots now.
    pub(super) fn look(state: &State, before: &Record) -> Result<Self, Error> {
        let mut earlier = Self::default();
        if before.manifest.sockets.is_empty() || open(state, before.generation)?.is_none() {
            return Ok(earlier);
        }
        let sockets = slots_map(state, before.generation)?;
        let Some(since) = Since::look(state, before.generation, sockets.as_fd())? else {
            return Ok(earlier);
        };
        for socket in &before.manifest.sockets {
            for slot in &socket.slots {
                if let Some(entry) = since.read(slot).map_err(at(NOTE))? {
                    let key = (socket.name.clone(), entry.cookie);
                    earlier.0.insert(key, entry.time);
                }
            }
        }
        Ok(earlier)
    }
}

/// The time in seconds since 1970 that was so many nanoseconds after boot, as the clock of the day stands now.
#[must_use]
pub fn wall_time(time: u64) -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let ago = clock::since_boot().checked_sub(time)?;
    let then = now.checked_sub(Duration::from_nanos(ago))?;
    Some(then.as_secs())
}

/// R9 becomes the entry of the slot whose index is where R2 points; R1 becomes its time, which is void from now on.
pub(super) fn void(code: &mut Code, times: BorrowedFd<'_>, none: Label) {
    code.map(Register::R1, times);
    code.add([asm::call(Helper::MapLookupElem)]);
    code.jump_if(JumpOp::Eq, Register::R0, 0, none);
    code.add([
        asm::mov64_reg(Register::R9, Register::R0),
        asm::load(Width::DW, Register::R1, Register::R9, TIME),
        asm::store_imm(Width::DW, Register::R9, TIME, 0),
    ]);
}

/// The socket is in the slot of the entry in R9 since now; its cookie stands there.
pub(super) fn now(code: &mut Code) {
    code.call_number(KTIME_GET_BOOT_NS);
    code.add([asm::store_reg(Width::DW, Register::R9, TIME, Register::R0)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_taken_for_that_of_who_is_there_and_of_nobody_else() {
        let of = |cookie, time, inside| Entry { cookie, time }.of(inside).map(|one| one.time);
        let there = [Some(7), Some(7)];
        assert_eq!(of(7, 1, there), Some(1));
        // One that a packet has put there.
        assert_eq!(of(0, 1, there), Some(1));
        assert_eq!(of(8, 1, there), None);
        assert_eq!(of(7, 0, there), None);
        for inside in [
            [None, None],
            [Some(7), None],
            [None, Some(7)],
            [Some(7), Some(8)],
        ] {
            assert_eq!(of(0, 1, inside), None, "{inside:?}");
        }
    }
}
