//! Classifiers: which of many rules is the first that matches a packet, from tables instead of code.
//!
//! Takes rules that speak of nothing but protocols, addresses and ports, in order; gives a [`Classifier`]: constant tables
//! and a description of the short walk through them. Not here: the code of the walk (`lower`), which rules are given to a
//! classifier (`bulk`), and rules with conditions, which stay in the diagram.

mod boxes;

pub use boxes::{Boxed, Prefix, Protocols, Service, boxes, is_plain};

use crate::policy::Match;

/// A rule that a classifier is made of.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// What it matches; [`is_plain`] holds for it.
    pub matches: &'a Match,
    /// What [`crate::field::Field::Winner`] is where this rule is the first that matches: 1 or more.
    pub group: u32,
    /// Its slot in the map `counters`.
    pub slot: u32,
}
