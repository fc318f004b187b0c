//! Live maps: their entries, changes to them, and how they come over from one generation to the next.
//!
//! What is in a live map stands in pinned arrays of the kernel: the entries as they were written, and what programs find
//! by them. Single entries are changed in place, a whole map on the side that does not hold; one word puts either in
//! force. So a packet meets the entries before or those after, and so does whoever comes after a kill. Sockets have other
//! numbers in another generation, so each has arrays of its own, filled from the entries of the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;

use sockc_compiler::artifact::{LiveEntryPlan, LiveMapPlan, Manifest, MapKind};
use sockc_compiler::entry_table::{HEAD, NODE, PLAN, STATE};

use super::Missing;
use super::beside::Beside;
use super::entries::{Entry, Names, packets, text};
use super::entry_change::{Edit, settle};
use super::entry_trie::{TrieMaps, check_keys};
use super::entry_whole::{self, Made};
use super::image::{EntryRecord, Image, RECORD, record_elements};
use crate::active::{self, Active};
use crate::error::{Error, at, undeclared};
use crate::options::Options;
use crate::prefix::Prefix;
use crate::state::pins;
use crate::state::record::Record;
use crate::state::{Access, State};
use crate::sys::map::Shape;
use crate::sys::shared::{Shared, Words};
use crate::sys::{bpffs, caps};

/// A live map and how full it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSummary {
    /// Its name.
    pub name: String,
    /// How many entries are in it.
    pub entries: usize,
    /// The maximum number of entries.
    pub max: u32,
}

/// A live map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMap {
    /// Its name.
    pub name: String,
    /// The maximum number of entries.
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
    change(options, name, |opened| opened.add(BTreeMap::new(), entries))
}

/// Puts entries into a live map, each in place of the one for the same packets, if there is one. Gives how many are in it then.
///
/// # Errors
///
/// Any [`Error`]; nothing is changed then.
pub fn map_put(options: &Options, name: &str, entries: &[LiveEntryPlan]) -> Result<usize, Error> {
    change(options, name, |opened| {
        let mut replaced = BTreeMap::new();
        for entry in entries {
            replaced.extend(opened.record_for(entry)?);
        }
        opened.add(replaced, entries)
    })
}

/// Makes a live map hold exactly these entries. Gives how many that are.
///
/// # Errors
///
/// Any [`Error`]; nothing is changed then.
pub fn map_load(options: &Options, name: &str, entries: &[LiveEntryPlan]) -> Result<usize, Error> {
    change(options, name, |opened| {
        opened.check_room(entries.len())?;
        let read = opened.names.read_all(entries)?;
        opened.names.check(&read, 0)?;
        opened.put_whole(&read, false)
    })
}

/// Takes entries out of a live map. Gives how many are in it then.
///
/// # Errors
///
/// Any [`Error`], also if one of the entries is not in the map and that is not to be ignored; nothing is changed then.
pub fn map_del(
    options: &Options,
    name: &str,
    entries: &[Removed],
    missing: Missing,
) -> Result<usize, Error> {
    change(options, name, |opened| {
        let mut found = BTreeMap::new();
        for removed in entries {
            let record = opened.record_for(&removed.entry)?;
            let meant = record.filter(|(number, record)| {
                let new = !found.contains_key(number);
                new && (!removed.with_socket || opened.leads_to(record, &removed.entry.socket))
            });
            match meant {
                Some((number, record)) => drop(found.insert(number, record)),
                None if missing == Missing::Ignored => {}
                None => return Err(opened.is_missing(removed)),
            }
        }
        opened.edit(Edit {
            removed: found,
            added: Vec::new(),
        })
    })
}

/// The live maps of the policy in force.
///
/// # Errors
///
/// Any [`Error`].
pub fn map_names(options: &Options) -> Result<Vec<MapSummary>, Error> {
    active::with(options, Access::Read, |active| {
        let sizes = sizes(active.state(), active.record)?;
        let maps = active.record.manifest.maps.iter();
        let summary = |plan: &LiveMapPlan| MapSummary {
            name: plan.name.clone(),
            entries: sizes.get(&plan.name).copied().unwrap_or_default(),
            max: plan.max,
        };
        Ok(maps.map(summary).collect())
    })
}

