//! What programs write of a packet that they drop, while somebody asks: where it is said that somebody does, and how an event is
//! read back.
//!
//! Programs at XDP and TC ask the word in the map [`WORD`] in front of each of their drops. While it says so, they write a share of
//! these to the rings in the map [`EVENTS`], each with the packet's first bytes, and read nothing of the packet for it: whoever takes
//! an event parses those. Numbers are in the order of the machine that wrote them. Not here: the program's side (`lower`), and
//! whoever takes events.

use crate::event::Parsed;
use crate::hook::Hook;
use crate::log::{Bytes, LogRecord, Logged, offset as log};

/// The map of the rings of whoever reads.
pub const EVENTS: &str = "drops";
/// The map of the word that says whether somebody does.
pub const WORD: &str = "sampling";

/// What stands in the word, in bytes. The first eight are nothing: llvm-objdump of LLVM 14 may end by a signal at the address of the beginning of
/// a map that is no table.
pub mod word {
    /// Whether drops are written: `u32`, 0 while nobody asks.
    pub const OPEN: u32 = 8;
    /// The highest random number of 32 bits by which a drop is taken: `u32`. With the highest of all each one is.
    pub const SHARE: u32 = 12;
    /// How many found no room: `u64`.
    pub const LOST: u32 = 16;
    /// All of it.
    pub const SIZE: usize = 24;
}

/// The most bytes of a packet that an event has: headers with two tags and some extension headers.
pub(crate) const SNAP: u32 = 256;

/// What an event begins with stands as in a record of `log`, and then:
pub(crate) mod offset {
    /// Whether the kernel has taken a tag off the frame: `u16`, 1 or 0.
    pub(crate) const TAGGED: u8 = 26;
    /// The tag: `u16`.
    pub(crate) const TAG: u8 = 28;
    /// Its protocol, in network order.
    pub(crate) const TAG_PROTOCOL: u8 = 30;
    /// What only an event of what passes through has: eight bytes, in the last four of them the interface by which it came in.
    pub(crate) const PASSING: u8 = 32;
}

/// Bytes in front of those of the packet.
const HEAD: usize = 32;
/// The same of what passes through, which has the interface by which it came in as well, where a record of `log` has it.
const PASSING_HEAD: usize = HEAD + 8;

/// How many bytes stand in front of those of a packet that programs of this hook drop.
pub(crate) fn head_of(hook: Hook) -> usize {
    match hook.direction().passes() {
        true => PASSING_HEAD,
        false => HEAD,
    }
}

/// Bytes of the two addresses that a frame begins with: a tag stands behind them.
const ADDRESSES: usize = 12;

/// A packet that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// When, in nanoseconds since boot (CLOCK_MONOTONIC).
    pub time: u64,
    /// Index into [`crate::artifact::Manifest::counters`]: who dropped it.
    pub counter: u32,
    /// The interface's index.
    pub interface: u32,
    /// Of what passes through, the index of the interface by which it came in; else 0.
    pub came_in: u32,
    /// The hook.
    pub hook: Hook,
    /// The mark that it came with, at TC.
    pub mark: u32,
    /// The first bytes of the frame, with the tag that the kernel had taken off it.
    pub frame: Vec<u8>,
    /// The length of all of it.
    pub length: u32,
}

impl Dropped {
    /// What a record of a log would have said of it, as far as it can be read; nothing else of what is malformed.
    #[must_use]
    pub fn record(&self, parsed: Option<&Parsed>) -> LogRecord {
        let packet = match parsed {
            Some(Parsed::Ip(header)) => Some(Logged::of(header, self.mark)),
            Some(Parsed::Malformed | Parsed::NotIp) | None => None,
        };
        LogRecord {
            time: self.time,
            counter: self.counter,
            interface: self.interface,
            came_in: self.came_in,
            hook: self.hook,
            packet,
        }
    }
}

/// The word in bytes, by what stands at [`word::OPEN`] and at [`word::SHARE`]; nothing was lost.
#[must_use]
pub fn word_of([open, share]: [u32; 2]) -> [u8; word::SIZE] {
    let mut bytes = [0; word::SIZE];
    bytes[word::OPEN as usize..][..4].copy_from_slice(&open.to_ne_bytes());
    bytes[word::SHARE as usize..][..4].copy_from_slice(&share.to_ne_bytes());
    bytes
}

