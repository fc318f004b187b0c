//! Live maps: their entries, changes to them, and how they come over from one generation to the next.
//!
//! The entries are kept as they were written, in a pinned map of the generation; from them follows what the kernel's maps
//! should hold, and only the difference is written. Sockets and classes of ports have other numbers in another generation, so
//! each has maps of its own, filled from the entries of the one before.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use sockc_compiler::artifact::{LiveEntryPlan, LiveMapPlan, Manifest};

use crate::chunks;
use crate::entries::{Contents, text};
use crate::error::{Error, at};
use crate::force::{self, Force};
use crate::options::Options;
use crate::port_classes::PORTS;
use crate::record::Record;
use crate::state::{Access, State};
use crate::sys::batch::{self, Entry};
use crate::sys::{bpffs, caps, map};

/// The entries of all live maps of a generation, by the map's name.
type Entries = BTreeMap<String, Vec<LiveEntryPlan>>;

/// A live map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMap {
    /// Its name.
    pub name: String,
    /// Most entries.
    pub max: u32,
    /// Its entries, in the order in which they were put in.
    pub entries: Vec<LiveEntryPlan>,
}

/// An entry to be removed. Prefix, ports and protocol tell it from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The entry.
    pub entry: LiveEntryPlan,
    /// Whether its socket must be that of the entry in the map.
    pub with_socket: bool,
}

impl Removed {
    fn means(&self, entry: &LiveEntryPlan) -> bool {
        let same = &self.entry;
        let packets = same.prefix == entry.prefix
            && same.ports == entry.ports
            && same.protocol == entry.protocol;
        packets && (!self.with_socket || same.socket == entry.socket)
    }

    fn text(&self) -> String {
        let text = text(&self.entry);
        match text.split_once(" -> ") {
            Some((packets, _)) if !self.with_socket => packets.to_owned(),
            _ => text,
        }
    }
}

/// Puts entries into a live map. Gives how many are in it then.
///
/// # Errors
///
/// Any [`Error`]; nothing is changed then.
pub fn map_add(options: &Options, name: &str, entries: &[LiveEntryPlan]) -> Result<usize, Error> {
    change(options, name, |plan, all| {
        all.extend_from_slice(entries);
        if all.len() > plan.max as usize {
            return Err(Error::MapFull {
                map: plan.name.clone(),
                wanted: all.len(),
                max: plan.max,
            });
        }
        Ok(())
    })
}

/// Takes entries out of a live map. Gives how many are in it then.
///
/// # Errors
///
/// Any [`Error`], also if one of the entries is not in the map; nothing is changed then.
pub fn map_del(options: &Options, name: &str, entries: &[Removed]) -> Result<usize, Error> {
    change(options, name, |plan, all| {
        for removed in entries {
            let place = all.iter().position(|entry| removed.means(entry));
            let place = place.ok_or_else(|| Error::Entry {
                map: plan.name.clone(),
                entry: removed.text(),
                cause: "it is not in the map; `sockc map list` shows what is".to_owned(),
            })?;
            all.remove(place);
        }
        Ok(())
    })
}

/// What is in a live map.
///
/// # Errors
///
/// Any [`Error`].
pub fn map_list(options: &Options, name: &str) -> Result<LiveMap, Error> {
    force::with(options, Access::Read, |force| {
        let plan = plan_of(force, name)?;
        let mut all = read(force.state(), force.record)?;
        Ok(LiveMap {
            name: plan.name.clone(),
            max: plan.max,
            entries: all.remove(&plan.name).unwrap_or_default(),
        })
    })
}

fn plan_of<'a>(force: &Force<'a>, name: &str) -> Result<&'a LiveMapPlan, Error> {
    let maps = &force.record.manifest.maps;
    let found = maps.iter().find(|map| map.name == name);
    found.ok_or_else(|| force::unknown("live map", name, maps.iter().map(|map| map.name.as_str())))
}

/// The entries are kept before the maps are changed: if this is killed, the next change does the rest.
fn change(
    options: &Options,
    name: &str,
    work: impl FnOnce(&LiveMapPlan, &mut Vec<LiveEntryPlan>) -> Result<(), Error> + Send,
) -> Result<usize, Error> {
    force::with(options, Access::Change, |force| {
        let (state, record) = (force.state(), force.record);
        let plan = plan_of(force, name)?;
        let before = read(state, record)?;
        let mut after = before.clone();
        let entries = after.entry(plan.name.clone()).or_default();
        work(plan, entries)?;
        let count = entries.len();
        let maps = Maps::open(plan, state, record.generation)?;
        let contents = maps.contents(entries, &record.manifest)?;
        keep(state, record.generation, &after)?;
        if let Err(error) = maps.write(&contents) {
            let entries = before.get(&plan.name).map_or(&[][..], Vec::as_slice);
            let undone = maps
                .contents(entries, &record.manifest)
                .and_then(|contents| maps.write(&contents));
            keep(state, record.generation, &before)?;
            return Err(undone.err().unwrap_or(error));
        }
        Ok(count)
    })
}

fn read(state: &State, record: &Record) -> Result<Entries, Error> {
    let path = state.entries(record.generation);
    let damaged = |cause: String| Error::State {
        path: path.clone(),
        cause,
    };
    match chunks::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entries::new()),
        Err(error) => Err(damaged(error.to_string())),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string())),
    }
}

/// How many entries each live map has.
pub(crate) fn sizes(state: &State, record: &Record) -> Result<BTreeMap<String, usize>, Error> {
    let entries = read(state, record)?.into_iter();
    Ok(entries
        .map(|(name, entries)| (name, entries.len()))
        .collect())
}

