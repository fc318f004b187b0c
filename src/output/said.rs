//! What a command has said, kept as data for `--json`: its errors with what they are about, and its diagnostics.
//!
//! A result carries the diagnostics; where there is no result, all of it is one `sockc.error/1`. Not here: the words, and
//! who prints them.

use std::collections::BTreeMap;

use serde::Serialize;
use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::source::SourceMap;

use crate::exit::Exit;

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Whether a result was printed.
    pub(super) answered: bool,
    errors: Vec<String>,
    about: BTreeMap<&'static str, String>,
    diagnostics: Vec<Found>,
    /// The last note: all that is left to say where nothing was wrong.
    note: Option<String>,
}

/// A diagnostic in JSON.
#[derive(Debug, Serialize)]
struct Found {
    code: &'static str,
    severity: &'static str,
    message: String,
    file: String,
    line: u32,
    column: u32,
    help: Option<String>,
    /// What the message is built from, where that is worth reading by a program.
    #[serde(flatten)]
    facts: BTreeMap<&'static str, String>,
}

/// A result with the diagnostics that came before it.
#[derive(Serialize)]
pub(super) struct Answer<'a, T> {
    #[serde(flatten)]
    result: &'a T,
    diagnostics: &'a [Found],
}

/// The JSON of a command that has no result.
#[derive(Serialize)]
pub(super) struct Failure<'a> {
    format: &'static str,
    /// How the command ends.
    code: u8,
    /// Why: the first error.
    error: String,
    /// What it is about: `interface`, `path`, `netns` and the like.
    #[serde(flatten)]
    about: &'a BTreeMap<&'static str, String>,
    /// Every error.
    errors: &'a [String],
    diagnostics: &'a [Found],
}

impl Said {
    /// Keeps nothing but whether a result was printed.
    pub(super) fn forget(&mut self) {
        *self = Self {
            answered: self.answered,
            ..Self::default()
        };
    }

    /// Keeps an error.
    pub(super) fn error(&mut self, message: String) {
        self.errors.push(message);
    }

    /// Keeps what the first error is about.
    pub(super) fn about(&mut self, about: &[(&'static str, String)]) {
        if self.errors.len() <= 1 {
            self.about.extend(about.iter().cloned());
        }
    }

    /// Keeps a note.
    pub(super) fn note(&mut self, message: String) {
        self.note = Some(message);
    }

    /// Keeps diagnostics.
    pub(super) fn diagnostics(&mut self, sources: &SourceMap, diagnostics: &[Diagnostic]) {
        let found = diagnostics.iter().map(|one| found(one, sources));
        self.diagnostics.extend(found);
    }

    /// Whether there is an error that is no diagnostic.
    pub(super) fn has_error(&self) -> bool {
        !self.errors.is_empty()
    }

    /// How many errors there are that are no diagnostics.
    pub(super) fn errors(&self) -> usize {
        self.errors.len()
    }

    /// A result with the diagnostics.
    pub(super) fn answer<'a, T: Serialize>(&'a self, result: &'a T) -> Answer<'a, T> {
        Answer {
            result,
            diagnostics: &self.diagnostics,
        }
    }

    /// What stands for a result, if the command ends without one.
    pub(super) fn failure(&self, exit: Exit) -> Option<Failure<'_>> {
        if self.answered || matches!(exit, Exit::Done | Exit::Differs) {
            return None;
        }
        let first = self.diagnostics.iter().find(|one| one.severity == "error");
        let error = self.errors.first().cloned();
        let error = error
            .or_else(|| first.map(|one| one.message.clone()))
            .or_else(|| self.note.clone());
        Some(Failure {
            format: FORMAT,
            code: exit as u8,
            error: error.unwrap_or_default(),
            about: &self.about,
            errors: &self.errors,
            diagnostics: &self.diagnostics,
        })
    }
}

/// The format of what has no result.
const FORMAT: &str = "sockc.error/1";

/// The JSON of an error that comes before, or instead of, a verb.
pub(super) fn alone(exit: Exit, error: &str) -> serde_json::Value {
    serde_json::json!({
        "format": FORMAT,
        "code": exit as u8,
        "error": error,
        "errors": [error],
        "diagnostics": [],
    })
}

fn found(diagnostic: &Diagnostic, sources: &SourceMap) -> Found {
    let span = diagnostic.primary.span;
    let (line, column) = sources.place(span);
    Found {
        code: diagnostic.code.0,
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        message: diagnostic.message.clone(),
        file: sources.get(span.source).name.clone(),
        line,
        column,
        help: diagnostic.help.clone(),
        facts: diagnostic.facts.iter().cloned().collect(),
    }
}
