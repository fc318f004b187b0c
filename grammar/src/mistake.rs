//! What to say of text that did not parse: one message with what was found and what to write.
//!
//! Takes the place where the parse broke and what could have stood there; looks at the text around it to tell a
//! misspelt word from another tool's word from a missing brace. It sees no grammar rules.

mod endpoint;
mod expected;
mod file;
mod later;
pub(crate) mod slip;
mod unseen;

pub(crate) use endpoint::bare_ipv6;
pub(crate) use expected::Expected;
pub(crate) use file::{Foreign, of_another_tool};

use std::borrow::Cow;

use crate::ast::{Direction, OWN};
use crate::codes;
use crate::diagnostic::{Code, Diagnostic};
use crate::header_field::ECN_NAMES;
use crate::scan;
use crate::source::{SourceId, Span};
use crate::vocabulary;

/// A statement that did not parse.
pub(crate) struct Failure<'t> {
    /// The whole text.
    pub(crate) text: &'t str,
    /// Its id.
    pub(crate) source: SourceId,
    /// Where the statement begins.
    pub(crate) start: usize,
    /// Where the parse broke; blanks may stand there.
    pub(crate) broke: usize,
    /// The first thing at or after that place.
    pub(crate) at: usize,
    /// The end of what stands before that place, without blanks and comments.
    pub(crate) last_end: usize,
    /// What could have stood there.
    pub(crate) expected: Expected,
    /// Whether the text is one packet, which ends with the text only.
    pub(crate) packet: bool,
}

/// The message for a statement that did not parse.
pub(crate) fn explain(failure: &Failure<'_>) -> Diagnostic {
    let found = scan::word(failure.text, failure.at);
    failure
        .open_string()
        .or_else(|| failure.endpoint())
        .or_else(|| failure.open_brace())
        .or_else(|| failure.incomplete())
        .or_else(|| failure.missing_after())
        .or_else(|| failure.later_after())
        .or_else(|| failure.unseen(found))
        .or_else(|| failure.foreign(found))
        .or_else(|| failure.reserved_name(found))
        .or_else(|| failure.named_self())
        .or_else(|| failure.bare_elements())
        .or_else(|| failure.address())
        .or_else(|| failure.misplaced(found))
        .or_else(|| failure.unknown_word(found))
        .unwrap_or_else(|| failure.unexpected())
}

/// The message for text at a place where a statement must begin. `last_end` is the end of the statement before if the
/// text may be the rest of it, else `at`.
pub(crate) fn no_statement(text: &str, source: SourceId, at: usize, last_end: usize) -> Diagnostic {
    let failure = Failure {
        text,
        source,
        start: at,
        broke: at,
        at,
        last_end,
        expected: Expected::default(),
        packet: false,
    };
    let word = scan::word(text, at);
    failure
        .open_string()
        .or_else(|| failure.glued_label(word))
        .or_else(|| failure.later_after())
        .or_else(|| failure.foreign(word))
        .or_else(|| failure.misplaced(word))
        .or_else(|| failure.after_line(false))
        .or_else(|| failure.unknown_word(word))
        .unwrap_or_else(|| failure.no_beginning(word))
}

/// The message for a statement that parsed and made no sense to us: never seen, and no reason to stop.
pub(crate) fn not_understood(place: Span) -> Diagnostic {
    Diagnostic::error(
        codes::EXPECTED,
        "this statement was not understood",
        place,
        "here",
    )
}

/// So many letters of a word are shown.
const SHOWN: usize = 60;

/// A word as it is shown: what nobody means to write may be of any length.
fn shortened(word: &str) -> Cow<'_, str> {
    match word.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", word.get(..end).unwrap_or(word))),
        None => Cow::Borrowed(word),
    }
}

