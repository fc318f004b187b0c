//! What an apply leaves pinned: which kernel object each pin is, and what it holds that only sockc changes.
//!
//! Taken when everything is made and before the switch, and kept in the record; `drift` compares it with what is there.
//! What changes while a policy runs is not in it: members of live sets and maps, sockets, counters, rates.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::Record;
use super::{State, names, side};
use crate::error::{Error, at};
use crate::names::resolve;
use crate::sys::batch::{self, Entry};
use crate::sys::bpffs::{self, Kind};
use crate::sys::{link, map, prog};

/// The maps that are filled at apply and never again.
const CONSTANT: [&str; 4] = [
    resolve::INTERFACES,
    resolve::OUT_INTERFACES,
    resolve::NAMESPACES,
    "listen",
];

/// One pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// Its path in the state folder.
    pub(crate) path: PathBuf,
    /// What is pinned.
    pub(crate) made: Made,
}

/// A kernel object, by its id, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Made {
    /// A map whose contents change by themselves, or are compared elsewhere.
    Map(u32),
    /// A map whose contents do not change: keys and values.
    Constant(u32, Vec<(Vec<u8>, Vec<u8>)>),
    /// The program slots of a point: the map, and the program of the generation's side.
    Slots(u32, Option<u32>),
    /// A program.
    Program(u32),
    /// A link and the program it holds; no program where it hangs on nothing any more.
    Link(u32, Option<u32>),
}

impl Made {
    /// Whether it is what it was, or the map of ids of namespaces with those set to 0 that `gone` says, by their slots: that
    /// is what is left when a namespace ends (see [`crate::names::departed`]). From a map of interfaces that go, a slot of which is
    /// `emptied` by the kernel, some may be missing.
    pub(crate) fn is_still(&self, was: &Self, emptied: bool, gone: impl Fn(u32) -> bool) -> bool {
        let (Self::Constant(id, now), Self::Constant(before, then)) = (self, was) else {
            return self == was;
        };
        let left = |(slot, id): &Entry, (other, before): &Entry| {
            let number = slot.as_slice().try_into().map(u32::from_ne_bytes);
            let gone = || id.iter().all(|byte| *byte == 0) && number.is_ok_and(&gone);
            slot == other && (id == before || gone())
        };
        if emptied {
            return id == before && now.iter().all(|entry| then.contains(entry));
        }
        id == before
            && now.len() == then.len()
            && now.iter().zip(then).all(|(now, then)| left(now, then))
    }

    /// The kernel's id of it.
    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Map(id)
            | Self::Constant(id, _)
            | Self::Slots(id, _)
            | Self::Program(id)
            | Self::Link(id, _) => *id,
        }
    }
}

/// What is being done when pins are looked at.
const LOOK: &str = "look at what is pinned";

/// Everything that is pinned for a generation, in a fixed order.
pub(crate) fn taken(state: &State, record: &Record) -> Result<Vec<Pin>, Error> {
    let mut paths = vec![PathBuf::from("control")];
    if record.owner.is_some() {
        paths.push(PathBuf::from("outer"));
    }
    let points = record.points.iter().map(|point| slots_path(&point.name()));
    paths.extend(points);
    let hooks = record.hooks.iter();
    paths.extend(hooks.map(|attached| Path::new("link").join(attached.hook.name())));
    for id in &record.cgroups {
        paths.extend(below(state, &Path::new("group").join(id.to_string()))?);
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

/// The path of the slots of a point.
fn slots_path(point: &str) -> PathBuf {
    Path::new("slots").join(point)
}

fn below(state: &State, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let names = names(&state.root().join(folder))?;
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// What is pinned at a path of the state folder. Into a map that is not the `left` one nobody looks: it may be of any size.
pub(crate) fn look(
    state: &State,
    generation: u32,
    path: &Path,
    left: Option<u32>,
) -> io::Result<Made> {
    let fd = bpffs::open(&state.root().join(path))?;
    Ok(match bpffs::kind(fd.as_fd())? {
        Kind::Program => Made::Program(prog::describe(fd.as_fd())?.id),
        Kind::Link => {
            let link = link::describe(fd.as_fd())?;
            Made::Link(link.id, link.alive.then_some(link.program))
        }
        Kind::Map => {
            let id = map::id(fd.as_fd())?;
            match left.is_none_or(|left| left == id) {
                true => look_into(&fd, id, generation, path)?,
                false => Made::Map(id),
            }
        }
    })
}

fn look_into(map: &OwnedFd, id: u32, generation: u32, path: &Path) -> io::Result<Made> {
    let folder = path.parent().and_then(Path::file_name);
    let name = path.file_name().and_then(|name| name.to_str());
    // Another kind of map there has no programs to read.
    let programs = map::shape(map.as_fd())?.is_of_programs();
    if folder.is_some_and(|folder| folder == "slots") && programs {
        return Ok(Made::Slots(id, slot(map.as_fd(), side(generation))?));
    }
    let constant = name.is_some_and(|name| CONSTANT.contains(&name));
    if folder.is_some_and(|folder| folder == "map") && constant {
        return Ok(Made::Constant(id, contents(map.as_fd())?));
    }
    Ok(Made::Map(id))
}

/// The program in a slot; looking one up gives its id.
pub(crate) fn slot(slots: BorrowedFd<'_>, side: u32) -> io::Result<Option<u32>> {
    let mut id = [0; 4];
    let there = map::lookup(slots, &side.to_ne_bytes(), &mut id)?;
    Ok(there.then(|| u32::from_ne_bytes(id)))
}

fn contents(map: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut found = batch::read(map)?;
    found.sort();
    Ok(found)
}
