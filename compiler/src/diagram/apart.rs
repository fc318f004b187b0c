//! Which entry of a chain makes two parts of a decision differ, so that code can name the rule that it is there for.
//!
//! Takes a [`Flat`] and what its terminals stand for; gives for two targets the first entry that decides, or counts,
//! differently in them: were the chain cut off before that entry, both would be the same. Not here: places in the
//! sources.

use std::collections::HashMap;

use cranelift_entity::SecondaryMap;

use super::flatten::{Flat, FlatNode, Target};
use crate::field::Field;

/// What the terminals of a diagram stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Terminals<'a> {
    /// A terminal is the entry that decides.
    Deciders,
    /// A terminal is a list of the entries that count, by increasing index.
    Counting(&'a [Vec<u32>]),
}

/// No entry.
const NONE: u32 = u32::MAX;

impl Terminals<'_> {
    fn list(&self, terminal: u32) -> &[u32] {
        match self {
            Self::Deciders => &[],
            Self::Counting(lists) => lists.get(terminal as usize).map_or(&[], Vec::as_slice),
        }
    }

    /// The first entry of a terminal.
    fn first(&self, terminal: u32) -> u32 {
        match self {
            Self::Deciders => terminal,
            Self::Counting(_) => self.list(terminal).first().copied().unwrap_or(NONE),
        }
    }

    /// The first entry that only one of two different terminals has.
    fn apart(&self, one: u32, other: u32) -> u32 {
        if let Self::Deciders = self {
            return one.min(other);
        }
        let (one, other) = (self.list(one), self.list(other));
        let differ = one.iter().zip(other).find(|(a, b)| a != b);
        let longer = if one.len() > other.len() { one } else { other };
        let first = match differ {
            Some((a, b)) => Some(a.min(b)),
            None => longer.get(one.len().min(other.len())),
        };
        first.copied().unwrap_or(NONE)
    }
}

/// Steps of all comparisons together, after which the answer is the first entry that either side has. Large trees, of which
/// one rule is everywhere, would take the square of their arms.
const MAX_STEPS: usize = 1_000_000;

/// Compares parts of a flat diagram.
#[derive(Debug)]
pub(crate) struct Apart<'a> {
    flat: &'a Flat,
    terminals: Terminals<'a>,
    /// The first entry that each node can lead to.
    earliest: SecondaryMap<FlatNode, u32>,
    known: HashMap<(Target, Target), u32>,
    left: usize,
}

impl<'a> Apart<'a> {
    /// For the parts of this diagram.
    #[must_use]
    pub(crate) fn new(flat: &'a Flat, terminals: Terminals<'a>) -> Self {
        let mut apart = Self {
            flat,
            terminals,
            earliest: SecondaryMap::with_default(NONE),
            known: HashMap::new(),
            left: MAX_STEPS,
        };
        // Edges lead forward only.
        for (node, data) in flat.nodes.iter().rev() {
            let entries = data.arms.iter().map(|arm| apart.earliest(arm.1));
            apart.earliest[node] = entries.min().unwrap_or(NONE);
        }
        apart
    }

    fn earliest(&self, target: Target) -> u32 {
        match target {
            Target::Node(node) => self.earliest[node],
            Target::Leaf(terminal) => self.terminals.first(terminal),
        }
    }

    /// The first entry that makes two parts differ; `None` if nothing does.
    pub(crate) fn first(&mut self, one: Target, other: Target) -> Option<u32> {
        let entry = self.compare(one, other);
        (entry != NONE).then_some(entry)
    }

    /// The least, over all values, of the first entries that only one side has there.
    fn compare(&mut self, one: Target, other: Target) -> u32 {
        if one == other {
            return NONE;
        }
        let bounds = (self.earliest(one), self.earliest(other));
        let bound = bounds.0.min(bounds.1);
        if bounds.0 != bounds.1 {
            return bound;
        }
        let field = match (one, other) {
            (Target::Leaf(a), Target::Leaf(b)) => return self.terminals.apart(a, b),
            _ => [one, other].into_iter().filter_map(|one| self.tested(one)),
        };
        if let Some(&known) = self.known.get(&(one, other)) {
            return known;
        }
        let found = match field.min() {
            Some(field) => self.search(field, bound, one, other),
            None => NONE,
        };
        self.known.insert((one, other), found);
        found
    }

