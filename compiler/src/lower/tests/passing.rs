//! What passes through and what leaves, in one program: against the reference meaning, list after list.

use sockc_grammar::diagnostic::Severity;
use sockc_grammar::source::SourceMap;

use crate::artifact::Artifact;
use crate::bpf::constant::{TC_ACT_REDIRECT, TC_ACT_SHOT, TCX_NEXT};
use crate::decide::{decide, next};
use crate::event::{Decision, Event, Header, Parsed, Transport, Verdict};
use crate::files::Texts;
use crate::interpret::{Bare, Execution, Input, Maps, Skb, run};
use crate::log;
use crate::packet::build::Frame;
use crate::packet::text::class_of;
use crate::pipeline::compile;
use crate::policy::{Direction, Policy};
use crate::protocol::IpProtocol;
use crate::target::Target;
use crate::testing::{Features, Options, random_policy};
use crate::testing::{Rng, edge_headers};

use super::headers::Nothing;
use super::sampled::{events, open};

const POLICY: &str = "interfaces eth0, br-lan, dmz, eth1
zone outside = eth0
zone inside = br-lan
default forward reject
default out allow
count forward tcp
allow forward tcp from 10.0.0.0/8 to any:443 on zone inside to zone outside mark 9
drop forward udp on zone outside if ttl < 5
allow forward udp on zone outside to interface dmz log \"through\"
allow forward tcp on zone outside to zone inside if tcp flags ack
drop out to any:443 if mark 9 and ttl < 5
drop out tcp to any:22
";

/// The interfaces and their numbers; what this machine sends came in by none.
const PORTS: [(u32, &str); 4] = [(11, "eth0"), (12, "br-lan"), (13, "dmz"), (14, "eth1")];

fn compiled(text: &str) -> (Policy, Artifact) {
    let mut sources = SourceMap::default();
    let id = sources.add("passing.sk", text);
    let target = Target::baseline();
    let made = compile(&mut sources, id, "passing", &target, &mut Texts::default());
    let mut wrong = made.diagnostics.iter();
    let wrong = wrong.find(|one| one.severity == Severity::Error);
    assert!(!made.failed(), "{:?} {wrong:?}\n{text}", made.internal);
    (made.policy.unwrap(), made.built.unwrap().artifact)
}

fn headers() -> Vec<Header> {
    let mut found = Vec::new();
    for (from, to) in [
        ("10.0.0.1", "192.0.2.1"),
        ("192.0.2.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::2"),
    ] {
        for (port, ttl, flags) in [(443, 64, 2), (443, 3, 0x10), (22, 64, 0x10), (53, 3, 2)] {
            let plain = Header {
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                ttl,
                length: 80,
                ..Header::PLAIN
            };
            let (from, to) = (1025, port);
            found.push(Header {
                protocol: IpProtocol::TCP,
                transport: Transport::Tcp { from, to, flags },
                ..plain.clone()
            });
            found.push(Header {
                protocol: IpProtocol::UDP,
                transport: Transport::Ports { from, to },
                ..plain
            });
        }
    }
    found
}

/// What the lists say of a packet that came in by one interface, or by none, and leaves by another.
fn wanted(policy: &Policy, [came_in, leaves]: [usize; 2], header: &Header) -> Decision {
    let class = |port: usize| class_of(policy, PORTS[port].1);
    let packet = Parsed::Ip(header.clone());
    if came_in == PORTS.len() || came_in == leaves {
        let event = Event::Packet {
            direction: Direction::Out,
            class: class(leaves),
            packet,
        };
        return decide(policy, &event, &Nothing);
    }
    let event = Event::of_packet(Direction::Forward, [class(came_in), class(leaves)], packet);
    let first = decide(policy, &event, &Nothing);
    match next(&event, &first) {
        Some(event) => {
            let then = decide(policy, &event, &Nothing);
            Decision {
                mark: then.mark.or(first.mark),
                ..then
            }
        }
        None => first,
    }
}

