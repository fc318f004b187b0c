//! What a change of a policy changes: every region whose fate is another, with the rules responsible and an example.
//!
//! Takes two resolved policies; gives a [`Report`]. Both are brought into one space of ids, their lists are aligned, and
//! only where rules that are not the same match are the two drawn as diagrams and compared (Liu, *Firewall Policy
//! Change-Impact Analysis*; Tang et al., *Campion*, SIGCOMM 2021). Exact: sockets, live sets and rates are free, the same
//! in both. What grows past the budget counts as unknown, never as the same. Not here: reading policies, and
//! printing.

mod align;
mod block;
mod case;
mod data;
mod declared;
mod draw;
mod edits;
mod example;
mod groups;
mod joint;
mod judge;
mod lists;
mod malformed;
mod near;
mod reasons;
mod region;
pub mod report;
mod scope;
mod shadow;
mod space;
mod spans;
mod splices;
mod streams;
mod tell;
#[cfg(test)]
mod tests;
mod topic;
mod weigh;

use crate::observer::Observer;
use crate::policy::Policy;

pub use report::{Report, Scope};
pub use streams::streams_differ;

/// Nodes that the diagrams of one topic may have unless told otherwise: about 600 MB.
const BUDGET: usize = 20_000_000;

/// Steps that the comparison of one topic may take unless told otherwise: about a minute.
const WORK: u64 = 400_000_000;

/// How much is to be found out.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Nodes that the diagrams of one topic may have.
    pub budget: usize,
    /// Steps that the comparison of one topic may take: a bound of time. What is not compared by then is unknown.
    pub work: u64,
    /// The maximum number of changes of a scope that are told in full, the largest of each edit first; of the others [`report::Scope::untold`]
    /// says how many there are. `None` for all.
    pub most: Option<usize>,
    /// Whether regions are drawn, for pictures.
    pub shadows: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            budget: BUDGET,
            work: WORK,
            most: None,
            shadows: false,
        }
    }
}

/// Compares two policies, and those of their `for netns` blocks by name.
#[must_use]
pub fn compare(
    old: &Policy,
    new: &Policy,
    options: Options,
    observer: &mut dyn Observer,
) -> Report {
    observer.stage("compare");
    let whole = scope::compare(old, new, None, options, observer);
    let mut report = Report {
        scopes: vec![whole],
    };
    for name in blocks(old, new) {
        report
            .scopes
            .push(block(&name, [old, new], options, observer));
    }
    report
}

/// The names of the blocks of either policy, in the order they were written, the old policy's first.
fn blocks(old: &Policy, new: &Policy) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for netns in old.netns.iter().chain(&new.netns) {
        if !names.contains(&netns.name) {
            names.push(netns.name.clone());
        }
    }
    names
}

/// Compares a block; one that a policy does not have lets everything through there.
fn block(
    name: &str,
    policies: [&Policy; 2],
    options: Options,
    observer: &mut dyn Observer,
) -> Scope {
    // A live set around a block that comes or goes is no other than before.
    let empty = policies.map(|policy| Policy {
        around: policy.live_sets(),
        ..Policy::default()
    });
    let inside = policies.map(|policy| {
        let blocks = &policy.netns;
        let mut named = blocks.iter().filter(|netns| netns.name == name);
        named.next().map(|netns| &netns.policy)
    });
    let [old, new] = [0, 1].map(|side| inside[side].unwrap_or(&empty[side]));
    let mut scope = scope::compare(old, new, Some(name), options, observer);
    if inside.iter().any(Option::is_none) {
        // A policy without the block does not know it by name.
        scope
            .changes
            .iter_mut()
            .for_each(|change| change.unsaid = Some(report::Unsaid::Names));
    }
    scope
}
