//! Canonical text: what `sockc fmt` writes.
//!
//! Takes a text without mistakes; gives the same statements and comments with blanks, line breaks and clause order
//! made canonical. It prints the pieces of the parse, never the tree, so a statement cannot lose anything. One
//! statement's lines are made in `layout`, lines become text in `lines`. Not here: any change of meaning.

mod layout;
mod lines;

use layout::{Comment, layout};
use lines::{Line, text_of};

use crate::diagnostic::Diagnostic;
use crate::scan;
use crate::source::{SourceId, SourceMap};
use crate::tree::{self, Item, Pieces};

/// The canonical text of a policy file. `id` must come from `sources`.
///
/// # Errors
///
/// The mistakes of the file: a file with mistakes is left as it is.
pub fn format(sources: &SourceMap, id: SourceId) -> Result<String, Vec<Diagnostic>> {
    let text = &sources.get(id).text;
    let reading = tree::read(text, id, true);
    if !reading.mistakes.is_empty() {
        return Err(reading.mistakes);
    }
    let mut printer = Printer {
        text,
        comments: &reading.comments,
        lines: Vec::new(),
        depth: 0,
        end: 0,
        at_begin: true,
    };
    let mut items = reading.items.iter().peekable();
    while let Some(item) = items.next() {
        let next = items.peek().map_or(text.len(), |next| start_of(next));
        printer.item(item, next);
    }
    printer.comments_before(text.len());
    Ok(text_of(&printer.lines))
}

struct Printer<'t> {
    text: &'t str,
    /// The comments that are not printed yet.
    comments: &'t [(usize, usize)],
    lines: Vec<Line>,
    /// How many blocks are open.
    depth: usize,
    /// The end of what was printed last, in the text.
    end: usize,
    /// Whether nothing was printed yet in the file or the block.
    at_begin: bool,
}

impl Printer<'_> {
    fn item(&mut self, item: &Item, next: usize) {
        self.comments_before(start_of(item));
        match item {
            Item::Statement(pieces) => self.statement(pieces, next),
            Item::Open(pieces) => {
                self.statement(pieces, next);
                self.depth += 1;
                self.at_begin = true;
            }
            Item::Close(at) => {
                self.depth = self.depth.saturating_sub(1);
                let trailing = self.trailing(at + 1, next);
                self.lines.push(Line::new(self.depth, "}", trailing));
                self.at_begin = false;
            }
        }
    }

    fn statement(&mut self, pieces: &Pieces, next: usize) {
        let (start, end) = bounds(pieces);
        self.blank_line(start);
        let inside = self.take_comments(end);
        let trailing = self.trailing(end, next);
        self.lines
            .extend(layout(self.text, pieces, &inside, trailing, self.depth));
        self.at_begin = false;
    }

    /// Prints the comments that stand before an offset, each on its own line.
    fn comments_before(&mut self, at: usize) {
        for comment in self.take_comments(at) {
            self.blank_line(comment.start);
            self.lines.push(Line::new(
                self.depth,
                "",
                Some(comment.text(self.text).to_owned()),
            ));
            self.end = comment.end;
            self.at_begin = false;
        }
    }

    fn take_comments(&mut self, before: usize) -> Vec<Comment> {
        let count = self
            .comments
            .iter()
            .take_while(|(start, _)| *start < before)
            .count();
        let (taken, rest) = self.comments.split_at(count);
        self.comments = rest;
        taken
            .iter()
            .map(|&(start, end)| Comment { start, end })
            .collect()
    }

    /// The comment after a statement that ends at `end`, on the same line and before the next statement.
    fn trailing(&mut self, end: usize, next: usize) -> Option<String> {
        self.end = end;
        let &(start, comment_end) = self.comments.first()?;
        if start >= next || start > scan::line_end(self.text, end) {
            return None;
        }
        self.comments = self.comments.get(1..).unwrap_or(&[]);
        let comment = Comment {
            start,
            end: comment_end,
        };
        self.end = comment_end;
        Some(comment.text(self.text).to_owned())
    }

    /// Keeps one blank line of those that stood before `start`.
    fn blank_line(&mut self, start: usize) {
        let between = self.text.get(self.end..start).unwrap_or("");
        let blank = between.bytes().filter(|&byte| byte == b'\n').count() > 1;
        if blank && !self.at_begin {
            self.lines.push(Line::new(0, "", None));
        }
    }
}

fn start_of(item: &Item) -> usize {
    match item {
        Item::Statement(pieces) | Item::Open(pieces) => bounds(pieces).0,
        Item::Close(at) => *at,
    }
}

fn bounds(pieces: &Pieces) -> (usize, usize) {
    let all = pieces.iter().flat_map(|group| &group.pieces);
    all.fold((usize::MAX, 0), |(start, end), piece| {
        (start.min(piece.start), end.max(piece.end))
    })
}