fn ran(policy: &Policy, artifact: &Artifact, ports: [usize; 2], header: &Header) -> Execution {
    let mut maps = Maps::new(&artifact.maps);
    ran_with(&mut maps, (policy, artifact), ports, header)
}

fn ran_with(
    maps: &mut Maps,
    (policy, artifact): (&Policy, &Artifact),
    [came_in, leaves]: [usize; 2],
    header: &Header,
) -> Execution {
    let class = class_of(policy, PORTS[leaves].1).as_u32() as usize;
    let mut attached = artifact.manifest.programs.iter();
    let attach = attached.find(|one| one.class == Some(class)).unwrap();
    let mut programs = artifact.programs.iter();
    let program = programs.find(|one| one.name == attach.program).unwrap();
    if let Some(map) = maps.named("interfaces") {
        for (index, name) in PORTS {
            let class = class_of(policy, name).as_u32() + 1;
            let entry = (index.to_ne_bytes(), class.to_ne_bytes());
            maps.update(map, &entry.0, &entry.1, 0).unwrap();
        }
    }
    let input = Input::Skb(Skb {
        mark: header.mark,
        ifindex: PORTS[leaves].0,
        ingress_ifindex: PORTS.get(came_in).map_or(0, |(index, _)| *index),
        egress: true,
        ..Skb::new(Frame::new(header.clone()).bytes())
    });
    run(program, maps, input, &mut Bare::default()).unwrap()
}

/// What is logged and what is dropped while somebody asks says both interfaces; of what this machine sends there is one.
#[test]
fn records_and_events_say_where_it_came_in() {
    let text = "interfaces eth0, dmz
default forward drop log
default out drop log
";
    let (policy, artifact) = compiled(text);
    let mut maps = Maps::new(&artifact.maps);
    open(&mut maps, 1);
    let header = headers().remove(0);
    for came_in in [0, PORTS.len()] {
        ran_with(&mut maps, (&policy, &artifact), [came_in, 2], &header);
    }
    let log = maps.named("log").unwrap();
    let records = maps.take_records(log);
    let records = records.iter().map(|bytes| log::parse(bytes).unwrap());
    let logged: Vec<_> = records.map(|one| (one.interface, one.came_in)).collect();
    let dropped = events(&mut maps).into_iter();
    let frame = Frame::new(header).bytes();
    let dropped = dropped.inspect(|one| assert_eq!(one.frame, frame));
    let dropped: Vec<_> = dropped.map(|one| (one.interface, one.came_in)).collect();
    assert_eq!(logged, [(13, 11), (13, 0)]);
    assert_eq!(dropped, logged);
}

fn check(text: &str) -> [usize; 3] {
    let (policy, artifact) = compiled(text);
    let mut seen = [0; 3];
    compare((&policy, &artifact), headers().into_iter(), &mut seen);
    seen
}

