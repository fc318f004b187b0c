//! A diagram as intervals: each node tests one whole field and has one arm for each interval of its values.
//!
//! Takes a root; gives a [`Flat`], whose nodes stand in topological order (the root first, edges only forward, the
//! first arm's target nearest). Not here: code, or the choice between code and tables.

use std::collections::HashMap;
use std::fmt::Write;

use cranelift_entity::{EntityRef, PrimaryMap, entity_impl};

use super::{BudgetExceeded, FieldValues, Node, Store};
use crate::field::Field;

/// Arms a flat diagram may have unless told otherwise.
const DEFAULT_ARMS: usize = 400_000;

/// A node of a flat diagram.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlatNode(u32);
entity_impl!(FlatNode, "flat");

/// Where an arm leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// To a test of a later field.
    Node(FlatNode),
    /// To the end, with this terminal.
    Leaf(u32),
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatData {
    /// The field it tests.
    pub field: Field,
    /// Upper bound (inclusive) and target of each interval, by increasing bound; at least two, neighbours differ, the
    /// last bound is [`Field::max`].
    pub arms: Vec<(u32, Target)>,
}

/// A diagram as intervals.
#[derive(Clone, Debug)]
pub struct Flat {
    /// The tests, in topological order.
    pub nodes: PrimaryMap<FlatNode, FlatData>,
    /// Where the decision begins: the first node, or a leaf.
    pub root: Target,
}

impl Flat {
    /// The field of each node.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.nodes.values().map(|node| node.field)
    }
}

/// The flat form of a diagram, with the usual budget.
pub(crate) fn flatten(store: &Store, root: Node) -> Result<Flat, BudgetExceeded> {
    flatten_within(store, root, DEFAULT_ARMS)
}

/// The flat form of a diagram, of at most so many arms.
pub(crate) fn flatten_within(
    store: &Store,
    root: Node,
    budget: usize,
) -> Result<Flat, BudgetExceeded> {
    let mut walk = Walk {
        store,
        done: HashMap::new(),
        finished: Vec::new(),
        left: budget,
        budget,
    };
    walk.visit(root)?;
    Ok(walk.assemble(root))
}

/// A depth-first walk; a node is finished after everything that it leads to.
struct Walk<'a> {
    store: &'a Store,
    /// The place in `finished` of each node visited.
    done: HashMap<Node, usize>,
    finished: Vec<(Field, Vec<(u32, Node)>)>,
    left: usize,
    budget: usize,
}

impl Walk<'_> {
    fn visit(&mut self, node: Node) -> Result<(), BudgetExceeded> {
        let Some(field) = self.store.field_of(node) else {
            return Ok(());
        };
        if self.done.contains_key(&node) {
            return Ok(());
        }
        let mut arms = Vec::new();
        self.arms_of(field, node, field.bits(), 0, &mut arms)?;
        if let Some(last) = arms.last_mut() {
            last.0 = field.max();
        }
        // From the last arm to the first: reversed, the first arm's target comes right after its node.
        for &(_, target) in arms.iter().rev() {
            self.visit(target)?;
        }
        self.done.insert(node, self.finished.len());
        self.finished.push((field, arms));
        Ok(())
    }

    /// Appends the arms of a part of a field's values: those from `base` on that share all but the low `bits` bits.
    fn arms_of(
        &mut self,
        field: Field,
        node: Node,
        bits: u32,
        base: u32,
        arms: &mut Vec<(u32, Node)>,
    ) -> Result<(), BudgetExceeded> {
        if base > field.max() {
            return Ok(());
        }
        if self.store.field_of(node) != Some(field) {
            let rest = if bits == 0 {
                0
            } else {
                u32::MAX >> (32 - bits)
            };
            return self.push(arms, base | rest, node);
        }
        let middle = base | 1 << (bits - 1);
        let (low, high) = self.store.split_bit(node, field, bits - 1);
        self.arms_of(field, low, bits - 1, base, arms)?;
        self.arms_of(field, high, bits - 1, middle, arms)
    }

    fn push(
        &mut self,
        arms: &mut Vec<(u32, Node)>,
        high: u32,
        target: Node,
    ) -> Result<(), BudgetExceeded> {
        if let Some(last) = arms.last_mut()
            && last.1 == target
        {
            last.0 = high;
            return Ok(());
        }
        self.left = self.left.checked_sub(1).ok_or(BudgetExceeded {
            budget: self.budget,
        })?;
        arms.push((high, target));
        Ok(())
    }

    fn assemble(self, root: Node) -> Flat {
        let count = self.finished.len();
        let target = |node: Node| match self.done.get(&node) {
            Some(&place) => Target::Node(FlatNode::new(count - 1 - place)),
            None => Target::Leaf(self.store.terminal_of(node).unwrap_or(super::NOMATCH)),
        };
        let root = target(root);
        let nodes = self
            .finished
            .iter()
            .rev()
            .map(|(field, arms)| FlatData {
                field: *field,
                arms: arms
                    .iter()
                    .map(|&(high, node)| (high, target(node)))
                    .collect(),
            })
            .collect();
        Flat { nodes, root }
    }
}

impl Flat {
    /// The terminal for these values.
    #[must_use]
    pub fn evaluate(&self, values: &FieldValues) -> u32 {
        let mut at = self.root;
        loop {
            let node = match at {
                Target::Leaf(terminal) => return terminal,
                Target::Node(node) => &self.nodes[node],
            };
            let value = values.get(node.field).min(node.field.max());
            let arm = node.arms.partition_point(|&(high, _)| high < value);
            at = node.arms[arm].1;
        }
    }

    /// How many arms there are in all.
    #[must_use]
    pub fn arms(&self) -> usize {
        self.nodes.values().map(|node| node.arms.len()).sum()
    }

    /// The form that `--emit decision` prints: a line for each node and for each arm.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("root {}\n", Self::target_text(self.root));
        for (id, node) in &self.nodes {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{id}: {}", node.field.name());
            let mut low = 0;
            for &(high, target) in &node.arms {
                let range = range_text(node.field, low, high);
                let _ = writeln!(text, "  {range} -> {}", Self::target_text(target));
                low = high.wrapping_add(1);
            }
        }
        text
    }

    fn target_text(target: Target) -> String {
        match target {
            Target::Node(node) => node.to_string(),
            Target::Leaf(terminal) => format!("={terminal}"),
        }
    }
}

/// An interval; the words of addresses in hexadecimal.
fn range_text(field: Field, low: u32, high: u32) -> String {
    let one = |value: u32| {
        if field.is_address() {
            format!("{value:08x}")
        } else {
            value.to_string()
        }
    };
    if low == high {
        one(low)
    } else {
        format!("{}..{}", one(low), one(high))
    }
}
