//! The nodes of one parse as a flat list, made in one walk over pest's tokens.
//!
//! A node is followed by all that stands in it, so children are found without pest's counting and cloning. A node's
//! end is that of its last leaf: pest's own end may lie after blanks. Not here: what the nodes mean.

use pest::Token;
use pest::iterators::Pairs;

use super::Rule;

/// One node: its rule, its bytes, and how many entries it takes, its own included.
#[derive(Clone, Copy, Debug)]
struct Record {
    rule: Rule,
    start: usize,
    end: usize,
    size: usize,
}

/// The nodes of one parse; kept from statement to statement for its memory.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    entries: Vec<Record>,
    open: Vec<usize>,
}

impl Nodes {
    /// Takes a parse of `text` in, in place of the one before, and gives its first node.
    pub(super) fn take<'n>(
        &'n mut self,
        text: &'n str,
        pairs: Pairs<'_, Rule>,
    ) -> Option<Node<'n>> {
        self.entries.clear();
        self.open.clear();
        let mut leaf_end = 0;
        for token in pairs.tokens() {
            match token {
                Token::Start { rule, pos } => self.begin(rule, pos.pos()),
                Token::End { pos, .. } => self.end(pos.pos(), &mut leaf_end),
            }
        }
        Node::first(text, &self.entries)
    }

    fn begin(&mut self, rule: Rule, start: usize) {
        self.open.push(self.entries.len());
        self.entries.push(Record {
            rule,
            start,
            end: start,
            size: 1,
        });
    }

    fn end(&mut self, end: usize, leaf_end: &mut usize) {
        let Some(index) = self.open.pop() else {
            return;
        };
        let size = self.entries.len() - index;
        if let Some(entry) = self.entries.get_mut(index) {
            if size == 1 && end > entry.start {
                *leaf_end = end;
            }
            entry.size = size;
            entry.end = (*leaf_end).max(entry.start);
        }
    }
}

/// A node of a parse.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'n> {
    text: &'n str,
    /// Its own, then those of all that stands in it.
    entries: &'n [Record],
    entry: Record,
}

impl<'n> Node<'n> {
    fn first(text: &'n str, entries: &'n [Record]) -> Option<Self> {
        let entry = *entries.first()?;
        let entries = entries.get(..entry.size)?;
        Some(Self {
            text,
            entries,
            entry,
        })
    }

    pub(super) fn as_rule(&self) -> Rule {
        self.entry.rule
    }

    /// Its first byte.
    pub(super) fn start(&self) -> usize {
        self.entry.start
    }

    /// The end of its last leaf.
    pub(super) fn end(&self) -> usize {
        self.entry.end
    }

    pub(super) fn as_str(&self) -> &'n str {
        self.text
            .get(self.entry.start..self.entry.end)
            .unwrap_or("")
    }

    /// What stands right in it, in order.
    pub(super) fn inner(&self) -> Inner<'n> {
        Inner {
            text: self.text,
            entries: self.entries.get(1..).unwrap_or(&[]),
        }
    }
}

/// The children of a node that are left to visit.
#[derive(Clone, Debug)]
pub(super) struct Inner<'n> {
    text: &'n str,
    entries: &'n [Record],
}

impl<'n> Iterator for Inner<'n> {
    type Item = Node<'n>;

    fn next(&mut self) -> Option<Self::Item> {
        let node = Node::first(self.text, self.entries)?;
        self.entries = self.entries.get(node.entry.size..).unwrap_or(&[]);
        Some(node)
    }
}
