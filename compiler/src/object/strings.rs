//! The string table of BTF, and source text as ASCII.
//!
//! Source text is escaped to ASCII because the verifier's log quotes it, may be cut anywhere, and is read as UTF-8 by
//! loaders that do not expect half a character. Printable ASCII stands for itself, but for the backslash, which is doubled;
//! every other character is written `\u{e9}`. [`unescape`] is the exact inverse of [`escape`].

use std::collections::BTreeMap;

/// Strings by offset, each one once; offset 0 is the empty string.
#[derive(Debug)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    offsets: BTreeMap<String, u32>,
}

impl Strings {
    /// A table with the empty string.
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0],
            offsets: BTreeMap::from([(String::new(), 0)]),
        }
    }

    /// The offset of a string without zero bytes. One beyond the 32 bits of an offset is wrong, but then the table is far
    /// beyond the limit that [`super::btf::Btf::finish`] checks.
    pub(super) fn add(&mut self, string: &str) -> u32 {
        if let Some(offset) = self.offsets.get(string) {
            return *offset;
        }
        let offset = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(string.as_bytes());
        self.bytes.push(0);
        self.offsets.insert(string.to_owned(), offset);
        offset
    }

    /// Whether the string is in the table.
    pub(super) fn has(&self, string: &str) -> bool {
        self.offsets.contains_key(string)
    }

    /// The table's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The text in printable ASCII.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            ' '..='~' => escaped.push(character),
            _ => escaped.extend(character.escape_unicode()),
        }
    }
    escaped
}

/// The text that [`escape`] made `escaped` of; `None` if it made no such text.
pub(super) fn unescape(escaped: &str) -> Option<String> {
    let mut text = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('\\') {
        let (plain, sequence) = rest.split_at(at);
        text.push_str(plain);
        if let Some(after) = sequence.strip_prefix("\\\\") {
            text.push('\\');
            rest = after;
        } else {
            let (digits, after) = sequence.strip_prefix("\\u{")?.split_once('}')?;
            text.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
            rest = after;
        }
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_stored_once() {
        let mut strings = Strings::new();
        assert_eq!(strings.add(""), 0);
        assert_eq!(strings.add("xdp"), 1);
        assert_eq!(strings.add("tc"), 5);
        assert_eq!(strings.add("xdp"), 1);
        assert_eq!(strings.bytes(), b"\0xdp\0tc\0");
    }

    #[test]
    fn text_becomes_ascii() {
        assert_eq!(escape("drop from \"é\""), "drop from \"\\u{e9}\"");
        assert_eq!(escape("a\\b\t\0"), "a\\\\b\\u{9}\\u{0}");
    }

    #[test]
    fn ascii_becomes_the_text_again() {
        for text in ["", "plain", "é\\u{e9}\\\\", "\\", "日本\n", "}{\u{10ffff}"] {
            assert_eq!(unescape(&escape(text)).as_deref(), Some(text));
        }
    }

    #[test]
    fn other_sequences_are_refused() {
        for wrong in [
            "\\",
            "\\n",
            "\\u{",
            "\\u{}",
            "\\u{d800}",
            "\\u{110000}",
            "\\u{+41",
        ] {
            assert_eq!(unescape(wrong), None, "{wrong}");
        }
    }
}
