//! What a rule or an `expect` line speaks of: conjunctions of protocols, sides and conditions.
//!
//! Not here: whether a packet is one of them, which is `decide`'s.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::ast::SocketState;
use sockc_grammar::header_field::HeaderField;

use super::{ClassId, Direction, GroupId, LiveMapId, NetnsId, Policy, SetId, SetKind, SocketId};
use crate::protocol::IpProtocol;
use crate::ranges::RangeSet;

/// A conjunction: every part must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Match {
    /// One of these; empty means every protocol.
    pub protocols: Vec<ProtocolMatch>,
    /// The sender's side.
    pub from: Option<Side>,
    /// The receiver's side.
    pub to: Option<Side>,
    /// All of these.
    pub conditions: Vec<Condition>,
    /// `on`: one of these classes of interfaces; `None` for every one. Of what passes through, that by which it came in.
    pub on: Option<Vec<ClassId>>,
    /// `to zone`, `to interface`: of what passes through, the class of the interface by which it leaves is one of these;
    /// `None` for every one, and for everything else.
    pub leaves: Option<Vec<ClassId>>,
}

/// The first and the last address of a prefix; what the address has beyond its length is not looked at.
#[must_use]
pub fn span_of(address: IpAddr, length: u8) -> (IpAddr, IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            let end = |bits| IpAddr::V4(Ipv4Addr::from_bits(bits));
            (
                end(address.to_bits() & !host),
                end(address.to_bits() | host),
            )
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            let end = |bits| IpAddr::V6(Ipv6Addr::from_bits(bits));
            (
                end(address.to_bits() & !host),
                end(address.to_bits() | host),
            )
        }
    }
}

impl Match {
    /// The classes of interfaces whose programs hold it, if not all do: what passes through is decided where it leaves.
    #[must_use]
    pub fn held_on(&self, direction: Direction) -> Option<&[ClassId]> {
        let classes = match direction.passes() {
            true => &self.leaves,
            false => &self.on,
        };
        classes.as_deref()
    }

    /// Whether sockets of this group are among those whose group is asked for.
    #[must_use]
    pub fn is_for(&self, group: GroupId) -> bool {
        self.group().is_none_or(|one| one == group)
    }

    /// The group that it names.
    #[must_use]
    pub fn group(&self) -> Option<GroupId> {
        let sides = [&self.from, &self.to].into_iter().flatten();
        sides.filter_map(Side::group).next()
    }
}

/// An IP protocol, in one family or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProtocolMatch {
    /// Only in this family, if given (`icmp` is IPv4 only, `icmp6` IPv6 only).
    pub family: Option<Family>,
    /// The protocol number.
    pub number: IpProtocol,
    /// For ICMP: one of these (empty means every type, later fragments included).
    pub icmp: Vec<IcmpMatch>,
}

/// An ICMP type, with one code or every code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// `IPv4` or `IPv6`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The protocol whose header is checked as ICMP in this family.
    #[must_use]
    pub fn icmp(self) -> IpProtocol {
        match self {
            Self::V4 => IpProtocol::ICMP,
            Self::V6 => IpProtocol::ICMP6,
        }
    }
}

/// What follows `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

impl Side {
    /// The group, if it is one.
    #[must_use]
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Self::Group(group) => Some(*group),
            Self::Endpoints { .. } => None,
        }
    }
}

/// Addresses, and ports if named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The addresses, both families.
    pub addresses: Addresses,
    /// The ports; `None` where none were named, which also matches packets that have no ports.
    pub ports: Option<RangeSet<u16>>,
}

/// The addresses of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// These.
    Ranges(AddressSet),
    /// The members of a set that is asked as one question.
    Set(SetId),
}

impl Addresses {
    /// The addresses, unless it is a set that is asked as one question.
    #[must_use]
    pub fn ranges(&self) -> Option<&AddressSet> {
        match self {
            Self::Ranges(set) => Some(set),
            Self::Set(_) => None,
        }
    }

    /// The addresses, unless they change while running.
    #[must_use]
    pub fn constant<'a>(&'a self, policy: &'a Policy) -> Option<&'a AddressSet> {
        match self {
            Self::Ranges(set) => Some(set),
            Self::Set(set) => match &policy.sets[*set].kind {
                SetKind::Constant(contents) => Some(contents),
                SetKind::Live { .. } => None,
            },
        }
    }
}

