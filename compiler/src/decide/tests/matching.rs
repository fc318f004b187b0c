//! Which packets a rule speaks of.

use super::*;
use crate::protocol::IpProtocol;

#[test]
fn ports_exist_only_where_a_packet_has_them() {
    let ports = Transport::Ports { from: 1, to: 2 };
    let v4 = || tcp("192.0.2.1:1", "192.0.2.2:2");
    for (header, expected) in [
        (v4(), true),
        (tcp("[2001:db8::1]:1", "[2001:db8::2]:2"), true),
        (with(17, ports), true),
        (with(132, ports), true),
        (first(v4()), true),
        (icmp(8, 0), false),
        (with(47, Transport::None), false),
        (later(v4()), false),
    ] {
        assert_eq!(matched("to any:*", &header, Nobody), expected, "{header:?}");
        assert!(matched("to any", &header, Nobody));
    }
}

#[test]
fn not_covers_the_whole_list_in_both_families() {
    const NET: &str = "from not 10.0.0.0/8";
    const BOTH: &str = "from not 10.0.0.0/8, 192.0.2.0/24:53";
    let tcp_from = |from| tcp(from, "192.0.2.2:2");
    let icmp_from = |from: &str| Header {
        from: from.parse().unwrap(),
        ..icmp(8, 0)
    };
    let v6 = || tcp("[2001:db8::1]:53", "[2001:db8::2]:2");
    for (rule, header, expected) in [
        (NET, tcp_from("10.1.1.1:1"), false),
        (NET, tcp_from("11.1.1.1:1"), true),
        (NET, v6(), true),
        (NET, icmp_from("11.1.1.1"), true),
        (BOTH, tcp_from("10.1.1.1:1"), false),
        (BOTH, tcp_from("192.0.2.9:53"), false),
        (BOTH, tcp_from("192.0.2.9:54"), true),
        (BOTH, v6(), true),
        // A list with ports speaks only of packets that have ports.
        (BOTH, icmp_from("11.1.1.1"), false),
        (BOTH, later(tcp_from("11.1.1.1:1")), false),
    ] {
        assert_eq!(matched(rule, &header, Nobody), expected, "{header:?}");
    }
}

#[test]
fn icmp_is_one_family_and_its_types_are_read_only_where_they_are() {
    let over_v6 = |protocol, transport| Header {
        protocol,
        transport,
        ..tcp("[2001:db8::1]:1", "[2001:db8::2]:2")
    };
    let echo6 = Transport::Icmp { kind: 128, code: 0 };
    for (rule, header, expected) in [
        ("icmp", icmp(0, 0), true),
        ("icmp", later(icmp(0, 0)), true),
        ("icmp", over_v6(IpProtocol::ICMP, Transport::None), false),
        ("icmp6", over_v6(IpProtocol::ICMP6, echo6), true),
        ("icmp6", with(58, Transport::None), false),
        ("proto 58", with(58, Transport::None), true),
        ("icmp echo-request", icmp(8, 7), true),
        ("icmp echo-request", icmp(0, 0), false),
        ("icmp echo-request", later(icmp(8, 0)), false),
        ("icmp 3/4", icmp(3, 4), true),
        ("icmp 3/4", icmp(3, 3), false),
        ("tcp, icmp", icmp(3, 3), true),
    ] {
        assert_eq!(
            matched(rule, &header, Nobody),
            expected,
            "{rule} {header:?}"
        );
    }
}

#[test]
fn conditions_and_plain_negation() {
    let syn = || tcp("192.0.2.1:1", "192.0.2.2:2");
    let synack = || {
        let flags = SYN | ACK;
        let transport = Transport::Tcp {
            from: 1,
            to: 2,
            flags,
        };
        with(6, transport)
    };
    let gre = || with(47, Transport::None);
    for (condition, header, socket, expected) in [
        ("tcp flags syn no ack", syn(), Nobody, true),
        ("tcp flags syn no ack", synack(), Nobody, false),
        ("tcp flags syn no ack", gre(), Nobody, false),
        ("tcp flags syn no ack", later(syn()), Nobody, false),
        ("no tcp flags syn no ack", gre(), Nobody, true),
        ("fragment", syn(), Nobody, false),
        ("fragment", first(syn()), Nobody, true),
        ("fragment", later(syn()), Nobody, true),
        ("length <= 40", syn(), Nobody, true),
        ("length > 40", syn(), Nobody, false),
        ("length < 0", syn(), Nobody, false),
        ("socket exists", syn(), Listening, true),
        ("socket exists", syn(), Established, true),
        ("socket exists", syn(), Nobody, false),
        ("no socket", gre(), Nobody, true),
        ("no socket", syn(), Listening, false),
        ("socket listening", syn(), Established, false),
        ("socket established", syn(), Established, true),
        ("any of { fragment, socket exists }", syn(), Listening, true),
        ("any of { fragment, socket exists }", syn(), Nobody, false),
        ("socket exists and fragment", syn(), Listening, false),
        ("no no fragment", first(syn()), Nobody, true),
    ] {
        let rule = format!("if {condition}");
        assert_eq!(
            matched(&rule, &header, socket),
            expected,
            "{condition} {header:?}"
        );
    }
}
