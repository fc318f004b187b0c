//! The compare tree: a flattened diagram as blocks.
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
use crate::ir::{Block, Origin};
use crate::policy::Family;

use super::Lowering;
use super::question::{self, Phase};

/// An interval's upper bound, where it leads, and where its comparison with the next one comes from.
pub(super) type Arm = (u32, Block, Origin);

/// A tree in the making.
pub(super) struct Tree<'f> {
    flat: &'f Flat,
    family: Family,
    phase: Phase,
    /// What tells which rule a comparison is there for; `None` where the leaves are no rules.
    apart: Option<Apart<'f>>,
    blocks: BTreeMap<FlatNode, Block>,
}

impl Lowering<'_> {
    /// The block that decides for a family; the leaves are made by `leaf`.
    pub(super) fn tree(&mut self, flat: &Flat, family: Family, phase: Phase) -> Block {
        let terminals = match phase {
            Phase::Decision => Terminals::Deciders,
            Phase::Counts => Terminals::Counting(self.source.lists),
        };
        let apart = self.door.is_none().then(|| Apart::new(flat, terminals));
        let mut tree = Tree {
            flat,
            family,
            phase,
            apart,
            blocks: BTreeMap::new(),
        };
        let root = match flat.root {
            Target::Node(node) if flat.nodes[node].field == Field::Family => {
                let value = u32::from(family == Family::V6);
                let arms = &flat.nodes[node].arms;
                arms.iter()
                    .find(|(high, _)| value <= *high)
                    .map_or(flat.root, |&(_, target)| target)
            }
            root => root,
        };
        let block = self.target(&mut tree, root);
        self.builder.set_origin(self.head);
        block
    }

    fn target(&mut self, tree: &mut Tree<'_>, target: Target) -> Block {
        match target {
            Target::Node(node) => self.node(tree, node),
            Target::Leaf(leaf) if tree.phase == Phase::Counts => self.count_list(leaf, tree.family),
            Target::Leaf(leaf) => self.leaf(leaf, tree.family),
        }
    }

    fn node(&mut self, tree: &mut Tree<'_>, node: FlatNode) -> Block {
        if let Some(&block) = tree.blocks.get(&node) {
            return block;
        }
        let data = &tree.flat.nodes[node];
        let field = data.field;
        let asks = question::is_question(field);
        let low = if asks { question::base(field) } else { 0 };
        let entries = tree.entries(node);
        let arms: Vec<Arm> = data
            .arms
            .iter()
            .zip(&entries)
            .map(|(&(high, target), entry)| {
                let block = self.target(tree, target);
                (high.saturating_add(low), block, self.entry_origin(*entry))
            })
            .collect();
        let own = self.entry_origin(entries.iter().flatten().min().copied());
        self.builder.set_origin(own);
        let block = self.builder.fresh();
        if asks {
            let search = self.ask(tree.phase, tree.family, field);
            self.builder.enter(search);
            self.read_answer(self.registers.probe, field);
        } else {
            self.read(self.registers.probe, field, tree.family);
        }
        self.search(&arms, low);
        tree.blocks.insert(node, block);
        block
    }

    /// Searches intervals in the current block; `low` is the smallest value that can still occur.
    pub(super) fn search(&mut self, arms: &[Arm], low: u32) {
        let origin = comparison(arms, self.head);
        self.builder.set_origin(origin);
        match *arms {
            [] => {}
            [(_, only, _)] => self.builder.jump(only),
            [(point, first, _), (_, rest, _)] if point == low => {
                self.split(JumpOp::Eq, point, first, rest)
            }
            [(high, first, _), (_, rest, _)] => self.split(JumpOp::Gt, high, rest, first),
            [(before, outside, _), (point, inside, _), (_, after, _)]
                if after == outside && before.checked_add(1) == Some(point) =>
            {
                self.split(JumpOp::Eq, point, inside, outside);
            }
            _ => {
                let middle = arms.len() / 2;
                let (lower, higher) = arms.split_at(middle);
                let bound = arms[middle - 1].0;
                self.builder.set_origin(comparison(higher, origin));
                let upper = self.builder.block();
                self.builder.set_origin(comparison(lower, origin));
                let probe = self.registers.probe;
                self.builder
                    .leave_if(probe, JumpOp::Gt, immediate(bound), upper);
                self.search(lower, low);
                self.builder.enter(upper);
                self.search(higher, bound.saturating_add(1));
            }
        }
    }

    fn split(&mut self, op: JumpOp, bound: u32, then: Block, other: Block) {
        let probe = self.registers.probe;
        self.builder.leave_if(probe, op, immediate(bound), then);
        self.builder.jump(other);
    }
}

impl Tree<'_> {
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

/// Where the first comparison of a search comes from.
fn comparison(arms: &[Arm], none: Origin) -> Origin {
    let middle = (arms.len() / 2).max(1);
    arms.get(middle - 1).map_or(none, |arm| arm.2)
}

/// 32-bit comparisons take the immediate's bits as unsigned.
fn immediate(value: u32) -> i32 {
    i32::from_ne_bytes(value.to_ne_bytes())
}