/// The number that stands at [`word::SHARE`] for one of so many; of none as of one.
#[must_use]
pub fn share(one_in: u32) -> u32 {
    u32::MAX / one_in.max(1)
}

/// Reads an event back; `None` if the bytes are none. The kernel fills it up to whole words.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Dropped> {
    let hook = *Hook::ALL.get(usize::from(Bytes(bytes).byte(log::HOOK)?))?;
    let (head, packet) = bytes.split_at_checked(head_of(hook))?;
    let head = Bytes(head);
    let length = head.word(log::LENGTH)?;
    let there = usize::try_from(length.min(SNAP)).ok()?;
    let mut frame = packet.get(..there)?.to_vec();
    let tag = (head.part(offset::TAGGED)? != [0; 2]).then(|| {
        let tag = u16::from_ne_bytes(head.part(offset::TAG)?).to_be_bytes();
        Some([head.part(offset::TAG_PROTOCOL)?, tag].concat())
    });
    let mut whole = length;
    if let Some(tag) = tag.flatten()
        && frame.len() >= ADDRESSES
    {
        whole = whole.checked_add(u32::try_from(tag.len()).ok()?)?;
        frame.splice(ADDRESSES..ADDRESSES, tag);
    }
    Some(Dropped {
        time: u64::from_ne_bytes(head.part(log::TIME)?),
        counter: head.word(log::COUNTER)?,
        interface: head.word(log::INTERFACE)?,
        came_in: match hook.direction().passes() {
            true => head.word(log::CAME_IN)?,
            false => 0,
        },
        hook,
        mark: head.word(log::MARK)?,
        frame,
        length: whole,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event of a frame with this length, of which so many bytes are there.
    fn event(length: u32, there: usize, tag: Option<u16>) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        bytes[0] = 7;
        bytes[8] = 3;
        bytes[12] = 5;
        bytes[16..20].copy_from_slice(&length.to_ne_bytes());
        bytes[20] = 9;
        bytes[24] = Hook::TcOut as u8;
        if let Some(tag) = tag {
            bytes[26] = 1;
            bytes[28..30].copy_from_slice(&tag.to_ne_bytes());
            bytes[30..32].copy_from_slice(&[0x88, 0xa8]);
        }
        bytes.extend((0..there).map(|byte| byte as u8));
        bytes
    }

    #[test]
    fn events_are_read_back() {
        let mut padded = event(3, 3, None);
        padded.extend([0xee; 5]);
        let found = parse(&padded).unwrap();
        let expected = Dropped {
            time: 7,
            counter: 3,
            interface: 5,
            came_in: 0,
            hook: Hook::TcOut,
            mark: 9,
            frame: vec![0, 1, 2],
            length: 3,
        };
        assert_eq!(found, expected);
        let long = parse(&event(9000, 256, None)).unwrap();
        assert_eq!((long.frame.len(), long.length), (256, 9000));
    }

    #[test]
    fn what_passes_through_says_where_it_came_in() {
        let mut bytes = event(3, 0, None);
        bytes[24] = Hook::TcForward as u8;
        bytes.extend([0, 0, 0, 0, 6, 0, 0, 0, 0xaa, 0xbb, 0xcc]);
        let found = parse(&bytes).unwrap();
        assert_eq!((found.interface, found.came_in), (5, 6));
        assert_eq!(found.frame, [0xaa, 0xbb, 0xcc]);
        assert_eq!(found.record(None).came_in, 6);
        // One that ends ahead of that is none.
        assert_eq!(parse(&bytes[..HEAD + 7]), None);
    }

    #[test]
    fn a_tag_stands_where_it_stood() {
        let found = parse(&event(60, 60, Some(0x2003))).unwrap();
        assert_eq!(found.frame[12..18], [0x88, 0xa8, 0x20, 0x03, 12, 13]);
        assert_eq!((found.frame.len(), found.length), (64, 64));
    }

    #[test]
    fn what_is_no_event_is_not_read() {
        for bytes in [vec![], vec![0; HEAD - 1], event(9, 8, None)] {
            assert_eq!(parse(&bytes), None);
        }
        let mut hook = event(0, 0, None);
        hook[24] = 200;
        assert_eq!(parse(&hook), None);
    }

    #[test]
    fn shares_are_parts_of_all_numbers() {
        assert_eq!(
            [0, 1, 2, 4].map(share),
            [u32::MAX, u32::MAX, i32::MAX as u32, u32::MAX >> 2]
        );
        assert_eq!(share(u32::MAX), 1);
    }
}
