//! Words of the language whose part of it comes in a later version: refused as that, and not as words that nobody knows.
//!
//! Takes a statement that did not parse; says so where such a word stands in its place. What parses and has no meaning yet is
//! refused by the compiler, with the same code. Later work gives a word its meaning and removes its row.

use super::Failure;
use crate::codes;
use crate::diagnostic::Diagnostic;

/// The words, the kind of text as which each stands, and what to do meanwhile.
const LATER: &[(&str, &str, &str)] = &[(
    "ether",
    "a condition",
    "leave it out, or name the interface: `on interface eth1`",
)];

impl Failure<'_> {
    /// The refusal of a word that comes later.
    pub(super) fn later(&self, word: &str) -> Option<Diagnostic> {
        if self.expected.has_name() {
            return None;
        }
        let (_, _, help) = LATER
            .iter()
            .find(|(later, kind, _)| *later == word && self.expected.kinds.contains(kind))?;
        Some(self.comes_later(&format!("`{word}`"), word.len(), help))
    }

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
