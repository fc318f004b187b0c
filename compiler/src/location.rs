//! A place in a text, as messages, line information, counters and reports show it.
//!
//! Whoever keeps one shares its texts with all others of the same statement. Not here: spans, which the source map has.

use std::sync::Arc;

/// Where a statement stands, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The source's name, such as `rules/edge.sk`.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The statement's text on one line, blanks squeezed, comments left out.
    pub text: Arc<str>,
}

impl Location {
    /// The beginning of a line of a file.
    #[must_use]
    pub fn new(file: impl Into<Arc<str>>, line: u32, text: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            line,
            column: 1,
            text: text.into(),
        }
    }
}
