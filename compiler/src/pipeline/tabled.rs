//! The maps of a policy, with the tables that hold its bulk rules and its sets.
//!
//! Takes a placed policy with its diagrams; gives out the slots of counters and sockets and the ids of maps, or says why
//! no tables hold the rules. Not here: how tables are made (`classifier`, `tables`).

use cranelift_entity::PrimaryMap;
use sockc_grammar::diagnostic::Diagnostic;

use super::analysis::Analysis;
use super::classifiers::{self, Classifier};
use super::compilation::Stop;
use super::decided::Decided;
use super::manifest::Slots;
use super::options::Job;
use super::{asked, maps};
use crate::artifact::{MapId, MapSpec};
use crate::lower::Maps;
use crate::policy::Policy;
use crate::tables::{PlacedTable, Tables};

/// The maximum number of plain rules for which a compare tree is tried where tables cannot hold them. Of so many that cross
/// so often that no tables do, a tree is as large.
const MAX_TREE: usize = 2_000;

/// What programs find in maps.
pub(super) struct Tabled {
    /// The slots of counters and sockets.
    pub(super) slots: Slots,
    /// The maps as the kernel is to make them.
    pub(super) specs: PrimaryMap<MapId, MapSpec>,
    /// Which map is for what.
    pub(super) maps: Maps,
    /// The classifier of each chain that has one.
    pub(super) classifiers: Vec<Option<Classifier>>,
    /// What the maps of constant tables hold, and where.
    pub(super) tables: Vec<PlacedTable>,
}

/// Gives out slots and maps. Where no tables hold the rules, but fewer of them, or a compare tree, it says why none does.
pub(super) fn tables(
    whole: &Policy,
    analysis: &Analysis,
    decided: &Decided,
    job: Job<'_>,
) -> Result<Result<Tabled, Diagnostic>, Stop> {
    let (policy, chains, target) = (analysis.placed(whole), &analysis.chains, job.options.target);
    if let Some(refusal) = asked::refusal(policy, chains, &decided.decisions, target) {
        return Err(Stop::Diagnostics(vec![refusal]));
    }
    let slots = Slots::new(whole, chains, &decided.decisions, job.options.counters);
    let mut tested = asked::fields(&decided.decisions, &decided.doors);
    if let Some(bulk) = &analysis.bulk {
        tested.extend(bulk.questions(whole).iter());
    }
    let mut specs = PrimaryMap::new();
    let mut tables = Tables::new(&mut specs, target.limits.table.ours);
    let meters = |kinds| analysis.meters(whole, kinds);
    let maps = maps::make(policy, (chains, &tested), &slots, meters, &mut tables);
    let made = classifiers::tables(analysis.bulk.as_ref(), whole, chains, &slots, &mut tables);
    let classifiers = match made {
        Ok(classifiers) => classifiers,
        Err(unfit) => {
            let told = unfit.told(whole, job.whole());
            let plain = analysis
                .bulk
                .as_ref()
                .is_some_and(|bulk| !bulk.asks_more(whole));
            return match plain && unfit.rules() > MAX_TREE {
                true => Err(Stop::Diagnostics(vec![told])),
                false => Ok(Err(told)),
            };
        }
    };
    let tables = tables
        .finish()
        .ok_or_else(|| Stop::Bug("a table is larger than a map can be".into()))?;
    Ok(Ok(Tabled {
        slots,
        specs,
        maps,
        classifiers,
        tables,
    }))
}
