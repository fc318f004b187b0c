//! Leaves: numbers, durations, strings, names, addresses.

use std::net::IpAddr;

use super::{Builder, Node, Rule, child};
use crate::ast::{Name, TimeUnit};
use crate::codes;
use crate::source::Spanned;

impl Builder {
    /// A number, decimal or `0x…`, with `_`.
    pub(super) fn number(&mut self, node: &Node<'_>) -> Option<Spanned<u64>> {
        let text = node.as_str();
        let (digits, radix) = match text.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None => (text, 10),
        };
        let digits = digits.replace('_', "");
        if digits.is_empty() {
            self.error(
                codes::EXPECTED,
                "expected a number",
                self.span(node),
                "no digits here",
            );
            return None;
        }
        self.in_range(node, u64::from_str_radix(&digits, radix).ok())
    }

    /// The number that is a child of `node`.
    pub(super) fn number_in(&mut self, node: &Node<'_>) -> Option<Spanned<u64>> {
        self.number(&child(node, Rule::number)?)
    }

    /// A prefix length.
    pub(super) fn digits(&mut self, node: &Node<'_>) -> Option<Spanned<u64>> {
        self.in_range(node, node.as_str().parse().ok())
    }

    /// A duration in milliseconds.
    pub(super) fn duration(&mut self, node: &Node<'_>) -> Option<Spanned<u64>> {
        let (digits, unit) = TimeUnit::split(node.as_str())?;
        let count: Option<u64> = digits.parse().ok();
        let milliseconds = count.and_then(|count| count.checked_mul(unit.milliseconds()));
        self.in_range(node, milliseconds)
    }

    fn in_range(&mut self, node: &Node<'_>, value: Option<u64>) -> Option<Spanned<u64>> {
        let Some(value) = value else {
            self.error_help(
                codes::NUMBER_TOO_LARGE,
                "number too large".to_owned(),
                self.span(node),
                "does not fit in 64 bits".to_owned(),
                "write a smaller number".to_owned(),
            );
            return None;
        };
        Some(self.spanned(node, value))
    }

    /// A string without its quotes and escapes.
    pub(super) fn string(&mut self, node: &Node<'_>) -> Option<Spanned<String>> {
        let text = node.as_str();
        let inner = text.strip_prefix('"')?.strip_suffix('"')?;
        let mut value = String::with_capacity(inner.len());
        let mut letters = inner.char_indices();
        while let Some((at, letter)) = letters.next() {
            if letter != '\\' {
                value.push(letter);
                continue;
            }
            let (_, escaped) = letters.next()?;
            if !matches!(escaped, '"' | '\\') {
                return self.bad_escape(node, at, escaped);
            }
            value.push(escaped);
        }
        Some(self.spanned(node, value))
    }

    fn bad_escape(&mut self, node: &Node<'_>, at: usize, escaped: char) -> Option<Spanned<String>> {
        let start = node.start() + 1 + at;
        let span = self.span_between(start, start + 1 + escaped.len_utf8());
        self.error_help(
            codes::BAD_ESCAPE,
            format!("unknown escape `\\{escaped}` in a string"),
            span,
            "not an escape".to_owned(),
            "write `\\\\` for a backslash, `\\\"` for a quote; there are no other escapes"
                .to_owned(),
        );
        None
    }

    /// The string that is a child of `node`.
    pub(super) fn string_in(&mut self, node: &Node<'_>) -> Option<Spanned<String>> {
        self.string(&child(node, Rule::string)?)
    }

    /// A name as written.
    pub(super) fn name(&self, node: &Node<'_>) -> Name {
        self.spanned(node, node.as_str().to_owned())
    }

    /// The name that is a child of `node`.
    pub(super) fn name_in(&self, node: &Node<'_>) -> Option<Name> {
        Some(self.name(&child(node, Rule::name)?))
    }

    /// `@name` without its `@`; the span covers it.
    pub(super) fn set_ref(&self, node: &Node<'_>) -> Name {
        let name = node.as_str().trim_start_matches('@');
        self.spanned(node, name.to_owned())
    }

    /// An interface pattern, written plainly or as a string.
    pub(super) fn pattern(&mut self, node: &Node<'_>) -> Option<Name> {
        if node.as_str().starts_with('"') {
            return self.string(node);
        }
        Some(self.name(node))
    }

    /// The pattern that is a child of `node`.
    pub(super) fn pattern_in(&mut self, node: &Node<'_>) -> Option<Name> {
        self.pattern(&child(node, Rule::pattern)?)
    }

    /// An address without prefix.
    pub(super) fn host(&mut self, node: &Node<'_>) -> Option<Spanned<IpAddr>> {
        let text = node.as_str();
        if let Ok(address) = text.parse() {
            return Some(self.spanned(node, address));
        }
        if let Some((code, message, help)) = crate::mistake::bare_ipv6(text) {
            self.error_help(
                code,
                message,
                self.span(node),
                "ports after an IPv6 address".to_owned(),
                help,
            );
            return None;
        }
        if is_hardware(text) {
            let help = format!(
                "that is a condition: write `if ether from {text}`, or `if ether to {text}`"
            );
            self.error_help(
                codes::BAD_ADDRESS,
                format!("`{text}` is not an address"),
                self.span(node),
                "an address of the link, and none of IP".to_owned(),
                help,
            );
            return None;
        }
        let (family, example) = if text.contains(':') {
            (
                "IPv6",
                "an IPv6 address has up to eight groups of four hex digits, as `2001:db8::1`",
            )
        } else {
            (
                "IPv4",
                "an IPv4 address has four numbers up to 255, as `192.0.2.1`",
            )
        };
        self.error_help(
            codes::BAD_ADDRESS,
            format!("`{text}` is not an address"),
            self.span(node),
            format!("not an {family} address"),
            example.to_owned(),
        );
        None
    }
}

/// Whether a text is a hardware address: six octets of two hex digits.
fn is_hardware(text: &str) -> bool {
    let is_octet = |part: &str| part.len() == 2 && part.bytes().all(|one| one.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(is_octet)
}
