//! Every kind of syntax mistake, with its stable code and a short title.
//!
//! The messages stand next to what finds them: in `mistake.rs` (what did not parse) and in `tree/` (what parsed and is
//! wrong all the same). Not here: mistakes of meaning, which later stages declare.

use crate::diagnostic::Code;

/// Something else is expected here.
pub const EXPECTED: Code = Code("E0101");
/// A word that the language does not have.
pub const UNKNOWN_WORD: Code = Code("E0102");
/// A word of nftables, pf, iptables, …
pub const FOREIGN_WORD: Code = Code("E0103");
/// A string without its closing quote.
pub const OPEN_STRING: Code = Code("E0104");
/// A list or block without its `}`.
pub const OPEN_BRACE: Code = Code("E0105");
/// A `}` that closes nothing.
pub const STRAY_BRACE: Code = Code("E0106");
/// A number beyond 64 bits.
pub const NUMBER_TOO_LARGE: Code = Code("E0107");
/// A clause written twice.
pub const TWICE: Code = Code("E0108");
/// A reserved word where a name is expected.
pub const RESERVED_NAME: Code = Code("E0109");
/// Text that looks like an address and is none.
pub const BAD_ADDRESS: Code = Code("E0110");
/// An IPv6 address with ports and without brackets.
pub const BARE_IPV6: Code = Code("E0111");
/// A blank inside `ADDRESS:PORTS`.
pub const BLANK_IN_ENDPOINT: Code = Code("E0112");
/// Conditions or blocks inside each other beyond reason.
pub const TOO_DEEP: Code = Code("E0113");
/// A destination without `to` in a rule that is no redirect.
pub const BARE_DESTINATION: Code = Code("E0114");
/// `\x` in a string.
pub const BAD_ESCAPE: Code = Code("E0115");
/// A statement that ends before it is complete.
pub const INCOMPLETE: Code = Code("E0116");
/// `label:` without a blank after it.
pub const GLUED_LABEL: Code = Code("E0117");
/// So many mistakes that the rest was not read.
pub const TOO_MANY: Code = Code("E0118");
/// Ports on an element of a set.
pub const PORTS_IN_SET: Code = Code("E0119");
/// A whole file of nftables, iptables, ufw, pf or firewalld.
pub const FOREIGN_FILE: Code = Code("E0120");

/// A construct of the language that comes in a later version. The compiler refuses what parses with the same code, and has
/// its title.
pub const NO_MEANING_YET: Code = Code("E0399");

/// Every code of this crate with its title, in order.
pub const CODES: &[(Code, &str)] = &[
    (EXPECTED, "something else is expected here"),
    (UNKNOWN_WORD, "unknown word"),
    (FOREIGN_WORD, "word of another tool"),
    (OPEN_STRING, "string without its closing quote"),
    (OPEN_BRACE, "missing `}`"),
    (STRAY_BRACE, "`}` that closes nothing"),
    (NUMBER_TOO_LARGE, "number too large"),
    (TWICE, "clause written twice"),
    (RESERVED_NAME, "reserved word used as a name"),
    (BAD_ADDRESS, "not an address"),
    (BARE_IPV6, "IPv6 address with ports needs brackets"),
    (BLANK_IN_ENDPOINT, "blank inside ADDRESS:PORTS"),
    (TOO_DEEP, "nested too deeply"),
    (BARE_DESTINATION, "destination without its `to`"),
    (BAD_ESCAPE, "unknown escape in a string"),
    (INCOMPLETE, "statement ends too early"),
    (GLUED_LABEL, "label without a blank after it"),
    (TOO_MANY, "too many mistakes"),
    (PORTS_IN_SET, "ports on an element of a set"),
    (FOREIGN_FILE, "a file of another tool"),
];
