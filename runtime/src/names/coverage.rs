//! Which interfaces and groups the policy in force is for, and on which of them it holds, as they are now.
//!
//! Takes the record of the policy and the interfaces of the calling thread's network namespace; gives what is missing, what is
//! open, and what was removed, made again, renamed or moved to another namespace since the apply. Not here: what others did to our programs, which is
//! `drift`. Changes nothing.

use sockc_compiler::artifact::Manifest;

use super::classes::{InTwoZones, class_of, covers, two_zones};
use super::interfaces::is_packet;
use super::loss::{NamedKind, NamedLoss};
use super::resolve;
use crate::attach;
use crate::error::{Error, at};
use crate::groups::moved::{self, MovedGroup};
use crate::hook::Point;
use crate::state::State;
use crate::state::record::{Attached, Record};
use crate::sys::netns;

/// How the interfaces and the control groups that a policy is for stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Names and patterns of the policy that no interface has now.
    pub missing: Vec<String>,
    /// Interfaces that the policy is for, and that its packet rules do not hold on.
    pub open: Vec<String>,
    /// Whether names or patterns are missing, and the packet rules hold on no interface at all.
    pub nowhere: bool,
    /// Interfaces that the policy was put on and that are not what they were.
    pub moved: Vec<Moved>,
    /// Groups whose control groups are gone.
    pub groups: Vec<MovedGroup>,
    /// What else the policy names and is not what its programs know.
    pub named: Vec<NamedLoss>,
    /// Interfaces that came, or got their names, after the apply, and that the patterns of two zones cover.
    pub two_zones: Vec<InTwoZones>,
    /// Whether the command that applied it named the interfaces, and not the policy.
    pub given: bool,
}

/// An interface that is not what it was when the policy was put on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its name then.
    pub interface: String,
    /// What became of it.
    pub now: MovedTo,
    /// Whether the policy names it, rather than a pattern that covers it.
    pub named: bool,
    /// Whether it has another name that the policy is for too.
    pub wanted: bool,
}

/// What became of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MovedTo {
    /// It was removed.
    Gone,
    /// It was removed, and there is another one of its name, which the policy does not hold on.
    Again,
    /// It has another name, and the policy still holds on it.
    Renamed(String),
    /// It is in another network namespace, and the policy still holds on it.
    Elsewhere,
}

impl MovedTo {
    /// Whether it is there no more, also where another one has its name by now.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        matches!(self, Self::Gone | Self::Again)
    }
}

/// The index and the name of each interface.
type Present = [(u32, String)];

impl Coverage {
    /// Looks at the interfaces of the calling thread's network namespace.
    pub(crate) fn look(state: &State, record: &Record) -> Result<Self, Error> {
        let present = present()?;
        let wanted = record.wanted();
        let fates = fates(state, record, &present)?;
        let moved = moved(record, &fates);
        let mut open = Vec::new();
        for (index, name) in &present {
            let should = is_wanted(wanted, &record.manifest, name) && !is_again(&moved, name);
            if should && !is_held(state, record, *index, name)? {
                open.push(name.clone());
            }
        }
        let packets = record.manifest.programs.iter().any(is_packet);
        let missing = wanted.iter().filter(|one| {
            let held = moved
                .iter()
                .any(|moved| moved.interface == **one && moved.is_held());
            packets && !held && !present.iter().any(|(_, name)| covers(one, name))
        });
        let missing: Vec<String> = missing.cloned().collect();
        let removed = fates.iter().filter(|(_, now)| now.is_removed());
        let removed: Vec<u64> = removed.map(|(attached, _)| attached.hook.target).collect();
        Ok(Self {
            nowhere: !missing.is_empty() && !holds_anywhere(state, record)?,
            missing,
            two_zones: in_two_zones(record, &present, &open, &moved),
            open,
            moved,
            groups: moved::look(state, record)?,
            named: resolve::look(state, record, &removed)?,
            given: !record.interfaces.is_empty(),
        })
    }

    /// Whether the policy does not hold somewhere where it should.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let moved = self.moved.iter().any(Moved::is_loss);
        let named = self.named.iter().any(NamedLoss::is_loss);
        let mut two_zones = self.two_zones.iter();
        let lacking = two_zones.any(|one| one.held_as.is_none());
        moved || named || lacking || !self.open.is_empty() || !self.groups.is_empty()
    }

    /// Whether the policy is for an interface that is there, and does not hold on it.
    #[must_use]
    pub fn lacks(&self, interface: &str) -> bool {
        let is = |one: &NamedLoss| {
            (one.again || one.taken) && one.kind != NamedKind::Namespace && one.name == interface
        };
        self.open.iter().any(|name| name == interface)
            || is_again(&self.moved, interface)
            || self.named.iter().any(is)
    }
}

