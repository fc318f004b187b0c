//! One direction's rules, as the lints of reach look at them: who may match a packet, and the diagrams of rules.
//!
//! Not here: what a lint makes of that.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;

use super::Care;
use super::sample::Sample;
use crate::apart::disjoint;
use crate::candidates::{Index, Looks};
use crate::decide::{Lookups, Seen, decide_among, matches};
use crate::diagram::classify::{Scope, rule_diagram};
use crate::diagram::possible::possible;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::event::Decider;
use crate::field::Field;
use crate::packet::text::{Described, DescribedWorld};
use crate::policy::{Direction, GroupId, Policy, Rule, RuleId};
use crate::witness::Witness;

/// So few rules in a row are looked at one by one.
const SHORT: usize = 128;

/// There are no looks or no nodes left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exhausted;

/// The rules of a direction.
pub(super) struct List<'a> {
    /// The policy.
    pub(super) policy: &'a Policy,
    /// The direction.
    pub(super) direction: Direction,
    /// Its rules, in order.
    pub(super) rules: Vec<(RuleId, &'a Rule)>,
    index: Index,
    /// What is left of the looks.
    looks: Looks,
    exhausted: Cell<bool>,
    store: Store,
    possible: Option<Node>,
    /// The bound of the store.
    most_nodes: usize,
    /// So many findings of a lint are enough.
    enough: usize,
    /// Rules from this one on are not looked at any more.
    stopped: Option<RuleId>,
    /// Which of the policy's rules socket lookups ask.
    lookups: Lookups,
}

impl<'a> List<'a> {
    /// The list of a direction.
    pub(super) fn new(policy: &'a Policy, direction: Direction, care: Care) -> Self {
        let rules: Vec<_> = policy.rules_of(direction).collect();
        let matches = rules.iter().map(|(id, rule)| (*id, &rule.matches));
        Self {
            index: Index::new(policy, matches),
            store: Store::with(care.nodes(), &Field::of(policy)),
            looks: Looks::new(care.looks()),
            exhausted: Cell::new(false),
            possible: None,
            most_nodes: care.nodes(),
            enough: care.findings(),
            stopped: None,
            lookups: Lookups::of(policy),
            policy,
            direction,
            rules,
        }
    }

    /// Whether socket lookups ask about the rule too, also for packets that no packet hook has seen.
    pub(super) fn in_lookups(&self, id: RuleId, rule: &Rule) -> bool {
        self.lookups.ask(id, rule)
    }

    /// Whose packets or writes the rule may be for: for sends the groups, else nobody's in particular.
    pub(super) fn scopes(&self, rule: &Rule) -> Vec<Option<GroupId>> {
        if !self.direction.of_processes() {
            return vec![None];
        }
        let groups = self.policy.groups.keys();
        groups
            .filter(|group| concerns(rule, Some(*group)))
            .map(Some)
            .collect()
    }

    /// Takes looks, as long as there are any.
    pub(super) fn look(&self, times: u64) -> Result<(), Exhausted> {
        self.sufficed(self.looks.take(times))
    }

    fn sufficed(&self, sufficed: bool) -> Result<(), Exhausted> {
        if sufficed {
            return Ok(());
        }
        self.exhausted.set(true);
        Err(Exhausted)
    }

