//! What happens in the end: whoever decides is counted and logged, then comes a return code, or a socket is assigned, looked
//! for, or written to directly, or the packet is answered.
//!
//! Takes what the trees end in; gives blocks, each made once, that lead out of the program. Nothing here tests what a rule
//! matches, nor asks a question.

mod account;
mod destination;
mod leaf;
mod log;
mod outcome;
mod reject;
mod sample;
mod shortcut;

use std::collections::BTreeMap;

use crate::bpf::opcode::Width;
use crate::destination::Ending;
use crate::ir::{Block, Builder, Origin, Slot};
use crate::policy::Family;

use super::given::Given;
use super::question::Phase;
use super::search::{Arm, search};
use super::tree::Leaves;
use log::Gate;
pub(super) use log::{fields as log_fields, logs};
pub(super) use outcome::Outcome;
pub use reject::KINDS;
use reject::Reply;
pub(crate) use reject::{MAX_RECEIVERS, answers};
pub(crate) use sample::samples;
pub(crate) use shortcut::WAY;
pub use shortcut::{BEGAN, BY_TCP, COUNTER, LEFT, OVERHEAD};

/// The ends of a program, as far as they are written.
pub(super) struct Ends<'a> {
    given: &'a Given<'a>,
    /// Where an answer is put together, if the chain rejects packets.
    reply: Option<Reply>,
    /// Where a record is put together, if the chain logs.
    record: Option<Slot>,
    origins: BTreeMap<u32, Origin>,
    leaves: BTreeMap<(Family, u32), Block>,
    outcomes: BTreeMap<(Family, Outcome), Block>,
    /// What the verdict slot may hold, in the order it was asked for.
    numbered: Vec<Outcome>,
    accounts: BTreeMap<Block, Block>,
    /// Where it is counted what became of what was given to a socket, by the slot of the key, where it goes on, and how it ended if
    /// that is known.
    counted_ends: BTreeMap<(Slot, Block, Option<Ending>), Block>,
    /// Where the trees of the `count` rules begin.
    count_roots: BTreeMap<Family, Block>,
    finishes: BTreeMap<Family, Block>,
    gates: BTreeMap<Gate, Block>,
    records: BTreeMap<(Option<Family>, Block), Block>,
    /// Where it is counted that a record found no room, by where it goes on.
    losses: BTreeMap<Block, Block>,
    /// The gates in front of drops, by where they lead.
    samples: BTreeMap<Block, Block>,
}

impl Leaves for Ends<'_> {
    fn leaf(
        &mut self,
        builder: &mut Builder,
        phase: Phase,
        terminal: u32,
        family: Family,
    ) -> Block {
        match phase {
            Phase::Decision => self.decider(builder, terminal, family),
            Phase::Counts => self.count_list(builder, terminal, family),
            Phase::DecisionBulk(_) | Phase::CountsBulk(_) => {
                builder.bug("a question of bulk rules decides");
                builder.block()
            }
        }
    }

    fn origin(&mut self, builder: &mut Builder, entry: Option<u32>) -> Origin {
        self.entry_origin(builder, entry)
    }
}

impl<'a> Ends<'a> {
    pub(super) fn new(builder: &mut Builder, given: &'a Given<'a>) -> Self {
        let record = given.frame.room.filter(|_| logs(&given.source));
        Self {
            given,
            reply: Reply::new(builder, given),
            record,
            origins: BTreeMap::new(),
            leaves: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            numbered: Vec::new(),
            accounts: BTreeMap::new(),
            counted_ends: BTreeMap::new(),
            count_roots: BTreeMap::new(),
            finishes: BTreeMap::new(),
            gates: BTreeMap::new(),
            records: BTreeMap::new(),
            losses: BTreeMap::new(),
            samples: BTreeMap::new(),
        }
    }

    /// From now on who decides for a family leads to this tree of `count` rules.
    pub(super) fn count_first(&mut self, family: Family, root: Block) {
        self.count_roots.insert(family, root);
    }

    /// Goes to the outcome that the decision left in its slot.
    fn finish_block(&mut self, builder: &mut Builder, family: Family) -> Block {
        let finish = self.finishes.entry(family);
        *finish.or_insert_with(|| builder.head_block())
    }

    /// Writes the finish blocks, once every leaf is known.
    pub(super) fn finish(self, builder: &mut Builder) {
        let head = builder.head();
        for (family, block) in self.finishes {
            // What only the other family decides has no block of this one, and never comes here.
            let arms = (0..).zip(&self.numbered).filter_map(|(number, outcome)| {
                let outcome = (outcome.family(family), *outcome);
                Some((number, *self.outcomes.get(&outcome)?, head))
            });
            let arms: Vec<Arm> = arms.collect();
            builder.enter(block);
            let number = builder.load_slot(self.given.frame.outcome, 0, Width::W);
            search(builder, number, &arms, 0);
        }
    }
}
