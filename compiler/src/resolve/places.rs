//! Where a statement stands, ready for messages and line information.

use std::sync::Arc;

use sockc_grammar::source::{SourceMap, Span};

use crate::location::Location;
use crate::policy::SourceLocation;

/// The sources that statements stand in.
pub(super) struct Places<'a> {
    sources: &'a SourceMap,
    /// Their names, which all places share.
    names: Vec<Arc<str>>,
}

impl<'a> Places<'a> {
    /// Places in these sources.
    pub(super) fn new(sources: &'a SourceMap) -> Self {
        let names = sources.iter().map(|(_, one)| one.name.as_str().into());
        Self {
            sources,
            names: names.collect(),
        }
    }

    /// They themselves.
    pub(super) fn sources(&self) -> &'a SourceMap {
        self.sources
    }

    /// The place of a statement.
    pub(super) fn place(&self, span: Span) -> SourceLocation {
        let (line, column) = self.sources.place(span);
        SourceLocation {
            span,
            location: Location {
                file: Arc::clone(&self.names[span.source.0 as usize]),
                line,
                column,
                text: on_one_line(self.sources.text(span)),
            },
        }
    }
}

/// The text on one line: comments left out, blanks outside strings squeezed.
fn on_one_line(text: &str) -> Arc<str> {
    let bytes = text.as_bytes();
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'#' | b'\\');
    if bytes.iter().all(plain) && !bytes.windows(2).any(|two| two == b"  ") {
        return text.trim().into();
    }
    let mut line = String::with_capacity(text.len());
    let mut characters = text.chars();
    let mut in_string = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => {
                line.push(character);
                line.extend(characters.next());
            }
            '"' => {
                in_string = !in_string;
                line.push(character);
            }
            '#' if !in_string => {
                // The line break that ends the comment is a blank like any other.
                let _ = characters.by_ref().find(|&skipped| skipped == '\n');
                blank(&mut line);
            }
            '\n' | '\r' if in_string => line.push(' '),
            other if other.is_whitespace() && !in_string => blank(&mut line),
            other => line.push(other),
        }
    }
    line.trim_end().into()
}

/// One blank, unless there is one already or nothing stands before it.
fn blank(line: &mut String) {
    if !line.is_empty() && !line.ends_with(' ') {
        line.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_blanks_are_squeezed_outside_strings() {
        let text = "drop in  tcp # no telnet \"here\"\n\tto any:23\n  note \"a  # \\\"b\" # end";
        assert_eq!(
            &*on_one_line(text),
            "drop in tcp to any:23 note \"a  # \\\"b\""
        );
    }

    #[test]
    fn a_place_counts_lines_and_columns_from_one() {
        let mut sources = SourceMap::default();
        let source = sources.add("edge.sk", "# é\n  allow tcp\n");
        let span = Span {
            source,
            start: 7,
            end: 16,
        };
        let place = Places::new(&sources).place(span);
        assert_eq!((place.line, place.column), sources.place(span));
        assert_eq!((place.line, place.column), (2, 3));
        assert_eq!((&*place.file, &*place.text), ("edge.sk", "allow tcp"));
    }
}
