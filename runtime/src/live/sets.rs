//! Live sets: what is in them, changes to it, and how they come over from one generation to the next.
//!
//! The maps of a set belong to every generation that declares it: the next one takes the same maps, so that nothing that is
//! added meanwhile is lost, and nothing has to be copied. Maps of another size cannot be taken, nor can those of a set without a table; then the contents are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use sockc_compiler::artifact::{Manifest, MapKind, SetPlan};

use super::members::{Members, NEVER};
use super::set_change::Change;
use super::set_maps::{DUE, SetMaps, make_due};
use super::{Missing, own};
use crate::active::{self, Active};
use crate::error::{Error, at, undeclared, unless_passing};
use crate::groups::refused;
use crate::load::Kept;
use crate::options::Options;
use crate::prefix::Prefix;
use crate::state::pins;
use crate::state::record::Record;
use crate::state::{Access, State, pinned_map};
use crate::sys::map::Shape;
use crate::sys::{bpffs, clock, map};

/// When new elements leave a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// As the policy says.
    Declared,
    /// After this time.
    After(Duration),
    /// Not by themselves.
    Never,
}

/// An element of a live set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// The address or prefix.
    pub prefix: Prefix,
    /// How long it stays; `None` for ever.
    pub left: Option<Duration>,
}

/// A live set and how full it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSummary {
    /// Its name.
    pub name: String,
    /// How many elements are in it.
    pub elements: usize,
    /// The maximum number of elements.
    pub max: u32,
}

/// A live set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSet {
    /// Its name.
    pub name: String,
    /// The maximum number of elements.
    pub max: u32,
    /// Its elements, sorted.
    pub elements: Vec<Element>,
}

/// What came of putting elements into a live set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// How many are in it now.
    pub elements: usize,
    /// How many of those that were put in stayed in it until then, and leave by themselves now.
    pub ending: usize,
}

/// Puts elements into a live set; those that are in get a new time, as those of nftables do since Linux 6.12.
///
/// # Errors
///
/// Any [`Error`]; nothing is changed then.
pub fn set_add(
    options: &Options,
    name: &str,
    elements: &[Prefix],
    expiry: Expiry,
) -> Result<Added, Error> {
    let elements: BTreeSet<Prefix> = elements.iter().copied().collect();
    let mut ending = 0;
    let count = change(options, name, elements.len(), |plan, change, now| {
        let what = changing(plan);
        let size = change.len();
        let wanted = size + change.missing(&elements).map_err(at(what.clone()))?;
        if wanted > plan.max as usize {
            return Err(Error::SetFull {
                set: plan.name.clone(),
                size,
                wanted,
                max: plan.max,
            });
        }
        let until = until(plan, expiry, now);
        for element in &elements {
            let before = change.put(*element, until).map_err(at(what.clone()))?;
            ending += usize::from(before == Some(NEVER) && until != NEVER);
        }
        Ok(())
    })?;
    Ok(Added {
        elements: count,
        ending,
    })
}

/// Takes elements out of a live set. Gives how many are in it then.
///
/// # Errors
///
/// Any [`Error`], also if one of the elements is not in the set and that is not to be ignored; nothing is changed then.
pub fn set_del(
    options: &Options,
    name: &str,
    elements: &[Prefix],
    missing: Missing,
) -> Result<usize, Error> {
    let elements: BTreeSet<Prefix> = elements.iter().copied().collect();
    change(options, name, 0, |plan, change, now| {
        let what = || at(changing(plan));
        if missing == Missing::Refused {
            for element in &elements {
                if !change.has(*element).map_err(what())? {
                    return Err(not_in(plan, *element, change, now));
                }
            }
        }
        for element in &elements {
            change.take(*element).map_err(what())?;
        }
        Ok(())
    })
}

fn not_in(plan: &SetPlan, element: Prefix, change: &Change<'_>, now: u64) -> Error {
    match change.covering(element.address(), now) {
        Err(cause) => at(changing(plan))(cause),
        Ok(outer) => Error::NotInSet {
            set: plan.name.clone(),
            element,
            covered_by: outer.map(|(outer, _)| outer),
        },
    }
}

