//! Files of other tools than the one whose importer was asked.
//!
//! Takes a text that an importer cannot read; says whose it is, and which importer takes it, by what `check` and `apply` know such files by. Not
//! here: what the importer itself has to say of the text.

use sockc_grammar::codes::FOREIGN_FILE;
use sockc_grammar::parse;
use sockc_grammar::source::SourceMap;

/// A file is known by its first lines.
const LINES: usize = 200;

/// The line that tells, and what it is a part of with what to do instead; nothing where that is what the importer with this name is for.
pub(super) fn told(text: &str, own: &str) -> Option<(usize, String)> {
    let first: String = text.split_inclusive('\n').take(LINES).collect();
    let mut sources = SourceMap::default();
    let id = sources.add("file".to_owned(), first);
    let (_, mistakes) = parse(&sources, id);
    let found = mistakes.into_iter().find(|one| one.code == FOREIGN_FILE)?;
    let remedy = found.help?;
    if remedy.contains(&format!("`sockc import {own}")) {
        return None;
    }
    let (line, _) = sources.place(found.primary.span);
    let what = found
        .message
        .split(',')
        .next()
        .unwrap_or_default()
        .to_owned();
    Some((usize::try_from(line).ok()?, format!("{what}; {remedy}")))
}
