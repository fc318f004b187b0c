//! The tables of bulk rules: one classifier for each chain that asks for the winner.
//!
//! Takes the chains of a reduced policy; gives each its tables, in maps. Not here: how tables are made.

use super::{Chain, Slots};
use crate::bulk::Bulk;
use crate::classifier::{self, Member, Summary, Unfit};
use crate::lower::ClassifierMaps;
use crate::policy::Policy;
use crate::tables::{LINE, Tables};

/// The classifier of a chain.
pub(super) struct Winner {
    /// Where its tables are.
    pub(super) maps: ClassifierMaps,
    /// What is known of them.
    pub(super) summary: Summary,
}

/// The classifier of each chain, in order; `None` for one that asks for no winner.
pub(super) fn tables(
    bulk: Option<&Bulk>,
    whole: &Policy,
    chains: &[Chain],
    slots: &Slots,
    tables: &mut Tables<'_>,
) -> Result<Vec<Option<Winner>>, Unfit> {
    let Some(bulk) = bulk else {
        return Ok(chains.iter().map(|_| None).collect());
    };
    chains
        .iter()
        .enumerate()
        .map(|(number, chain)| {
            let counters = slots.of(chain.hook.direction());
            let members = bulk.members(whole, chain, counters);
            if members.is_empty() {
                return Ok(None);
            }
            winner(number, &members, tables).map(Some)
        })
        .collect()
}

/// The classifier of these rules, for the chain of this number.
fn winner(number: usize, members: &[Member<'_>], tables: &mut Tables<'_>) -> Result<Winner, Unfit> {
    let (services, sides) = classifier::build(members)?;
    let made = classifier::Tables::new(members, &services, &sides)?;
    if made.largest() > tables.limit() {
        return Err(Unfit::Size);
    }
    let ranks = u32::try_from(members.len()).map_err(|_| Unfit::Size)?;
    let add = |name: &str, bytes: &[u8]| tables.push(format!("winner{number}_{name}"), bytes, LINE);
    Ok(Winner {
        maps: ClassifierMaps::new(&made, ranks, add).ok_or(Unfit::Size)?,
        summary: Summary::new(members, &services, sides, &made),
    })
}
