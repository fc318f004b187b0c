//! What could have stood where a parse broke, in the reader's words.
//!
//! Not here: which rules of the grammar stand for which words.

use crate::vocabulary;

/// What could have stood somewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// Words and marks of the language.
    pub(crate) words: Vec<String>,
    /// Kinds of text, such as `a name`.
    pub(crate) kinds: Vec<&'static str>,
    /// Anything but ports: an element of a set stands there.
    pub(crate) no_ports: bool,
}

impl Expected {
    /// Nothing but some words.
    pub(crate) fn of_words(words: &[&str]) -> Self {
        let mut expected = Self::default();
        for word in words {
            expected.word(word);
        }
        expected
    }

    /// Adds a word or a mark.
    pub(crate) fn word(&mut self, word: &str) {
        if !self.has(word) {
            self.words.push(word.to_owned());
        }
    }

    /// Adds a kind of text.
    pub(crate) fn kind(&mut self, kind: &'static str) {
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
    }

    /// Whether nothing is known of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.kinds.is_empty()
    }

    /// Whether this word or mark could have stood there.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|known| known == word)
    }

    /// Every word that could have stood there, those of the kinds included.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &'static str> {
        let all_of_kind = |(kind, all): &(&'static str, &'static [&'static str])| {
            let all: &[&str] = if self.kinds.contains(kind) { all } else { &[] };
            all
        };
        let of_kinds: Vec<&str> = vocabulary::KINDS
            .iter()
            .flat_map(all_of_kind)
            .copied()
            .collect();
        let of_words: Vec<&str> = vocabulary::every().filter(|word| self.has(word)).collect();
        of_words.into_iter().chain(of_kinds)
    }

    /// Whether a name could have stood there.
    pub(crate) fn has_name(&self) -> bool {
        self.kinds
            .iter()
            .any(|kind| matches!(*kind, "a name" | "an interface"))
    }

    /// Whether an address or an endpoint could have stood there.
    pub(crate) fn has_address(&self) -> bool {
        self.kinds
            .iter()
            .any(|kind| matches!(*kind, "an address" | "an endpoint"))
    }

    /// `` `tcp`, `udp` or a name ``; empty if nothing can be said.
    pub(crate) fn text(&self) -> String {
        let words = self.words.iter().map(|word| format!("`{word}`"));
        let kinds = self.kinds.iter().map(|kind| (*kind).to_owned());
        let mut all: Vec<String> = kinds.chain(words).collect();
        if all.len() > 8 {
            all.truncate(7);
            return format!("{}, …", all.join(", "));
        }
        match all.split_last() {
            None => String::new(),
            Some((only, [])) => only.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
        }
    }
}
