//! The codes of values and names, each with what it stands for.

sockc_grammar::codes! {
    UNKNOWN_NAME = "E0201", "a name that is used but not declared";
    HOST_BITS = "E0203", "a prefix with host bits set";
    PREFIX_TOO_LONG = "E0204", "a prefix length beyond that of its family";
    PORT_TOO_LARGE = "E0205", "a port above 65535";
    REVERSED_RANGE = "E0206", "a range whose end lies before its start";
    MIXED_FAMILIES = "E0207", "a range from one family to the other";
    UNKNOWN_SERVICE = "E0208", "a service name that is not in the table";
    UNKNOWN_ICMP_TYPE = "E0209", "an ICMP type name that is not in the table";
    ICMP_NUMBER = "E0210", "an ICMP type or code above 255";
    PROTOCOL_NUMBER = "E0211", "an IP protocol above 255";
    VALUE_RANGE = "E0320", "a number that its field cannot have";
    UNKNOWN_CODE = "E0321", "a name that no value of a field has";
    NETNS_NAME = "E0328", "a name that no network namespace can have";
    INTERFACE_NAME = "E0329", "a name that no single interface can have";
    NO_MEANING_YET = "E0399", "a construct of the language that comes in a later version";
    MATCHES_NOTHING = "W0502", "something that can match nothing";
}
