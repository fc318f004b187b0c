//! Plain rules, read by hand: a large file consists of them, and the grammar takes ten times as long.
//!
//! Takes the text of one statement as the grammar reads it (blanks are spaces, comments are gone); gives its rule if the
//! text is a verb, a direction, protocols, `from` and `to`, each written the usual way. Anything else is declined, and
//! with it every mistake: then the grammar is asked, which alone defines the language. What is taken here gives the tree
//! that the grammar gives; a test compares the two. Not here: values, which are the resolver's to check.

mod endpoint;

use crate::ast::{Clause, Direction, Name, Protocol, Rule, Side, Verb};
use crate::scan;
use crate::source::{SourceId, Span, Spanned};

/// The verb of a plain rule; the others need a destination.
fn verb(word: &str) -> Option<Verb> {
    Verb::named(word).filter(|verb| match verb {
        Verb::Allow | Verb::Drop | Verb::Reject | Verb::Count => true,
        Verb::Redirect | Verb::Shortcut | Verb::Splice => false,
    })
}

/// The rule that the whole of `text` is, if it is a plain one; `offset` is where `text` begins in its source.
pub(super) fn rule(text: &str, source: SourceId, offset: usize) -> Option<Rule> {
    let mut cursor = Cursor {
        text,
        at: 0,
        source,
        offset,
    };
    let label = cursor.label();
    let verb = cursor.one_of(verb)?;
    let direction = cursor.one_of(Direction::named);
    let protocols = cursor.protocols()?;
    let clauses = cursor.clauses()?;
    let whole = cursor.at == text.len() && !text.ends_with(' ');
    whole.then_some(Rule {
        label,
        audit: None,
        verb,
        direction,
        protocols,
        clauses,
    })
}

/// How far a statement has been read. A method that gives `None` may have moved it: the statement is declined then,
/// unless its name begins with what it only looks for.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
    source: SourceId,
    offset: usize,
}

impl<'t> Cursor<'t> {
    fn byte(&self) -> Option<u8> {
        scan::byte(self.text, self.at)
    }

