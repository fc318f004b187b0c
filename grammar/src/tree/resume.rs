//! Where to go on after a mistake: the next line that begins a statement, or the `}` that closes the block.

use crate::outline::Outline;
use crate::scan;
use crate::vocabulary;

/// The block that the mistake stands in.
#[derive(Clone, Copy)]
pub(super) enum InBlock {
    /// None: no `}` closes anything.
    No,
    /// One whose head was wrong.
    Wrong,
    /// One whose `{` stands at this offset.
    OpenedAt(usize),
}

/// Where to go on after a mistake at `at` in the statement that begins at `start`: always after `start`. Lines indented
/// beyond `column` belong to the statement.
pub(super) fn resume(
    text: &str,
    outline: &Outline,
    column: usize,
    start: usize,
    at: usize,
    block: InBlock,
) -> usize {
    let after = at.max(start + 1);
    let end = outline.next_start(after).unwrap_or(text.len());
    let mut depth = 0_usize;
    let mut from = start;
    for brace in outline
        .braces_from(start)
        .iter()
        .take_while(|brace| brace.at < end)
    {
        let line = if depth == 0 {
            suspect_line(text, column, from.max(after), brace.at)
        } else {
            None
        };
        if let Some(line) = line {
            return line;
        }
        from = brace.at + 1;
        if brace.open {
            depth += 1;
        } else if depth == 0 && brace.at >= after && closes_block(text, brace.at, block) {
            return brace.at;
        } else {
            depth = depth.saturating_sub(1);
        }
    }
    let suspect = if depth == 0 {
        suspect_line(text, column, from.max(after), end)
    } else {
        None
    };
    suspect.unwrap_or(end)
}

/// Whether the `}` at `at` looks like the end of the block: first on its line, or on the line of the `{`.
fn closes_block(text: &str, at: usize, block: InBlock) -> bool {
    match block {
        InBlock::No => false,
        InBlock::Wrong => true,
        InBlock::OpenedAt(open) => {
            scan::first_on_line(text, at) || scan::line_end(text, open) >= at
        }
    }
}

/// The first line between `from` and `end` that looks like a statement whose first word is misspelt: no word that a
/// statement goes on with, and not indented beyond `column`; or another tool's verb.
fn suspect_line(text: &str, column: usize, from: usize, end: usize) -> Option<usize> {
    let between = text.get(from..end)?.bytes().enumerate();
    let breaks = between.filter(|(_, byte)| *byte == b'\n');
    breaks.map(|(at, _)| from + at + 1).find_map(|line| {
        let blanks = scan::rest(text, line)
            .bytes()
            .take_while(|byte| matches!(byte, b' ' | b'\t'));
        let indent = blanks.count();
        let word = scan::word(text, line + indent);
        let odd = !word.is_empty()
            && !vocabulary::continues(word)
            && !vocabulary::STATEMENT.contains(&word);
        let begins =
            odd && line + indent < end && (indent <= column || vocabulary::begins_foreign(word));
        begins.then_some(line + indent)
    })
}
