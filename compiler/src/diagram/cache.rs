//! The two tables of a store: the unique table of nodes and the cache of operations.
//!
//! Both grow with the diagram. The cache may forget; the unique table never does. Neither is ever iterated, so their
//! layout cannot reach output.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::Node;

/// A slot that holds nothing.
const EMPTY: u32 = u32::MAX;

/// The most slots the operation cache grows to.
const CACHE_SLOTS: usize = 1 << 20;

/// Spreads three words over 64 bits; the high bits are the good ones.
fn mix(a: u32, b: u32, c: u32) -> u64 {
    let first = (u64::from(a) << 32 | u64::from(b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (first ^ first >> 29 ^ u64::from(c)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Hashes node ids, which are small numbers of our own making and need no defence against an adversary.
#[derive(Default)]
pub(super) struct NodeHasher(u64);

impl Hasher for NodeHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(byte.into());
        }
    }

    fn write_u32(&mut self, id: u32) {
        let folded = (self.0 ^ self.0 >> 32) as u32;
        self.0 = mix(folded, id, 0);
    }
}

/// What is known of nodes, or of pairs of nodes, inside one operation.
pub(super) type Known<K, V> = HashMap<K, V, BuildHasherDefault<NodeHasher>>;

/// The slot of a hash in a table of a power of two of slots.
fn slot(hash: u64, slots: usize) -> usize {
    (hash >> 32) as usize & (slots - 1)
}

/// A node as it is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    /// The variable, or [`Data::LEAF`].
    pub(super) variable: u32,
    /// The node for 0; in a leaf, the terminal.
    pub(super) low: Node,
    /// The node for 1; in a leaf, the same as `low`.
    pub(super) high: Node,
}

impl Data {
    /// The variable of leaves: after every other.
    pub(super) const LEAF: u32 = u32::MAX;

    fn hash(self) -> u64 {
        mix(self.variable, self.low.as_u32(), self.high.as_u32())
    }

    /// The slot that is looked at first: next to those of the younger child's neighbours. Nodes are made next to each other
    /// whose children are, so that tables larger than the processor's caches are still quick.
    fn near(self, slots: usize) -> usize {
        let child = self.low.as_u32().max(self.high.as_u32()) as usize;
        let one_of_two = (self.variable ^ self.low.as_u32() ^ self.high.as_u32()) as usize & 1;
        (child * 2 + one_of_two) & (slots - 1)
    }
}

/// Finds the node with given contents: open addressing over ids.
pub(super) struct Unique {
    slots: Vec<u32>,
    used: usize,
}

impl Unique {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![EMPTY; 1 << 10],
            used: 0,
        }
    }

    /// The node with these contents, or the slot where it belongs.
    pub(super) fn find(&self, nodes: &[Data], data: Data) -> Result<Node, usize> {
        let near = data.near(self.slots.len());
        match self.slots[near] {
            EMPTY => return Err(near),
            id if nodes[id as usize] == data => return Ok(Node::from_u32(id)),
            _ => {}
        }
        let mut at = slot(data.hash(), self.slots.len());
        loop {
            match self.slots[at] {
                EMPTY => return Err(at),
                id if nodes[id as usize] == data => return Ok(Node::from_u32(id)),
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// Remembers the last node of `nodes` at a slot that [`Self::find`] gave.
    pub(super) fn insert(&mut self, nodes: &[Data], at: usize) {
        self.slots[at] = (nodes.len() - 1) as u32;
        self.used += 1;
        if self.used * 2 > self.slots.len() {
            self.grow(nodes);
        }
    }

    fn grow(&mut self, nodes: &[Data]) {
        self.place(nodes, self.slots.len() * 4);
    }

    /// Remembers all of these.
    pub(super) fn of(nodes: &[Data]) -> Self {
        let mut unique = Self {
            slots: Vec::new(),
            used: nodes.len(),
        };
        unique.place(nodes, (nodes.len() * 4).next_power_of_two().max(1 << 10));
        unique
    }

    fn place(&mut self, nodes: &[Data], size: usize) {
        self.slots = vec![EMPTY; size];
        for (id, data) in nodes.iter().enumerate() {
            let mut at = data.near(size);
            if self.slots[at] != EMPTY {
                at = slot(data.hash(), size);
            }
            while self.slots[at] != EMPTY {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = id as u32;
        }
    }
}

/// What was asked: an operation and its operands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Question(pub(super) Node, pub(super) Node, pub(super) Node);

/// Answers to questions asked before: direct-mapped, a newer answer replaces an older one.
pub(super) struct Cache {
    slots: Vec<(Question, Node)>,
}

impl Cache {
    /// A question that is never asked.
    const NEVER: Question = Question(Node(EMPTY), Node(EMPTY), Node(EMPTY));

    pub(super) fn new() -> Self {
        Self {
            slots: vec![(Self::NEVER, Node::FALSE); 1 << 10],
        }
    }

    fn slot(&self, question: Question) -> usize {
        let Question(a, b, c) = question;
        slot(mix(a.as_u32(), b.as_u32(), c.as_u32()), self.slots.len())
    }

    pub(super) fn get(&self, question: Question) -> Option<Node> {
        let (asked, answer) = self.slots[self.slot(question)];
        (asked == question).then_some(answer)
    }

    pub(super) fn put(&mut self, question: Question, answer: Node) {
        let at = self.slot(question);
        self.slots[at] = (question, answer);
    }

    /// Keeps about one slot a node; answers known so far are carried over.
    pub(super) fn fit(&mut self, nodes: usize) {
        if nodes <= self.slots.len() || self.slots.len() >= CACHE_SLOTS {
            return;
        }
        let size = self.slots.len() * 4;
        let old = std::mem::replace(&mut self.slots, vec![(Self::NEVER, Node::FALSE); size]);
        for (question, answer) in old {
            if question != Self::NEVER {
                self.put(question, answer);
            }
        }
    }
}