/// Each packet by every two interfaces; counts what was let go, dropped and answered.
fn compare(
    (policy, artifact): (&Policy, &Artifact),
    headers: impl Iterator<Item = Header>,
    seen: &mut [usize; 3],
) {
    for header in headers {
        for came_in in 0..=PORTS.len() {
            for leaves in 0..PORTS.len() {
                let ports = [came_in, leaves];
                let wanted = wanted(policy, ports, &header);
                let ran = ran(policy, artifact, ports, &header);
                let told = format!("{ports:?} {header:?}");
                match (wanted.verdict, ran.code()) {
                    (Verdict::Allow, code) => {
                        seen[0] += 1;
                        assert_eq!(code, TCX_NEXT, "{told}");
                        let mark = wanted.mark.unwrap_or(header.mark);
                        assert_eq!(ran.mark, Some(mark), "{told}");
                    }
                    (Verdict::Drop, code) => {
                        seen[1] += 1;
                        assert_eq!(code, TC_ACT_SHOT, "{told}");
                    }
                    // Who cannot be answered gets nothing.
                    (_, TC_ACT_SHOT) => {}
                    (_, code) => {
                        seen[2] += 1;
                        assert_eq!(code, TC_ACT_REDIRECT, "{told}");
                        let way = ran.forwarded.unwrap();
                        let from = PORTS.get(came_in).map(|(index, _)| *index);
                        assert_eq!(Some(way.ifindex), from, "{told}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_passes_through_meets_its_list_and_then_that_of_what_leaves() {
    let seen = check(POLICY);
    assert!(seen.iter().all(|seen| *seen > 10), "{seen:?}");
}

/// Where nothing is said of what leaves, the program is there for what passes through alone.
#[test]
fn a_list_of_what_passes_through_stands_alone() {
    let alone = POLICY.lines().filter(|line| !line.contains(" out "));
    let alone: Vec<&str> = alone.collect();
    let (_, artifact) = compiled(&alone.join("\n"));
    let names = artifact.programs.iter().map(|one| one.name.as_str());
    assert!(names.clone().all(|name| name.starts_with("tc_forward")));
    // One for each interface, and one for those that are named nowhere.
    assert_eq!(names.count(), 4);
    check(&alone.join("\n"));
}

/// Without a rule or a default of `forward` there is no code for it.
#[test]
fn without_a_word_about_it_everything_passes() {
    let others = POLICY.lines().filter(|line| !line.contains(" forward "));
    let others: Vec<&str> = others.collect();
    let (policy, artifact) = compiled(&others.join("\n"));
    let (_, whole) = compiled(POLICY);
    let size = |artifact: &Artifact| artifact.programs[0].insns.len();
    assert!(size(&artifact) < size(&whole));
    assert!(policy.rules_of(Direction::Forward).next().is_none());
    check(&others.join("\n"));
}

/// A policy of random rules of which those for packets that arrive are about what passes through, some by where it leaves.
fn random(seed: u64) -> String {
    let options = Options {
        redirects: false,
        socket_conditions: false,
        hooks: false,
        features: Features {
            fields: true,
            zones: true,
            rejects: true,
            logs: true,
            ..Features::PLAIN
        },
        ..Options::everything(10)
    };
    let text = random_policy(seed, options);
    let mut rng = Rng::new(seed);
    let lines = text.lines().map(|line| {
        let line = line
            .replace(" reject in", " reject")
            .replace("default in", "default forward");
        let verb = VERBS
            .iter()
            .find_map(|verb| Some((verb, line.split_once(*verb)?)));
        let line = match verb {
            Some((verb, (head, rest))) if !line.contains("default") && !line.contains(" out") => {
                let bare = rest.strip_prefix("in");
                let bare = bare.filter(|bare| bare.is_empty() || bare.starts_with(' '));
                let rest = bare.unwrap_or(rest).trim_start();
                format!("{head}{verb}forward {rest}")
            }
            _ => line.clone(),
        };
        let leaves = ["", "", " to zone lan", " to interface eth1", " to zone wan"];
        match line.contains("forward ") && !line.contains("default") {
            true => match line.strip_suffix(" }").filter(|_| line.starts_with("for ")) {
                Some(rule) => format!("{rule}{} }}", rng.pick(&leaves).unwrap()),
                None => format!("{line}{}", rng.pick(&leaves).unwrap()),
            },
            false => line,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// As the rules of random policies say them.
const VERBS: [&str; 4] = ["allow ", "drop ", "count ", "reject "];

#[test]
fn random_lists_of_both_are_decided_as_they_say() {
    let mut seen = [0; 3];
    for seed in 0..30 {
        let text = random(seed);
        let (policy, artifact) = compiled(&text);
        assert!(policy.rules_of(Direction::Forward).count() > 1, "{text}");
        let mut rng = Rng::new(seed);
        let headers = edge_headers(&policy, &mut rng, 40);
        let headers = headers.into_iter().map(|header| Header {
            vlan: None,
            ..header
        });
        compare((&policy, &artifact), headers, &mut seen);
    }
    assert!(seen.iter().all(|seen| *seen > 100), "{seen:?}");
}
