//! The fields that a decision can depend on, in packet terms, whatever the hook.
//!
//! `from` and `to` are the sender's and the receiver's side in every direction. How a hook reads a field is not here.

use std::collections::BTreeSet;

use crate::policy::{LiveMapId, NetnsId, Policy, RuleId, SetId, SocketId};

/// A variable of the decision, of at most 32 bits. The order of the variants is the order in a diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// 0 for IPv4, 1 for IPv6.
    Family,
    /// The IP protocol (for IPv6, after the extension headers).
    Protocol,
    /// 0 whole, 1 first fragment, 2 later fragment.
    Fragment,
    /// The receiver's port; only where [`Self::has_ports`].
    ToPort,
    /// Type in the high byte, code in the low byte; ICMP over IPv4 and ICMPv6 over IPv6, not in later fragments.
    Icmp,
    /// The receiver's address: IPv4's, or the first 32 bits of IPv6's.
    To0,
    /// Bits 32 to 63 of the receiver's IPv6 address.
    To1,
    /// Bits 64 to 95.
    To2,
    /// Bits 96 to 127.
    To3,
    /// The sender's address: IPv4's, or the first 32 bits of IPv6's.
    From0,
    /// Bits 32 to 63 of the sender's IPv6 address.
    From1,
    /// Bits 64 to 95.
    From2,
    /// Bits 96 to 127.
    From3,
    /// The sender's port.
    FromPort,
    /// The low eight TCP flags; only in TCP, not in later fragments.
    TcpFlags,
    /// Length of the whole IP packet.
    Length,
    /// Time to live, or hop limit.
    Ttl,
    /// The upper six bits of the traffic class.
    Dscp,
    /// The lower two bits of the traffic class.
    Ecn,
    /// 0 without a VLAN tag, else one more than the identifier in the outer one.
    Vlan,
    /// The most significant byte of the packet mark it came with. By bytes, since masks often keep only the low ones.
    Mark0,
    /// The second byte of the mark.
    Mark1,
    /// The third byte of the mark.
    Mark2,
    /// The least significant byte of the mark.
    Mark3,
    /// The class of the interface, as a number; the program of a packet hook knows it.
    Interface,
    /// The group of the first bulk rule of the direction that matches (see `bulk`): 0 none. From here on, each field is a
    /// question that costs a search.
    FirstMatch,
    /// Whether the receiver's address is in the set: 0 or 1.
    ToIn(SetId),
    /// Whether the sender's address is in the set: 0 or 1.
    FromIn(SetId),
    /// Whether the named socket holds none for the family and protocol: 0 or 1.
    Absent(SocketId),
    /// What a live map has for the packet: 0 nothing, else one more than the socket's number.
    Entry(LiveMapId),
    /// The socket that the lookup finds: 0 none, 1 listening, 2 established. It costs a helper call.
    Socket,
    /// The same in another network namespace.
    SocketIn(NetnsId),
    /// Whether the packet conforms to the rate of a rule: 0 or 1. Comes last, and by rule: asking takes the tokens.
    Conforms(RuleId),
}

/// Fields that are read, or told apart by hooks, in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldKind {
    /// Family, protocol, addresses and ports.
    Tuple,
    /// [`Field::Fragment`]
    Fragment,
    /// [`Field::Icmp`]
    Icmp,
    /// [`Field::TcpFlags`]
    TcpFlags,
    /// [`Field::Length`]
    Length,
    /// What only some programs read of the IP header: [`Field::Ttl`], [`Field::Dscp`], [`Field::Ecn`].
    IpHeader,
    /// [`Field::Vlan`]
    Vlan,
    /// [`Field::Mark0`] to [`Field::Mark3`]
    Mark,
    /// [`Field::Interface`]
    Interface,
    /// [`Field::FirstMatch`]
    FirstMatch,
    /// [`Field::ToIn`] and [`Field::FromIn`]
    Member,
    /// [`Field::Absent`]
    Absent,
    /// [`Field::Entry`]
    Entry,
    /// [`Field::Socket`] and [`Field::SocketIn`]
    Socket,
    /// [`Field::Conforms`]
    Rate,
}

impl Field {
    /// The fields that every policy has, in order. The others are made by what a policy declares.
    pub const FIXED: [Self; 27] = [
        Self::Family,
        Self::Protocol,
        Self::Fragment,
        Self::ToPort,
        Self::Icmp,
        Self::To0,
        Self::To1,
        Self::To2,
        Self::To3,
        Self::From0,
        Self::From1,
        Self::From2,
        Self::From3,
        Self::FromPort,
        Self::TcpFlags,
        Self::Length,
        Self::Ttl,
        Self::Dscp,
        Self::Ecn,
        Self::Vlan,
        Self::Mark0,
        Self::Mark1,
        Self::Mark2,
        Self::Mark3,
        Self::Interface,
        Self::FirstMatch,
        Self::Socket,
    ];

    /// The fields of a policy, in order.
    #[must_use]
    pub fn of(policy: &Policy) -> Vec<Self> {
        let mut fields = Self::FIXED.to_vec();
        fields.extend(policy.sets.keys().map(Self::ToIn));
        fields.extend(policy.sets.keys().map(Self::FromIn));
        fields.extend(policy.sockets.keys().map(Self::Absent));
        fields.extend(policy.live_maps.keys().map(Self::Entry));
        fields.extend(policy.namespaces.keys().map(Self::SocketIn));
        let metered = policy.rules.iter().filter(|(_, rule)| rule.rate.is_some());
        fields.extend(metered.map(|(id, _)| Self::Conforms(id)));
        fields.sort_unstable();
        fields
    }

