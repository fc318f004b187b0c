//! The compare tree: a flattened diagram (an MTBDD) as blocks.
//!
//! Takes the diagram of a chain for one family; gives the block where it begins. It tests fields, asks [`Questions`], and
//! leads to [`Leaves`], of which it knows no more than their numbers: nothing here returns, counts or logs.
//!
//! Each node loads its field once and searches its intervals; a node reached on several ways is one block. No tree
//! tests a field twice on a path, so the verifier meets no branch in it that is already decided; `count` rules have a
//! tree of their own.
//!
//! A comparison is said to come from the first rule that makes its two sides differ, so that listings and the verifier's
//! messages name it.

use std::collections::BTreeMap;

use crate::bpf::opcode::JumpOp;
use crate::diagram::apart::{Apart, Terminals};
use crate::diagram::flatten::{Flat, FlatNode, Target};
use crate::field::Field;
use crate::ir::{Block, Builder, Origin, Value};
use crate::policy::Family;

use super::given::{self, Given};
use super::question::{self, Phase, Questions};
use super::search::{Arm, immediate, search};

/// Where a tree leads.
pub(super) trait Leaves {
    /// The block of a terminal: of who decides, or of a list of who counts.
    fn leaf(&mut self, builder: &mut Builder, phase: Phase, terminal: u32, family: Family)
    -> Block;

    /// Where a comparison comes from that is there for this entry of the chain.
    fn origin(&mut self, builder: &mut Builder, entry: Option<u32>) -> Origin;
}

/// A tree in the making.
pub(super) struct Tree<'t, L> {
    given: &'t Given<'t>,
    leaves: &'t mut L,
    questions: &'t mut Questions,
    flat: &'t Flat,
    phase: Phase,
    family: Family,
    /// What tells which rule a comparison is there for; `None` where the leaves are no rules.
    apart: Option<Apart<'t>>,
    blocks: BTreeMap<FlatNode, Block>,
}

impl<'t, L: Leaves> Tree<'t, L> {
    /// Writes the tree of a family; gives the block that decides.
    pub(super) fn write(
        builder: &mut Builder,
        given: &'t Given<'t>,
        (leaves, questions): (&'t mut L, &'t mut Questions),
        (flat, phase, family): (&'t Flat, Phase, Family),
    ) -> Block {
        let terminals = match phase {
            Phase::Counts => Terminals::Counting(given.source.lists),
            _ => Terminals::Deciders,
        };
        let rules = given.frame.own.is_none();
        let mut tree = Self {
            given,
            leaves,
            questions,
            flat,
            phase,
            family,
            apart: rules.then(|| Apart::new(flat, terminals)),
            blocks: BTreeMap::new(),
        };
        let root = tree.root();
        let block = tree.target(builder, root);
        builder.set_origin(builder.head());
        block
    }

    /// Where the family's own part begins.
    fn root(&self) -> Target {
        let root = self.flat.root;
        match root {
            Target::Node(node) if self.flat.nodes[node].field == Field::Family => {
                let value = u32::from(self.family == Family::V6);
                let mut arms = self.flat.nodes[node].arms.iter();
                arms.find(|(high, _)| value <= *high)
                    .map_or(root, |&(_, target)| target)
            }
            root => root,
        }
    }

    fn target(&mut self, builder: &mut Builder, target: Target) -> Block {
        match target {
            Target::Node(node) => self.node(builder, node),
            Target::Leaf(leaf) => self.leaves.leaf(builder, self.phase, leaf, self.family),
        }
    }

    fn node(&mut self, builder: &mut Builder, node: FlatNode) -> Block {
        if let Some(&block) = self.blocks.get(&node) {
            return block;
        }
        let flat = self.flat;
        let data = &flat.nodes[node];
        let asks = question::is_question(data.field);
        let low = if asks {
            question::base(data.field)
        } else {
            given::base(data.field)
        };
        let entries = self.entries(node);
        let arms = data.arms.iter().zip(&entries);
        let arms = arms.map(|(&(high, target), entry)| {
            let block = self.target(builder, target);
            let origin = self.leaves.origin(builder, *entry);
            (high.saturating_add(low), block, origin)
        });
        let arms: Vec<Arm> = arms.collect();
        let first = entries.iter().flatten().min().copied();
        let own = self.leaves.origin(builder, first);
        builder.set_origin(own);
        let block = builder.fresh();
        let (value, bits) = self.load(builder, data.field, asks);
        // Linux 5.10 and 6.1 walk more of the sock_ops program of a group that does so.
        match Points::of(&arms, low).filter(|_| self.apart.is_some()) {
            Some(points) => points.find(builder, value, bits),
            None => {
                given::swap(builder, value, bits);
                search(builder, value, &arms, low);
            }
        }
        self.blocks.insert(node, block);
        block
    }

    /// Loads a field as it stands, asking for it first if that is what it takes; and the bits to be swapped.
    fn load(&mut self, builder: &mut Builder, field: Field, asks: bool) -> (Value, i32) {
        let frame = &self.given.frame;
        if !asks {
            return self.given.load_field(builder, field, self.family);
        }
        let question = (self.phase, self.family, field);
        let after = self.questions.ask(builder, frame.call_site, question);
        builder.enter(after);
        (
            builder.load_slot(frame.answer, 0, question::width(field)),
            0,
        )
    }

    /// For each arm of a node the first entry that makes the next arm differ; for the last arm, the one before it.
    fn entries(&mut self, node: FlatNode) -> Vec<Option<u32>> {
        let arms = &self.flat.nodes[node].arms;
        let Some(apart) = &mut self.apart else {
            return vec![None; arms.len()];
        };
        let pairs = arms.windows(2).map(|pair| (pair[0].1, pair[1].1));
        let mut entries: Vec<_> = pairs.map(|(one, next)| apart.first(one, next)).collect();
        entries.push(entries.last().copied().flatten());
        entries
    }
}

/// The most numbers that are looked for one after the other: with more of them halving takes fewer steps.
const MAX_POINTS: usize = 4;

/// Arms that are single numbers, but for one block that all others lead to.
struct Points {
    some: Vec<Arm>,
    rest: Block,
}

impl Points {
    /// `low` is the smallest number that can occur.
    fn of(arms: &[Arm], low: u32) -> Option<Self> {
        let befores = arms.iter().map(|arm| arm.0.checked_add(1));
        let lows = std::iter::once(Some(low)).chain(befores);
        let wide = |(arm, low): &(&Arm, Option<u32>)| Some(arm.0) != *low;
        let mut ranges = arms.iter().zip(lows).filter(wide);
        let rest = ranges.next().map_or(arms.last()?.1, |(arm, _)| arm.1);
        if ranges.any(|(arm, _)| arm.1 != rest) {
            return None;
        }
        let some: Vec<Arm> = arms.iter().copied().filter(|arm| arm.1 != rest).collect();
        (some.len() <= MAX_POINTS).then_some(Self { some, rest })
    }

    /// Looks for the numbers one after the other, as they stand in memory: nothing has to be swapped then.
    fn find(&self, builder: &mut Builder, value: Value, swap: i32) {
        let nexts = self.some.iter().skip(1).map(|next| next.2);
        let nexts = nexts.chain([builder.head()]);
        for (&(point, block, _), next) in self.some.iter().zip(nexts) {
            // The block after the comparison is that of the next one.
            builder.set_origin(next);
            let point = match swap {
                16 => point.swap_bytes() >> 16,
                32 => point.swap_bytes(),
                _ => point,
            };
            builder.leave_if(value, JumpOp::Eq, immediate(point), block);
        }
        builder.jump(self.rest);
    }
}
