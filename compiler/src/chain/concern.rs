//! Which connections of a group its rules of `send` and `receive` may concern.
//!
//! A socket that is taken into a SOCKMAP behaves differently from others (`docs/streams.md`), so only those are taken in
//! of which the list may ever do more than let them be: refuse, log, count or shorten what is written, or refuse, log or count what arrives. That is
//! derived from the diagrams of the group's chains, by addresses and ports, which are all that is known of a connection when it
//! is made. Where something else decides too (the members of a live set, a rate), every answer of it is thought possible.

use std::mem;

use super::roots::ChainRoots;
use super::{Chain, Effect};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::field::{Field, FieldKind};
use crate::hook::Population;
use crate::policy::{Action, DefaultVerdict, GroupId, Policy, SetKind};

/// What a connection is to be a member of, as bits: the group's peers.
pub(crate) const PEERS: u32 = 1;

/// And its readers.
pub(crate) const READERS: u32 = 2;

/// [`PEERS`] and [`READERS`] for the connections that the chains of a group may concern: `from` is the group's own side.
/// `counting` says whether rules count.
pub(crate) fn concern(
    store: &mut Store,
    policy: &Policy,
    chains: &[Chain],
    group: Option<GroupId>,
    counting: bool,
) -> Result<Node, BudgetExceeded> {
    let mut concern = Node::FALSE;
    for chain in chains.iter().filter(|chain| chain.group == group) {
        let bit = match chain.hook.spec().takes_in {
            None => continue,
            Some(Population::Peers) => PEERS,
            Some(Population::Readers) => READERS,
        };
        let mirrored = (bit == READERS).then(|| mirrored(policy, chain));
        let seen = mirrored.as_ref().unwrap_or(policy);
        let own = of_chain(store, seen, chains, chain, counting)?;
        concern = store.apply2(concern, own, &mut |others, own| others | (own * bit))?;
    }
    Ok(concern)
}

/// 1 for the connections that a chain may concern, or one of `chains` by a shortcut to its group.
fn of_chain(
    store: &mut Store,
    policy: &Policy,
    chains: &[Chain],
    chain: &Chain,
    counting: bool,
) -> Result<Node, BudgetExceeded> {
    let roots = ChainRoots::build(store, policy, chain)?;
    let matters: Vec<bool> = (0..=chain.entries.len())
        .map(|index| decider_matters(policy, chain, index, counting))
        .collect();
    let counts = roots.counts.unwrap_or(Node::FALSE);
    let own = store.apply2(roots.decision, counts, &mut |decider, list| {
        let counted = roots.lists[list as usize].first();
        u32::from(matters[decider as usize] || counted.is_some_and(|first| *first < decider))
    })?;
    let mut concern = own;
    for other in chains.iter().filter(|other| other.hook == chain.hook) {
        let peers = shortened(store, policy, other, chain.group)?;
        concern = store.or(concern, peers)?;
    }
    for field in store.fields(concern).iter() {
        if !lasts(policy, field) {
            concern = store.exists(concern, field)?;
        }
    }
    Ok(concern)
}

/// Whether the deciding entry with this index, or the default after the last one, does more than let what is written go.
fn decider_matters(policy: &Policy, chain: &Chain, index: usize, counting: bool) -> bool {
    match chain.entries.get(index) {
        Some(entry) if entry.effect == Effect::Allow => {
            (entry.counts && counting) || policy.rules[entry.rule].log.is_some()
        }
        Some(_) => true,
        None => chain.default.verdict != DefaultVerdict::Allow || chain.default.counts,
    }
}

/// 1 for the connections of a group whose other end may take a shortcut by this chain: what it writes is put into this end's
/// queue.
fn shortened(
    store: &mut Store,
    policy: &Policy,
    chain: &Chain,
    group: Option<GroupId>,
) -> Result<Node, BudgetExceeded> {
    let shortcut = |index: u32| {
        let entry = chain.entries.get(index as usize);
        entry.is_some_and(|entry| match policy.rules[entry.rule].action {
            Action::Shortcut(near) => entry.effect == Effect::Shortcut && Some(near.to) == group,
            _ => false,
        })
    };
    if (0u32..)
        .zip(&chain.entries)
        .all(|(index, _)| !shortcut(index))
    {
        return Ok(Node::FALSE);
    }
    let mirrored = mirrored(policy, chain);
    let roots = ChainRoots::build(store, &mirrored, chain)?;
    let shortened = store.map_terminals(roots.decision, &mut |index| u32::from(shortcut(index)))?;
    // Which rule of many would match first from the other end is not asked at this one.
    store.exists(shortened, Field::FirstMatch)
}

/// The policy with both sides of a chain's rules exchanged.
fn mirrored(policy: &Policy, chain: &Chain) -> Policy {
    let mut mirrored = policy.clone();
    for entry in &chain.entries {
        let matches = &mut mirrored.rules[entry.rule].matches;
        mem::swap(&mut matches.from, &mut matches.to);
    }
    mirrored
}

/// Whether a field has the same value as long as the connection lives, and is known when it is made. Which of many rules matches
/// first is, as it is a matter of addresses and ports.
fn lasts(policy: &Policy, field: Field) -> bool {
    match field {
        Field::ToIn(set) | Field::FromIn(set) => {
            matches!(policy.sets[set].kind, SetKind::Constant(_))
        }
        field => matches!(field.kind(), FieldKind::Tuple | FieldKind::FirstMatch),
    }
}
