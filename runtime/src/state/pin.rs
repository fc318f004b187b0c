//! One pin of a generation: which kernel object it is, and what it holds that only sockc changes.
//!
//! Takes a path in the state folder; gives what is pinned there now, which is kept in the record and compared later.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{State, side};
use crate::sys::batch::{self, Element};
use crate::sys::bpffs::{self, Kind};
use crate::sys::{link, map, prog};

/// The map from an interface's index to its class, plus 1.
pub(crate) const INTERFACES: &str = "interfaces";
/// The map of the interfaces of [`Manifest::out_interfaces`], by their places there.
pub(crate) const OUT_INTERFACES: &str = "ports";
/// The array of the ids, plus 1, of [`Manifest::namespaces`].
pub(crate) const NAMESPACES: &str = "namespaces";

/// The addresses whose listeners fill slots again.
pub(crate) const LISTEN: &str = "listen";

/// How many of them found no place, where an address has several.
pub(crate) const TURNED_AWAY: &str = "turned_away";

/// Since when sockets are in their slots.
pub(crate) const SINCE: &str = "since";

/// The maps that are filled at apply and never again.
const CONSTANT: [&str; 4] = [INTERFACES, OUT_INTERFACES, NAMESPACES, LISTEN];

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
        let left = |(slot, id): &Element, (other, before): &Element| {
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

fn contents(map: BorrowedFd<'_>) -> io::Result<Vec<Element>> {
    let mut found = batch::read(map)?;
    found.sort();
    Ok(found)
}
