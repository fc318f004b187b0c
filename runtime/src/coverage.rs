//! Which interfaces the policy in force is for, and on which of them it holds, as they are now.
//!
//! Takes the record of the policy and the interfaces of the calling thread's network namespace; gives what is missing, what is
//! open, and what was removed, made again or renamed since the apply. Not here: what others did to our programs, which is
//! `drift`. Changes nothing.

use sockc_compiler::artifact::Manifest;

use crate::attach;
use crate::classes::class_of;
use crate::error::{Error, at};
use crate::interfaces::{covers, is_packet};
use crate::record::{Attached, Record};
use crate::state::State;
use crate::sys::netns;

/// How the interfaces that a policy is for stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Names and patterns of the policy that no interface has now.
    pub missing: Vec<String>,
    /// Interfaces that the policy is for, and that its packet rules do not hold on.
    pub open: Vec<String>,
    /// Interfaces that the policy was put on and that are not what they were.
    pub moved: Vec<Moved>,
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
}

/// The index and the name of each interface.
type Present = [(u32, String)];

impl Coverage {
    /// Looks at the interfaces of the calling thread's network namespace.
    pub(crate) fn look(state: &State, record: &Record) -> Result<Self, Error> {
        let present = present()?;
        let wanted = wanted(record);
        let moved = moved(state, record, &present);
        let open = present.iter().filter(|(index, name)| {
            is_wanted(wanted, &record.manifest, name)
                && !is_held(state, record, *index, name)
                && !is_again(&moved, name)
        });
        let packets = record.manifest.programs.iter().any(is_packet);
        let missing = wanted.iter().filter(|one| {
            let renamed = moved
                .iter()
                .any(|moved| moved.interface == **one && matches!(moved.now, MovedTo::Renamed(_)));
            packets && !renamed && !present.iter().any(|(_, name)| covers(one, name))
        });
        Ok(Self {
            missing: missing.cloned().collect(),
            open: open.map(|(_, name)| name.clone()).collect(),
            moved,
        })
    }

    /// Whether the policy does not hold somewhere where it should.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.open.is_empty() || self.moved.iter().any(Moved::is_loss)
    }

    /// Whether the policy is for an interface that is there, and does not hold on it.
    #[must_use]
    pub fn lacks(&self, interface: &str) -> bool {
        self.open.iter().any(|name| name == interface) || is_again(&self.moved, interface)
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
            MovedTo::Renamed(_) => false,
        }
    }
}

fn present() -> Result<Vec<(u32, String)>, Error> {
    netns::interfaces().map_err(at("list the interfaces"))
}

/// The names and patterns that the policy in force is for.
fn wanted(record: &Record) -> &[String] {
    match record.interfaces.as_slice() {
        [] => &record.manifest.interfaces,
        given => given,
    }
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

fn is_held(state: &State, record: &Record, index: u32, name: &str) -> bool {
    let mut here = packet_hooks(record).filter(|one| one.hook.target == u64::from(index));
    // A hook that others took off is told by its pin. An index may be another interface's by now.
    here.any(|one| one.target == name || is_alive(state, one))
}

fn packet_hooks(record: &Record) -> impl Iterator<Item = &Attached> {
    record
        .hooks
        .iter()
        .filter(|attached| attached.hook.point.is_packet())
        // Where only slots of named sockets are filled, no rule holds.
        .filter(|attached| !record.fillers.contains(&attached.hook.point))
}

fn is_alive(state: &State, attached: &Attached) -> bool {
    attach::describe(state, &attached.hook).is_some_and(|there| there.alive)
}

fn moved(state: &State, record: &Record, present: &Present) -> Vec<Moved> {
    let mut found: Vec<Moved> = Vec::new();
    for attached in packet_hooks(record) {
        let Some(now) = fate(state, attached, present) else {
            continue;
        };
        if !found.iter().any(|one| one.interface == attached.target) {
            found.push(Moved {
                interface: attached.target.clone(),
                now,
                named: wanted(record).contains(&attached.target),
            });
        }
    }
    found
}

/// What became of the interface of a hook; `None` if it is what it was.
fn fate(state: &State, attached: &Attached, present: &Present) -> Option<MovedTo> {
    let index = attached.hook.target;
    let here = present.iter().find(|(there, _)| u64::from(*there) == index);
    match here {
        Some((_, name)) if *name == attached.target => None,
        Some((_, name)) if is_alive(state, attached) => Some(MovedTo::Renamed(name.clone())),
        _ if present.iter().any(|(_, name)| *name == attached.target) => Some(MovedTo::Again),
        _ => Some(MovedTo::Gone),
    }
}

/// The hooks of a record whose interface is there no more: that they hang on nothing is nobody's change of them.
pub(crate) fn without_interface<'a>(
    state: &'a State,
    record: &'a Record,
) -> Result<impl Iterator<Item = &'a Attached>, Error> {
    let present = present()?;
    Ok(packet_hooks(record).filter(move |attached| {
        matches!(
            fate(state, attached, &present),
            Some(MovedTo::Gone | MovedTo::Again)
        )
    }))
}

/// The interfaces that the policy in force holds on under another name than it was put on: index, and the name then.
pub(crate) fn renamed(state: &State, record: &Record) -> Result<Vec<(u32, String)>, Error> {
    let present = present()?;
    let renamed = packet_hooks(record).filter(|attached| {
        let fate = fate(state, attached, &present);
        matches!(fate, Some(MovedTo::Renamed(_)))
    });
    let mut found: Vec<(u32, String)> = renamed
        .filter_map(|one| Some((u32::try_from(one.hook.target).ok()?, one.target.clone())))
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}
