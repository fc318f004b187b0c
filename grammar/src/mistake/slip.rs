//! Common slips and what the writer meant: edits of the writer's own text, each of which somebody has to try.
//!
//! Takes a statement and the place where it breaks; gives edits, the likeliest first. Whether an edit makes the statement
//! right the grammar says (`tree/repair.rs`): what does not read after it was not meant. Not here: messages.

mod foreign;
mod lists;
mod places;
mod rates;

use super::Expected;
use crate::scan;

/// What somebody may have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// What of the statement is replaced.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// By what.
    pub(crate) text: String,
}

/// A statement that does not read.
pub(crate) struct Broken<'t> {
    /// The statement.
    pub(crate) text: &'t str,
    /// Where it breaks: a word or a mark stands there.
    pub(crate) at: usize,
    /// What could have stood there.
    pub(crate) expected: &'t Expected,
    /// The whole text around it, for what is declared there.
    pub(crate) around: &'t str,
    /// Whether it is one packet of the command line.
    pub(crate) packet: bool,
}

/// The edits that may make it right.
pub(crate) fn edits(broken: &Broken<'_>) -> Vec<Edit> {
    let mut found = Vec::new();
    places::edits(broken, &mut found);
    lists::edits(broken, &mut found);
    rates::edits(broken, &mut found);
    foreign::edits(broken, &mut found);
    found
}

impl<'t> Broken<'t> {
    /// The word at the place.
    fn word(&self) -> &'t str {
        scan::word(self.text, self.at)
    }

    /// The run without blanks, braces and commas at the place.
    fn chunk(&self) -> &'t str {
        scan::chunk(self.text, self.at)
    }

    /// The statement up to the place, without the blanks at its end.
    fn before(&self) -> &'t str {
        self.text.get(..self.at).unwrap_or("").trim_end()
    }

    /// The last word before the place.
    fn last_word(&self) -> &'t str {
        let before = self.before();
        before
            .rsplit([' ', '\t', '\n', ',', '{'])
            .next()
            .unwrap_or("")
    }

    /// The statement after the place.
    fn after(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The first word after what is found.
    fn next_word(&self, length: usize) -> &'t str {
        let next = scan::skip(self.text, self.at + length);
        scan::chunk(self.text, next)
    }

    /// Puts text before the place.
    fn insert(&self, text: impl Into<String>) -> Edit {
        self.edit(self.at, self.at, text)
    }

    /// Replaces so many bytes at the place; what is replaced by nothing takes the blanks after it along.
    fn replace(&self, length: usize, text: impl Into<String>) -> Edit {
        let text = text.into();
        let to = (self.at + length).min(self.text.len());
        if !text.is_empty() {
            return self.edit(self.at, to, text);
        }
        let next = scan::skip(self.text, to);
        if next < self.text.len() {
            // Two words around it do not become one.
            let joins = self.before().len() == self.at && next > to;
            self.edit(self.at, next, if joins { " " } else { "" })
        } else {
            self.edit(self.before().len(), to, text)
        }
    }

    fn edit(&self, from: usize, to: usize, text: impl Into<String>) -> Edit {
        Edit {
            from,
            to,
            text: text.into(),
        }
    }

    /// Whether the text around declares a name with this word: `set a`, `zone wan`.
    fn declares(&self, word: &str, name: &str) -> bool {
        self.around.lines().any(|line| {
            let mut words = line.split_whitespace();
            let first = match words.next() {
                Some("live") => words.next(),
                first => first,
            };
            let named = words.next().unwrap_or("");
            first == Some(word) && named.trim_end_matches([':', '=']) == name
        })
    }
}

/// Where the word that ends at `end` begins.
fn word_start(text: &str, end: usize) -> usize {
    let before = text.get(..end).unwrap_or("");
    before.rfind([' ', '\t', '\n']).map_or(0, |at| at + 1)
}

/// Whether the text is a port, a range of ports or what may be a service.
fn like_port(text: &str) -> bool {
    let plain = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits || is_word(part)
    };
    plain(text)
        || text
            .split_once('-')
            .is_some_and(|(low, high)| plain(low) && plain(high))
}

/// Whether the text is one word.
fn is_word(text: &str) -> bool {
    !text.is_empty() && scan::word(text, 0).len() == text.len()
}

/// Whether the text is an address, a prefix, the name of a set, or the word for some.
fn like_address(text: &str) -> bool {
    let host = text.trim_matches(['[', ']']).split(['/', '-']).next();
    let host = host.unwrap_or("");
    matches!(text, "any" | "self")
        || text.starts_with('@')
        || host.parse::<std::net::IpAddr>().is_ok()
}
