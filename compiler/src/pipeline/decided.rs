//! The diagrams of every chain, flattened.
//!
//! Takes a placed policy; gives which entry decides, which `count` entries match, and which connections a group takes in.
//! Not here: how a diagram is made (`diagram`).

use super::analysis::Analysis;
use super::compilation::{Decision, Stop};
use super::options::{Counters, Job};
use crate::chain::Chain;
use crate::chain::concern::concern;
use crate::chain::roots::ChainRoots;
use crate::diagram::flatten::{Flat, flatten};
use crate::diagram::{BudgetExceeded, Store};
use crate::policy::Policy;

/// The flattened diagrams, chain by chain.
pub(super) struct Decided {
    pub(super) decisions: Vec<Decision>,
    /// Which connections the sock_ops program of a group takes in, and into what: with the first chain of the group that
    /// takes in any.
    pub(super) doors: Vec<Option<Flat>>,
}

/// Makes them.
pub(super) fn decide(
    whole: &Policy,
    analysis: &mut Analysis,
    job: Job<'_>,
) -> Result<Decided, Stop> {
    let policy = analysis.bulk.as_ref().map_or(whole, |bulk| &bulk.policy);
    let (store, chains) = (&mut analysis.store, &analysis.chains);
    let decided = all(store, policy, chains, job.options.counters);
    decided.map_err(|exceeded| analysis.beyond_budget(policy, &exceeded, job))
}

fn all(
    store: &mut Store,
    policy: &Policy,
    chains: &[Chain],
    counters: Counters,
) -> Result<Decided, BudgetExceeded> {
    let decisions = chains.iter().map(|chain| decision(store, policy, chain));
    let decisions = decisions.collect::<Result<_, _>>()?;
    let doors = chains
        .iter()
        .enumerate()
        .map(|(number, _)| door(store, policy, chains, number, counters));
    Ok(Decided {
        decisions,
        doors: doors.collect::<Result<_, _>>()?,
    })
}

fn decision(store: &mut Store, policy: &Policy, chain: &Chain) -> Result<Decision, BudgetExceeded> {
    let roots = ChainRoots::build(store, policy, chain)?;
    let counts = roots.counts.map(|root| flatten(store, root)).transpose()?;
    Ok(Decision {
        decision: flatten(store, roots.decision)?,
        counts,
        lists: roots.lists,
    })
}

fn door(
    store: &mut Store,
    policy: &Policy,
    chains: &[Chain],
    number: usize,
    counters: Counters,
) -> Result<Option<Flat>, BudgetExceeded> {
    let group = chains[number].group;
    let takes_in = |chain: &&Chain| chain.hook.spec().takes_in.is_some() && chain.group == group;
    if !takes_in(&&chains[number]) || chains[..number].iter().any(|chain| takes_in(&chain)) {
        return Ok(None);
    }
    let root = concern(store, policy, chains, group, counters == Counters::Kept)?;
    flatten(store, root).map(Some)
}