    fn blanks(&mut self) {
        while self.byte() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Takes a byte if it stands here.
    fn takes(&mut self, byte: u8) -> bool {
        let found = self.byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Whether a word, a number or an address surely ends here.
    fn at_end(&self) -> bool {
        matches!(self.byte(), None | Some(b' ' | b','))
    }

    fn span_from(&self, start: usize) -> Span {
        Span::between(self.source, self.offset + start, self.offset + self.at)
    }

    fn spanned<T>(&self, start: usize, value: T) -> Spanned<T> {
        Spanned {
            value,
            span: self.span_from(start),
        }
    }

    /// The word here, if nothing is glued to it; empty if there is none.
    fn word(&self) -> &'t str {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let length = rest.iter().take_while(|byte| inside(byte)).count();
        match rest.get(length) {
            None | Some(b' ' | b',') => self.text.get(self.at..self.at + length).unwrap_or(""),
            Some(_) => "",
        }
    }

    /// Takes the word if it stands here, and the blanks after it.
    fn takes_word(&mut self, word: &str) -> Option<Span> {
        if self.word() != word {
            return None;
        }
        let start = self.at;
        self.at += word.len();
        let span = self.span_from(start);
        self.blanks();
        Some(span)
    }

    /// Takes the word here if it means something.
    fn one_of<T>(&mut self, named: fn(&str) -> Option<T>) -> Option<Spanned<T>> {
        let word = self.word();
        let value = named(word)?;
        let span = self.takes_word(word)?;
        Some(Spanned { value, span })
    }

    /// Takes a label if one stands here.
    fn label(&mut self) -> Option<Name> {
        let word = scan::word(self.text, self.at);
        let after = self.at + word.len();
        let labelled = scan::byte(self.text, after) == Some(b':')
            && scan::byte(self.text, after + 1) == Some(b' ');
        if word.is_empty() || !labelled {
            return None;
        }
        let start = self.at;
        self.at = after;
        let label = self.spanned(start, word.to_owned());
        self.at += 1;
        self.blanks();
        Some(label)
    }

    /// Protocols as far as they go; none if there are none.
    fn protocols(&mut self) -> Option<Vec<Spanned<Protocol>>> {
        let mut protocols = Vec::new();
        if matches!(self.word(), "" | "from" | "to") {
            return Some(protocols);
        }
        loop {
            protocols.push(self.protocol()?);
            self.blanks();
            if !self.takes(b',') {
                return Some(protocols);
            }
            self.blanks();
        }
    }

    fn protocol(&mut self) -> Option<Spanned<Protocol>> {
        let start = self.at;
        let word = self.word();
        self.at += word.len();
        let value = match word {
            "icmp" if self.no_types_follow() => Protocol::Icmp(Vec::new()),
            "icmp6" if self.no_types_follow() => Protocol::Icmp6(Vec::new()),
            "proto" => {
                self.blanks();
                Protocol::Number(self.number().filter(|_| self.at_end())?)
            }
            word => Protocol::named(word)?,
        };
        Some(self.spanned(start, value))
    }

    /// Whether an ICMP protocol surely has no types after it.
    fn no_types_follow(&mut self) -> bool {
        let after = self.at;
        self.blanks();
        let none = matches!(self.byte(), None | Some(b',')) || matches!(self.word(), "from" | "to");
        self.at = after;
        none
    }

    /// `from …` and `to …`, each at most once, up to the end.
    fn clauses(&mut self) -> Option<Vec<Spanned<Clause>>> {
        let mut clauses: Vec<Spanned<Clause>> = Vec::new();
        let (mut from, mut to) = (false, false);
        while self.at < self.text.len() {
            let start = self.at;
            let seen = match self.word() {
                "from" => &mut from,
                "to" => &mut to,
                _ => return None,
            };
            if std::mem::replace(seen, true) {
                return None;
            }
            if clauses.capacity() == 0 {
                clauses.reserve_exact(2);
            }
            let clause = self.clause()?;
            clauses.push(self.spanned(start, clause));
            self.blanks();
        }
        Some(clauses)
    }

    fn clause(&mut self) -> Option<Clause> {
        let is_from = self.takes_word("from").is_some();
        if !is_from {
            self.takes_word("to")?;
        }
        let not = self.takes_word("not");
        let endpoints = self.endpoints()?;
        let side = Side::Endpoints { not, endpoints };
        Some(match is_from {
            true => Clause::From(side),
            false => Clause::To { bare: false, side },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::rule;
    use crate::source::SourceMap;
    use crate::vocabulary::KINDS;

    /// Who calls this takes the blanks at a statement's end away; should they be there, the grammar says where it ends.
    #[test]
    fn what_is_glued_together_or_ends_in_blanks_is_declined() {
        let source = SourceMap::default().add("a.sk", "");
        let taken = |text: &str| rule(text, source, 0).is_some();
        for text in [
            "allow proto 89",
            "allow proto 89 from any",
            "allow proto 89, tcp",
        ] {
            assert!(taken(text), "{text}");
            assert!(!taken(&format!("{text} ")), "{text}");
        }
        for text in [
            "allow proto 89from any",
            "allow proto 89tcp",
            "allow proto 89-90",
        ] {
            assert!(!taken(text), "{text}");
        }
    }
    /// Who reads 100,000 rules is not to wait for the grammar because of a protocol that this file does not know.
    #[test]
    fn every_protocol_is_plain() {
        let (_, words) = KINDS
            .iter()
            .find(|(kind, _)| *kind == "a protocol")
            .unwrap();
        let source = SourceMap::default().add("a.sk", "");
        for word in *words {
            let number = if *word == "proto" { " 89" } else { "" };
            assert!(
                rule(&format!("allow {word}{number}"), source, 0).is_some(),
                "{word}"
            );
        }
    }
}
