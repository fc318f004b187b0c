//! The trie of a live map and the classes of ports, each with two sides, of which one holds.
//!
//! Takes contents and puts them into a side, or takes them out. Not here: which side programs ask, and in which order a
//! change goes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use sockc_compiler::artifact::{LiveMapPlan, MapKind};

use super::port_classes::PORTS;
use super::trie_contents::{Contents, side_of};
use crate::error::{Error, at};
use crate::state::State;
use crate::sys::batch::{self, Element};
use crate::sys::map::{self, Shape};

/// The sides of a trie.
pub(crate) trait Sides {
    /// Writes contents into a side that programs do not ask.
    fn fill(&self, side: u32, contents: &Contents) -> io::Result<()>;

    /// Takes the keys out of a side that no program asks any more.
    fn empty(&self, side: u32) -> io::Result<()>;
}

/// The kernel's maps.
#[derive(Debug)]
pub(crate) struct TrieMaps {
    trie: OwnedFd,
    ports: OwnedFd,
}

impl TrieMaps {
    pub(crate) fn open(plan: &LiveMapPlan, state: &State, generation: u32) -> Result<Self, Error> {
        Ok(Self {
            trie: state.open_map(generation, &plan.trie, MapKind::LpmTrie)?,
            ports: state.open_map(generation, &plan.classes, MapKind::Array)?,
        })
    }

    /// The shape of the trie.
    pub(crate) fn shape(&self) -> Result<Shape, Error> {
        map::shape(self.trie.as_fd()).map_err(at("look at a live map"))
    }
}

impl Sides for TrieMaps {
    fn fill(&self, side: u32, contents: &Contents) -> io::Result<()> {
        let keys = contents.sockets.iter();
        let keys: Vec<Element> = keys
            .map(|(key, number)| (key.bytes(side as u8), Contents::value(*key, *number)))
            .collect();
        batch::update(self.trie.as_fd(), &keys)?;
        let first = side as usize * PORTS;
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

    fn empty(&self, side: u32) -> io::Result<()> {
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