    /// The place in [`Self::FIXED`], if it has one.
    #[must_use]
    pub fn fixed_index(self) -> Option<usize> {
        Self::FIXED.iter().position(|field| *field == self)
    }

    /// How it is read.
    #[must_use]
    pub fn kind(self) -> FieldKind {
        match self {
            Self::Family
            | Self::Protocol
            | Self::ToPort
            | Self::To0
            | Self::To1
            | Self::To2
            | Self::To3
            | Self::From0
            | Self::From1
            | Self::From2
            | Self::From3
            | Self::FromPort => FieldKind::Tuple,
            Self::Fragment => FieldKind::Fragment,
            Self::Icmp => FieldKind::Icmp,
            Self::TcpFlags => FieldKind::TcpFlags,
            Self::Length => FieldKind::Length,
            Self::Ttl | Self::Dscp | Self::Ecn => FieldKind::IpHeader,
            Self::Vlan => FieldKind::Vlan,
            Self::Mark0 | Self::Mark1 | Self::Mark2 | Self::Mark3 => FieldKind::Mark,
            Self::Interface => FieldKind::Interface,
            Self::FirstMatch => FieldKind::FirstMatch,
            Self::ToIn(_) | Self::FromIn(_) => FieldKind::Member,
            Self::Absent(_) => FieldKind::Absent,
            Self::Entry(_) => FieldKind::Entry,
            Self::Socket | Self::SocketIn(_) => FieldKind::Socket,
            Self::Conforms(_) => FieldKind::Rate,
        }
    }

    /// The name that text forms print.
    #[must_use]
    pub fn name(self) -> String {
        let fixed = match self {
            Self::Family => "family",
            Self::Protocol => "protocol",
            Self::Fragment => "fragment",
            Self::ToPort => "to-port",
            Self::Icmp => "icmp",
            Self::To0 => "to0",
            Self::To1 => "to1",
            Self::To2 => "to2",
            Self::To3 => "to3",
            Self::From0 => "from0",
            Self::From1 => "from1",
            Self::From2 => "from2",
            Self::From3 => "from3",
            Self::FromPort => "from-port",
            Self::TcpFlags => "tcp-flags",
            Self::Length => "length",
            Self::Ttl => "ttl",
            Self::Dscp => "dscp",
            Self::Ecn => "ecn",
            Self::Vlan => "vlan",
            Self::Mark0 => "mark0",
            Self::Mark1 => "mark1",
            Self::Mark2 => "mark2",
            Self::Mark3 => "mark3",
            Self::Interface => "interface",
            Self::FirstMatch => "winner",
            Self::Socket => "socket",
            Self::ToIn(set) => return format!("to-in-{set}"),
            Self::FromIn(set) => return format!("from-in-{set}"),
            Self::Absent(socket) => return format!("absent-{socket}"),
            Self::Entry(map) => return format!("entry-{map}"),
            Self::SocketIn(netns) => return format!("socket-in-{netns}"),
            Self::Conforms(rule) => return format!("conforms-{rule}"),
        };
        fixed.into()
    }

    /// Whether it is a word of an address.
    #[must_use]
    pub fn is_address(self) -> bool {
        (Self::To0..=Self::From3).contains(&self)
    }

    /// Width in bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Family
            | Self::ToIn(_)
            | Self::FromIn(_)
            | Self::Absent(_)
            | Self::Conforms(_) => 1,
            Self::Fragment | Self::Ecn | Self::Socket | Self::SocketIn(_) => 2,
            Self::Dscp => 6,
            Self::Protocol
            | Self::TcpFlags
            | Self::Ttl
            | Self::Mark0
            | Self::Mark1
            | Self::Mark2
            | Self::Mark3
            | Self::Interface => 8,
            Self::Vlan => 13,
            Self::ToPort | Self::FromPort | Self::Icmp | Self::FirstMatch | Self::Entry(_) => 16,
            Self::Length
            | Self::To0
            | Self::To1
            | Self::To2
            | Self::To3
            | Self::From0
            | Self::From1
            | Self::From2
            | Self::From3 => 32,
        }
    }

    /// The largest value that occurs.
    #[must_use]
    pub fn max(self) -> u32 {
        match self {
            Self::Fragment | Self::Socket | Self::SocketIn(_) => 2,
            Self::Vlan => 4096,
            other => u32::MAX >> (32 - other.bits()),
        }
    }

    /// Whether a protocol carries ports.
    #[must_use]
    pub fn has_ports(protocol: u8) -> bool {
        matches!(protocol, 6 | 17 | 132)
    }
}

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(BTreeSet<Field>);

impl FieldSet {
    /// Whether any of these fields is in it.
    #[must_use]
    pub fn any(&self, fields: &[Field]) -> bool {
        fields.iter().any(|field| self.0.contains(field))
    }

    /// The set with one more field.
    #[must_use]
    pub fn with(mut self, field: Field) -> Self {
        self.0.insert(field);
        self
    }

    /// Whether the field is in it.
    #[must_use]
    pub fn contains(&self, field: Field) -> bool {
        self.0.contains(&field)
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = Field> {
        self.0.iter().copied()
    }
}

impl Extend<Field> for FieldSet {
    fn extend<T: IntoIterator<Item = Field>>(&mut self, fields: T) {
        self.0.extend(fields);
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<T: IntoIterator<Item = Field>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}
