//! A rule as it stands in what a tool printed or reads, with its place.
//!
//! Not here: what the rule means.

use std::rc::Rc;

/// A rule as it stands there.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The number of the line, from 1, or of the rule.
    pub(super) number: usize,
    /// The rule, without counters.
    pub(super) text: String,
    /// How its tool names it, where that is not by a line.
    pub(super) place: Option<String>,
    /// Where it comes from, where chains are made of several files.
    pub(super) origin: Option<Rc<Origin>>,
}

/// Where a line comes from.
#[derive(Debug)]
pub(super) struct Origin {
    /// The file.
    pub(super) file: String,
    /// What became this line and those beside it, if that was written in other words.
    pub(super) written: Option<Written>,
}

/// What a user told a tool that writes rules.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// The command.
    pub(super) command: String,
    /// What it is called, and what the user remarked.
    pub(super) note: Option<String>,
}

impl Origin {
    /// What was written in other words, if that is known.
    pub(super) fn written(origin: Option<&Rc<Self>>) -> Option<&Written> {
        origin.and_then(|one| one.written.as_ref())
    }
}

impl Line {
    /// A rule of one file, in this line.
    pub(super) fn numbered(number: usize, text: &str) -> Self {
        Self {
            number,
            text: text.to_owned(),
            place: None,
            origin: None,
        }
    }

    /// A rule with this number, which its tool names by a place.
    pub(super) fn placed(number: usize, text: String, place: String) -> Self {
        Self {
            number,
            text,
            place: Some(place),
            origin: None,
        }
    }

    /// The file, if it is one of several.
    pub(super) fn file(&self) -> Option<&str> {
        self.origin.as_ref().map(|origin| origin.file.as_str())
    }

    /// Where it stands, in words.
    pub(super) fn place(&self) -> String {
        let line = || match self.file() {
            Some(file) => {
                let name = file.rsplit('/').next().unwrap_or(file);
                format!("{name} line {}", self.number)
            }
            None => format!("line {}", self.number),
        };
        self.place.clone().unwrap_or_else(line)
    }
}
