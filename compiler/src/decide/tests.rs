//! The language page's points, one test each: a policy, and what it says of packets.

mod matching;

use std::net::IpAddr;

use cranelift_entity::EntityRef;
use sockc_grammar::diagnostic::Severity;
use sockc_grammar::parse;
use sockc_grammar::source::SourceMap;

use super::*;
use crate::event::Transport;
use crate::policy::{Family, NetnsId, RuleId};
use crate::protocol::IpProtocol;
use crate::tests::resolve;
use SocketAnswer::{Established, Listening, None as Nobody};
use Verdict::{Allow, Drop, Reject};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn policy(text: &str) -> Policy {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text);
    let (file, mistakes) = parse(&sources, id);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let (policy, diagnostics) = resolve(file, &sources, "test");
    let errors: Vec<_> = diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}\n{text}");
    policy.unwrap()
}

/// A world where the lookup finds the same for every packet, and every named socket is there or none is.
struct Fixed {
    socket: SocketAnswer,
    present: bool,
}

impl World for Fixed {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        self.socket
    }
    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        self.present
    }
}

fn world(socket: SocketAnswer) -> Fixed {
    Fixed {
        socket,
        present: true,
    }
}

/// `10.0.0.1:22` or `[2001:db8::1]:22` in two parts.
fn address(text: &str) -> (IpAddr, u16) {
    let (address, port) = text.rsplit_once(':').unwrap();
    let address = address.trim_start_matches('[').trim_end_matches(']');
    (address.parse().unwrap(), port.parse().unwrap())
}

/// A TCP SYN.
fn tcp(from: &str, to: &str) -> Header {
    let ((from, from_port), (to, to_port)) = (address(from), address(to));
    Header {
        from,
        to,
        protocol: IpProtocol::TCP,
        fragment: Fragment::Whole,
        transport: Transport::Tcp {
            from: from_port,
            to: to_port,
            flags: SYN,
        },
        length: 40,
        ..Header::PLAIN
    }
}

fn with(protocol: u8, transport: Transport) -> Header {
    Header {
        protocol: IpProtocol(protocol),
        transport,
        ..tcp("192.0.2.1:1", "192.0.2.2:2")
    }
}

fn udp(from: &str, to: &str) -> Header {
    let ((_, from_port), (_, to_port)) = (address(from), address(to));
    Header {
        protocol: IpProtocol::UDP,
        transport: Transport::Ports {
            from: from_port,
            to: to_port,
        },
        ..tcp(from, to)
    }
}

fn icmp(kind: u8, code: u8) -> Header {
    with(1, Transport::Icmp { kind, code })
}

fn first(header: Header) -> Header {
    Header {
        fragment: Fragment::First,
        ..header
    }
}

fn later(header: Header) -> Header {
    Header {
        fragment: Fragment::Later,
        transport: Transport::None,
        ..header
    }
}

fn arrives(header: &Header) -> Event {
    Event::Packet {
        direction: Direction::In,
        class: Policy::plain_class(),
        packet: Parsed::Ip(header.clone()),
    }
}

/// Whether a packet matches what follows `allow` in a list that drops by default.
fn matched(rule: &str, header: &Header, socket: SocketAnswer) -> bool {
    let policy = policy(&format!("default in drop allow {rule}"));
    decide(&policy, &arrives(header), &world(socket)).verdict == Allow
}

fn rule(number: usize) -> Decider {
    Decider::Rule(RuleId::new(number))
}

#[test]
fn first_match_wins_and_counts_go_on() {
    let policy = policy(
        "default in drop default out drop
         drop out
         count
         drop udp
         allow
         count
         drop",
    );
    let packet = tcp("192.0.2.1:1", "192.0.2.2:2");
    assert_eq!(
        decide(&policy, &arrives(&packet), &world(Nobody)),
        Decision {
            verdict: Allow,
            decider: rule(3),
            counted: vec![RuleId::new(1)],
            mark: None,
            member: None,
        }
    );
}

#[test]
fn what_nothing_matches_gets_the_default_or_goes_on() {
    let packet = arrives(&tcp("192.0.2.1:1", "192.0.2.2:2"));
    for (text, verdict, decider) in [
        ("policy empty", Allow, Decider::Unmatched),
        ("default out drop", Allow, Decider::Unmatched),
        ("default in drop", Drop, Decider::Default),
        ("default in allow", Allow, Decider::Default),
    ] {
        let decision = decide(&policy(text), &packet, &world(Nobody));
        assert_eq!((decision.verdict, decision.decider), (verdict, decider));
    }
}

