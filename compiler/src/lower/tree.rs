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
use crate::ir::{Block, Origin, Value};
use crate::policy::Family;

use super::Lowering;
use super::question::{self, Phase};
use super::read;

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
        let low = if asks {
            question::base(field)
        } else {
            read::base(field)
        };
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
        let (value, swap) = if asks {
            let search = self.ask(tree.phase, tree.family, field);
            self.builder.enter(search);
            (self.read_answer(field), 0)
        } else {
            self.load_field(field, tree.family)
        };
        // Linux 5.10 and 6.1 walk more of the sock_ops program of a group that does so.
        let points = Points::of(&arms, low).filter(|_| self.door.is_none());
        match points {
            Some(points) => self.find(value, swap, &points),
            None => {
                self.swap(value, swap);
                self.search(value, &arms, low);
            }
        }
        tree.blocks.insert(node, block);
        block
    }

    /// Looks for a few numbers one after the other, as they stand in memory: nothing has to be swapped then.
    fn find(&mut self, value: Value, swap: i32, points: &Points) {
        let nexts = points.some.iter().skip(1).map(|next| next.2);
        let nexts = nexts.chain([self.head]);
        for (&(point, block, _), next) in points.some.iter().zip(nexts) {
            // The block after the comparison is that of the next one.
            self.builder.set_origin(next);
            let point = match swap {
                16 => point.swap_bytes() >> 16,
                32 => point.swap_bytes(),
                _ => point,
            };
            self.builder
                .leave_if(value, JumpOp::Eq, immediate(point), block);
        }
        self.builder.jump(points.rest);
    }

    /// Searches intervals for a value in the current block; `low` is the smallest one that can still occur.
    pub(super) fn search(&mut self, value: Value, arms: &[Arm], low: u32) {
        let origin = comparison(arms, self.head);
        self.builder.set_origin(origin);
        match *arms {
            [] => {}
            [(_, only, _)] => self.builder.jump(only),
            [(point, first, _), (_, rest, _)] if point == low => {
                self.split(value, JumpOp::Eq, point, first, rest)
            }
            [(high, first, _), (_, rest, _)] => self.split(value, JumpOp::Gt, high, rest, first),
            [(before, outside, _), (point, inside, _), (_, after, _)]
                if after == outside && before.checked_add(1) == Some(point) =>
            {
                self.split(value, JumpOp::Eq, point, inside, outside);
            }
            _ => {
                let middle = arms.len() / 2;
                let (lower, higher) = arms.split_at(middle);
                let bound = arms[middle - 1].0;
                self.builder.set_origin(comparison(higher, origin));
                let upper = self.builder.block();
                self.builder.set_origin(comparison(lower, origin));
                self.builder
                    .leave_if(value, JumpOp::Gt, immediate(bound), upper);
                self.search(value, lower, low);
                self.builder.enter(upper);
                self.search(value, higher, bound.saturating_add(1));
            }
        }
    }

    fn split(&mut self, value: Value, op: JumpOp, bound: u32, then: Block, other: Block) {
        self.builder.leave_if(value, op, immediate(bound), then);
        self.builder.jump(other);
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
