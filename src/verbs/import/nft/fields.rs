//! What nft compares: fields of packets and what it knows of them, as conjunctions of the language.
//!
//! Takes an expression; gives the field, and for numbers of it what they ask. Not here: how values are written, and what a rule does.

use serde_json::Value;
use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::values::Kind;
use crate::verbs::import::flags::bit;
use crate::verbs::import::interfaces::End;
use crate::verbs::import::list::List;
use crate::verbs::import::points::{asked, points};
use crate::verbs::import::protocols::{BETWEEN, STEPPED_OVER};
use crate::verbs::import::rule::Asks;
use crate::verbs::import::types::types;
use crate::verbs::import::what::{Asked, What, any_of};

/// Which ports: those of one protocol, or of any that has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    One(u8),
    Any,
}

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    From(Family),
    To(Family),
    FromPort(Carrier),
    ToPort(Carrier),
    Protocol,
    ProtocolV4,
    NextHeader,
    IcmpType(Family),
    IcmpCode(Family),
    Ttl(Family),
    Dscp(Family),
    Ecn(Family),
    Length,
    LengthV4,
    LengthV6,
    Mark(u32),
    Flags(u8),
    Family,
    Interface(End),
    State,
    KindOfReceiver,
    HasFragmentHeader,
    /// An address of the frame: `from` or `to`.
    Hardware(&'static str),
}

/// The field of an expression, or why no rule asks for it.
pub(super) fn field(left: &Value) -> Result<Field, String> {
    if let Some([inner, mask]) = left.get("&").and_then(Value::as_array).map(Vec::as_slice) {
        return masked(field(inner)?, mask);
    }
    let (kind, of) = left
        .as_object()
        .and_then(|object| object.iter().next())
        .ok_or_else(|| format!("`{left}` is not known here"))?;
    let word = |name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default();
    match kind.as_str() {
        "payload" => payload(word("protocol"), word("field")),
        "meta" => meta(word("key")),
        "ct" => match word("key") {
            "state" => Ok(Field::State),
            key => Err(format!("`ct {key}`: there is no table of connections")),
        },
        "fib" => fib(of),
        "exthdr" if word("name") == "frag" && of.get("field").is_none() => {
            Ok(Field::HasFragmentHeader)
        }
        "exthdr" | "ip option" => Err("headers between are stepped over, and not asked".to_owned()),
        "tcp option" | "sctp chunk" | "dccp option" => Err(format!(
            "`{kind}`: what stands behind the header is not asked"
        )),
        "socket" => {
            Err("it asks for a socket by its settings; see `socket established`".to_owned())
        }
        "numgen" | "jhash" | "symhash" => {
            Err("chance decides nothing but what a log shows".to_owned())
        }
        "rt" => Err("how a packet is routed is not asked".to_owned()),
        "osf" => Err("the sender's system is not guessed".to_owned()),
        "ipsec" => Err("whether IPsec carried it is not asked".to_owned()),
        other => Err(format!("`{other}` is not known here")),
    }
}

/// A field of which only some bits are compared.
fn masked(field: Field, mask: &Value) -> Result<Field, String> {
    match field {
        Field::Mark(u32::MAX) => {
            let mask = mask.as_u64().and_then(|mask| u32::try_from(mask).ok());
            let mask = mask.ok_or_else(|| "the mask of the mark is no number".to_owned())?;
            Ok(Field::Mark(mask))
        }
        Field::Flags(u8::MAX) => Ok(Field::Flags(flags(mask)?)),
        _ => Err("only some bits of a field are meant, and a rule compares the whole".to_owned()),
    }
}

