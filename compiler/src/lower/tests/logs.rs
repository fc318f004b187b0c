//! Records of `log` at every hook, samples and limits.

use std::net::SocketAddr;

use super::made::{at, built, policy, run_at};
use crate::artifact::{Artifact, CounterKind};
use crate::event::{Fragment, Header, Transport};
use crate::hook::Hook;
use crate::interpret::{Bare, Input, Lookup, Maps, Message, SocketModel, run};
use crate::log::{LogRecord, Logged, SIZE, parse};
use crate::packet::build::Frame;
use crate::policy::{Action, Direction, Log, Match, Policy, ProtocolMatch, Rule};
use crate::protocol::IpProtocol;
use crate::tests::parts::{group, rule, socket};

fn every() -> Option<Log> {
    Some(Log {
        text: "here".into(),
        sample: None,
        max: None,
    })
}

fn logging(hook: Hook, action: Action) -> Rule {
    Rule {
        log: every(),
        ..at(hook, action)
    }
}

fn header(from: &str, to: &str, protocol: u8, transport: Transport) -> Header {
    let header = Header {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        protocol: IpProtocol(protocol),
        transport,
        ..Header::PLAIN
    };
    Frame::new(header).shrink().header().clone()
}

fn records(maps: &mut Maps) -> Vec<LogRecord> {
    let log = maps.named("log").unwrap();
    let records = maps.take_records(log);
    records.iter().map(|bytes| parse(bytes).unwrap()).collect()
}

fn logged(header: &Header) -> Logged {
    let (ports, flags, icmp) = match header.transport {
        Transport::None => (None, None, None),
        Transport::Tcp { from, to, flags } => (Some((from, to)), Some(flags), None),
        Transport::Ports { from, to } => (Some((from, to)), None, None),
        Transport::Icmp { kind, code } => (None, None, Some((kind, code))),
    };
    Logged {
        from: header.from,
        to: header.to,
        protocol: header.protocol,
        fragment: header.fragment as u8,
        ports,
        flags,
        icmp,
        length: header.length,
        mark: 0,
    }
}

fn headers() -> Vec<Header> {
    let (tcp, ports, icmp) = (
        Transport::Tcp {
            from: 40_000,
            to: 80,
            flags: 0x12,
        },
        Transport::Ports { from: 53, to: 7 },
        Transport::Icmp { kind: 8, code: 3 },
    );
    let mut all = Vec::new();
    for (from, to, icmp_protocol) in [
        ("10.1.2.3", "192.0.2.250", 1),
        ("2001:db8::1:2:3:4", "fe80::ff", 58),
    ] {
        for (protocol, transport) in [
            (6, tcp),
            (17, ports),
            (132, ports),
            (icmp_protocol, icmp),
            (89, Transport::None),
        ] {
            all.push(header(from, to, protocol, transport));
        }
        let later = Header {
            fragment: Fragment::Later,
            ..header(from, to, 17, Transport::None)
        };
        all.push(Frame::new(later).shrink().header().clone());
    }
    all
}

#[test]
fn a_record_says_what_the_packet_is() {
    let mut default = policy([]);
    default.defaults[0].log = every();
    let cases: [(Hook, u32, Policy); 5] = [
        (Hook::Xdp, 0, policy([logging(Hook::Xdp, Action::Drop)])),
        (Hook::TcIn, 0, policy([logging(Hook::TcIn, Action::Allow)])),
        (Hook::TcIn, 0, policy([logging(Hook::TcIn, Action::Reject)])),
        (Hook::TcIn, 0, policy([logging(Hook::TcIn, Action::Count)])),
        (Hook::Xdp, 0, default),
    ];
    for (hook, counter, policy) in cases {
        let artifact = built(policy);
        let mut maps = Maps::new(&artifact.maps);
        for header in headers() {
            let frame = Frame::new(header.clone()).bytes();
            let mut world = Bare { now: 99, random: 0 };
            run_at(&artifact, &mut maps, frame, &mut world);
            let expected = LogRecord {
                time: 99,
                counter,
                interface: 1,
                came_in: 0,
                hook,
                packet: Some(logged(&header)),
            };
            assert_eq!(records(&mut maps), [expected], "{hook:?}");
        }
    }
}

#[test]
fn a_default_logs_what_is_malformed_too() {
    let mut policy = policy([]);
    policy.defaults[0].log = every();
    let artifact = built(policy);
    let mut maps = Maps::new(&artifact.maps);
    let frame = Frame::new(headers()[0].clone()).bytes();
    run_at(
        &artifact,
        &mut maps,
        frame[..40].to_vec(),
        &mut Bare::default(),
    );
    let record = &records(&mut maps)[0];
    assert_eq!((record.counter, &record.packet), (1, &None));
}

/// Which of some packets are logged, each at its time and with its random number.
fn chosen(artifact: &Artifact, worlds: impl IntoIterator<Item = (u64, u32)>) -> Vec<bool> {
    let mut maps = Maps::new(&artifact.maps);
    let frame = Frame::new(headers()[0].clone()).bytes();
    let each = worlds.into_iter().map(|(now, random)| {
        let mut world = Bare { now, random };
        run_at(artifact, &mut maps, frame.clone(), &mut world);
        !records(&mut maps).is_empty()
    });
    each.collect()
}

