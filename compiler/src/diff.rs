//! What a change of a policy changes: every region whose fate is another, with the rules responsible and an example.
//!
//! Takes two resolved policies; gives a [`Report`]. Both are brought into one space of ids, their lists are aligned, and
//! only where rules that are not the same match are the two drawn as diagrams and compared (Liu, *Firewall Policy
//! Change-Impact Analysis*; Tang et al., *Campion*, SIGCOMM 2021). Exact: sockets, live sets and rates are free, the same
//! in both. What grows past the budget is said to be unknown, never to be the same. Not here: reading policies, and
//! printing.

mod align;
mod block;
mod data;
mod draw;
mod edits;
mod example;
mod joint;
mod lists;
mod malformed;
mod reasons;
mod region;
pub mod report;
mod scope;
mod shadow;
mod space;
mod tell;
#[cfg(test)]
mod tests;
mod topic;
mod weigh;
mod world;

use crate::observer::Observer;
use crate::policy::Policy;

pub use report::Report;

/// Nodes that the diagrams of one topic may have unless told otherwise: about 600 MB.
const BUDGET: usize = 20_000_000;

/// How much is to be found out.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Nodes that the diagrams of one topic may have.
    pub budget: usize,
    /// Most changes of a scope that are told in full, the largest of each edit first; of the others [`report::Scope::untold`]
    /// says how many there are. `None` for all.
    pub most: Option<usize>,
    /// Whether regions are drawn, for pictures.
    pub shadows: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            budget: BUDGET,
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
    let mut report = Report::default();
    report
        .scopes
        .push(scope::compare(old, new, None, options, observer));
    let empty = Policy::default();
    let inside = |policy: &Policy| -> Vec<String> {
        policy
            .netns
            .iter()
            .map(|netns| netns.name.clone())
            .collect()
    };
    let mut names = inside(old);
    names.extend(
        inside(new)
            .into_iter()
            .filter(|name| !names.contains(name))
            .collect::<Vec<_>>(),
    );
    for name in names {
        let of = |policy: &'_ Policy| policy.netns.iter().position(|netns| netns.name == name);
        let left = of(old).map_or(&empty, |place| &old.netns[place].policy);
        let right = of(new).map_or(&empty, |place| &new.netns[place].policy);
        let mut scope = scope::compare(left, right, Some(name.clone()), options, observer);
        for example in scope.examples_mut() {
            *example = in_block(&name, example);
        }
        report.scopes.push(scope);
    }
    report
}

/// A packet in words that says in which block it is, ahead of everything else that it says of itself.
fn in_block(name: &str, example: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    match example.split_once(" with ") {
        Some((packet, more)) => format!("{packet} with in netns \"{name}\", {more}"),
        None => format!("{example} with in netns \"{name}\""),
    }
}
