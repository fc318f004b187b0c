//! The node table: every node of every diagram, each with its own contents.

use std::collections::BTreeMap;

use super::cache::{Cache, Data, Unique};
use super::{BudgetExceeded, NOMATCH, Node};
use crate::field::Field;
use crate::policy::Policy;

/// Nodes a store may hold unless told otherwise: about 600 MB with its tables.
const DEFAULT_BUDGET: usize = 20_000_000;

/// Diagrams that share their nodes.
///
/// The variables are the bits of the fields, most significant first, in the order of [`Field`]. The four words
/// of an address are neighbours, so that they are one number of 128 bits.
pub struct Store {
    pub(super) nodes: Vec<Data>,
    unique: Unique,
    pub(super) cache: Cache,
    budget: usize,
    /// How many more steps may be taken, those for nodes that were forgotten since included.
    work: u64,
    firsts: BTreeMap<Field, u32>,
    fields: Vec<Field>,
}

/// What became of nodes that were kept.
pub struct Kept {
    places: Vec<Node>,
}

impl Kept {
    /// The node that a root, or what it led to, is now.
    #[must_use]
    pub fn now(&self, node: Node) -> Node {
        self.places[node.as_u32() as usize]
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// An empty store with the usual budget, for the fields that every policy has.
    #[must_use]
    pub fn new() -> Self {
        Self::with_budget(DEFAULT_BUDGET)
    }

    /// An empty store with the usual budget, for the fields of a policy.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self::with(DEFAULT_BUDGET, &Field::of(policy))
    }

    /// An empty store that holds at most this many nodes, for the fields that every policy has.
    #[must_use]
    pub(crate) fn with_budget(budget: usize) -> Self {
        Self::with(budget, Field::FIXED)
    }

    /// An empty store that holds at most this many nodes, for these fields, which are in order.
    #[must_use]
    pub fn with(budget: usize, fields: &[Field]) -> Self {
        let mut store = Self {
            nodes: Vec::new(),
            unique: Unique::new(),
            cache: Cache::new(),
            budget: budget.clamp(3, u32::MAX as usize - 1),
            work: u64::MAX,
            firsts: BTreeMap::new(),
            fields: Vec::new(),
        };
        for &field in fields {
            store.firsts.insert(field, store.fields.len() as u32);
            let bits = std::iter::repeat_n(field, field.bits() as usize);
            store.fields.extend(bits);
        }
        // The named nodes FALSE, TRUE and NOMATCH, in this order; the budget has room for them.
        for value in [0, 1, NOMATCH] {
            let _ = store.terminal(value);
        }
        store
    }

    /// The diagram that is this terminal everywhere.
    pub fn terminal(&mut self, value: u32) -> Result<Node, BudgetExceeded> {
        self.intern(Data {
            variable: Data::LEAF,
            low: Node(value),
            high: Node(value),
        })
    }

    /// The terminal that a node is, if it is one.
    #[must_use]
    pub(crate) fn terminal_of(&self, node: Node) -> Option<u32> {
        let data = self.data(node);
        (data.variable == Data::LEAF).then_some(data.low.as_u32())
    }

    /// The field that a node tests first, if it tests any.
    #[must_use]
    pub(crate) fn field_of(&self, node: Node) -> Option<Field> {
        self.fields.get(self.data(node).variable as usize).copied()
    }

    /// How many nodes the store holds, garbage included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: the Boolean terminals are always there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// From here on at most so many steps may be taken, whatever is forgotten on the way: a bound of time that is the same on
    /// every machine. A step is most often a question of [`Self::ite`] that was not asked before, or a new node.
    pub(crate) fn limit_work(&mut self, steps: u64) {
        self.work = steps;
    }

    /// Takes steps for work that is done elsewhere.
    pub(crate) fn spend(&mut self, steps: u64) {
        self.work = self.work.saturating_sub(steps);
    }

    /// How many more steps may be taken.
    #[must_use]
    pub(crate) fn steps_left(&self) -> u64 {
        self.work
    }

    /// Whether no more steps may be taken.
    #[must_use]
    pub(crate) fn is_spent(&self) -> bool {
        self.work == 0
    }

