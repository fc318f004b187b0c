//! What to say of text that did not parse: one message with what was found and what to write.
//!
//! Takes the place where the parse broke and what could have stood there; looks at the text around it to tell a
//! misspelt word from another tool's word from a missing brace. It sees no grammar rules.

use std::net::Ipv6Addr;

use crate::codes;
use crate::diagnostic::{Code, Diagnostic};
use crate::scan;
use crate::source::{SourceId, Span};
use crate::tree::{Expected, span};
use crate::words;

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
    /// The first thing at or behind that place.
    pub(crate) at: usize,
    /// The end of what stands before that place, without blanks and comments.
    pub(crate) last_end: usize,
    /// What could have stood there.
    pub(crate) expected: Expected,
}

/// The message for a statement that did not parse.
pub(crate) fn explain(failure: &Failure<'_>) -> Diagnostic {
    let found = scan::word(failure.text, failure.at);
    failure
        .open_string()
        .or_else(|| failure.endpoint())
        .or_else(|| failure.open_brace())
        .or_else(|| failure.incomplete())
        .or_else(|| failure.foreign(found))
        .or_else(|| failure.reserved_name(found))
        .or_else(|| failure.address())
        .or_else(|| failure.misplaced(found))
        .or_else(|| failure.unknown_word(found))
        .unwrap_or_else(|| failure.unexpected())
}

