//! What a policy is asked about, and what it answers.

use std::net::{IpAddr, Ipv4Addr};

use crate::policy::{
    ClassId, DefaultVerdict, Direction, Family, Feed, GroupId, LiveMapId, NetnsId, OutInterfaceId,
    RuleId, SetId, Socket, SocketId, Verb,
};
use crate::protocol::IpProtocol;

/// A packet's headers, as far as rules look at them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The sender's address.
    pub from: IpAddr,
    /// The receiver's address, of the same family.
    pub to: IpAddr,
    /// The IP protocol.
    pub protocol: IpProtocol,
    /// Which part of a datagram it is.
    pub fragment: Fragment,
    /// What the transport header says; `None` in later fragments and in protocols that have neither ports nor ICMP types.
    pub transport: Transport,
    /// Length of the whole IP packet in bytes, IPv6's 40 included.
    pub length: u32,
    /// Time to live, or IPv6's hop limit.
    pub ttl: u8,
    /// The upper six bits of the traffic class.
    pub dscp: u8,
    /// The lower two bits of the traffic class (RFC 3168).
    pub ecn: u8,
    /// The identifier in the outer VLAN tag, 0 to 4095; `None` without a tag.
    pub vlan: Option<u16>,
    /// Who sent the frame: its source address on the link, the low 48 bits as they are written.
    pub ether_from: u64,
    /// Whom the frame is for: its destination address on the link, in the same way.
    pub ether_to: u64,
    /// The packet mark it came with; 0 at XDP, where there is none yet.
    pub mark: u32,
}

/// A hardware address that is locally administered, and so of no maker.
const PLAIN_HARDWARE: u64 = 0x02_73_6b_00_00_01;

/// The octets of a hardware address as the number that a [`Header`] has.
#[must_use]
pub const fn hardware_number([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// The octets of a hardware address, of which a [`Header`] has the number.
#[must_use]
pub const fn hardware_octets(address: u64) -> [u8; 6] {
    let [_, _, octets @ ..] = address.to_be_bytes();
    octets
}

impl Header {
    /// An unfragmented packet of protocol 0 with nothing in it, from and to 0.0.0.0, and plain values for the rest.
    pub const PLAIN: Self = Self {
        from: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        to: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        protocol: IpProtocol(0),
        fragment: Fragment::Whole,
        transport: Transport::None,
        length: 20,
        ttl: 64,
        dscp: 0,
        ecn: 0,
        vlan: None,
        ether_from: PLAIN_HARDWARE,
        ether_to: PLAIN_HARDWARE,
        mark: 0,
    };

    /// The same in a plain frame, for those who look at the packet in it.
    #[must_use]
    pub fn without_frame(&self) -> Self {
        Self {
            ether_from: Self::PLAIN.ether_from,
            ether_to: Self::PLAIN.ether_to,
            ..self.clone()
        }
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.from)
    }

    /// Whether the kernel looks for a socket of this packet: for TCP and UDP, except in later fragments, which join their
    /// datagram first.
    #[must_use]
    pub fn has_socket(&self) -> bool {
        self.protocol.has_socket() && self.fragment != Fragment::Later
    }

    /// Whether the kernel asks a lookup program about this packet, whose own lookup finds this socket: connected sockets get
    /// theirs without (`__inet_lookup_established` and `udp4_lib_lookup2` come first).
    #[must_use]
    pub fn is_looked_up(&self, answer: SocketAnswer) -> bool {
        self.has_socket() && answer != SocketAnswer::Established
    }
}

impl Parsed {
    /// The same in a plain frame.
    #[must_use]
    pub fn without_frame(&self) -> Self {
        match self {
            Self::Ip(header) => Self::Ip(header.without_frame()),
            other => other.clone(),
        }
    }
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fragment {
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

/// What a frame turned out to be (`docs/meaning.md#malformed-packets`).
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
        /// `In` or `Out`: what passes through is [`Self::Passing`].
        direction: Direction,
        /// The class of the interface.
        class: ClassId,
        /// The packet.
        packet: Parsed,
    },
    /// A packet that came in by one interface and leaves by another, which is the policy's.
    Passing {
        /// The class of the interface by which it came in.
        came_in: ClassId,
        /// The class of the one by which it leaves.
        leaves: ClassId,
        /// The packet.
        packet: Parsed,
    },
    /// A socket lookup for a packet that passed none of our packet hooks: `lo`, or an interface that is not the policy's.
    Lookup {
        /// The class of the interface that it came in by.
        class: ClassId,
        /// The packet.
        header: Header,
    },
    /// What a process does with a socket of a group; for `Send`, data that it writes to a connected TCP socket.
    Process {
        /// One that is [`Direction::of_processes`].
        direction: Direction,
        /// The socket's group.
        group: GroupId,
        /// The connection, `from` the process.
        header: Header,
    },
}

impl Event {
    /// A packet of a direction on an interface of a class; of what passes through, one that came in by that interface, and leaves
    /// by one of the other class.
    #[must_use]
    pub fn of_packet(direction: Direction, [on, leaves]: [ClassId; 2], packet: Parsed) -> Self {
        match direction.passes() {
            true => Self::Passing {
                came_in: on,
                leaves,
                packet,
            },
            false => Self::Packet {
                direction,
                class: on,
                packet,
            },
        }
    }

    /// Whose list decides it.
    #[must_use]
    pub fn direction(&self) -> Direction {
        match self {
            Self::Packet { direction, .. } | Self::Process { direction, .. } => *direction,
            Self::Passing { .. } => Direction::Forward,
            Self::Lookup { .. } => Direction::In,
        }
    }

    /// The packet, of what packet hooks meet.
    #[must_use]
    pub fn packet(&self) -> Option<&Parsed> {
        match self {
            Self::Packet { packet, .. } | Self::Passing { packet, .. } => Some(packet),
            Self::Lookup { .. } | Self::Process { .. } => None,
        }
    }

    /// What rules look at; nothing of what is no IP packet, or malformed.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        match self {
            Self::Packet {
                packet: Parsed::Ip(header),
                ..
            }
            | Self::Passing {
                packet: Parsed::Ip(header),
                ..
            }
            | Self::Lookup { header, .. }
            | Self::Process { header, .. } => Some(header),
            Self::Packet { .. } | Self::Passing { .. } => None,
        }
    }

    /// The class of the interface that `on` names.
    #[must_use]
    pub fn on(&self) -> Option<ClassId> {
        match self {
            Self::Packet { class, .. } | Self::Lookup { class, .. } => Some(*class),
            Self::Passing { came_in, .. } => Some(*came_in),
            Self::Process { .. } => None,
        }
    }

    /// The class of the interface by which what passes through leaves.
    #[must_use]
    pub fn leaves(&self) -> Option<ClassId> {
        match self {
            Self::Passing { leaves, .. } => Some(*leaves),
            _ => None,
        }
    }
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

