//! What became of lookups that were given to named sockets: the numbers of each kind of a name, and how they come over from one
//! generation to the next.
//!
//! Programs of a generation count in its own per-CPU map ([`destination::MAP`]). Its map [`CARRIED`] holds what earlier generations
//! counted for the same names and kinds, and in one more row whether that has been filled in, as it is with the counters of
//! rules ([`super::totals`]).

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use sockc_compiler::artifact::{Manifest, Slot, SocketSlots};
use sockc_compiler::destination::{self, Ending};

use super::record::Record;
use super::{State, pinned_there};
use crate::error::{Error, at};
use crate::sys::{bpffs, map};

/// The map of the runtime that holds older numbers.
const CARRIED: &str = "steered_before";
/// What is being done.
const READ: &str = "read what named sockets were given";
const CARRY: &str = "carry over what named sockets were given";

/// How often what was given to a name ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endings([u64; Ending::ALL.len()]);

impl Endings {
    /// How often in one way.
    #[must_use]
    pub fn of(&self, ending: Ending) -> u64 {
        self.0.get(ending as usize).copied().unwrap_or_default()
    }

    /// How often in all.
    #[must_use]
    pub fn all(&self) -> u64 {
        let sum = |sum: u64, number: &u64| sum.wrapping_add(*number);
        self.0.iter().fold(0, sum)
    }

    fn read(row: &[u8]) -> Self {
        let mut endings = Self::default();
        for (number, word) in endings.0.iter_mut().zip(row.as_chunks().0) {
            *number = u64::from_ne_bytes(*word);
        }
        endings
    }

    fn write(self) -> Vec<u8> {
        self.0.into_iter().flat_map(u64::to_ne_bytes).collect()
    }

    fn add(&mut self, other: Self) {
        for (number, more) in self.0.iter_mut().zip(other.0) {
            *number = number.wrapping_add(more);
        }
    }
}

/// What a named socket was given, of one protocol and family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The name.
    pub socket: String,
    /// The first slot of the protocol and family.
    pub slot: Slot,
    /// What became of it, of all members together.
    pub endings: Endings,
}

/// Makes the map of older numbers of a generation, empty and marked so, if its programs count.
pub(crate) fn prepare(state: &State, generation: u32) -> Result<(), Error> {
    let Some(steered) = open(state, generation, destination::MAP)? else {
        return Ok(());
    };
    let entries = map::shape(steered.as_fd()).map_err(at(CARRY))?.entries + 1;
    let shape = map::Shape::array(Ending::ROW, entries);
    let carried = map::create(CARRIED, shape).map_err(at(CARRY))?;
    bpffs::pin(carried.as_fd(), &state.map(generation, CARRIED)).map_err(at(CARRY))
}

/// A map of a generation, if there is one: of a policy that counts nothing, or that an older sockc put in force, there is none, and one
/// that others removed is told by its pin.
fn open(state: &State, generation: u32, name: &str) -> Result<Option<OwnedFd>, Error> {
    pinned_there(&state.map(generation, name))
}

/// Brings the numbers of the newest of the stale generations over to the one of `record`, once.
pub(crate) fn take_over(state: &State, record: &Record, stale: &[u32]) -> Result<(), Error> {
    let before = stale.iter().rev().find(|other| **other < record.generation);
    let carried = open(state, record.generation, CARRIED)?;
    let (Some(before), Some(carried)) = (before, carried) else {
        return Ok(());
    };
    let last = map::shape(carried.as_fd()).map_err(at(CARRY))?.entries - 1;
    let mut mark = vec![0; Ending::ROW as usize];
    map::lookup(carried.as_fd(), &last.to_ne_bytes(), &mut mark).map_err(at(CARRY))?;
    if mark.first() == Some(&1) {
        return Ok(());
    }
    // A generation whose record is gone was not in force when it was left: nothing was counted there.
    let old = match Record::read_alone(&state.record(*before)) {
        Err(Error::State { .. }) => return Ok(()),
        old => old?,
    };
    let old = match destinations(state, &old) {
        // What somebody else removed has no numbers any more; `status` told so as long as it was in force.
        Err(Error::State { .. }) => Vec::new(),
        old => old?,
    };
    for (index, one) in rows(&record.manifest) {
        let same = |old: &&Destination| old.socket == one.socket && old.slot.is_of_kind(&one.slot);
        if let Some(old) = old.iter().find(same) {
            let row = old.endings.write();
            map::update(carried.as_fd(), &index.to_ne_bytes(), &row).map_err(at(CARRY))?;
        }
    }
    mark[0] = 1;
    map::update(carried.as_fd(), &last.to_ne_bytes(), &mark).map_err(at(CARRY))
}

/// The kinds of all names, with the index of their row, which is that of their first slot.
fn rows(manifest: &Manifest) -> impl Iterator<Item = (u32, Destination)> {
    manifest.sockets.iter().flat_map(|socket| {
        first_slots(socket).map(|slot| {
            let one = Destination {
                socket: socket.name.clone(),
                slot: slot.clone(),
                endings: Endings::default(),
            };
            (slot.index, one)
        })
    })
}

/// The first slot of each kind.
fn first_slots(socket: &SocketSlots) -> impl Iterator<Item = &Slot> {
    let slots = socket.slots.iter().enumerate();
    slots.filter_map(|(at, slot)| {
        let earlier = socket.slots.get(..at).unwrap_or_default();
        let first = !earlier.iter().any(|other| other.is_of_kind(slot));
        first.then_some(slot)
    })
}

/// What the named sockets of a generation were given, older numbers included; empty if its programs count nothing.
pub(crate) fn destinations(state: &State, record: &Record) -> Result<Vec<Destination>, Error> {
    let mut maps = Vec::new();
    for name in [destination::MAP, CARRIED] {
        maps.extend(open(state, record.generation, name)?);
    }
    if maps.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = BTreeMap::from_iter(rows(&record.manifest));
    for map in &maps {
        let shape = map::shape(map.as_fd()).map_err(at(READ))?;
        let mut value = vec![0; map::buffer_size(shape).map_err(at(READ))?];
        for (index, one) in &mut found {
            if map::lookup(map.as_fd(), &index.to_ne_bytes(), &mut value).map_err(at(READ))? {
                let rows = value.chunks(Ending::ROW as usize);
                rows.for_each(|row| one.endings.add(Endings::read(row)));
            }
        }
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_is_written() {
        let endings = Endings([1, 2, 3, 4, 5, 6]);
        assert_eq!(Endings::read(&endings.write()), endings);
        assert_eq!(endings.all(), 21);
        for (ending, number) in Ending::ALL.into_iter().zip(1..) {
            assert_eq!(endings.of(ending), number, "{ending:?}");
        }
        let mut sum = endings;
        sum.add(endings);
        assert_eq!(sum.all(), 42);
    }
}
