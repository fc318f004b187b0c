//! How much of everything has which terminal, and one case of each: in one pass over a diagram.

use std::collections::BTreeMap;

use super::cache::Known;
use super::{FieldValues, Node, Store};

/// What of everything has a terminal.
#[derive(Clone, Debug)]
pub struct Share {
    /// The part of all values of all variables, from above 0 to 1.
    pub part: f64,
    /// One case: small values first, and 0 for fields that do not matter.
    pub values: FieldValues,
}

/// What is known of a node on the way down.
struct Seen {
    part: f64,
    /// The node above by which it was met first, and whether its variable was 1.
    above: Option<(Node, bool)>,
}

impl Store {
    /// For each terminal of a diagram its share.
    #[must_use]
    pub fn shares(&self, root: Node) -> BTreeMap<u32, Share> {
        let mut nodes: Vec<Node> = self.reachable(root).into_keys().collect();
        // Children test later variables, and leaves come last.
        nodes.sort_unstable_by_key(|&node| (self.variable(node), node));
        let mut seen: Known<Node, Seen> = Known::default();
        let top = Seen {
            part: 1.0,
            above: None,
        };
        seen.insert(root, top);
        let mut shares = BTreeMap::new();
        for node in nodes {
            let part = seen.get(&node).map_or(0.0, |seen| seen.part);
            if let Some(terminal) = self.terminal_of(node) {
                let values = self.way(node, &seen);
                shares.insert(terminal, Share { part, values });
                continue;
            }
            let data = self.data(node);
            for (child, bit) in [(data.low, false), (data.high, true)] {
                let met = seen.entry(child).or_insert(Seen {
                    part: 0.0,
                    above: Some((node, bit)),
                });
                met.part += part / 2.0;
            }
        }
        shares
    }

    /// The part of everything that a diagram of 0 and 1 is 1 for.
    #[must_use]
    pub(crate) fn share_of(&self, node: Node) -> f64 {
        self.shares(node).get(&1).map_or(0.0, |share| share.part)
    }

    /// The values by which a node was met.
    fn way(&self, node: Node, seen: &Known<Node, Seen>) -> FieldValues {
        let mut values = FieldValues::default();
        let mut at = node;
        while let Some((above, is_high)) = seen.get(&at).and_then(|seen| seen.above) {
            if is_high {
                let (field, bit) = self.bit_of(self.data(above).variable);
                values.set(field, values.get(field) | 1 << bit);
            }
            at = above;
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;

    #[test]
    fn shares_are_those_of_the_values_and_cases_have_their_terminal() {
        let mut store = Store::new();
        let two = store.terminal(2).unwrap();
        let low = store.range(Field::Ttl, 0, 63, two, Node::FALSE).unwrap();
        let root = store.range(Field::Protocol, 6, 6, low, Node::TRUE).unwrap();
        let shares = store.shares(root);
        let parts: Vec<(u32, f64)> = shares.iter().map(|(&of, share)| (of, share.part)).collect();
        assert_eq!(
            parts,
            [(0, 0.75 / 256.0), (1, 255.0 / 256.0), (2, 0.25 / 256.0)]
        );
        for (terminal, share) in shares {
            assert_eq!(store.evaluate(root, &share.values), terminal);
        }
        assert_eq!(store.share_of(Node::FALSE), 0.0);
        assert_eq!(store.share_of(Node::TRUE), 1.0);
    }
}
