//! The program of datagrams says what the rules say, whatever headers stand before that of UDP; and drops what it cannot
//! tell.

use std::net::{IpAddr, SocketAddr};

use super::headers::Nothing;
use crate::artifact::Artifact;
use crate::decide::decide;
use crate::event::{Event, Fragment, Header, Transport, Verdict};
use crate::files::Texts;
use crate::hook::Hook;
use crate::interpret::{Arriving, Bare, Input, Maps, SocketModel, run};
use crate::packet::build::{Broken, Extension, Fragmented, Frame};
use crate::pipeline::{Options, compile};
use crate::policy::{Direction, GroupId, Policy};
use crate::protocol::IpProtocol;
use crate::target::Target;

const TEXT: &str = "
group names = cgroup \"/names\"
default receive allow
allow receive udp from 192.0.2.9 to port 53
drop receive udp from 192.0.2.0/24, [2001:db8:2::/48]:9
drop receive udp from 0.0.0.0
reject receive udp to port 123 log";

const ENDS: [(&str, &str); 6] = [
    ("192.0.2.5", "198.51.100.9"),
    ("192.0.2.9", "198.51.100.9"),
    ("203.0.113.5", "198.51.100.9"),
    ("0.0.0.0", "255.255.255.255"),
    ("2001:db8:2::5", "2001:db8::9"),
    ("2001:db8:3::5", "2001:db8::9"),
];

fn compiled() -> (Policy, Artifact) {
    let mut sources = sockc_grammar::source::SourceMap::default();
    let id = sources.add("test.sk", TEXT);
    let target = Target::newest();
    let options = Options::from(&target);
    let outcome = compile(&mut sources, id, "test", options, &mut Texts::default());
    assert!(outcome.internal.is_none(), "{:?}", outcome.internal);
    (outcome.policy.unwrap(), outcome.built.unwrap().artifact)
}

fn header(from: &str, to: &str, ports: (u16, u16)) -> Header {
    let [from, to]: [IpAddr; 2] = [from, to].map(|address| address.parse().unwrap());
    Header {
        from,
        to,
        protocol: IpProtocol::UDP,
        transport: Transport::Ports {
            from: ports.0,
            to: ports.1,
        },
        length: 200,
        ..Header::PLAIN
    }
}

/// Whether a packet at a socket goes on; so many bytes of its headers are linear.
fn goes_on(artifact: &Artifact, packet: Vec<u8>, linear: usize, socket: SocketModel) -> bool {
    let point = (Hook::CgroupSkb.spec().attach)(0);
    let mut attached = artifact.manifest.programs.iter();
    let name = &attached.find(|one| one.point == point).unwrap().program;
    let mut programs = artifact.programs.iter();
    let program = programs.find(|one| one.name == *name).unwrap();
    let arriving = Arriving {
        linear: linear.min(packet.len()),
        ..Arriving::new(packet, socket)
    };
    let mut maps = Maps::new(&artifact.maps);
    let input = Input::Arriving(arriving);
    run(program, &mut maps, input, &mut Bare::default())
        .unwrap()
        .code()
        == 1
}

fn packet(frame: &Frame) -> Vec<u8> {
    frame.bytes().split_off(14)
}

fn at(header: &Header) -> SocketModel {
    SocketModel::udp(0, SocketAddr::new(header.to, 53))
}

#[test]
fn programs_of_datagrams_say_what_the_rules_say() {
    let (policy, artifact) = compiled();
    let mut dropped = 0;
    for (from, to) in ENDS {
        for ports in [(9, 53), (9, 54), (53, 123), (8, 123)] {
            let header = header(from, to, ports);
            let event = Event::Process {
                direction: Direction::Receive,
                group: GroupId::from_u32(0),
                header: header.clone(),
            };
            let wanted = decide(&policy, &event, &Nothing).verdict == Verdict::Allow;
            let plain = Frame::new(header.clone());
            let six = header.from.is_ipv6();
            let mut shapes = vec![(plain.clone(), 28 + 20 * usize::from(six))];
            match six {
                false => shapes.extend(
                    (1..=10).map(|words| (plain.clone().ip_options(words), 28 + 4 * words)),
                ),
                true => {
                    let all = [
                        Extension::HopByHop(0),
                        Extension::Destination(3),
                        Extension::Routing(2),
                        Extension::Fragment,
                    ];
                    shapes.extend(all.map(|one| (plain.clone().extension(one), 100)));
                    let whole = all.into_iter().fold(plain.clone(), Frame::extension);
                    shapes.push((whole, 150));
                }
            }
            for (frame, linear) in shapes {
                let found = goes_on(&artifact, packet(&frame), linear, at(&header));
                assert_eq!(found, wanted, "{frame:?}");
                dropped += u32::from(!found);
            }
        }
    }
    assert!(dropped > 30);
}

#[test]
fn what_cannot_be_told_is_dropped() {
    let (_, artifact) = compiled();
    let four = Frame::new(header("203.0.113.5", "198.51.100.9", (1, 2)));
    let six = Frame::new(header("2001:db8:3::5", "2001:db8::9", (1, 2)));
    let part = |frame: &Frame, fragment| {
        let header = Header {
            fragment,
            transport: match fragment {
                Fragment::Later => Transport::None,
                _ => frame.header().transport,
            },
            ..frame.header().clone()
        };
        Frame::new(header).fragmented(Fragmented::default())
    };
    let words = |words| {
        four.clone().broken(Broken {
            header_words: Some(words),
            ..Broken::default()
        })
    };
    let version = |frame: &Frame, version| {
        frame.clone().broken(Broken {
            version: Some(version),
            ..Broken::default()
        })
    };
    let many = (0..7).fold(six.clone(), |frame, _| {
        frame.extension(Extension::Destination(0))
    });
    let mapped = |from: &str, to: &str| Frame::new(header(from, to, (1, 2)));
    for frame in [
        part(&four, Fragment::First),
        part(&four, Fragment::Later),
        part(&six, Fragment::First),
        part(&six, Fragment::Later),
        words(4),
        version(&four, 5),
        version(&six, 7),
        many,
        mapped("::ffff:203.0.113.5", "2001:db8::9"),
        mapped("2001:db8:3::5", "::ffff:198.51.100.9"),
    ] {
        let packet = packet(&frame);
        let linear = packet.len();
        assert!(
            !goes_on(&artifact, packet, linear, at(frame.header())),
            "{frame:?}"
        );
    }
    // Headers that are not all linear.
    for (frame, length) in [(&four, 28), (&six, 48)] {
        for linear in [0, 19, 20, 27, length - 1] {
            assert!(!goes_on(
                &artifact,
                packet(frame),
                linear,
                at(frame.header())
            ));
        }
        assert!(goes_on(
            &artifact,
            packet(frame),
            length,
            at(frame.header())
        ));
    }
    // A socket of UDP that gets what is none.
    let mut other = packet(&four);
    other[9] = IpProtocol::TCP.0;
    assert!(!goes_on(&artifact, other, 100, at(four.header())));
}

#[test]
fn packets_of_other_sockets_go_on() {
    let (_, artifact) = compiled();
    let refused = Frame::new(header("192.0.2.5", "198.51.100.9", (1, 2)));
    let udp = at(refused.header());
    assert!(!goes_on(&artifact, packet(&refused), 100, udp));
    for protocol in [IpProtocol::TCP, IpProtocol(136), IpProtocol(1)] {
        let socket = SocketModel { protocol, ..udp };
        assert!(
            goes_on(&artifact, packet(&refused), 100, socket),
            "{protocol}"
        );
    }
}
