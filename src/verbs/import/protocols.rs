//! IP protocols by the names that tools print.
//!
//! Takes a name or a number; gives the number. Not here: what the protocols carry.

/// Numbers and names of protocols, as iptables-save and nft print them or /etc/protocols has them.
const PROTOCOLS: [(&str, u8); 26] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("eigrp", 88),
    ("ospf", 89),
    ("ipip", 94),
    ("encap", 98),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

/// Headers of IPv6 behind which another one stands. The kernel looks for that one (ipv6_find_hdr), so it never finds one of them last.
pub(super) const BETWEEN: [u8; 4] = [43, 44, 51, 60];
/// What is said of a rule about them.
pub(super) const STEPPED_OVER: &str = "headers of IPv6 that others stand behind are stepped over";

/// The number of a name in small letters, or that is written.
pub(super) fn number(name: &str) -> Option<u8> {
    let known = PROTOCOLS.iter().find(|(known, _)| *known == name);
    let known = known.map(|&(_, number)| number);
    known.or_else(|| name.parse().ok())
}
