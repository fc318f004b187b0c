//! The tables of the rates of bulk rules, at their places.

use crate::classifier::{Level, ROW_SIZE, Rated};
use crate::diagram::flatten::Flat;
use crate::lower::bucket::Row;
use crate::tables::TableRef;

/// The rates of a classifier, each table at its place.
#[derive(Clone, Debug)]
pub(super) struct RatedMaps {
    /// What occurs on each level.
    pub(super) levels: Vec<Level>,
    /// What a rate of connections counts.
    pub(super) starts: Option<Flat>,
    /// The number of each rank's row, from the first rank that has one.
    pub(super) index: TableRef,
    /// That rank.
    pub(super) first: u32,
    /// How many ranks there are from it to the last one.
    pub(super) ranks: u32,
    /// The rows.
    pub(super) rows: TableRef,
    /// How many.
    pub(super) count: u32,
}

impl RatedMaps {
    /// Puts the tables into maps; `add` gives the place of one, by its name. `None` where a number is beyond what code computes with.
    pub(super) fn new(
        rated: &Rated,
        add: &mut impl FnMut(&str, &[u8]) -> TableRef,
    ) -> Option<Self> {
        let first = rated.rows.first()?.rank;
        let mut index = vec![0u32; rated.span()];
        let mut rows = Vec::with_capacity(rated.rows.len() * ROW_SIZE);
        for (number, row) in (0u32..).zip(&rated.rows) {
            *index.get_mut((row.rank - first) as usize)? = number;
            rows.extend(Row::bytes(&row.rate, row.bucket)?);
        }
        let index: Vec<u8> = index.into_iter().flat_map(u32::to_le_bytes).collect();
        Some(Self {
            levels: rated.levels.clone(),
            starts: rated.starts.clone(),
            first,
            ranks: u32::try_from(rated.span()).ok()?,
            count: u32::try_from(rated.rows.len()).ok()?,
            index: add("rated", &index),
            rows: add("rates", &rows),
        })
    }
}
