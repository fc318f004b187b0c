//! The diagnostics of one run, and the messages that more than one part of the resolver says.

use sockc_grammar::diagnostic::{Code, Diagnostic, Severity};
use sockc_grammar::source::Span;

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
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        self.diagnostics.push(diagnostic);
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

    /// How many errors there are; a part is sound if it added none.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Everything that was found, in the order of its places.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics
            .sort_by_key(|found| (found.primary.span.source, found.primary.span.start));
        self.diagnostics
    }
}