impl Failure<'_> {
    fn byte(&self) -> Option<u8> {
        scan::byte(self.text, self.at)
    }

    fn span(&self, length: usize) -> Span {
        Span::between(
            self.source,
            self.at,
            (self.at + length).min(self.text.len()),
        )
    }

    fn error(
        &self,
        code: Code,
        message: impl Into<String>,
        place: Span,
        label: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(code, message, place, label)
    }

    /// What could have stood there, in words: a codepoint has no number, as other fields of the header have.
    fn expected_text(&self) -> String {
        let before = self.text.get(..self.last_end).unwrap_or("");
        let has_number = self.expected.kinds.contains(&"a number");
        let mut words = before.rsplit(|letter: char| !letter.is_ascii_alphanumeric());
        if has_number && words.next() == Some("ecn") {
            return Expected::of_words(&ECN_NAMES).text();
        }
        self.expected.text()
    }

    fn open_string(&self) -> Option<Diagnostic> {
        if self.byte() != Some(b'"') || scan::string_end(self.text, self.at).is_some() {
            return None;
        }
        Some(
            self.error(
                codes::OPEN_STRING,
                "string without its closing quote",
                self.span(1),
                "begins here",
            )
            .help("write `\"` at its end, on the same line"),
        )
    }

    /// A list that is not closed before the text or the statement ends.
    fn open_brace(&self) -> Option<Diagnostic> {
        if !self.expected.has("}") || !self.statement_ends() {
            return None;
        }
        let open = self.open_brace_before();
        let place = Span::between(self.source, self.last_end.saturating_sub(1), self.last_end);
        let diagnostic = self.error(
            codes::OPEN_BRACE,
            "missing `}`",
            place,
            "expected `}` after this",
        );
        let diagnostic = diagnostic.help("write `}` at the end of the list");
        Some(match open {
            Some(open) => {
                diagnostic.also(Span::between(self.source, open, open + 1), "opened here")
            }
            None => diagnostic,
        })
    }

    /// The last `{` of the statement that is still open where the parse broke.
    fn open_brace_before(&self) -> Option<usize> {
        let mut open = Vec::new();
        let mut at = self.start;
        while at < self.at {
            match scan::byte(self.text, at)? {
                b'#' => at = scan::line_end(self.text, at),
                b'"' => at = scan::string_end(self.text, at).unwrap_or(at + 1),
                byte => {
                    if byte == b'{' {
                        open.push(at);
                    } else if byte == b'}' {
                        open.pop();
                    }
                    at += 1;
                }
            }
        }
        open.pop()
    }

    /// Whether the text, the block or the statement ends where the parse broke.
    fn statement_ends(&self) -> bool {
        match self.byte() {
            None => true,
            Some(_) if self.packet => false,
            Some(b'}') => !self.expected.has("}") && self.open_brace_before().is_none(),
            Some(_) => {
                scan::first_on_line(self.text, self.at)
                    && scan::begins_statement(self.text, self.at)
            }
        }
    }

    fn incomplete(&self) -> Option<Diagnostic> {
        let expected = self.expected_text();
        if !self.statement_ends() || expected.is_empty() || self.last_end <= self.start {
            return None;
        }
        let place = Span::between(self.source, self.last_end.saturating_sub(1), self.last_end);
        Some(self.error(
            codes::INCOMPLETE,
            format!("the statement ends too early: expected {expected}"),
            place,
            "the statement ends here",
        ))
    }

    /// A comma, `=` or verb that misses at the end of a line: what the next line begins with is as it should be.
    fn missing_after(&self) -> Option<Diagnostic> {
        let wanted = [",", "=", "{", "allow"];
        let wants = wanted.iter().any(|mark| self.expected.has(mark))
            || self.expected.has_name()
            || self.expected.kinds.contains(&"`{ … }`");
        let indented = scan::column(self.text, self.at) > scan::column(self.text, self.start);
        if !(wants && indented && self.last_end > self.start) {
            return None;
        }
        let in_list = self.expected.has(",") && self.open_brace_before().is_some();
        self.after_line(in_list)
    }

    /// What to say of an element of a list that begins a line, when the mistake is what stands before it. Without a list around
    /// it, only an address is sure to be one.
    fn after_line(&self, in_list: bool) -> Option<Diagnostic> {
        let chunk = scan::chunk(self.text, self.at);
        let address = chunk.split(['/', '-']).next().unwrap_or(chunk);
        let element = address.parse::<std::net::IpAddr>().is_ok()
            || in_list && !scan::word(self.text, self.at).is_empty();
        let between = self.text.get(self.last_end..self.at).unwrap_or("");
        let next_line = between.bytes().filter(|&byte| byte == b'\n').count() == 1
            && scan::first_on_line(self.text, self.at);
        if !element || !next_line || self.last_end == 0 {
            return None;
        }
        let expected = match self.expected_text() {
            text if text.is_empty() => "`{`, `,` or a statement".to_owned(),
            text => text,
        };
        Some(self.error(
            codes::EXPECTED,
            format!("expected {expected} after this, found `{chunk}` on a line of its own"),
            Span::between(self.source, self.last_end - 1, self.last_end),
            format!("expected {expected} after this"),
        ))
    }

    fn foreign(&self, word: &str) -> Option<Diagnostic> {
        let rest = scan::rest(self.text, self.at);
        let mark = vocabulary::FOREIGN_MARKS
            .iter()
            .find(|(mark, _)| rest.starts_with(mark));
        let (found, help) = match mark {
            Some((mark, help)) => (*mark, *help),
            None => (word, vocabulary::foreign(word)?),
        };
        if self.expected.has_name() && mark.is_none() {
            return None;
        }
        Some(
            self.error(
                codes::FOREIGN_WORD,
                format!("`{found}` is a word of another tool"),
                self.span(found.len()),
                "not a word of sockc",
            )
            .help(help),
        )
    }

    fn reserved_name(&self, word: &str) -> Option<Diagnostic> {
        if !self.expected.has_name() || !vocabulary::is_reserved(word) {
            return None;
        }
        let help = match (scan::word(self.text, self.start), word) {
            ("policy", "accept" | "allow" | "drop" | "reject") => {
                format!("write `default in {word}` for a default")
            }
            (_, OWN) => "choose another name: `self` is what the machine's routes deliver to it, which nobody declares".to_owned(),
            _ => format!("choose another name, such as `{word}-1`"),
        };
        Some(
            self.error(
                codes::RESERVED_NAME,
                format!("`{word}` is a reserved word and cannot be a name"),
                self.span(word.len()),
                "a name is expected here",
            )
            .help(help),
        )
    }

    /// `@self`: the addresses of this machine are no set that somebody declares.
    fn named_self(&self) -> Option<Diagnostic> {
        let name = self.text.get(self.at..)?.strip_prefix('@')?;
        (scan::word(name, 0) == OWN).then(|| {
            self.error(
                codes::RESERVED_NAME,
                format!("`{OWN}` is a reserved word and no set is called so"),
                self.span("@".len() + OWN.len()),
                "a set is named here",
            )
            .help("write `self`, without `@`, for the addresses of this machine")
        })
    }

    /// Words of the language at the wrong place, where more than "expected …" helps.
    fn misplaced(&self, word: &str) -> Option<Diagnostic> {
        let help = match word {
            _ if vocabulary::begins_condition(word)
                && self.expected.kinds.contains(&"a clause") =>
            {
                "conditions follow `if`, joined by `and`: `if no socket and fragment`"
            }
            _ if Direction::named(word).is_some() && self.expected.kinds.contains(&"a clause") => {
                "the direction comes right after the verb: `allow out tcp …`"
            }
            _ if vocabulary::is_protocol(word) && self.expected.kinds.contains(&"a clause") => {
                "protocols come after the verb and the direction, joined by `,`: `allow in tcp, udp …`"
            }
            _ => return None,
        };
        Some(self.unexpected().help(help))
    }

    fn unknown_word(&self, word: &str) -> Option<Diagnostic> {
        if word.is_empty() || vocabulary::is_known(word) {
            return None;
        }
        let begins = self.expected.is_empty() || scan::first_on_line(self.text, self.at);
        let statements = vocabulary::STATEMENT.iter().copied().filter(|_| begins);
        let likely = vocabulary::nearest(word, self.expected.candidates().chain(statements));
        let expected = self.expected_text();
        let label = if expected.is_empty() {
            "a statement must begin here".to_owned()
        } else {
            format!("expected {expected}")
        };
        let diagnostic = self.error(
            codes::UNKNOWN_WORD,
            format!("unknown word `{}`", shortened(word)),
            self.span(word.len()),
            label,
        );
        Some(match likely {
            Some(likely) => diagnostic.help(format!("did you mean `{likely}`?")),
            None if self.expected.has_address() => diagnostic.help(
                "names of hosts are not resolved: write an address, or declare addresses as `set NAME = { … }` and write `@NAME`",
            ),
            None => diagnostic,
        })
    }

    fn glued_label(&self, word: &str) -> Option<Diagnostic> {
        if !scan::is_glued_label(self.text, self.at) {
            return None;
        }
        let after = scan::word(self.text, self.at + word.len() + 1);
        Some(
            self.error(
                codes::GLUED_LABEL,
                "label without a blank after it",
                self.span(word.len() + 1),
                "a label",
            )
            .help(format!("write `{word}: {after}`")),
        )
    }

    /// A word of the language that begins no statement.
    fn no_beginning(&self, word: &str) -> Diagnostic {
        match vocabulary::nearest(word, vocabulary::STATEMENT.iter().copied()) {
            Some(likely) => self.unexpected().help(format!("did you mean `{likely}`?")),
            None => self.unexpected(),
        }
    }

    fn unexpected(&self) -> Diagnostic {
        let expected = match self.expected_text() {
            text if text.is_empty() => "a statement".to_owned(),
            text => text,
        };
        let found = self.found();
        let length = found.len().max(1);
        let shown = match found {
            "" => "the end of the text".to_owned(),
            text => format!("`{}`", text.escape_debug()),
        };
        self.error(
            codes::EXPECTED,
            format!("expected {expected}, found {shown}"),
            self.span(length),
            format!("expected {expected}"),
        )
    }

    /// What stands where the parse broke: a word, a run of digits and such, or one letter.
    fn found(&self) -> &str {
        let word = scan::word(self.text, self.at);
        if !word.is_empty() {
            return word;
        }
        let rest = scan::rest(self.text, self.at);
        let chunk = scan::chunk(self.text, self.at);
        let first = rest.chars().next();
        if chunk.len() <= 40
            && first.is_some_and(|first| first.is_ascii_alphanumeric() || "@[.".contains(first))
        {
            return chunk;
        }
        let length = first.map_or(0, char::len_utf8);
        rest.get(..length).unwrap_or("")
    }
}
