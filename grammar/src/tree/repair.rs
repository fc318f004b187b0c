//! What somebody meant who made a common slip: the statement as it must be written, in the writer's own words.
//!
//! Takes a statement that does not read; tries the edits of `mistake/slip.rs`, one after the other and several together,
//! until the grammar reads the whole of it. Only such a text is ever shown. Not here: the edits, and the messages.

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};

use super::expected::expected;
use super::opening::opening;
use super::{Builder, Grammar, Nodes, Rule};
use crate::mistake::Expected;
use crate::mistake::slip::{Broken, Edit, edits};
use crate::outline::Outline;
use crate::scan;
use crate::source::SourceId;

/// Longer statements are not tried: each try reads all of it.
const MAX_TEXT: usize = 2_000;

/// The same with its comments.
const MAX_WRITTEN: usize = 4 * MAX_TEXT;

/// So many slips of one statement are mended together.
const MAX_SLIPS: usize = 4;

/// So many texts are tried for one statement.
const MAX_TRIES: usize = 64;

/// What is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Statement,
    Packet,
}

/// The statement or packet as it reads, if its slips are known ones. `around` is the text it stands in.
pub(super) fn repaired(text: &str, whole: Whole, around: &str) -> Option<String> {
    if text.len() > MAX_WRITTEN {
        return None;
    }
    let text = without_comments(text);
    let text = text.trim_end();
    if text.len() > MAX_TEXT || text.is_empty() {
        return None;
    }
    let mut tries = MAX_TRIES;
    let Reading::Broken { at, expected } = read(text, whole) else {
        return None;
    };
    let mut search = Search {
        whole,
        around,
        tries: &mut tries,
    };
    search.mend(text, at, &expected, MAX_SLIPS)
}

/// The text without what stands after `#`; a remedy is shown in one line.
fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut at = 0;
    while let Some(next) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if next == '#' {
            at = scan::line_end(text, at);
            continue;
        }
        let end = match next {
            // A string that is not closed is not looked for again at each quote of its line.
            '"' => scan::string_end(text, at).unwrap_or_else(|| scan::line_end(text, at)),
            other => at + other.len_utf8(),
        };
        kept.push_str(text.get(at..end).unwrap_or(""));
        at = end;
    }
    kept
}

struct Search<'a> {
    whole: Whole,
    around: &'a str,
    tries: &'a mut usize,
}

impl Search<'_> {
    fn mend(&mut self, text: &str, at: usize, expected: &Expected, depth: usize) -> Option<String> {
        let broken = Broken {
            text,
            at,
            expected,
            around: self.around,
            packet: self.whole == Whole::Packet,
        };
        let mut further = Vec::new();
        for edit in edits(&broken) {
            *self.tries = self.tries.checked_sub(1)?;
            let Some(edited) = applied(text, &edit).filter(|edited| edited != text) else {
                continue;
            };
            match read(&edited, self.whole) {
                Reading::Sound => return Some(edited),
                // It must have got further, or be shorter to go.
                Reading::Broken { at, expected } => further.push((edited, at, expected)),
            }
        }
        if depth <= 1 {
            return None;
        }
        let mut further = further.into_iter();
        further.find_map(|(edited, at, expected)| self.mend(&edited, at, &expected, depth - 1))
    }
}

fn applied(text: &str, edit: &Edit) -> Option<String> {
    let head = text.get(..edit.from)?;
    let tail = text.get(edit.to..)?;
    Some(format!("{head}{}{tail}", edit.text).trim_end().to_owned())
}

enum Reading {
    Sound,
    Broken { at: usize, expected: Expected },
}

/// Whether a text reads as one statement, and where it breaks if not.
fn read(text: &str, whole: Whole) -> Reading {
    let mut outline = Outline::of(text);
    if !outline.deep.is_empty() {
        return Reading::Broken {
            at: text.len(),
            expected: Expected::default(),
        };
    }
    let plain = outline.take_plain();
    let rule = match whole {
        Whole::Statement => Rule::whole_statement,
        Whole::Packet => Rule::whole_packet,
    };
    match Grammar::parse(rule, &plain) {
        Ok(pairs) => {
            let mut nodes = Nodes::default();
            let mut builder = Builder::new(SourceId(0), 0);
            let Some(node) = nodes.take(&plain, pairs) else {
                return broken_at(text, text.len(), Expected::default());
            };
            let understood = match whole {
                Whole::Statement if node.as_rule() == Rule::for_head => true,
                Whole::Statement => builder.statement(&node).is_some(),
                Whole::Packet => builder.packet(&node).is_some(),
            };
            match builder.mistakes.first() {
                None if understood => Reading::Sound,
                None => broken_at(text, text.len(), Expected::default()),
                Some(mistake) => broken_at(
                    text,
                    mistake.primary.span.start as usize,
                    Expected::default(),
                ),
            }
        }
        // What stands at the beginning could have been a label: no place after it says more.
        Err(_) if whole == Whole::Statement && opening(text, 0).is_none() => {
            broken_at(text, 0, Expected::default())
        }
        Err(error) => {
            let at = match error.location {
                InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
            };
            let expected = match &error.variant {
                ErrorVariant::ParsingError { positives, .. } => expected(positives),
                ErrorVariant::CustomError { .. } => Expected::default(),
            };
            broken_at(text, at, expected)
        }
    }
}

fn broken_at(text: &str, at: usize, expected: Expected) -> Reading {
    Reading::Broken {
        at: scan::skip(text, at),
        expected,
    }
}