    /// Whether some rules could not be told for want of looks or nodes.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted.get()
    }

    /// Whether a lint that found so much goes on to no further rule: it is enough, or there are no looks left, and then those
    /// rules could not be told.
    pub(super) fn is_over(&self, found: usize) -> bool {
        found >= self.enough || self.enough != usize::MAX && self.looks.are_gone()
    }

    /// Rules from this one on are not looked at any more, by no lint.
    pub(super) fn stop(&mut self, id: RuleId) {
        self.stopped = Some(id);
    }

    /// Whether a rule is not looked at any more.
    pub(super) fn is_stopped(&self, id: RuleId) -> bool {
        self.stopped.is_some_and(|stopped| stopped <= id)
    }

    /// Whether what was found was enough, so that not every rule was looked at.
    pub(super) fn is_enough(&self) -> bool {
        self.stopped.is_some() && !self.looks.are_gone()
    }

    /// What was drawn, unless there were too few nodes.
    fn drawn<T>(&self, drawn: Result<T, BudgetExceeded>) -> Result<T, Exhausted> {
        drawn.map_err(|_| {
            self.exhausted.set(true);
            Exhausted
        })
    }

    /// Deciding rules among `ids` that match the sample, each once. They come part by part, in order within each; `take`
    /// says whether to go on with the part.
    pub(super) fn deciders(
        &self,
        sample: &Sample<'_>,
        scope: Option<GroupId>,
        ids: Range<u32>,
        mut take: impl FnMut(RuleId) -> bool,
    ) -> Result<(), Exhausted> {
        let seen = sample.seen();
        let header = &sample.header;
        let sufficed = self.index.around(header, ids, &self.looks, &mut |id| {
            let rule = &self.policy.rules[id];
            let matched = rule.action.decides() && concerns(rule, scope) && is_of(&seen, id, rule);
            !matched || take(id)
        });
        self.sufficed(sufficed)
    }

    /// The first deciding rule among `ids` that matches the sample and is asked for.
    pub(super) fn first_decider(
        &self,
        sample: &Sample<'_>,
        ids: Range<u32>,
        asked: impl Fn(RuleId) -> bool,
    ) -> Result<Option<RuleId>, Exhausted> {
        let mut first: Option<RuleId> = None;
        self.deciders(sample, None, ids, |id| {
            let earlier = first.is_none_or(|known| id < known);
            let found = earlier && asked(id);
            if found {
                first = Some(id);
            }
            earlier && !found
        })?;
        Ok(first)
    }

    /// The first rule among `ids` that matches some packet of a diagram and is asked for; nothing if no packet is left, or
    /// no look.
    pub(super) fn first_in(
        &self,
        node: Node,
        scope: Option<GroupId>,
        ids: Range<u32>,
        asked: impl Fn(RuleId) -> bool,
    ) -> Option<Option<RuleId>> {
        let values = self.store.satisfy(node, 1)?;
        let witness = Witness::new(values, self.direction, scope);
        let classes = [witness.event.on(), witness.event.leaves()];
        let header = &witness.header;
        let seen = Seen::new(self.policy, self.direction, classes, header, &witness);
        let mut first: Option<RuleId> = None;
        let sufficed = self.index.around(header, ids, &self.looks, &mut |id| {
            let rule = &self.policy.rules[id];
            let earlier = first.is_none_or(|known| id < known);
            let found = earlier && concerns(rule, scope) && is_of(&seen, id, rule) && asked(id);
            if found {
                first = Some(id);
            }
            earlier && !found
        });
        self.sufficed(sufficed).is_ok().then_some(first)
    }

    /// Some packet of a diagram, with all that is around it.
    pub(super) fn described(&self, node: Node) -> Option<Described> {
        let values = self.store.satisfy(node, 1)?;
        let witness = Witness::new(values, self.direction, None);
        Some(witness.everything(self.policy))
    }

    /// The rule that the reference meaning says decides a packet; `without` a rule, if one is named. Of the rules that a
    /// redirect by a map became, the first stands for all.
    pub(super) fn decided_by(
        &self,
        described: &Described,
        without: Option<RuleId>,
    ) -> Result<Option<RuleId>, Exhausted> {
        let Some(header) = described.event.header() else {
            return Ok(None);
        };
        let first = |id| head(id, &self.policy.rules[id]);
        let mut asked = Vec::new();
        let all = 0..u32::MAX;
        let sufficed = self.index.around(header, all, &self.looks, &mut |id| {
            asked.extend(Some(id).filter(|id| Some(first(*id)) != without));
            true
        });
        self.sufficed(sufficed)?;
        asked.sort_unstable();
        let world = DescribedWorld::new(self.policy, described);
        let decision = decide_among(self.policy, &described.event, &world, &asked);
        Ok(match decision.decider {
            Decider::Rule(id) => Some(first(id)),
            _ => None,
        })
    }

    /// Says that something could not be told.
    pub(super) fn give_up<T>(&self) -> Result<T, Exhausted> {
        self.exhausted.set(true);
        Err(Exhausted)
    }

    /// Rules among `ids` that may share packets with a rule, in order, and whether these are all: no more than `most` are
    /// found. Only those are counted that `counts` says.
    pub(super) fn sharing(
        &self,
        rule: &Rule,
        ids: Range<u32>,
        most: usize,
        counts: impl Fn(RuleId, &Rule) -> bool,
    ) -> Result<(BTreeSet<RuleId>, bool), Exhausted> {
        let mut found = BTreeSet::new();
        let mut take = |id: RuleId| {
            let other = &self.policy.rules[id];
            let shares = counts(id, other) && !disjoint(self.policy, &rule.matches, &other.matches);
            if shares {
                found.insert(id);
            }
            found.len() <= most
        };
        let first = self
            .rules
            .partition_point(|(id, _)| id.as_u32() < ids.start);
        let end = self.rules.partition_point(|(id, _)| id.as_u32() < ids.end);
        if end - first <= SHORT {
            self.look((end - first) as u64)?;
            self.rules[first..end].iter().all(|(id, _)| take(*id));
        } else {
            let one = &rule.matches;
            let looks = &self.looks;
            self.sufficed(self.index.sharing(self.policy, one, ids, looks, &mut take))?;
        }
        let all = found.len() <= most;
        Ok((found, all))
    }

    /// 1 for the packets that there can be.
    pub(super) fn possible(&mut self) -> Result<Node, Exhausted> {
        if let Some(known) = self.possible {
            return Ok(known);
        }
        let drawn = possible(&mut self.store, self.policy, self.direction);
        let node = self.drawn(drawn)?;
        self.possible = Some(node);
        Ok(node)
    }

    /// Makes room if there is little: diagrams that were drawn so far must not be used any more.
    pub(super) fn forget_diagrams(&mut self) {
        if self.store.len() > self.most_nodes / 4 {
            self.store = Store::with(self.most_nodes, &Field::of(self.policy));
            self.possible = None;
        }
    }

    /// 1 for what the rule matches.
    pub(super) fn diagram(
        &mut self,
        id: RuleId,
        group: Option<GroupId>,
    ) -> Result<Node, Exhausted> {
        let drawn = rule_diagram(&mut self.store, id, &self.policy.rules[id], Scope { group });
        self.drawn(drawn)
    }

    /// 1 where the first is and the second is not.
    pub(super) fn without(&mut self, from: Node, taken: Node) -> Result<Node, Exhausted> {
        let store = &mut self.store;
        let drawn = store.not(taken).and_then(|rest| store.and(from, rest));
        self.drawn(drawn)
    }

    /// What is left without the packets of one rule more, of at most so many; nothing if it was removed before: a set that
    /// is asked as one question may answer otherwise than it would, and then nothing is proved.
    pub(super) fn take_away(
        &mut self,
        left: Node,
        rule: RuleId,
        taken: &mut BTreeSet<RuleId>,
        most: usize,
    ) -> Result<Option<Node>, Exhausted> {
        if !taken.insert(rule) {
            return Ok(None);
        }
        if taken.len() > most {
            return self.give_up();
        }
        let matched = self.diagram(rule, None)?;
        self.without(left, matched).map(Some)
    }

    /// 1 where both are.
    pub(super) fn both(&mut self, one: Node, other: Node) -> Result<Node, Exhausted> {
        let drawn = self.store.and(one, other);
        self.drawn(drawn)
    }
}

/// Whether a rule of the list matches what is seen; one `at sk_lookup` is for new flows only.
pub(super) fn is_of(seen: &Seen<'_>, id: RuleId, rule: &Rule) -> bool {
    (!rule.in_lookup() || seen.header.is_looked_up(seen.socket(None))) && matches(seen, id, rule)
}

/// Whether a rule is about writes of the group.
pub(super) fn concerns(rule: &Rule, scope: Option<GroupId>) -> bool {
    scope.is_none_or(|group| rule.is_for(group))
}

/// The first of the rules that a redirect by a map became; of other rules, the rule.
pub(super) fn head(id: RuleId, rule: &Rule) -> RuleId {
    rule.head.unwrap_or(id)
}