impl Moved {
    /// Whether the policy lost something by it: an interface that it names, or one that is there again. What a pattern covered
    /// and is there no more is no loss.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        match self.now {
            MovedTo::Again => true,
            MovedTo::Gone => self.named,
            MovedTo::Renamed(_) | MovedTo::Elsewhere => false,
        }
    }

    /// Whether the policy still holds on it.
    fn is_held(&self) -> bool {
        matches!(self.now, MovedTo::Renamed(_) | MovedTo::Elsewhere)
    }
}

/// Those on which packet rules should hold, or do under another name, and where rules for lookups name zones, all.
fn in_two_zones(
    record: &Record,
    present: &Present,
    open: &[String],
    moved: &[Moved],
) -> Vec<InTwoZones> {
    let asked = record.named.as_ref().is_some_and(|named| named.asked);
    let mut found = Vec::new();
    for (_, name) in present {
        let Some(zones) = two_zones(&record.manifest.classes, name) else {
            continue;
        };
        let is_now = |one: &&Moved| matches!(&one.now, MovedTo::Renamed(now) if now == name);
        let held = moved.iter().find(is_now);
        let held_as = held.map(|held| held.interface.clone());
        if asked || held_as.is_some() || open.contains(name) {
            found.push(InTwoZones {
                interface: name.clone(),
                zones,
                held_as,
            });
        }
    }
    found
}

fn present() -> Result<Vec<(u32, String)>, Error> {
    netns::interfaces().map_err(at("list the interfaces"))
}

fn is_again(moved: &[Moved], name: &str) -> bool {
    moved
        .iter()
        .any(|moved| moved.interface == name && moved.now == MovedTo::Again)
}

/// Whether packets of an interface should meet programs of the policy. Interfaces without Ethernet frames are left out by
/// patterns, as `apply` does.
fn is_wanted(wanted: &[String], manifest: &Manifest, name: &str) -> bool {
    let named = wanted.iter().any(|one| one == name);
    let covered = wanted.iter().any(|one| covers(one, name));
    covered
        && has_program(manifest, name)
        && (named || netns::carries_ethernet(name).unwrap_or(true))
}

/// Whether the policy has a program for the class of an interface; of one that it cannot place it is not known, so it has.
fn has_program(manifest: &Manifest, name: &str) -> bool {
    let class = class_of(&manifest.classes, name).ok();
    let mut programs = manifest.programs.iter().filter(|one| is_packet(one));
    programs.any(|one| one.class.is_none() || class.is_none() || one.class == class)
}

