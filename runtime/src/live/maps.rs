//! Live maps: their entries, changes to them, and how they come over from one generation to the next.
//!
//! The entries are kept as they were written, in a pinned map of the generation; from them follows what the kernel's maps
//! hold. These have two sides, and one word says which one programs ask: every change fills the other side with the whole map
//! and then writes the word. So a packet meets the entries before or those after, and so does whoever comes after a kill.
//! Sockets and classes of ports have other numbers in another generation, so each has maps of its own, filled from the
//! entries of the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use sockc_compiler::artifact::{LiveEntryPlan, LiveMapPlan, Manifest};

use super::Missing;
use super::entries::{Contents, packets, text};
use super::entry_maps::{Maps, check_keys};
use crate::active::{self, Active};
use crate::error::{Error, at, undeclared, unreadable};
use crate::options::Options;
use crate::state::chunks;
use crate::state::record::Record;
use crate::state::{Access, State};
use crate::sys::bpffs;
use crate::sys::map::Shape;

/// The entries of all live maps of a generation, by the map's name and the side of the kernel's maps that holds them. Those of
/// a side that is not asked are of a change that is under way, or was killed.
type Entries = BTreeMap<String, [Option<Vec<LiveEntryPlan>>; 2]>;

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
    change(options, name, |_, all| {
        let kept = all.len();
        all.extend_from_slice(entries);
        Ok(kept)
    })
}

/// Puts entries into a live map, each in place of the one for the same packets, if there is one. Gives how many are in it then.
///
/// # Errors
///
/// Any [`Error`]; nothing is changed then.
pub fn map_put(options: &Options, name: &str, entries: &[LiveEntryPlan]) -> Result<usize, Error> {
    let key = |entry: &LiveEntryPlan| {
        let protocol = entry.protocol.map(|protocol| protocol.0);
        (entry.prefix, entry.ports, protocol)
    };
    let put: BTreeSet<_> = entries.iter().map(key).collect();
    change(options, name, |_, all| {
        all.retain(|entry| !put.contains(&key(entry)));
        let kept = all.len();
        all.extend_from_slice(entries);
        Ok(kept)
    })
}

/// Makes a live map hold exactly these entries. Gives how many that are.
///
/// # Errors
///
/// Any [`Error`]; nothing is changed then.
pub fn map_load(options: &Options, name: &str, entries: &[LiveEntryPlan]) -> Result<usize, Error> {
    change(options, name, |_, all| {
        *all = entries.to_vec();
        Ok(0)
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
    change(options, name, |plan, all| {
        for removed in entries {
            match all.iter().position(|entry| removed.means(entry)) {
                Some(place) => drop(all.remove(place)),
                None if missing == Missing::Ignored => {}
                None => {
                    return Err(Error::Entry {
                        map: plan.name.clone(),
                        entry: removed.text(),
                        cause: format!(
                            "it is not in the map; `sockc map list {}` shows what is",
                            plan.name
                        ),
                    });
                }
            }
        }
        Ok(all.len())
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
        let (state, record) = (active.state(), active.record);
        let plan = plan_of(active, name)?;
        let maps = Maps::open(plan, state, record.generation)?;
        Ok(LiveMap {
            name: plan.name.clone(),
            max: plan.max,
            entries: asked((state, record), &read(state, record)?, &maps)?,
        })
    })
}

fn plan_of<'a>(active: &Active<'a>, name: &str) -> Result<&'a LiveMapPlan, Error> {
    let maps = &active.record.manifest.maps;
    let found = maps.iter().find(|map| map.name == name);
    found.ok_or_else(|| undeclared("live map", name, maps.iter().map(|map| map.name.as_str())))
}

/// Changes a live map; `work` gives how many of the entries, from the first one on, are in it already.
fn change(
    options: &Options,
    name: &str,
    work: impl FnOnce(&LiveMapPlan, &mut Vec<LiveEntryPlan>) -> Result<usize, Error> + Send,
) -> Result<usize, Error> {
    active::with(options, Access::Change, |active| {
        let (state, record) = (active.state(), active.record);
        let plan = plan_of(active, name)?;
        let maps = Maps::open(plan, state, record.generation)?;
        let kept = read(state, record)?;
        let mut entries = asked((state, record), &kept, &maps)?;
        let old = work(plan, &mut entries)?;
        check_room(plan, &entries)?;
        let count = entries.len();
        let contents = maps.contents(&entries, old, &record.manifest)?;
        let keep = |kept: &Entries| keep(state, record.generation, kept);
        replace(&maps, &contents, entries, kept, keep)?;
        Ok(count)
    })
}

/// The entries of the side that programs ask.
fn asked(
    (state, record): (&State, &Record),
    kept: &Entries,
    maps: &Maps<'_>,
) -> Result<Vec<LiveEntryPlan>, Error> {
    let name = &maps.plan.name;
    let side = maps.side()?;
    let sides = kept.get(name);
    let entries = sides.and_then(|sides| sides.get(side)?.clone());
    entries.ok_or_else(|| Error::State {
        path: state.entries(record.generation),
        cause: format!("it lacks the entries of the live map \"{name}\""),
    })
}

