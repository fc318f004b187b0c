//! The sockc policy language: text to syntax tree, diagnostics, and back to canonical text.
//!
//! Takes UTF-8 text; gives an [`ast::File`] with a span on every node, or [`diagnostic::Diagnostic`]s.
//! Not here: names are not resolved, values are not checked against each other, nothing is read from files, and
//! nothing here knows of BPF or of the kernel.
//!
//! ```
//! use sockc_grammar::source::SourceMap;
//! use sockc_grammar::{parse, print, render};
//!
//! let mut sources = SourceMap::default();
//! let id = sources.add("web.sk", "allow tcp   to any:443");
//! let (file, mistakes) = parse(&sources, id);
//! assert_eq!((file.statements.len(), mistakes.len()), (1, 0));
//! assert!(print::format(&sources, id).is_ok_and(|text| text.contains("allow tcp to any:443")));
//!
//! let id = sources.add("wrong.sk", "permit tcp to any:443");
//! let (_, mistakes) = parse(&sources, id);
//! assert!(render::render(&mistakes, &sources, false).contains("wrong.sk"));
//! ```

#[macro_use]
mod worded;

pub mod ast;
pub mod codes;
pub mod diagnostic;
pub mod header_field;
mod mistake;
mod outline;
pub mod print;
pub mod render;
mod scan;
pub mod source;
mod tree;
mod vocabulary;

use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, SourceMap};

pub use vocabulary::VERBS;

/// Reads a policy file: what could be understood, and every mistake in the order of the text.
///
/// The file is whole if there is no mistake. `id` must come from `sources`.
#[must_use]
pub fn parse(sources: &SourceMap, id: SourceId) -> (ast::File, Vec<Diagnostic>) {
    let reading = tree::read(&sources.get(id).text, id, false);
    let file = ast::File {
        source: id,
        statements: reading.statements,
    };
    (file, reading.mistakes)
}

/// Reads a packet in the words of an `expect` line, as the command line takes it. `id` must come from `sources`.
///
/// # Errors
///
/// Every mistake in the text.
pub fn parse_packet(sources: &SourceMap, id: SourceId) -> Result<ast::Packet, Vec<Diagnostic>> {
    tree::read_packet(&sources.get(id).text, id)
}

#[cfg(test)]
mod tests;
