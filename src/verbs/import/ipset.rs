//! Sets of ipset: what they hold, and which packets a rule means that names one.
//!
//! Takes types and entries as ipset writes them; gives what a rule asks that names such a set. Not here: where the sets stand, in what
//! `ipset save` prints or in files of firewalld.

mod entry;
mod kind;
mod live;
mod matching;
mod members;
mod packets;
mod ports;
mod region;

use std::collections::BTreeMap;

use sockc_compiler::policy::Family;

use super::names::Names;

pub(super) use entry::{Entry, Form, Wrong};
pub(super) use kind::{Part, parts};
pub(super) use live::{Filled, Filling};
pub(super) use matching::{Match, Within};
pub(super) use members::Members;

/// A set.
#[derive(Debug)]
pub(super) struct Set {
    /// The family whose packets are looked for in it; all, where it has none.
    pub(super) family: Option<Family>,
    /// What it holds.
    pub(super) holds: Holds,
}

/// What a set holds.
#[derive(Debug)]
pub(super) enum Holds {
    /// What it held when it was written down.
    Members(Members),
    /// Addresses that go by themselves.
    Filled(Filled),
    /// What other sets hold, by their names.
    Sets(Vec<String>),
    /// What no rule can ask for, and why.
    Unsaid(String),
}

/// All sets.
#[derive(Debug)]
pub(super) struct Sets {
    all: BTreeMap<String, Set>,
    names: Names,
    /// What to do about a set that is not among them.
    remedy: String,
}

impl Sets {
    /// These; `remedy` says what to do about another one that a rule names.
    pub(super) fn new(all: BTreeMap<String, Set>, remedy: String) -> Self {
        let names = Names::new(all.keys().map(String::as_str));
        Self { all, names, remedy }
    }

    /// The set of this name, which may hold what other sets hold.
    pub(super) fn of(&self, name: &str) -> Option<&Set> {
        self.all.get(name)
    }

    /// All of them, by their names.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Set)> {
        self.all.iter().map(|(name, set)| (name.as_str(), set))
    }

    /// How the policy calls it.
    pub(super) fn name_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.names.of(name)
    }
}
