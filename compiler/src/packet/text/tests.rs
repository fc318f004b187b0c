//! Words to packets and back.

use crate::location::Location;
use crate::policy::SocketOrigin;
use crate::protocol::IpProtocol;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::parse_packet;
use sockc_grammar::source::{SourceId, SourceMap, Span};

use super::*;
use crate::event::World;
use crate::event::{Fragment, Header, Parsed, Transport};
use crate::policy::{
    Class, ClassId, Direction, Family, Group, Listen, LiveEntry, LiveMap, Policy, Set, SetKind,
    Socket, SourceLocation, Spread, Zone,
};
use crate::ranges::RangeSet;
use crate::testing::Rng;
use crate::testing::arbitrary_header;

fn place() -> SourceLocation {
    let span = Span {
        source: SourceId(0),
        start: 0,
        end: 0,
    };
    SourceLocation {
        span,
        location: Location::new("", 1, ""),
    }
}

fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.sockets.push(Socket {
        name: "proxy".to_owned(),
        origin: SocketOrigin::Listen(vec![Listen {
            protocol: IpProtocol::TCP,
            address: [127, 0, 0, 1].into(),
            port: 1234,
        }]),
        owner: None,
        members: 1,
        spread: Spread::ByFlow,
        pinned: false,
        fed: false,
        drop_if_absent: true,
        place: place(),
    });
    policy.namespaces.push("blue".to_owned());
    policy.namespaces.push("a \"quoted\" one".to_owned());
    for (name, start) in [
        ("banned", Vec::new()),
        ("vips", vec![([3, 3, 3, 0].into(), 24)]),
    ] {
        let kind = SetKind::Live {
            max: 100,
            expires: None,
            start,
        };
        policy.sets.push(Set {
            name: name.to_owned(),
            kind,
            place: place(),
        });
    }
    policy.sets.push(Set::own(place()));
    let zone = |name: &str, patterns: &[&str]| Zone {
        name: name.to_owned(),
        patterns: patterns.iter().map(|&it| it.to_owned()).collect(),
        place: place(),
    };
    let wan = policy.zones.push(zone("wan", &["eth0", "ppp?"]));
    let lan = policy.zones.push(zone("lan", &["br-*"]));
    for (zone, patterns) in [
        (Some(wan), &[][..]),
        (Some(lan), &[]),
        (Some(wan), &["ppp*"]),
        (None, &["lo"]),
        (None, &["veth*"]),
        (None, &["veth*", "*.12"]),
    ] {
        policy.classes.push(Class {
            zone,
            patterns: patterns.iter().map(|&it| it.to_owned()).collect(),
        });
    }
    for name in ["pods", "edge"] {
        policy.groups.push(Group {
            name: name.to_owned(),
            cgroup: format!("/{name}"),
            place: place(),
        });
    }
    policy
}

fn try_read(text: &str, policy: &Policy) -> Result<Described, Box<Diagnostic>> {
    let mut sources = SourceMap::default();
    let id = sources.add("packet", text);
    let packet = parse_packet(&sources, id).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    let whole = Span {
        source: id,
        start: 0,
        end: u32::try_from(text.len()).unwrap(),
    };
    super::read(&packet, policy, whole)
}