#[test]
fn frames_that_are_not_ip_pass_and_malformed_ones_get_the_default() {
    for (text, packet, verdict, decider) in [
        ("default in drop drop", Parsed::NotIp, Allow, Decider::NotIp),
        (
            "default in drop allow",
            Parsed::Malformed,
            Drop,
            Decider::Malformed,
        ),
        (
            "default in allow drop",
            Parsed::Malformed,
            Allow,
            Decider::Malformed,
        ),
        ("count", Parsed::Malformed, Allow, Decider::Malformed),
    ] {
        let event = Event::Packet {
            direction: Direction::In,
            class: Policy::plain_class(),
            packet,
        };
        let decision = decide(&policy(text), &event, &world(Nobody));
        assert_eq!((decision.verdict, decision.decider), (verdict, decider));
        assert!(decision.counted.is_empty());
    }
}

/// `redirect` of an address, with or without ports, to a socket that is silent when absent or not.
fn redirect(to: &str, absent: &str) -> Policy {
    policy(&format!(
        "default in drop
         socket proxy = tcp listen 127.0.0.1:1234 if absent {absent}
         redirect {to} to sock proxy"
    ))
}

#[test]
fn redirects_hand_over_new_flows_and_never_fall_through() {
    let steered = Verdict::Redirect(SocketId::new(0));
    let packet = tcp("192.0.2.1:1", "3.3.3.3:80");
    // (if absent …, what the lookup finds, present, on an interface of the policy, verdict)
    for (absent, socket, present, ours, verdict) in [
        ("reject", Nobody, true, true, steered),
        ("reject", Listening, true, true, steered),
        ("reject", Established, true, true, Allow),
        ("reject", Established, false, true, Allow),
        ("reject", Listening, false, true, Reject),
        ("drop", Listening, false, true, Drop),
        ("drop", Established, false, true, Allow),
        ("drop", Nobody, true, false, steered),
        ("drop", Nobody, false, false, Reject),
    ] {
        let event = if ours {
            arrives(&packet)
        } else {
            Event::Lookup {
                class: Policy::plain_class(),
                header: packet.clone(),
            }
        };
        let policy = redirect("3.3.3.3:*", absent);
        let decision = decide(&policy, &event, &Fixed { socket, present });
        assert_eq!(decision.verdict, verdict, "{absent} {socket:?} {present}");
        assert_eq!(decision.decider, rule(0));
    }
    // The protocols are those of the socket.
    let udp = arrives(&udp("192.0.2.1:1", "3.3.3.3:80"));
    let decision = decide(&redirect("3.3.3.3:*", "drop"), &udp, &world(Nobody));
    assert_eq!(decision.decider, Decider::Default);
}

#[test]
fn later_fragments_of_a_redirect_go_to_their_datagram() {
    let packet = arrives(&later(tcp("192.0.2.1:1", "3.3.3.3:80")));
    let absent = Fixed {
        socket: Nobody,
        present: false,
    };
    for (to, verdict) in [("3.3.3.3", Allow), ("3.3.3.3:*", Drop)] {
        assert_eq!(
            decide(&redirect(to, "drop"), &packet, &absent).verdict,
            verdict
        );
    }
}

#[test]
fn at_sk_lookup_limits_a_rule_to_new_flows() {
    let packet = || tcp("192.0.2.1:1", "192.0.2.2:80");
    for (header, socket, expected) in [
        (packet(), Nobody, true),
        (packet(), Listening, true),
        (packet(), Established, false),
        (with(47, Transport::None), Nobody, false),
        (later(packet()), Nobody, false),
    ] {
        assert_eq!(
            matched("at sk_lookup", &header, socket),
            expected,
            "{header:?}"
        );
    }
}

