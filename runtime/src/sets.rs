//! Live sets: what is in them, changes to it, and how they come over from one generation to the next.
//!
//! The trie of a set belongs to every generation that declares it: the next one takes the same trie, so that nothing that is
//! added meanwhile is lost, and nothing has to be copied. A trie of another size cannot be taken; then its contents are.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use sockc_compiler::artifact::{Manifest, SetPlan};

use crate::error::{Error, at};
use crate::force::{self, Force};
use crate::load::Kept;
use crate::members::{Members, NEVER};
use crate::options::Options;
use crate::prefix::Prefix;
use crate::record::Record;
use crate::state::{Access, State};
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

/// A live set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSet {
    /// Its name.
    pub name: String,
    /// Most elements.
    pub max: u32,
    /// Its elements, sorted.
    pub elements: Vec<Element>,
}

/// Puts elements into a live set; those that are in get a new time. Gives how many are in it then.
///
/// # Errors
///
/// Any [`Error`]; nothing is changed then.
pub fn set_add(
    options: &Options,
    name: &str,
    elements: &[Prefix],
    expiry: Expiry,
) -> Result<usize, Error> {
    change(options, name, |plan, members, now| {
        let until = until(plan, expiry, now);
        for element in elements {
            members.put(*element, until);
        }
        Ok(())
    })
}

/// Takes elements out of a live set. Gives how many are in it then.
///
/// # Errors
///
/// Any [`Error`], also if one of the elements is not in the set; nothing is changed then.
pub fn set_del(options: &Options, name: &str, elements: &[Prefix]) -> Result<usize, Error> {
    change(options, name, |plan, members, _| {
        for element in elements {
            if !members.take(*element) {
                let outer = members.covering(element.address());
                return Err(Error::NotInSet {
                    set: plan.name.clone(),
                    element: *element,
                    covered_by: outer.map(|(outer, _)| outer),
                });
            }
        }
        Ok(())
    })
}

/// Makes a live set hold exactly these elements. Gives how many that are.
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
    change(options, name, |plan, members, now| {
        *members = Members::all_until(elements.iter().copied(), until(plan, expiry, now));
        Ok(())
    })
}

/// What is in a live set.
///
/// # Errors
///
/// Any [`Error`].
pub fn set_list(options: &Options, name: &str) -> Result<LiveSet, Error> {
    look(options, name, |plan, members, now| LiveSet {
        name: plan.name.clone(),
        max: plan.max,
        elements: members
            .iter()
            .map(|(prefix, until)| element(prefix, until, now))
            .collect(),
    })
}

/// The element by which an address is a member of a live set for longest; `None` if it is no member.
///
/// # Errors
///
/// Any [`Error`].
pub fn set_test(options: &Options, name: &str, address: IpAddr) -> Result<Option<Element>, Error> {
    look(options, name, |_, members, now| {
        let found = members.covering(address);
        found.map(|(prefix, until)| element(prefix, until, now))
    })
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
    work: impl FnOnce(&SetPlan, &Members, u64) -> T + Send,
) -> Result<T, Error> {
    force::with(options, Access::Read, |force| {
        let plan = plan_of(force, name)?;
        let now = clock::now();
        let members = members_in(&force.map(&plan.map)?, now)?;
        Ok(work(plan, &members, now))
    })
}

/// Changes what is in a set; what has expired goes first, so that it takes no room.
fn change(
    options: &Options,
    name: &str,
    work: impl FnOnce(&SetPlan, &mut Members, u64) -> Result<(), Error> + Send,
) -> Result<usize, Error> {
    force::with(options, Access::Change, |force| {
        let plan = plan_of(force, name)?;
        let trie = force.map(&plan.map)?;
        let now = clock::now();
        let mut members = members_in(&trie, now)?;
        let before = members.len();
        work(plan, &mut members, now)?;
        if members.len() > plan.max as usize {
            return Err(Error::SetFull {
                set: plan.name.clone(),
                size: before,
                wanted: members.len(),
                max: plan.max,
            });
        }
        let what = format!("change the live set \"{}\"", plan.name);
        members.write(trie.as_fd()).map_err(at(what))?;
        Ok(members.len())
    })
}

fn plan_of<'a>(force: &Force<'a>, name: &str) -> Result<&'a SetPlan, Error> {
    let sets = &force.record.manifest.sets;
    let found = sets.iter().find(|set| set.name == name);
    found.ok_or_else(|| force::unknown("live set", name, sets.iter().map(|set| set.name.as_str())))
}

fn members_in(trie: &OwnedFd, now: u64) -> Result<Members, Error> {
    let mut members = Members::read(trie.as_fd()).map_err(at("read a live set"))?;
    members.purge(now);
    Ok(members)
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

/// The tries that the next generation takes: those of the same name and shape, of the first of `sources` that has one.
pub(crate) fn kept(
    manifest: &Manifest,
    sources: &[(&State, &Record)],
    shapes: &BTreeMap<String, Shape>,
) -> Vec<Kept> {
    let sets = manifest.sets.iter();
    sets.filter_map(|plan| {
        let mut pins = sources
            .iter()
            .filter_map(|(state, record)| pin_before(plan, Some(record), state));
        let pin = pins.next()?;
        let trie = bpffs::open(&pin).ok()?;
        let there = map::shape(trie.as_fd()).ok()?;
        (shapes.get(&plan.map) == Some(&there)).then(|| Kept {
            name: plan.map.clone(),
            pin,
            again: true,
        })
    })
    .collect()
}

fn pin_before(
    plan: &SetPlan,
    before: Option<&Record>,
    state: &State,
) -> Option<std::path::PathBuf> {
    let before = before?;
    let same = before
        .manifest
        .sets
        .iter()
        .find(|set| set.name == plan.name)?;
    Some(state.map(before.generation, &same.map))
}

/// How many elements are in a live set of a policy in force.
pub(crate) fn size(plan: &SetPlan, state: &State, record: &Record) -> Result<usize, Error> {
    let path = state.map(record.generation, &plan.map);
    let trie = bpffs::open(&path).map_err(at(format!("open {}", path.display())))?;
    Ok(members_in(&trie, clock::now())?.len())
}

/// Fills the tries of a generation that are new, with what was in the set before, or with what the policy says. A trie that
/// was taken over is only looked at.
pub(crate) fn fill(
    manifest: &Manifest,
    before: Option<&Record>,
    state: &State,
    generation: u32,
    kept: &[Kept],
) -> Result<(), Error> {
    let now = clock::now();
    for plan in &manifest.sets {
        if kept.iter().any(|kept| kept.name == plan.map) {
            continue;
        }
        let path = state.map(generation, &plan.map);
        let trie = bpffs::open(&path).map_err(|_| Error::Object {
            cause: format!("it lacks the map \"{}\"", plan.map),
        })?;
        let members = match pin_before(plan, before, state) {
            Some(pin) => {
                let old = bpffs::open(&pin).map_err(at(format!("open {}", pin.display())))?;
                members_in(&old, now)?
            }
            None => at_start(plan, now)?,
        };
        if members.len() > plan.max as usize {
            return Err(Error::SetOutgrown {
                set: plan.name.clone(),
                size: members.len(),
                max: plan.max,
            });
        }
        let what = format!("fill the live set \"{}\"", plan.name);
        members.write(trie.as_fd()).map_err(at(what))?;
    }
    Ok(())
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