fn payload(protocol: &str, name: &str) -> Result<Field, String> {
    const V4: Family = Family::V4;
    const V6: Family = Family::V6;
    let carrier = match protocol {
        "tcp" => Some(Carrier::One(6)),
        "udp" => Some(Carrier::One(17)),
        "sctp" => Some(Carrier::One(132)),
        "th" => Some(Carrier::Any),
        _ => None,
    };
    Ok(match (protocol, name, carrier) {
        ("ip", "saddr", _) => Field::From(V4),
        ("ip", "daddr", _) => Field::To(V4),
        ("ip6", "saddr", _) => Field::From(V6),
        ("ip6", "daddr", _) => Field::To(V6),
        ("ip", "protocol", _) => Field::ProtocolV4,
        ("ip6", "nexthdr", _) => Field::NextHeader,
        ("ip", "ttl", _) => Field::Ttl(V4),
        ("ip6", "hoplimit", _) => Field::Ttl(V6),
        ("ether", "saddr", _) => Field::Hardware("from"),
        ("ether", "daddr", _) => Field::Hardware("to"),
        ("ip", "dscp", _) => Field::Dscp(V4),
        ("ip6", "dscp", _) => Field::Dscp(V6),
        ("ip", "ecn", _) => Field::Ecn(V4),
        ("ip6", "ecn", _) => Field::Ecn(V6),
        ("ip", "length", _) => Field::LengthV4,
        ("ip6", "length", _) => Field::LengthV6,
        (_, "sport", Some(carrier)) => Field::FromPort(carrier),
        (_, "dport", Some(carrier)) => Field::ToPort(carrier),
        ("tcp", "flags", _) => Field::Flags(u8::MAX),
        ("icmp", "type", _) => Field::IcmpType(V4),
        ("icmp", "code", _) => Field::IcmpCode(V4),
        ("icmpv6", "type", _) => Field::IcmpType(V6),
        ("icmpv6", "code", _) => Field::IcmpCode(V6),
        ("ip", "frag-off", _) => {
            return Err(
                "it is about some parts of a datagram, and `fragment` about every part".to_owned(),
            );
        }
        ("ether" | "vlan" | "arp", ..) => {
            return Err(format!(
                "`{protocol} {name}`: what stands ahead of the IP header is not asked"
            ));
        }
        ("dccp" | "udplite", ..) => return Err("ports are those of TCP, UDP and SCTP".to_owned()),
        ("", ..) => return Err("bytes of a packet by their place are not asked".to_owned()),
        _ => return Err(format!("`{protocol} {name}` is not asked")),
    })
}

fn meta(key: &str) -> Result<Field, String> {
    Ok(match key {
        "l4proto" => Field::Protocol,
        "nfproto" | "protocol" => Field::Family,
        "iif" | "iifname" => Field::Interface(End::CameIn),
        "oif" | "oifname" => Field::Interface(End::Leaves),
        "mark" => Field::Mark(u32::MAX),
        "length" => Field::Length,
        "skuid" | "skgid" | "cgroup" => {
            return Err(format!(
                "`meta {key}`: whose process sent a packet is not asked; `connect` rules decide what a group does"
            ));
        }
        "pkttype" => return Err("whether a frame was for many is not asked".to_owned()),
        "time" | "day" | "hour" => return Err("the time of day is not asked".to_owned()),
        _ => return Err(format!("`meta {key}` is not asked")),
    })
}

fn fib(of: &Value) -> Result<Field, String> {
    let flags = of.get("flags").map(ToString::to_string).unwrap_or_default();
    let is_type = of.get("result").and_then(Value::as_str) == Some("type");
    match is_type && flags == "[\"daddr\"]" {
        true => Ok(Field::KindOfReceiver),
        false => Err("where a packet would be routed is not asked; see the setting rp_filter of the kernel for senders".to_owned()),
    }
}