#[test]
fn at_a_lookup_only_redirects_and_the_allows_ahead_of_them_count() {
    let policy = policy(
        "default in drop
         socket proxy = tcp listen 127.0.0.1:1234
         drop
         count
         count at sk_lookup
         allow if no fragment
         allow if socket established
         allow if socket exists
         allow to 192.0.2.1
         redirect to sock proxy",
    );
    let ask = |header| {
        decide(
            &policy,
            &Event::Lookup {
                class: Policy::plain_class(),
                header,
            },
            &world(Established),
        )
    };
    let allowed = ask(tcp("192.0.2.9:1", "192.0.2.1:80"));
    assert_eq!((allowed.verdict, allowed.decider), (Allow, rule(6)));
    assert_eq!(allowed.counted, [RuleId::new(2)]);
    let steered = ask(tcp("192.0.2.9:1", "192.0.2.2:80"));
    assert_eq!(steered.verdict, Verdict::Redirect(SocketId::new(0)));
    let other = ask(udp("192.0.2.9:1", "192.0.2.2:80"));
    assert_eq!((other.verdict, other.decider), (Allow, Decider::Unmatched));
}

/// One condition of several that a lookup cannot read keeps the rule from it; a packet mark is nothing that a lookup sets.
#[test]
fn a_lookup_reads_all_of_a_rule_and_sets_no_mark() {
    let policy = policy(
        "default in drop
         socket proxy = tcp listen 127.0.0.1:1234
         allow if any of { fragment, no socket established }
         allow tcp to 192.0.2.1 mark 5
         redirect tcp to any:80 to sock proxy",
    );
    let header = tcp("192.0.2.9:1", "192.0.2.1:80");
    let lookup = Event::Lookup {
        class: Policy::plain_class(),
        header: header.clone(),
    };
    let asked = decide(&policy, &lookup, &world(Nobody));
    assert_eq!((asked.decider, asked.mark), (rule(1), None));
    let packet = Event::Packet {
        direction: Direction::In,
        class: Policy::plain_class(),
        packet: Parsed::Ip(header),
    };
    assert_eq!(decide(&policy, &packet, &world(Nobody)).decider, rule(0));
    let marked = decide(&policy, &packet, &world(Established));
    assert_eq!((marked.decider, marked.mark), (rule(1), Some(5)));
}

/// What begins a connection: a SYN without ACK, and a datagram without a connected socket. All else conforms.
#[test]
fn a_rate_of_connections_asks_of_what_begins_one() {
    struct Full(SocketAnswer);
    impl World for Full {
        fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
            self.0
        }
        fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
            true
        }
        fn conforms(&self, _: RuleId, _: &Header) -> bool {
            false
        }
    }
    let policy = policy("default in allow drop above 5 connections/second");
    let flags = |flags| Header {
        transport: Transport::Tcp {
            from: 1,
            to: 80,
            flags,
        },
        ..tcp("192.0.2.9:1", "192.0.2.1:80")
    };
    for (header, socket, begins) in [
        (flags(SYN), Nobody, true),
        (flags(SYN), Established, true),
        (flags(SYN | ACK), Nobody, false),
        (flags(ACK), Nobody, false),
        (udp("192.0.2.9:1", "192.0.2.1:80"), Nobody, true),
        (udp("192.0.2.9:1", "192.0.2.1:80"), Listening, true),
        (udp("192.0.2.9:1", "192.0.2.1:80"), Established, false),
    ] {
        let event = Event::Packet {
            direction: Direction::In,
            class: Policy::plain_class(),
            packet: Parsed::Ip(header.clone()),
        };
        let verdict = decide(&policy, &event, &Full(socket)).verdict;
        assert_eq!(verdict == Drop, begins, "{header:?} {socket:?}");
    }
}

#[test]
fn a_packet_longer_than_a_full_bucket_never_fits() {
    for (part, within, beyond) in [("above", Drop, Allow), ("up to", Allow, Drop)] {
        let policy = policy(&format!(
            "default in drop allow {part} 9000 bytes/second burst 1000"
        ));
        for (length, wanted) in [(28, within), (1000, within), (1001, beyond)] {
            let header = Header {
                length,
                ..udp("192.0.2.9:1", "192.0.2.1:80")
            };
            let event = Event::Packet {
                direction: Direction::In,
                class: Policy::plain_class(),
                packet: Parsed::Ip(header),
            };
            let verdict = decide(&policy, &event, &world(Nobody)).verdict;
            assert_eq!(verdict, wanted, "{part} {length}");
        }
    }
}

