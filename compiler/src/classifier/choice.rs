//! How the boxes of a family were split, how else they could have been, and what each way costs.
//!
//! Takes strata and the nanoseconds that they were judged to take; keeps what a reader wants to know of them, without their
//! tables. Not here: what is tried, what it costs (`cost`), and the words for it (`shapes` of the crate).

use super::stratum::{Root, Stratum, Tuple};
use crate::policy::Family;

/// What was chosen, and what it was chosen from.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The way that takes least time.
    pub chosen: Split,
    /// The other ways, in the order they were tried; each stands here once.
    pub others: Vec<Split>,
}

/// One way to split boxes.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Its strata, by first rank.
    pub parts: Vec<StratumSummary>,
    /// Estimated nanoseconds of a packet.
    pub nanoseconds: f64,
}

/// What is known of a stratum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StratumSummary {
    /// What is hashed, and the number of entries; `None` for a tree.
    pub hash: Option<(Tuple, u32)>,
    /// Whether these entries are buckets.
    pub buckets: bool,
    /// How many boxes there are.
    pub boxes: usize,
    /// Different nodes.
    pub nodes: usize,
    /// Different lists, the empty one left out.
    pub lists: usize,
    /// The maximum number of nodes on a way, the hash not counted.
    pub depth: u32,
    /// The maximum number of boxes in a list.
    pub longest: usize,
    /// Bytes of nodes and lists.
    pub bytes: usize,
    /// The smallest rank of its boxes.
    pub first_rank: u32,
}

impl StratumSummary {
    /// What is known of this one.
    #[must_use]
    pub(super) fn of(stratum: &Stratum, family: Family) -> Self {
        let Stratum { root, grown, .. } = stratum;
        Self {
            hash: match *root {
                Root::Hash { shape, count, .. } => Some((shape, count)),
                Root::Tree(_) => None,
            },
            buckets: stratum.buckets,
            boxes: stratum.boxes,
            nodes: grown.nodes,
            lists: grown.lists.len().saturating_sub(1),
            depth: grown.depth,
            longest: grown.lists.iter().map(Vec::len).max().unwrap_or(0),
            bytes: stratum.bytes(family),
            first_rank: stratum.first_rank,
        }
    }
}

impl Split {
    /// Bytes of all nodes and lists.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Steps of the kernel's verifier for the walk through all strata: instructions counted in `lower::answers::walk`,
    /// times what `verifier_cost` takes for walking short ways again. Not fitted to programs.
    #[must_use]
    pub fn work(&self, family: Family) -> usize {
        let Work {
            stratum,
            node,
            record,
        } = match family {
            Family::V4 => V4,
            Family::V6 => V6,
        };
        let each = self
            .parts
            .iter()
            .map(|part| stratum + node * part.depth as usize + record * part.longest);
        each.sum()
    }
}

/// Steps of the verifier for a stratum, for a node of its longest way, and for a box of its longest list.
struct Work {
    stratum: usize,
    node: usize,
    record: usize,
}

const V4: Work = Work {
    stratum: 65,
    node: 70,
    record: 90,
};
const V6: Work = Work {
    stratum: 100,
    node: 85,
    record: 135,
};

/// The ways that were tried so far.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// Each different one.
    splits: Vec<Split>,
    /// The place of the fastest one in them, how many hashed strata it has, and its trees.
    best: Option<Best>,
}

/// The fastest way so far.
#[derive(Debug)]
struct Best {
    place: usize,
    hashed: usize,
    trees: Vec<Stratum>,
}

impl Tried {
    /// Whether any way has been found.
    #[must_use]
    pub(super) fn any(&self) -> bool {
        self.best.is_some()
    }

    /// The time of the fastest way so far.
    #[must_use]
    pub(super) fn least(&self) -> Option<f64> {
        let best = self.best.as_ref()?;
        Some(self.splits[best.place].nanoseconds)
    }

    /// One more: the first `hashed` ones of the hashed strata with these trees. Of ways that are equally fast the first one
    /// is taken.
    pub(super) fn add(&mut self, split: Split, hashed: usize, trees: Vec<Stratum>) {
        if self.splits.iter().any(|one| one.parts == split.parts) {
            return;
        }
        let least = self.best.as_ref().map(|best| &self.splits[best.place]);
        if least.is_none_or(|least| split.nanoseconds < least.nanoseconds) {
            self.best = Some(Best {
                place: self.splits.len(),
                hashed,
                trees,
            });
        }
        self.splits.push(split);
    }

    /// The fastest way: how many hashed strata it has, its trees, and what it was chosen from.
    pub(super) fn finish(mut self) -> Option<(usize, Vec<Stratum>, Choice)> {
        let best = self.best?;
        let chosen = self.splits.remove(best.place);
        let choice = Choice {
            chosen,
            others: self.splits,
        };
        Some((best.hashed, best.trees, choice))
    }
}
