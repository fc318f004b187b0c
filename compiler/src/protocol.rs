//! IP protocols, by number, and what the ones that rules speak of carry.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An IP protocol (IANA's "Assigned Internet Protocol Numbers").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IpProtocol(pub u8);

impl IpProtocol {
    /// IPv6 hop-by-hop options, an extension header.
    pub(crate) const HOP_BY_HOP: Self = Self(0);
    /// ICMP; with a header that is checked only over IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP
    pub const TCP: Self = Self(6);
    /// UDP
    pub const UDP: Self = Self(17);
    /// IPv6 routing header, an extension header.
    pub(crate) const ROUTING: Self = Self(43);
    /// IPv6 fragment header, an extension header.
    pub const FRAGMENT: Self = Self(44);
    /// GRE
    pub(crate) const GRE: Self = Self(47);
    /// ESP
    pub const ESP: Self = Self(50);
    /// AH, a protocol like any other: it is not walked.
    pub const AH: Self = Self(51);
    /// ICMPv6; with a header that is checked only over IPv6.
    pub const ICMP6: Self = Self(58);
    /// IPv6 destination options, an extension header.
    pub(crate) const DESTINATION: Self = Self(60);
    /// SCTP
    pub const SCTP: Self = Self(132);

    /// The protocols that carry ports.
    pub const WITH_PORTS: [Self; 3] = [Self::TCP, Self::UDP, Self::SCTP];
    /// The protocols whose sockets a lookup finds.
    pub const WITH_SOCKETS: [Self; 2] = [Self::TCP, Self::UDP];
    /// The IPv6 extension headers that are walked (`docs/meaning.md#fragments-ports-and-types`).
    pub(crate) const EXTENSIONS: [Self; 4] = [
        Self::HOP_BY_HOP,
        Self::ROUTING,
        Self::FRAGMENT,
        Self::DESTINATION,
    ];

    /// The language's word for it, if it has one.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        Some(match self {
            Self::ICMP => "icmp",
            Self::TCP => "tcp",
            Self::UDP => "udp",
            Self::GRE => "gre",
            Self::ESP => "esp",
            Self::AH => "ah",
            Self::ICMP6 => "icmp6",
            Self::SCTP => "sctp",
            _ => return None,
        })
    }

    /// The same, or its number as the language writes it.
    #[must_use]
    pub fn words(self) -> String {
        self.word()
            .map_or_else(|| format!("proto {self}"), str::to_owned)
    }

    /// Whether it carries ports.
    #[must_use]
    pub fn has_ports(self) -> bool {
        Self::WITH_PORTS.contains(&self)
    }

    /// Whether it carries a type and a code, in the family whose ICMP it is.
    #[must_use]
    pub fn has_type(self) -> bool {
        self == Self::ICMP || self == Self::ICMP6
    }

    /// Whether the kernel's socket lookup knows it.
    #[must_use]
    pub fn has_socket(self) -> bool {
        Self::WITH_SOCKETS.contains(&self)
    }

    /// Whether this is an IPv6 extension header that is walked.
    #[must_use]
    pub fn is_extension(self) -> bool {
        Self::EXTENSIONS.contains(&self)
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<IpProtocol> for u8 {
    fn from(protocol: IpProtocol) -> Self {
        protocol.0
    }
}

impl From<IpProtocol> for u32 {
    fn from(protocol: IpProtocol) -> Self {
        protocol.0.into()
    }
}

impl From<IpProtocol> for i32 {
    fn from(protocol: IpProtocol) -> Self {
        protocol.0.into()
    }
}