    /// Forgets every node but the roots and what they lead to; says what became of a root.
    pub fn keep_only(&mut self, roots: impl IntoIterator<Item = Node>) -> Kept {
        let mut kept = vec![false; self.nodes.len()];
        // The named nodes stay where they are.
        kept.iter_mut().take(3).for_each(|named| *named = true);
        for root in roots {
            kept[root.as_u32() as usize] = true;
        }
        // Children stand before their parents.
        for (node, data) in self.nodes.iter().enumerate().rev() {
            if kept[node] && data.variable != Data::LEAF {
                kept[data.low.as_u32() as usize] = true;
                kept[data.high.as_u32() as usize] = true;
            }
        }
        let mut places = vec![Node::FALSE; self.nodes.len()];
        let mut left = Vec::new();
        for (node, data) in self
            .nodes
            .iter()
            .enumerate()
            .filter(|(node, _)| kept[*node])
        {
            places[node] = Node::from_u32(left.len() as u32);
            let (low, high) = match data.variable {
                Data::LEAF => (data.low, data.high),
                _ => (
                    places[data.low.as_u32() as usize],
                    places[data.high.as_u32() as usize],
                ),
            };
            left.push(Data { low, high, ..*data });
        }
        self.nodes = left;
        self.unique = Unique::of(&self.nodes);
        self.cache = Cache::new();
        self.cache.fit(self.nodes.len());
        Kept { places }
    }

    pub(super) fn data(&self, node: Node) -> Data {
        self.nodes[node.as_u32() as usize]
    }

    pub(super) fn variable(&self, node: Node) -> u32 {
        self.data(node).variable
    }

    /// The first variable of a field.
    ///
    /// # Panics
    /// If the store was not made for the field: a diagram of another policy, which is a bug in sockc.
    pub(super) fn first(&self, field: Field) -> u32 {
        self.firsts[&field]
    }

    /// The field a variable belongs to, and the variable's bit in its value, from 0 for the least significant.
    pub(super) fn bit_of(&self, variable: u32) -> (Field, u32) {
        let field = self.fields[variable as usize];
        (field, field.bits() - 1 - (variable - self.first(field)))
    }

    /// What a node becomes when a variable, not after the node's own, is 0 and when it is 1.
    pub(super) fn split(&self, node: Node, variable: u32) -> (Node, Node) {
        let data = self.data(node);
        if data.variable == variable {
            (data.low, data.high)
        } else {
            (node, node)
        }
    }

    /// What a node becomes when a bit of a field, not after the bit that the node tests first, is 0 and when it is 1.
    pub(super) fn split_bit(&self, node: Node, field: Field, bit: u32) -> (Node, Node) {
        self.split(node, self.first(field) + field.bits() - 1 - bit)
    }

    /// The node that tests a variable that comes before those of both children.
    pub(super) fn make(
        &mut self,
        variable: u32,
        low: Node,
        high: Node,
    ) -> Result<Node, BudgetExceeded> {
        debug_assert!(variable < self.variable(low) && variable < self.variable(high));
        if low == high {
            return Ok(low);
        }
        self.intern(Data {
            variable,
            low,
            high,
        })
    }

    /// Takes a step, if one may be taken.
    pub(super) fn step(&mut self) -> Result<(), BudgetExceeded> {
        let budget = self.budget;
        self.work = self.work.checked_sub(1).ok_or(BudgetExceeded { budget })?;
        Ok(())
    }

    fn intern(&mut self, data: Data) -> Result<Node, BudgetExceeded> {
        let slot = match self.unique.find(&self.nodes, data) {
            Ok(node) => return Ok(node),
            Err(slot) => slot,
        };
        if self.nodes.len() >= self.budget {
            return Err(BudgetExceeded {
                budget: self.budget,
            });
        }
        self.step()?;
        let node = Node::from_u32(self.nodes.len() as u32);
        self.nodes.push(data);
        self.unique.insert(&self.nodes, slot);
        self.cache.fit(self.nodes.len());
        Ok(node)
    }
}
