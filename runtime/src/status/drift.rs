//! Whether what is pinned is what sockc left: changes that others made by hand, and exactly where.
//!
//! Takes a state folder; compares what is there with the list that the last apply kept in the record. What changes while a
//! policy runs is no drift: members of live sets and maps, sockets, counters. What a killed command left is none either:
//! [`crate::reconcile`] takes it away. Changes nothing. The caller holds the lock.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::attach::{self, asleep};
use crate::error::{Error, at, unless_passing, unreadable};
use crate::groups::moved;
use crate::hook::{Hook, Point};
use crate::names::coverage;
use crate::state::pin::{self, Made, NAMESPACES, OUT_INTERFACES, Pin};
use crate::state::pins;
use crate::state::record::Record;
use crate::state::{SIDES, State, side};
use crate::sys::{bpffs, netns};

/// A change that sockc did not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The pin.
    pub path: PathBuf,
    /// What sockc left there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            expected,
            found,
        } = self;
        write!(
            f,
            "{}: sockc left {expected}, and there is {found}",
            path.display()
        )
    }
}

/// What others changed of what a record says.
pub(super) fn look(state: &State, record: &Record) -> Result<Vec<Drift>, Error> {
    let mut drift = Vec::new();
    drift.extend(control(state, record)?);
    drift.extend(of_pins(state, record, |_| true)?);
    drift.extend(other_side(state, record)?);
    drift.extend(strangers(state, record)?);
    Ok(drift)
}

/// The part of it that is about hooks: what hangs where, and which programs are called there.
pub(super) fn of_hooks(state: &State, record: &Record) -> Result<Vec<Drift>, Error> {
    let of_hook = |pin: &Pin| pin.path.starts_with("link") || pin.path.starts_with("slots");
    of_pins(state, record, of_hook)
}

/// Of the pins that are `asked` those that are not as they were taken down.
fn of_pins(
    state: &State,
    record: &Record,
    asked: impl Fn(&Pin) -> bool,
) -> Result<Vec<Drift>, Error> {
    let mut drift = match &record.pins {
        Some(pins) => compare_all(state, record, pins.iter().filter(|pin| asked(pin)))?,
        None => lost(state, record)?,
    };
    // That the hook of an interface or control group that is gone hangs on nothing is nobody's change; `coverage` tells it.
    let mut gone = coverage::without_interface(state, record)?;
    gone.extend(moved::hooks(state, record)?);
    for gone in gone {
        let path = state.link(&gone.hook);
        drift.retain(|one| one.path != path);
    }
    Ok(drift)
}

/// The word that says which generation is in force.
fn control(state: &State, record: &Record) -> Result<Option<Drift>, Error> {
    let found = match state.word() {
        Ok(Some(word)) if word == record.generation => return Ok(None),
        Ok(Some(0)) => "0, which is no policy at all".to_owned(),
        Ok(Some(word)) => format!("{word}, which no policy has"),
        // The list of pins says so itself.
        Ok(None) | Err(Error::State { .. }) if record.pins.is_some() => return Ok(None),
        Ok(None) => "nothing".to_owned(),
        Err(Error::State { .. }) => "something that cannot be read".to_owned(),
        Err(error) => return Err(error),
    };
    Ok(Some(Drift {
        path: state.control(),
        expected: format!("the generation {}", record.generation),
        found,
    }))
}

fn compare_all<'a>(
    state: &State,
    record: &Record,
    pins: impl Iterator<Item = &'a Pin>,
) -> Result<Vec<Drift>, Error> {
    let mut found = Vec::new();
    for pin in pins {
        found.extend(compare(state, record, pin)?);
    }
    Ok(found)
}