impl Field {
    /// How its values are written.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::From(family) | Self::To(family) => Kind::Address(family),
            Self::FromPort(_) | Self::ToPort(_) => Kind::Port,
            Self::Protocol | Self::ProtocolV4 | Self::NextHeader => Kind::Protocol,
            Self::IcmpType(family) => Kind::IcmpType(family),
            Self::IcmpCode(family) => Kind::IcmpCode(family),
            Self::Dscp(_) => Kind::Dscp,
            Self::Ecn(_) => Kind::Ecn,
            _ => Kind::Plain,
        }
    }

    /// The largest value.
    pub(super) fn last(self) -> u128 {
        match self {
            Self::From(Family::V4) | Self::To(Family::V4) | Self::Mark(_) => u32::MAX.into(),
            Self::From(Family::V6) | Self::To(Family::V6) => u128::MAX,
            Self::FromPort(_)
            | Self::ToPort(_)
            | Self::Length
            | Self::LengthV4
            | Self::LengthV6 => u16::MAX.into(),
            Self::Dscp(_) => 63,
            Self::Ecn(_) => 3,
            _ => u8::MAX.into(),
        }
    }

    /// Whether it is a port of whatever protocol there is.
    pub(super) fn is_of_any_carrier(self) -> bool {
        matches!(
            self,
            Self::FromPort(Carrier::Any) | Self::ToPort(Carrier::Any)
        )
    }

    /// The family that it belongs to, if it is one's.
    pub(super) fn family(self) -> Option<Family> {
        match self {
            Self::From(family)
            | Self::To(family)
            | Self::IcmpType(family)
            | Self::IcmpCode(family)
            | Self::Ttl(family)
            | Self::Dscp(family)
            | Self::Ecn(family) => Some(family),
            Self::ProtocolV4 | Self::LengthV4 => Some(Family::V4),
            Self::NextHeader | Self::LengthV6 | Self::HasFragmentHeader => Some(Family::V6),
            _ => None,
        }
    }

    /// What some of its values ask, of packets of a family that has it.
    pub(super) fn asks(
        self,
        values: &RangeSet<u128>,
        family: Family,
        list: List,
    ) -> Result<Asks, String> {
        let mut what = What::any(family);
        match self {
            Self::From(_) => what.from.addresses = values.clone(),
            Self::To(_) => what.to.addresses = values.clone(),
            Self::FromPort(carrier) | Self::ToPort(carrier) => {
                what.protocols = carried(carrier);
                let side = match self {
                    Self::FromPort(_) => &mut what.from,
                    _ => &mut what.to,
                };
                side.ports = Some(narrowed(values));
            }
            Self::Protocol | Self::ProtocolV4 | Self::NextHeader => {
                return self.protocols(values, what);
            }
            Self::IcmpType(_) => return types(values, family),
            Self::Ttl(_) => return Ok(numbers("ttl", values, 255, what)),
            Self::Length | Self::LengthV4 | Self::LengthV6 => {
                return Ok(self.lengths(values, what, list));
            }
            Self::Dscp(_) => return Ok(points("dscp", values, 63, what, ToString::to_string)),
            Self::Ecn(_) => return Ok(points("ecn", values, 3, what, |one| ecn(*one))),
            _ => return Err("it is compared in a way that is not known here".to_owned()),
        }
        Ok(what.into())
    }

    fn protocols(self, values: &RangeSet<u128>, mut what: What) -> Result<Asks, String> {
        let protocols: RangeSet<u8> = narrowed(values);
        let is_between = |one: &u8| protocols.contains(*one);
        let is_v6 = what.family == Family::V6;
        // All protocols but some are meant where these are among them.
        let is_all_but = protocols.contains(255) && protocols.contains(0);
        if is_v6 && BETWEEN.iter().any(is_between) && !is_all_but {
            return Err(STEPPED_OVER.to_owned());
        }
        what.protocols = protocols;
        let changed = "the first header behind that of IPv6 is meant there, and here the one behind all extension headers";
        Ok(Asks {
            changed: (self == Self::NextHeader).then(|| changed.to_owned()),
            ..what.into()
        })
    }

    /// Lengths: each fragment has one of its own here.
    fn lengths(self, values: &RangeSet<u128>, what: What, list: List) -> Asks {
        let fixed = if self == Self::LengthV6 { 40 } else { 0 };
        let ranges = values.ranges().iter();
        let values = RangeSet::from_ranges(ranges.map(|&(low, high)| (low + fixed, high + fixed)));
        let whole = match list {
            List::Forward => {
                "; there, where connections are tracked, it has the length of the whole"
            }
            List::In | List::Out => "; there it has the length of the whole",
        };
        let mut asks = numbers("length", &values, u128::from(u16::MAX) + fixed, what);
        asks.changed =
            Some("each fragment of a datagram has its own length here".to_owned() + whole);
        asks
    }
}

