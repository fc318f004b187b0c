//! The fields that a decision can depend on, in packet terms, whatever the hook.
//!
//! `from` and `to` are the sender's and the receiver's side in every direction. How a hook reads a field is not here.

use std::collections::BTreeSet;

use crate::policy::{LiveMapId, NetnsId, Policy, RuleId, SetId, SocketId};

/// The fields, a row each: its name in text forms, the largest value that occurs, how it is read, and for a field of which
/// each policy has as many as it declares, which those are.
macro_rules! fields {
    ($(
        of all { $($(#[$fixed_doc:meta])* $fixed:ident = $fixed_name:literal, $fixed_max:expr, $fixed_kind:ident;)* }
        of the policy { $($(#[$own_doc:meta])* $own:ident($id:ty) = $own_name:literal, $own_max:expr, $own_kind:ident, $declared:expr;)* }
    )*) => {
        /// A variable of the decision, of at most 32 bits. The order of the variants is the order in a diagram.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Field {
            $(
                $($(#[$fixed_doc])* $fixed,)*
                $($(#[$own_doc])* $own($id),)*
            )*
        }

        impl Field {
            /// The fields that every policy has, in order. The others are made by what a policy declares.
            pub(crate) const FIXED: &'static [Self] = &[$($(Self::$fixed,)*)*];

            /// The fields of a policy, in order.
            #[must_use]
            pub fn of(policy: &Policy) -> Vec<Self> {
                let mut fields = Self::FIXED.to_vec();
                $($({
                    let declared: fn(&Policy) -> Vec<$id> = $declared;
                    fields.extend(declared(policy).into_iter().map(Self::$own));
                })*)*
                fields.sort_unstable();
                fields
            }

            /// How it is read.
            #[must_use]
            pub fn kind(self) -> FieldKind {
                match self {
                    $(
                        $(Self::$fixed => FieldKind::$fixed_kind,)*
                        $(Self::$own(_) => FieldKind::$own_kind,)*
                    )*
                }
            }

            /// The name that text forms print.
            #[must_use]
            pub fn name(self) -> String {
                match self {
                    $(
                        $(Self::$fixed => $fixed_name.into(),)*
                        $(Self::$own(id) => format!(concat!($own_name, "-{}"), id),)*
                    )*
                }
            }

            /// The largest value that occurs.
            #[must_use]
            pub const fn max(self) -> u32 {
                match self {
                    $(
                        $(Self::$fixed => $fixed_max,)*
                        $(Self::$own(_) => $own_max,)*
                    )*
                }
            }
        }
    };
}

fields! {
    of all {
        /// 0 for IPv4, 1 for IPv6.
        Family = "family", 1, Tuple;
        /// The IP protocol (for IPv6, after the extension headers).
        Protocol = "protocol", 0xff, Tuple;
        /// 0 whole, 1 first fragment, 2 later fragment.
        Fragment = "fragment", 2, Fragment;
        /// The receiver's port; only where [`Self::has_ports`].
        ToPort = "to-port", 0xffff, Tuple;
        /// Type in the high byte, code in the low byte; ICMP over IPv4 and ICMPv6 over IPv6, not in later fragments.
        Icmp = "icmp", 0xffff, Icmp;
        /// The receiver's address: IPv4's, or the first 32 bits of IPv6's.
        To0 = "to0", u32::MAX, Tuple;
        /// Bits 32 to 63 of the receiver's IPv6 address.
        To1 = "to1", u32::MAX, Tuple;
        /// Bits 64 to 95.
        To2 = "to2", u32::MAX, Tuple;
        /// Bits 96 to 127.
        To3 = "to3", u32::MAX, Tuple;
        /// The sender's address: IPv4's, or the first 32 bits of IPv6's.
        From0 = "from0", u32::MAX, Tuple;
        /// Bits 32 to 63 of the sender's IPv6 address.
        From1 = "from1", u32::MAX, Tuple;
        /// Bits 64 to 95.
        From2 = "from2", u32::MAX, Tuple;
        /// Bits 96 to 127.
        From3 = "from3", u32::MAX, Tuple;
        /// The sender's port.
        FromPort = "from-port", 0xffff, Tuple;
        /// The low eight TCP flags; only in TCP, not in later fragments.
        TcpFlags = "tcp-flags", 0xff, TcpFlags;
        /// Length of the whole IP packet.
        Length = "length", u32::MAX, Length;
        /// Time to live, or hop limit.
        Ttl = "ttl", 0xff, IpHeader;
        /// The upper six bits of the traffic class.
        Dscp = "dscp", 63, IpHeader;
        /// The lower two bits of the traffic class.
        Ecn = "ecn", 3, IpHeader;
        /// 0 without a VLAN tag, else one more than the identifier in the outer one.
        Vlan = "vlan", 4096, Vlan;
        /// The first 24 bits of the hardware address that sent the frame: those that a maker was given.
        EtherFrom0 = "ether-from0", 0xff_ffff, Ether;
        /// Its last 24 bits.
        EtherFrom1 = "ether-from1", 0xff_ffff, Ether;
        /// The first 24 bits of the hardware address that the frame is for.
        EtherTo0 = "ether-to0", 0xff_ffff, Ether;
        /// Its last 24 bits.
        EtherTo1 = "ether-to1", 0xff_ffff, Ether;
        /// The most significant byte of the packet mark it came with. By bytes, since masks often keep only the low ones.
        Mark0 = "mark0", 0xff, Mark;
        /// The second byte of the mark.
        Mark1 = "mark1", 0xff, Mark;
        /// The third byte of the mark.
        Mark2 = "mark2", 0xff, Mark;
        /// The least significant byte of the mark.
        Mark3 = "mark3", 0xff, Mark;
        /// The class of the interface, as a number; the program of a packet hook knows it.
        Interface = "interface", 0xff, Interface;
        /// The class of the interface by which what passes through leaves, as a number; the program that decides it knows it.
        Leaving = "leaving", 0xff, Interface;
        /// The group of the first bulk rule of the direction that matches (see `bulk`): 0 none. From here on, each field is a
        /// question that costs a search.
        FirstMatch = "first_match", 0xffff, FirstMatch;
    }
    of the policy {
        /// Whether the receiver's address is in the set: 0 or 1.
        ToIn(SetId) = "to-in", 1, Member, |policy| policy.sets.keys().collect();
        /// Whether the sender's address is in the set: 0 or 1.
        FromIn(SetId) = "from-in", 1, Member, |policy| policy.sets.keys().collect();
        /// Whether the named socket holds none for the family and protocol: 0 or 1.
        Absent(SocketId) = "absent", 1, Absent, |policy| policy.sockets.keys().collect();
        /// What a live map has for the packet: 0 nothing, else one more than the socket's number.
        Entry(LiveMapId) = "entry", 0xffff, Entry, |policy| policy.live_maps.keys().collect();
    }
    of all {
        /// The socket that the lookup finds: 0 none, 1 listening, 2 established. It costs a helper call.
        Socket = "socket", 2, Socket;
    }
    of the policy {
        /// The same in another network namespace.
        SocketIn(NetnsId) = "socket-in", 2, Socket, |policy| policy.namespaces.keys().collect();
        /// Whether the packet conforms to the rate of a rule: 0 or 1. Comes last, and by rule: asking takes the tokens.
        Conforms(RuleId) = "conforms", 1, Rate, metered;
    }
}

/// The words of the receiver's address.
pub const TO: [Field; 4] = [Field::To0, Field::To1, Field::To2, Field::To3];
/// The words of the sender's address.
pub const FROM: [Field; 4] = [Field::From0, Field::From1, Field::From2, Field::From3];

/// The rules that have a rate.
fn metered(policy: &Policy) -> Vec<RuleId> {
    let metered = policy.rules.iter().filter(|(_, rule)| rule.rate.is_some());
    metered.map(|(id, _)| id).collect()
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
    /// The frame's own addresses: [`Field::EtherFrom0`] to [`Field::EtherTo1`].
    Ether,
    /// [`Field::Mark0`] to [`Field::Mark3`]
    Mark,
    /// [`Field::Interface`] and [`Field::Leaving`]
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
    /// The place in [`Self::FIXED`], if it has one.
    #[must_use]
    pub(crate) fn fixed_index(self) -> Option<usize> {
        Self::FIXED.iter().position(|field| *field == self)
    }

    /// Whether it is a word of an address.
    #[must_use]
    pub fn is_address(self) -> bool {
        (Self::To0..=Self::From3).contains(&self)
    }

    /// Whether it is of the sender: a word of the address, or the port.
    #[must_use]
    pub(crate) fn is_of_sender(self) -> bool {
        FROM.contains(&self) || self == Self::FromPort
    }

    /// Whether it is a word of an address that only IPv6 has.
    #[must_use]
    pub(crate) fn is_of_v6(self) -> bool {
        self.is_address() && self != Self::To0 && self != Self::From0
    }

    /// Width in bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        u32::BITS - self.max().leading_zeros()
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
