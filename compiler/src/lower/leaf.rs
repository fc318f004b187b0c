//! The leaves of the trees: an entry of the chain decides, or a list of `count` entries is counted.

use crate::bpf::opcode::{JumpOp, Width};
use crate::chain::Effect;
use crate::hook::{Ability, Refusal};
use crate::ir::{Block, Origin};
use crate::policy::{Action, DefaultVerdict, Family, RuleId};

use super::outcome::Outcome;
use super::question::Phase;
use super::{Lowering, origin_of};

impl Lowering<'_> {
    /// The block of a family's decision, with everything after it.
    pub(super) fn decide(&mut self, family: Family) -> Block {
        if let Some(counts) = self.source.counts {
            let root = self.tree(counts, family, Phase::Counts);
            self.count_roots.insert(family, root);
        }
        self.tree(self.source.decision, family, Phase::Decision)
    }

    /// Entry number `index` of the chain decides; after the last entry stands the default.
    pub(super) fn leaf(&mut self, index: u32, family: Family) -> Block {
        if let Some(door) = &self.door {
            return door.leaf(index);
        }
        let entry = self.source.chain.entries.get(index as usize);
        let rule = entry.map(|entry| entry.rule);
        if index as usize > self.source.chain.entries.len() {
            self.builder.bug("an entry decides that is not there");
        }
        let (counts, slot, outcome) = match entry {
            Some(entry) => (
                entry.counts,
                Some(self.source.counters.rules[entry.rule]),
                self.outcome_of(index as usize),
            ),
            None => self.default_leaf(),
        };
        let family = if self.source.counts.is_some() || self.record.is_some() {
            family
        } else {
            outcome.family(family)
        };
        if let Some(&block) = self.leaves.get(&(family, index)) {
            return block;
        }
        let next = self.after_decision(family, outcome);
        let next = if counts && slot.is_some() {
            let next = self.logged(rule, Some(family), next);
            self.account(next)
        } else {
            next
        };
        self.enter_leaf(index);
        let block = self.builder.fresh();
        if let Some(slot) = slot {
            self.set_counter(rule, slot, outcome);
        }
        if self.source.counts.is_some() {
            let number = self.outcome_number(outcome);
            self.builder
                .set_slot(self.frame.outcome, 0, number, Width::W);
            let index = self.small(index);
            self.builder
                .set_slot(self.frame.decider, 0, index, Width::W);
        }
        self.builder.jump(next);
        self.leaves.insert((family, index), block);
        block
    }

    /// Leaves the counter of who decided where it is looked for: that of the rule, or, for a group of bulk rules, that of
    /// the first match among them.
    fn set_counter(&mut self, rule: Option<RuleId>, slot: u32, outcome: Outcome) {
        // What `count` rules count in between overwrites the key.
        let key = match outcome {
            Outcome::PassUnlessAbsent(_) => self.frame.absent,
            _ => self.frame.counter,
        };
        let rules = &self.source.policy.rules;
        let group = rule.and_then(|rule| rules[rule].first_match());
        match self.frame.first_match.filter(|_| group.is_some()) {
            Some(found) => {
                let counter = self.builder.load_slot(found, 0, Width::W);
                self.builder.store_slot(key, 0, counter, Width::W);
            }
            None => {
                let slot = self.small(slot);
                self.builder.set_slot(key, 0, slot, Width::W);
            }
        }
    }

    fn default_leaf(&self) -> (bool, Option<u32>, Outcome) {
        let default = self.source.chain.default;
        (
            default.counts,
            self.source.counters.default,
            match default.verdict {
                DefaultVerdict::Allow => Outcome::Pass,
                DefaultVerdict::Drop => Outcome::Drop,
                DefaultVerdict::Reject => self.refusal(),
            },
        )
    }

    /// What is malformed gets the default's verdict and has a counter of its own.
    pub(super) fn malformed(&mut self) -> Block {
        let (counts, _, outcome) = self.default_leaf();
        // What cannot be read cannot be answered.
        let outcome = match outcome {
            Outcome::Reject => Outcome::Drop,
            other => other,
        };
        let end = self.outcome(outcome, Family::V4);
        let (true, Some(slot)) = (counts, self.source.counters.malformed) else {
            return end;
        };
        let next = self.logged(None, None, end);
        let next = self.account(next);
        let block = self.head_block();
        self.builder.enter(block);
        let slot = self.small(slot);
        self.builder.set_slot(self.frame.counter, 0, slot, Width::W);
        self.builder.set_slot(self.frame.length, 0, 0, Width::W);
        self.builder.jump(next);
        block
    }

    fn enter_leaf(&mut self, index: u32) {
        let origin = self.entry_origin(Some(index));
        self.builder.set_origin(origin);
    }

    /// Where code for an entry of the chain, or for its default, comes from; the head for what is neither.
    pub(super) fn entry_origin(&mut self, index: Option<u32>) -> Origin {
        let policy = self.source.policy;
        let place = index.and_then(
            |index| match self.source.chain.entries.get(index as usize) {
                Some(entry) => Some(&policy.rules[entry.rule].place),
                None => policy
                    .default_of(self.source.chain.hook.direction())
                    .map(|line| &line.place),
            },
        );
        match (index, place) {
            (Some(index), Some(place)) => *self
                .origins
                .entry(index)
                .or_insert_with(|| self.builder.origin(origin_of(place))),
            _ => self.head,
        }
    }

    fn outcome_of(&mut self, index: usize) -> Outcome {
        let entry = &self.source.chain.entries[index];
        let rule = &self.source.policy.rules[entry.rule];
        match (entry.effect, rule.action) {
            (Effect::Drop, _) => Outcome::Drop,
            (Effect::Reject, _) => self.refusal(),
            (Effect::Forward, Action::Forward(port)) => Outcome::Forward(port),
            (Effect::Redirect, Action::Redirect(socket)) => Outcome::Assign(socket),
            (Effect::RedirectPass, Action::Redirect(socket))
                if self.source.policy.sockets[socket].drop_if_absent =>
            {
                Outcome::PassUnlessAbsent(socket)
            }
            (Effect::Shortcut, Action::Shortcut(group)) => Outcome::Shortcut(group),
            (Effect::Allow, _) => match rule.mark {
                Some(mark) if self.source.chain.hook.sets_mark() == Ability::Yes => {
                    Outcome::Mark(mark)
                }
                _ => Outcome::Pass,
            },
            (Effect::Pass | Effect::RedirectPass, _) => Outcome::Pass,
            (effect, _) => {
                let what = format!("{effect:?} decides for a rule that says something else");
                self.builder.bug(what);
                Outcome::Drop
            }
        }
    }

    /// What a reject is at this hook: a lookup and a write have a code for it, which is that of a drop.
    fn refusal(&self) -> Outcome {
        match self.source.chain.hook.spec().reject {
            Refusal::Answer => Outcome::Reject,
            Refusal::Code => Outcome::Drop,
        }
    }

    fn after_decision(&mut self, family: Family, outcome: Outcome) -> Block {
        match self.count_roots.get(&family) {
            Some(&root) => {
                self.outcome(outcome, family);
                root
            }
            None => self.outcome(outcome, family),
        }
    }

    /// Counts the entries of a list that stand before the decider, then goes to the outcome.
    pub(super) fn count_list(&mut self, list: u32, family: Family) -> Block {
        let mut next = self.finish_block(family);
        let lists = self.source.lists;
        let Some(entries) = lists.get(list as usize) else {
            self.builder.bug("a list of entries that is not there");
            return next;
        };
        // Built from the last to the first: each counts, then goes on to the one after it.
        for &index in entries.iter().rev() {
            next = self.count_one(index, family, next);
        }
        next
    }

    fn count_one(&mut self, index: u32, family: Family, next: Block) -> Block {
        let Some(entry) = self.source.chain.entries.get(index as usize) else {
            self.builder.bug("an entry counts that is not there");
            return next;
        };
        let slot = self.source.counters.rules[entry.rule];
        let logged = self.logged(Some(entry.rule), Some(family), next);
        let account = self.account(logged);
        let finish = self.finish_block(family);
        self.enter_leaf(index);
        let block = self.builder.fresh();
        let decider = self.builder.load_slot(self.frame.decider, 0, Width::W);
        let (index, slot) = (self.small(index), self.small(slot));
        self.builder.leave_if(decider, JumpOp::Lt, index, finish);
        self.builder.set_slot(self.frame.counter, 0, slot, Width::W);
        self.builder.jump(account);
        block
    }

    /// Counter slots and entries number far below 2^31.
    fn small(&mut self, number: u32) -> i32 {
        self.builder.fit(number, "a counter or an entry")
    }
}
