//! Blocks and the `}` that end them: a part of the driver.
//!
//! A `}` closes the innermost block; where it cannot, it is a mistake of its own. Not here: the statements in a block.

use super::driver::{Block, Driver, Item, too_deep};
use super::{Builder, Node};
use crate::ast::{ForBlock, Statement};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::scan;
use crate::source::Span;

/// How deep blocks may stand in each other.
const MAX_BLOCK_DEPTH: usize = 16;

impl Driver<'_> {
    pub(super) fn close(&mut self) {
        if self.blocks.len() == 1 || self.is_inside_statement(self.at) {
            self.stray_brace();
            return;
        }
        if let Some(items) = &mut self.items {
            items.push(Item::Close(self.at));
        }
        self.end_block(self.at + 1);
        self.before = None;
        self.at += 1;
    }

    /// Whether the `}` at `at` cannot be a block's: it is followed on its line by what begins no statement, and the
    /// block was opened on a line before.
    fn is_inside_statement(&self, at: usize) -> bool {
        let head = self.blocks.last().and_then(|block| block.head.as_ref());
        head.is_some_and(|(_, open, _)| self.breaks_between(*open, at)) && self.has_rest(at + 1)
    }

    fn breaks_between(&self, start: usize, end: usize) -> bool {
        self.text
            .get(start..end)
            .is_some_and(|text| text.contains('\n'))
    }

    /// Whether something stands at or after `at` on its line that begins no statement and closes nothing.
    fn has_rest(&self, at: usize) -> bool {
        let next = scan::skip(self.text, at);
        !self.breaks_between(at, next)
            && scan::byte(self.text, next).is_some_and(|byte| byte != b'}')
            && !scan::begins_statement(self.text, next)
    }

    /// A `}` too many; what it cut off on its line is part of the same mistake.
    fn stray_brace(&mut self) {
        let place = Span::between(self.source, self.at, self.at + 1);
        let mistake = Diagnostic::error(
            codes::STRAY_BRACE,
            "`}` that closes nothing",
            place,
            "no block is open here",
        );
        let last = self.mistakes.last().map(|last| last.primary.span.end);
        if last != Some(place.start) {
            self.mistakes.push(mistake.help("take it out"));
        }
        self.at = if self.has_rest(self.at + 1) {
            self.resume(self.at, self.at + 1)
        } else {
            self.at + 1
        };
    }

    pub(super) fn end_block(&mut self, end: usize) {
        let Some(Block { head, statements }) = self.blocks.pop() else {
            return;
        };
        if let Some((start, _, scope)) = head {
            self.push(start, end, Statement::For(ForBlock { scope, statements }));
        }
    }

    pub(super) fn open_block(&mut self, node: &Node<'_>, start: usize, builder: &mut Builder) {
        let open = self.at - 1;
        self.before = None;
        let outer = self.blocks.last();
        let inside_wrong = self.blocks.len() > 1 && outer.is_some_and(|block| block.head.is_none());
        let head = builder.scope(node).map(|scope| (start, open, scope));
        let deep = self.blocks.len() > MAX_BLOCK_DEPTH;
        if deep && !inside_wrong {
            self.mistakes.push(too_deep(self.source, start));
        }
        self.blocks.push(Block {
            head: head.filter(|_| !deep),
            statements: Vec::new(),
        });
    }

    /// A block whose head is wrong is gone through all the same, so that its `}` closes something.
    pub(super) fn enter_wrong_block(&mut self, start: usize, at: usize) -> usize {
        self.blocks.push(Block::default());
        let next = self
            .outline
            .next_start(start + 1)
            .unwrap_or(self.text.len());
        match self.outline.braces_from(start).first() {
            Some(brace) if brace.open && brace.at < next => brace.at + 1,
            _ => self.resume(start, at),
        }
    }
}
