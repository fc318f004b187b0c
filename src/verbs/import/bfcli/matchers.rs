//! What rules of bpfilter ask for: the matchers by name, their fields and operators.
//!
//! Takes a name; gives a row. Not here: how values are written, and what they ask here.

use sockc_compiler::policy::Family;

use crate::verbs::import::what::Of;

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// It is this value.
    Eq,
    /// It is between these.
    Range,
    /// It is one of these values, or one of these bits is set.
    Any,
    /// All of these bits are set.
    All,
}

impl Op {
    /// The operator of a word.
    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "eq" => Self::Eq,
            "range" => Self::Range,
            "any" => Self::Any,
            "all" => Self::All,
            _ => return None,
        })
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Interface,
    /// What stands behind the Ethernet header.
    Ethertype,
    /// The header behind that of IP, of those that bpfilter reads.
    Transport,
    /// A port of TCP or UDP.
    Port(Of),
    Mark,
    /// What no rule asks for; why.
    Unasked(&'static str),
    Address(Family, Of),
    /// The protocol in the header of IPv4.
    Protocol,
    /// A header of IPv6 behind the first one.
    NextHeader,
    Dscp(Family),
    /// A port of the protocol with this number.
    CarriedPort(u8, Of),
    Flags,
    IcmpType(Family),
    IcmpCode(Family),
}

impl Field {
    /// The family whose header it is in. bpfilter looks for that first, also where a comparison is negated.
    pub(super) fn family(self) -> Option<Family> {
        match self {
            Self::Address(family, _)
            | Self::Dscp(family)
            | Self::IcmpType(family)
            | Self::IcmpCode(family) => Some(family),
            Self::Protocol => Some(Family::V4),
            Self::NextHeader => Some(Family::V6),
            _ => None,
        }
    }

    /// Whether it is behind the header of IP, which later fragments have not.
    pub(super) fn is_of_transport(self) -> bool {
        matches!(
            self,
            Self::Port(_)
                | Self::CarriedPort(..)
                | Self::Flags
                | Self::IcmpType(_)
                | Self::IcmpCode(_)
        )
    }

    /// The largest value.
    pub(super) fn last(self) -> u128 {
        match self {
            Self::Address(Family::V6, _) => u128::MAX,
            Self::Address(Family::V4, _) | Self::Mark | Self::Interface => u32::MAX.into(),
            Self::Port(_) | Self::CarriedPort(..) | Self::Ethertype => u16::MAX.into(),
            Self::Dscp(_) => 63,
            _ => u8::MAX.into(),
        }
    }
}

/// A matcher.
#[derive(Debug)]
pub(super) struct Matcher {
    pub(super) name: &'static str,
    pub(super) field: Field,
    pub(super) ops: &'static [Op],
    /// Whether a key of a set may have it.
    pub(super) is_key: bool,
}

const EQ: &[Op] = &[Op::Eq];
const ANY: &[Op] = &[Op::Eq, Op::Any];
const RANGE: &[Op] = &[Op::Eq, Op::Range];
const BITS: &[Op] = &[Op::Eq, Op::Any, Op::All];

const fn plain(name: &'static str, field: Field, ops: &'static [Op]) -> Matcher {
    Matcher {
        name,
        field,
        ops,
        is_key: false,
    }
}

const fn keyed(name: &'static str, field: Field, ops: &'static [Op]) -> Matcher {
    Matcher {
        is_key: true,
        ..plain(name, field, ops)
    }
}

const CHANCE: Field = Field::Unasked("chance decides nothing but what a log shows");
const HASH: Field = Field::Unasked("the kernel's hash of a flow is not asked");

/// All of them.
static MATCHERS: [Matcher; 30] = [
    plain("meta.iface", Field::Interface, EQ),
    plain("meta.l3_proto", Field::Ethertype, EQ),
    plain("meta.l4_proto", Field::Transport, EQ),
    keyed("meta.sport", Field::Port(Of::From), RANGE),
    keyed("meta.dport", Field::Port(Of::To), RANGE),
    plain("meta.mark", Field::Mark, EQ),
    plain("meta.probability", CHANCE, EQ),
    plain("meta.flow_probability", CHANCE, EQ),
    plain("meta.flow_hash", HASH, RANGE),
    keyed("ip4.saddr", Field::Address(Family::V4, Of::From), EQ),
    keyed("ip4.daddr", Field::Address(Family::V4, Of::To), EQ),
    keyed("ip4.snet", Field::Address(Family::V4, Of::From), EQ),
    keyed("ip4.dnet", Field::Address(Family::V4, Of::To), EQ),
    keyed("ip4.proto", Field::Protocol, ANY),
    plain("ip4.dscp", Field::Dscp(Family::V4), EQ),
    keyed("ip6.saddr", Field::Address(Family::V6, Of::From), EQ),
    keyed("ip6.daddr", Field::Address(Family::V6, Of::To), EQ),
    keyed("ip6.snet", Field::Address(Family::V6, Of::From), EQ),
    keyed("ip6.dnet", Field::Address(Family::V6, Of::To), EQ),
    keyed("ip6.nexthdr", Field::NextHeader, EQ),
    plain("ip6.dscp", Field::Dscp(Family::V6), EQ),
    keyed("tcp.sport", Field::CarriedPort(6, Of::From), RANGE),
    keyed("tcp.dport", Field::CarriedPort(6, Of::To), RANGE),
    plain("tcp.flags", Field::Flags, BITS),
    keyed("udp.sport", Field::CarriedPort(17, Of::From), RANGE),
    keyed("udp.dport", Field::CarriedPort(17, Of::To), RANGE),
    keyed("icmp.type", Field::IcmpType(Family::V4), EQ),
    keyed("icmp.code", Field::IcmpCode(Family::V4), EQ),
    keyed("icmpv6.type", Field::IcmpType(Family::V6), EQ),
    keyed("icmpv6.code", Field::IcmpCode(Family::V6), EQ),
];

/// The matcher with a name.
pub(super) fn named(name: &str) -> Option<&'static Matcher> {
    MATCHERS.iter().find(|one| one.name == name)
}
