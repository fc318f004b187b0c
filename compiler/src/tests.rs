//! What the unit tests of several rooms build policies and packets of.

pub(crate) mod asm;
pub(crate) mod dice;
pub(crate) mod parts;

use sockc_grammar::ast::File;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::SourceMap;

use crate::policy::Policy;
use crate::reading::{Lists, Reading};
use crate::resolve::resolve_reading;

/// The policy that a file describes which names no others, with everything that is wrong with it.
pub(crate) fn resolve(
    file: File,
    sources: &SourceMap,
    stem: &str,
) -> (Option<Policy>, Vec<Diagnostic>) {
    let reading = Reading {
        file,
        lists: Lists::new(),
        whole: true,
    };
    resolve_reading(&reading, sources, stem)
}
