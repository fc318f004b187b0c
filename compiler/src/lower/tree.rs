//! The compare tree: a flattened diagram as blocks.
//!
//! Each node loads its field once and searches its intervals; a node reached on several ways is one block. No tree
//! tests a field twice on a path, so the verifier meets no branch in it that is already decided; `count` rules have a
//! tree of their own.

use std::collections::BTreeMap;

use crate::bpf::opcode::JumpOp;
use crate::diagram::flatten::{Flat, FlatNode, Target};
use crate::field::Field;
use crate::ir::Block;
use crate::policy::Family;

use super::Lowering;
use super::question::{self, Phase};

/// An interval's upper bound and where it leads.
type Arm = (u32, Block);

/// A tree in the making.
pub(super) struct Tree<'f> {
    flat: &'f Flat,
    family: Family,
    phase: Phase,
    blocks: BTreeMap<FlatNode, Block>,
}

impl Lowering<'_> {
    /// The block that decides for a family; the leaves are made by `leaf`.
    pub(super) fn tree(&mut self, flat: &Flat, family: Family, phase: Phase) -> Block {
        let mut tree = Tree {
            flat,
            family,
            phase,
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
        self.target(&mut tree, root)
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
        let arms: Vec<Arm> = data
            .arms
            .iter()
            .map(|&(high, target)| (high.saturating_add(low), self.target(tree, target)))
            .collect();
        let block = self.head_block();
        self.builder.enter(block);
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
        let probe = self.registers.probe;
        match *arms {
            [] => {}
            [(_, only)] => self.builder.jump(only),
            [(point, first), (_, rest)] if point == low => {
                self.split(JumpOp::Eq, point, first, rest)
            }
            [(high, first), (_, rest)] => self.split(JumpOp::Gt, high, rest, first),
            [(before, outside), (point, inside), (_, after)]
                if after == outside && before.checked_add(1) == Some(point) =>
            {
                self.split(JumpOp::Eq, point, inside, outside);
            }
            _ => {
                let middle = arms.len() / 2;
                let bound = arms[middle - 1].0;
                let upper = self.head_block();
                self.builder
                    .leave_if(probe, JumpOp::Gt, immediate(bound), upper);
                self.search(&arms[..middle], low);
                self.builder.enter(upper);
                self.search(&arms[middle..], bound.saturating_add(1));
            }
        }
    }

    fn split(&mut self, op: JumpOp, bound: u32, then: Block, other: Block) {
        let probe = self.registers.probe;
        self.builder.leave_if(probe, op, immediate(bound), then);
        self.builder.jump(other);
    }
}

/// 32-bit comparisons take the immediate's bits as unsigned.
fn immediate(value: u32) -> i32 {
    i32::from_ne_bytes(value.to_ne_bytes())
}