/// Makes a live set hold exactly these elements, at once: every packet meets the old ones or the new ones, and so does who
/// comes after a kill. Gives how many elements that are.
///
/// # Errors
///
/// Any [`Error`]; nothing is changed then.
pub fn set_load(
    options: &Options,
    name: &str,
    elements: &[Prefix],
    expiry: Expiry,
) -> Result<usize, Error> {
    active::with_trial(options, Access::Change, true, |active| {
        let plan = plan_of(active, name)?;
        own::refuse_by_hand(plan, options)?;
        refuse_of_one(active, plan)?;
        let maps = open(plan, active.state(), active.record, Access::Change)?;
        let now = clock::now();
        let members = Members::all_until(elements.iter().copied(), until(plan, expiry, now));
        if members.len() > plan.max as usize {
            return Err(Error::SetFull {
                set: plan.name.clone(),
                size: 0,
                wanted: members.len(),
                max: plan.max,
            });
        }
        maps.replace(&members).map_err(at(changing(plan)))?;
        refused::changed(active.state(), active.record);
        Ok(members.len())
    })
}

/// The live sets of the policy in force.
///
/// # Errors
///
/// Any [`Error`].
pub fn set_names(options: &Options) -> Result<Vec<SetSummary>, Error> {
    active::with(options, Access::Read, |active| {
        let sets = active.record.manifest.sets.iter();
        let summary = |plan: &SetPlan| {
            Ok(SetSummary {
                name: plan.name.clone(),
                elements: size(plan, active.state(), active.record)?,
                max: plan.max,
            })
        };
        sets.map(summary).collect()
    })
}

/// What is in a live set.
///
/// # Errors
///
/// Any [`Error`].
pub fn set_list(options: &Options, name: &str) -> Result<LiveSet, Error> {
    look(options, name, |plan, maps, now| {
        let members = maps.members(now).map_err(at(READING))?;
        let elements = members.iter();
        Ok(LiveSet {
            name: plan.name.clone(),
            max: plan.max,
            elements: elements
                .map(|(prefix, until)| element(prefix, until, now))
                .collect(),
        })
    })
}

/// The element by which an address is a member of a live set for longest; `None` if it is no member.
///
/// # Errors
///
/// Any [`Error`].
pub fn set_test(options: &Options, name: &str, address: IpAddr) -> Result<Option<Element>, Error> {
    look(options, name, |_, maps, now| {
        let found = maps.covering(address, now).map_err(at(READING))?;
        Ok(found.map(|(prefix, until)| element(prefix, until, now)))
    })
}

const READING: &str = "read a live set";

fn changing(plan: &SetPlan) -> String {
    format!("change the live set \"{}\"", plan.name)
}

fn element(prefix: Prefix, until: u64, now: u64) -> Element {
    let left = Duration::from_nanos(until.saturating_sub(now));
    Element {
        prefix,
        left: (until != NEVER).then_some(left),
    }
}

fn look<T: Send>(
    options: &Options,
    name: &str,
    work: impl FnOnce(&SetPlan, &SetMaps, u64) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    active::with(options, Access::Read, |active| {
        let plan = plan_of(active, name)?;
        let maps = open(plan, active.state(), active.record, Access::Read)?;
        work(plan, &maps, clock::now())
    })
}

