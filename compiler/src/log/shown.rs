//! A record as the packet that it is about: for whoever asks `decide` about it, and in words.

use super::{LogRecord, Logged};
use crate::event::{Fragment, Header, Transport};
use crate::packet::shortest_length;
use crate::packet::text::describe;
use crate::policy::Family;
use crate::protocol::IpProtocol;

/// A SYN alone, which stands for the flags of what shows none.
const SYN: u8 = 2;

impl LogRecord {
    /// The header, as far as the record has it; what it does not have is plain. `None` of a malformed packet.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        self.packet.as_ref().map(Logged::header)
    }

    /// The packet in the words of the command line.
    #[must_use]
    pub fn words(&self) -> String {
        match self.header() {
            Some(header) => describe(&header, self.hook.direction()),
            None => "a malformed packet".to_owned(),
        }
    }

    /// The packet mark it came with; `None` where the hook sees no packet on an interface. At XDP none has a mark yet.
    #[must_use]
    pub fn mark(&self) -> Option<u32> {
        let packet = self.packet.as_ref()?;
        self.hook.is_packet().then_some(packet.mark)
    }
}

impl Logged {
    /// What a record would have said of a packet with this header.
    pub(crate) fn of(header: &Header, mark: u32) -> Self {
        let (ports, flags, icmp) = match header.transport {
            Transport::None => (None, None, None),
            Transport::Tcp { from, to, flags } => (Some((from, to)), Some(flags), None),
            Transport::Ports { from, to } => (Some((from, to)), None, None),
            Transport::Icmp { kind, code } => (None, None, Some((kind, code))),
        };
        Self {
            from: header.from,
            to: header.to,
            protocol: header.protocol,
            fragment: match header.fragment {
                Fragment::Whole => 0,
                Fragment::First => 1,
                Fragment::Later => 2,
            },
            ports,
            flags,
            icmp,
            length: header.length,
            mark,
        }
    }

    fn header(&self) -> Header {
        let fragment = match self.fragment {
            0 => Fragment::Whole,
            1 => Fragment::First,
            _ => Fragment::Later,
        };
        let transport = match (self.ports, self.icmp) {
            (Some((from, to)), _) if self.protocol == IpProtocol::TCP => Transport::Tcp {
                from,
                to,
                flags: self.flags.unwrap_or(SYN),
            },
            (Some((from, to)), _) => Transport::Ports { from, to },
            (None, Some((kind, code))) => Transport::Icmp { kind, code },
            (None, None) => Transport::None,
        };
        // A lookup, and a call, has no packet whose length it could tell.
        let length = match self.length {
            0 => shortest_length(Family::of(self.from), self.protocol, fragment),
            length => length,
        };
        Header {
            from: self.from,
            to: self.to,
            protocol: self.protocol,
            fragment,
            transport,
            length,
            mark: self.mark,
            ..Header::PLAIN
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::Hook;

    fn record(hook: Hook, logged: Logged) -> LogRecord {
        LogRecord {
            time: 1,
            counter: 0,
            interface: 0,
            came_in: 0,
            hook,
            packet: Some(logged),
        }
    }

    #[test]
    fn records_are_told_as_packets_are() {
        let tcp = Logged {
            from: "192.0.2.1".parse().unwrap(),
            to: "198.51.100.2".parse().unwrap(),
            protocol: IpProtocol::TCP,
            fragment: 0,
            ports: Some((4000, 22)),
            flags: Some(0x12),
            icmp: None,
            length: 60,
            mark: 7,
        };
        let lookup = Logged {
            flags: None,
            length: 0,
            mark: 0,
            ..tcp.clone()
        };
        let later = Logged {
            fragment: 2,
            protocol: IpProtocol::UDP,
            ports: None,
            length: 20,
            ..lookup.clone()
        };
        let echo = Logged {
            protocol: IpProtocol::ICMP,
            ports: None,
            icmp: Some((3, 4)),
            length: 28,
            ..lookup.clone()
        };
        for (hook, logged, words) in [
            (
                Hook::TcOut,
                tcp,
                "out tcp from 192.0.2.1:4000 to 198.51.100.2:22 with tcp flags syn ack, length 60, mark 7",
            ),
            (
                Hook::SkLookup,
                lookup,
                "tcp from 192.0.2.1:4000 to 198.51.100.2:22",
            ),
            (
                Hook::Xdp,
                later,
                "udp from 192.0.2.1 to 198.51.100.2 with fragment",
            ),
            (Hook::Xdp, echo, "icmp 3/4 from 192.0.2.1 to 198.51.100.2"),
        ] {
            assert_eq!(record(hook, logged).words(), words);
        }
        let malformed = LogRecord {
            packet: None,
            ..record(Hook::Xdp, Logged::none())
        };
        assert_eq!(malformed.words(), "a malformed packet");
    }

    impl Logged {
        fn none() -> Self {
            Self {
                from: [0, 0, 0, 0].into(),
                to: [0, 0, 0, 0].into(),
                protocol: IpProtocol(0),
                fragment: 0,
                ports: None,
                flags: None,
                icmp: None,
                length: 0,
                mark: 0,
            }
        }
    }
}