/// The protocols that have the ports of a header.
fn carried(carrier: Carrier) -> RangeSet<u8> {
    match carrier {
        Carrier::One(number) => RangeSet::from_ranges([(number, number)]),
        Carrier::Any => RangeSet::from_ranges([(6, 6), (17, 17), (132, 132)]),
    }
}

/// Values as numbers of fewer bits: none is larger.
fn narrowed<T: sockc_compiler::ranges::Bound + TryFrom<u128>>(
    values: &RangeSet<u128>,
) -> RangeSet<T> {
    let ranges = values.ranges().iter();
    RangeSet::from_ranges(
        ranges.filter_map(|&(low, high)| Some((T::try_from(low).ok()?, T::try_from(high).ok()?))),
    )
}

fn ecn(point: u128) -> String {
    match point {
        0 => "none",
        1 => "ect1",
        2 => "ect0",
        _ => "ce",
    }
    .to_owned()
}

/// A field that is compared by its size.
fn numbers(word: &str, values: &RangeSet<u128>, last: u128, what: What) -> Asks {
    let ranges = values.ranges();
    let texts: Vec<String> = ranges
        .iter()
        .map(|&(low, high)| match (low, high) {
            _ if low == high => format!("{word} = {low}"),
            (0, _) => format!("{word} <= {high}"),
            _ if high == last => format!("{word} >= {low}"),
            _ => format!("no any of {{ {word} < {low}, {word} > {high} }}"),
        })
        .collect();
    let with = match ranges.first() {
        Some(&(low, high)) if low == high || word == "ttl" => Some(format!("{word} {high}")),
        _ => None,
    };
    let text = Asked {
        text: any_of(texts),
        with,
    };
    asked(values, last, what, text)
}

/// The bits of flags as nft prints them: a name, several, or a number.
pub(super) fn flags(value: &Value) -> Result<u8, String> {
    let none = || format!("`{value}` are no flags of TCP");
    let all = value.get("|").unwrap_or(value);
    if let Some(all) = all.as_array() {
        let mut bits = all.iter().map(flags);
        return bits.try_fold(0, |so_far, bits| Ok(so_far | bits?));
    }
    if let Some(number) = all.as_u64() {
        return u8::try_from(number).map_err(|_| none());
    }
    let name = all.as_str().ok_or_else(none)?;
    // nft calls the flag after what it is for; its name is ECE.
    bit(if name == "ecn" { "ece" } else { name }).ok_or_else(none)
}

/// A mark, or bits of one: any of these, or none.
pub(super) fn of_marks(
    mask: u32,
    marks: &[u32],
    negated: bool,
    family: Family,
    list: List,
) -> Asks {
    let texts: Vec<String> = marks
        .iter()
        .map(|mark| match mask {
            u32::MAX => format!("mark {mark:#x}"),
            _ => format!("mark {mark:#x}/{mask:#x}"),
        })
        .collect();
    let with = marks.first().map(|mark| format!("mark {mark:#x}"));
    let asked = Asked::unless(negated, any_of(texts), with);
    let changed = "marks that netfilter sets on what arrives are set later than the policy decides";
    Asks {
        changed: (list == List::In).then(|| changed.to_owned()),
        ..What::asked(family, asked).into()
    }
}

/// Whether a word says the family of a packet; `None` where it says something else.
pub(super) fn family(word: &Value) -> Option<Family> {
    // `nft -n` prints the numbers of families (NFPROTO_IPV4 and NFPROTO_IPV6).
    match (word.as_str(), word.as_u64()) {
        (Some("ipv4" | "ip"), _) | (_, Some(2)) => Some(Family::V4),
        (Some("ipv6" | "ip6"), _) | (_, Some(10)) => Some(Family::V6),
        _ => None,
    }
}