fn is_held(state: &State, record: &Record, index: u32, name: &str) -> Result<bool, Error> {
    for one in packet_hooks(record).filter(|one| one.hook.target == u64::from(index)) {
        // A hook that others took off is told by its pin. An index may be another interface's by now.
        if one.target == name || is_alive(state, one)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds_anywhere(state: &State, record: &Record) -> Result<bool, Error> {
    for one in packet_hooks(record) {
        if is_alive(state, one)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn packet_hooks(record: &Record) -> impl Iterator<Item = &Attached> {
    of_packets(&record.hooks, &record.fillers)
}

fn of_packets<'a>(
    hooks: &'a [Attached],
    fillers: &'a [Point],
) -> impl Iterator<Item = &'a Attached> {
    hooks
        .iter()
        .filter(|attached| attached.hook.point.is_packet())
        // Where only slots of named sockets are filled, no rule holds.
        .filter(|attached| !fillers.contains(&attached.hook.point))
}

fn is_alive(state: &State, attached: &Attached) -> Result<bool, Error> {
    let there = attach::describe(state, &attached.hook)?;
    Ok(there.is_some_and(|there| there.alive))
}

/// The packet hooks of a record whose interface is not what it was, each with what became of it.
fn fates<'a>(
    state: &State,
    record: &'a Record,
    present: &Present,
) -> Result<Vec<(&'a Attached, MovedTo)>, Error> {
    let mut found = Vec::new();
    for attached in packet_hooks(record) {
        found.extend(fate(state, attached, present)?.map(|now| (attached, now)));
    }
    Ok(found)
}

fn moved(record: &Record, fates: &[(&Attached, MovedTo)]) -> Vec<Moved> {
    let mut found: Vec<Moved> = Vec::new();
    for (attached, now) in fates {
        let covered = |name: &String| record.wanted().iter().any(|one| covers(one, name));
        let one = Moved {
            interface: attached.target.clone(),
            wanted: matches!(now, MovedTo::Renamed(name) if covered(name)),
            now: now.clone(),
            named: record.wanted().contains(&attached.target),
        };
        // One that was renamed and one that has its name since are two.
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// What became of the interface of a hook; `None` if it is what it was.
fn fate(state: &State, attached: &Attached, present: &Present) -> Result<Option<MovedTo>, Error> {
    let index = attached.hook.target;
    let here = present.iter().find(|(there, _)| u64::from(*there) == index);
    if here.is_some_and(|(_, name)| *name == attached.target) {
        return Ok(None);
    }
    if is_alive(state, attached)? {
        // A link ends with its interface, and goes along with it to another namespace.
        let renamed = here.map(|(_, name)| MovedTo::Renamed(name.clone()));
        return Ok(Some(renamed.unwrap_or(MovedTo::Elsewhere)));
    }
    let again = present.iter().any(|(_, name)| *name == attached.target);
    Ok(Some(if again { MovedTo::Again } else { MovedTo::Gone }))
}

/// The hooks of a record whose interface is there no more: that they hang on nothing is nobody's change of them.
pub(crate) fn without_interface<'a>(
    state: &State,
    record: &'a Record,
) -> Result<Vec<&'a Attached>, Error> {
    let fates = fates(state, record, &present()?)?.into_iter();
    let removed = fates.filter(|(_, now)| now.is_removed());
    Ok(removed.map(|(attached, _)| attached).collect())
}

/// The interfaces that the policy in force holds on under another name than it was put on: index, and the name then.
pub(crate) fn renamed(
    state: &State,
    (hooks, fillers): (&[Attached], &[Point]),
) -> Result<Vec<(u32, String)>, Error> {
    let present = present()?;
    let mut found: Vec<(u32, String)> = Vec::new();
    for attached in of_packets(hooks, fillers) {
        let fate = fate(state, attached, &present)?;
        let index = u32::try_from(attached.hook.target);
        if let (Some(MovedTo::Renamed(_)), Ok(index)) = (fate, index) {
            found.push((index, attached.target.clone()));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// What the interfaces are called now that the policy in force holds on under another name than it was put on, by index.
pub(crate) fn names(state: &State, record: &Record) -> Result<Vec<(u32, String)>, Error> {
    let present = present()?;
    let renamed = renamed(state, (&record.hooks, &record.fillers))?;
    let is_renamed = |index: &u32| renamed.iter().any(|(there, _)| there == index);
    let names = present.into_iter().filter(|(index, _)| is_renamed(index));
    Ok(names.collect())
}

/// What the interfaces are called now that a policy holds on; of one that is in another namespace by now, what it was called.
pub(crate) fn held_on(state: &State, record: &Record) -> Result<Vec<String>, Error> {
    held_on_such(state, record, |_| true)
}

/// The same of those that redirects `at tc` are on.
pub(crate) fn intercepting(state: &State, record: &Record) -> Result<Vec<String>, Error> {
    let Some(plan) = &record.manifest.intercepts else {
        return Ok(Vec::new());
    };
    held_on_such(state, record, |known| {
        class_of(&record.manifest.classes, known).is_ok_and(|class| plan.is_on(class))
    })
}

/// The same of those whose names, as the policy knows them, are such.
fn held_on_such(
    state: &State,
    record: &Record,
    such: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Error> {
    let present = present()?;
    let mut found = Vec::new();
    let held = packet_hooks(record);
    for attached in held.filter(|attached| such(&attached.target)) {
        let name = match fate(state, attached, &present)? {
            None | Some(MovedTo::Elsewhere) => attached.target.clone(),
            Some(MovedTo::Renamed(now)) => now,
            Some(MovedTo::Gone | MovedTo::Again) => continue,
        };
        if !found.contains(&name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// What an interface is called that a policy leaves: its name now, and what it was called where that is another. Those that are
/// gone are not among them.
pub(crate) fn left(state: &State, before: &Record, next: &Record) -> Result<Vec<String>, Error> {
    let present = present()?;
    let stays = |index| packet_hooks(next).any(|one| one.hook.target == index);
    let mut found = Vec::new();
    for attached in packet_hooks(before).filter(|one| !stays(one.hook.target)) {
        let name = &attached.target;
        let words = match fate(state, attached, &present)? {
            None => format!("\"{name}\""),
            Some(MovedTo::Renamed(now)) => format!("\"{now}\", which was \"{name}\","),
            Some(MovedTo::Elsewhere) => {
                format!("\"{name}\", which is in another network namespace now,")
            }
            Some(MovedTo::Gone | MovedTo::Again) => continue,
        };
        if !found.contains(&words) {
            found.push(words);
        }
    }
    Ok(found)
}