/// The message for text at a place where a statement must begin.
pub(crate) fn no_statement(text: &str, source: SourceId, at: usize) -> Diagnostic {
    let failure = Failure {
        text,
        source,
        start: at,
        broke: at,
        at,
        last_end: at,
        expected: Expected::default(),
    };
    let word = scan::word(text, at);
    failure
        .open_string()
        .or_else(|| failure.glued_label(word))
        .or_else(|| failure.foreign(word))
        .or_else(|| failure.misplaced(word))
        .or_else(|| failure.unknown_word(word))
        .unwrap_or_else(|| failure.unexpected())
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

/// Whether the text is an unbracketed IPv6 address with ports: code, message and help if so.
pub(crate) fn bare_ipv6(text: &str) -> Option<(Code, String, String)> {
    let (address, ports) = text.rsplit_once(':')?;
    let host = address.split('/').next().unwrap_or(address);
    let low = host.split('-').next().unwrap_or(host);
    low.parse::<Ipv6Addr>().ok()?;
    let ports = if ports.is_empty() { "…" } else { ports };
    Some((
        codes::BARE_IPV6,
        "an IPv6 address with ports needs brackets".to_owned(),
        format!("write `[{address}]:{ports}`"),
    ))
}

impl Failure<'_> {
    fn byte(&self) -> Option<u8> {
        scan::byte(self.text, self.at)
    }

    fn span(&self, length: usize) -> Span {
        span(
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

    /// Mistakes inside ADDRESS:PORTS.
    fn endpoint(&self) -> Option<Diagnostic> {
        let near = if self.expected.has(":") {
            self.last_end
        } else {
            self.broke
        };
        let start = scan::chunk_start(self.text, near).max(self.start);
        let chunk = scan::chunk(self.text, start);
        let place = span(self.source, start, start + chunk.len());
        if let Some((code, message, help)) = self.bare_ipv6_chunk(chunk) {
            return Some(
                self.error(code, message, place, "ports behind an IPv6 address")
                    .help(help),
            );
        }
        if let Some((address, ports)) = chunk.split_once("]/") {
            let (length, ports) = ports
                .split_once(':')
                .map_or((ports, ""), |(length, ports)| (length, ports));
            let colon = if ports.is_empty() { "" } else { ":" };
            return Some(
                self.error(
                    codes::BARE_IPV6,
                    "the prefix length stands inside the brackets",
                    place,
                    "outside here",
                )
                .help(format!("write `{address}/{length}]{colon}{ports}`")),
            );
        }
        self.blank_in_endpoint(start, chunk)
            .or_else(|| self.ports_in_set(start, chunk))
    }

    fn bare_ipv6_chunk(&self, chunk: &str) -> Option<(Code, String, String)> {
        let wanted = self.expected.has_address() || self.expected.has(":") || chunk.contains("::");
        if !wanted || chunk.starts_with('[') || chunk.matches(':').count() < 2 {
            return None;
        }
        if chunk.parse::<Ipv6Addr>().is_ok() && !self.expected.has(":") {
            return None;
        }
        bare_ipv6(chunk)
    }

    fn blank_in_endpoint(&self, start: usize, chunk: &str) -> Option<Diagnostic> {
        let behind = start + chunk.len();
        let address = chunk.strip_suffix(':')?;
        let blank = scan::byte(self.text, behind).is_some_and(|byte| byte == b' ' || byte == b'\t');
        let looks = address == "any"
            || address.starts_with(['@', '['])
            || address.contains('.')
            || address.contains("::");
        if !blank || !looks {
            return None;
        }
        let place = span(self.source, start, behind);
        let next = scan::skip(self.text, behind);
        let ports = scan::chunk(self.text, next);
        let ports = if ports.is_empty() { "{…}" } else { ports };
        Some(
            self.error(
                codes::BLANK_IN_ENDPOINT,
                "blank inside ADDRESS:PORTS",
                place,
                "a blank follows the `:`",
            )
            .help(format!("write `{address}:{ports}`")),
        )
    }

    fn ports_in_set(&self, start: usize, chunk: &str) -> Option<Diagnostic> {
        let inside_set = self.byte() == Some(b':') && self.expected.no_ports;
        if !inside_set || chunk.starts_with(':') {
            return None;
        }
        let address = scan::rest(self.text, start)
            .get(..self.at - start)
            .unwrap_or("");
        Some(
            self.error(
                codes::PORTS_IN_SET,
                "a set holds addresses without ports",
                self.span(chunk.len() - (self.at - start)),
                "ports here",
            )
            .help(format!(
                "write `{address}` here, and the ports in the rule: `to @name:53`"
            )),
        )
    }

    /// A list that is not closed before the text or the statement ends.
    fn open_brace(&self) -> Option<Diagnostic> {
        if !self.expected.has("}") || !self.statement_ends() {
            return None;
        }
        let open = self.open_brace_before();
        let place = span(self.source, self.last_end.saturating_sub(1), self.last_end);
        let diagnostic = self.error(
            codes::OPEN_BRACE,
            "missing `}`",
            place,
            "expected `}` behind this",
        );
        let diagnostic = diagnostic.help("write `}` at the end of the list");
        Some(match open {
            Some(open) => diagnostic.also(span(self.source, open, open + 1), "opened here"),
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
            Some(b'}') => !self.expected.has("}"),
            Some(_) => {
                scan::first_on_line(self.text, self.at)
                    && scan::begins_statement(self.text, self.at)
            }
        }
    }

    fn incomplete(&self) -> Option<Diagnostic> {
        let expected = self.expected.text();
        if !self.statement_ends() || expected.is_empty() || self.last_end <= self.start {
            return None;
        }
        let found = match self.byte() {
            None => "the end of the text".to_owned(),
            Some(b'}') => "`}`".to_owned(),
            Some(_) => format!("`{}`", scan::word(self.text, self.at)),
        };
        let place = span(self.source, self.last_end.saturating_sub(1), self.last_end);
        Some(self.error(
            codes::INCOMPLETE,
            format!("the statement ends too early: expected {expected}, found {found}"),
            place,
            "the statement ends here",
        ))
    }

    fn foreign(&self, word: &str) -> Option<Diagnostic> {
        let rest = scan::rest(self.text, self.at);
        let mark = words::FOREIGN_MARKS
            .iter()
            .find(|(mark, _)| rest.starts_with(mark));
        let (found, help) = match mark {
            Some((mark, help)) => (*mark, *help),
            None => (word, words::foreign(word)?),
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
        if !self.expected.has_name() || !words::is_reserved(word) {
            return None;
        }
        let help = match (scan::word(self.text, self.start), word) {
            ("policy", "accept" | "allow" | "drop" | "reject") => {
                format!("write `default in {word}` for a default")
            }
            _ => format!("choose another name, such as `{word}-1`"),
        };
        Some(
            self.error(
                codes::RESERVED_NAME,
                format!("`{word}` is a reserved word and cannot be a name"),
                self.span(word.len()),
                "a name must stand here",
            )
            .help(help),
        )
    }

    /// Text that begins like an address and is none.
    fn address(&self) -> Option<Diagnostic> {
        let chunk = scan::chunk(self.text, self.at);
        let digits = chunk.starts_with(|first: char| first.is_ascii_digit() || first == '[');
        if digits && self.expected.kinds.contains(&"`{ … }`") {
            return Some(
                self.unexpected()
                    .help(format!("addresses stand in braces: `{{ {chunk} }}`")),
            );
        }
        if !self.expected.has_address() || !digits || !chunk.contains(['.', ':', '/']) {
            return None;
        }
        Some(
            self.error(
                codes::BAD_ADDRESS,
                format!("`{chunk}` is not an address"),
                self.span(chunk.len()),
                "not an address",
            )
            .help("write an address, a prefix or a range: `192.0.2.1`, `192.0.2.0/24`, `[2001:db8::/32]:53`"),
        )
    }

    /// Words of the language at the wrong place, where more than "expected …" helps.
    fn misplaced(&self, word: &str) -> Option<Diagnostic> {
        let help = match word {
            "socket" | "fragment" | "length" | "ttl" | "dscp" | "vlan" | "flags" | "no"
            | "established"
                if self.expected.kinds.contains(&"a clause") =>
            {
                "conditions follow `if`, joined by `and`: `if no socket and fragment`"
            }
            "in" | "out" | "send" | "receive" if self.expected.kinds.contains(&"a clause") => {
                "the direction stands right behind the verb: `allow out tcp …`"
            }
            "tcp" | "udp" | "icmp" | "icmp6" | "sctp"
                if self.expected.kinds.contains(&"a clause") =>
            {
                "protocols stand behind the verb and the direction, joined by `,`: `allow in tcp, udp …`"
            }
            _ => return None,
        };
        Some(self.unexpected().help(help))
    }

    fn unknown_word(&self, word: &str) -> Option<Diagnostic> {
        if word.is_empty() || words::is_known(word) {
            return None;
        }
        let begins = self.expected.is_empty() || scan::first_on_line(self.text, self.at);
        let others = words::every().filter(|known| begins || !words::STATEMENT.contains(known));
        let likely = words::nearest(word, self.expected.candidates())
            .or_else(|| words::nearest(word, others));
        let expected = self.expected.text();
        let label = if expected.is_empty() {
            "a statement must begin here".to_owned()
        } else {
            format!("expected {expected}")
        };
        let diagnostic = self.error(
            codes::UNKNOWN_WORD,
            format!("unknown word `{word}`"),
            self.span(word.len()),
            label,
        );
        Some(match likely {
            Some(likely) => diagnostic.help(format!("did you mean `{likely}`?")),
            None => diagnostic,
        })
    }

    fn glued_label(&self, word: &str) -> Option<Diagnostic> {
        let colon = self.at + word.len();
        let behind = scan::word(self.text, colon + 1);
        if word.is_empty()
            || scan::byte(self.text, colon) != Some(b':')
            || !words::VERBS.contains(&behind)
        {
            return None;
        }
        Some(
            self.error(
                codes::GLUED_LABEL,
                "label without a blank behind it",
                self.span(word.len() + 1),
                "a label",
            )
            .help(format!("write `{word}: {behind}`")),
        )
    }

    fn unexpected(&self) -> Diagnostic {
        let expected = match self.expected.text() {
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
