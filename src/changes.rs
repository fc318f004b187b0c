//! A comparison of two policies as text, JSON, Markdown, counts and a picture, whatever was compared and by which verb.
//!
//! Takes the compiler's report; gives what is printed. Not here: the comparison, and who asks for it.

pub(crate) mod bytecode;
#[cfg(test)]
mod fixtures;
pub(crate) mod json;
pub(crate) mod markdown;
mod paint;
pub(crate) mod picture;
mod spans;
pub(crate) mod stat;
pub(crate) mod summary;
pub(crate) mod text;
pub(crate) mod words;

pub(crate) use paint::Paint;

/// The maximum number of changes of a namespace that are told in full, unless all are asked for; JSON has all.
pub(crate) const MAX_CHANGES: usize = 200;
