//! The leaves of the trees: an entry of the chain decides, or a list of `count` entries is counted.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::chain::Effect;
use crate::hook::{Ability, Refusal};
use crate::ir::{Block, Builder, Origin};
use crate::policy::{Action, DefaultVerdict, Family, RuleId};

use super::{Ends, Outcome};
use crate::lower::{is_uniform, origin_of};

impl Ends<'_> {
    /// Entry number `index` of the chain decides; after the last entry stands the default.
    pub(super) fn decider(&mut self, builder: &mut Builder, index: u32, family: Family) -> Block {
        let entry = self.given.source.chain.entries.get(index as usize);
        let rule = entry.map(|entry| entry.rule);
        if index as usize > self.given.source.chain.entries.len() {
            builder.bug("an entry decides that is not there");
        }
        let (counts, slot, outcome) = match entry {
            Some(entry) => (
                entry.counts,
                Some(self.given.source.counters.rules[entry.rule]),
                self.outcome_of(builder, index as usize),
            ),
            None => self.default_leaf(),
        };
        let family = if self.given.source.counts.is_some() || self.record.is_some() {
            family
        } else {
            outcome.family(family)
        };
        if let Some(&block) = self.leaves.get(&(family, index)) {
            return block;
        }
        let next = self.after_decision(builder, family, outcome);
        let next = match slot {
            Some(_) => self.sampled_after(builder, outcome, next),
            None => next,
        };
        let next = if counts && slot.is_some() {
            let next = self.logged(builder, rule, Some(family), next);
            self.account(builder, next)
        } else {
            next
        };
        self.enter_leaf(builder, index);
        let block = builder.fresh();
        if let Some(slot) = slot {
            self.set_counter(builder, rule, slot, outcome);
        }
        if self.given.source.counts.is_some() {
            let number = self.outcome_number(builder, outcome);
            builder.set_slot(self.given.frame.outcome, 0, number, Width::W);
            let index = self.small(builder, index);
            builder.set_slot(self.given.frame.decider, 0, index, Width::W);
        }
        builder.jump(next);
        self.leaves.insert((family, index), block);
        block
    }

    /// Leaves the counter of who decided where it is looked for: that of the rule, or, for a group of bulk rules, that of
    /// the first match among them.
    fn set_counter(
        &mut self,
        builder: &mut Builder,
        rule: Option<RuleId>,
        slot: u32,
        outcome: Outcome,
    ) {
        // What `count` rules count in between overwrites the key.
        let key = match outcome {
            Outcome::PassUnlessAbsent(_) => self.given.frame.absent,
            _ => self.given.frame.counter,
        };
        let rules = &self.given.source.policy.rules;
        let group = rule.and_then(|rule| rules[rule].first_match());
        let beside = matches!(outcome, Outcome::Shortcut(_) | Outcome::Feed(_));
        // They may drop after `count` rules have counted.
        let late = matches!(outcome, Outcome::Intercept(_) | Outcome::Forward(_));
        let again = late && self.given.source.counts.is_some();
        match self.given.frame.first_match.filter(|_| group.is_some()) {
            Some(found) => {
                let counter = builder.load_slot(found, 0, Width::W);
                builder.store_slot(key, 0, counter, Width::W);
                if again {
                    builder.store_slot(self.given.frame.absent, 0, counter, Width::W);
                }
                if beside {
                    builder.alu(counter, AluOp::Add, 1);
                    builder.store_slot(self.given.frame.absent, 0, counter, Width::W);
                }
            }
            None => {
                let [own, after] = [slot, slot + 1].map(|slot| self.small(builder, slot));
                builder.set_slot(key, 0, own, Width::W);
                if again {
                    builder.set_slot(self.given.frame.absent, 0, own, Width::W);
                }
                if beside {
                    builder.set_slot(self.given.frame.absent, 0, after, Width::W);
                }
            }
        }
    }

    fn default_leaf(&self) -> (bool, Option<u32>, Outcome) {
        let default = self.given.source.chain.default;
        (
            default.counts,
            self.given.source.counters.default,
            match default.verdict {
                DefaultVerdict::Allow => Outcome::Pass,
                DefaultVerdict::Drop => Outcome::Drop,
                DefaultVerdict::Reject => self.refusal(),
            },
        )
    }

    /// The default, where every packet gets it.
    pub(in crate::lower) fn uniform(&mut self, builder: &mut Builder) -> Block {
        let source = self.given.source;
        if !is_uniform(source.policy, source.chain, source.decision, source.counts) {
            builder.bug("malformed packets have no counter where rules decide");
        }
        let default = builder.fit(source.chain.entries.len(), "the default");
        let block = self.decider(builder, default, Family::V4);
        builder.set_origin(builder.head());
        block
    }

    /// What is malformed gets the default's verdict and has a counter of its own.
    pub(in crate::lower) fn malformed(&mut self, builder: &mut Builder) -> Block {
        let (counts, _, outcome) = self.default_leaf();
        // What cannot be read cannot be answered.
        let outcome = match outcome {
            Outcome::Reject => Outcome::Drop,
            other => other,
        };
        let end = self.outcome(builder, outcome, Family::V4);
        let Some(slot) = self.given.source.counters.malformed else {
            return end;
        };
        let next = self.sampled_after(builder, outcome, end);
        // Where it does not count the slot is read by a gate alone.
        let next = match counts {
            true => {
                let next = self.logged(builder, None, None, next);
                self.account(builder, next)
            }
            false if next == end => return end,
            false => next,
        };
        let block = builder.head_block();
        builder.enter(block);
        let slot = self.small(builder, slot);
        builder.set_slot(self.given.frame.counter, 0, slot, Width::W);
        builder.set_slot(self.given.frame.length, 0, 0, Width::W);
        builder.jump(next);
        block
    }

    fn enter_leaf(&mut self, builder: &mut Builder, index: u32) {
        let origin = self.entry_origin(builder, Some(index));
        builder.set_origin(origin);
    }

    /// Where code for an entry of the chain, or for its default, comes from; the head for what is neither.
    pub(super) fn entry_origin(&mut self, builder: &mut Builder, index: Option<u32>) -> Origin {
        let policy = self.given.source.policy;
        let place =
            index.and_then(
                |index| match self.given.source.chain.entries.get(index as usize) {
                    Some(entry) => Some(&policy.rules[entry.rule].place),
                    None => policy
                        .default_of(self.given.source.chain.hook.direction())
                        .map(|line| &line.place),
                },
            );
        match (index, place) {
            (Some(index), Some(place)) => *self
                .origins
                .entry(index)
                .or_insert_with(|| builder.origin(origin_of(place))),
            _ => builder.head(),
        }
    }

    fn outcome_of(&mut self, builder: &mut Builder, index: usize) -> Outcome {
        let entry = &self.given.source.chain.entries[index];
        let rule = &self.given.source.policy.rules[entry.rule];
        match (entry.effect, rule.action) {
            (Effect::Drop, _) => Outcome::Drop,
            (Effect::Reject, _) => self.refusal(),
            (Effect::Forward, Action::Forward(port)) => Outcome::Forward(port),
            (Effect::Redirect, Action::Redirect(socket)) => Outcome::Assign(socket),
            (Effect::Intercept, Action::Intercept(socket)) => Outcome::Intercept(socket),
            (Effect::RedirectPass, Action::Redirect(socket))
                if self.given.source.policy.sockets[socket].drop_if_absent =>
            {
                Outcome::PassUnlessAbsent(socket)
            }
            (Effect::Shortcut, Action::Shortcut(near)) => Outcome::Shortcut(near),
            (Effect::Feed, Action::Feed(feed)) => Outcome::Feed(feed),
            (Effect::Allow, _) => match rule.mark {
                Some(mark) if self.given.source.chain.hook.sets_mark() == Ability::Yes => {
                    Outcome::Mark(mark)
                }
                _ => Outcome::Pass,
            },
            (Effect::Pass | Effect::RedirectPass, _) => Outcome::Pass,
            (effect, _) => {
                let what = format!("{effect:?} decides for a rule that says something else");
                builder.bug(what);
                Outcome::Drop
            }
        }
    }

    /// What a reject is at this hook: a lookup and a write have a code for it, which is that of a drop.
    pub(super) fn refusal(&self) -> Outcome {
        match self.given.source.chain.hook.spec().reject {
            Refusal::Answer => Outcome::Reject,
            Refusal::Code => Outcome::Drop,
        }
    }

    fn after_decision(&mut self, builder: &mut Builder, family: Family, outcome: Outcome) -> Block {
        match self.count_roots.get(&family) {
            Some(&root) => {
                self.outcome(builder, outcome, family);
                root
            }
            None => self.outcome(builder, outcome, family),
        }
    }

    /// Counts the entries of a list that stand before the decider, then goes to the outcome.
    pub(super) fn count_list(&mut self, builder: &mut Builder, list: u32, family: Family) -> Block {
        let mut next = self.finish_block(builder, family);
        let lists = self.given.source.lists;
        let Some(entries) = lists.get(list as usize) else {
            builder.bug("a list of entries that is not there");
            return next;
        };
        // Built from the last to the first: each counts, then goes on to the one after it.
        for &index in entries.iter().rev() {
            next = self.count_one(builder, index, family, next);
        }
        next
    }

    fn count_one(
        &mut self,
        builder: &mut Builder,
        index: u32,
        family: Family,
        next: Block,
    ) -> Block {
        let Some(entry) = self.given.source.chain.entries.get(index as usize) else {
            builder.bug("an entry counts that is not there");
            return next;
        };
        let slot = self.given.source.counters.rules[entry.rule];
        let logged = self.logged(builder, Some(entry.rule), Some(family), next);
        let account = self.account(builder, logged);
        let finish = self.finish_block(builder, family);
        self.enter_leaf(builder, index);
        let block = builder.fresh();
        let decider = builder.load_slot(self.given.frame.decider, 0, Width::W);
        let (index, slot) = (self.small(builder, index), self.small(builder, slot));
        builder.leave_if(decider, JumpOp::Lt, index, finish);
        builder.set_slot(self.given.frame.counter, 0, slot, Width::W);
        builder.jump(account);
        block
    }

    /// Counter slots and entries number far below 2^31.
    fn small(&mut self, builder: &mut Builder, number: u32) -> i32 {
        builder.fit(number, "a counter or an entry")
    }
}
