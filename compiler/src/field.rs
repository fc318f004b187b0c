//! The fields that a decision can depend on, in packet terms, whatever the hook.
//!
//! `from` and `to` are the sender's and the receiver's side in every direction. How a hook reads a field is not here.

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
    /// The socket that the lookup finds: 0 none, 1 listening, 2 established. Comes last: it costs a helper call.
    Socket,
}

impl Field {
    /// Every field, in order.
    pub const ALL: [Self; 17] = [
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
        Self::Socket,
    ];

    /// The name that text forms print.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
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
            Self::Socket => "socket",
        }
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
            Self::Family => 1,
            Self::Fragment | Self::Socket => 2,
            Self::Protocol | Self::TcpFlags => 8,
            Self::ToPort | Self::FromPort | Self::Icmp => 16,
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
            Self::Fragment | Self::Socket => 2,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u32);

impl FieldSet {
    /// The set of these fields.
    #[must_use]
    pub const fn of(fields: &[Field]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < fields.len() {
            bits |= 1 << fields[index] as u32;
            index += 1;
        }
        Self(bits)
    }

    /// Whether any of these fields is in it.
    #[must_use]
    pub fn any(self, fields: &[Field]) -> bool {
        self.0 & Self::of(fields).0 != 0
    }

    /// The set with one more field.
    #[must_use]
    pub fn with(self, field: Field) -> Self {
        Self(self.0 | 1 << field as u32)
    }

    /// Whether the field is in it.
    #[must_use]
    pub fn contains(self, field: Field) -> bool {
        self.0 >> (field as u32) & 1 == 1
    }

    /// The fields of either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