/// Changes single elements of a set, where at most so many come; what has expired goes first, so that it takes no room.
fn change(
    options: &Options,
    name: &str,
    coming: usize,
    work: impl FnOnce(&SetPlan, &mut Change<'_>, u64) -> Result<(), Error> + Send,
) -> Result<usize, Error> {
    active::with_trial(options, Access::Change, true, |active| {
        let plan = plan_of(active, name)?;
        own::refuse_by_hand(plan, options)?;
        refuse_of_one(active, plan)?;
        let maps = open(plan, active.state(), active.record, Access::Change)?;
        let now = clock::now();
        let mut change = Change::begin(&maps, now, coming).map_err(at(changing(plan)))?;
        let worked = work(plan, &mut change, now);
        let ended = match &worked {
            Ok(()) => Ok(change.finish()),
            Err(_) => change.undo(),
        };
        let count = worked.and(ended.map_err(at(changing(plan))))?;
        // A trial may have ended meanwhile, and the policy before with a set of its own be in force again.
        // Where that cannot be read now, the change was made all the same.
        let word = active.state().word().ok().flatten();
        if word.is_some_and(|word| word != active.record.generation) {
            return Err(Error::Outlived {
                set: plan.name.clone(),
            });
        }
        refused::changed(active.state(), active.record);
        Ok(count)
    })
}

/// Refuses to change a set while a policy is on trial, unless the one before has the same set: one of both would not see the change.
pub(super) fn refuse_of_one(active: &Active<'_>, plan: &SetPlan) -> Result<(), Error> {
    let state = active.state();
    let namespace = &active.session.namespace;
    let Some(trial) = state.trial_of(namespace)? else {
        return Ok(());
    };
    let before = state.record(trial.fallback);
    let shared = match Record::read_alone(&before) {
        Ok(record) => match set_before(plan, &record) {
            Some(same) => are_same(state, [(active.record, plan), (&record, same)])?,
            None => false,
        },
        Err(Error::State { .. }) => false,
        Err(error) => return Err(error),
    };
    if shared {
        Ok(())
    } else {
        state.refuse_on_trial(namespace)
    }
}

/// Whether two policies have one set, by the ids of its maps.
fn are_same(state: &State, sets: [(&Record, &SetPlan); 2]) -> Result<bool, Error> {
    let [one, other] = sets.map(|(record, plan)| {
        let maps = maps_of(plan).into_iter();
        let ids = maps.map(|name| {
            let path = state.map(record.generation, name);
            let id = bpffs::open(&path).and_then(|map| map::id(map.as_fd()).map(Some));
            unless_passing(&path, id)
        });
        ids.collect::<Result<Vec<_>, Error>>()
    });
    let (one, other) = (one?, other?);
    Ok(one == other && one.iter().all(Option::is_some))
}

/// The maps of a set of a generation.
pub(super) fn open(
    plan: &SetPlan,
    state: &State,
    record: &Record,
    access: Access,
) -> Result<SetMaps, Error> {
    let due = DUE.name(&plan.map);
    let is_of_it = |name: &str| name == due || maps_of(plan).contains(&name);
    pins::check_maps(state, record, is_of_it)?;
    SetMaps::open(plan, access == Access::Change, |name, kind| {
        pinned_map(&state.map(record.generation, name), kind)
    })
}

fn plan_of<'a>(active: &Active<'a>, name: &str) -> Result<&'a SetPlan, Error> {
    let sets = &active.record.manifest.sets;
    let found = sets.iter().find(|set| set.name == name);
    found.ok_or_else(|| undeclared("live set", name, sets.iter().map(|set| set.name.as_str())))
}

fn until(plan: &SetPlan, expiry: Expiry, now: u64) -> u64 {
    let left = match expiry {
        Expiry::Never => return NEVER,
        Expiry::After(left) => Some(left),
        Expiry::Declared => plan.expires.map(Duration::from_millis),
    };
    left.map_or(NEVER, |left| {
        let left = u64::try_from(left.as_nanos()).unwrap_or(NEVER);
        now.saturating_add(left)
    })
}

/// What sets are taken from: the policy around, if there is one, and the policy before, each if there is one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sources<'a> {
    /// A set of the policy around is the same set here, but for `self`: this namespace has addresses of its own.
    pub(crate) around: Option<(&'a State, &'a Record)>,
    pub(crate) before: Option<(&'a State, &'a Record)>,
}

/// The maps that the next generation takes: of the sets of the same name and shape, of the first of the sources that has one.
pub(crate) fn kept(
    manifest: &Manifest,
    sources: Sources<'_>,
    shapes: &BTreeMap<String, Shape>,
) -> Result<Vec<Kept>, Error> {
    let mut kept = Vec::new();
    for plan in &manifest.sets {
        let around = sources.around.filter(|_| !plan.is_own());
        let sources: Vec<_> = around.into_iter().chain(sources.before).collect();
        kept.extend(kept_maps(plan, &sources, shapes)?.unwrap_or_default());
    }
    Ok(kept)
}

/// The trie of a set, its table, and the word that says which side of them holds: all or none.
fn kept_maps(
    plan: &SetPlan,
    sources: &[(&State, &Record)],
    shapes: &BTreeMap<String, Shape>,
) -> Result<Option<Vec<Kept>>, Error> {
    let mut sources = sources.iter();
    let found =
        sources.find_map(|(state, record)| Some((state, record, set_before(plan, record)?)));
    let Some((state, record, same)) = found else {
        return Ok(None);
    };
    let keep = |name: &str, before: &str| {
        let pin = state.map(record.generation, before);
        // Where it is gone the elements have to be copied, and whoever does that says so.
        let there = bpffs::open(&pin).and_then(|map| map::shape(map.as_fd()));
        let there = unless_passing(&pin, there.map(Some))?;
        Ok(
            (there.is_some() && shapes.get(name).copied() == there).then(|| Kept {
                name: name.to_owned(),
                pin,
                again: true,
            }),
        )
    };
    let (new, old) = (maps_of(plan), maps_of(same));
    if new.len() != old.len() {
        return Ok(None);
    }
    let all = new.into_iter().zip(old);
    all.map(|(name, before)| keep(name, before)).collect()
}

