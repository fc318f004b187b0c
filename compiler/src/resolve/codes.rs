//! The resolver's codes, each with what it stands for.

use sockc_grammar::diagnostic::Code;

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: Code = Code($code);)*

        /// Every code of the resolver, in order, with what it stands for.
        pub const CODES: &[(Code, &str)] = &[$(($name, $meaning)),*];
    };
}

codes! {
    UNKNOWN_NAME = "E0201", "a name that is used but not declared";
    DECLARED_TWICE = "E0202", "a name that is declared twice";
    HOST_BITS = "E0203", "a prefix with host bits set";
    PREFIX_TOO_LONG = "E0204", "a prefix length beyond that of its family";
    PORT_TOO_LARGE = "E0205", "a port above 65535";
    REVERSED_RANGE = "E0206", "a range whose end lies before its start";
    MIXED_FAMILIES = "E0207", "a range from one family to the other";
    UNKNOWN_SERVICE = "E0208", "a service name that is not in the table";
    UNKNOWN_ICMP_TYPE = "E0209", "an ICMP type name that is not in the table";
    ICMP_NUMBER = "E0210", "an ICMP type or code above 255";
    PROTOCOL_NUMBER = "E0211", "an IP protocol above 255";
    SET_OF_PORTS = "E0212", "a set of ports where addresses are needed";
    SET_OF_ADDRESSES = "E0213", "a set of addresses where ports are needed";
    EMPTY_SET = "E0214", "a set with nothing in it";
    SET_CYCLE = "E0215", "a set that is made of itself";
    MISSING_DEFAULT = "E0216", "a direction with an allow or drop rule, but no default";
    DEFAULT_TWICE = "E0217", "a second default for one direction";
    VERSION = "E0218", "a language version that this sockc does not know, or that is not first";
    POLICY_TWICE = "E0219", "a second policy line";
    LISTEN_TWICE = "E0220", "a socket with two addresses for one family and protocol";
    LISTEN_PORT = "E0221", "a listening port that is 0 or above 65535";
    GROUPS_OVERLAP = "E0222", "a group whose cgroup is another's or lies inside it";
    CGROUP_PATH = "E0223", "a cgroup path that is not a path from the root";
    ONLY_LIVE = "E0224", "a size or an expiry on a set that is not live";
    INCLUDE_CYCLE = "E0225", "a file that includes itself";
    UNREADABLE = "E0226", "a file that cannot be read";
    UNKNOWN_BUILTIN = "E0227", "an included text that sockc does not bring";
    TOO_MANY_INCLUDES = "E0228", "more included files than a policy may have";
    LIST_LINE = "E0229", "a line of a list that is no address, prefix or range";
    LIST_TOO_LONG = "E0230", "a list with more elements than its set allows";
    NO_MAX = "E0241", "a live set or map without a size";
    LIVE_ARITHMETIC = "E0242", "a live set in the arithmetic of sets";
    LIVE_RANGE = "E0243", "an element of a live set that is no prefix";
    START_TOO_LONG = "E0244", "a live set or map that starts with more than it can hold";
    NOT_A_SET = "E0245", "a map where a set is needed, or the reverse";
    ON_TWICE = "E0246", "a rule in a block with interfaces of its own";
    TWO_ZONES = "E0247", "an interface in two zones";
    TOO_MANY_CLASSES = "E0248", "more kinds of interfaces than can be told apart";
    BLOCK_NESTED = "E0249", "a block inside a block";
    NOT_A_RULE = "E0250", "something in a block that is no rule";
    MAP_TIE = "E0251", "two entries of a map for the same packets";
    MAP_OVERLAP = "E0252", "entries of a map whose port ranges overlap without nesting";
    MAP_ENTRY = "E0253", "an entry of a map that is no prefix with ports";
    ON_SEND = "E0254", "a rule on sends that names interfaces";
    MAP_DESTINATION = "E0255", "a redirect by a map with a destination of its own";
    MAP_PROTOCOL = "E0256", "a protocol that no socket of a map takes";
    EXPECTATION = "E0257", "an expect line that says what no packet can be";
    SOCKET_OWNER = "E0266", "an owner of a socket that is no user, or is anybody";
    VERB_MISPLACED = "E0301", "a verb that does not fit its place";
    NO_TARGET = "E0302", "a steering rule that does not say where to";
    SOCKET_PROTOCOL = "E0303", "a protocol that the socket does not take";
    HOOK_CANNOT = "E0304", "a hook that cannot evaluate the rule which names it";
    LOOKUP_CANNOT_READ = "E0305", "a redirect on something that a socket lookup cannot read";
    GROUP_MISPLACED = "E0306", "a group where no socket of a group takes part";
    SEND_PROTOCOL = "E0307", "a rule on sends that names another protocol than tcp";
    TARGET_MISPLACED = "E0308", "a target that does not belong to the verb";
    SEND_CONDITION = "E0309", "a condition on a packet in a rule on sends";
    VALUE_RANGE = "E0320", "a number that its field cannot have";
    UNKNOWN_CODE = "E0321", "a name that no value of a field has";
    OUTSIDE_MASK = "E0322", "a mark with bits outside its mask";
    RATE_VALUE = "E0323", "a rate that no bucket can keep";
    RATE_MISPLACED = "E0324", "a rate where nothing can meter";
    MARK_MISPLACED = "E0325", "a mark on a rule that cannot set one";
    LOG_LIMIT = "E0326", "a log limit that lets nothing through, or is no part";
    SOCKET_ORIGIN = "E0327", "a unit, a name or a file that a socket cannot come from";
    NETNS_NAME = "E0328", "a name that no network namespace can have";
    INTERFACE_NAME = "E0329", "a name that no single interface can have";
    OUT_CONDITION = "E0330", "a condition that makes no sense of packets that leave";
    NO_MEANING_YET = "E0399", "a construct of the language that comes in a later version";
    LOG_LIMITED = "N0620", "a log without limits, which gets one";
    LABEL_TWICE = "W0501", "a label that two rules have";
    MATCHES_NOTHING = "W0502", "something that can match nothing";
    ELEMENTS_OVERLAP = "W0503", "elements of a set that overlap";
    SMALL_BURST = "W0520", "a rate of bytes that a usual packet never fits";
}

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn codes_are_distinct_and_in_order() {
        assert!(CODES.is_sorted_by(|(left, _), (right, _)| left < right));
    }
}
