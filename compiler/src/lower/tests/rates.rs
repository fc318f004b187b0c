//! Rates against an exact model, packet by packet, on a clock that is set.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_grammar::source::SourceMap;

use super::headers::Nothing;
use super::made::{at, built_for, policy};
use crate::artifact::{Artifact, Attach, AttachPoint};
use crate::decide::decide;
use crate::event::{Event, Header, Transport, Verdict};
use crate::files::Texts;
use crate::hook::Hook;
use crate::interpret::{Bare, Input, Maps, Skb, Xdp, run};
use crate::packet::build::Frame;
use crate::pipeline::{Options, compile};
use crate::policy::{
    Action, DefaultVerdict, Direction, GroupId, Match, Per, Policy, ProtocolMatch, Rate, RateUnit,
    Rule,
};
use crate::protocol::IpProtocol;
use crate::target::Target;
use crate::testing::Rng;

/// Allows what conforms to the rate; everything else is dropped.
fn limited(hook: Hook, rate: Rate) -> Policy {
    let mut policy = policy([Rule {
        rate: Some(rate),
        ..at(hook, Action::Allow)
    }]);
    policy.defaults[0].verdict = DefaultVerdict::Drop;
    policy
}

fn rate(count: u64, period: u32, unit: RateUnit, burst: u64) -> Rate {
    Rate {
        above: false,
        count,
        period,
        unit,
        per: None,
        burst,
    }
}

fn udp(from: IpAddr, payload: usize) -> Frame {
    let to: IpAddr = if from.is_ipv4() {
        Ipv4Addr::new(192, 0, 2, 7).into()
    } else {
        Ipv6Addr::LOCALHOST.into()
    };
    let header = Header {
        from,
        to,
        protocol: IpProtocol::UDP,
        transport: Transport::Ports { from: 1, to: 2 },
        ..Header::PLAIN
    };
    Frame::new(header).shrink().payload(&vec![0; payload])
}

/// Whether the only program lets a frame pass at a time.
fn passes(artifact: &Artifact, maps: &mut Maps, now: u64, frame: &Frame, segments: u32) -> bool {
    let program = &artifact.programs[0];
    let input = match program.name.as_str() {
        "xdp_in" => Input::Xdp(Xdp::new(frame.bytes())),
        _ => Input::Skb(Skb {
            gso_segs: segments,
            ..Skb::new(frame.bytes())
        }),
    };
    let mut world = Bare { now, random: 0 };
    match run(program, maps, input, &mut world).unwrap().code() {
        2 if program.name == "xdp_in" => true,
        -1 => true,
        1 | 2 => false,
        other => panic!("{other}"),
    }
}

/// A bucket as the language says it, in fractions of a token: `level` of `burst * scale` are there.
struct Bucket {
    level: u128,
    seen: u64,
}

struct Model {
    rate: Rate,
    buckets: BTreeMap<Vec<u8>, Bucket>,
}

impl Model {
    /// In units of a token over a period of nanoseconds, in which what comes and what goes are whole numbers.
    fn conforms(&mut self, key: Vec<u8>, now: u64, tokens: u64) -> bool {
        let scale = u128::from(self.rate.period) * 1_000_000_000;
        let full = u128::from(self.rate.burst) * scale;
        let new = Bucket {
            level: full,
            seen: now,
        };
        let bucket = self.buckets.entry(key).or_insert(new);
        let come = u128::from(now - bucket.seen) * u128::from(self.rate.count);
        bucket.level = full.min(bucket.level + come);
        bucket.seen = now;
        let wanted = u128::from(tokens) * scale;
        let conforms = wanted <= bucket.level;
        if conforms {
            bucket.level -= wanted;
        }
        conforms
    }
}

fn targets() -> [Target; 2] {
    [Target::baseline(), Target::baseline().with_atomics()]
}

