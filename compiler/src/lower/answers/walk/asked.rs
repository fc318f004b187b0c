//! The questions of bulk rules: what a walk remembers of records that ask something, and who wins once that is answered.
//!
//! ```text
//! record matches ─ asks nothing ─▶ best so far, list is left
//!                └ asks q ──────▶ first of q so far, list goes on
//! after the walk, for each q whose first stands ahead of the winner: asked ─ yes ─▶ it wins
//! ```
//!
//! So each question is asked once at most, and only where a rule that asks it could win. All that asks is asked again for each
//! question, by code of its own: control flow only goes forward. What is remembered of a record are 32 bits, rank above group,
//! in slots that the verifier knows nothing of.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::classifier::tables::{GROUP_AT, GROUP_BITS};
use crate::ir::{Block, Builder, Origin, Slot, Value};
use crate::policy::Family;

use super::maps::ClassifierMaps;
use super::{Walk, number};
use crate::lower::answers::Answers;
use crate::lower::given::Given;
use crate::lower::question::{Phase, Questions};
use crate::lower::tree::{Leaves, Tree};

/// What is kept where something is asked.
pub(super) struct AskedSlots {
    /// For each question its first match.
    first: Vec<Slot>,
    /// The first match so far whose question, if it has one, was answered with yes.
    winner: Slot,
    /// Who asked for the first match, while it asks itself.
    call_site: Slot,
}

/// Where the answer to a question leads.
struct Answer {
    no: Block,
    yes: Block,
}

impl Leaves for Answer {
    fn leaf(&mut self, _: &mut Builder, _: Phase, answer: u32, _: Family) -> Block {
        match answer {
            0 => self.no,
            _ => self.yes,
        }
    }

    /// Many rules share a question.
    fn origin(&mut self, builder: &mut Builder, _: Option<u32>) -> Origin {
        builder.head()
    }
}

impl AskedSlots {
    /// The slots of the questions of a chain; none where nothing is asked. The counter of the winner is left in the winner's place.
    ///
    /// They share the room of records and buckets, where there is one: those are put together before or after. At bytes 4 to 7 of
    /// eight a slot is as opaque as one of its own.
    pub(super) fn new(builder: &mut Builder, given: &Given<'_>) -> Option<Self> {
        let questions = &given.source.classifier?.questions;
        if questions.is_empty() {
            return None;
        }
        let mut next = 4;
        let mut slot = || match given.frame.room {
            Some(room) => {
                next += 8;
                builder.part(room, next - 8, 4)
            }
            None => builder.opaque_slot(4),
        };
        Some(Self {
            first: questions.iter().map(|_| slot()).collect(),
            call_site: slot(),
            winner: given.frame.first_match?,
        })
    }
}

impl Walk<'_> {
    /// A record that matches, if it asks something: remembers it unless there is a better one of its question, and goes on at
    /// `miss`. Goes on after it for one that asks nothing.
    pub(super) fn keep_if_asked(
        &self,
        builder: &mut Builder,
        (record, about): (Value, i16),
        miss: Block,
    ) {
        let Some(slots) = &self.slots.asked else {
            return;
        };
        let found = builder.load(record, about, Width::DW);
        builder.alu(found, AluOp::Rsh, number(GROUP_AT));
        let group = builder.copy(found);
        builder.alu(group, AluOp::And, group_mask(GROUP_BITS));
        let mut arms = Vec::new();
        // Those of the greatest number have the greatest groups.
        for (before, &slot) in slots.first.iter().enumerate().rev() {
            let arm = builder.block();
            let least = builder.fit::<_, i32>((before + 1) << self.maps.group_bits, "a question");
            builder.leave_if(group, JumpOp::Ge, least, arm);
            arms.push((arm, slot));
        }
        let plain = builder.current();
        for (arm, slot) in arms {
            builder.enter(arm);
            let first = builder.load_slot(slot, 0, Width::W);
            builder.leave_if(found, JumpOp::Ge, first, miss);
            builder.store_slot(slot, 0, found, Width::W);
            builder.jump(miss);
        }
        builder.enter(plain);
    }
}

impl Answers<'_> {
    /// Begins a walk: nothing has matched.
    pub(super) fn forget_asked(&self, builder: &mut Builder) {
        let Some(slots) = &self.walk.asked else {
            return;
        };
        for &slot in &slots.first {
            builder.set_slot(slot, 0, -1, Width::W);
        }
        let call_site = builder.load_slot(self.given.frame.call_site, 0, Width::W);
        builder.store_slot(slots.call_site, 0, call_site, Width::W);
    }

    /// Gives rank and group of the winner, from the best record that asks nothing and the first of each question: all ones where
    /// there is none.
    pub(super) fn winner(
        &self,
        builder: &mut Builder,
        (maps, best): (&ClassifierMaps, Value),
        (phase, family): (Phase, Family),
        questions: &mut Questions,
    ) -> Value {
        let Some(slots) = &self.walk.asked else {
            return best;
        };
        builder.alu(best, AluOp::Rsh, number(GROUP_AT));
        builder.store_slot(slots.winner, 0, best, Width::W);
        for ((question, diagram), &slot) in (0u8..).zip(&maps.questions).zip(&slots.first) {
            let [no, yes] = [(); 2].map(|()| builder.block());
            let first = builder.load_slot(slot, 0, Width::W);
            let winner = builder.load_slot(slots.winner, 0, Width::W);
            builder.leave_if(first, JumpOp::Ge, winner, no);
            let asking = builder.current();
            let what = (diagram, phase.of_question(question), family);
            let mut leaves = Answer { no, yes };
            let root = Tree::write(builder, self.given, (&mut leaves, questions), what);
            builder.enter(asking);
            builder.jump(root);
            builder.enter(yes);
            let first = builder.load_slot(slot, 0, Width::W);
            builder.store_slot(slots.winner, 0, first, Width::W);
            builder.jump(no);
            builder.enter(no);
        }
        let call_site = builder.load_slot(slots.call_site, 0, Width::W);
        builder.store_slot(self.given.frame.call_site, 0, call_site, Width::W);
        builder.load_slot(slots.winner, 0, Width::W)
    }
}

/// The lowest bits, which are a group.
pub(super) fn group_mask(bits: u32) -> i32 {
    number((1 << bits) - 1)
}
