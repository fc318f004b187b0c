//! What becomes of what changes while a policy runs: live sets and maps, sockets that were handed over, groups, counters.

mod sockets;

use sockc_compiler::artifact::{GroupPlan, Manifest, SlotOrigin};
use sockc_compiler::policy::OWN;

use crate::apply::targets::Targets;
use crate::blocks::part::Part;
use crate::error::Error;
use crate::live::{maps, own, sets};
use crate::load;
use crate::pairs;
use crate::session::Session;
use crate::sockets::lookup::SlotState;
use crate::state::State;
use crate::state::heirs::heirs;
use crate::state::record::Record;

/// Something that a policy declares and that changes while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataForecast {
    /// `live set`, `live map`, `socket`, `connected socket`, `group` or `pairs`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What becomes of what is in it.
    pub fate: Carried,
    /// How many elements that is, where that is known: of sets and maps. 0 of a socket that nothing was handed over for.
    pub elements: Option<usize>,
    /// Of a socket that is filled or emptied: which slot, and who is there.
    pub slot: Option<SlotState>,
}

/// What becomes of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// It stays where it is.
    Kept,
    /// It stays where it is and is brought up to date: `self`, which is behind the addresses of the machine.
    Refilled,
    /// It is copied into a new one. Commands that change it wait until that one is in force, so nothing is lost.
    Copied,
    /// It begins as the policy says.
    Begins,
    /// A slot that is empty is filled with the socket that is there.
    Filled,
    /// A slot that holds a socket is empty then: the socket is not the one that the policy means.
    Emptied,
    /// It goes away.
    Goes,
}

/// What becomes of counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterForecast {
    /// Those that go on from what was counted.
    pub kept: usize,
    /// Those that begin at 0.
    pub new: usize,
    /// Those of which nothing is left.
    pub gone: usize,
}

/// What becomes of counters.
pub(super) fn counters(before: Option<&Record>, manifest: &Manifest) -> CounterForecast {
    let old = before.map_or(&[][..], |before| &before.manifest.counters);
    let heirs = heirs(old, &manifest.counters);
    let kept = heirs.iter().flatten().count();
    CounterForecast {
        kept,
        new: heirs.len() - kept,
        gone: old.len() - kept,
    }
}

/// What becomes of everything else, in the order sets, maps, sockets, groups, pairs, each in the policy's order, those that go last.
pub(super) fn forecast(
    part: &Part<'_>,
    targets: &Targets,
    session: &Session,
    before: Option<&Record>,
    around: Option<&[DataForecast]>,
) -> Result<Vec<DataForecast>, Error> {
    let mut found = live_sets(part, session, before, around.unwrap_or_default())?;
    found.extend(of_maps(part, session, before)?);
    let handed = |manifest: &Manifest| -> Vec<String> {
        let sockets = manifest.sockets.iter();
        let handed = sockets
            .filter(|socket| socket.origin == SlotOrigin::Registered && !socket.is_connected());
        handed.map(|socket| socket.name.clone()).collect()
    };
    let (slots, absent) = sockets::forecast(part.manifest, session, before)?;
    let emptied = |name: &String| slots.iter().any(|one| one.name == *name);
    let old = before.map(|before| handed(&before.manifest));
    let new = handed(part.manifest).into_iter();
    let new = new.filter(|name| !emptied(name)).map(|name| {
        let nothing = absent.contains(&name).then_some(0);
        (name, nothing)
    });
    let old: Vec<String> = old
        .into_iter()
        .flatten()
        .filter(|name| !emptied(name))
        .collect();
    found.extend(by_name("socket", &old, new.collect()));
    found.extend(slots);
    found.extend(sockets::ends(part.manifest, session, before)?);
    found.extend(groups(part, targets, before));
    found.extend(spliced(part, session, before)?);
    Ok(found)
}

fn live_sets(
    part: &Part<'_>,
    session: &Session,
    before: Option<&Record>,
    around: &[DataForecast],
) -> Result<Vec<DataForecast>, Error> {
    let state = &session.state;
    let shapes = load::shapes(part.object)?;
    let sources = sets::Sources {
        around: None,
        before: before.map(|before| (state, before)),
    };
    let kept = sets::kept(part.manifest, sources, &shapes)?;
    // A set of the outer policy is the same set here, whatever this policy had of its name, but for the addresses of the machine.
    let shared = |name: &str| {
        let mut sets = around.iter().filter(|one| one.kind == "live set");
        let same = |one: &&DataForecast| one.name == name && one.name != OWN;
        sets.find(|one| same(one) && one.fate != Carried::Goes)
    };
    let mut found = Vec::new();
    for plan in &part.manifest.sets {
        if let Some(outer) = shared(&plan.name) {
            found.push(outer.clone());
            continue;
        }
        let own = own::begins(plan, &part.options)?;
        let size = match &own {
            Some(own) => Some(own.len()),
            None => size_of(&plan.name, state, before)?,
        };
        let is_behind = || match (&own, before) {
            (Some(_), Some(before)) => Ok(!own::behind(state, before)?.is_none()),
            _ => Ok::<bool, Error>(false),
        };
        let fate = match size {
            _ if kept.iter().any(|kept| kept.name == plan.map) && is_behind()? => Carried::Refilled,
            _ if kept.iter().any(|kept| kept.name == plan.map) => Carried::Kept,
            Some(size) if size > plan.max as usize => {
                return Err(Error::SetOutgrown {
                    set: plan.name.clone(),
                    size,
                    max: plan.max,
                });
            }
            Some(_) if own.is_none() => Carried::Copied,
            _ => Carried::Begins,
        };
        found.push(DataForecast {
            kind: "live set",
            name: plan.name.clone(),
            fate,
            elements: Some(size.unwrap_or(plan.start.len())),
            slot: None,
        });
    }
    let declared = |name: &str| part.manifest.sets.iter().any(|set| set.name == name);
    let old = before.iter().flat_map(|before| &before.manifest.sets);
    let gone = old.filter(|set| !declared(&set.name) && shared(&set.name).is_none());
    for set in gone {
        let size = size_of(&set.name, state, before)?;
        found.push(gone_of("live set", &set.name, size));
    }
    Ok(found)
}