#[test]
fn packets_fit_as_the_model_says() {
    let rates = [
        rate(1000, 1, RateUnit::Packets, 10),
        rate(3, 1, RateUnit::Packets, 3),
        rate(1, 3600, RateUnit::Packets, 1),
        rate(7, 60, RateUnit::Packets, 100),
        rate(50_000, 1, RateUnit::Bytes, 9000),
        rate(125_000_000, 1, RateUnit::Bytes, 9000),
    ];
    for rate in rates {
        for hook in [Hook::Xdp, Hook::TcIn] {
            for target in targets() {
                let built = built_for(limited(hook, rate), &target);
                let mut maps = Maps::new(&built.artifact.maps);
                let mut model = Model {
                    rate,
                    buckets: BTreeMap::new(),
                };
                let mut rng = Rng::new(rate.count);
                let mut now = 1_000_000_000_000_000u64;
                let period = u64::from(rate.period) * 1_000_000_000;
                let mut fitted = 0;
                for _ in 0..600 {
                    let payload = rng.below(1400);
                    let frame = udp(Ipv4Addr::new(10, 0, 0, 1).into(), payload);
                    let tokens = match rate.unit {
                        RateUnit::Bytes => u64::from(frame.header().length),
                        _ => 1,
                    };
                    let pause = period * tokens / rate.count * rng.below(100) as u64 / 100;
                    now += pause + rng.below(20) as u64;
                    let wanted = model.conforms(Vec::new(), now, tokens);
                    let found = passes(&built.artifact, &mut maps, now, &frame, 0);
                    assert_eq!(found, wanted, "{rate:?} {hook:?} at {now}");
                    fitted += u32::from(found);
                }
                assert!((100..600).contains(&fitted), "{rate:?} {fitted}");
            }
        }
    }
}

#[test]
fn a_flood_gets_its_rate_through_and_a_burst() {
    for (count, burst) in [(1000u64, 1000u64), (100_000, 1)] {
        let rate = rate(count, 1, RateUnit::Packets, burst);
        let built = built_for(limited(Hook::Xdp, rate), &Target::baseline());
        let mut maps = Maps::new(&built.artifact.maps);
        let frame = udp(Ipv4Addr::new(10, 0, 0, 1).into(), 0);
        // Ten times the rate, for the time of 2,000 packets that fit.
        let step = 100_000_000 / count;
        let passed = (0..20_000u64)
            .filter(|tick| passes(&built.artifact, &mut maps, 5 + tick * step, &frame, 0))
            .count() as u64;
        let exact = 2000 + burst;
        assert!(
            passed.abs_diff(exact) <= 1 + burst / 1000,
            "{passed} of {exact}"
        );
    }
}

#[test]
fn a_hundred_gigabits_of_the_smallest_packets_are_metered_to_two_parts_in_a_hundred() {
    let rate = rate(12_500_000_000, 1, RateUnit::Bytes, 125_000);
    let built = built_for(limited(Hook::Xdp, rate), &Target::baseline());
    for payload in [18, 1472] {
        let mut maps = Maps::new(&built.artifact.maps);
        let frame = udp(Ipv4Addr::new(10, 0, 0, 1).into(), payload);
        let bytes = u64::from(frame.header().length);
        // A packet each nanosecond.
        let passed = (0..20_000)
            .filter(|now| passes(&built.artifact, &mut maps, *now, &frame, 0))
            .count() as u64;
        let exact = (20_000 * 25 / 2 + 125_000) / bytes;
        let exact = exact.min(20_000);
        assert!(passed.abs_diff(exact) * 50 <= exact, "{passed} of {exact}");
    }
}

#[test]
fn each_address_has_a_bucket() {
    let per = |destination| Per {
        destination,
        v4: 24,
        v6: 56,
    };
    let sources: [IpAddr; 6] = [
        "10.0.0.1",
        "10.0.0.200",
        "10.0.1.1",
        "2001:db8:1:100::1",
        "2001:db8:1:1ff::2",
        "2001:db8:1:200::1",
    ]
    .map(|text| text.parse().unwrap());
    let nets = [0u8, 0, 1, 2, 2, 3];
    for target in targets() {
        for hook in [Hook::Xdp, Hook::TcIn] {
            let rate = Rate {
                per: Some(per(false)),
                ..rate(10, 1, RateUnit::Packets, 4)
            };
            let built = built_for(limited(hook, rate), &target);
            let map = built
                .artifact
                .maps
                .values()
                .find(|map| map.name == "buckets");
            assert_eq!(map.unwrap().max_entries, 65_536);
            let mut maps = Maps::new(&built.artifact.maps);
            let mut model = Model {
                rate,
                buckets: BTreeMap::new(),
            };
            let mut rng = Rng::new(1);
            let mut now = 77;
            for _ in 0..1000 {
                let which = rng.below(6);
                now += rng.below(40_000_000) as u64;
                let wanted = model.conforms(vec![nets[which]], now, 1);
                let frame = udp(sources[which], 0);
                let found = passes(&built.artifact, &mut maps, now, &frame, 0);
                assert_eq!(found, wanted, "{hook:?} {which}");
            }
        }
        // All have one receiver in each family.
        let rate = Rate {
            per: Some(per(true)),
            ..rate(1, 3600, RateUnit::Packets, 1)
        };
        let built = built_for(limited(Hook::TcIn, rate), &target);
        let mut maps = Maps::new(&built.artifact.maps);
        let mut pass =
            |which: usize| passes(&built.artifact, &mut maps, 99, &udp(sources[which], 0), 0);
        assert_eq!([0, 1, 3, 5].map(&mut pass), [true, false, true, false]);
        let mut maps = Maps::new(&built.artifact.maps);
        let mut pass = |to: &str| {
            let header = Header {
                to: to.parse().unwrap(),
                ..udp(sources[3], 0).header().clone()
            };
            let frame = Frame::new(header).shrink();
            passes(&built.artifact, &mut maps, 99, &frame, 0)
        };
        let receivers = [
            "2001:db8:1:100::1",
            "2001:db8:1:1ff::1",
            "2001:db8:1:200::1",
        ];
        assert_eq!(receivers.map(&mut pass), [true, false, true]);
    }
}

