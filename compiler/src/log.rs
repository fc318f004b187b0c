//! Records of `log`: what a program writes to the ring buffer `log`, and how it is read back.
//!
//! Numbers are in the order of the machine that wrote them, addresses and ports too. Not here: the program's side
//! (`lower`), and whoever takes records out of the ring.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::hook::Hook;
use crate::protocol::IpProtocol;

/// Size of the ring buffer in bytes.
pub(crate) const RING: u32 = 256 << 10;

/// Size of a record in bytes.
pub(crate) const SIZE: usize = 72;

/// Where each part of a record stands, in bytes.
// The byte at 31 and the word at 36 are nothing yet.
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
    /// 4, 6, or 0 for a malformed packet: one byte.
    pub(crate) const FAMILY: u8 = 25;
    /// The IP protocol: one byte.
    pub(crate) const PROTOCOL: u8 = 26;
    /// As [`crate::field::Field::Fragment`]: one byte.
    pub(crate) const FRAGMENT: u8 = 27;
    /// ICMP type and code: `u16`.
    pub(crate) const ICMP: u8 = 28;
    /// The low eight TCP flags: one byte.
    pub(crate) const FLAGS: u8 = 30;
    /// The sender's port: `u16`.
    pub(crate) const FROM_PORT: u8 = 32;
    /// The receiver's port: `u16`.
    pub(crate) const TO_PORT: u8 = 34;
    /// The sender's address: four `u32`, of which IPv4 uses the first.
    pub(crate) const FROM: u8 = 40;
    /// The receiver's address likewise.
    pub(crate) const TO: u8 = 56;
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// When, in nanoseconds since boot (CLOCK_MONOTONIC).
    pub time: u64,
    /// Index into [`crate::artifact::Manifest::counters`], which has the rule, its text and its verdict.
    pub counter: u32,
    /// The interface's index; 0 at sk_lookup and sk_msg.
    pub interface: u32,
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
    /// The packet mark it came with, at TC.
    pub mark: u32,
}

/// Reads a record back; `None` if the bytes are none.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<LogRecord> {
    let record: &[u8; SIZE] = bytes.try_into().ok()?;
    let record = Bytes(record);
    let hook = *Hook::ALL.get(usize::from(record.byte(offset::HOOK)?))?;
    let family = record.byte(offset::FAMILY)?;
    Some(LogRecord {
        time: u64::from_ne_bytes(record.part(offset::TIME)?),
        counter: record.word(offset::COUNTER)?,
        interface: record.word(offset::INTERFACE)?,
        hook,
        packet: match family {
            0 => None,
            4 | 6 => Some(record.packet(hook, family == 6)?),
            _ => return None,
        },
    })
}

struct Bytes<'a>(&'a [u8; SIZE]);

impl Bytes<'_> {
    fn packet(&self, hook: Hook, v6: bool) -> Option<Logged> {
        let protocol = IpProtocol(self.byte(offset::PROTOCOL)?);
        let fragment = self.byte(offset::FRAGMENT)?;
        let has_header = fragment != 2;
        let icmp_protocol = if v6 {
            IpProtocol::ICMP6
        } else {
            IpProtocol::ICMP
        };
        let [kind, code] = self.half(offset::ICMP)?.to_be_bytes();
        let ports = (self.half(offset::FROM_PORT)?, self.half(offset::TO_PORT)?);
        let flags = self.byte(offset::FLAGS)?;
        Some(Logged {
            from: self.address(offset::FROM, v6)?,
            to: self.address(offset::TO, v6)?,
            protocol,
            fragment,
            ports: (has_header && protocol.has_ports()).then_some(ports),
            flags: (has_header && protocol == IpProtocol::TCP && hook.is_packet()).then_some(flags),
            icmp: (has_header && protocol == icmp_protocol).then_some((kind, code)),
            length: self.word(offset::LENGTH)?,
            mark: self.word(offset::MARK)?,
        })
    }

    fn address(&self, at: u8, v6: bool) -> Option<IpAddr> {
        let first = self.word(at)?;
        if !v6 {
            return Some(Ipv4Addr::from_bits(first).into());
        }
        let words = [
            first,
            self.word(at + 4)?,
            self.word(at + 8)?,
            self.word(at + 12)?,
        ];
        let bits = words
            .iter()
            .fold(0u128, |bits, word| bits << 32 | u128::from(*word));
        Some(Ipv6Addr::from_bits(bits).into())
    }

    fn byte(&self, at: u8) -> Option<u8> {
        self.0.get(usize::from(at)).copied()
    }

    fn half(&self, at: u8) -> Option<u16> {
        self.part(at).map(u16::from_ne_bytes)
    }

    fn word(&self, at: u8) -> Option<u32> {
        self.part(at).map(u32::from_ne_bytes)
    }

    fn part<const N: usize>(&self, at: u8) -> Option<[u8; N]> {
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
