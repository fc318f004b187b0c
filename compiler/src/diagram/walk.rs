//! Questions about one diagram that make no nodes.

use std::collections::BTreeSet;

use super::cache::Known;
use super::{FieldValues, Node, Store};
use crate::field::FieldSet;

impl Store {
    /// The terminal for these values.
    #[must_use]
    pub fn evaluate(&self, node: Node, values: &FieldValues) -> u32 {
        let mut at = node;
        loop {
            if let Some(terminal) = self.terminal_of(at) {
                return terminal;
            }
            let data = self.data(at);
            let (field, bit) = self.bit_of(data.variable);
            at = if values.get(field) >> bit & 1 == 1 {
                data.high
            } else {
                data.low
            };
        }
    }

    /// Values for which the diagram gives this terminal: small ones first, and 0 for fields that do not matter.
    #[must_use]
    pub fn satisfy(&self, node: Node, terminal: u32) -> Option<FieldValues> {
        let mut values = FieldValues::default();
        let mut dead = Known::default();
        self.search(node, terminal, &mut values, &mut dead)
            .then_some(values)
    }

    fn search(
        &self,
        node: Node,
        terminal: u32,
        values: &mut FieldValues,
        dead: &mut Known<Node, ()>,
    ) -> bool {
        if let Some(found) = self.terminal_of(node) {
            return found == terminal;
        }
        if dead.contains_key(&node) {
            return false;
        }
        let data = self.data(node);
        let (field, bit) = self.bit_of(data.variable);
        if self.search(data.low, terminal, values, dead) {
            return true;
        }
        if self.search(data.high, terminal, values, dead) {
            values.set(field, values.get(field) | 1 << bit);
            return true;
        }
        dead.insert(node, ());
        false
    }

    /// How many nodes a diagram has, terminals included.
    #[must_use]
    pub fn count(&self, node: Node) -> usize {
        self.reachable(node).len()
    }

    /// The terminals a diagram can give, by value.
    #[must_use]
    pub fn terminals(&self, node: Node) -> BTreeSet<u32> {
        self.reachable(node)
            .into_keys()
            .filter_map(|node| self.terminal_of(node))
            .collect()
    }

    /// The fields a diagram tests.
    #[must_use]
    pub fn fields(&self, node: Node) -> FieldSet {
        self.reachable(node)
            .into_keys()
            .filter_map(|node| self.field_of(node))
            .fold(FieldSet::default(), FieldSet::with)
    }

    pub(super) fn reachable(&self, root: Node) -> Known<Node, ()> {
        let mut seen = Known::from_iter([(root, ())]);
        let mut open = vec![root];
        while let Some(node) = open.pop() {
            if self.terminal_of(node).is_some() {
                continue;
            }
            let data = self.data(node);
            open.extend(
                [data.low, data.high]
                    .into_iter()
                    .filter(|&next| seen.insert(next, ()).is_none()),
            );
        }
        seen
    }
}