#[test]
fn samples_and_limits_choose() {
    let with = |sample, max| {
        let log = Log {
            text: String::new(),
            sample,
            max,
        };
        built(policy([Rule {
            log: Some(log),
            ..at(Hook::Xdp, Action::Drop)
        }]))
    };
    let quarter = with(Some((1, 4)), None);
    let numbers = [0, 0x3fff_ffff, 0x4000_0000, 0xc000_0000, u32::MAX];
    assert_eq!(
        chosen(&quarter, numbers.map(|random| (0, random))),
        [true, true, false, false, false]
    );
    let second = 1_000_000_000;
    let limited = with(None, Some((2, 1)));
    let times = [
        1,
        2,
        3,
        second / 2,
        second / 2 + 2,
        second,
        5 * second,
        5 * second,
    ];
    assert_eq!(
        chosen(&limited, times.map(|now| (now, 0))),
        [true, true, false, false, true, false, true, true]
    );
}

#[test]
fn a_lookup_logs() {
    let mut policy = policy([]);
    let proxy = policy.sockets.push(socket(false));
    policy.defaults.clear();
    let tcp = Match {
        protocols: vec![ProtocolMatch {
            family: None,
            number: IpProtocol::TCP,
            icmp: Vec::new(),
        }],
        ..Match::default()
    };
    policy.rules.push(Rule {
        log: every(),
        matches: tcp,
        ..rule(Action::Redirect(proxy))
    });
    let artifact = built(policy);
    let lookup = artifact.programs.iter().find(|one| one.name == "lookup");
    let mut maps = Maps::new(&artifact.maps);
    for (remote, local) in [
        ("10.0.0.1:4000", "3.3.3.3:80"),
        ("[2001:db8::9]:4000", "[2001:db8::3]:80"),
    ] {
        let [remote, local]: [SocketAddr; 2] = [remote, local].map(|text| text.parse().unwrap());
        let input = Input::Lookup(Lookup {
            protocol: IpProtocol::TCP,
            remote,
            local,
            ingress_ifindex: 1,
        });
        run(lookup.unwrap(), &mut maps, input, &mut Bare::default()).unwrap();
        let packet = records(&mut maps).remove(0).packet.unwrap();
        assert_eq!((packet.from, packet.to), (remote.ip(), local.ip()));
        assert_eq!(packet.ports, Some((4000, 80)));
        assert_eq!(
            (packet.protocol, packet.flags, packet.length),
            (IpProtocol::TCP, None, 0)
        );
    }
}

#[test]
fn a_write_logs() {
    let mut policy = Policy::default();
    policy.groups.push(group("pods"));
    policy.rules.push(Rule {
        direction: Direction::Send,
        log: every(),
        ..rule(Action::Reject)
    });
    let artifact = built(policy);
    let send = artifact.programs.iter().find(|one| one.name == "send");
    let mut maps = Maps::new(&artifact.maps);
    let [local, remote]: [SocketAddr; 2] =
        ["10.0.0.1:4000", "3.3.3.3:80"].map(|text| text.parse().unwrap());
    let input = Input::Message(Message {
        socket: SocketModel {
            remote,
            ..SocketModel::listener(1, local)
        },
        data: vec![1; 77],
    });
    let outcome = run(send.unwrap(), &mut maps, input, &mut Bare::default()).unwrap();
    assert_eq!(outcome.code(), 0);
    let record = records(&mut maps).remove(0);
    assert_eq!((record.hook, record.interface), (Hook::SkMsg, 0));
    let packet = record.packet.unwrap();
    assert_eq!((packet.from, packet.to), (local.ip(), remote.ip()));
    assert_eq!((packet.ports, packet.length), (Some((4000, 80)), 77));
    assert_eq!((packet.protocol, packet.flags), (IpProtocol::TCP, None));
}

/// What finds no room in the ring is counted, each by its direction, and nothing else is; what is logged is all the same.
#[test]
fn what_finds_no_room_is_counted() {
    let artifact = built(policy([logging(Hook::Xdp, Action::Drop)]));
    let counters = &artifact.manifest.counters;
    let slot = counters
        .iter()
        .position(|one| one.kind == CounterKind::Lost);
    let slot = u32::try_from(slot.unwrap()).unwrap();
    let mut maps = Maps::new(&artifact.maps);
    let room = (crate::log::RING as usize - 1) / (SIZE + 8);
    let frames = headers().into_iter().cycle();
    for (sent, header) in (1..=room + 7).zip(frames) {
        let frame = Frame::new(header).bytes();
        run_at(&artifact, &mut maps, frame, &mut Bare::default());
        let lost = maps.counted(slot).map_or(0, |[lost, _]| lost);
        assert_eq!(lost, sent.saturating_sub(room) as u64, "{sent}");
        assert_eq!(maps.counted(0).unwrap()[0], sent as u64);
    }
    assert_eq!(records(&mut maps).len(), room);
}
