//! Where something stands in a file that is imported.

use std::fmt;

/// A line and a column, both from 1; columns are bytes. Without a column it is the whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The line.
    pub(super) line: usize,
    /// The column.
    pub(super) column: Option<usize>,
}

impl Place {
    /// Where a text begins.
    pub(super) const START: Self = Self {
        line: 1,
        column: Some(1),
    };

    /// The whole line of this number, from 1.
    pub(super) fn line(line: usize) -> Self {
        Self { line, column: None }
    }

    /// The line and column, both from 1, of a text that begins here.
    pub(super) fn beyond(self, line: usize, column: usize) -> Self {
        let indent = match line {
            1 => self.column.map_or(0, |column| column - 1),
            _ => 0,
        };
        Self {
            line: self.line + line - 1,
            column: Some(indent + column.max(1)),
        }
    }
}

/// How far a text has been read: places are counted once, from one part to the next.
#[derive(Debug)]
pub(super) struct Reached<'a> {
    text: &'a str,
    bytes: usize,
    place: Place,
}

impl<'a> Reached<'a> {
    /// The beginning of a text.
    pub(super) fn start(text: &'a str) -> Self {
        Self {
            text,
            bytes: 0,
            place: Place::START,
        }
    }

    /// Where `part` begins, which is a part of the text and stands behind those before.
    pub(super) fn go_to(&mut self, part: &str) -> Place {
        let bytes = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let between = self.text.get(self.bytes..bytes).unwrap_or_default();
        let lines = between.matches('\n').count();
        let column = 1 + between.len() - between.rfind('\n').map_or(0, |end| end + 1);
        self.place = self.place.beyond(1 + lines, column);
        self.bytes = bytes;
        self.place
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        match self.column {
            Some(column) => write!(f, ", column {column}"),
            None => Ok(()),
        }
    }
}
