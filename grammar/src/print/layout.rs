//! One statement as lines: clauses in order, blanks between pieces, long lists broken, comments where they stood.
//!
//! A comment inside a statement stays after the piece it followed; a line must end there, and the next is indented.

use super::lines::Line;
use crate::tree::{Kind, Piece, Pieces};

/// Statements wider than this have their lists broken, one element a line.
const WIDEST: usize = 100;

/// A comment by its place in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comment {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Comment {
    /// The comment with its `#`, without blanks at its end.
    pub(super) fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start..self.end).unwrap_or("").trim_end()
    }
}

/// A piece in its canonical place, with the comments after it.
struct Placed {
    piece: Piece,
    comments: Vec<Comment>,
    /// For `{`: whether its list is broken over lines.
    broken: bool,
}

/// The lines of a statement at this depth; `inside` are its comments, `trailing` the one after it.
pub(super) fn layout(
    text: &str,
    groups: &Pieces,
    inside: &[Comment],
    trailing: Option<String>,
    depth: usize,
) -> Vec<Line> {
    let mut groups: Vec<_> = groups.iter().collect();
    groups.sort_by_key(|group| group.rank);
    let pieces = groups.iter().flat_map(|group| group.pieces.iter().copied());
    let mut placed: Vec<Placed> = pieces
        .map(|piece| Placed {
            piece,
            comments: Vec::new(),
            broken: false,
        })
        .collect();
    attach(&mut placed, inside);
    drop_last_commas(&mut placed);
    break_lists(text, &mut placed, depth);
    let mut writer = Writer::new(text, depth);
    writer.pieces(&placed);
    writer.finish(placed.last(), trailing)
}

/// Puts each comment to the piece that it follows in the text.
fn attach(placed: &mut [Placed], comments: &[Comment]) {
    let mut order: Vec<usize> = (0..placed.len()).collect();
    order.sort_by_key(|&index| placed[index].piece.start);
    for comment in comments {
        let count = order.partition_point(|&index| placed[index].piece.end <= comment.start);
        if let Some(&index) = count.checked_sub(1).and_then(|last| order.get(last)) {
            placed[index].comments.push(*comment);
        }
    }
}

/// Leaves out the comma before a `}`; its comments go to the piece before it.
fn drop_last_commas(placed: &mut Vec<Placed>) {
    for index in (1..placed.len()).rev() {
        let closes = placed
            .get(index + 1)
            .is_some_and(|next| matches!(next.piece.kind, Kind::Close | Kind::GluedBefore));
        if closes && placed[index].piece.kind == Kind::Comma {
            let comma = placed.remove(index);
            placed[index - 1].comments.extend(comma.comments);
        }
    }
}

/// Decides which lists are broken: those that were, those with comments, and the outermost of a wide statement.
fn break_lists(text: &str, placed: &mut [Placed], depth: usize) {
    let wide = depth * 4 + flat_width(placed) > WIDEST;
    let mut open: Vec<usize> = Vec::new();
    for index in 0..placed.len() {
        match placed[index].piece.kind {
            Kind::Open => {
                let next = placed.get(index + 1).map_or(0, |next| next.piece.start);
                let after = text.get(placed[index].piece.end..next).unwrap_or("");
                let empty = placed
                    .get(index + 1)
                    .is_some_and(|next| next.piece.kind == Kind::Close);
                placed[index].broken =
                    !empty && (after.contains('\n') || (wide && open.is_empty()));
                open.push(index);
            }
            Kind::Close => {
                open.pop();
            }
            _ => {}
        }
        if !placed[index].comments.is_empty() {
            open.iter().for_each(|&list| placed[list].broken = true);
        }
    }
}

fn flat_width(placed: &[Placed]) -> usize {
    placed
        .iter()
        .map(|placed| placed.piece.end - placed.piece.start + 1)
        .sum()
}

fn blank_between(left: Kind, right: Kind) -> bool {
    !matches!(left, Kind::GluedBehind | Kind::Glue)
        && !matches!(right, Kind::Comma | Kind::GluedBefore | Kind::Glue)
}