/// What is in a live map.
///
/// # Errors
///
/// Any [`Error`].
pub fn map_list(options: &Options, name: &str) -> Result<LiveMap, Error> {
    active::with(options, Access::Read, |active| {
        let plan = plan_of(active, name)?;
        let opened = Opened::of(plan, active.state(), active.record, Access::Read)?;
        Ok(LiveMap {
            name: plan.name.clone(),
            max: plan.max,
            entries: opened.plans()?,
        })
    })
}

fn plan_of<'a>(active: &Active<'a>, name: &str) -> Result<&'a LiveMapPlan, Error> {
    let maps = &active.record.manifest.maps;
    let found = maps.iter().find(|map| map.name == name);
    found.ok_or_else(|| undeclared("live map", name, maps.iter().map(|map| map.name.as_str())))
}

/// Changes a live map; `work` gives how many entries there are then.
fn change(
    options: &Options,
    name: &str,
    work: impl FnOnce(&Opened<'_>) -> Result<usize, Error> + Send,
) -> Result<usize, Error> {
    active::with(options, Access::Change, |active| {
        let plan = plan_of(active, name)?;
        let opened = Opened::of(plan, active.state(), active.record, Access::Change)?;
        settle(&opened.image).map_err(opened.changing())?;
        work(&opened)
    })
}

/// The array of entries, beside that of the keys.
const ENTRIES: Beside = Beside {
    word: "entries",
    title: "ent_",
};

/// The kernel's maps of a live map.
struct Opened<'a> {
    plan: &'a LiveMapPlan,
    names: Names<'a>,
    image: Image,
    trie: TrieMaps,
}

impl<'a> Opened<'a> {
    fn of(
        plan: &'a LiveMapPlan,
        state: &State,
        record: &'a Record,
        access: Access,
    ) -> Result<Self, Error> {
        let entries = ENTRIES.name(&plan.nodes);
        let of_object = [&plan.state, &plan.plans, &plan.heads, &plan.nodes];
        let of_trie = [&plan.trie, &plan.classes, &entries];
        let is_of_it = |name: &str| of_object.iter().chain(&of_trie).any(|one| *one == name);
        pins::check_maps(state, record, is_of_it)?;
        Self::open(plan, &record.manifest, (state, record.generation), access)
    }

    fn open(
        plan: &'a LiveMapPlan,
        manifest: &'a Manifest,
        (state, generation): (&State, u32),
        access: Access,
    ) -> Result<Self, Error> {
        let array = |name: &str| state.open_map(generation, name, MapKind::Array);
        let shared = |name: &str, array, value| -> Result<Box<dyn Words>, Error> {
            let writable = access == Access::Change;
            let shared = Shared::new(array, value, writable).map_err(at(format!("open {name}")))?;
            Ok(Box::new(shared))
        };
        let words = |name: &str, value| shared(name, array(name)?, value);
        let entries = ENTRIES.open(&plan.nodes, array)?;
        Ok(Self {
            plan,
            names: Names::new(&plan.name, manifest),
            image: Image {
                max: plan.max,
                state: words(&plan.state, STATE)?,
                plans: words(&plan.plans, PLAN)?,
                heads: words(&plan.heads, HEAD)?,
                nodes: words(&plan.nodes, NODE)?,
                records: shared(&ENTRIES.name(&plan.nodes), entries, RECORD as u32)?,
                wait: caps::wait_for_running_programs,
            },
            trie: TrieMaps::open(plan, state, generation)?,
        })
    }

    fn changing(&self) -> impl FnOnce(io::Error) -> Error {
        at(format!("change the live map \"{}\"", self.plan.name))
    }

    fn reading(&self) -> impl FnOnce(io::Error) -> Error {
        at(format!("read the live map \"{}\"", self.plan.name))
    }

    /// How many entries it has.
    fn len(&self) -> Result<usize, Error> {
        let count = self.image.now().and_then(|now| self.image.count(now.view));
        count.map(|count| count as usize).map_err(self.reading())
    }