#[track_caller]
fn read(text: &str) -> Described {
    try_read(text, &policy()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

#[track_caller]
fn header(text: &str) -> Header {
    match read(text).event {
        Event::Packet {
            packet: Parsed::Ip(header),
            ..
        }
        | Event::Process { header, .. } => header,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(text: &str) -> (&'static str, String) {
    let error = try_read(text, &policy()).unwrap_err();
    let span = error.primary.span;
    let found = text[span.start as usize..span.end as usize].to_owned();
    (error.code.0, found)
}

#[test]
fn plain_values() {
    let expected = Header {
        from: [8, 8, 8, 8].into(),
        to: [192, 0, 2, 1].into(),
        protocol: IpProtocol::TCP,
        fragment: Fragment::Whole,
        transport: Transport::Tcp {
            from: 40000,
            to: 22,
            flags: 2,
        },
        length: 40,
        ..Header::PLAIN
    };
    assert_eq!(header("tcp from 8.8.8.8:40000 to 192.0.2.1:ssh"), expected);
    let text = "tcp from 8.8.8.8:40000 to 192.0.2.1:22";
    assert_eq!(describe(&expected, Direction::In), text);
    assert_eq!(describe(&expected, Direction::Out), format!("out {text}"));
    assert_eq!(read(text).socket, SocketAnswer::None);
}

#[test]
fn what_is_said_is_read() {
    let text =
        "out udp from [2001:db8::1]:53 to [2001:db8::2]:5000 with socket established, length 500";
    let described = read(text);
    assert_eq!(described.socket, SocketAnswer::Established);
    let Event::Packet {
        direction: Direction::Out,
        packet: Parsed::Ip(header),
        ..
    } = &described.event
    else {
        panic!("{described:?}");
    };
    assert_eq!(header.length, 500);
    let words = describe_case(&policy(), &described);
    assert_eq!(words.as_deref(), Some(text));
}

#[test]
fn flags_that_are_not_named_are_clear() {
    let flags = |with: &str| match header(&format!(
        "tcp from 1.1.1.1:1 to 2.2.2.2:2 with tcp flags {with}"
    ))
    .transport
    {
        Transport::Tcp { flags, .. } => flags,
        other => panic!("{other:?}"),
    };
    assert_eq!(flags("syn no ack"), 0x02);
    assert_eq!(flags("psh ack cwr"), 0x98);
    assert_eq!(flags("no syn"), 0);
}

#[test]
fn fragments_and_icmp() {
    let first = header("tcp from 1.1.1.1:1 to 2.2.2.2:2 with fragment");
    assert_eq!(first.fragment, Fragment::First);
    let later = header("tcp from 1.1.1.1 to 2.2.2.2 with fragment");
    assert_eq!(
        (later.fragment, later.transport),
        (Fragment::Later, Transport::None)
    );
    let echo = header("icmp from 1.1.1.1 to 2.2.2.2");
    assert_eq!(echo.transport, Transport::Icmp { kind: 8, code: 0 });
    let needed = header("icmp 3/4 from 1.1.1.1 to 2.2.2.2");
    assert_eq!(needed.transport, Transport::Icmp { kind: 3, code: 4 });
    let advert = header("icmp6 neighbour-advert from ::1 to ::2");
    assert_eq!(advert.transport, Transport::Icmp { kind: 136, code: 0 });
}

#[test]
fn writes_and_absent_sockets() {
    let text = "send tcp from 10.0.0.1:5000 to 192.0.2.1:80 with group edge";
    let described = read(text);
    let words = describe_case(&policy(), &described);
    assert_eq!(words.as_deref(), Some(text));
    let absent = read("tcp from 1.1.1.1:1 to 3.3.3.3:80 with sock proxy absent");
    assert_eq!(absent.absent, policy().sockets.keys().collect::<Vec<_>>());
    let malformed = read("out with malformed");
    let words = describe_case(&policy(), &malformed);
    assert_eq!(words.as_deref(), Some("out with malformed"));
}

#[test]
fn mistakes_have_their_code_and_place() {
    for (text, code, found) in [
        ("tcp from any:1 to 2.2.2.2:2", "E0231", "any"),
        ("tcp from 1.0.0.0/8:1 to 2.2.2.2:2", "E0231", "1.0.0.0/8"),
        ("tcp from @lab:1 to 2.2.2.2:2", "E0231", "@lab"),
        ("tcp from 1.1.1.1:* to 2.2.2.2:2", "E0232", "*"),
        ("tcp from 1.1.1.1:1 to 2.2.2.2:{2,3}", "E0232", "{2,3}"),
        ("tcp from 1.1.1.1:1 to 2.2.2.2:70000", "E0205", "70000"),
        ("tcp from 1.1.1.1:1 to 2.2.2.2:htps", "E0208", "htps"),
        (
            "icmp6 echo-request from 1.1.1.1 to 2.2.2.2",
            "E0235",
            "icmp6 echo-request",
        ),
        (
            "icmp echo-requst from 1.1.1.1 to 2.2.2.2",
            "E0209",
            "echo-requst",
        ),
        ("proto 300 from 1.1.1.1 to 2.2.2.2", "E0211", "300"),
        ("proto 60 from ::1 to ::2", "E0237", "proto 60"),
        ("esp from 1.1.1.1:1 to 2.2.2.2:2", "E0237", "1"),
        (
            "udp from 1.1.1.1:1 to 2.2.2.2:2 with tcp flags syn",
            "E0237",
            "tcp flags syn",
        ),
        (
            "esp from 1.1.1.1 to 2.2.2.2 with socket listening",
            "E0237",
            "socket listening",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with socket exists",
            "E0237",
            "socket exists",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with length 39",
            "E0239",
            "length 39",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with length 70000",
            "E0239",
            "length 70000",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with fragment, fragment",
            "E0238",
            "fragment",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with group pods",
            "E0237",
            "group pods",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with ttl 256",
            "E0320",
            "256",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with dscp af44",
            "E0321",
            "af44",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with @bannd { 1.2.3.4 }",
            "E0201",
            "@bannd",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with @banned { 10.0.0.1/8 }",
            "E0203",
            "10.0.0.1/8",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with @banned { }, @banned { }",
            "E0238",
            "@banned { }",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with in netns \"blue\"",
            "E0237",
            "in netns \"blue\"",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with socket listening, no socket",
            "E0238",
            "no socket",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with socket listening in netns \"red\"",
            "E0201",
            "\"red\"",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 on zone wann",
            "E0201",
            "wann",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 on interface eth*",
            "E0329",
            "eth*",
        ),
        (
            "send tcp from 1.1.1.1:1 to 2.2.2.2:2 with group pods, vlan 3",
            "E0237",
            "vlan 3",
        ),
        (
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with sock prxy absent",
            "E0201",
            "prxy",
        ),
        (
            "send tcp from 1.1.1.1:1 to 2.2.2.2:2 with group pots",
            "E0201",
            "pots",
        ),
        (
            "send udp from 1.1.1.1:1 to 2.2.2.2:2 with group pods",
            "E0237",
            "udp",
        ),
    ] {
        assert_eq!(refused(text), (code, found.to_owned()), "{text}");
    }
}

#[test]
fn what_is_missing_is_said_of_the_whole() {
    for (text, code) in [
        ("tcp from 1.1.1.1:1", "E0236"),
        ("from 1.1.1.1:1 to 2.2.2.2:2", "E0234"),
        ("tcp, udp from 1.1.1.1:1 to 2.2.2.2:2", "E0234"),
        ("send tcp from 1.1.1.1:1 to 2.2.2.2:2", "E0240"),
    ] {
        assert_eq!(refused(text), (code, text.to_owned()));
    }
    assert_eq!(refused("tcp from 1.1.1.1:1 to 2.2.2.2").0, "E0233");
    assert_eq!(refused("tcp from 1.1.1.1:1 to [::1]:2").0, "E0235");
}

#[test]
fn every_header_comes_back_from_its_words() {
    let mut rng = Rng::new(5);
    for _ in 0..5000 {
        let mut expected = arbitrary_header(&mut rng);
        if expected.fragment == Fragment::First && expected.transport == Transport::None {
            // Written like a later one: no rule can tell them apart.
            expected.fragment = Fragment::Later;
        }
        let text = describe(&expected, Direction::In);
        assert_eq!(header(&text), expected, "{text}");
    }
}

/// What is said around a packet, at random.
fn arbitrary(rng: &mut Rng, policy: &Policy) -> Described {
    let header = arbitrary_header(rng);
    let has_socket = header.protocol.has_socket() && header.fragment != Fragment::Later;
    let answers = [
        SocketAnswer::None,
        SocketAnswer::Listening,
        SocketAnswer::Established,
    ];
    let classes: Vec<ClassId> = policy.classes.keys().collect();
    let event = Event::Packet {
        direction: *rng.pick(&[Direction::In, Direction::Out]).unwrap(),
        class: *rng.pick(&classes).unwrap(),
        packet: Parsed::Ip(header),
    };
    let mut described = Described::plain(event, SocketAnswer::None);
    if has_socket {
        described.socket = *rng.pick(&answers).unwrap();
        for netns in policy.namespaces.keys() {
            let answer = *rng.pick(&answers).unwrap();
            described
                .elsewhere
                .extend((answer != SocketAnswer::None).then_some((netns, answer)));
        }
    }
    described.rate_exceeded = rng.chance(1, 4);
    let sockets = policy.sockets.keys().filter(|_| rng.chance(1, 3));
    described.absent = sockets.collect();
    for set in policy.sets.keys() {
        if rng.chance(1, 2) {
            described.members.push((set, arbitrary_members(rng)));
        }
    }
    described
}

fn arbitrary_members(rng: &mut Rng) -> AddressSet {
    let v4 = (0..rng.below(3)).map(|_| {
        let low = rng.word();
        let high = low | u32::MAX.checked_shr(rng.word() % 33).unwrap_or(0);
        if rng.chance(1, 2) {
            (low, high)
        } else {
            (low & !(high ^ low), high)
        }
    });
    let v4 = RangeSet::from_ranges(v4.collect::<Vec<_>>());
    let v6 = (0..rng.below(3)).map(|_| {
        let low = u128::from(rng.bits()) << 64 | u128::from(rng.bits());
        (
            low,
            low | u128::MAX.checked_shr(rng.word() % 129).unwrap_or(0),
        )
    });
    let v6 = RangeSet::from_ranges(v6.collect::<Vec<_>>());
    AddressSet { v4, v6 }
}

#[test]
fn everything_that_is_described_comes_back_from_its_words() {
    let policy = policy();
    let mut rng = Rng::new(6);
    for _ in 0..5000 {
        let mut expected = arbitrary(&mut rng, &policy);
        if let Event::Packet {
            packet: Parsed::Ip(header),
            ..
        } = &mut expected.event
            && header.fragment == Fragment::First
            && header.transport == Transport::None
        {
            header.fragment = Fragment::Later;
            expected.socket = SocketAnswer::None;
            expected.elsewhere.clear();
        }
        let text = describe_case(&policy, &expected).unwrap();
        let found = try_read(&text, &policy).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(found, expected, "{text}");
        assert_eq!(describe_case(&policy, &found).unwrap(), text);
    }
}

#[test]
fn every_field_has_its_words() {
    let text = "tcp from 1.1.1.1:1 to 2.2.2.2:2 on zone wan with socket listening, socket established in netns \"blue\", \
                tcp flags psh ack, length 500, ttl 3, dscp ef, ecn ce, mark 7, vlan 12, @banned { 1.2.3.4, 10.0.0.0/8 }, \
                rate exceeded, sock proxy absent";
    let described = read(text);
    assert_eq!(describe_case(&policy(), &described).as_deref(), Some(text));
    let header = header(text);
    assert_eq!(
        (header.ttl, header.dscp, header.ecn, header.mark),
        (3, 46, 3, 7)
    );
    assert_eq!(header.vlan, Some(12));
    let other_order =
        "tcp from 1.1.1.1:1 to 2.2.2.2:2 with in netns \"blue\", ttl 3, socket established";
    let (blue, _) = policy().namespaces.iter().next().unwrap();
    let elsewhere = read(other_order).elsewhere;
    assert_eq!(elsewhere.first(), Some(&(blue, SocketAnswer::Established)));
}

#[test]
fn interfaces_are_of_the_class_of_their_zone_and_patterns() {
    let policy = policy();
    for (name, class) in [
        ("eth0", 1),
        ("eth1", 0),
        ("br-lan", 2),
        ("ppp0", 3),
        ("ppp00", 0),
        ("lo", 4),
        ("veth7", 5),
        ("veth7.12", 6),
        ("eth1.12", 0),
    ] {
        let found = class_of(&policy, name).as_u32();
        assert_eq!(found, class, "{name}");
        let text = format!("udp from 1.1.1.1:1 to 2.2.2.2:2 on interface {name}");
        let Event::Packet { class: read, .. } = read(&text).event else {
            panic!("{text}");
        };
        assert_eq!(read.as_u32(), class);
    }
    let words = |class| interface::words(&policy, ClassId::from_u32(class));
    assert_eq!(words(0), None);
    assert_eq!(words(1).as_deref(), Some("on zone wan"));
    assert_eq!(words(3).as_deref(), Some("on interface ppp0"));
    assert_eq!(words(4).as_deref(), Some("on interface \"lo\""));
}

#[test]
fn what_is_not_said_is_plain_in_the_world() {
    let mut policy = policy();
    let proxy = policy.sockets.keys().next().unwrap();
    let (banned, vips) = {
        let mut sets = policy.sets.keys();
        (sets.next().unwrap(), sets.next().unwrap())
    };
    let entry = |length, ports, protocol| LiveEntry {
        prefix: ([3, 0, 0, 0].into(), length),
        ports,
        protocol,
        socket: proxy,
    };
    let other = policy.sockets.push(policy.sockets[proxy].clone());
    let map = policy.live_maps.push(LiveMap {
        name: "tenants".to_owned(),
        max: 10,
        start: vec![
            entry(8, (0, u16::MAX), None),
            LiveEntry {
                socket: other,
                ..entry(8, (80, 80), Some(IpProtocol::TCP))
            },
            entry(8, (80, 80), None),
            entry(7, (80, 80), Some(IpProtocol::TCP)),
        ],
        place: place(),
    });
    let text = "tcp from 1.1.1.1:1 to 3.3.3.3:80";
    let described = read(text);
    let world = DescribedWorld::new(&policy, &described);
    assert!(
        world.present(proxy, Family::V4, IpProtocol::TCP)
            && !world.present(proxy, Family::V4, IpProtocol::UDP)
    );
    assert!(world.member(vips, [3, 3, 3, 9].into()) && !world.member(vips, [3, 3, 4, 9].into()));
    assert!(!world.member(banned, [3, 3, 3, 9].into()));
    assert_eq!(world.entry(map, &header(text)), Some(other));
    assert_eq!(
        world.entry(map, &header("tcp from 1.1.1.1:1 to 3.3.3.3:81")),
        Some(proxy)
    );
    // Its socket is for TCP only, so the entry is too.
    assert_eq!(
        world.entry(map, &header("udp from 1.1.1.1:1 to 3.3.3.3:81")),
        None
    );
    assert_eq!(
        world.entry(map, &header("tcp from 1.1.1.1:1 to 5.3.3.3:81")),
        None
    );
    let said = read(&format!(
        "{text} with @vips {{ 9.9.9.9 }}, @banned {{ 3.3.3.0/24 }}, sock proxy absent"
    ));
    let world = DescribedWorld::new(&policy, &said);
    assert!(!world.member(vips, [3, 3, 3, 9].into()) && world.member(banned, [3, 3, 3, 9].into()));
    assert!(!world.present(proxy, Family::V4, IpProtocol::TCP));
}

#[test]
fn codes_are_distinct_and_in_order() {
    assert!(codes::CODES.is_sorted_by(|(left, _), (right, _)| left < right));
}

/// Addresses that stand for another are the other where a process names them; on a wire they are what they are.
#[test]
fn what_a_process_names_is_what_it_reaches() {
    let policy = policy();
    for (text, reached) in [
        (
            "connect tcp to [::ffff:10.0.0.1]:443 with group pods",
            "10.0.0.1",
        ),
        ("connect udp to 0.0.0.0:53 with group pods", "127.0.0.1"),
        ("connect udp to [::]:53 with group pods", "::1"),
        (
            "connect tcp to [::ffff:0.0.0.0]:53 with group pods",
            "127.0.0.1",
        ),
        (
            "send tcp from [::ffff:10.0.0.7]:5 to [::ffff:10.0.0.1]:443 with group pods",
            "10.0.0.1",
        ),
        (
            "tcp from [::ffff:10.0.0.7]:5 to [::ffff:10.0.0.1]:443",
            "::ffff:10.0.0.1",
        ),
        ("udp from 10.0.0.7:68 to 0.0.0.0:67", "0.0.0.0"),
    ] {
        let found = try_read(text, &policy).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let (Event::Process { header, .. }
        | Event::Packet {
            packet: Parsed::Ip(header),
            ..
        }) = &found.event
        else {
            panic!("{found:?}");
        };
        assert_eq!(header.to.to_string(), reached, "{text}");
        assert_eq!(header.from.is_ipv4(), header.to.is_ipv4(), "{text}");
        // What it is called then is read as the same.
        let described = super::describe_case(&policy, &found).unwrap();
        let again = try_read(&described, &policy).unwrap();
        assert_eq!(format!("{:?}", again.event), format!("{:?}", found.event));
    }
}

/// What goes back out of the interface by which it came does not pass through: no words for it are read, and none are written.
#[test]
fn what_passes_through_leaves_by_another_interface() {
    let policy = policy();
    let packet = "forward udp from 10.0.0.1:5 to 10.0.0.2:6";
    for back in [
        "on interface eth9 to interface eth9",
        "on interface lo to interface lo",
        "on interface eth0 to interface eth0",
    ] {
        let refused = try_read(&format!("{packet} {back}"), &policy).unwrap_err();
        assert_eq!(refused.code, codes::DOES_NOT_FIT, "{back}");
        assert!(refused.message.contains("does not pass through"), "{back}");
    }
    // No socket of the machine belongs to it.
    let refused = try_read(&format!("{packet} with socket listening"), &policy).unwrap_err();
    assert_eq!(refused.code, codes::DOES_NOT_FIT);
    try_read(&format!("{packet} with no socket"), &policy).unwrap();
    // Classes of several interfaces.
    for through in [
        "on zone wan to zone wan",
        "on zone lan to zone lan",
        "on interface eth9 to interface eth8",
        "on interface ppp0 to interface ppp1",
        "on interface veth1 to interface veth2",
        "on interface veth1",
        "to interface eth9",
    ] {
        let read = try_read(&format!("{packet} {through}"), &policy).unwrap();
        let words = super::describe_case(&policy, &read).unwrap();
        let again = try_read(&words, &policy).unwrap_or_else(|error| panic!("{words}: {error:?}"));
        assert_eq!(again.event, read.event, "{through}: {words}");
    }
}

#[test]
fn self_is_an_address_that_is_said_or_chosen_and_is_in_it_then() {
    for (text, from, to, own) in [
        (
            "tcp from 8.8.8.8:1 to self:22",
            "8.8.8.8",
            "192.0.2.1",
            "192.0.2.1",
        ),
        (
            "tcp from self:1 to 8.8.8.8:22",
            "192.0.2.1",
            "8.8.8.8",
            "192.0.2.1",
        ),
        (
            "tcp from self:1 to self:22",
            "192.0.2.1",
            "192.0.2.1",
            "192.0.2.1",
        ),
        (
            "tcp from [2001:db8:9::1]:1 to self:22",
            "2001:db8:9::1",
            "2001:db8::1",
            "2001:db8::1",
        ),
        (
            "tcp from 8.8.8.8:1 to self:22 with self { 2001:db8::7, 10.0.0.8/29 }",
            "8.8.8.8",
            "10.0.0.8",
            "10.0.0.8/29, 2001:db8::7",
        ),
        (
            "tcp from [2001:db8:9::1]:1 to self:22 with self { 2001:db8::7, 10.0.0.8 }",
            "2001:db8:9::1",
            "2001:db8::7",
            "10.0.0.8, 2001:db8::7",
        ),
        (
            "tcp from 8.8.8.8:1 to 10.0.0.8:22 with self",
            "8.8.8.8",
            "10.0.0.8",
            "10.0.0.8",
        ),
        (
            "tcp from 8.8.8.8:1 to 10.0.0.9:22 with self { 10.0.0.8/29 }, self",
            "8.8.8.8",
            "10.0.0.9",
            "10.0.0.8/29",
        ),
        (
            "out tcp from 10.0.0.8:1 to 8.8.8.8:22 with self",
            "10.0.0.8",
            "8.8.8.8",
            "10.0.0.8",
        ),
    ] {
        let header = header(text);
        assert_eq!(
            (header.from.to_string(), header.to.to_string()),
            (from.to_owned(), to.to_owned()),
            "{text}"
        );
        let policy = policy();
        let described = read(text);
        let [(set, members)] = &described.members[..] else {
            panic!("{text}: {:?}", described.members);
        };
        assert!(policy.sets[*set].is_own(), "{text}");
        assert_eq!(members::words(members), own, "{text}");
        assert!(
            DescribedWorld::new(&policy, &described).member(*set, to.parse().unwrap())
                == (to != "8.8.8.8")
        );
    }
    let lacks = "tcp from 8.8.8.8:1 to self:22 with self { 2001:db8::7 }";
    assert_eq!(
        refused(lacks),
        (codes::NOT_ONE_ADDRESS.0, "self".to_owned())
    );
    let twice = "tcp from 8.8.8.8:1 to 9.9.9.9:22 with self { 9.9.9.9 }, self { }";
    assert_eq!(refused(twice).0, codes::SAID_TWICE.0);
    for (text, code) in [
        (
            "tcp from 8.8.8.8:1 to 9.9.9.9:22 with self, self",
            codes::SAID_TWICE,
        ),
        (
            "tcp from 8.8.8.8:1 to 9.9.9.9:22 with self, self { 9.9.9.8 }",
            codes::DOES_NOT_FIT,
        ),
        (
            "forward tcp from 8.8.8.8:1 to 9.9.9.9:22 with self",
            codes::DOES_NOT_FIT,
        ),
        (
            "udp from 8.8.8.8:1 to 224.0.0.1:22 with self",
            codes::DOES_NOT_FIT,
        ),
        (
            "udp from 8.8.8.8:1 to 255.255.255.255:22 with self",
            codes::DOES_NOT_FIT,
        ),
    ] {
        assert_eq!(refused(text), (code.0, "self".to_owned()), "{text}");
    }
}

/// A policy that does not name it asks nothing of it, so whatever is said is as well.
#[test]
fn self_may_be_said_to_a_policy_that_does_not_name_it() {
    let mut policy = policy();
    policy.sets = policy
        .sets
        .into_iter()
        .map(|(_, set)| set)
        .filter(|set| !set.is_own())
        .collect();
    for text in [
        "tcp from 8.8.8.8:1 to self:22",
        "tcp from 8.8.8.8:1 to 192.0.2.1:22 with self { 192.0.2.1 }",
        "tcp from 8.8.8.8:1 to 192.0.2.1:22 with self",
    ] {
        let read = try_read(text, &policy).unwrap();
        assert_eq!(read.members, [], "{text}");
    }
}