impl From<AddressSet> for Addresses {
    fn from(set: AddressSet) -> Self {
        Self::Ranges(set)
    }
}

/// Addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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

    /// These addresses.
    #[must_use]
    pub fn of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(one) => v4.push((one.to_bits(), one.to_bits())),
                IpAddr::V6(one) => v6.push((one.to_bits(), one.to_bits())),
            }
        }
        Self {
            v4: RangeSet::from_ranges(v4),
            v6: RangeSet::from_ranges(v6),
        }
    }

    /// The addresses of prefixes.
    #[must_use]
    pub fn of_prefixes(prefixes: impl IntoIterator<Item = (IpAddr, u8)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (address, length) in prefixes {
            match span_of(address, length) {
                (IpAddr::V4(low), IpAddr::V4(high)) => v4.push((low.to_bits(), high.to_bits())),
                (IpAddr::V6(low), IpAddr::V6(high)) => v6.push((low.to_bits(), high.to_bits())),
                _ => {}
            }
        }
        Self {
            v4: RangeSet::from_ranges(v4),
            v6: RangeSet::from_ranges(v6),
        }
    }

    /// Those that are not in another.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            v4: self.v4.minus(&other.v4),
            v6: self.v6.minus(&other.v6),
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Plain negation: true of packets that have no such field too.
    No(Box<Condition>),
    /// At least one holds.
    AnyOf(Vec<Condition>),
    /// The socket that the kernel's lookup for this packet finds.
    Socket {
        /// Which answer is wanted.
        test: SocketState,
        /// The network namespace that is looked in; `None` for the interface's own.
        netns: Option<NetnsId>,
    },
    /// A live map names this socket for the packet.
    Entry {
        /// The map.
        map: LiveMapId,
        /// The socket.
        socket: SocketId,
    },
    /// The named socket holds none for the packet's family and protocol.
    SockAbsent(SocketId),
    /// The packet has this field of the header, and its value is one of these.
    Header {
        /// The field.
        field: HeaderField,
        /// Which values.
        test: FieldTest,
    },
    /// The first bulk rule that matches is of this group, 1 or more. No policy that was written has it: it stands in
    /// those that `bulk` makes.
    FirstMatch(u32),
}

impl Condition {
    /// A condition on a field of the header.
    #[must_use]
    pub const fn header(field: HeaderField, test: FieldTest) -> Self {
        Self::Header { field, test }
    }

    /// Whether it looks at the addresses of the frame that a packet came in.
    #[must_use]
    pub fn asks_for_frames(&self) -> bool {
        match self {
            Self::No(inner) => inner.asks_for_frames(),
            Self::AnyOf(any) => any.iter().any(Self::asks_for_frames),
            Self::Header { field, .. } => {
                matches!(field, HeaderField::EtherFrom | HeaderField::EtherTo)
            }
            _ => false,
        }
    }
}

/// Which values of a field of the header a condition wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldTest {
    /// Those of a range, inclusive. An empty one is `low > high`.
    Range {
        /// Smallest.
        low: u64,
        /// Largest.
        high: u64,
    },
    /// Those with `value & mask == wanted`. Where `wanted` has bits outside the mask, none.
    Masked {
        /// What the masked bits are.
        wanted: u64,
        /// Which bits are looked at.
        mask: u64,
    },
}

impl FieldTest {
    /// Just this value.
    #[must_use]
    pub fn exactly(value: u64) -> Self {
        Self::Range {
            low: value,
            high: value,
        }
    }

    /// The values with these bits set and those clear. A bit that is to be both leaves none.
    #[must_use]
    pub fn bits(set: u64, clear: u64) -> Self {
        Self::Masked {
            wanted: set,
            mask: set ^ clear,
        }
    }

    /// Whether a value is one of them.
    #[must_use]
    pub fn holds(self, value: u64) -> bool {
        match self {
            Self::Range { low, high } => (low..=high).contains(&value),
            Self::Masked { wanted, mask } => value & mask == wanted,
        }
    }
}
