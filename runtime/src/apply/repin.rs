//! Pins that somebody removed while the maps behind them live: an apply pins them again before it builds on them.
//!
//! Takes a state folder and the record in it, which names every map by its id. Programs and links need no healing: an apply
//! loads programs anew, and attaches where no link is. What the kernel has freed with its last user is not brought back here;
//! whoever needs it says that it is gone, and so it is with what this process may not look for. The caller holds the lock.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use crate::error::{Error, at, unreadable};
use crate::state::pin::{Made, Pin};
use crate::state::record::Record;
use crate::state::{State, make_folder};
use crate::sys::retry::again;
use crate::sys::{bpffs, map};

/// Pins that are gone, and of which this process may not ask whether what they were of lives: only CAP_SYS_ADMIN of the machine
/// may, and so nobody in a container (`bpf_map_get_fd_by_id` of kernel/bpf/syscall.c). What needs none of them goes on.
pub(crate) struct Sought(Vec<PathBuf>);

impl Sought {
    /// The refusal of what did need one, with what brings it back.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error {
            Error::State { path, .. } if self.0.contains(&path) => Error::Unpinned { path },
            error => error,
        }
    }
}

/// Pins again what the last apply pinned, as far as it lives.
pub(crate) fn repin(state: &State) -> Result<Sought, Error> {
    let mut sought = Vec::new();
    let record = record(state)?;
    let pins = record.iter().flat_map(|record| &record.pins);
    for pin in pins.flatten() {
        if !pin_again(state, pin)? {
            sought.push(state.root().join(&pin.path));
        }
    }
    Ok(Sought(sought))
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

/// Whether it is there, or it is known that it cannot be.
fn pin_again(state: &State, pin: &Pin) -> Result<bool, Error> {
    let (Made::Map(id) | Made::Constant(id, _) | Made::Slots(id, _)) = pin.made else {
        return Ok(true);
    };
    let path = state.root().join(&pin.path);
    match again(|| fs::symlink_metadata(&path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        about => {
            return about
                .map(|_| true)
                .map_err(|cause| unreadable(&path, cause));
        }
    }
    let lost = match map::by_id(id) {
        // The kernel gives no id twice before all others were given.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        // An apply does without that right where it needs nothing that is lost.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(false),
        lost => lost.map_err(at(format!("find what was pinned at {}", path.display())))?,
    };
    path.parent().map_or(Ok(()), make_folder)?;
    bpffs::pin(lost.as_fd(), &path)
        .map(|()| true)
        .map_err(at(format!("pin {} again", path.display())))
}
