//! Pins that somebody removed while the maps behind them live: an apply pins them again before it builds on them.
//!
//! Takes a state folder and the record in it, which names every map by its id. Programs and links need no healing: an apply
//! loads programs anew, and attaches where no link is. What the kernel has freed with its last user is not brought back here;
//! whoever needs it says that it is gone. The caller holds the lock.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use crate::error::{Error, at, unreadable};
use crate::state::pin::{Made, Pin};
use crate::state::record::Record;
use crate::state::{State, make_folder};
use crate::sys::retry::again;
use crate::sys::{bpffs, map};

/// Pins again what the last apply pinned, as far as it lives.
pub(crate) fn repin(state: &State) -> Result<(), Error> {
    let Some(record) = record(state)? else {
        return Ok(());
    };
    for pin in record.pins.iter().flatten() {
        pin_again(state, pin)?;
    }
    Ok(())
}

/// The record of what was left in force; `None` if there is none, or it is damaged, which is told where it is asked for.
fn record(state: &State) -> Result<Option<Record>, Error> {
    // Without the pin `outer`, a block's word is not the generation in force.
    let left = [
        state.word()?.filter(|word| *word != 0),
        state.left_in_force()?,
    ];
    for generation in left.into_iter().flatten() {
        match Record::read_alone(&state.record(generation)) {
            Ok(record) => return Ok(Some(record)),
            Err(Error::State { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn pin_again(state: &State, pin: &Pin) -> Result<(), Error> {
    let (Made::Map(id) | Made::Constant(id, _) | Made::Slots(id, _)) = pin.made else {
        return Ok(());
    };
    let path = state.root().join(&pin.path);
    match again(|| fs::symlink_metadata(&path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        about => return about.map(drop).map_err(|cause| unreadable(&path, cause)),
    }
    let lost = match map::by_id(id) {
        // The kernel gives no id twice before all others were given.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Others ask for rights that an apply does without where nothing is lost; it says what it lacks.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(()),
        lost => lost.map_err(at(format!("find what was pinned at {}", path.display())))?,
    };
    path.parent().map_or(Ok(()), make_folder)?;
    bpffs::pin(lost.as_fd(), &path).map_err(at(format!("pin {} again", path.display())))
}
