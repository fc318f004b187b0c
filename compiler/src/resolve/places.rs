//! Where a statement stands, ready for messages and line information.

use std::collections::BTreeMap;

use sockc_grammar::source::{SourceId, SourceMap, Span};

use crate::policy::Place;

/// The sources with the start of each of their lines, so that finding a line does not read the text again.
pub(super) struct Places<'a> {
    sources: &'a SourceMap,
    line_starts: BTreeMap<SourceId, Vec<usize>>,
}

impl<'a> Places<'a> {
    /// Finds the lines of every source.
    pub(super) fn new(sources: &'a SourceMap) -> Self {
        let line_starts = sources
            .iter()
            .map(|(id, source)| {
                let breaks = source.text.match_indices('\n').map(|(at, _)| at + 1);
                (id, std::iter::once(0).chain(breaks).collect())
            })
            .collect();
        Self {
            sources,
            line_starts,
        }
    }

    /// The place of a statement.
    pub(super) fn place(&self, span: Span) -> Place {
        let source = self.sources.get(span.source);
        let start = span.start as usize;
        let starts = self
            .line_starts
            .get(&span.source)
            .map_or(&[][..], Vec::as_slice);
        let line = starts.partition_point(|&line| line <= start);
        let line_start = starts.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let before = source.text.get(line_start..start).unwrap_or("");
        Place {
            span,
            file: source.name.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX),
            text: on_one_line(self.sources.text(span)),
        }
    }
}

/// The text on one line: comments left out, blanks outside strings squeezed.
fn on_one_line(text: &str) -> String {
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
    line.truncate(line.trim_end().len());
    line
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
            on_one_line(text),
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
        assert_eq!(
            (place.file.as_str(), place.text.as_str()),
            ("edge.sk", "allow tcp")
        );
    }
}
