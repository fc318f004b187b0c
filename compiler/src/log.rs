//! Records of `log`: what a program writes to the ring buffer `log`, and how it is read back.
//!
//! Numbers are in the order of the machine that wrote them, addresses and ports too. Not here: the program's side
//! (`lower`), and whoever takes records out of the ring.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod shown;

use crate::bpf::opcode::Width;
use crate::field::{FROM, Field, TO};
use crate::hook::Hook;
use crate::policy::Family;
use crate::protocol::IpProtocol;

/// Size of the ring buffer in bytes.
pub(crate) const RING: u32 = 256 << 10;

/// Size of a record in bytes.
pub(crate) const SIZE: usize = 72;

/// Where the parts of a record stand that are no fields of the packet, in bytes.
// The byte at 31 is nothing yet.
pub(crate) mod offset {
    /// Nanoseconds since boot: `u64`.
    pub(crate) const TIME: u8 = 0;
    /// The slot of the map `counters` that counted the packet: `u32`.
    pub(crate) const COUNTER: u8 = 8;
    /// The interface, 0 where there is none: `u32`.
    pub(crate) const INTERFACE: u8 = 12;
    /// Length of the IP packet, or of what was written: `u32`.
    pub(crate) const LENGTH: u8 = 16;
    /// The packet mark it came with: `u32`.
    pub(crate) const MARK: u8 = 20;
    /// The hook, by its place in [`crate::hook::Hook::ALL`]: one byte.
    pub(crate) const HOOK: u8 = 24;
    /// Of what passes through, the interface by which it came in: `u32`.
    pub(crate) const CAME_IN: u8 = 36;
    /// 4, 6, or 0 for a malformed packet: one byte.
    pub(crate) const FAMILY: u8 = 25;
}

/// The fields of the packet in a record: which, where, how wide. Programs write these, and nothing else is read back.
pub(crate) const FIELDS: [(Field, u8, Width); 15] = [
    (Field::Length, offset::LENGTH, Width::W),
    (Field::Protocol, 26, Width::B),
    (Field::Fragment, 27, Width::B),
    (Field::Icmp, 28, Width::H),
    (Field::TcpFlags, 30, Width::B),
    (Field::FromPort, 32, Width::H),
    (Field::ToPort, 34, Width::H),
    (Field::From0, 40, Width::W),
    (Field::From1, 44, Width::W),
    (Field::From2, 48, Width::W),
    (Field::From3, 52, Width::W),
    (Field::To0, 56, Width::W),
    (Field::To1, 60, Width::W),
    (Field::To2, 64, Width::W),
    (Field::To3, 68, Width::W),
];

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// When, in nanoseconds since boot (CLOCK_MONOTONIC).
    pub time: u64,
    /// Index into [`crate::artifact::Manifest::counters`], which has the rule, its text and its verdict.
    pub counter: u32,
    /// The interface's index; 0 at sk_lookup and sk_msg.
    pub interface: u32,
    /// Of what passes through, the index of the interface by which it came in; else 0.
    pub came_in: u32,
    /// The hook.
    pub hook: Hook,
    /// What was seen of the packet; `None` if it is malformed.
    pub packet: Option<Logged>,
}

/// What a record says of a packet or of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The sender.
    pub from: IpAddr,
    /// The receiver.
    pub to: IpAddr,
    /// The IP protocol.
    pub protocol: IpProtocol,
    /// 0 whole, 1 first fragment, 2 later fragment.
    pub fragment: u8,
    /// The sender's and the receiver's port, where there are ports.
    pub ports: Option<(u16, u16)>,
    /// The low eight TCP flags; `None` without a TCP header that the hook sees.
    pub flags: Option<u8>,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
    /// Length of the IP packet, or of what was written; 0 at sk_lookup.
    pub length: u32,
    /// The packet mark it came with, at TC; see [`LogRecord::mark`].
    pub mark: u32,
}

/// Reads a record back; `None` if the bytes are none.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<LogRecord> {
    let record: &[u8; SIZE] = bytes.try_into().ok()?;
    let record = Bytes(record.as_slice());
    let hook = *Hook::ALL.get(usize::from(record.byte(offset::HOOK)?))?;
    let family = record.byte(offset::FAMILY)?;
    Some(LogRecord {
        time: u64::from_ne_bytes(record.part(offset::TIME)?),
        counter: record.word(offset::COUNTER)?,
        interface: record.word(offset::INTERFACE)?,
        came_in: record.word(offset::CAME_IN)?,
        hook,
        packet: match family {
            0 => None,
            4 => Some(record.packet(hook, Family::V4)?),
            6 => Some(record.packet(hook, Family::V6)?),
            _ => return None,
        },
    })
}

/// What was written, read at its places.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Bytes<'_> {
    fn packet(&self, hook: Hook, family: Family) -> Option<Logged> {
        let protocol = IpProtocol(self.field(Field::Protocol)? as u8);
        let fragment = self.field(Field::Fragment)? as u8;
        let has_header = fragment != 2;
        let [kind, code] = (self.field(Field::Icmp)? as u16).to_be_bytes();
        let ports = (
            self.field(Field::FromPort)? as u16,
            self.field(Field::ToPort)? as u16,
        );
        let flags = self.field(Field::TcpFlags)? as u8;
        Some(Logged {
            from: self.address(FROM, family)?,
            to: self.address(TO, family)?,
            protocol,
            fragment,
            ports: (has_header && protocol.has_ports()).then_some(ports),
            flags: (has_header && protocol == IpProtocol::TCP && hook.is_packet()).then_some(flags),
            icmp: (has_header && protocol == family.icmp()).then_some((kind, code)),
            length: self.field(Field::Length)?,
            mark: self.word(offset::MARK)?,
        })
    }

    fn address(&self, words: [Field; 4], family: Family) -> Option<IpAddr> {
        let [first, ..] = words;
        if family == Family::V4 {
            return Some(Ipv4Addr::from_bits(self.field(first)?).into());
        }
        let mut bits = 0u128;
        for word in words {
            bits = bits << 32 | u128::from(self.field(word)?);
        }
        Some(Ipv6Addr::from_bits(bits).into())
    }

    fn field(&self, field: Field) -> Option<u32> {
        let mut fields = FIELDS.into_iter();
        let (_, at, width) = fields.find(|(one, ..)| *one == field)?;
        match width {
            Width::B => self.byte(at).map(u32::from),
            Width::H => self.part(at).map(u16::from_ne_bytes).map(u32::from),
            Width::W => self.word(at),
            Width::DW => None,
        }
    }

    pub(crate) fn byte(&self, at: u8) -> Option<u8> {
        self.0.get(usize::from(at)).copied()
    }

    pub(crate) fn word(&self, at: u8) -> Option<u32> {
        self.part(at).map(u32::from_ne_bytes)
    }

    pub(crate) fn part<const N: usize>(&self, at: u8) -> Option<[u8; N]> {
        let start = usize::from(at);
        self.0.get(start..start + N)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_records_are_read() {
        assert_eq!(parse(&[0; SIZE - 1]), None);
        assert_eq!(parse(&[0; SIZE + 1]), None);
        let malformed = parse(&[0; SIZE]).unwrap();
        assert_eq!((malformed.hook, malformed.packet), (Hook::Xdp, None));
        for (at, value) in [(offset::HOOK, 200), (offset::FAMILY, 5)] {
            let mut wrong = [0; SIZE];
            wrong[usize::from(at)] = value;
            assert_eq!(parse(&wrong), None);
        }
    }
}
