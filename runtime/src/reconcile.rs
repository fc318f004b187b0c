//! Makes the state folder and the kernel agree with the word that says which generation is in force.
//!
//! The same steps end an apply, undo one that failed, and mend after one that was killed: whatever is not of the generation in
//! force goes away. With nothing in force, everything does. What is in force is not asked here, but in [`crate::state::in_force`].

use std::os::fd::AsFd;
use std::path::Path;

use crate::attach::{self, asleep};
use crate::delivery;
use crate::error::{Error, at, unreadable};
use crate::groups;
use crate::hook::{NEXT, Point, READERS};
use crate::pairs;
use crate::state::pin;
use crate::state::record::Record;
use crate::state::{SIDES, SLOTS, State, names, side};
use crate::state::{steered, totals};
use crate::sys::map::{self, Shape};
use crate::sys::{bpffs, caps, grace};

/// Makes the folder hold what is of a record and nothing else.
pub(crate) fn reconcile_to(state: &State, record: &Record) -> Result<(), Error> {
    for hook in state.hooks()? {
        if !record.has(&hook) {
            attach::detach(state, &hook).map_err(at(format!("detach {}", hook.name())))?;
        }
    }
    let stale: Vec<u32> = generations_but(state, record.generation)?;
    if !stale.is_empty() {
        // A dispatcher that has read the word before the switch still calls the old program: in an empty slot it would find
        // none, and let everything go on. And what runs in the old programs counts into their maps. Where the kernel does
        // not let us wait, a packet that is being decided may be let go, or not be counted.
        let _ = match names(&state.slots_folder())? {
            points if points.iter().all(|point| Point::meets_packets(point)) => {
                grace::wait_for_packet_programs()
            }
            _ => caps::wait_for_running_programs(),
        };
    }
    empty_other_side(state, record)?;
    if !stale.is_empty() {
        totals::take_over(state, record, &stale)?;
        steered::take_over(state, record, &stale)?;
    }
    for generation in stale {
        remove(&state.generation(generation))?;
    }
    remove_other_groups(state, record)?;
    let_readers_go(state, record)?;
    remove_other_pairs(state, record)?;
    delivery::take_back(state, record.manifest.intercepts.as_ref())?;
    if record.owner.is_none() {
        // No dispatcher that is at work has read the word before: that was waited for.
        state.end_trial()?;
    }
    state
        .point_current(record.generation)
        .map_err(at("move the link \"current\""))
}

fn generations_but(state: &State, generation: u32) -> Result<Vec<u32>, Error> {
    let mut generations = state.generations()?;
    generations.retain(|other| *other != generation);
    Ok(generations)
}

/// Removes the slots of points without a program, and the programs of the other side: what lets everything go on takes their
/// place where the generation has such a program.
fn empty_other_side(state: &State, record: &Record) -> Result<(), Error> {
    let used: Vec<String> = record.points.iter().map(|point| point.name()).collect();
    for name in names(&state.slots_folder())? {
        let path = state.slots_folder().join(&name);
        if !used.contains(&name) {
            remove(&path)?;
        }
    }
    for point in &record.points {
        empty(state, record, *point)?;
    }
    Ok(())
}

fn empty(state: &State, record: &Record, point: Point) -> Result<(), Error> {
    let what = "empty a program slot";
    let path = state.slots(point);
    let kind = Shape::programs(SLOTS).kind;
    let slots = bpffs::open(&path).and_then(|pinned| map::of_kind(pinned, kind));
    let slots = slots.map_err(|cause| unreadable(&path, cause))?;
    let side = side(record.generation + 1);
    // An array of fewer slots is somebody else's, which is told where the ground is checked.
    for slot in [side, SIDES + side] {
        let look = || {
            let what = "see what is in a program slot";
            pin::slot(slots.as_fd(), slot).map_err(at(what))
        };
        // One answer that nothing is in it is not believed: what stays there would run after the next switch.
        let Some(program) = look()?.map_or_else(look, |there| Ok(Some(there)))? else {
            continue;
        };
        let sleeps = slot == side
            && (asleep::id(record, point) == Some(program)
                || asleep::lay(state, record.generation, point, (slots.as_fd(), slot)));
        if !sleeps {
            map::delete(slots.as_fd(), &slot.to_ne_bytes()).map_err(at(what))?;
        }
    }
    Ok(())
}

fn remove_other_groups(state: &State, record: &Record) -> Result<(), Error> {
    for name in names(&state.group_folder())? {
        let used = record.cgroups.iter().any(|id| id.to_string() == name);
        if !used {
            groups::release(&state.group_folder().join(name))?;
        }
    }
    Ok(())
}

/// The readers of groups whose data is not looked at any more: their dispatchers find no program from now on, nor in a later
/// policy, which is to find no socket in the map that it does not decide about.
fn let_readers_go(state: &State, record: &Record) -> Result<(), Error> {
    for group in record.cgroups.iter().filter(|group| !record.reads(**group)) {
        for pin in [READERS, NEXT] {
            bpffs::unpin(&state.group(*group).join(pin)).map_err(at("let readers go"))?;
        }
    }
    Ok(())
}

/// Whoever keeps pairs looks for their folder, and ends those that have none.
fn remove_other_pairs(state: &State, record: &Record) -> Result<(), Error> {
    let used = pairs::numbers(&record.manifest);
    for name in names(&state.pairs_folder())? {
        if !used.iter().any(|(number, _)| number.to_string() == name) {
            remove(&state.pairs_folder().join(name))?;
        }
    }
    Ok(())
}

/// What the word says after nothing was to be in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Off {
    /// That nothing is.
    Written,
    /// It is not there, or damaged: hooks that are there may follow one that has no pin.
    Unknown,
}

/// Puts all hooks to sleep by one word. A word that is damaged, or that somebody froze, does not keep the rest from going; any
/// other refusal does.
pub(crate) fn off(state: &State) -> Result<Off, Error> {
    match state.switch_to(0) {
        Ok(()) => Ok(Off::Written),
        Err(Error::State { .. }) => Ok(Off::Unknown),
        Err(Error::Kernel { cause, .. }) if cause.raw_os_error() == Some(libc::EPERM) => {
            Ok(Off::Unknown)
        }
        Err(error) => Err(error),
    }
}

/// Removes everything in the folder: links first, since what packets meet must go before what it needs; then programs, then
/// maps. The folder itself stays, for the lock is on it.
pub(crate) fn remove_all(state: &State) -> Result<(), Error> {
    // What a kill or a refusal below leaves is in force no more, and the next command removes it.
    off(state)?;
    for hook in state.hooks()? {
        attach::detach(state, &hook).map_err(at(format!("detach {}", hook.name())))?;
    }
    delivery::take_back(state, None)?;
    remove(&state.link_folder())?;
    for generation in state.generations()? {
        remove(&state.generation(generation).join("prog"))?;
    }
    remove(&state.slots_folder())?;
    for name in names(&state.group_folder())? {
        groups::release(&state.group_folder().join(name))?;
    }
    for name in names(state.root())? {
        remove(&state.root().join(name))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Error> {
    bpffs::remove_tree(path).map_err(at(format!("remove {}", path.display())))
}
