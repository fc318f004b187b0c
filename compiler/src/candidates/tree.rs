//! Segment trees in segment trees: rules by their ranges, dimension after dimension.
//!
//! A tree's nodes stand for segments of one dimension; a rule stands in the few nodes that make up its range, so that
//! those around a value stand on one way from the root. Not here: where the ranges come from.

use super::{DIMENSIONS, Dimensions, Shapes, Values};
use crate::policy::RuleId;

/// So few rules are looked at one by one.
const FEW: usize = 16;

/// How many places a rule may take in all trees, on average: beyond, trees get no trees of their own.
const PLACES: usize = 96;

/// What may still be built.
pub(super) struct Counted {
    places: usize,
}

impl Counted {
    /// Enough for so many rules.
    pub(super) fn for_rules(count: usize) -> Self {
        Self {
            places: count.saturating_mul(PLACES),
        }
    }
}

/// Some rules.
pub(super) enum Subtree {
    /// In order.
    Few(Vec<RuleId>),
    Tree(Box<Tree>),
}

/// Rules by their ranges in one dimension.
pub(super) struct Tree {
    dimension: usize,
    /// Where a segment begins; the first begins at 0.
    starts: Vec<u64>,
    /// Nodes in the order of a heap, the leaves from `leaves` on; empty ones are `None`.
    nodes: Vec<Option<Subtree>>,
    leaves: usize,
}

impl Subtree {
    /// The rules, in order; `used` are the dimensions of the trees around.
    pub(super) fn of(
        rules: Vec<RuleId>,
        shapes: &Shapes,
        used: [bool; DIMENSIONS],
        left: &mut Counted,
    ) -> Self {
        if rules.len() > FEW && left.places > 0 {
            let starts = (0..DIMENSIONS)
                .filter(|&dimension| !used[dimension])
                .map(|dimension| (dimension, starts(&rules, shapes, dimension)))
                .max_by_key(|(dimension, starts)| (starts.len(), DIMENSIONS - dimension));
            if let Some((dimension, starts)) = starts.filter(|(_, starts)| starts.len() > 1) {
                let tree = Tree::new((rules, shapes), dimension, starts, used, left);
                return Self::Tree(Box::new(tree));
            }
        }
        Self::Few(rules)
    }

    /// Gives the lists of rules around a point.
    pub(super) fn around(&self, point: &Dimensions, give: &mut dyn FnMut(&[RuleId])) {
        match self {
            Self::Few(list) => give(list),
            Self::Tree(tree) => {
                let mut at = tree.segment(point[tree.dimension].0) + tree.leaves;
                while at > 0 {
                    if let Some(part) = &tree.nodes[at] {
                        part.around(point, give);
                    }
                    at /= 2;
                }
            }
        }
    }

    /// Gives the lists of rules that may meet a shape, until `give` says no, which is the answer then.
    pub(super) fn meeting(
        &self,
        shape: &Dimensions,
        give: &mut dyn FnMut(&[RuleId]) -> bool,
    ) -> bool {
        match self {
            Self::Few(list) => give(list),
            Self::Tree(tree) => tree.meeting(shape, give),
        }
    }
}

/// Where the segments of a dimension begin.
fn starts(rules: &[RuleId], shapes: &Shapes, dimension: usize) -> Vec<u64> {
    let mut starts = vec![0];
    for id in rules {
        let (low, high) = shapes[*id][dimension];
        starts.push(low);
        starts.extend(high.checked_add(1));
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

impl Tree {
    fn new(
        (rules, shapes): (Vec<RuleId>, &Shapes),
        dimension: usize,
        starts: Vec<u64>,
        mut used: [bool; DIMENSIONS],
        left: &mut Counted,
    ) -> Self {
        let leaves = starts.len().next_power_of_two();
        let mut tree = Self {
            dimension,
            starts,
            nodes: Vec::new(),
            leaves,
        };
        let mut lists: Vec<Vec<RuleId>> = vec![Vec::new(); leaves * 2];
        for id in rules {
            tree.each_node(shapes[id][dimension], |node| lists[node].push(id));
        }
        let places = lists.iter().map(Vec::len).sum();
        left.places = left.places.saturating_sub(places);
        used[dimension] = true;
        let part = |list: Vec<_>| (!list.is_empty()).then(|| Subtree::of(list, shapes, used, left));
        tree.nodes = lists.into_iter().map(part).collect();
        tree
    }

    /// The segment that a value lies in.
    fn segment(&self, value: u64) -> usize {
        self.starts.partition_point(|&start| start <= value) - 1
    }

    /// The nodes that make up a range.
    fn each_node(&self, (low, high): Values, mut take: impl FnMut(usize)) {
        let mut left = self.segment(low) + self.leaves;
        let mut right = self.segment(high) + self.leaves + 1;
        if (left, right) == (self.leaves, self.leaves + self.starts.len()) {
            return take(1);
        }
        while left < right {
            if left % 2 == 1 {
                take(left);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                take(right);
            }
            left /= 2;
            right /= 2;
        }
    }

    fn meeting(&self, shape: &Dimensions, give: &mut dyn FnMut(&[RuleId]) -> bool) -> bool {
        let (low, high) = shape[self.dimension];
        let mut first = self.segment(low) + self.leaves;
        let mut last = self.segment(high) + self.leaves;
        // From the leaves of the range up: on each level, the nodes around any of them.
        while first > 0 {
            for part in self.nodes[first..=last].iter().flatten() {
                if !part.meeting(shape, give) {
                    return false;
                }
            }
            first /= 2;
            last /= 2;
        }
        true
    }
}