fn check_room(plan: &LiveMapPlan, entries: &[LiveEntryPlan]) -> Result<(), Error> {
    if entries.len() <= plan.max as usize {
        return Ok(());
    }
    Err(Error::MapFull {
        map: plan.name.clone(),
        wanted: entries.len(),
        max: plan.max,
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
        Err(error) => Err(unreadable(&path, error)),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string())),
    }
}

/// The entries of each live map of a policy in force.
fn all(state: &State, record: &Record) -> Result<BTreeMap<String, Vec<LiveEntryPlan>>, Error> {
    let kept = read(state, record)?;
    let maps = record.manifest.maps.iter();
    maps.map(|plan| {
        let maps = Maps::open(plan, state, record.generation)?;
        Ok((plan.name.clone(), asked((state, record), &kept, &maps)?))
    })
    .collect()
}

/// How many entries each live map has.
pub(crate) fn sizes(state: &State, record: &Record) -> Result<BTreeMap<String, usize>, Error> {
    let entries = all(state, record)?.into_iter();
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
    let next = state.next_entries(generation);
    bpffs::unpin(&next).map_err(at(what))?;
    chunks::write("entries", &json, &next).map_err(at(what))?;
    fs::rename(&next, state.entries(generation)).map_err(at(what))
}

/// Fills the live maps of a new generation: with the entries of the generation before, or with what the policy says.
pub(crate) fn fill(
    manifest: &Manifest,
    before: Option<&Record>,
    (state, netns): (&State, Option<&str>),
    generation: u32,
) -> Result<(), Error> {
    if manifest.maps.is_empty() {
        return Ok(());
    }
    let mut entries = Entries::new();
    for (plan, of_plan) in carried(manifest, before, (state, netns))? {
        let maps = Maps::open(plan, state, generation)?;
        let what = format!("fill the live map \"{}\"", plan.name);
        let contents = maps.contents(&of_plan, of_plan.len(), manifest)?;
        maps.fill(0, &contents).map_err(at(what))?;
        entries.insert(plan.name.clone(), [Some(of_plan), None]);
    }
    keep(state, generation, &entries)
}

/// Refuses what `fill` refuses, without filling anything. `shapes` are those of the maps of the object that comes.
pub(crate) fn check(
    manifest: &Manifest,
    before: Option<&Record>,
    (state, netns): (&State, Option<&str>),
    shapes: &BTreeMap<String, Shape>,
) -> Result<(), Error> {
    for (plan, of_plan) in carried(manifest, before, (state, netns))? {
        let contents = Contents::new(&plan.name, &of_plan, of_plan.len(), manifest)?;
        if let Some(trie) = shapes.get(&plan.trie) {
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
    let kept = before.map(|record| all(state, record)).transpose()?;
    let mut kept = kept.unwrap_or_default();
    let plans = manifest.maps.iter().map(|plan| {
        let of_plan = kept
            .remove(&plan.name)
            .unwrap_or_else(|| plan.start.clone());
        check_room(plan, &of_plan)?;
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
    let declared = |name: &String| {
        let mut sockets = manifest.sockets.iter();
        sockets.any(|socket| socket.name == *name && !socket.is_connected())
    };
    let lost: Vec<_> = entries
        .iter()
        .filter(|entry| !declared(&entry.socket))
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

/// Puts whole contents in force. What the other side is to hold is kept first: so whoever comes after a kill finds in
/// `kept` that there may be something of it, and in the word whether it holds.
fn replace(
    maps: &Maps<'_>,
    contents: &Contents,
    entries: Vec<LiveEntryPlan>,
    mut kept: Entries,
    keep: impl Fn(&Entries) -> Result<(), Error>,
) -> Result<(), Error> {
    let what = || at(format!("change the live map \"{}\"", maps.plan.name));
    let side = maps.side()?;
    let other = 1 - side;
    let sides = kept.entry(maps.plan.name.clone()).or_default();
    let [before, left] = match side {
        0 => [sides[0].take(), sides[1].take()],
        _ => [sides[1].take(), sides[0].take()],
    };
    if left.is_some() {
        maps.empty(other).map_err(what())?;
    }
    let mut both = kept.clone();
    both.insert(
        maps.plan.name.clone(),
        in_order(side, before.clone(), Some(entries.clone())),
    );
    keep(&both)?;
    let filled = maps.fill(other, contents).and_then(|()| maps.ask(other));
    if let Err(error) = filled {
        // What cannot be taken away now is removed by the next change.
        if maps.empty(other).is_ok() {
            kept.insert(maps.plan.name.clone(), in_order(side, before, None));
            let _ = keep(&kept);
        }
        return Err(what()(error));
    }
    // The new entries are in force; what is left of the old ones, the next change removes too.
    if maps.empty(side).is_ok() {
        kept.insert(maps.plan.name.clone(), in_order(other, Some(entries), None));
        let _ = keep(&kept);
    }
    Ok(())
}

fn in_order(
    side: usize,
    of_side: Option<Vec<LiveEntryPlan>>,
    of_other: Option<Vec<LiveEntryPlan>>,
) -> [Option<Vec<LiveEntryPlan>>; 2] {
    match side {
        0 => [of_side, of_other],
        _ => [of_other, of_side],
    }
}
