//! What a policy is asked about, and what it answers.

use std::net::IpAddr;

use crate::policy::{Direction, Family, GroupId, RuleId, SocketId};

/// A packet's headers, as far as rules look at them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The sender's address.
    pub from: IpAddr,
    /// The receiver's address, of the same family.
    pub to: IpAddr,
    /// The IP protocol.
    pub protocol: u8,
    /// Which part of a datagram it is.
    pub part: Part,
    /// What the transport header says; `None` in later fragments and in protocols that have neither ports nor ICMP types.
    pub transport: Transport,
    /// Length of the whole IP packet in bytes, IPv6's 40 included.
    pub length: u32,
}

impl Header {
    /// The family.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.from)
    }
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Not fragmented.
    Whole,
    /// Offset 0, more fragments to come.
    First,
    /// Offset not 0.
    Later,
}

/// What the transport header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Nothing that rules look at.
    None,
    /// TCP, with its low eight flags.
    Tcp {
        /// The sender's port.
        from: u16,
        /// The receiver's port.
        to: u16,
        /// The low eight flags.
        flags: u8,
    },
    /// UDP or SCTP.
    Ports {
        /// The sender's port.
        from: u16,
        /// The receiver's port.
        to: u16,
    },
    /// ICMP over IPv4 or ICMPv6 over IPv6.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
    },
}

/// What a frame turned out to be (language section 2, point 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Not IP: always passes.
    NotIp,
    /// Malformed: gets the default of its direction.
    Malformed,
    /// An IP packet.
    Ip(Header),
}

/// What a policy is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A packet that arrives on (or leaves by) an interface of the policy. For `In`, the verdict is that of the packet
    /// hooks and the socket lookup together.
    Packet {
        /// `In` or `Out`.
        direction: Direction,
        /// The packet.
        packet: Parsed,
    },
    /// A socket lookup for a packet that passed no packet hook of ours: `lo`, or an interface that is not the policy's.
    Lookup(Header),
    /// Data a process writes to a connected TCP socket of a group.
    Send {
        /// The socket's group.
        group: GroupId,
        /// The connection, `from` the writer.
        header: Header,
    },
}

/// What the lookup for a packet finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketAnswer {
    /// No socket; also for protocols other than TCP and UDP and for later fragments.
    None = 0,
    /// A listener, an unfinished handshake on our side, an unconnected UDP socket.
    Listening = 1,
    /// A connected socket.
    Established = 2,
}

/// What the machine around the policy says.
pub trait World {
    /// The socket that the kernel's lookup for this packet finds (for `Out`: the sending socket).
    fn socket(&self, direction: Direction, header: &Header) -> SocketAnswer;
    /// Whether the named socket holds one for this family and protocol.
    fn present(&self, socket: SocketId, family: Family, protocol: u8) -> bool;
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Goes on.
    Allow,
    /// Silently away; for `Send`, EACCES.
    Drop,
    /// As if nobody listened.
    Reject,
    /// Goes on, and the lookup gives this socket.
    Redirect(SocketId),
    /// Goes on, past TCP/IP if the peer is a socket of the group.
    Shortcut(GroupId),
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decider {
    /// A rule.
    Rule(RuleId),
    /// The `default` line of the direction.
    Default,
    /// The `default` line (or its absence), because the packet is malformed.
    Malformed,
    /// Nobody: not IP.
    NotIp,
    /// Nobody: nothing matched and there is no default.
    Unmatched,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub verdict: Verdict,
    /// Who decided.
    pub decider: Decider,
    /// The `count` rules that matched before the decider, in order.
    pub counted: Vec<RuleId>,
}
