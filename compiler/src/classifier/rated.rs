//! Rates of rules that are in the tables: the rows by which code meters packets, whichever of thousands of rules they match.
//!
//! A rule with a rate matches where its header does and its bucket says so, and takes tokens only if it is reached. So its records
//! are remembered like those with a question, a number for each *level*: rules of one level share no packets, and of two that share some
//! the later has the greater level ([`Metered::level`]). Asked level by level, rates are asked in the order of their rules.
//!
//! Takes the members with their ranks; gives who has a rate by rank, and what occurs on each level. Not here: which rules have
//! which level (`bulk`), what the numbers of a rate are and the code that asks (`lower`).

use super::asked::{flat_of, levels};
use super::{Member, Metered, Ranks, Unfit};
use crate::diagram::classify::connection_starts;
use crate::diagram::flatten::Flat;
use crate::policy::{Rate, RateUnit};

/// Arms of the flat diagram of what begins a connection: flags that change with every second value.
const MAX_ARMS: usize = 512;

/// Bytes of a row.
pub(crate) const ROW_SIZE: usize = 64;

/// A rule with a rate.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its rank.
    pub rank: u32,
    /// The rate.
    pub rate: Rate,
    /// The number of its bucket.
    pub bucket: u32,
}

/// Whether something holds of the rules of a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// It holds of one.
    pub some: bool,
    /// It does not hold of one.
    pub others: bool,
}

impl Mix {
    fn add(&mut self, holds: bool) {
        self.some |= holds;
        self.others |= !holds;
    }

    /// Whether it holds of some, and of others it does not.
    #[must_use]
    pub fn is_mixed(self) -> bool {
        self.some && self.others
    }
}

/// What occurs on a level.
#[derive(Clone, Copy, Debug, Default)]
pub struct Level {
    /// Rules for the excess.
    pub above: Mix,
    /// Rates of bytes.
    pub bytes: Mix,
    /// Rates of connections.
    pub connections: Mix,
    /// Buckets for each address.
    pub per: Mix,
    /// Those for each receiver.
    pub destination: Mix,
}

/// The rates of a classifier's members.
#[derive(Clone, Debug, Default)]
pub struct Rated {
    /// The members that have one, by rank.
    pub rows: Vec<Row>,
    /// What occurs on each level, from the first.
    pub levels: Vec<Level>,
    /// What a rate of connections counts, if there is one.
    pub starts: Option<Flat>,
}

impl Rated {
    pub(super) fn new(members: &[Member<'_>], ranks: &Ranks) -> Result<Self, Unfit> {
        let mut rated = Self::default();
        let known = levels(members)?;
        rated.levels.resize(known.len(), Level::default());
        for (number, member) in (0u32..).zip(members) {
            let Some(Metered {
                rate,
                bucket,
                level,
            }) = member.rate
            else {
                continue;
            };
            let place = known.binary_search(&level).map_err(|_| Unfit::Questions)?;
            rated.levels[place].add(&rate);
            rated.rows.push(Row {
                rank: ranks.of(number),
                rate,
                bucket,
            });
        }
        if rated.levels.iter().any(|one| one.connections.some) {
            let flat = flat_of((&[], MAX_ARMS), connection_starts);
            rated.starts = Some(flat.map_err(|_| Unfit::Questions)?);
        }
        Ok(rated)
    }

    /// The ranks from the first that has a rate to the last: so long is the table that leads from ranks to rows.
    #[must_use]
    pub fn span(&self) -> usize {
        match (self.rows.first(), self.rows.last()) {
            (Some(first), Some(last)) => (last.rank - first.rank) as usize + 1,
            _ => 0,
        }
    }

    /// Bytes of the largest table of rates.
    pub(super) fn largest(&self) -> usize {
        (self.rows.len() * ROW_SIZE).max(self.span() * size_of::<u32>())
    }
}

impl Level {
    fn add(&mut self, rate: &Rate) {
        self.above.add(rate.above);
        self.bytes.add(rate.unit == RateUnit::Bytes);
        self.connections.add(rate.unit == RateUnit::Connections);
        self.per.add(rate.per.is_some());
        if let Some(per) = rate.per {
            self.destination.add(per.destination);
        }
    }
}
