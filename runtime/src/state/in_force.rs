//! What is in force in a state folder, and whether that can be known: the one answer for every command.
//!
//! Takes a state folder; gives the record and the object of the policy in force, or nothing. The word is what counts; where
//! something else speaks against it (the link `current` next to the word 0, pins next to no word), somebody changed what sockc
//! left, and that is an error: it is never taken for "nothing". What could not be read for a passing reason is another error.
//! Changes nothing.

use std::path::Path;

use super::State;
use super::hanging::Hanging;
use super::namespaces::Owner;
use super::record::Record;
use crate::error::Error;

/// The record in force and its object; `None` if nothing is, and whatever is in the folder was left by a killed command.
///
/// # Errors
///
/// [`Error::State`] if what is there is not what sockc left; others if it could not be looked at.
pub(crate) fn in_force(state: &State) -> Result<Option<(Record, Vec<u8>)>, Error> {
    found(state, Record::read)
}

/// What is in force, as `read` reads it.
fn found<T>(state: &State, read: impl Fn(&Path) -> Result<T, Error>) -> Result<Option<T>, Error> {
    steadily(state, |word| match word {
        None | Some(0) => nothing(state, word).map(|()| None),
        Some(generation) => of_generation(state, generation, &read),
    })
}

/// What `read` finds where the word says this, if need be again: without the lock, a command may switch and remove what was in force
/// under us.
pub(crate) fn steadily<T>(
    state: &State,
    mut read: impl FnMut(Option<u32>) -> Result<T, Error>,
) -> Result<T, Error> {
    loop {
        let word = state.word()?;
        let found = read(word);
        if found.is_err() && state.word()? != word {
            continue;
        }
        return found;
    }
}

/// The record alone.
pub(crate) fn record_in_force(state: &State) -> Result<Option<Record>, Error> {
    found(state, Record::read_alone)
}

/// What hangs where, alone.
pub(crate) fn hanging_in_force(state: &State) -> Result<Option<Hanging>, Error> {
    found(state, Hanging::read)
}

fn of_generation<T>(
    state: &State,
    generation: u32,
    read: impl Fn(&Path) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    match read(&state.record(generation)) {
        Ok(found) => Ok(Some(found)),
        Err(error @ Error::State { .. }) if !has_lost_its_block(state, generation)? => Err(error),
        Err(Error::State { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether this is the namespace of a `for netns` block that the policy in force has no more: its outer policy was switched,
/// and whoever did it was killed before this folder was removed.
fn has_lost_its_block(state: &State, generation: u32) -> Result<bool, Error> {
    if state.generation(generation).exists() {
        return Ok(false);
    }
    let Some(owner) = owner(state)? else {
        return Ok(false);
    };
    let outer = Record::read_alone(&owner.state(state).record(generation))?;
    Ok(!outer.netns.iter().any(|held| state.is_of(held.inode)))
}

/// The namespace whose policy's block is in this folder, as any generation says.
fn owner(state: &State) -> Result<Option<Owner>, Error> {
    for generation in state.generations()? {
        match Record::read_alone(&state.record(generation)) {
            Ok(record) if record.owner.is_some() => return Ok(record.owner),
            // An apply that was killed wrote none yet.
            Ok(_) | Err(Error::State { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The word says that nothing is in force, or is not there; an error if something else says otherwise.
fn nothing(state: &State, word: Option<u32>) -> Result<(), Error> {
    let changed = |cause: String| Error::State {
        path: state.control(),
        cause,
    };
    let what = match word {
        None => "it is gone",
        Some(_) => "it says that nothing is in force",
    };
    match state.left_in_force()? {
        Some(left) if !was_taken_away(state, left)? => Err(changed(format!(
            "{what}, and sockc left generation {left} in force"
        ))),
        Some(_) => Ok(()),
        // It is made before every pin and removed after them.
        None if word.is_none() && state.has_pins()? => {
            Err(changed(format!("{what}, and pins of a policy are there")))
        }
        None => Ok(()),
    }
}

/// Whether the policy that a block stands in was removed: whoever did it removes the link `current` of that one, writes the
/// word of both, and comes here last.
fn was_taken_away(state: &State, left: u32) -> Result<bool, Error> {
    if !state.is_block()? {
        return Ok(false);
    }
    let record = Record::read_alone(&state.record(left))?;
    let Some(owner) = record.owner else {
        return Ok(false);
    };
    Ok(owner.state(state).left_in_force()?.is_none())
}
