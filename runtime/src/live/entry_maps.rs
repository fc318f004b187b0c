//! The kernel's maps of a live map: a trie and the classes of ports, each with two sides, of which one holds.
//!
//! Takes contents and puts them into a side; says which side programs ask, and has them ask the other. Not here: what is kept
//! of the entries, and in which order a change goes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use sockc_compiler::artifact::{LiveEntryPlan, LiveMapPlan, Manifest, MapKind};

use super::entries::{Contents, side_of};
use super::port_classes::PORTS;
use crate::error::{Error, at};
use crate::state::State;
use crate::sys::batch::{self, Element};
use crate::sys::map::Shape;
use crate::sys::{caps, map};

/// Where the word stands in the array of ports: after those of both sides.
const SIDE: u32 = 2 * PORTS as u32;

/// The kernel's maps of a live map.
#[derive(Debug)]
pub(crate) struct Maps<'a> {
    pub(crate) plan: &'a LiveMapPlan,
    trie: OwnedFd,
    ports: OwnedFd,
}

impl<'a> Maps<'a> {
    pub(crate) fn open(
        plan: &'a LiveMapPlan,
        state: &State,
        generation: u32,
    ) -> Result<Self, Error> {
        Ok(Self {
            plan,
            trie: state.open_map(generation, &plan.trie, MapKind::LpmTrie)?,
            ports: state.open_map(generation, &plan.classes, MapKind::Array)?,
        })
    }

    /// The side that programs ask.
    pub(crate) fn side(&self) -> Result<usize, Error> {
        let mut bytes = [0; 4];
        let what = || at(format!("read the live map \"{}\"", self.plan.name));
        let there = map::lookup(self.ports.as_fd(), &SIDE.to_ne_bytes(), &mut bytes);
        match (there.map_err(what())?, word(&bytes)) {
            (true, 0) => Ok(0),
            (true, 1) => Ok(1),
            _ => Err(what()(io::Error::new(
                io::ErrorKind::InvalidData,
                "which side of it holds is not what sockc left",
            ))),
        }
    }

    /// What entries make of a side; the first `kept` are in the map already.
    pub(crate) fn contents(
        &self,
        entries: &[LiveEntryPlan],
        kept: usize,
        manifest: &Manifest,
    ) -> Result<Contents, Error> {
        let contents = Contents::new(&self.plan.name, entries, kept, manifest)?;
        let shape = map::shape(self.trie.as_fd()).map_err(at("look at a live map"))?;
        check_keys(self.plan, &contents, &shape)?;
        Ok(contents)
    }

    /// Writes contents into a side that programs do not ask.
    pub(crate) fn fill(&self, side: usize, contents: &Contents) -> io::Result<()> {
        let keys = contents.sockets.iter();
        let keys: Vec<Element> = keys
            .map(|(key, socket)| (key.bytes(side as u8), Contents::value(*key, *socket)))
            .collect();
        batch::update(self.trie.as_fd(), &keys)?;
        let first = side * PORTS;
        let mut before = vec![0; PORTS];
        batch::walk(self.ports.as_fd(), |port, class| {
            let port = (word(port) as usize).checked_sub(first);
            if let Some(place) = port.and_then(|port| before.get_mut(port)) {
                *place = word(class);
            }
        })?;
        let all = (first as u32..).zip(contents.ports.of.iter().zip(&before));
        let changed: Vec<Element> = all
            .filter(|(_, (class, before))| class != before)
            .map(|(port, (class, _))| (port.to_ne_bytes().to_vec(), class.to_ne_bytes().to_vec()))
            .collect();
        batch::update(self.ports.as_fd(), &changed)
    }

    /// Has programs ask a side.
    pub(crate) fn ask(&self, side: usize) -> io::Result<()> {
        let value = (side as u32).to_ne_bytes();
        map::update(self.ports.as_fd(), &SIDE.to_ne_bytes(), &value)
    }

    /// Takes the keys out of a side that programs do not ask any more.
    pub(crate) fn empty(&self, side: usize) -> io::Result<()> {
        // One that read the word before it was written still asks the side that it found.
        caps::wait_for_running_programs()?;
        let mut keys = Vec::new();
        batch::walk(self.trie.as_fd(), |key, _| {
            if side_of(key).is_none_or(|of| of == side) {
                keys.push(key.to_vec());
            }
        })?;
        batch::delete(self.trie.as_fd(), &keys)
    }
}

/// Whether contents fit into a side of the trie of a live map.
pub(crate) fn check_keys(
    plan: &LiveMapPlan,
    contents: &Contents,
    trie: &Shape,
) -> Result<(), Error> {
    let (keys, room) = (contents.sockets.len(), trie.entries / 2);
    if keys <= room as usize {
        return Ok(());
    }
    Err(Error::MapTooWide {
        map: plan.name.clone(),
        keys,
        room,
    })
}

fn word(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |word| u32::from_ne_bytes(*word))
}
