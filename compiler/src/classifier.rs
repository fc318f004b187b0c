//! Classifiers: which of many rules is the first that matches a packet, from tables instead of code.
//!
//! Takes rules that ask for what stands in the header and little else, in order; gives a [`Tables`]: constant tables and a
//! description of the short walk through them. Addresses and ports are ranges; protocols and conditions are *classes* of packets
//! (`classes`); what a rule asks beside the header is a *question* (`asked`). Not here: the code of the walk (`lower`), and which rules
//! are given to a classifier (`bulk`).
//!
//! In the literature: HiCuts-like cut trees (P. Gupta, N. McKeown, "Packet Classification using Hierarchical Intelligent
//! Cuttings", 1999) over a split of the tuple space (V. Srinivasan et al., "Packet Classification using Tuple Space Search",
//! 1999); boxes are hyper-rectangles, and the first match is there called the best rule.

mod asked;
mod boxes;
mod bucket;
mod bucket_table;
mod choice;
mod choose;
mod classes;
mod cost;
mod crowd;
mod cube;
mod cut;
mod flat;
mod grow;
mod intern;
mod items;
mod outside;
mod ranks;
mod rated;
mod service_table;
mod services;
mod shapes;
mod stratum;
mod summary;
pub mod tables;
#[cfg(test)]
mod tests;

pub(crate) use asked::{MAX_LEVELS, MAX_QUESTIONS, asks, header_conditions, is_short, question};
#[cfg(test)]
pub(crate) use boxes::is_header_only;
pub(crate) use boxes::{MAX_BOXES, is_answerable, is_in_pieces, is_plain};
pub use boxes::{Prefix, Protocols, Service};
pub(crate) use bucket::{HELD, size as bucket_size};

use crate::policy::{Match, Rate};

/// A rule that a classifier is made of.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// What it matches; `is_answerable` holds for it.
    pub matches: &'a Match,
    /// What [`crate::field::Field::FirstMatch`] is where this rule is the first that matches: 1 or more.
    pub group: u32,
    /// Its slot in the map `counters`, by which [`Ranks`] go.
    pub slot: u32,
    /// Its rate, if it has one; then it has no question.
    pub rate: Option<Metered>,
}

/// The rate of a member.
#[derive(Clone, Copy, Debug)]
pub struct Metered {
    /// What it is.
    pub rate: Rate,
    /// The number of its bucket, among those of its kind.
    pub bucket: u32,
    /// From 1. Members of one level match no packet in common, and of two that do the one behind has the greater level.
    pub level: u8,
}

/// Why rules cannot be made a classifier of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Too many different combinations of protocols and ports.
    Services,
    /// Too many protocols, and packets by their conditions, that have to be told apart.
    Protocols,
    /// Too many different pairs of prefix lengths.
    Lengths,
    /// Too many groups.
    Groups,
    /// Too many different questions.
    Questions,
    /// Too many rules, or rules that no split keeps small.
    Size,
}

pub use choice::{Choice, Split, StratumSummary};
pub(crate) use choose::MAX_STRATA;
pub(crate) use classes::Classes;
pub(crate) use crowd::crowd;
pub(crate) use grow::MAX_LIST;
pub use grow::Word;
pub use items::{Dimension, Item};
pub use ranks::{Piece, Ranks, Slots};
pub(crate) use rated::ROW_SIZE;
pub use rated::{Level, Mix, Rated, Row};
pub use services::{ClassOf, Services};
pub(crate) use services::{GUARD, MAX_CLASSES, SERVICE_SIZE};
pub(crate) use stratum::MULTIPLIERS;
pub use stratum::{Root, Stratum, Tuple};
pub use summary::{FamilySummary, Summary};
pub use tables::Tables;

use crate::policy::Family;

/// What is known of the rules in one family.
#[derive(Clone, Debug)]
pub struct FamilyRules {
    /// The boxes.
    pub items: Vec<Item>,
    /// The strata.
    pub strata: Vec<Stratum>,
    /// What they were chosen from.
    pub choice: Choice,
}

/// All of it.
pub(crate) fn build(members: &[Member<'_>]) -> Result<(Services, [FamilyRules; 2]), Unfit> {
    let mut services = Services::default();
    let v4 = items::items(members, &mut services, Family::V4)?;
    let v6 = items::items(members, &mut services, Family::V6)?;
    services.classify().ok_or(Unfit::Protocols)?;
    let questions = asked::Questions::of(members)?;
    let side = |found: &[_], family| {
        let mut items = items::ranged(found, &services, family);
        for item in &mut items {
            item.question = questions.number(item.rank);
        }
        let (strata, choice) = choose::strata(&items, family).ok_or(Unfit::Size)?;
        Ok(FamilyRules {
            items,
            strata,
            choice,
        })
    };
    let sides = [side(&v4, Family::V4)?, side(&v6, Family::V6)?];
    Ok((services, sides))
}
