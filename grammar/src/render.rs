//! Diagnostics as text, in the look of rustc: code, place, the line with a caret, and what to write instead.
//!
//! Takes diagnostics of any stage and the texts they point into. It prints nothing itself. The drawing is the
//! annotate-snippets crate's work; here is only which lines it gets to see, and spans made safe for it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::source::{Source, SourceId, SourceMap, Span};

/// Renders diagnostics one below the other, each with a blank line after it; with terminal colours if `color`.
#[must_use]
pub fn render<'a>(
    diagnostics: impl IntoIterator<Item = &'a Diagnostic>,
    sources: &SourceMap,
    color: bool,
) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&renderer.render(&[report(diagnostic, sources)]));
        text.push_str("\n\n");
    }
    text
}

fn report<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level
        .primary_title(&diagnostic.message)
        .id(diagnostic.code.0);
    let mut group = Group::with_title(title).elements(snippets(diagnostic, sources));
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    group
}

/// Labels of one text that are further apart, in bytes, get a snippet each: what lies between is not looked at.
const FAR: usize = 1 << 14;

/// One snippet for each place that the diagnostic points to, the primary's first.
fn snippets<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Vec<Element<'a>> {
    let mut ids: Vec<SourceId> = vec![diagnostic.primary.span.source];
    for label in &diagnostic.secondary {
        if !ids.contains(&label.span.source) {
            ids.push(label.span.source);
        }
    }
    let known = |id: &SourceId| {
        sources
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, source)| source)
    };
    ids.iter()
        .filter_map(|id| known(id).map(|source| (source, labels(diagnostic, *id))))
        .flat_map(|(source, labels)| {
            let groups = near_each_other(labels);
            groups.into_iter().map(|group| snippet(group, source))
        })
        .collect()
}

/// Labels of one text by place; the group with the first label comes first.
fn near_each_other(labels: Vec<(AnnotationKind, &Label)>) -> Vec<Vec<(AnnotationKind, &Label)>> {
    let mut groups: Vec<Vec<(AnnotationKind, &Label)>> = Vec::new();
    for (kind, label) in labels {
        let start = label.span.start as usize;
        let is_near = |group: &&mut Vec<(AnnotationKind, &Label)>| {
            let mut starts = group.iter().map(|(_, other)| other.span.start as usize);
            starts.any(|other| other.abs_diff(start) <= FAR)
        };
        match groups.iter_mut().find(is_near) {
            Some(group) => group.push((kind, label)),
            None => groups.push(vec![(kind, label)]),
        }
    }
    groups
}

fn snippet<'a>(labels: Vec<(AnnotationKind, &'a Label)>, source: &'a Source) -> Element<'a> {
    let window = window(&source.text, &labels);
    let line = source.line(window.start);
    let mut snippet = Snippet::source(&source.text[window.clone()])
        .path(&source.name)
        .line_start(line);
    for (kind, label) in labels {
        let range = within(&source.text, label.span);
        let mut annotation = kind.span(range.start - window.start..range.end - window.start);
        if !label.text.is_empty() {
            annotation = annotation.label(&label.text);
        }
        snippet = snippet.annotation(annotation);
    }
    snippet.into()
}

fn labels(diagnostic: &Diagnostic, id: SourceId) -> Vec<(AnnotationKind, &Label)> {
    let primary = (AnnotationKind::Primary, &diagnostic.primary);
    let secondary = diagnostic
        .secondary
        .iter()
        .map(|label| (AnnotationKind::Context, label));
    std::iter::once(primary)
        .chain(secondary)
        .filter(|(_, label)| label.span.source == id)
        .collect()
}

/// The whole lines from the first label to the last: what the renderer gets to see of a text.
fn window(text: &str, labels: &[(AnnotationKind, &Label)]) -> Range<usize> {
    let ranges = labels.iter().map(|(_, label)| within(text, label.span));
    let (start, end) = ranges.fold((text.len(), 0), |(start, end), range| {
        (start.min(range.start), end.max(range.end))
    });
    let end = end.max(start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
    line_start..line_end
}

/// The span as a range that lies in the text, on character boundaries, and does not run over its line's end.
fn within(text: &str, span: Span) -> Range<usize> {
    let start = floor(text, span.start as usize);
    let end = floor(text, span.end as usize).max(start);
    let on_break = text[start..end].trim_end_matches(['\n', '\r']).len();
    start..start + on_break
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    fn one(text: &str, start: usize, end: usize) -> String {
        let mut sources = SourceMap::default();
        let id = sources.add("rules/edge.sk", text);
        let diagnostic = Diagnostic::error(
            codes::EXPECTED,
            "expected a name",
            Span::between(id, start, end),
            "here",
        )
        .help("write a name");
        render(&[diagnostic], &sources, false)
    }

    #[test]
    fn looks_like_rustc() {
        let text = one("sockc 1\npolicy =\n", 15, 16);
        let expected = "error[E0101]: expected a name\n \
                        --> rules/edge.sk:2:8\n  \
                        |\n\
                        2 | policy =\n  \
                        |        ^ here\n  \
                        |\n  \
                        = help: write a name\n\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn colour_is_asked_for() {
        let mut sources = SourceMap::default();
        let id = sources.add("x", "x");
        let diagnostic = Diagnostic::warning(codes::EXPECTED, "m", Span::between(id, 0, 1), "");
        assert!(render(std::slice::from_ref(&diagnostic), &sources, true).contains('\u{1b}'));
        let plain = render(&[diagnostic], &sources, false);
        assert!(
            !plain.contains('\u{1b}') && plain.starts_with("warning[E0101]: m"),
            "{plain}"
        );
    }

    #[test]
    fn any_span_in_any_text_is_drawn() {
        let texts = [
            "",
            "\n",
            "a",
            "a\n",
            "a\r\nb\r\n",
            "\ta\t# ü\n",
            "日本\nüä",
            "\u{feff}x",
            "a\n\n\nb",
            "\u{0}\u{7f}\u{202e}",
        ];
        for text in texts {
            for start in 0..text.len() + 3 {
                for end in 0..text.len() + 3 {
                    let drawn = one(text, start, end);
                    assert!(
                        drawn.contains("error[E0101]") && drawn.contains("= help"),
                        "{drawn}"
                    );
                }
            }
        }
    }

    #[test]
    fn second_places_and_second_texts_are_shown() {
        let mut sources = SourceMap::default();
        let main = sources.add("main.sk", "a\nb\nc\n");
        let other = sources.add("other.sk", "x\n\ny\n");
        let diagnostic =
            Diagnostic::error(codes::TWICE, "twice", Span::between(main, 4, 5), "again")
                .also(Span::between(main, 0, 1), "first")
                .also(Span::between(other, 3, 4), "and here");
        let text = render(&[diagnostic], &sources, false);
        for part in [
            "main.sk:3:1",
            "1 | a",
            "3 | c",
            "other.sk:3:1",
            "3 | y",
            "and here",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn the_line_number_is_that_of_the_whole_text() {
        let text = "\n".repeat(99) + "policy =\n";
        assert!(one(&text, 106, 107).contains("rules/edge.sk:100:8"));
    }
}