impl SocketAnswer {
    /// The answer that fields of diagrams give as this number.
    #[must_use]
    pub(crate) fn from_value(value: u32) -> Self {
        match value {
            0 => Self::None,
            1 => Self::Listening,
            _ => Self::Established,
        }
    }
}

/// What the machine around the policy says. Each question is asked at most once of a packet, and only if the answer
/// matters.
pub trait World {
    /// The socket that the kernel's lookup for this packet finds (for `Out`: the sending socket), in the interface's
    /// network namespace or in a named one.
    fn socket(&self, direction: Direction, netns: Option<NetnsId>, header: &Header)
    -> SocketAnswer;
    /// Whether the named socket holds one for this family and protocol.
    fn present(&self, socket: SocketId, family: Family, protocol: IpProtocol) -> bool;
    /// Whether this member of the named socket is there, which is; unless said otherwise, all are.
    fn holds(&self, _: SocketId, _: Family, _: IpProtocol, _member: u32) -> bool {
        true
    }
    /// Whether a live set has this address in it; unless said otherwise, it has nothing in it.
    fn member(&self, _: SetId, _: IpAddr) -> bool {
        false
    }
    /// The socket that a live map names for this packet; unless said otherwise, none.
    fn entry(&self, _: LiveMapId, _: &Header) -> Option<SocketId> {
        None
    }
    /// Whether the packet conforms to the rate of a rule that it otherwise matches; takes the tokens if so.
    /// Unless said otherwise, it does.
    fn conforms(&self, _: RuleId, _: &Header) -> bool {
        true
    }
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
    /// Leaves by this interface.
    Forward(OutInterfaceId),
    /// Goes on, past TCP/IP if the peer is a socket of this group.
    Shortcut(GroupId),
    /// Into a queue of this socket, and not to the peer.
    Feed(Feed),
}

impl Verdict {
    /// What a rule that leads to a socket gives while that is absent.
    #[must_use]
    pub fn of_absent(socket: &Socket) -> Self {
        match socket.drop_if_absent {
            true => Self::Drop,
            false => Self::Reject,
        }
    }

    /// The language's word for it, without where a redirect leads.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => Verb::Allow,
            Self::Drop => Verb::Drop,
            Self::Reject => Verb::Reject,
            Self::Redirect(_) => Verb::Redirect,
            Self::Forward(_) => Verb::Forward,
            Self::Shortcut(_) => Verb::Shortcut,
            Self::Feed(_) => Verb::Feed,
        }
        .word()
    }
}

impl From<DefaultVerdict> for Verdict {
    fn from(verdict: DefaultVerdict) -> Self {
        match verdict {
            DefaultVerdict::Allow => Self::Allow,
            DefaultVerdict::Drop => Self::Drop,
            DefaultVerdict::Reject => Self::Reject,
        }
    }
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
    /// The rules that only count and matched before the decider, in order.
    pub counted: Vec<RuleId>,
    /// What the packet mark is set to.
    pub mark: Option<u32>,
    /// Which member of the socket gets it, where a redirect leads to one that may have several.
    pub member: Option<u32>,
}
