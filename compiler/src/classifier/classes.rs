//! The classes of packets that rules with conditions on the header tell apart.
//!
//! A service has one bit for each class, so that a record asks everything of a packet but its addresses and ports with one
//! shift. Where rules speak of protocols alone, a table of 512 bytes has the class of each protocol. Conditions on flags,
//! fragments, lengths and the like make more classes: two packets are of one class if every *test* (protocols, whether
//! ports or a type are needed, conditions) that the services have says the same of both. So the class is the terminal of a
//! diagram over the fields that the tests ask; it is split by one test after the other:
//!
//! ```text
//! one class ─ tcp ─▶ two ─ tcp if tcp flags syn no ack ─▶ three ─ … ─▶ flattened, written as a compare tree
//! ```
//!
//! Takes tests; gives the diagram, and for each class what the tests say of it. Records, lists and the walk know nothing
//! of it: they have the number of a class. Which rules may ask is `bulk`'s: every packet hook of their direction has to read the
//! fields, and say the same of one packet. Not here: ICMP types, which are ranges in the place of a port (`boxes`), and the
//! code (`lower::answers::walk`).

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::boxes::boxes;
use super::services::{Asked, MAX_CLASSES};
use crate::diagram::classify::header_diagram;
use crate::diagram::flatten::{Flat, flatten_within};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::policy::{Condition, Family, Match};

/// Nodes that all diagrams of the classes of one classifier may have. Each of 64 classes takes some hundreds.
const MAX_NODES: usize = 1_000_000;

/// Arms of the flat diagram: each is two instructions or so.
const MAX_ARMS: usize = 1_000;

/// What is told apart so far.
pub(crate) struct Classes {
    store: Store,
    /// Its terminal is the number of the class.
    diagram: Node,
    /// For each class what the tests say, in their order.
    answers: Vec<Vec<bool>>,
}

impl Classes {
    /// One class for all packets.
    pub(crate) fn new() -> Self {
        Self {
            store: Store::with_budget(MAX_NODES),
            diagram: Node::FALSE,
            answers: vec![Vec::new()],
        }
    }

    /// Tells apart what one more test tells apart. `None` where there would be too many classes: then it does not.
    pub(super) fn tell(&mut self, asked: &Asked, conditions: &[Condition]) -> Option<()> {
        let (diagram, pairs) = self.split(asked, conditions).ok()?;
        if pairs.len() > MAX_CLASSES {
            return None;
        }
        let answers = pairs.iter().map(|&(class, holds)| {
            let mut answers = self.answers[class as usize].clone();
            answers.push(holds);
            answers
        });
        self.answers = answers.collect();
        self.diagram = diagram;
        Some(())
    }

    /// The diagram of the new classes, and each of them as an old one and what the test says.
    fn split(
        &mut self,
        asked: &Asked,
        conditions: &[Condition],
    ) -> Result<(Node, Vec<(u32, bool)>), BudgetExceeded> {
        let numbers = (0..=u8::MAX).filter(|&number| asked.protocols.contains(number));
        let needs = (asked.needs_ports, asked.needs_type);
        let test = header_diagram(&mut self.store, numbers, needs, conditions)?;
        let mut pairs: Vec<(u32, bool)> = Vec::new();
        let diagram = self.store.apply2(self.diagram, test, &mut |class, holds| {
            let pair = (class, holds == 1);
            let known = pairs.iter().position(|one| *one == pair);
            let number = known.unwrap_or_else(|| {
                pairs.push(pair);
                pairs.len() - 1
            });
            number as u32
        })?;
        Ok((diagram, pairs))
    }

    /// Tells apart what the rules with these conditions tell apart, all of it or nothing; says whether it does.
    pub(crate) fn take<'a>(
        &mut self,
        rules: impl IntoIterator<Item = &'a Match>,
        conditions: &[Condition],
    ) -> bool {
        let mut tests = BTreeSet::new();
        for matches in rules {
            for family in [Family::V4, Family::V6] {
                let found = boxes(matches, family).into_iter();
                tests.extend(found.map(|one| one.service.asked()));
            }
        }
        let (diagram, answers) = (self.diagram, self.answers.clone());
        let told = tests
            .iter()
            .all(|asked| self.tell(asked, conditions).is_some());
        if !told || !self.is_small() {
            (self.diagram, self.answers) = (diagram, answers);
            return false;
        }
        true
    }

    fn is_small(&self) -> bool {
        flatten_within(&self.store, self.diagram, MAX_ARMS).is_ok()
    }

    /// The diagram, and for each class what the tests say, in their order. Classes that most tests say the same of are
    /// neighbours, so that what a service matches is one range of them more often.
    pub(super) fn finish(mut self) -> Option<(Flat, Vec<Vec<bool>>)> {
        let mut order: Vec<usize> = (0..self.answers.len()).collect();
        order.sort_by_key(|&class| Reverse(&self.answers[class]));
        let mut places = vec![0; order.len()];
        for (place, &class) in (0u32..).zip(&order) {
            places[class] = place;
        }
        let named = &mut |class: u32| places[class as usize];
        let diagram = self.store.map_terminals(self.diagram, named).ok()?;
        let flat = flatten_within(&self.store, diagram, MAX_ARMS).ok()?;
        let answers = order.iter().map(|&class| self.answers[class].clone());
        Some((flat, answers.collect()))
    }
}