#[test]
fn sends_are_decided_by_the_rules_of_their_group() {
    let policy = policy(
        "default send allow
         group a = cgroup \"/a\"
         group b = cgroup \"/b\"
         group c = cgroup \"/c\"
         group d = cgroup \"/d\"
         count send tcp to 192.0.2.0/24
         drop send tcp from group a to 192.0.2.0/24
         shortcut tcp within group b
         shortcut tcp from group c to group a",
    );
    let [a, b, c] = [0, 1, 2].map(GroupId::new);
    for (group, to, verdict, decider) in [
        (0, "192.0.2.2:80", Drop, rule(1)),
        (0, "192.0.3.2:80", Verdict::Shortcut(c), rule(4)),
        (1, "192.0.2.2:80", Verdict::Shortcut(b), rule(2)),
        (2, "192.0.2.2:80", Verdict::Shortcut(a), rule(3)),
        (3, "192.0.2.2:80", Allow, Decider::Default),
    ] {
        let event = Event::Process {
            direction: Direction::Send,
            group: GroupId::new(group),
            header: tcp("10.0.0.1:1", to),
        };
        let decision = decide(&policy, &event, &world(Nobody));
        assert_eq!((decision.verdict, decision.decider), (verdict, decider));
        assert_eq!(
            decision.counted.len(),
            usize::from(to.starts_with("192.0.2."))
        );
    }
}

/// A redirect `at tc` takes what is new and whole, for whomever it is; nothing that it matches is forwarded past its socket.
#[test]
fn a_redirect_at_tc_takes_what_is_new_and_whole() {
    let text = "default in drop
        socket proxy = tcp listen 127.0.0.1:1, udp listen 127.0.0.1:1
        socket quiet = tcp listen 127.0.0.1:2 if absent drop
        redirect tcp to 10.7.0.0/16:80 to sock quiet at tc
        redirect to 10.7.0.0/16 to sock proxy at tc";
    let policy = policy(text);
    let [proxy, quiet] = [0, 1].map(SocketId::new);
    let web = tcp("192.0.2.1:4000", "10.7.0.1:80");
    let other = udp("192.0.2.1:4000", "10.7.0.1:53");
    let gone = Fixed {
        socket: Nobody,
        present: false,
    };
    let said = |header: &Header, world: &Fixed| {
        let event = Event::Packet {
            direction: Direction::In,
            class: Policy::plain_class(),
            packet: Parsed::Ip(header.clone()),
        };
        let decision = decide(&policy, &event, world);
        (decision.verdict, decision.mark)
    };
    let mark = Some(crate::policy::INTERCEPTED);
    for (header, socket, absent) in [(&web, quiet, Drop), (&other, proxy, Reject)] {
        for answer in [Nobody, Listening] {
            assert_eq!(
                said(header, &world(answer)),
                (Verdict::Redirect(socket), mark)
            );
        }
        assert_eq!(said(header, &world(Established)), (Allow, mark));
        assert_eq!(said(header, &gone), (absent, None));
        assert_eq!(said(&first(header.clone()), &world(Nobody)), (Drop, None));
        assert_eq!(
            said(&first(header.clone()), &world(Established)),
            (Allow, mark)
        );
    }
    let lookup = Event::Lookup {
        class: Policy::plain_class(),
        header: web,
    };
    let decision = decide(&policy, &lookup, &world(Nobody));
    assert_eq!(
        (decision.verdict, decision.decider),
        (Allow, Decider::Unmatched)
    );
}

/// The member that a redirect `at tc` gives a flow is the one that the lookup would give it.
#[test]
fn the_members_of_a_name_are_asked_in_one_order_wherever_that_is() {
    let [here, there] = ["", " at tc"].map(|at| {
        policy(&format!(
            "default in drop
            socket many = registered members 7
            redirect tcp to 10.7.0.0/16:80 to sock many{at}"
        ))
    });
    let (mut found, present) = (std::collections::BTreeSet::new(), world(Nobody));
    for port in 4000..4050 {
        let header = tcp(&format!("192.0.2.1:{port}"), "10.7.0.1:80");
        let order = crate::spread::order(&header, crate::policy::Spread::ByFlow, 7);
        let first = order.unwrap().next();
        for policy in [&here, &there] {
            let event = Event::Packet {
                direction: Direction::In,
                class: Policy::plain_class(),
                packet: Parsed::Ip(header.clone()),
            };
            assert_eq!(decide(policy, &event, &present).member, first);
        }
        found.insert(first);
    }
    assert_eq!(found.len(), 7);
    // Nobody gets a connection that exists.
    let event = Event::Packet {
        direction: Direction::In,
        class: Policy::plain_class(),
        packet: Parsed::Ip(tcp("192.0.2.1:4000", "10.7.0.1:80")),
    };
    assert_eq!(decide(&there, &event, &world(Established)).member, None);
}
