//! What an apply leaves pinned: which kernel object each pin is, and what it holds that only sockc changes.
//!
//! Taken when everything is made and before the switch, and kept in the record; `drift` compares it with what is there.
//! What changes while a policy runs is not in it: members of live sets and maps, sockets, counters, rates.

use std::io;
use std::path::{Path, PathBuf};

use super::pin::{Made, Pin, look};
use super::record::Record;
use super::{State, names};
use crate::error::{Error, at, unless_passing};
use crate::hook::{NEXT, On, READERS};

/// What is being done when pins are looked at.
const LOOK: &str = "look at what is pinned";

/// Everything that is pinned for a generation, in a fixed order.
pub(crate) fn taken(state: &State, record: &Record) -> Result<Vec<Pin>, Error> {
    let mut paths = vec![PathBuf::from("control")];
    if record.owner.is_some() {
        paths.push(PathBuf::from("outer"));
    }
    // An older sockc made the folder without it.
    if state.kept_trial()?.is_some() {
        paths.push(PathBuf::from("trial"));
    }
    let points = record.points.iter().map(|point| slots_path(&point.name()));
    paths.extend(points);
    let hooks = record.hooks.iter();
    paths.extend(hooks.map(|attached| Path::new("link").join(attached.hook.name())));
    for id in &record.cgroups {
        let folder = Path::new("group").join(id.to_string());
        // Those of the policy before go with it.
        let of_readers = [READERS, NEXT].map(|pin| folder.join(pin));
        let goes = |path: &PathBuf| of_readers.contains(path) && !record.reads(*id);
        let pins = below(state, &folder)?.into_iter();
        paths.extend(pins.filter(|path| !goes(path)));
    }
    // So do pairs that the policy before had.
    for point in &record.points {
        if let On::Pairs(number) = point.on() {
            paths.extend(below(state, &Path::new("pairs").join(number.to_string()))?);
        }
    }
    paths.extend(of_generation(state, record)?);
    let mut pins = Vec::with_capacity(paths.len());
    for path in paths {
        let made = look(state, record.generation, &path, None).map_err(at(LOOK))?;
        if matches!(made, Made::Slots(_, None)) {
            // Every point of a record has a program, which was put there just now: an answer that cannot be is no answer.
            return Err(at(LOOK)(io::Error::from_raw_os_error(libc::ENOENT)));
        }
        pins.push(Pin { path, made });
    }
    pins.sort_by(|one, other| one.path.cmp(&other.path));
    pins.dedup();
    Ok(pins)
}

/// The paths of the maps and programs of a generation.
pub(crate) fn of_generation(state: &State, record: &Record) -> Result<Vec<PathBuf>, Error> {
    let folder = PathBuf::from(record.generation.to_string());
    let mut paths = below(state, &folder.join("map"))?;
    paths.extend(below(state, &folder.join("prog"))?);
    Ok(paths)
}

/// Refuses what uses a map of a generation where somebody put another one in its place, which no program looks at. `asked` says of
/// which it is to be known, by their names; one that is gone is told where it is opened.
pub(crate) fn check_maps(
    state: &State,
    record: &Record,
    asked: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    let folder = PathBuf::from(record.generation.to_string()).join("map");
    for pin in record.pins.iter().flatten() {
        let name = pin.path.strip_prefix(&folder).ok().and_then(Path::to_str);
        if !name.is_some_and(&asked) {
            continue;
        }
        let there = id(state, record, pin)?;
        if there.is_some_and(|id| id != pin.made.id()) {
            return Err(another(state, pin));
        }
    }
    Ok(())
}

/// The kernel's id of what is at a pin now; `None` if that is gone, or nothing that can be looked at.
pub(crate) fn id(state: &State, record: &Record, pin: &Pin) -> Result<Option<u32>, Error> {
    let there = look(state, record.generation, &pin.path, Some(pin.made.id()));
    let there = unless_passing(&state.root().join(&pin.path), there.map(Some))?;
    Ok(there.map(|there| there.id()))
}

/// That something else is at a pin.
pub(crate) fn another(state: &State, pin: &Pin) -> Error {
    Error::State {
        path: state.root().join(&pin.path),
        cause: "it is not the map that sockc left there".to_owned(),
    }
}

/// The path of the slots of a point.
fn slots_path(point: &str) -> PathBuf {
    Path::new("slots").join(point)
}

fn below(state: &State, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let names = names(&state.root().join(folder))?;
    Ok(names.iter().map(|name| folder.join(name)).collect())
}
