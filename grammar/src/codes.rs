//! Every kind of syntax mistake, with its stable code and a short title.
//!
//! The messages stand next to what finds them: in `mistake.rs` (what did not parse) and in `tree/` (what parsed and is
//! wrong all the same). Not here: mistakes of meaning, which later stages declare.

use crate::diagnostic::Code;

crate::codes! {
    EXPECTED = "E0101", "something else is expected here";
    UNKNOWN_WORD = "E0102", "unknown word";
    FOREIGN_WORD = "E0103", "word of another tool";
    OPEN_STRING = "E0104", "string without its closing quote";
    OPEN_BRACE = "E0105", "missing `}`";
    STRAY_BRACE = "E0106", "`}` that closes nothing";
    NUMBER_TOO_LARGE = "E0107", "number too large";
    TWICE = "E0108", "clause written twice";
    RESERVED_NAME = "E0109", "reserved word used as a name";
    BAD_ADDRESS = "E0110", "not an address";
    BARE_IPV6 = "E0111", "IPv6 address with ports needs brackets";
    BLANK_IN_ENDPOINT = "E0112", "blank inside ADDRESS:PORTS";
    TOO_DEEP = "E0113", "nested too deeply";
    BARE_DESTINATION = "E0114", "destination without its `to`";
    BAD_ESCAPE = "E0115", "unknown escape in a string";
    INCOMPLETE = "E0116", "statement ends too early";
    GLUED_LABEL = "E0117", "label without a blank after it";
    TOO_MANY = "E0118", "too many mistakes";
    PORTS_IN_SET = "E0119", "ports on an element of a set";
    FOREIGN_FILE = "E0120", "a file of another tool";
    UNSEEN = "E0121", "a protocol that no hook of the kernel decides about";
}

/// A construct of the language that comes in a later version. The compiler refuses what parses with the same code, and has
/// its title.
pub const NO_MEANING_YET: Code = Code("E0399");
