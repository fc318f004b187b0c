//! The class of a packet where rules have conditions: a compare tree over the header, whose leaves are classes.
//!
//! Takes the diagram of a classifier's classes; gives the class in a value. The tree is written as those of decisions are.
//! Each leaf leaves its number in the slot of the answer, which nobody has written yet, one higher: a constant 0 would be a
//! value to the verifier, and the ways that come together after the tree would be walked one by one.

use std::collections::BTreeMap;

use crate::bpf::opcode::{AluOp, Width};
use crate::diagram::flatten::Flat;
use crate::ir::{Block, Builder, Origin, Slot, Value};
use crate::policy::Family;

use crate::lower::answers::Answers;
use crate::lower::question::{Phase, Questions};
use crate::lower::tree::{Leaves, Tree};

/// Where the tree leads.
struct Classes {
    slot: Slot,
    told: Block,
    blocks: BTreeMap<u32, Block>,
}

impl Leaves for Classes {
    fn leaf(&mut self, builder: &mut Builder, _: Phase, class: u32, _: Family) -> Block {
        if let Some(&block) = self.blocks.get(&class) {
            return block;
        }
        let block = builder.fresh();
        let number = builder.fit(class + 1, "the number of a class");
        builder.set_slot(self.slot, 0, number, Width::W);
        builder.jump(self.told);
        self.blocks.insert(class, block);
        block
    }

    /// Many rules share a class.
    fn origin(&mut self, builder: &mut Builder, _: Option<u32>) -> Origin {
        builder.head()
    }
}

impl Answers<'_> {
    /// The class of the packet.
    pub(super) fn class_by_tree(
        &self,
        builder: &mut Builder,
        diagram: &Flat,
        family: Family,
    ) -> Value {
        let asking = builder.current();
        let told = builder.block();
        let slot = self.given.frame.answer;
        let mut leaves = Classes {
            slot,
            told,
            blocks: BTreeMap::new(),
        };
        let mut questions = Questions::default();
        let what = (diagram, Phase::Decision, family);
        let root = Tree::write(builder, self.given, (&mut leaves, &mut questions), what);
        if !questions.0.is_empty() {
            builder.bug("a class depends on what is no field of the header");
        }
        builder.enter(asking);
        builder.jump(root);
        builder.enter(told);
        let class = builder.load_slot(slot, 0, Width::W);
        builder.alu(class, AluOp::Sub, 1);
        class
    }
}
