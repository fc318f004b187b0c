//! The language page's points, one test each.

use std::net::IpAddr;

use cranelift_entity::EntityRef;
use sockc_grammar::source::{SourceId, Span};

use super::*;
use crate::event::Transport;
use crate::policy::{
    AddressSet, Condition, Default as DefaultLine, Endpoint, Family, Group, IcmpMatch, Listen,
    Match, Place, ProtocolMatch, Socket, SocketTest,
};
use crate::ranges::RangeSet;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn place() -> Place {
    let span = Span {
        source: SourceId(0),
        start: 0,
        end: 0,
    };
    Place {
        span,
        file: "test.sk".into(),
        line: 1,
        column: 1,
        text: String::new(),
    }
}

fn prefix(text: &str, length: u32) -> AddressSet {
    match text.parse::<IpAddr>().unwrap() {
        IpAddr::V4(v4) => {
            let low = v4.to_bits();
            let high = low | u32::MAX.checked_shr(length).unwrap_or(0);
            AddressSet {
                v4: RangeSet::from_ranges([(low, high)]),
                v6: RangeSet::default(),
            }
        }
        IpAddr::V6(v6) => {
            let low = v6.to_bits();
            let high = low | u128::MAX.checked_shr(length).unwrap_or(0);
            AddressSet {
                v4: RangeSet::default(),
                v6: RangeSet::from_ranges([(low, high)]),
            }
        }
    }
}

fn endpoint(addresses: AddressSet, ports: Option<(u16, u16)>) -> Endpoint {
    Endpoint {
        addresses,
        ports: ports.map(|range| RangeSet::from_ranges([range])),
    }
}

fn side(negated: bool, endpoints: Vec<Endpoint>) -> Option<Side> {
    Some(Side::Endpoints { negated, endpoints })
}

fn proto(number: u8) -> ProtocolMatch {
    ProtocolMatch {
        family: None,
        number,
        icmp: Vec::new(),
    }
}

/// A policy built rule by rule.
#[derive(Default)]
struct Build(Policy);

impl Build {
    fn rule(mut self, direction: Direction, action: Action, matches: Match) -> Self {
        self.0.rules.push(Rule {
            label: None,
            direction,
            action,
            matches,
            at: None,
            place: place(),
        });
        self
    }

    fn at(mut self, hook: Hook) -> Self {
        let last = self.0.rules.last().unwrap().0;
        self.0.rules[last].at = Some(hook);
        self
    }

    fn otherwise(mut self, direction: Direction, allow: bool) -> Self {
        self.0.defaults.push(DefaultLine {
            direction,
            allow,
            place: place(),
        });
        self
    }

    fn socket(mut self, drop_if_absent: bool) -> Self {
        self.0.sockets.push(Socket {
            name: "proxy".into(),
            listen: vec![Listen {
                protocol: 6,
                address: "127.0.0.1".parse().unwrap(),
                port: 1234,
            }],
            drop_if_absent,
            place: place(),
        });
        self
    }

    fn groups(mut self, count: usize) -> Self {
        for number in 0..count {
            self.0.groups.push(Group {
                name: format!("g{number}"),
                cgroup: format!("/g{number}"),
                place: place(),
            });
        }
        self
    }
}

/// A world where the lookup finds the same for every packet, and every named socket is there or none is.
struct Fixed {
    socket: SocketAnswer,
    present: bool,
}

impl World for Fixed {
    fn socket(&self, _: Direction, _: &Header) -> SocketAnswer {
        self.socket
    }
    fn present(&self, _: SocketId, _: Family, _: u8) -> bool {
        self.present
    }
}

fn world(socket: SocketAnswer) -> Fixed {
    Fixed {
        socket,
        present: true,
    }
}

fn tcp(from: &str, from_port: u16, to: &str, to_port: u16) -> Header {
    Header {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        protocol: 6,
        part: Part::Whole,
        transport: Transport::Tcp {
            from: from_port,
            to: to_port,
            flags: SYN,
        },
        length: 40,
    }
}