fn compare(state: &State, record: &Record, pin: &Pin) -> Result<Option<Drift>, Error> {
    let path = state.root().join(&pin.path);
    let hook = pin.path.strip_prefix("link").ok().and_then(Path::to_str);
    if let Some(hook) = hook.and_then(Hook::parse)
        && left_with_its_interface(record, &hook)?
    {
        return Ok(None);
    }
    let found = match pin::look(state, record.generation, &pin.path, Some(pin.made.id())) {
        Ok(made) if is_still(record, pin, &made) => match hangs_on_nothing(state, &pin.path)? {
            Some(words) => words,
            None => return Ok(None),
        },
        Ok(made) => in_words(&made, Some(&pin.made)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "nothing".to_owned(),
        Err(error) => match unreadable(&path, error) {
            Error::State { cause, .. } => format!("what cannot be looked at ({cause})"),
            error => return Err(error),
        },
    };
    Ok(Some(Drift {
        path,
        expected: in_words(&pin.made, None),
        found,
    }))
}

/// Whether what is at a pin is what was, but for what the kernel takes out by itself when an interface or a namespace goes.
fn is_still(record: &Record, pin: &Pin, made: &Made) -> bool {
    let emptied = pin
        .path
        .file_name()
        .is_some_and(|name| name == OUT_INTERFACES);
    made.is_still(&pin.made, emptied, |slot| ended(record, &pin.path, slot))
}

/// Whether a pin is the map of ids of namespaces, and the namespace of a slot is not there any more: that takes its id away.
fn ended(record: &Record, path: &Path, slot: u32) -> bool {
    let known = usize::try_from(slot).ok();
    let known = known.and_then(|slot| record.looked_into.get(slot));
    path.file_name().is_some_and(|name| name == NAMESPACES)
        && known.is_some_and(|known| matches!(known.lost(), Ok(Some(_))))
}

/// Whether a hook only filled slots, on an interface that is gone. No packet comes by it, so nothing is missing.
pub(crate) fn left_with_its_interface(record: &Record, hook: &Hook) -> Result<bool, Error> {
    if !record.fillers.contains(&hook.point) {
        return Ok(false);
    }
    let mut present = netns::interfaces()
        .map_err(at("list the interfaces"))?
        .into_iter();
    Ok(!present.any(|(index, _)| u64::from(index) == hook.target))
}

/// A program that hangs somewhere without a link is pinned itself, and its pin says nothing of that.
fn hangs_on_nothing(state: &State, path: &Path) -> Result<Option<String>, Error> {
    let name = path.strip_prefix("link").ok().and_then(Path::to_str);
    let Some(hook) = name.and_then(Hook::parse) else {
        return Ok(None);
    };
    let alive = attach::describe(state, &hook)?.is_some_and(|there| there.alive);
    Ok((!alive).then(|| "the same, but nothing calls it any more".to_owned()))
}

/// The hooks that are gone; all that the record of an older sockc tells.
fn lost(state: &State, record: &Record) -> Result<Vec<Drift>, Error> {
    let mut gone = Vec::new();
    for attached in &record.hooks {
        let there = attach::describe(state, &attached.hook)?;
        if there.is_some_and(|there| there.alive) {
            continue;
        }
        gone.push(Drift {
            path: state.link(&attached.hook),
            expected: format!("the {} hook", attached.hook.point.title()),
            found: "nothing that is attached".to_owned(),
        });
    }
    Ok(gone)
}

/// Programs in the slots of the side that is not in force. An apply that was killed leaves some, next to a generation.
fn other_side(state: &State, record: &Record) -> Result<Vec<Drift>, Error> {
    if state
        .generations()?
        .iter()
        .any(|one| *one != record.generation)
    {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let other = side(record.generation + 1);
    for point in &record.points {
        let asleep = asleep::id(record, *point);
        // What fills slots would run, too, once the next policy is in force.
        for slot in [other, SIDES + other] {
            let asleep = asleep.filter(|_| slot == other);
            found.extend(other_program(state, *point, slot, asleep)?);
        }
    }
    Ok(found)
}

fn other_program(
    state: &State,
    point: Point,
    other: u32,
    asleep: Option<u32>,
) -> Result<Option<Drift>, Error> {
    let path = state.slots(point);
    let slot = bpffs::open(&path).and_then(|slots| pin::slot(slots.as_fd(), other));
    let program = unless_passing(&path, slot)?.filter(|program| Some(*program) != asleep);
    Ok(program.map(|program| Drift {
        path,
        expected: match asleep {
            Some(own) => format!("nothing in slot {other} but the program {own}"),
            None => format!("nothing in slot {other}"),
        },
        found: format!("the program {program}"),
    }))
}

/// Pins in the folders of the generation that sockc did not make.
fn strangers(state: &State, record: &Record) -> Result<Vec<Drift>, Error> {
    let Some(known) = &record.pins else {
        return Ok(Vec::new());
    };
    let there = pins::of_generation(state, record)?.into_iter();
    let strange = there.filter(|path| !known.iter().any(|pin| pin.path == *path));
    Ok(strange
        .map(|path| Drift {
            path: state.root().join(path),
            expected: "nothing".to_owned(),
            found: "a pin".to_owned(),
        })
        .collect())
}

/// Refuses to build on maps that others put in the place of ours: hooks that are there would go on with the old ones.
pub(crate) fn check_ground(state: &State, record: &Record) -> Result<(), Error> {
    let ground = |pin: &&Pin| {
        ["control", "outer", "trial", "slots", "group"]
            .iter()
            .any(|top| pin.path.starts_with(top))
    };
    for pin in record.pins.iter().flatten().filter(ground) {
        if pins::id(state, record, pin)? != Some(pin.made.id()) {
            return Err(pins::another(state, pin));
        }
    }
    // What is in these would come over, and what the policy in force has would not.
    pins::check_maps(state, record, |_| true)
}

/// An object in words; of one that is not as `left` was, what is other.
fn in_words(made: &Made, left: Option<&Made>) -> String {
    match (made, left) {
        (Made::Constant(id, now), Some(Made::Constant(before, then))) if id == before => {
            format!("the map {id} with {}", first_difference(then, now))
        }
        (Made::Map(id) | Made::Constant(id, _), _) => format!("the map {id}"),
        (Made::Slots(id, Some(program)), _) => format!("the map {id} with the program {program}"),
        (Made::Slots(id, None), _) => format!("the map {id} without a program"),
        (Made::Program(id), _) => format!("the program {id}"),
        (Made::Link(id, Some(program)), _) => format!("the link {id} with the program {program}"),
        (Made::Link(id, None), _) => format!("the link {id}, detached"),
    }
}

type Contents = [(Vec<u8>, Vec<u8>)];

/// The first key that does not have the value that it had.
fn first_difference(then: &Contents, now: &Contents) -> String {
    let in_other = |one: &(Vec<u8>, Vec<u8>), other: &Contents| other.contains(one);
    let changed = now.iter().find(|one| !in_other(one, then));
    match (changed, then.iter().find(|one| !in_other(one, now))) {
        (Some((key, value)), _) => {
            let before = then.iter().find(|(other, _)| other == key);
            let before = before.map_or_else(|| "nothing".to_owned(), |(_, value)| hex(value));
            format!(
                "{} at the key {}, where it left {before}",
                hex(value),
                hex(key)
            )
        }
        (None, Some((key, value))) => {
            format!(
                "nothing at the key {}, where it left {}",
                hex(key),
                hex(value)
            )
        }
        (None, None) => "the same contents".to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told() {
        let of = |pairs: &[(u8, u8)]| -> Vec<(Vec<u8>, Vec<u8>)> {
            pairs
                .iter()
                .map(|(key, value)| (vec![*key], vec![*value]))
                .collect()
        };
        for (then, now, words) in [
            (
                of(&[(1, 2)]),
                of(&[(1, 3)]),
                "03 at the key 01, where it left 02",
            ),
            (
                of(&[(1, 2)]),
                of(&[(1, 2), (4, 5)]),
                "05 at the key 04, where it left nothing",
            ),
            (
                of(&[(1, 2)]),
                of(&[]),
                "nothing at the key 01, where it left 02",
            ),
        ] {
            assert_eq!(first_difference(&then, &now), words);
        }
    }
}
