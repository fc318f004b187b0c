//! Time to live, traffic class, VLAN tag and mark at every packet hook, against the reference meaning.

use crate::artifact::Artifact;
use crate::decide::decide;
use crate::event::{Event, Header, Parsed, SocketAnswer, Transport, Verdict, World};
use crate::header_field::HeaderField;
use crate::hook::Hook;
use crate::interpret::{Bare, Input, Maps, Skb, Xdp, run};
use crate::packet::build::Frame;
use crate::packet::parse::{Layout, parse};
use crate::policy::{
    Action, Condition, Direction, Family, FieldTest, NetnsId, Policy, Rule, SocketId,
};
use crate::protocol::IpProtocol;

use super::made::{at, built, policy, run_on};
use crate::tests::parts::rule;

/// Nothing of the machine is asked.
pub(super) struct Nothing;

impl World for Nothing {
    fn socket(&self, _: Direction, _: Option<NetnsId>, _: &Header) -> SocketAnswer {
        SocketAnswer::None
    }
    fn present(&self, _: SocketId, _: Family, _: IpProtocol) -> bool {
        false
    }
}

const HOOKS: [Hook; 3] = [Hook::Xdp, Hook::TcIn, Hook::TcOut];

/// `drop at HOOK if C`
fn dropping(hook: Hook, condition: Condition) -> Policy {
    let mut rule = Rule {
        direction: hook.direction(),
        ..at(hook, Action::Drop)
    };
    rule.matches.conditions.push(condition);
    policy([rule])
}

fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for (from, to) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
        for (ttl, dscp, ecn) in [(0, 0, 0), (1, 63, 3), (2, 46, 2), (64, 1, 1), (255, 32, 0)] {
            let header = Header {
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                protocol: IpProtocol::UDP,
                transport: Transport::Ports { from: 1, to: 2 },
                length: 60,
                ttl,
                dscp,
                ecn,
                ..Header::PLAIN
            };
            let frame = Frame::new(header);
            frames.push(frame.clone().bytes());
            frames.push(frame.clone().vlan(12).bytes());
            frames.push(frame.vlan(12).vlan(4095).bytes());
        }
    }
    frames
}

struct Case {
    frame: Vec<u8>,
    taken_off: Option<(u16, u16)>,
    mark: u32,
}

impl Case {
    /// What the parser makes of the frame and of what stands next to it.
    fn packet(&self) -> Parsed {
        let Parsed::Ip(header) = parse(&self.frame, Layout::Ethernet) else {
            panic!("the frame is whole");
        };
        let outer = self.taken_off.map(|(_, tag)| tag & 0x0fff);
        Parsed::Ip(Header {
            vlan: outer.or(header.vlan),
            mark: self.mark,
            ..header
        })
    }

    fn drops(&self, hook: Hook, artifact: &Artifact) -> bool {
        let skb = Skb {
            vlan: self.taken_off,
            mark: self.mark,
            egress: hook == Hook::TcOut,
            ..Skb::new(self.frame.clone())
        };
        let (name, input, drop) = match hook {
            Hook::Xdp => ("xdp_in", Input::Xdp(Xdp::new(self.frame.clone())), 1),
            Hook::TcOut => ("tc_out", Input::Skb(skb), 2),
            _ => ("tc_in", Input::Skb(skb), 2),
        };
        let mut programs = artifact.programs.iter();
        let program = programs.find(|program| program.name == name).unwrap();
        let mut maps = Maps::new(&artifact.maps);
        let outcome = run(program, &mut maps, input, &mut Bare::default());
        outcome.unwrap().code() == drop
    }
}

fn check(hook: Hook, condition: &Condition, cases: &[Case]) {
    let policy = dropping(hook, condition.clone());
    let artifact = built(policy.clone());
    for case in cases {
        let event = Event::Packet {
            direction: hook.direction(),
            class: Policy::plain_class(),
            packet: case.packet(),
        };
        let decision = decide(&policy, &event, &Nothing);
        let wanted = decision.verdict == Verdict::Drop;
        let said = case.drops(hook, &artifact);
        assert_eq!(said, wanted, "{hook:?} {condition:?} {event:?}");
    }
}

fn plain_cases() -> Vec<Case> {
    frames().into_iter().map(plain_case).collect()
}

fn plain_case(frame: Vec<u8>) -> Case {
    Case {
        frame,
        taken_off: None,
        mark: 0,
    }
}

