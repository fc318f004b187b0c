//! What can be wrong with a packet in words, beyond its syntax.

sockc_grammar::codes! {
    NOT_ONE_ADDRESS = "E0231", "a packet without one single address on a side";
    NOT_ONE_PORT = "E0232", "several ports where a packet has one";
    PORTS_MISSING = "E0233", "a packet that has ports, without them";
    NOT_ONE_PROTOCOL = "E0234", "a packet without one single protocol";
    FAMILIES_DIFFER = "E0235", "a packet of two families";
    SIDE_MISSING = "E0236", "a packet without `from` or `to`";
    DOES_NOT_FIT = "E0237", "something that a packet of this kind does not have";
    SAID_TWICE = "E0238", "one thing said twice of a packet";
    LENGTH = "E0239", "a length that a packet of this kind cannot have";
    GROUP_MISSING = "E0240", "a write without a group";
}