    /// The entries that hold and are not `removed`, in the order in which they came.
    fn all_but(&self, removed: &BTreeMap<u32, EntryRecord>) -> io::Result<Vec<Entry>> {
        let now = self.image.now()?;
        let mut found = Vec::new();
        for number in 1..=self.image.record_count(now.side())? {
            let record = self.image.record(now.side(), number)?;
            if record.views >> now.view & 1 == 1 && !removed.contains_key(&number) {
                found.push(self.names.of_record(&record)?);
            }
        }
        Ok(found)
    }

    /// The entries as policies and commands have them.
    fn plans(&self) -> Result<Vec<LiveEntryPlan>, Error> {
        let all = self.all_but(&BTreeMap::new()).map_err(self.reading())?;
        Ok(all.iter().map(|entry| self.names.plan(entry)).collect())
    }

    /// The record for the packets of an entry that holds.
    fn record_for(&self, entry: &LiveEntryPlan) -> Result<Option<(u32, EntryRecord)>, Error> {
        let (address, length) = entry.prefix;
        let Some(prefix) = Prefix::new(address, length) else {
            return Ok(None);
        };
        let find = || {
            let now = self.image.now()?;
            let mut there = self.image.of_prefix(now.side(), prefix)?.into_iter();
            Ok(there.find(|(_, record)| record.views >> now.view & 1 == 1 && record.is_for(entry)))
        };
        find().map_err(self.reading())
    }

    fn leads_to(&self, record: &EntryRecord, socket: &str) -> bool {
        let entry = self.names.of_record(record);
        entry.is_ok_and(|entry| self.names.plan(&entry).socket == socket)
    }

    fn is_missing(&self, removed: &Removed) -> Error {
        let name = &self.plan.name;
        let cause = format!("it is not in the map; `sockc map list {name}` shows what is");
        self.names.wrong(removed.text(), cause)
    }

    fn check_room(&self, wanted: usize) -> Result<(), Error> {
        check_room(self.plan, wanted)
    }

    /// Puts entries in, in place of those that are `replaced`.
    fn add(
        &self,
        replaced: BTreeMap<u32, EntryRecord>,
        entries: &[LiveEntryPlan],
    ) -> Result<usize, Error> {
        let after = self.len()?.saturating_sub(replaced.len()) + entries.len();
        self.check_room(after)?;
        let edit = Edit {
            removed: replaced,
            added: self.names.read_all(entries)?,
        };
        let mut beside = Vec::new();
        for prefix in edit.prefixes() {
            let there = edit.staying(&self.image, &self.names, prefix);
            beside.extend(there.map_err(self.reading())?);
        }
        let kept = beside.len();
        beside.extend(&edit.added);
        self.names.check(&beside, kept)?;
        self.edit(edit)
    }

    /// Makes a change whose entries were checked.
    fn edit(&self, edit: Edit) -> Result<usize, Error> {
        let made = edit.make(&self.image, &self.names);
        if made.map_err(self.changing())? {
            return self.len();
        }
        let mut all = self.all_but(&edit.removed).map_err(self.reading())?;
        all.extend(&edit.added);
        self.put_whole(&all, false)
    }

    /// Makes the map hold exactly these entries, which were checked.
    fn put_whole(&self, entries: &[Entry], fresh: bool) -> Result<usize, Error> {
        let made = Made::new(self.plan.max, entries);
        if let Made::Trie(contents) = &made {
            check_keys(self.plan, contents, &self.trie.shape()?)?;
        }
        entry_whole::put(&self.image, &self.trie, (entries, &made), fresh)
            .map_err(self.changing())?;
        Ok(entries.len())
    }
}

fn check_room(plan: &LiveMapPlan, wanted: usize) -> Result<(), Error> {
    if wanted <= plan.max as usize {
        return Ok(());
    }
    Err(Error::MapFull {
        map: plan.name.clone(),
        wanted,
        max: plan.max,
    })
}

/// How many entries each live map has.
pub(crate) fn sizes(state: &State, record: &Record) -> Result<BTreeMap<String, usize>, Error> {
    let maps = record.manifest.maps.iter();
    let size = |plan: &LiveMapPlan| {
        let opened = Opened::of(plan, state, record, Access::Read)?;
        Ok((plan.name.clone(), opened.len()?))
    };
    maps.map(size).collect()
}

