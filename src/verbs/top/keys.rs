//! Keys, out of the bytes that a terminal sends for them.
//!
//! Takes bytes as they come, a sequence in pieces too; gives the keys that are whole. That Escape alone is a key is told by the
//! caller, who knows for how long nothing more came. Not here: what keys do.

/// What every sequence begins with, and Escape sends alone.
const ESCAPE: u8 = 0x1b;
/// No sequence of a key is longer; what is, is none.
const LONGEST: usize = 32;

/// A key, as far as somebody asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    Interrupt,
    Suspend,
    Escape,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Any other.
    Other,
}

/// What was typed and is no whole key yet.
#[derive(Debug, Default)]
pub(super) struct Keys {
    begun: Vec<u8>,
}

impl Keys {
    /// The keys that are whole with these bytes.
    pub(super) fn more(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        for byte in bytes {
            self.begun.push(*byte);
            let Some(key) = whole(&self.begun) else {
                continue;
            };
            self.begun.clear();
            keys.push(key);
        }
        keys
    }

    /// Whether a key has begun.
    pub(super) fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Nothing more came for long: Escape was alone, and the rest of anything else is not waited for.
    pub(super) fn over(&mut self) -> Key {
        match std::mem::take(&mut self.begun).as_slice() {
            [ESCAPE] => Key::Escape,
            _ => Key::Other,
        }
    }
}

/// The key that these bytes are, unless more belongs to it.
fn whole(bytes: &[u8]) -> Option<Key> {
    match bytes {
        [ESCAPE] | [ESCAPE, b'[' | b'O'] => None,
        // Escape pressed twice is Escape.
        [ESCAPE, ESCAPE] => Some(Key::Escape),
        [ESCAPE, b'[', rest @ .., last] => sequence(rest, *last),
        [ESCAPE, b'O', last] => Some(named(*last)),
        // With Alt.
        [ESCAPE, _] => Some(Key::Other),
        [3] => Some(Key::Interrupt),
        [26] => Some(Key::Suspend),
        [letter @ 0x20..=0x7e] => Some(Key::Letter(char::from(*letter))),
        _ => Some(Key::Other),
    }
}

/// A sequence ends with a letter or `~` (ECMA-48, 5.4); what stands ahead of a letter are Shift and the like.
fn sequence(ahead: &[u8], last: u8) -> Option<Key> {
    match last {
        b'~' => Some(numbered(ahead)),
        0x40..=0x7e => Some(named(last)),
        0x20..=0x3f if ahead.len() < LONGEST => None,
        _ => Some(Key::Other),
    }
}

fn named(letter: u8) -> Key {
    match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => Key::Other,
    }
}

fn numbered(number: &[u8]) -> Key {
    let number = number.split(|byte| *byte == b';').next();
    match number.unwrap_or_default() {
        b"1" | b"7" => Key::Home,
        b"4" | b"8" => Key::End,
        b"5" => Key::PageUp,
        b"6" => Key::PageDown,
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_terminals_send() {
        for (bytes, key) in [
            ("q", Key::Letter('q')),
            ("?", Key::Letter('?')),
            ("\u{3}", Key::Interrupt),
            ("\u{1a}", Key::Suspend),
            ("\u{1b}[A", Key::Up),
            ("\u{1b}OB", Key::Down),
            ("\u{1b}[1;5B", Key::Down),
            ("\u{1b}[5~", Key::PageUp),
            ("\u{1b}[6;2~", Key::PageDown),
            ("\u{1b}[H", Key::Home),
            ("\u{1b}[4~", Key::End),
            ("\u{1b}[200~", Key::Other),
            ("\u{1b}x", Key::Other),
            ("\r", Key::Other),
        ] {
            assert_eq!(Keys::default().more(bytes.as_bytes()), [key], "{bytes:?}");
            // However it is cut.
            let mut keys = Keys::default();
            let all: Vec<Key> = bytes.bytes().flat_map(|byte| keys.more(&[byte])).collect();
            assert_eq!(all, [key], "{bytes:?}");
            assert!(!keys.has_begun());
        }
        let mut keys = Keys::default();
        assert_eq!(
            keys.more(b"s\x1b[Bz"),
            [Key::Letter('s'), Key::Down, Key::Letter('z')]
        );
    }

    #[test]
    fn what_has_only_begun_is_no_key_for_long() {
        for (bytes, key) in [
            ("\u{1b}", Key::Escape),
            ("\u{1b}[", Key::Other),
            ("\u{1b}[1;", Key::Other),
        ] {
            let mut keys = Keys::default();
            assert_eq!(keys.more(bytes.as_bytes()), []);
            assert!(keys.has_begun());
            assert_eq!(keys.over(), key, "{bytes:?}");
            assert!(!keys.has_begun());
        }
        // Nor does what never ends fill the memory.
        let mut keys = Keys::default();
        let long = [b"\x1b[".to_vec(), vec![b'1'; 200]].concat();
        assert!(keys.more(&long).contains(&Key::Other));
        assert!(keys.begun.len() <= LONGEST + 3);
    }
}