#[test]
fn hops_and_class_are_those_of_the_header() {
    let conditions = [
        Condition::header(HeaderField::Ttl, FieldTest::Range { low: 0, high: 1 }),
        Condition::header(HeaderField::Ttl, FieldTest::Range { low: 64, high: 255 }),
        Condition::header(HeaderField::Dscp, FieldTest::exactly(0)),
        Condition::header(HeaderField::Dscp, FieldTest::exactly(1)),
        Condition::header(HeaderField::Dscp, FieldTest::exactly(32)),
        Condition::header(HeaderField::Dscp, FieldTest::exactly(46)),
        Condition::header(HeaderField::Dscp, FieldTest::exactly(63)),
        Condition::header(HeaderField::Ecn, FieldTest::exactly(0)),
        Condition::header(HeaderField::Ecn, FieldTest::exactly(1)),
        Condition::header(HeaderField::Ecn, FieldTest::exactly(2)),
        Condition::header(HeaderField::Ecn, FieldTest::exactly(3)),
    ];
    for hook in HOOKS {
        for condition in &conditions {
            check(hook, condition, &plain_cases());
        }
    }
}

/// Frames whose addresses differ from one another in one octet, the first or the last of each half.
fn addressed() -> Vec<Case> {
    const ONE: u64 = 0x02_42_ac_11_00_02;
    let near = [0, 40, 24, 16, 0].map(|bit| ONE ^ 1 << bit);
    let pairs = near
        .iter()
        .flat_map(|from| [(*from, ONE), (ONE, *from), (*from, *from), (ONE, ONE)]);
    let frame = |(ether_from, ether_to): (u64, u64)| {
        let Parsed::Ip(header) = parse(&frames()[0], Layout::Ethernet) else {
            panic!("the frame is whole");
        };
        Frame::new(Header {
            ether_from,
            ether_to,
            ..header
        })
    };
    let frames = pairs.map(frame);
    let cases = frames.flat_map(|frame| [frame.clone(), frame.vlan(12)]);
    cases.map(|frame| plain_case(frame.bytes())).collect()
}

#[test]
fn hardware_addresses_are_those_of_the_frame() {
    const ONE: u64 = 0x02_42_ac_11_00_02;
    for field in [HeaderField::EtherFrom, HeaderField::EtherTo] {
        for address in [ONE, ONE ^ 1 << 40, ONE ^ 1 << 24, ONE ^ 1 << 16, ONE ^ 1] {
            let condition = Condition::header(field, FieldTest::exactly(address));
            for hook in [Hook::Xdp, Hook::TcIn] {
                check(hook, &condition, &addressed());
                check(
                    hook,
                    &Condition::No(Box::new(condition.clone())),
                    &addressed(),
                );
            }
        }
    }
}

#[test]
fn the_outer_tag_counts_wherever_it_stands() {
    let conditions =
        [0, 7, 12, 4095].map(|id| Condition::header(HeaderField::Vlan, FieldTest::exactly(id)));
    for condition in &conditions {
        check(Hook::Xdp, condition, &plain_cases());
        for hook in [Hook::TcIn, Hook::TcOut] {
            check(hook, condition, &plain_cases());
            let mut cases = plain_cases();
            // A third tag is malformed; a control word has a priority above the identifier.
            cases.retain(|case| case.frame[16..18] != [0x81, 0]);
            for tag in [0xe000, 0xf007, 12] {
                for case in &mut cases {
                    case.taken_off = Some((0x8100, tag));
                }
                check(hook, condition, &cases);
            }
        }
    }
}

#[test]
fn the_mark_is_set_that_an_allow_sets() {
    let allow = Rule {
        mark: Some(7),
        ..rule(Action::Allow)
    };
    let artifact = built(policy([allow]));
    for frame in frames() {
        let ran = run_on(&artifact, &mut Maps::new(&artifact.maps), frame);
        assert_eq!(ran.mark, Some(7));
    }
}

#[test]
fn the_mark_is_the_one_the_packet_came_with() {
    let masks = [
        (7, u32::MAX.into()),
        (0x10, 0xff),
        (0x0100_0000, 0xff00_0000),
        (0x0020_0000, 0x0020_0000),
    ];
    for (value, mask) in masks {
        for hook in [Hook::TcIn, Hook::TcOut] {
            for mark in [0, 7, 0x10, 0x1234_5610, 0x0120_0007, u32::MAX] {
                let mut cases = plain_cases();
                for case in &mut cases {
                    case.mark = mark;
                }
                check(
                    hook,
                    &Condition::header(
                        HeaderField::Mark,
                        FieldTest::Masked {
                            wanted: value,
                            mask,
                        },
                    ),
                    &cases,
                );
            }
        }
    }
}
