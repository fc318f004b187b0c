//! Words to packets and back.

use crate::policy::SocketOrigin;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::parse_packet;
use sockc_grammar::source::{SourceId, SourceMap, Span};

use super::*;
use crate::event::{Header, Parsed, Part, Transport};
use crate::packet::edges::arbitrary_header;
use crate::packet::random::Rng;
use crate::policy::{Direction, Group, Listen, Place, Policy, Socket};

fn place() -> Place {
    let span = Span {
        source: SourceId(0),
        start: 0,
        end: 0,
    };
    Place {
        span,
        file: String::new(),
        line: 1,
        column: 1,
        text: String::new(),
    }
}

fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.sockets.push(Socket {
        name: "proxy".to_owned(),
        origin: SocketOrigin::Listen(vec![Listen {
            protocol: 6,
            address: [127, 0, 0, 1].into(),
            port: 1234,
        }]),
        drop_if_absent: true,
        place: place(),
    });
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
        | Event::Send { header, .. } => header,
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
        protocol: 6,
        part: Part::Whole,
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
    let words = describe_case(&policy(), &described.event, described.socket);
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
    assert_eq!(first.part, Part::First);
    let later = header("tcp from 1.1.1.1 to 2.2.2.2 with fragment");
    assert_eq!(
        (later.part, later.transport),
        (Part::Later, Transport::None)
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
    let words = describe_case(&policy(), &described.event, described.socket);
    assert_eq!(words.as_deref(), Some(text));
    let absent = read("tcp from 1.1.1.1:1 to 3.3.3.3:80 with sock proxy absent");
    assert_eq!(absent.absent, policy().sockets.keys().collect::<Vec<_>>());
    let malformed = read("out with malformed");
    let words = describe_case(&policy(), &malformed.event, SocketAnswer::None);
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
            "tcp from 1.1.1.1:1 to 2.2.2.2:2 with ttl 3",
            "E0399",
            "ttl 3",
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
        if expected.part == Part::First && expected.transport == Transport::None {
            // Written like a later one: no rule can tell them apart.
            expected.part = Part::Later;
        }
        let text = describe(&expected, Direction::In);
        assert_eq!(header(&text), expected, "{text}");
    }
}

#[test]
fn codes_are_distinct_and_in_order() {
    assert!(codes::CODES.is_sorted_by(|(left, _), (right, _)| left < right));
}