    /// The field that a target tests, if it is no leaf.
    fn tested(&self, target: Target) -> Option<Field> {
        match target {
            Target::Node(node) => Some(self.flat.nodes[node].field),
            Target::Leaf(_) => None,
        }
    }

    /// Compares two targets for each value of the first field that either tests; no answer is below `bound`.
    fn search(&mut self, field: Field, bound: u32, one: Target, other: Target) -> u32 {
        let whole = [one, other].map(|target| [(field.max(), target)]);
        let flat = self.flat;
        let arms = |target, whole| match target {
            Target::Node(node) if flat.nodes[node].field == field => &flat.nodes[node].arms[..],
            _ => whole,
        };
        let (ones, others) = (arms(one, &whole[0][..]), arms(other, &whole[1][..]));
        let (mut at, mut by) = (0, 0);
        let mut found = NONE;
        while let (Some(&(a, one)), Some(&(b, other))) = (ones.get(at), others.get(by)) {
            if self.left == 0 {
                return bound;
            }
            self.left -= 1;
            found = found.min(self.compare(one, other));
            if found == bound {
                break;
            }
            at += usize::from(a <= b);
            by += usize::from(b <= a);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::flatten::FlatData;
    use super::*;
    use cranelift_entity::EntityRef;

    const PORT: Field = Field::ToPort;
    const PROTOCOL: Field = Field::Protocol;

    fn node(index: usize) -> Target {
        Target::Node(FlatNode::new(index))
    }

    fn flat(nodes: Vec<(Field, Vec<(u32, Target)>)>) -> Flat {
        Flat {
            nodes: nodes
                .into_iter()
                .map(|(field, arms)| FlatData { field, arms })
                .collect(),
            root: node(0),
        }
    }

    /// TCP to port 80 is entry 1, entry 0 is port 22 of every protocol, entry 2 the rest.
    fn sample() -> Flat {
        use Target::Leaf;
        flat(vec![
            (PROTOCOL, vec![(5, node(2)), (6, node(1)), (255, node(2))]),
            (
                PORT,
                vec![
                    (21, Leaf(2)),
                    (22, Leaf(0)),
                    (79, Leaf(2)),
                    (80, Leaf(1)),
                    (65_535, Leaf(2)),
                ],
            ),
            (PORT, vec![(21, Leaf(2)), (22, Leaf(0)), (65_535, Leaf(2))]),
        ])
    }

    #[test]
    fn the_first_entry_that_differs_is_found_after_equal_ones() {
        let flat = sample();
        let mut apart = Apart::new(&flat, Terminals::Deciders);
        assert_eq!(apart.first(node(1), node(2)), Some(1));
        assert_eq!(apart.first(node(2), node(1)), Some(1));
        assert_eq!(apart.first(node(2), Target::Leaf(2)), Some(0));
        assert_eq!(apart.first(node(2), node(2)), None);
    }

    #[test]
    fn without_time_the_earliest_entry_is_the_answer() {
        let flat = sample();
        let mut apart = Apart::new(&flat, Terminals::Deciders);
        apart.left = 0;
        assert_eq!(apart.first(node(1), node(2)), Some(0));
    }

    #[test]
    fn lists_differ_in_the_first_entry_that_one_lacks() {
        let lists = [vec![], vec![0, 3], vec![0, 1, 3], vec![0]];
        let terminals = Terminals::Counting(&lists);
        assert_eq!(terminals.apart(1, 2), 1);
        assert_eq!(terminals.apart(1, 3), 3);
        assert_eq!(terminals.apart(0, 3), 0);
        assert_eq!(terminals.first(0), NONE);
    }
}
