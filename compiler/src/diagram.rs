//! Decisions as diagrams: hash-consed multi-terminal binary decision diagrams over the bits of header fields.
//!
//! Takes matches and chains; gives canonical nodes: in one [`Store`], two nodes mean the same exactly if their ids are
//! equal. A [`Store`] grows up to a budget and then answers [`BudgetExceeded`]; nothing here panics or guesses.
//! [`flatten`] turns a diagram into intervals, ready for code. Not here: placement, and what a verdict does.
//!
//! In the literature: multi-terminal BDDs (R. E. Bryant, "Graph-Based Algorithms for Boolean Function Manipulation", 1986;
//! M. Fujita et al., "Multi-Terminal Binary Decision Diagrams", 1997). A [`Store`] is what is called a BDD manager there.

pub(crate) mod apart;
pub mod classify;
pub mod flatten;
pub(crate) mod plain;
pub mod possible;
pub mod values;

mod build;
mod cache;
mod ops;
mod project;
pub(crate) mod share;
mod store;
mod walk;

#[cfg(test)]
mod tests;

use cranelift_entity::entity_impl;

pub use store::{Kept, Store};
pub use values::FieldValues;

/// A node of a diagram: a function from field values to a terminal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(u32);
entity_impl!(Node, "node");

impl Node {
    /// The terminal 0, also "no".
    pub const FALSE: Self = Self(0);
    /// The terminal 1, also "yes".
    pub const TRUE: Self = Self(1);
    /// The terminal `NOMATCH`.
    pub(crate) const NOMATCH: Self = Self(2);
}

/// The terminal of what no rule has matched yet; a merge falls through it.
pub(crate) const NOMATCH: u32 = u32::MAX;

/// The diagrams of one [`Store`] grew past its budget: the answer is unknown, not "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetExceeded {
    /// The budget: in nodes, for a flat diagram in arms, for `count` rules in entries of their lists.
    pub budget: usize,
}

impl std::fmt::Display for BudgetExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the decision diagram grew past {} pieces", self.budget)
    }
}

impl std::error::Error for BudgetExceeded {}
