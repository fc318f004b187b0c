//! Small questions about a text that need no grammar: blanks, comments, words, where a statement may begin.
//!
//! Used to find the way after a mistake and to say what was found. Offsets are bytes and may be any number up to the
//! text's length; nothing here panics on an offset inside a character.

use crate::ast::SocketState;
use crate::vocabulary;

/// The byte at an offset, if there is one.
pub(crate) fn byte(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at).copied()
}

/// The text from an offset on.
pub(crate) fn rest(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or("")
}

/// Whether the byte is a blank.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The first offset at or after `at` that is neither blank nor comment.
pub(crate) fn skip(text: &str, mut at: usize) -> usize {
    while let Some(next) = byte(text, at) {
        if next == b'#' {
            at = line_end(text, at);
        } else if is_blank(next) {
            at += 1;
        } else {
            break;
        }
    }
    at
}

/// The end of the line that `at` lies in, without its line break.
pub(crate) fn line_end(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or(&[]);
    at + rest
        .iter()
        .position(|&byte| byte == b'\n')
        .unwrap_or(rest.len())
}

/// The begin of the line that `at` lies in.
pub(crate) fn line_start(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(&[]);
    before
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |found| found + 1)
}

/// How many bytes `at` stands after the begin of its line.
pub(crate) fn column(text: &str, at: usize) -> usize {
    at - line_start(text, at)
}

/// Whether nothing but blanks stands before `at` on its line.
pub(crate) fn first_on_line(text: &str, at: usize) -> bool {
    let before = text.as_bytes().get(..at).unwrap_or(&[]);
    before
        .iter()
        .rev()
        .find(|&&byte| byte == b'\n' || !is_blank(byte))
        .is_none_or(|&byte| byte == b'\n')
}

/// The word at an offset: letters, digits, `_`, and `-` between letters or digits; empty if there is none.
pub(crate) fn word(text: &str, at: usize) -> &str {
    if !byte(text, at).is_some_and(|first| first.is_ascii_alphabetic()) {
        return "";
    }
    let mut end = at;
    while let Some(next) = byte(text, end) {
        let inside = next.is_ascii_alphanumeric()
            || next == b'_'
            || (next == b'-'
                && end > at
                && byte(text, end + 1).is_some_and(|byte| byte.is_ascii_alphanumeric()));
        if !inside {
            break;
        }
        end += 1;
    }
    text.get(at..end).unwrap_or("")
}

/// The begin of the run without blanks, braces and commas that `at` lies in.
pub(crate) fn chunk_start(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(&[]);
    before
        .iter()
        .rposition(|&byte| !in_chunk(byte))
        .map_or(0, |found| found + 1)
}

/// The run without blanks, braces and commas from `at` on.
pub(crate) fn chunk(text: &str, at: usize) -> &str {
    let rest = rest(text, at);
    let end = rest
        .bytes()
        .position(|byte| !in_chunk(byte))
        .unwrap_or(rest.len());
    rest.get(..end).unwrap_or("")
}

fn in_chunk(byte: u8) -> bool {
    !is_blank(byte) && !matches!(byte, b'{' | b'}' | b',' | b'"' | b'#')
}

/// Whether a word with `:` and a blank after it stands at `at`.
pub(crate) fn is_label(text: &str, at: usize) -> bool {
    let word = word(text, at);
    let colon = at + word.len();
    !word.is_empty()
        && byte(text, colon) == Some(b':')
        && byte(text, colon + 1).is_none_or(|byte| is_blank(byte) || byte == b'#')
}

/// Whether a label without its blank stands at `at`: a word, `:` and a verb.
pub(crate) fn is_glued_label(text: &str, at: usize) -> bool {
    let word = word(text, at);
    let colon = at + word.len();
    !word.is_empty()
        && byte(text, colon) == Some(b':')
        && vocabulary::VERBS.contains(&self::word(text, colon + 1))
}

/// Whether a statement begins at `at`: a label, or a word that begins statements and is not used otherwise here.
pub(crate) fn begins_statement(text: &str, at: usize) -> bool {
    if is_label(text, at) || is_glued_label(text, at) {
        return true;
    }
    let word = word(text, at);
    let after = skip(text, at + word.len());
    match word {
        // Neither `socket exists` nor the `socket` of `no socket`, which `in netns`, `,` or `}` may follow.
        "socket" => {
            let next = self::word(text, after);
            !next.is_empty() && next != "in" && SocketState::named(next).is_none()
        }
        "pairs" => {
            let after_name = skip(text, after + self::word(text, after).len());
            byte(text, after_name) == Some(b'=') || self::word(text, after_name) == "registered"
        }
        _ => vocabulary::STATEMENT.contains(&word),
    }
}

/// The end of a string that begins at `at`, if it is closed on its line.
pub(crate) fn string_end(text: &str, at: usize) -> Option<usize> {
    let mut end = at + 1;
    loop {
        match byte(text, end)? {
            b'\n' => return None,
            b'"' => return Some(end + 1),
            b'\\' if byte(text, end + 1) != Some(b'\n') => end += 2,
            _ => end += 1,
        }
    }
}