fn other(protocol: u8, transport: Transport) -> Header {
    Header {
        protocol,
        transport,
        ..tcp("192.0.2.1", 1, "192.0.2.2", 1)
    }
}

fn later(header: Header) -> Header {
    Header {
        part: Part::Later,
        transport: Transport::None,
        ..header
    }
}

fn arrives(header: &Header) -> Event {
    Event::Packet {
        direction: Direction::In,
        packet: Parsed::Ip(header.clone()),
    }
}

fn verdict_in(policy: &Build, header: &Header, socket: SocketAnswer) -> Verdict {
    decide(&policy.0, &arrives(header), &world(socket)).verdict
}

/// `RULE` alone, as the `allow` of a list that drops by default.
fn matched(matches: &Match, header: &Header, socket: SocketAnswer) -> bool {
    let policy = Build::default()
        .rule(Direction::In, Action::Allow, matches.clone())
        .otherwise(Direction::In, false);
    verdict_in(&policy, header, socket) == Verdict::Allow
}

fn rule_id(number: usize) -> crate::policy::RuleId {
    EntityRef::new(number)
}

#[test]
fn first_match_wins_and_counts_go_on() {
    let any = Match::default();
    let policy = Build::default()
        .rule(Direction::Out, Action::Drop, any.clone())
        .rule(Direction::In, Action::Count, any.clone())
        .rule(
            Direction::In,
            Action::Drop,
            Match {
                protocols: vec![proto(17)],
                ..any.clone()
            },
        )
        .rule(Direction::In, Action::Allow, any.clone())
        .rule(Direction::In, Action::Count, any.clone())
        .rule(Direction::In, Action::Drop, any)
        .otherwise(Direction::In, false);
    let header = tcp("192.0.2.1", 1, "192.0.2.2", 2);
    let decision = decide(&policy.0, &arrives(&header), &world(SocketAnswer::None));
    assert_eq!(
        decision,
        Decision {
            verdict: Verdict::Allow,
            decider: Decider::Rule(rule_id(3)),
            counted: vec![rule_id(1)],
        }
    );
}

#[test]
fn what_nothing_matches_gets_the_default_or_goes_on() {
    let header = tcp("192.0.2.1", 1, "192.0.2.2", 2);
    let ask = |policy: &Build| {
        let decision = decide(&policy.0, &arrives(&header), &world(SocketAnswer::None));
        (decision.verdict, decision.decider)
    };
    let empty = Build::default();
    assert_eq!(ask(&empty), (Verdict::Allow, Decider::Unmatched));
    let other = Build::default().otherwise(Direction::Out, false);
    assert_eq!(ask(&other), (Verdict::Allow, Decider::Unmatched));
    let drop = Build::default().otherwise(Direction::In, false);
    assert_eq!(ask(&drop), (Verdict::Drop, Decider::Default));
    let allow = Build::default().otherwise(Direction::In, true);
    assert_eq!(ask(&allow), (Verdict::Allow, Decider::Default));
}

#[test]
fn frames_that_are_not_ip_pass_and_malformed_ones_get_the_default() {
    let policy = Build::default()
        .rule(Direction::In, Action::Allow, Match::default())
        .otherwise(Direction::In, false);
    let ask = |packet| {
        let event = Event::Packet {
            direction: Direction::In,
            packet,
        };
        let decision = decide(&policy.0, &event, &world(SocketAnswer::None));
        (decision.verdict, decision.decider)
    };
    assert_eq!(ask(Parsed::NotIp), (Verdict::Allow, Decider::NotIp));
    assert_eq!(ask(Parsed::Malformed), (Verdict::Drop, Decider::Malformed));
}