/// How many elements the live set of this name holds; nothing where none is in force.
fn size_of(name: &str, state: &State, before: Option<&Record>) -> Result<Option<usize>, Error> {
    let Some(before) = before else {
        return Ok(None);
    };
    let mut sets = before.manifest.sets.iter();
    let old = sets.find(|set| set.name == name);
    old.map(|old| sets::size(old, state, before)).transpose()
}

fn of_maps(
    part: &Part<'_>,
    session: &Session,
    before: Option<&Record>,
) -> Result<Vec<DataForecast>, Error> {
    maps::check(
        part.manifest,
        before,
        (&session.state, part.options.netns.as_deref()),
        &load::shapes(part.object)?,
    )?;
    let sizes = before.map(|before| maps::sizes(&session.state, before));
    let sizes = sizes.transpose()?.unwrap_or_default();
    let new = part.manifest.maps.iter().map(|plan| {
        let there = sizes.get(&plan.name).copied();
        (plan.name.clone(), Some(there.unwrap_or(plan.start.len())))
    });
    let old: Vec<String> = sizes.keys().cloned().collect();
    let mut found = by_name("live map", &old, new.collect());
    for one in found.iter_mut().filter(|one| one.fate == Carried::Goes) {
        one.elements = sizes.get(&one.name).copied();
    }
    Ok(found)
}

/// Groups whose sockets are taken in; they are the same if their control groups are.
fn groups(part: &Part<'_>, targets: &Targets, before: Option<&Record>) -> Vec<DataForecast> {
    let named = part.manifest.groups.iter().zip(&targets.groups);
    let named = named.filter(|(plan, _)| plan.takes_in());
    let new: Vec<(&GroupPlan, u64)> = named.map(|(plan, group)| (plan, group.number)).collect();
    let old: Vec<(&GroupPlan, u64)> = before.iter().flat_map(|before| before.taken_in()).collect();
    let has = |all: &[(&GroupPlan, u64)], number| all.iter().any(|(_, other)| *other == number);
    let come = new.iter().map(|(plan, number)| DataForecast {
        kind: "group",
        name: plan.name.clone(),
        fate: match has(&old, *number) {
            true => Carried::Kept,
            false => Carried::Begins,
        },
        elements: None,
        slot: None,
    });
    let gone = old.iter().filter(|(_, number)| !has(&new, *number));
    let gone = gone.map(|(plan, _)| gone_of("group", &plan.name, None));
    come.chain(gone).collect()
}

/// Pairs that are spliced.
fn spliced(
    part: &Part<'_>,
    session: &Session,
    before: Option<&Record>,
) -> Result<Vec<DataForecast>, Error> {
    let old = before.map_or(&[][..], |before| &before.manifest.pairs);
    let old: Vec<String> = old.iter().map(|plan| plan.name.clone()).collect();
    let joined = |name: &String| match old.contains(name) {
        true => pairs::count(name, &session.state),
        false => Ok(Some(0)),
    };
    let new = part.manifest.pairs.iter().map(|plan| {
        let joined = joined(&plan.name)?;
        Ok((plan.name.clone(), joined))
    });
    let mut found = by_name("pairs", &old, new.collect::<Result<_, Error>>()?);
    for one in found.iter_mut().filter(|one| one.fate == Carried::Goes) {
        one.elements = joined(&one.name)?;
    }
    Ok(found)
}

/// What has the same name goes on.
fn by_name(
    kind: &'static str,
    old: &[String],
    new: Vec<(String, Option<usize>)>,
) -> Vec<DataForecast> {
    let gone = old
        .iter()
        .filter(|name| !new.iter().any(|(other, _)| other == *name))
        .map(|name| gone_of(kind, name, None));
    let gone: Vec<DataForecast> = gone.collect();
    let mut found: Vec<DataForecast> = new
        .into_iter()
        .map(|(name, elements)| DataForecast {
            kind,
            fate: if old.contains(&name) {
                Carried::Kept
            } else {
                Carried::Begins
            },
            name,
            elements,
            slot: None,
        })
        .collect();
    found.extend(gone);
    found
}

fn gone_of(kind: &'static str, name: &str, elements: Option<usize>) -> DataForecast {
    DataForecast {
        kind,
        name: name.to_owned(),
        fate: Carried::Goes,
        elements,
        slot: None,
    }
}
