//! What can be wrong with a packet in words, beyond its syntax.

use sockc_grammar::diagnostic::Code;

/// A set, prefix, range or `any` where a packet has one address.
pub const NOT_ONE_ADDRESS: Code = Code("E0231");
/// Several ports where a packet has one.
pub const NOT_ONE_PORT: Code = Code("E0232");
/// A packet that has ports, without them.
pub const PORTS_MISSING: Code = Code("E0233");
/// No protocol, or several.
pub const NOT_ONE_PROTOCOL: Code = Code("E0234");
/// Addresses, or an address and a protocol, of different families.
pub const FAMILIES_DIFFER: Code = Code("E0235");
/// `from` or `to` is missing.
pub const SIDE_MISSING: Code = Code("E0236");
/// Something that a packet of this kind does not have.
pub const DOES_NOT_FIT: Code = Code("E0237");
/// One thing said twice, or both ways.
pub const SAID_TWICE: Code = Code("E0238");
/// A length that a packet of this kind cannot have.
pub const LENGTH: Code = Code("E0239");
/// A write without a group.
pub const GROUP_MISSING: Code = Code("E0240");

/// Every code of packets in words, in order, with what it stands for.
pub const CODES: &[(Code, &str)] = &[
    (
        NOT_ONE_ADDRESS,
        "a packet without one single address on a side",
    ),
    (NOT_ONE_PORT, "several ports where a packet has one"),
    (PORTS_MISSING, "a packet that has ports, without them"),
    (NOT_ONE_PROTOCOL, "a packet without one single protocol"),
    (FAMILIES_DIFFER, "a packet of two families"),
    (SIDE_MISSING, "a packet without `from` or `to`"),
    (
        DOES_NOT_FIT,
        "something that a packet of this kind does not have",
    ),
    (SAID_TWICE, "one thing said twice of a packet"),
    (LENGTH, "a length that a packet of this kind cannot have"),
    (GROUP_MISSING, "a write without a group"),
];
