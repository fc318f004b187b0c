//! The tables of bulk rules: one classifier for each chain that asks for the winner.
//!
//! Takes the chains of a reduced policy; gives each its tables, in maps. Not here: how tables are made.

use cranelift_entity::PrimaryMap;

use super::{Chain, Slots};
use crate::artifact::{MapId, MapSpec, TABLE_LIMIT};
use crate::bulk::Bulk;
use crate::classifier::{self, Tables, Unfit};
use crate::lower::ClassifierMaps;
use crate::policy::Policy;

/// The tables of each chain, in order; `None` for one that asks for no winner.
pub(super) fn tables(
    bulk: Option<&Bulk>,
    whole: &Policy,
    chains: &[Chain],
    slots: &Slots,
    maps: &mut PrimaryMap<MapId, MapSpec>,
) -> Result<Vec<Option<ClassifierMaps>>, Unfit> {
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
            let (services, sides) = classifier::build(&members)?;
            let tables = Tables::new(&members, &services, &sides)?;
            if tables.largest() > TABLE_LIMIT {
                return Err(Unfit::Size);
            }
            let ranks = u32::try_from(members.len()).map_err(|_| Unfit::Size)?;
            let add = |name: &str, bytes: &[u8]| {
                let name = format!("w{number}_{name}");
                (maps.push(MapSpec::table(name, bytes.to_vec())), 0)
            };
            Ok(Some(ClassifierMaps::new(&tables, ranks, add)))
        })
        .collect()
}