#[test]
fn a_joined_buffer_takes_a_token_for_each_segment() {
    let rate = rate(1, 3600, RateUnit::Packets, 10);
    let built = built_for(limited(Hook::TcIn, rate), &Target::baseline());
    let mut maps = Maps::new(&built.artifact.maps);
    let frame = udp(Ipv4Addr::new(10, 0, 0, 1).into(), 0);
    let mut pass = |segments| passes(&built.artifact, &mut maps, 5, &frame, segments);
    assert_eq!(
        [11, 6, 5, 4, 1].map(&mut pass),
        [false, true, false, true, false]
    );
}

#[test]
fn a_count_takes_no_tokens_for_what_was_decided_before_it() {
    let protocol = |number| Match {
        protocols: vec![ProtocolMatch {
            family: None,
            number,
            icmp: Vec::new(),
        }],
        ..Match::default()
    };
    let counting = Rule {
        rate: Some(rate(1, 3600, RateUnit::Packets, 2)),
        ..at(Hook::TcIn, Action::Count)
    };
    let dropping = Rule {
        matches: protocol(IpProtocol::UDP),
        ..at(Hook::TcIn, Action::Drop)
    };
    let built = built_for(policy([dropping, counting]), &Target::baseline());
    let mut maps = Maps::new(&built.artifact.maps);
    let mut send = |protocol, transport| {
        let header = Header {
            protocol,
            transport,
            ..udp(Ipv4Addr::new(10, 0, 0, 1).into(), 0).header().clone()
        };
        let frame = Frame::new(header).shrink();
        passes(&built.artifact, &mut maps, 5, &frame, 0);
        maps.counted(1).unwrap()[0]
    };
    let ports = Transport::Ports { from: 1, to: 2 };
    for _ in 0..3 {
        assert_eq!(send(IpProtocol::UDP, ports), 0);
    }
    let other = Transport::None;
    assert_eq!(
        [89, 89, 89].map(|protocol| send(IpProtocol(protocol), other)),
        [1, 2, 2]
    );
}

/// How much a process writes no rule reads, so the bucket alone says whether a write fits.
#[test]
fn a_rate_of_bytes_of_writes_asks_only_the_bucket() {
    for rule in [
        "count send tcp above 20 bytes/second",
        "allow send tcp up to 20 bytes/second",
    ] {
        let text = format!("group jobs = cgroup \"/jobs\" default send drop {rule}");
        let mut sources = SourceMap::default();
        let id = sources.add("test.sk", text);
        let target = Target::newest();
        let options = Options::from(&target);
        let outcome = compile(&mut sources, id, "test", options, &mut Texts::default());
        assert!(outcome.internal.is_none(), "{rule}: {:?}", outcome.internal);
        let built = outcome.built.unwrap();
        let sends = |one: &Attach| one.point == AttachPoint::SkMsg(0);
        assert!(built.artifact.manifest.programs.iter().any(sends), "{rule}");
        let event = Event::Process {
            direction: Direction::Send,
            group: GroupId::from_u32(0),
            header: Header {
                protocol: IpProtocol::TCP,
                transport: Transport::Tcp {
                    from: 1,
                    to: 2,
                    flags: 0,
                },
                length: 40,
                ..Header::PLAIN
            },
        };
        let decision = decide(&outcome.policy.unwrap(), &event, &Nothing);
        let found = (decision.verdict == Verdict::Allow, decision.counted.len());
        let wanted = (rule.starts_with("allow"), 0);
        assert_eq!(found, wanted, "{rule}");
    }
}