/// Fills the live maps of a new generation: with the entries of the generation before, or with what the policy says.
pub(crate) fn fill(
    manifest: &Manifest,
    before: Option<&Record>,
    (state, netns): (&State, Option<&str>),
    generation: u32,
) -> Result<(), Error> {
    for (plan, of_plan) in carried(manifest, before, (state, netns))? {
        let name = ENTRIES.name(&plan.nodes);
        let path = state.map(generation, &name);
        let title = ENTRIES.titled(&plan.name);
        Shared::create(&title, RECORD as u32, record_elements(plan.max))
            .and_then(|array| bpffs::pin(array.as_fd(), &path))
            .map_err(at(format!("make {}", path.display())))?;
        let place = (state, generation);
        let opened = Opened::open(plan, manifest, place, Access::Change)?;
        let entries = opened.names.read_all(&of_plan)?;
        opened.names.check(&entries, 0)?;
        if !entries.is_empty() {
            opened.put_whole(&entries, true)?;
        }
    }
    Ok(())
}

/// Refuses what `fill` refuses, without filling anything. `shapes` are those of the maps of the object that comes.
pub(crate) fn check(
    manifest: &Manifest,
    before: Option<&Record>,
    (state, netns): (&State, Option<&str>),
    shapes: &BTreeMap<String, Shape>,
) -> Result<(), Error> {
    for (plan, of_plan) in carried(manifest, before, (state, netns))? {
        let names = Names::new(&plan.name, manifest);
        let entries = names.read_all(&of_plan)?;
        names.check(&entries, 0)?;
        if let (Made::Trie(contents), Some(trie)) =
            (Made::new(plan.max, &entries), shapes.get(&plan.trie))
        {
            check_keys(plan, &contents, trie)?;
        }
    }
    Ok(())
}

/// What each live map of a policy that comes is to hold: what the one of its name holds, else what the policy says.
fn carried<'a>(
    manifest: &'a Manifest,
    before: Option<&Record>,
    (state, netns): (&State, Option<&str>),
) -> Result<Vec<(&'a LiveMapPlan, Vec<LiveEntryPlan>)>, Error> {
    let plans = manifest.maps.iter().map(|plan| {
        let mut old = before.iter().flat_map(|before| {
            let maps = before.manifest.maps.iter();
            maps.map(move |old| (*before, old))
        });
        let of_plan = match old.find(|(_, old)| old.name == plan.name) {
            Some((before, old)) => Opened::of(old, state, before, Access::Read)?.plans()?,
            None => plan.start.clone(),
        };
        check_room(plan, of_plan.len())?;
        check_sockets(plan, &of_plan, manifest, netns)?;
        Ok((plan, of_plan))
    });
    plans.collect()
}

/// Refuses entries that lead to sockets which the policy that comes does not have: nobody would be there.
fn check_sockets(
    plan: &LiveMapPlan,
    entries: &[LiveEntryPlan],
    manifest: &Manifest,
    netns: Option<&str>,
) -> Result<(), Error> {
    let sockets = manifest.sockets.iter();
    let declared: BTreeSet<&String> = sockets
        .filter(|socket| !socket.is_connected())
        .map(|socket| &socket.name)
        .collect();
    let lost: Vec<_> = entries
        .iter()
        .filter(|entry| !declared.contains(&entry.socket))
        .collect();
    let Some(first) = lost.first() else {
        return Ok(());
    };
    let more = match lost.len() - 1 {
        0 => String::new(),
        1 => " (1 other entry leads to such a socket too)".to_owned(),
        more => format!(" ({more} other entries lead to such sockets too)"),
    };
    let place = netns.map(|netns| format!(" --netns {netns}"));
    Err(Error::Entry {
        map: plan.name.clone(),
        entry: text(first),
        cause: format!(
            "the policy that is to come in force, \"{}\", declares no socket \"{}\"{more}; declare it there, or remove the entry first: `sockc map del{} {} '{}'`",
            manifest.policy,
            first.socket,
            place.unwrap_or_default(),
            plan.name,
            packets(first)
        ),
    })
}
