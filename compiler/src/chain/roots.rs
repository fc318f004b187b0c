//! The diagrams of one chain: which entry decides, and which count.
//!
//! Takes a [`Chain`]; gives [`ChainRoots`], restricted to what the hook can see. Not here: what an entry does.

use std::collections::BTreeMap;

use super::sight::{over_approximated, seen_from};
use super::{Chain, ChainRule, Effect, Part};
use crate::diagram::classify::{Scope, new_flow, new_fragment, rate_and_match};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::policy::Policy;

/// The diagrams of one chain.
#[derive(Clone, Debug)]
pub(crate) struct ChainRoots {
    /// The first deciding entry that matches, as its index in [`Chain::entries`]; [`ChainRoots::default_index`] where
    /// none does.
    pub decision: Node,
    /// The counting entries that match, as an index into `lists`. Those that stand after the decider do not count:
    /// the code compares indices. `None` where no entry only counts.
    pub counts: Option<Node>,
    /// Lists of indices in [`Chain::entries`], each increasing; the first is empty.
    pub lists: Vec<Vec<u32>>,
}

impl ChainRoots {
    /// The terminal of the default in `decision`.
    #[must_use]
    pub(crate) fn default_index(chain: &Chain) -> u32 {
        chain.entries.len() as u32
    }

    /// The diagrams of a chain of this policy.
    pub(crate) fn build(
        store: &mut Store,
        policy: &Policy,
        chain: &Chain,
    ) -> Result<Self, BudgetExceeded> {
        let mut deciders = Vec::new();
        let mut counters = Vec::new();
        for (index, entry) in (0u32..).zip(&chain.entries) {
            let matched = entry_diagram(store, policy, chain, entry)?;
            if entry.effect == Effect::Count {
                counters.push((index, matched));
            } else {
                let terminal = store.terminal(index)?;
                deciders.push(store.ite(matched, terminal, Node::NOMATCH)?);
            }
        }
        deciders.push(store.terminal(Self::default_index(chain))?);
        let whole = store.merge_all(&deciders)?;
        let decision = seen_from(store, chain.hook, chain.class, whole)?;
        if counters.is_empty() {
            return Ok(Self {
                decision,
                counts: None,
                lists: vec![Vec::new()],
            });
        }
        let mut lists = Lists::default();
        let counts = lists.diagram(store, &counters)?;
        let (counts, lists) = lists.used(store, counts)?;
        Ok(Self {
            decision,
            counts: Some(counts),
            lists,
        })
    }
}

/// 1 for what the entry matches at its hook.
pub(crate) fn entry_diagram(
    store: &mut Store,
    policy: &Policy,
    chain: &Chain,
    entry: &ChainRule,
) -> Result<Node, BudgetExceeded> {
    let scope = Scope { group: chain.group };
    let mut matched = rate_and_match(store, entry.rule, &policy.rules[entry.rule], scope)?;
    let part = match entry.part {
        Part::All => Node::TRUE,
        Part::NewFlows => new_flow(store)?,
        Part::NewFragments => new_fragment(store)?,
    };
    matched = store.and(matched, part)?;
    let seen = seen_from(store, chain.hook, chain.class, matched)?;
    if entry.effect == Effect::Pass {
        return over_approximated(store, chain.hook, seen);
    }
    Ok(seen)
}

/// The maximum number of entries that all lists together may hold. Each entry of a list that is used costs three instructions and more,
/// so beyond this no program would come of it.
const MAX_LISTED: usize = 250_000;

/// Lists of indices, each stored once.
struct Lists {
    lists: Vec<Vec<u32>>,
    held: usize,
    known: BTreeMap<Vec<u32>, u32>,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            lists: vec![Vec::new()],
            held: 0,
            known: BTreeMap::from([(Vec::new(), 0)]),
        }
    }
}

impl Lists {
    fn id(&mut self, list: Vec<u32>) -> u32 {
        if let Some(&id) = self.known.get(&list) {
            return id;
        }
        let id = self.lists.len() as u32;
        self.held += list.len();
        self.lists.push(list.clone());
        self.known.insert(list, id);
        id
    }

    /// The lists of the entries that match, halves merged; entries come by increasing index.
    fn diagram(
        &mut self,
        store: &mut Store,
        entries: &[(u32, Node)],
    ) -> Result<Node, BudgetExceeded> {
        match entries {
            [] => Ok(Node::FALSE),
            [(index, matched)] => {
                let id = self.id(vec![*index]);
                let alone = store.terminal(id)?;
                store.ite(*matched, alone, Node::FALSE)
            }
            _ => {
                let (first, second) = entries.split_at(entries.len() / 2);
                let f = self.diagram(store, first)?;
                let g = self.diagram(store, second)?;
                let both = store.apply2(f, g, &mut |a, b| self.joined(a, b))?;
                if self.held > MAX_LISTED {
                    return Err(BudgetExceeded { budget: MAX_LISTED });
                }
                Ok(both)
            }
        }
    }

    /// Past the budget nothing is joined any more; `diagram` then refuses.
    fn joined(&mut self, a: u32, b: u32) -> u32 {
        if self.held > MAX_LISTED {
            return 0;
        }
        let mut list = self.lists[a as usize].clone();
        list.extend(&self.lists[b as usize]);
        self.id(list)
    }

    /// The diagram with the lists that it can give numbered anew, and those lists; the empty one stays the first.
    fn used(self, store: &mut Store, root: Node) -> Result<(Node, Vec<Vec<u32>>), BudgetExceeded> {
        let mut kept: Vec<u32> = store.terminals(root).into_iter().collect();
        if kept.first() != Some(&0) {
            kept.insert(0, 0);
        }
        let place = |old: u32| kept.partition_point(|&id| id < old) as u32;
        let root = store.map_terminals(root, &mut |old| place(old))?;
        let lists = kept
            .iter()
            .map(|&id| self.lists[id as usize].clone())
            .collect();
        Ok((root, lists))
    }
}
