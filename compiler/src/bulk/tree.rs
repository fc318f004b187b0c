//! What a compare tree of many rules costs, by measured trees.
//!
//! Takes a number of rules; gives what a tree of so many leaves was measured to take. Not here: trees that are built, whose
//! code can be looked at.

/// Leaves of a tree that compares one field, and the nanoseconds of a packet in it (measured on Linux 6.18, x86-64; the
/// code leaves the caches of the processor as it grows).
const MEASURED: [(usize, f64); 6] = [
    (16, 14.0),
    (100, 20.0),
    (1_000, 30.0),
    (10_000, 51.0),
    (100_000, 103.0),
    (240_000, 148.0),
];

/// Instructions of a leaf: a comparison, a counter, a jump.
const LEAF: usize = 3;

/// What a tree costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TreeCost {
    /// Nanoseconds of a packet.
    pub nanoseconds: f64,
    /// Instructions; the kernel's verifier walks each of them once or more.
    pub instructions: usize,
}

/// What a tree of so many leaves costs. Rules that speak of one field have a leaf each; of rules that speak of several, a
/// tree has more leaves than there are rules, so that for these it is the least.
#[must_use]
pub(crate) fn cost(leaves: usize) -> TreeCost {
    TreeCost {
        nanoseconds: nanoseconds(leaves),
        instructions: LEAF * leaves,
    }
}

/// Between two measured trees it lies on the line between them.
fn nanoseconds(leaves: usize) -> f64 {
    let [first, .., last] = MEASURED;
    let pairs = MEASURED.iter().zip(&MEASURED[1..]);
    let between = pairs
        .filter(|((low, _), (high, _))| (*low..*high).contains(&leaves))
        .map(|(&(low, below), &(high, above))| {
            let share = (leaves - low) as f64 / (high - low) as f64;
            below + share * (above - below)
        })
        .next();
    between.unwrap_or(if leaves < first.0 { first.1 } else { last.1 })
}

#[cfg(test)]
mod tests {
    use super::cost;

    #[test]
    fn a_tree_costs_what_was_measured_and_never_less_for_more_leaves() {
        assert_eq!(cost(1_000).nanoseconds, 30.0);
        assert_eq!(cost(550).nanoseconds, 25.0);
        let costs = [
            0, 16, 17, 64, 100, 5_000, 100_000, 239_999, 240_000, 1_000_000,
        ]
        .map(|leaves| cost(leaves).nanoseconds);
        assert!(costs.is_sorted(), "{costs:?}");
    }
}