/// The maps of a set that the object has: those of one that has a table, or of one that has none.
fn maps_of(plan: &SetPlan) -> Vec<&str> {
    let mut names = vec![plan.map.as_str(), &plan.state];
    let table = plan.table.iter();
    names.extend(table.flat_map(|table| [table.plans.as_str(), &table.heads, &table.nodes]));
    names
}

fn set_before<'a>(plan: &SetPlan, before: &'a Record) -> Option<&'a SetPlan> {
    let mut sets = before.manifest.sets.iter();
    sets.find(|set| set.name == plan.name)
}

/// How many elements are in a live set of a policy in force.
pub(crate) fn size(plan: &SetPlan, state: &State, record: &Record) -> Result<usize, Error> {
    let maps = open(plan, state, record, Access::Read)?;
    maps.len(clock::now()).map_err(at(READING))
}

/// Fills the maps of a generation that are new, with what was in the set before, or with what the policy says. Those that
/// were taken over are only looked at, but for `self`: the addresses of now are as true for the policy before.
pub(crate) fn fill(
    (manifest, options): (&Manifest, &Options),
    before: Option<&Record>,
    state: &State,
    generation: u32,
    kept: &[Kept],
) -> Result<(), Error> {
    for plan in &manifest.sets {
        let own = own::begins(plan, options)?;
        let due = state.map(generation, &DUE.name(&plan.map));
        match kept.iter().find(|kept| kept.name == plan.map) {
            Some(kept) => {
                keep_due(plan, kept, state, generation)?;
                if let Some(own) = own {
                    let maps = made(plan, state, generation)?;
                    maps.replace(&own).map_err(at(own::FILLING))?;
                }
            }
            None => {
                make_due(plan, &due).map_err(at(format!("make {}", due.display())))?;
                begin(plan, (own, before), state, generation)?;
            }
        }
    }
    Ok(())
}

/// The maps of a set of a generation that is being made.
fn made(plan: &SetPlan, state: &State, generation: u32) -> Result<SetMaps, Error> {
    SetMaps::open(plan, true, |name, kind| {
        state.open_map(generation, name, kind)
    })
}

/// Pins the due times of a set that is taken over. No program reads them: where their pin is gone they are gone, and the next
/// change takes them from the elements again.
fn keep_due(plan: &SetPlan, kept: &Kept, state: &State, generation: u32) -> Result<(), Error> {
    let path = state.map(generation, &DUE.name(&plan.map));
    let name = kept.pin.file_name().and_then(|name| name.to_str());
    let before = DUE.open(name.unwrap_or_default(), |name| {
        pinned_map(&kept.pin.with_file_name(name), MapKind::LpmTrie)
    });
    match before {
        Err(Error::State { .. }) => {
            make_due(plan, &path).map_err(at(format!("make {}", path.display())))?;
            let maps = made(plan, state, generation)?;
            maps.distrust_times().map_err(at(changing(plan)))
        }
        due => bpffs::pin(due?.as_fd(), &path).map_err(at(format!("pin {}", path.display()))),
    }
}

fn begin(
    plan: &SetPlan,
    (own, before): (Option<Members>, Option<&Record>),
    state: &State,
    generation: u32,
) -> Result<(), Error> {
    let now = clock::now();
    let maps = made(plan, state, generation)?;
    let old = before.and_then(|before| Some((before, set_before(plan, before)?)));
    let members = match (own, old) {
        (Some(own), _) => own,
        (None, Some((before, old))) => open(old, state, before, Access::Read)?
            .members(now)
            .map_err(at(READING))?,
        (None, None) => at_start(plan, now)?,
    };
    if members.len() > plan.max as usize {
        return Err(Error::SetOutgrown {
            set: plan.name.clone(),
            size: members.len(),
            max: plan.max,
        });
    }
    let what = format!("fill the live set \"{}\"", plan.name);
    maps.begin(&members).map_err(at(what))
}

fn at_start(plan: &SetPlan, now: u64) -> Result<Members, Error> {
    let elements = plan.start.iter().map(|(address, length)| {
        Prefix::new(*address, *length).ok_or_else(|| Error::Object {
            cause: format!(
                "the live set \"{}\" starts with {address}/{length}",
                plan.name
            ),
        })
    });
    let elements = elements.collect::<Result<Vec<_>, _>>()?;
    Ok(Members::all_until(
        elements,
        until(plan, Expiry::Declared, now),
    ))
}
