//! The questions of bulk rules: what a walk remembers of records that ask something, and who wins once that is answered.
//!
//! ```text
//! record matches ─ asks nothing ─▶ best so far, list is left
//!                └ asks q ──────▶ first of q so far, list goes on
//! after the walk, for each q whose first stands ahead of the winner: asked ─ yes ─▶ it wins
//! then, level by level, the rate of the first of the level, likewise (`rated`)
//! ```
//!
//! So each question is asked once at most, and only where a rule that asks it could win. All that asks is asked again for each
//! question, by code of its own: control flow only goes forward. What is remembered of a record are 32 bits, rank above group,
//! in slots that the verifier knows nothing of.

use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::classifier::tables::{GROUP_AT, GROUP_BITS};
use crate::ir::{Block, Builder, Slot, Value};
use crate::policy::Family;

use super::maps::ClassifierMaps;
use super::rated::{Answer, Asked};
use super::{Walk, number};
use crate::lower::answers::Answers;
use crate::lower::bucket::BUCKET_ROOM;
use crate::lower::given::Given;
use crate::lower::question::{Phase, Questions};
use crate::lower::tree::Tree;

/// What is kept where something is asked.
pub(super) struct AskedSlots {
    /// For each question its first match, and then for each level of rates.
    first: Vec<Slot>,
    /// The first match so far whose question, if it has one, was answered with yes.
    winner: Slot,
    /// Who asked for the first match, while it asks itself.
    call_site: Slot,
}

impl AskedSlots {
    /// The slots of the questions of a chain; none where nothing is asked. The counter of the winner is left in the winner's place.
    ///
    /// They share the room of records and buckets, where there is one: those are put together before or after. At bytes 4 to 7 of
    /// eight a slot is as opaque as one of its own.
    pub(super) fn new(builder: &mut Builder, given: &Given<'_>) -> Option<Self> {
        let maps = given.source.classifier?;
        if maps.remembered() == 0 {
            return None;
        }
        // The key of a bucket is put together while first matches are remembered still.
        let mut next = match &maps.rated {
            Some(_) => 4 + BUCKET_ROOM,
            None => 4,
        };
        let mut slot = || match given.frame.room {
            Some(room) => {
                next += 8;
                builder.part(room, next - 8, 4)
            }
            None => builder.opaque_slot(4),
        };
        Some(Self {
            first: (0..maps.remembered()).map(|_| slot()).collect(),
            call_site: slot(),
            winner: given.frame.first_match?,
        })
    }
}

impl AskedSlots {
    /// Goes on if a first match stands ahead of the winner, and gives where its answer leads.
    fn if_ahead(&self, builder: &mut Builder, slot: Slot) -> Answer {
        let [no, yes] = [(); 2].map(|()| builder.block());
        let first = builder.load_slot(slot, 0, Width::W);
        let winner = builder.load_slot(self.winner, 0, Width::W);
        builder.leave_if(first, JumpOp::Ge, winner, no);
        Answer { no, yes }
    }

    /// Goes on with a first match as the winner where the answer is yes.
    fn wins(&self, builder: &mut Builder, slot: Slot, Answer { no, yes }: Answer) {
        builder.enter(yes);
        let first = builder.load_slot(slot, 0, Width::W);
        builder.store_slot(self.winner, 0, first, Width::W);
        builder.jump(no);
        builder.enter(no);
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
        let (asked, metered) = slots.first.split_at(maps.questions.len());
        for ((question, diagram), &slot) in (0u8..).zip(&maps.questions).zip(asked) {
            let answer = slots.if_ahead(builder, slot);
            let asking = builder.current();
            let what = (diagram, phase.of_question(question), family);
            let mut leaves = answer;
            let root = Tree::write(builder, self.given, (&mut leaves, questions), what);
            builder.enter(asking);
            builder.jump(root);
            slots.wins(builder, slot, answer);
        }
        let levels = maps.rated.iter().flat_map(|rated| {
            let levels = rated.levels.iter();
            levels.map(move |level| (rated, level))
        });
        let numbers = (0u8..).skip(maps.questions.len());
        for ((number, (maps, level)), &first) in numbers.zip(levels).zip(metered) {
            let answer = slots.if_ahead(builder, first);
            let asked = Asked {
                maps,
                level,
                first,
                answer,
            };
            let phase = phase.of_question(number);
            self.ask_rate(builder, asked, (phase, family), questions);
            slots.wins(builder, first, answer);
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
