//! The same decider by decider, for lists that have little in common.
//!
//! What changes is decided by a rule that is not the same in at least one of the lists (see `draw/changing.rs`). So for
//! each of these it is enough to know what it decides, which only rules that meet it have to do with, and who decides that
//! in the other list: nothing of what other rules do has to be kept, and a region is told once for its two deciders. Not
//! here: few edits in long lists, of which most rules that they meet are the same in both.

use super::{MAX_TOLD, State, WORK, Weighing};
use crate::diagram::{BudgetExceeded, Node};
use crate::diff::draw::{Decided, Fates, Owner, Region};
use crate::diff::joint::Which;
use crate::diff::lists::Pair;
use crate::diff::report::About;
use crate::diff::weigh::{Finding, Found};
use crate::observer::Observer;
use crate::policy::RuleId;

/// A pair that is not the same.
#[derive(Clone, Copy)]
struct Turn {
    place: usize,
    pair: Pair,
    edit: Option<usize>,
}

/// One of its rules.
#[derive(Clone, Copy)]
struct Own {
    which: Which,
    id: RuleId,
}

impl Weighing<'_, '_, '_> {
    /// Everything that the edits do.
    pub(in crate::diff) fn by_deciders(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<Found, BudgetExceeded> {
        let mut state = self.begin()?;
        let turns = self.turns();
        for (number, &turn) in (1..).zip(&turns) {
            observer.progress(number, turns.len() as u64);
            self.space.limit_work(WORK);
            let failed = self.turn(turn, &mut state).is_err();
            state.found.unknown.extend(failed.then_some(turn.edit));
            if failed || self.space.store.len() >= state.room {
                self.tidy(&mut state);
            }
        }
        self.space.limit_work(WORK);
        self.add_new(&turns, &mut state);
        self.default(&mut state);
        Ok(state.found)
    }

    /// The pairs that are not the same, with their places: they stand in the order of the list.
    fn turns(&self) -> Vec<Turn> {
        let mut pairs = self.list.pairs.iter().enumerate();
        let turns = self.deltas.iter().filter_map(|delta| {
            let (place, &pair) = pairs.find(|(_, pair)| **pair == delta.pair)?;
            let edit = delta.edit;
            Some(Turn { place, pair, edit })
        });
        turns.collect()
    }

    /// What the rules of a pair decide and others decide otherwise; of what both decide the new one tells.
    fn turn(&mut self, turn: Turn, state: &mut State) -> Result<(), BudgetExceeded> {
        for which in [Which::New, Which::Old] {
            let id = turn.pair.of(which);
            let asked = |id: &RuleId| self.topic.asks(self.space.joint, which, *id);
            if let Some(id) = id.filter(asked) {
                self.own(turn, Own { which, id }, state)?;
            }
        }
        Ok(())
    }

    fn own(&mut self, turn: Turn, own: Own, state: &mut State) -> Result<(), BudgetExceeded> {
        let mut region = Region {
            packets: state.found.base,
            cover: self.covers.rule(own.which, own.id).clone(),
        };
        let [few, more] = self.is_told(&region);
        if !more && !self.may_change(own, &region)? {
            return Ok(());
        }
        let (which, id) = (own.which, own.id);
        region.packets = self.drawing().own(which, id, turn.place, &region)?;
        if region.packets == Node::FALSE {
            return match more {
                true => self.before(turn, own, region, state),
                false => Ok(()),
            };
        }
        let mut found = Vec::new();
        for (decided, packets) in self
            .drawing()
            .by_own(which, id, turn.place, region.packets)?
        {
            let cover = region.cover.clone();
            let part = Region { packets, cover };
            for (other, packets) in self.drawing().decided(which.other(), &part)? {
                if which == Which::New || !self.is_new(other) {
                    found.extend(self.finding(turn, which, [decided, other], packets, state));
                }
            }
        }
        let (changed, same): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|one| one.fates.old.1 != one.fates.new.1);
        let told = match changed.is_empty() {
            true => more,
            false => few,
        };
        if told {
            state.found.same.extend(same);
        }
        state.found.changed.extend(changed);
        Ok(())
    }

    /// Whether what keeps its fate in a region is told: where something else changes there, and where nothing does.
    fn is_told(&self, region: &Region) -> [bool; 2] {
        if self.topic.about == About::Lookup {
            return [false; 2];
        }
        let met = self.met_by(&region.cover, MAX_TOLD[1] + 1);
        MAX_TOLD.map(|most| met <= most)
    }

    /// Whether the other list may give anything else to what a rule matches.
    fn may_change(&mut self, own: Own, region: &Region) -> Result<bool, BudgetExceeded> {
        let outcome = self.space.outcome(self.topic, own.which, own.id)?;
        let Some(number) = self.space.store.terminal_of(outcome) else {
            return Ok(true);
        };
        let other = own.which.other();
        if self.space.default(self.topic, other) != number {
            return Ok(true);
        }
        for (_, pair) in self.drawing().meeting(region) {
            if let Some(id) = pair.of(other) {
                let outcome = self.space.outcome(self.topic, other, id)?;
                if self.space.store.terminal_of(outcome) != Some(number) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Who decides the same, where a rule decides nothing, as far as no other edit has to do with it.
    fn before(
        &mut self,
        turn: Turn,
        own: Own,
        mut region: Region,
        state: &mut State,
    ) -> Result<(), BudgetExceeded> {
        let matched = self.space.matched(self.topic, own.which, own.id)?;
        region.packets = self.space.store.and(matched, state.found.base)?;
        for (decided, packets) in self.drawing().decided(own.which, &region)? {
            if packets == Node::FALSE || self.is_edited(decided) {
                continue;
            }
            let cover = region.cover.clone();
            let part = Region { packets, cover };
            for (other, packets) in self.drawing().decided(own.which.other(), &part)? {
                if other.1 == decided.1 && !self.is_edited(other) {
                    let found = self.finding(turn, own.which, [decided, other], packets, state);
                    state.found.same.extend(found);
                }
            }
        }
        Ok(())
    }

    /// A region with its deciders, the first of them that of `which`; nothing if it is empty.
    fn finding(
        &mut self,
        turn: Turn,
        which: Which,
        [own, other]: [Decided; 2],
        packets: Node,
        state: &State,
    ) -> Option<Finding> {
        let share = self.space.store.shares(packets).remove(&1)?;
        let fates = match which {
            Which::Old => Fates {
                old: own,
                new: other,
            },
            Which::New => Fates {
                old: other,
                new: own,
            },
        };
        Some(Finding {
            topic: self.topic,
            edit: turn.edit,
            fates,
            within: (packets, 1),
            share: share.part / state.whole,
            values: share.values,
        })
    }

    /// Whether a decider of the new list is a rule that is not the same in the old one.
    fn is_new(&self, decided: Decided) -> bool {
        match decided.0 {
            Owner::Pair(place) => self.is_turn(self.list.pairs[place]),
            Owner::Default => false,
        }
    }

    /// The same of a decider of either list, and of a default.
    fn is_edited(&self, decided: Decided) -> bool {
        decided.0 != Owner::Default && self.is_new(decided)
    }

    fn is_turn(&self, pair: Pair) -> bool {
        !matches!(pair, Pair::Same(..)) || self.topic.comes_or_goes(self.space.joint)
    }

    /// What only new rules match is not decided by a default: known where that is asked.
    fn add_new(&mut self, turns: &[Turn], state: &mut State) {
        let [old, new] = Which::BOTH.map(|which| self.space.default(self.topic, which));
        if old == new {
            return;
        }
        let mut nodes = Vec::new();
        for turn in turns {
            let asked = |id: &RuleId| self.topic.asks(self.space.joint, Which::New, *id);
            if let Some(id) = turn.pair.of(Which::New).filter(asked) {
                match self.space.matched(self.topic, Which::New, id) {
                    Ok(node) => nodes.push(node),
                    Err(_) => state.found.unknown.push(turn.edit),
                }
            }
        }
        match self.space.store.any(&nodes) {
            Ok(done) => state.done = done,
            Err(_) => state.found.unknown.push(self.default),
        }
    }
}
