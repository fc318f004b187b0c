//! The resolved policy: names are ids, addresses are ranges, everything is typed.
//!
//! Made by the resolver from the syntax tree; read by `decide`, placement and everything after. Rules keep the place
//! they were written at, down to the last instruction. Not here: how anything is decided or compiled.

use std::net::IpAddr;

use cranelift_entity::{PrimaryMap, entity_impl};
use sockc_grammar::source::Span;

use crate::hook::Hook;
use crate::ranges::RangeSet;

/// A rule of the policy, numbered in source order over all directions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(u32);
entity_impl!(RuleId, "rule");

/// A named socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(u32);
entity_impl!(SocketId, "sock");

/// A group of sockets: a cgroup.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(u32);
entity_impl!(GroupId, "group");

/// A whole policy.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Its name: the `policy` line, else the file's stem.
    pub name: String,
    /// The rules in source order; the lists of the directions are this list filtered.
    pub rules: PrimaryMap<RuleId, Rule>,
    /// The `default` lines.
    pub defaults: Vec<Default>,
    /// The named sockets.
    pub sockets: PrimaryMap<SocketId, Socket>,
    /// The groups.
    pub groups: PrimaryMap<GroupId, Group>,
    /// Interface patterns, in the order they were written.
    pub interfaces: Vec<String>,
}

impl Policy {
    /// The `default` line of a direction.
    #[must_use]
    pub fn default_of(&self, direction: Direction) -> Option<&Default> {
        self.defaults
            .iter()
            .find(|line| line.direction == direction)
    }

    /// The rules of a direction, in order.
    pub fn rules_of(&self, direction: Direction) -> impl Iterator<Item = (RuleId, &Rule)> {
        self.rules
            .iter()
            .filter(move |(_, rule)| rule.direction == direction)
    }
}

/// The lists that have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// A packet that arrives.
    In,
    /// A packet that leaves.
    Out,
    /// Data a process writes to a connected TCP socket of a group.
    Send,
}

/// Where something was written, ready for messages and BTF line information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The span in the source map.
    pub span: Span,
    /// The source's name, such as `rules/edge.sk`.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The statement's text on one line, blanks squeezed, comments left out.
    pub text: String,
}

/// A `default` line.
#[derive(Clone, Debug)]
pub struct Default {
    /// Which list it ends.
    pub direction: Direction,
    /// True for `allow`, false for `drop`.
    pub allow: bool,
    /// Where it was written.
    pub place: Place,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `label:`
    pub label: Option<String>,
    /// Which list it stands in.
    pub direction: Direction,
    /// What it does.
    pub action: Action,
    /// What it matches.
    pub matches: Match,
    /// `at HOOK`: for `in`, `tc` is [`Hook::TcIn`], for `out` [`Hook::TcOut`].
    pub at: Option<Hook>,
    /// Where it was written.
    pub place: Place,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Go on to the stack or the peer.
    Allow,
    /// Silently away; for `send`, the write fails with EACCES.
    Drop,
    /// Count, and go on in the list.
    Count,
    /// Allow, and hand new connections (TCP) or packets (UDP) to the socket.
    Redirect(SocketId),
    /// Allow, and move the data past TCP/IP if the peer is a socket of the group too.
    Shortcut(GroupId),
}

impl Action {
    /// Whether the first rule of this kind that matches ends the list.
    #[must_use]
    pub fn decides(self) -> bool {
        self != Self::Count
    }
}

/// A conjunction: every part must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// One of these; empty means every protocol.
    pub protocols: Vec<ProtocolMatch>,
    /// The sender's side.
    pub from: Option<Side>,
    /// The receiver's side.
    pub to: Option<Side>,
    /// All of these.
    pub conditions: Vec<Condition>,
}

/// An IP protocol, in one family or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolMatch {
    /// Only in this family, if given (`icmp` is IPv4 only, `icmp6` IPv6 only).
    pub family: Option<Family>,
    /// The protocol number.
    pub number: u8,
    /// For ICMP: one of these (empty means every type, later fragments included).
    pub icmp: Vec<IcmpMatch>,
}

/// An ICMP type, with one code or every code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpMatch {
    /// The type.
    pub kind: u8,
    /// The code, if named.
    pub code: Option<u8>,
}

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

/// What follows `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// One of the endpoints, or with `negated` none of them. If any endpoint has ports, a negated list still matches
    /// only packets that have ports.
    Endpoints {
        /// `not`
        negated: bool,
        /// The list.
        endpoints: Vec<Endpoint>,
    },
    /// A socket of this group (`send` only; on the sender's side).
    Group(GroupId),
}

/// Addresses, and ports if named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The addresses, both families.
    pub addresses: AddressSet,
    /// The ports; `None` where none were named, which also matches packets that have no ports.
    pub ports: Option<RangeSet<u16>>,
}

/// Addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    /// IPv4 addresses in host order.
    pub v4: RangeSet<u32>,
    /// IPv6 addresses in host order.
    pub v6: RangeSet<u128>,
}

impl AddressSet {
    /// Every address of both families.
    #[must_use]
    pub fn any() -> Self {
        Self {
            v4: RangeSet::full(),
            v6: RangeSet::full(),
        }
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.v4.contains(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.contains(v6.to_bits()),
        }
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Plain negation: true of packets that have no such field too.
    No(Box<Condition>),
    /// At least one holds.
    AnyOf(Vec<Condition>),
    /// The socket that the kernel's lookup for this packet finds, in the packet's own network namespace.
    Socket(SocketTest),
    /// A whole TCP header is there, these flags are set and those are clear.
    TcpFlags {
        /// Bits that are set.
        set: u8,
        /// Bits that are clear.
        clear: u8,
    },
    /// Offset not 0, or more fragments to come.
    Fragment,
    /// The IP packet's length in bytes (IPv6's 40 included), inclusive. An empty range is `low > high`.
    Length {
        /// Smallest.
        low: u32,
        /// Largest.
        high: u32,
    },
}

/// Which answer of the socket lookup a condition wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketTest {
    /// Listening or established.
    Exists,
    /// A connected one.
    Established,
    /// A listener, an unfinished handshake, an unconnected UDP socket.
    Listening,
}

/// A named socket.
#[derive(Clone, Debug)]
pub struct Socket {
    /// Its name.
    pub name: String,
    /// The listening addresses: at most one for each of (family, protocol).
    pub listen: Vec<Listen>,
    /// True for `if absent drop`, false for `if absent reject` (the default).
    pub drop_if_absent: bool,
    /// Where it was declared.
    pub place: Place,
}

/// One listening address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// The address it is bound to, exactly.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// A group of sockets.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The cgroup's path from the root of the cgroup-v2 hierarchy; begins with `/`, no `/` at the end unless it is the root.
    pub cgroup: String,
    /// Where it was declared.
    pub place: Place,
}