struct Writer<'t> {
    text: &'t str,
    /// The statement's own depth.
    base: usize,
    lines: Vec<Line>,
    code: String,
    last: Option<Kind>,
    /// For each open list, whether it is broken.
    lists: Vec<bool>,
    /// Whether a comment ended a line outside of broken lists.
    continued: bool,
}

impl<'t> Writer<'t> {
    fn new(text: &'t str, base: usize) -> Self {
        Self {
            text,
            base,
            lines: Vec::new(),
            code: String::new(),
            last: None,
            lists: Vec::new(),
            continued: false,
        }
    }

    fn pieces(&mut self, placed: &[Placed]) {
        let mut waiting: Vec<Comment> = Vec::new();
        for (index, now) in placed.iter().enumerate() {
            self.piece(now);
            waiting.extend(&now.comments);
            let next = placed.get(index + 1);
            // The last piece's comments are the statement's; a comma stays on the line of what it follows.
            if next.is_none_or(|next| next.piece.kind == Kind::Comma) {
                continue;
            }
            self.comments(&waiting);
            waiting.clear();
            let in_broken = self.lists.last() == Some(&true);
            if in_broken && matches!(now.piece.kind, Kind::Open | Kind::Comma) {
                self.end_line(None);
            }
        }
    }

    fn piece(&mut self, placed: &Placed) {
        let kind = placed.piece.kind;
        if kind == Kind::Close && self.lists.pop() == Some(true) {
            // The last element's line was indented while its list was open.
            self.lists.push(true);
            self.end_line(None);
            self.lists.pop();
        }
        if self
            .last
            .is_some_and(|last| !self.code.is_empty() && blank_between(last, kind))
        {
            self.code.push(' ');
        }
        if self.code.is_empty() {
            self.lines.push(Line::new(self.depth(), "", None));
        }
        self.code.push_str(
            self.text
                .get(placed.piece.start..placed.piece.end)
                .unwrap_or(""),
        );
        self.last = Some(kind);
        if kind == Kind::Open {
            self.lists.push(placed.broken);
        }
    }

    fn depth(&self) -> usize {
        self.base
            + self.lists.iter().filter(|broken| **broken).count()
            + usize::from(self.continued)
    }

    fn comments(&mut self, comments: &[Comment]) {
        for comment in comments {
            let text = comment.text(self.text).to_owned();
            if self.code.is_empty() || !self.follows_code(comment) {
                self.end_line(None);
                self.continue_line();
                self.lines.push(Line::new(self.depth(), "", Some(text)));
            } else {
                self.end_line(Some(text));
                self.continue_line();
            }
        }
    }

    /// Whether a comment stood after code on its line.
    fn follows_code(&self, comment: &Comment) -> bool {
        !crate::scan::first_on_line(self.text, comment.start)
    }

    /// Ends the line that is being written, if there is one.
    fn end_line(&mut self, comment: Option<String>) {
        if self.code.is_empty() {
            return;
        }
        if let Some(line) = self.lines.last_mut() {
            line.code = std::mem::take(&mut self.code);
            line.comment = comment;
        }
    }

    /// Indents what follows a comment, unless it stands in a broken list, which is indented anyway.
    fn continue_line(&mut self) {
        self.continued |= !self.lists.contains(&true);
    }

    /// The last line with the statement's comment; comments of the last piece that find no room stand below.
    fn finish(mut self, last: Option<&Placed>, trailing: Option<String>) -> Vec<Line> {
        let mut left: Vec<String> = Vec::new();
        let mut trailing = trailing;
        for comment in last.map_or(&[][..], |last| &last.comments) {
            let text = comment.text(self.text).to_owned();
            if trailing.is_none() && left.is_empty() && self.follows_code(comment) {
                trailing = Some(text);
            } else {
                left.push(text);
            }
        }
        self.end_line(trailing);
        self.lines.extend(
            left.into_iter()
                .map(|text| Line::new(self.base, "", Some(text))),
        );
        self.lines
    }
}