#[test]
fn ports_exist_only_where_a_packet_has_them() {
    let any_port = Match {
        to: side(false, vec![endpoint(AddressSet::any(), Some((0, 65535)))]),
        ..Match::default()
    };
    let ports = Transport::Ports { from: 1, to: 2 };
    let table = [
        (tcp("192.0.2.1", 1, "192.0.2.2", 2), true),
        (tcp("2001:db8::1", 1, "2001:db8::2", 2), true),
        (other(17, ports), true),
        (other(132, ports), true),
        (other(1, Transport::Icmp { kind: 8, code: 0 }), false),
        (other(47, Transport::None), false),
        (later(tcp("192.0.2.1", 1, "192.0.2.2", 2)), false),
        (
            Header {
                part: Part::First,
                ..tcp("192.0.2.1", 1, "192.0.2.2", 2)
            },
            true,
        ),
    ];
    for (header, expected) in table {
        assert_eq!(
            matched(&any_port, &header, SocketAnswer::None),
            expected,
            "{header:?}"
        );
    }
}

#[test]
fn not_covers_the_whole_list_in_both_families() {
    let net = || endpoint(prefix("10.0.0.0", 8), None);
    let dns = || endpoint(prefix("192.0.2.0", 24), Some((53, 53)));
    let not_net = Match {
        from: side(true, vec![net()]),
        ..Match::default()
    };
    let not_both = Match {
        from: side(true, vec![net(), dns()]),
        ..Match::default()
    };
    let icmp = |from: &str| Header {
        from: from.parse().unwrap(),
        ..other(1, Transport::Icmp { kind: 8, code: 0 })
    };
    let table = [
        (&not_net, tcp("10.1.1.1", 1, "192.0.2.2", 2), false),
        (&not_net, tcp("11.1.1.1", 1, "192.0.2.2", 2), true),
        (&not_net, tcp("2001:db8::1", 1, "2001:db8::2", 2), true),
        (&not_net, icmp("11.1.1.1"), true),
        (&not_both, tcp("10.1.1.1", 1, "192.0.2.2", 2), false),
        (&not_both, tcp("192.0.2.9", 53, "192.0.2.2", 2), false),
        (&not_both, tcp("192.0.2.9", 54, "192.0.2.2", 2), true),
        (&not_both, tcp("2001:db8::1", 53, "2001:db8::2", 2), true),
        // A list with ports speaks only of packets that have ports.
        (&not_both, icmp("11.1.1.1"), false),
        (&not_both, later(tcp("11.1.1.1", 1, "192.0.2.2", 2)), false),
    ];
    for (matches, header, expected) in table {
        assert_eq!(
            matched(matches, &header, SocketAnswer::None),
            expected,
            "{header:?}"
        );
    }
}

#[test]
fn icmp_types_are_read_only_where_they_are() {
    let icmp = |types: Vec<IcmpMatch>| Match {
        protocols: vec![ProtocolMatch {
            family: Some(Family::V4),
            number: 1,
            icmp: types,
        }],
        ..Match::default()
    };
    let echo = icmp(vec![IcmpMatch {
        kind: 8,
        code: None,
    }]);
    let too_big = icmp(vec![IcmpMatch {
        kind: 3,
        code: Some(4),
    }]);
    let packet = |kind, code| other(1, Transport::Icmp { kind, code });
    let over_v6 = Header {
        protocol: 1,
        transport: Transport::None,
        ..tcp("2001:db8::1", 1, "2001:db8::2", 1)
    };
    let table = [
        (&icmp(vec![]), packet(0, 0), true),
        (&icmp(vec![]), later(packet(0, 0)), true),
        (&icmp(vec![]), over_v6, false),
        (&echo, packet(8, 7), true),
        (&echo, packet(0, 0), false),
        (&echo, later(packet(8, 0)), false),
        (&too_big, packet(3, 4), true),
        (&too_big, packet(3, 3), false),
    ];
    for (matches, header, expected) in table {
        assert_eq!(
            matched(matches, &header, SocketAnswer::None),
            expected,
            "{matches:?} {header:?}"
        );
    }
}

