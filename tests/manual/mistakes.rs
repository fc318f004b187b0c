//! Examples of mistakes: the diagnostics that they have, where their comments say, and the messages below them.
//!
//! `#~ E0203` says that this line has this diagnostic, `#~^ E0203` that the line above has it (`^^`: two above). A block
//! `says` after the example has the messages as a user sees them. On the page of a code every bad example has both; the
//! messages are written by `SOCKC_BLESS=1`.

use std::slice;

use sockc_compiler::lint;
use sockc_compiler::pipeline::Compilation;
use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::render::render;
use sockc_grammar::source::{SourceId, SourceMap};

use super::page::{Block, Kind, Page};
use super::pages;
use super::said::{Said, said_of};
use crate::repository::{compare_with_golden, fail_on, text};

/// What a comment says of a line.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark<'a> {
    source: SourceId,
    /// The line, from 1.
    line: u32,
    code: &'a str,
}

/// What a whole policy lacks, and an example that shows something else may lack too.
const OF_WHOLE_POLICIES: &[&str] = &["W0603", "W0604", "W0609", "W0617"];

/// Whether a diagnostic belongs to an example that says these codes.
pub(super) fn counts(code: &str, said: &[&str]) -> bool {
    let optional = lint::OPTIONAL.iter().any(|one| one.0 == code);
    !optional && !OF_WHOLE_POLICIES.contains(&code) || said.contains(&code)
}

/// Adds what is told only if it is asked for.
pub(super) fn add_optional(outcome: &mut Compilation, id: SourceId) {
    if let Some(policy) = outcome.policy.as_ref().filter(|_| !outcome.failed()) {
        let found = lint::also(policy, id, lint::OPTIONAL);
        outcome.diagnostics.extend(found);
    }
}

/// The comments of a text that say what is wrong.
fn marks(source: SourceId, text: &str) -> Vec<Mark<'_>> {
    let mut found = Vec::new();
    for (line, text) in (1u32..).zip(text.lines()) {
        for said in text.split("#~").skip(1) {
            let code = said.trim_start_matches('^');
            let above = u32::try_from(said.len() - code.len()).unwrap();
            found.push(Mark {
                source,
                line: line - above,
                code: code.trim(),
            });
        }
    }
    found
}

/// What is wrong with an example that is meant to have a code.
pub(super) fn judge(block: &Block, page: &Page) -> Vec<String> {
    let Some(code) = block.kind.code() else {
        return Vec::new();
    };
    let said = said_of(block, page);
    // Packets in words have no comments.
    let packets = matches!(block.kind, Kind::BadPackets(_));
    let marked = page.is_of_a_code() && !packets || block.text.contains("#~");
    let mut wrong = Vec::new();
    for said in &said {
        wrong.extend(if marked {
            elsewhere(code, said)
        } else {
            others(code, said)
        });
        for one in &said.found {
            let advised = one.help.is_some() || one.message.contains("expected");
            if !advised {
                wrong.push(format!("{} does not say what to write", one.code.0));
            }
        }
        let failed = said.found.iter().any(|one| one.severity == Severity::Error);
        if said.built == Some(failed) {
            wrong.push("there are programs although there are errors, or the reverse".to_owned());
        }
    }
    let place = |wrong| format!("{}: {wrong}", block.place);
    wrong.into_iter().map(place).collect()
}

/// What is wrong if these are not diagnostics of this code alone.
fn others(code: &str, said: &Said) -> Option<String> {
    let found = codes(said, &[code]);
    let fits = !found.is_empty() && found.iter().all(|mark| mark.code == code);
    (!fits).then(|| format!("{code} is meant, found {found:?}"))
}

/// What is wrong if the diagnostics are not where the marks say, and this code among them. Included files and lists say
/// themselves what is wrong with them.
fn elsewhere(code: &str, said: &Said) -> Option<String> {
    let sources = said.sources.iter();
    let marked = sources.flat_map(|(id, source)| marks(id, &source.text));
    let mut marked: Vec<Mark<'_>> = marked.collect();
    marked.sort();
    marked.dedup();
    let known: Vec<&str> = marked.iter().map(|mark| mark.code).collect();
    let found = codes(said, &known);
    let fits = found == marked && known.contains(&code);
    (!fits).then(|| format!("{code} is meant, its comments say {marked:?}, found {found:?}"))
}

