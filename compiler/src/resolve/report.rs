//! The diagnostics of one run: the first of them, where there are too many to read.

use sockc_grammar::codes::TOO_MANY;
use sockc_grammar::diagnostic::{Code, Diagnostic, Severity};
use sockc_grammar::source::Span;

/// After so many errors the others are only counted.
const MAX_ERRORS: usize = 256;

/// What has been found wrong so far.
#[derive(Default)]
pub(super) struct Report {
    diagnostics: Vec<Diagnostic>,
    errors: usize,
    /// Whether parts of the policy are not seen (an include, statements with syntax errors), so that a name or a
    /// default that seems to be missing may be there.
    pub(super) incomplete: bool,
}

impl Report {
    /// Takes one more.
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.push_error(|| diagnostic);
        } else {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Takes an error that is made only if there are not too many: finding what was meant takes time.
    pub(super) fn push_error(&mut self, error: impl FnOnce() -> Diagnostic) {
        if self.errors < MAX_ERRORS {
            self.diagnostics.push(error());
        }
        self.errors += 1;
    }

    /// Takes an error that has a help.
    pub(super) fn error(
        &mut self,
        code: Code,
        message: impl Into<String>,
        span: Span,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::error(code, message, span, label).help(help));
    }

    /// The value, or nothing where there is none, which is reported.
    pub(super) fn checked<T>(&mut self, checked: Result<T, Box<Diagnostic>>) -> Option<T> {
        checked.map_err(|found| self.push(*found)).ok()
    }

    /// One that makes no errors and only counts them.
    pub(super) fn counting() -> Self {
        Self {
            errors: MAX_ERRORS,
            ..Self::default()
        }
    }

    /// Forgets all that was found, and gives how much that was. For one that only counts.
    pub(super) fn forget(&mut self) -> usize {
        let found = self.errors - MAX_ERRORS + self.diagnostics.len();
        self.errors = MAX_ERRORS;
        self.diagnostics.clear();
        found
    }

    /// How many errors there are; a part is sound if it added none.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// What was found, in the order of its places, and last how many errors are left out.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics
            .sort_by_key(|found| (found.primary.span.source, found.primary.span.start));
        let left_out = self.errors.saturating_sub(MAX_ERRORS);
        if let Some(last) = self.diagnostics.last().filter(|_| left_out > 0) {
            let place = last.primary.span;
            self.diagnostics.push(
                Diagnostic::error(
                    TOO_MANY,
                    format!("{MAX_ERRORS} errors: {left_out} more are left out"),
                    place,
                    "stopped here",
                )
                .help("correct these first"),
            );
        }
        self.diagnostics
    }
}