#[test]
fn conditions_and_plain_negation() {
    use SocketAnswer::{Established, Listening, None as Nobody};
    let flags = |set, clear| Condition::TcpFlags { set, clear };
    let no = |condition| Condition::No(Box::new(condition));
    let exists = || Condition::Socket(SocketTest::Exists);
    let syn = tcp("192.0.2.1", 1, "192.0.2.2", 2);
    let synack = Header {
        transport: Transport::Tcp {
            from: 1,
            to: 2,
            flags: SYN | ACK,
        },
        ..syn.clone()
    };
    let gre = other(47, Transport::None);
    let first = Header {
        part: Part::First,
        ..syn.clone()
    };
    let table = [
        (flags(SYN, ACK), &syn, Nobody, true),
        (flags(SYN, ACK), &synack, Nobody, false),
        (flags(SYN, ACK), &gre, Nobody, false),
        (no(flags(SYN, ACK)), &gre, Nobody, true),
        (Condition::Fragment, &syn, Nobody, false),
        (Condition::Fragment, &first, Nobody, true),
        (Condition::Length { low: 0, high: 40 }, &syn, Nobody, true),
        (Condition::Length { low: 41, high: 99 }, &syn, Nobody, false),
        (Condition::Length { low: 1, high: 0 }, &syn, Nobody, false),
        (exists(), &syn, Listening, true),
        (exists(), &syn, Established, true),
        (exists(), &syn, Nobody, false),
        (no(exists()), &gre, Nobody, true),
        (
            Condition::Socket(SocketTest::Listening),
            &syn,
            Established,
            false,
        ),
        (
            Condition::Socket(SocketTest::Established),
            &syn,
            Established,
            true,
        ),
        (
            Condition::AnyOf(vec![Condition::Fragment, exists()]),
            &syn,
            Listening,
            true,
        ),
        (Condition::AnyOf(vec![]), &syn, Listening, false),
    ];
    for (condition, header, socket, expected) in table {
        let matches = Match {
            conditions: vec![condition],
            ..Match::default()
        };
        assert_eq!(matched(&matches, header, socket), expected, "{matches:?}");
    }
}

fn redirect(drop_if_absent: bool, ports: Option<(u16, u16)>) -> Build {
    let matches = Match {
        protocols: vec![proto(6)],
        to: side(false, vec![endpoint(prefix("3.3.3.3", 32), ports)]),
        ..Match::default()
    };
    Build::default()
        .socket(drop_if_absent)
        .rule(Direction::In, Action::Redirect(EntityRef::new(0)), matches)
        .otherwise(Direction::In, false)
}

#[test]
fn redirects_hand_over_new_flows_and_never_fall_through() {
    use SocketAnswer::{Established, Listening, None as Nobody};
    let sock = Verdict::Redirect(EntityRef::new(0));
    let packet = tcp("192.0.2.1", 1, "3.3.3.3", 80);
    // (if absent drop, what the lookup finds, present, on an interface of the policy, verdict)
    let table = [
        (false, Nobody, true, true, sock),
        (false, Listening, true, true, sock),
        (false, Established, true, true, Verdict::Allow),
        (false, Established, false, true, Verdict::Allow),
        (false, Listening, false, true, Verdict::Reject),
        (true, Listening, false, true, Verdict::Drop),
        (true, Established, false, true, Verdict::Allow),
        (true, Nobody, true, false, sock),
        (true, Nobody, false, false, Verdict::Reject),
    ];
    for (silent, socket, present, ours, verdict) in table {
        let policy = redirect(silent, None);
        let event = if ours {
            arrives(&packet)
        } else {
            Event::Lookup(packet.clone())
        };
        let decision = decide(&policy.0, &event, &Fixed { socket, present });
        assert_eq!(decision.verdict, verdict, "{silent} {socket:?} {present}");
        assert_eq!(decision.decider, Decider::Rule(rule_id(0)));
    }
}

#[test]
fn later_fragments_of_a_redirect_go_to_their_datagram() {
    let packet = later(tcp("192.0.2.1", 1, "3.3.3.3", 80));
    let without_ports = redirect(true, None);
    let with_ports = redirect(true, Some((0, 65535)));
    let absent = Fixed {
        socket: SocketAnswer::None,
        present: false,
    };
    let ask = |policy: &Build| decide(&policy.0, &arrives(&packet), &absent).verdict;
    assert_eq!(ask(&without_ports), Verdict::Allow);
    assert_eq!(ask(&with_ports), Verdict::Drop);
}

