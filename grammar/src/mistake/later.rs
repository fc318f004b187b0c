//! What of the language comes in a later version: refused as that, and not as something that nobody knows.
//!
//! Takes a statement that did not parse; says so where such a thing stands. What parses and has no meaning yet is refused by the
//! compiler, with the same code.

use super::Failure;
use crate::codes;
use crate::diagnostic::Diagnostic;

impl Failure<'_> {
    /// The refusal of what comes later after a statement that could end there: a comma after the path of a group.
    pub(super) fn later_after(&self) -> Option<Diagnostic> {
        let before = self.text.get(..self.at)?;
        let first = before.rsplit('\n').next()?.split_whitespace().next()?;
        let help =
            "declare a group for each control group, or name the control group that holds both";
        (first == "group" && self.byte() == Some(b','))
            .then(|| self.comes_later("a group of several control groups", 1, help))
    }

    fn comes_later(&self, what: &str, length: usize, help: &str) -> Diagnostic {
        self.error(
            codes::NO_MEANING_YET,
            format!("{what} has no meaning in this version of sockc"),
            self.span(length),
            "understood; it comes in a later version",
        )
        .help(help)
    }
}