/// Keeps entries in place of those that are kept.
fn keep(state: &State, generation: u32, entries: &Entries) -> Result<(), Error> {
    let what = "keep the entries of live maps";
    let json = serde_json::to_vec(entries).map_err(|error| Error::Object {
        cause: error.to_string(),
    })?;
    let next = state.generation(generation).join("next");
    bpffs::unpin(&next).map_err(at(what))?;
    chunks::write("entries", &json, &next).map_err(at(what))?;
    fs::rename(&next, state.entries(generation)).map_err(at(what))
}

/// Fills the live maps of a new generation: with the entries of the generation before, or with what the policy says.
pub(crate) fn fill(
    manifest: &Manifest,
    before: Option<&Record>,
    state: &State,
    generation: u32,
) -> Result<(), Error> {
    if manifest.maps.is_empty() {
        return Ok(());
    }
    let kept = before.map(|record| read(state, record)).transpose()?;
    let mut kept = kept.unwrap_or_default();
    let mut entries = Entries::new();
    for plan in &manifest.maps {
        let of_plan = kept
            .remove(&plan.name)
            .unwrap_or_else(|| plan.start.clone());
        if of_plan.len() > plan.max as usize {
            return Err(Error::MapFull {
                map: plan.name.clone(),
                wanted: of_plan.len(),
                max: plan.max,
            });
        }
        let maps = Maps::open(plan, state, generation)?;
        maps.write(&maps.contents(&of_plan, manifest)?)?;
        entries.insert(plan.name.clone(), of_plan);
    }
    keep(state, generation, &entries)
}

/// The kernel's maps of a live map.
#[derive(Debug)]
struct Maps<'a> {
    plan: &'a LiveMapPlan,
    trie: OwnedFd,
    ports: OwnedFd,
}

impl<'a> Maps<'a> {
    fn open(plan: &'a LiveMapPlan, state: &State, generation: u32) -> Result<Self, Error> {
        let open = |name: &str| {
            bpffs::open(&state.map(generation, name)).map_err(|_| Error::Object {
                cause: format!("it lacks the map \"{name}\""),
            })
        };
        Ok(Self {
            plan,
            trie: open(&plan.trie)?,
            ports: open(&plan.classes)?,
        })
    }

    /// What entries make of the maps as they are now.
    fn contents(&self, entries: &[LiveEntryPlan], manifest: &Manifest) -> Result<Contents, Error> {
        let before = self
            .port_classes()
            .map_err(at("read the ports of a live map"))?;
        let contents = Contents::new(&self.plan.name, entries, manifest, &before)?;
        let room = map::shape(self.trie.as_fd())
            .map_err(at("look at a live map"))?
            .entries;
        if contents.sockets.len() > room as usize {
            return Err(Error::MapTooWide {
                map: self.plan.name.clone(),
                keys: contents.sockets.len(),
                room,
            });
        }
        Ok(contents)
    }

    fn port_classes(&self) -> io::Result<Vec<u32>> {
        let mut classes = vec![0; PORTS];
        for (port, class) in batch::read(self.ports.as_fd())? {
            let (port, class) = (word(&port), word(&class));
            if let Some(place) = classes.get_mut(port as usize) {
                *place = class;
            }
        }
        Ok(classes)
    }

    /// New keys come first, then ports move to their classes, and what nothing looks for any more goes last. So at each moment
    /// a packet meets what was meant before or what is meant now.
    fn write(&self, contents: &Contents) -> Result<(), Error> {
        let what = format!("change the live map \"{}\"", self.plan.name);
        self.try_to_write(contents).map_err(at(what))
    }

    fn try_to_write(&self, contents: &Contents) -> io::Result<()> {
        let trie = self.trie.as_fd();
        let before: BTreeMap<Vec<u8>, Vec<u8>> = batch::read(trie)?.into_iter().collect();
        let after: BTreeMap<Vec<u8>, Vec<u8>> = contents
            .sockets
            .iter()
            .map(|(key, socket)| (key.bytes(), Contents::value(*key, *socket)))
            .collect();
        let changed = after
            .iter()
            .filter(|(key, value)| before.get(*key) != Some(*value));
        let changed: Vec<Entry> = changed
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let gone: Vec<Vec<u8>> = before
            .into_keys()
            .filter(|key| !after.contains_key(key))
            .collect();
        let room = map::shape(trie)?.entries as usize;
        if after.len() + gone.len() < room {
            batch::update(trie, &changed)?;
            self.move_ports(&contents.ports.of)?;
            // A program that read the class of a port before it moved still looks for the old keys.
            caps::wait_for_running_programs();
            return batch::delete(trie, &gone);
        }
        // No room for both: for a moment packets of the entries that change find nothing.
        batch::delete(trie, &gone)?;
        batch::replace(trie, &changed)?;
        self.move_ports(&contents.ports.of)
    }

    fn move_ports(&self, classes: &[u32]) -> io::Result<()> {
        let before = self.port_classes()?;
        let all = (0_u32..).zip(classes.iter().zip(&before));
        let moved = all.filter(|(_, (class, before))| class != before);
        let moved: Vec<Entry> = moved
            .map(|(port, (class, _))| (port.to_ne_bytes().to_vec(), class.to_ne_bytes().to_vec()))
            .collect();
        batch::update(self.ports.as_fd(), &moved)
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |word| u32::from_ne_bytes(*word))
}
