//! The rows of the fields of a header, in their order.

use super::{Exists, HeaderField, Kind, Names, Plain, Row};
use crate::event::{Fragment, Header, Transport};
use crate::field::Field;
use crate::names;

pub(super) static FRAGMENT: Row = Row {
    field: HeaderField::Fragment,
    what: "fragments",
    kind: Kind::Present,
    max: 2,
    exists: Exists::Always,
    plain: Plain::Value(0),
    names: None,
    variables: &[Field::Fragment],
    get: |header| Some(header.fragment as u64),
    set: |header, value| {
        header.fragment = match value {
            0 => Fragment::Whole,
            1 => Fragment::First,
            _ => Fragment::Later,
        };
    },
    edges: &[],
    // More than once, since few packets are fragments, and rules on them seldom decide.
    drawn: &["fragment"; 3],
};

pub(super) static TCP_FLAGS: Row = Row {
    field: HeaderField::TcpFlags,
    what: "tcp flags",
    kind: Kind::Flags,
    max: 0xff,
    exists: Exists::InTcp,
    // A SYN alone.
    plain: Plain::Value(2),
    names: None,
    variables: &[Field::TcpFlags],
    get: |header| match header.transport {
        Transport::Tcp { flags, .. } => Some(flags.into()),
        _ => None,
    },
    set: |header, value| {
        if let Transport::Tcp { flags, .. } = &mut header.transport {
            *flags = value as u8;
        }
    },
    edges: &[Some(0), Some(2), Some(0x10), Some(0x12), Some(0xff)],
    drawn: &[
        "tcp flags syn",
        "tcp flags syn no ack",
        "tcp flags no syn",
        "tcp flags rst fin",
        "tcp flags ack psh no fin rst",
    ],
};

pub(super) static LENGTH: Row = Row {
    field: HeaderField::Length,
    what: "a packet's length",
    kind: Kind::Range,
    // Segments that were joined are longer than any length field can say.
    max: u32::MAX as u64,
    exists: Exists::Always,
    plain: Plain::Shortest,
    names: None,
    variables: &[Field::Length],
    get: |header| Some(header.length.into()),
    set: |header, value| header.length = value as u32,
    // Mostly the shortest packet: length is seldom what a rule is about.
    edges: &[
        Some(0),
        Some(0),
        Some(0),
        Some(0),
        Some(64),
        Some(100),
        Some(1500),
    ],
    drawn: &[
        "length > 468",
        "length <= 60",
        "length = 40",
        "length < 1500",
        "length >= 1280",
    ],
};

pub(super) static TTL: Row = Row {
    field: HeaderField::Ttl,
    what: "a time to live",
    kind: Kind::Range,
    max: 255,
    exists: Exists::Always,
    plain: Plain::Value(64),
    names: None,
    variables: &[Field::Ttl],
    get: |header| Some(header.ttl.into()),
    set: |header, value| header.ttl = value as u8,
    edges: &[Some(0), Some(1), Some(64), Some(255)],
    drawn: &["ttl < 2", "ttl = 64", "ttl >= 255", "ttl <= 128"],
};

pub(super) static DSCP: Row = Row {
    field: HeaderField::Dscp,
    what: "a DSCP value",
    kind: Kind::Code,
    max: 63,
    exists: Exists::Always,
    plain: Plain::Value(0),
    names: Some(&Names {
        table: names::DSCP,
        such_as: "`ef`, `cs0` to `cs7`, `af11` to `af43`",
        numbers: true,
    }),
    variables: &[Field::Dscp],
    get: |header| Some(header.dscp.into()),
    set: |header, value| header.dscp = value as u8,
    edges: &[Some(0), Some(46), Some(63)],
    drawn: &["dscp ef", "dscp cs0", "dscp 63", "dscp af11"],
};

pub(super) static ECN: Row = Row {
    field: HeaderField::Ecn,
    what: "an ECN codepoint",
    kind: Kind::Code,
    max: 3,
    exists: Exists::Always,
    plain: Plain::Value(0),
    // Not in the order of their values (RFC 3168, section 5), so they are not written as numbers.
    names: Some(&Names {
        table: &[("none", 0), ("ect1", 1), ("ect0", 2), ("ce", 3)],
        such_as: "`ce`, `ect0`, `ect1` or `none`",
        numbers: false,
    }),
    variables: &[Field::Ecn],
    get: |header| Some(header.ecn.into()),
    set: |header, value| header.ecn = value as u8,
    edges: &[Some(0), Some(1), Some(2), Some(3)],
    drawn: &["ecn ce", "ecn ect0", "ecn ect1", "ecn none"],
};

pub(super) static MARK: Row = Row {
    field: HeaderField::Mark,
    what: "a packet mark",
    kind: Kind::Masked,
    max: u32::MAX as u64,
    exists: Exists::Always,
    plain: Plain::Value(0),
    names: None,
    // By bytes, since masks often keep only the low ones.
    variables: &[Field::Mark0, Field::Mark1, Field::Mark2, Field::Mark3],
    get: |header| Some(header.mark.into()),
    set: |header, value| header.mark = value as u32,
    edges: &[Some(0), Some(0), Some(u32::MAX as u64)],
    drawn: &["mark 7", "mark 0", "mark 0x10/0xff", "mark 0/1"],
};

pub(super) static VLAN: Row = Row {
    field: HeaderField::Vlan,
    what: "a VLAN identifier",
    kind: Kind::Code,
    max: 4095,
    exists: Exists::Optional,
    plain: Plain::Absent,
    names: None,
    variables: &[Field::Vlan],
    get: |header| header.vlan.map(u64::from),
    set: |header, value| header.vlan = Some(value as u16),
    edges: &[None, None, Some(0), Some(4095)],
    drawn: &["vlan 12", "vlan 0", "vlan 4095"],
};

pub(super) static ETHER_FROM: Row = Row {
    field: HeaderField::EtherFrom,
    what: "a hardware address",
    kind: Kind::Address,
    max: HARDWARE,
    exists: Exists::Always,
    plain: Plain::Value(Header::PLAIN.ether_from),
    names: None,
    variables: &[Field::EtherFrom0, Field::EtherFrom1],
    get: |header| Some(header.ether_from),
    set: |header, value| header.ether_from = value & HARDWARE,
    edges: &[Some(0x02_42_ac_11_00_02), Some(0x02_42_ac_11_00_03)],
    drawn: &[
        "ether from 02:42:ac:11:00:02",
        "ether from 02:73:6b:00:00:01",
    ],
};

pub(super) static ETHER_TO: Row = Row {
    field: HeaderField::EtherTo,
    plain: Plain::Value(Header::PLAIN.ether_to),
    variables: &[Field::EtherTo0, Field::EtherTo1],
    get: |header| Some(header.ether_to),
    set: |header, value| header.ether_to = value & HARDWARE,
    // The kernel takes frames for these further than to a hook: a machine's own, and all machines.
    edges: &[Some(Header::PLAIN.ether_to), Some(0xff_ff_ff_ff_ff_ff)],
    drawn: &[
        "ether to 02:73:6b:00:00:01",
        "ether to ff:ff:ff:ff:ff:ff",
        "ether to 02:42:ac:11:00:02",
    ],
    ..ETHER_FROM
};

/// The largest hardware address.
const HARDWARE: u64 = 0xffff_ffff_ffff;
