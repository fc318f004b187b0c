//! The sockc policy language: text to syntax tree, diagnostics, and back to canonical text.
//!
//! Takes UTF-8 text; gives an [`ast::File`] with a span on every node, or [`diagnostic::Diagnostic`]s.
//! Not here: names are not resolved, values are not checked against each other, nothing is read from files, and
//! nothing here knows of BPF or of the kernel.

pub mod ast;
pub mod diagnostic;
pub mod source;