#[test]
fn at_sk_lookup_limits_a_rule_to_new_flows() {
    let policy = Build::default()
        .rule(Direction::In, Action::Allow, Match::default())
        .at(Hook::SkLookup)
        .otherwise(Direction::In, false);
    let packet = tcp("192.0.2.1", 1, "192.0.2.2", 80);
    let gre = other(47, Transport::None);
    let fragment = later(packet.clone());
    let table = [
        (&packet, SocketAnswer::None, Verdict::Allow),
        (&packet, SocketAnswer::Listening, Verdict::Allow),
        (&packet, SocketAnswer::Established, Verdict::Drop),
        (&gre, SocketAnswer::None, Verdict::Drop),
        (&fragment, SocketAnswer::None, Verdict::Drop),
    ];
    for (header, socket, verdict) in table {
        assert_eq!(verdict_in(&policy, header, socket), verdict, "{header:?}");
    }
}

#[test]
fn at_a_lookup_only_redirects_and_the_allows_ahead_of_them_count() {
    let to = |address: &str| Match {
        to: side(false, vec![endpoint(prefix(address, 32), None)]),
        ..Match::default()
    };
    let only_if = |condition| Match {
        conditions: vec![condition],
        ..Match::default()
    };
    let mut policy = Build::default()
        .socket(false)
        .rule(Direction::In, Action::Drop, Match::default())
        .rule(Direction::In, Action::Count, Match::default())
        .rule(Direction::In, Action::Count, Match::default())
        .at(Hook::SkLookup)
        .rule(Direction::In, Action::Allow, only_if(Condition::Fragment))
        .rule(
            Direction::In,
            Action::Allow,
            only_if(Condition::Socket(SocketTest::Established)),
        )
        .rule(Direction::In, Action::Allow, to("192.0.2.1"));
    policy = policy
        .rule(
            Direction::In,
            Action::Redirect(EntityRef::new(0)),
            Match {
                protocols: vec![proto(6)],
                ..Match::default()
            },
        )
        .otherwise(Direction::In, false);
    let ask = |header: Header| {
        decide(
            &policy.0,
            &Event::Lookup(header),
            &world(SocketAnswer::Established),
        )
    };
    let allowed = ask(tcp("192.0.2.9", 1, "192.0.2.1", 80));
    assert_eq!(allowed.verdict, Verdict::Allow);
    assert_eq!(allowed.decider, Decider::Rule(rule_id(5)));
    assert_eq!(allowed.counted, [rule_id(2)]);
    let steered = ask(tcp("192.0.2.9", 1, "192.0.2.2", 80));
    assert_eq!(steered.verdict, Verdict::Redirect(EntityRef::new(0)));
    let udp = ask(other(17, Transport::Ports { from: 1, to: 2 }));
    assert_eq!(
        (udp.verdict, udp.decider),
        (Verdict::Allow, Decider::Unmatched)
    );
}

#[test]
fn sends_are_decided_by_the_rules_of_their_group() {
    let group = EntityRef::new;
    let from_group = |number| Match {
        from: Some(Side::Group(group(number))),
        to: side(false, vec![endpoint(prefix("192.0.2.0", 24), None)]),
        ..Match::default()
    };
    let policy = Build::default()
        .groups(3)
        .rule(Direction::Send, Action::Count, Match::default())
        .rule(Direction::Send, Action::Drop, from_group(0))
        .rule(
            Direction::Send,
            Action::Shortcut(group(1)),
            Match::default(),
        )
        .otherwise(Direction::Send, true);
    let ask = |number| {
        let header = tcp("10.0.0.1", 1, "192.0.2.2", 80);
        let event = Event::Send {
            group: group(number),
            header,
        };
        decide(&policy.0, &event, &world(SocketAnswer::Established))
    };
    assert_eq!(ask(0).verdict, Verdict::Drop);
    assert_eq!(ask(0).counted, [rule_id(0)]);
    assert_eq!(ask(1).verdict, Verdict::Shortcut(group(1)));
    assert_eq!(ask(2).verdict, Verdict::Allow);
    assert_eq!(ask(2).decider, Decider::Default);
}
