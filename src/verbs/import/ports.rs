//! Ports as firewalld and ipset write them.
//!
//! Takes a text; gives the first port and the last. Not here: whose ports they are.

use sockc_compiler::names;

/// A port, or two with a dash between, by number or by name.
pub(super) fn range(text: &str) -> Option<(u16, u16)> {
    let one = |text: &str| -> Option<u16> {
        let text = text.trim();
        text.parse().ok().or_else(|| names::service(text))
    };
    if let Some(port) = one(text) {
        return Some((port, port));
    }
    let (low, high) = text.split_once('-')?;
    let (low, high) = (one(low)?, one(high)?);
    Some((low.min(high), low.max(high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_names_and_ranges_in_any_order() {
        for (text, range_of) in [
            ("22", Some((22, 22))),
            ("https", Some((443, 443))),
            ("20-10", Some((10, 20))),
            ("0-65535", Some((0, 65535))),
            ("65536", None),
            ("", None),
            ("1-", None),
        ] {
            assert_eq!(range(text), range_of, "{text}");
        }
    }
}