/// Where which codes were found, of those that belong to an example which says `known`.
fn codes<'a>(said: &'a Said, known: &[&str]) -> Vec<Mark<'a>> {
    let counting = said.found.iter().filter(|one| counts(one.code.0, known));
    let mut found: Vec<Mark<'_>> = counting
        .map(|one| Mark {
            source: one.primary.span.source,
            line: said.sources.place(one.primary.span).0,
            code: one.code.0,
        })
        .collect();
    found.sort();
    // One mark says it of any number on its line.
    found.dedup();
    found
}

/// More diagnostics than that are not all read by anybody.
const MAX_SHOWN: usize = 64;

/// Diagnostics as a user sees them; of very many, the first and the last.
fn shown(found: &[Diagnostic], sources: &SourceMap) -> String {
    let render = |some: &[Diagnostic]| render(some, sources, false);
    match found {
        [first, left_out @ .., last] if found.len() > MAX_SHOWN => {
            let count = left_out.len();
            let (first, last) = (slice::from_ref(first), slice::from_ref(last));
            format!("{}({count} more)\n\n{}", render(first), render(last))
        }
        _ => render(found),
    }
}

/// The messages of an example.
fn message(block: &Block, page: &Page) -> String {
    let known: Vec<&str> = block.kind.code().into_iter().collect();
    let shown = said_of(block, page).into_iter().map(|said| {
        let marked = said
            .sources
            .iter()
            .flat_map(|(id, source)| marks(id, &source.text));
        let known: Vec<&str> = marked
            .map(|mark| mark.code)
            .chain(known.iter().copied())
            .collect();
        let found = said.found.iter().filter(|one| counts(one.code.0, &known));
        let found: Vec<Diagnostic> = found.cloned().collect();
        shown(&found, &said.sources)
    });
    let message: String = shown.collect();
    format!("{}\n", message.trim_end())
}

#[test]
fn the_messages_are_below_the_examples() {
    let mut differences = Vec::new();
    for page in pages() {
        let found = with_messages(&page, &text(&page.name));
        differences.extend(compare_with_golden(&page.name, &found));
    }
    fail_on(&differences);
}

/// The text of a page with the message below each bad example: of the page of a code all, else those that have one.
fn with_messages(page: &Page, text: &str) -> String {
    let mut lines = text.split_inclusive('\n').peekable();
    let mut written = String::new();
    let mut blocks = page.blocks.iter().peekable();
    while let Some(line) = lines.next() {
        written.push_str(line);
        if !line.starts_with("```") {
            continue;
        }
        for line in lines.by_ref() {
            written.push_str(line);
            if line.starts_with("```") {
                break;
            }
        }
        let block = blocks.next().unwrap();
        let has_one = blocks.next_if(|next| next.kind == Kind::Says).is_some();
        if has_one {
            // The old one, with the line before it.
            let mut fences = 0;
            while fences < 2 {
                fences += usize::from(lines.next().unwrap().starts_with("```"));
            }
        }
        if has_one || page.is_of_a_code() && block.kind.code().is_some() {
            written += &format!("\n```says\n{}```\n", message(block, page));
        }
    }
    written
}

#[test]
fn marks_name_lines() {
    let source = SourceId(0);
    let mut said = marks(source, "one\ntwo #~ E0101\n#~^^ E0102 #~^ W0501\n");
    said.sort();
    let expected = [(1, "E0102"), (2, "E0101"), (2, "W0501")];
    let expected = expected.map(|(line, code)| Mark { source, line, code });
    assert_eq!(said, expected);
}

#[test]
fn old_messages_are_replaced() {
    let text = "# E0106: brace\n\n```sk-bad E0106\n}\n```\n\n```says\nold\n```\n\nmore\n";
    let page = Page::parse("docs/codes/E0106.md", text);
    let written = with_messages(&page, text);
    assert!(
        written.starts_with("# E0106: brace\n\n```sk-bad E0106\n}\n```\n\n```says\nerror[E0106]")
    );
    assert!(written.ends_with("```\n\nmore\n"), "{written}");
    let again = with_messages(&Page::parse("docs/codes/E0106.md", &written), &written);
    assert_eq!(again, written);
}
