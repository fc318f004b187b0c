//! Random policies and packets over few values, so that rules meet packets at the edges of their ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_random::Rng;

use super::parts::{default, group, rule, socket};
use crate::event::{Fragment, Header, SocketAnswer, Transport};
use crate::header_field::{self, HeaderField, row};
use crate::hook::Hook;
use crate::policy::{
    Action, AddressSet, Condition, Direction, Endpoint, Family, Feed, FieldTest, GroupId,
    INTERCEPTED, IcmpMatch, Match, Policy, ProtocolMatch, Queue, Rule, Shortcut, Side, Socket,
    SocketId, SocketState,
};
use crate::protocol::IpProtocol;
use crate::ranges::{Bound, RangeSet};

const V4: [u32; 9] = [
    0,
    0x0a00_0000,
    0x0a00_0001,
    0x0a00_00ff,
    0x0a00_0100,
    0x0303_0303,
    0xc000_0207,
    0xffff_fffe,
    u32::MAX,
];
const V6: [u128; 9] = [
    0,
    1,
    0x2001_0db8 << 96,
    (0x2001_0db8 << 96) + 1,
    (0x2001_0db8 << 96) + (1 << 64) - 1,
    (0x2001_0db8 << 96) + (1 << 64),
    (0x2001_0db8 << 96) + (1 << 95),
    0xff02 << 112,
    u128::MAX,
];
const PORTS: [u16; 7] = [0, 1, 52, 53, 54, 80, u16::MAX];
const LENGTHS: [u32; 6] = [20, 40, 99, 100, 1500, 65_535];
const PROTOCOLS: [u8; 6] = [6, 17, 132, 1, 58, 47];

/// Draws policies and packets, the same of the same seed.
pub(crate) struct Dice(Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.0.one_in(bound)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *self.0.one_of(from)
    }

    fn ranges<T: Bound>(&mut self, from: &[T]) -> RangeSet<T> {
        let count = 1 + self.below(2);
        RangeSet::from_ranges((0..count).map(|_| {
            let (a, b) = (self.pick(from), self.pick(from));
            if self.one_in(2) {
                (a, a)
            } else {
                (a.min(b), a.max(b))
            }
        }))
    }

    fn address(&mut self, v6: bool) -> IpAddr {
        if v6 {
            Ipv6Addr::from_bits(self.pick(&V6)).into()
        } else {
            Ipv4Addr::from_bits(self.pick(&V4)).into()
        }
    }

    /// A packet, and what the lookup finds for it.
    pub(crate) fn packet(&mut self) -> (Header, SocketAnswer) {
        let v6 = self.one_in(2);
        let common = [6, 17];
        let protocol = if self.one_in(3) {
            self.pick(&PROTOCOLS)
        } else {
            self.pick(&common)
        };
        let fragment = if self.one_in(3) {
            self.pick(&[Fragment::First, Fragment::Later])
        } else {
            Fragment::Whole
        };
        let mut header = Header {
            from: self.address(v6),
            to: self.address(v6),
            protocol: IpProtocol(protocol),
            fragment,
            transport: self.transport(protocol, v6, fragment),
            ..Header::PLAIN
        };
        for row in header_field::rows().filter(|row| !row.shapes()) {
            if let Some(value) = self.pick(row.edges) {
                (row.set)(&mut header, value);
            }
        }
        header.length = self.pick(&LENGTHS);
        let answer = match (protocol, fragment) {
            (6 | 17, Fragment::Whole | Fragment::First) => self.pick(&[
                SocketAnswer::None,
                SocketAnswer::Listening,
                SocketAnswer::Established,
            ]),
            _ => SocketAnswer::None,
        };
        (header, answer)
    }

    fn transport(&mut self, protocol: u8, v6: bool, fragment: Fragment) -> Transport {
        let (from, to) = (self.pick(&PORTS), self.pick(&PORTS));
        match (protocol, v6) {
            _ if fragment == Fragment::Later => Transport::None,
            (6, _) => Transport::Tcp {
                from,
                to,
                flags: self.pick(&[0, 2, 16, 18, 255]),
            },
            (17 | 132, _) => Transport::Ports { from, to },
            (1, false) | (58, true) => Transport::Icmp {
                kind: self.pick(&[0, 3, 8, 135]),
                code: self.pick(&[0, 4]),
            },
            _ => Transport::None,
        }
    }

    /// A new TCP connection's packet, as a writing socket's connection looks.
    pub(crate) fn stream(&mut self) -> Header {
        let v6 = self.one_in(2);
        Header {
            from: self.address(v6),
            to: self.address(v6),
            protocol: IpProtocol::TCP,
            fragment: Fragment::Whole,
            transport: self.transport(6, v6, Fragment::Whole),
            length: 40,
            ..Header::PLAIN
        }
    }

    fn protocol(&mut self) -> ProtocolMatch {
        let number = self.pick(&PROTOCOLS);
        let family = match number {
            1 => Some(Family::V4),
            58 => Some(Family::V6),
            _ => None,
        };
        let icmp = if family.is_some() && self.one_in(2) {
            vec![IcmpMatch {
                kind: self.pick(&[0, 3, 8, 135]),
                code: if self.one_in(2) { None } else { Some(4) },
            }]
        } else {
            Vec::new()
        };
        ProtocolMatch {
            family,
            number: IpProtocol(number),
            icmp,
        }
    }

    fn endpoint(&mut self) -> Endpoint {
        let addresses = match self.below(4) {
            0 => AddressSet::any(),
            1 => AddressSet {
                v4: self.ranges(&V4),
                ..AddressSet::default()
            },
            2 => AddressSet {
                v6: self.ranges(&V6),
                ..AddressSet::default()
            },
            _ => AddressSet {
                v4: self.ranges(&V4),
                v6: self.ranges(&V6),
            },
        };
        let ports = match self.below(4) {
            0 => Some(self.ranges(&PORTS)),
            1 => Some(RangeSet::full()),
            _ => None,
        };
        Endpoint {
            addresses: addresses.into(),
            ports,
        }
    }

    fn side(&mut self) -> Option<Side> {
        if self.one_in(2) {
            return None;
        }
        let count = 1 + self.below(2);
        Some(Side::Endpoints {
            negated: self.one_in(4),
            endpoints: (0..count).map(|_| self.endpoint()).collect(),
        })
    }

    fn condition(&mut self, depth: usize) -> Condition {
        let plain = if depth == 0 { 9 } else { 11 };
        match self.below(plain) {
            0 | 1 => Condition::Socket {
                test: self.pick(&[
                    SocketState::Exists,
                    SocketState::Established,
                    SocketState::Listening,
                ]),
                netns: None,
            },
            2 => Condition::header(
                HeaderField::TcpFlags,
                FieldTest::bits(self.pick(&[0, 2, 16]), self.pick(&[0, 2, 16])),
            ),
            3 => Condition::header(HeaderField::Fragment, FieldTest::Range { low: 1, high: 2 }),
            4 => {
                let (low, high) = (self.pick(&LENGTHS), self.pick(&LENGTHS));
                let (low, high) = (low.into(), high.into());
                Condition::header(HeaderField::Length, FieldTest::Range { low, high })
            }
            5 => {
                let (low, high) = (
                    self.pick(&[0, 1, 64]),
                    self.pick(&[1, 64, 255, u32::MAX.into()]),
                );
                Condition::header(HeaderField::Ttl, FieldTest::Range { low, high })
            }
            6 => {
                let field = self.pick(&[HeaderField::Dscp, HeaderField::Ecn]);
                Condition::header(field, FieldTest::exactly(self.pick(&[0, 3, 46])))
            }
            7 => Condition::header(HeaderField::Vlan, FieldTest::exactly(self.pick(&[0, 12]))),
            8 => {
                let (wanted, mask) = self.pick(&[(7, u32::MAX.into()), (0x10, 0xff)]);
                Condition::header(HeaderField::Mark, FieldTest::Masked { wanted, mask })
            }
            9 => Condition::No(Box::new(self.condition(depth - 1))),
            _ => Condition::AnyOf((0..2).map(|_| self.condition(depth - 1)).collect()),
        }
    }

    /// A condition on the frame, which only packets that arrive have.
    pub(crate) fn of_the_frame(&mut self) -> Condition {
        let field = self.pick(&[HeaderField::EtherFrom, HeaderField::EtherTo]);
        let edge = self.pick(row(field).edges).unwrap_or_default();
        let condition = Condition::header(field, FieldTest::exactly(edge));
        match self.one_in(3) {
            true => Condition::No(Box::new(condition)),
            false => condition,
        }
    }

    /// A match, with as many conditions as may be.
    pub(crate) fn matches(&mut self, conditions: usize) -> Match {
        let protocols = if self.one_in(2) { 0 } else { 1 + self.below(2) };
        let conditions = if conditions == 0 {
            0
        } else {
            self.below(conditions + 1)
        };
        Match {
            protocols: (0..protocols).map(|_| self.protocol()).collect(),
            from: self.side(),
            to: self.side(),
            conditions: (0..conditions).map(|_| self.condition(2)).collect(),
            on: None,
            leaves: None,
        }
    }

    /// A redirect's match: what a lookup can read, TCP and UDP.
    fn steered(&mut self) -> Match {
        let number = self.pick(&[6, 17]);
        Match {
            protocols: vec![ProtocolMatch {
                family: None,
                number: IpProtocol(number),
                icmp: Vec::new(),
            }],
            ..self.matches(0)
        }
    }

    /// A policy for packets that arrive: two sockets, one of them `if absent drop`.
    pub(crate) fn arriving(&mut self, rules: usize) -> Policy {
        let mut policy = Policy::default();
        for drop_if_absent in [false, true] {
            policy.sockets.push(socket(drop_if_absent));
        }
        for _ in 0..rules {
            let mut rule = match self.below(7) {
                6 => Rule {
                    matches: Match {
                        protocols: self.steered().protocols,
                        ..self.matches(1)
                    },
                    mark: Some(INTERCEPTED),
                    ..rule(Action::Intercept(SocketId::from_u32(self.below(2) as u32)))
                },
                0 | 1 => Rule {
                    matches: self.steered(),
                    ..rule(Action::Redirect(SocketId::from_u32(self.below(2) as u32)))
                },
                2 => Rule {
                    matches: self.matches(2),
                    ..rule(Action::Count)
                },
                3 => Rule {
                    matches: self.matches(2),
                    ..rule(Action::Drop)
                },
                _ => Rule {
                    matches: self.matches(1),
                    ..rule(Action::Allow)
                },
            };
            if rule.action.receiver().is_none() && self.one_in(6) {
                rule.matches.conditions.push(self.of_the_frame());
            }
            rule.at = self.hook(&rule);
            policy.rules.push(rule);
        }
        if !self.one_in(4) {
            policy.defaults.push(default(Direction::In, self.one_in(2)));
        }
        policy
    }

    fn hook(&mut self, rule: &Rule) -> Option<Hook> {
        let readable = rule.matches.conditions.is_empty();
        match (self.below(6), rule.action) {
            (_, Action::Redirect(_)) => None,
            (_, Action::Intercept(_)) => Some(Hook::TcIn),
            (0, _) => Some(Hook::TcIn),
            (1, _) => Some(Hook::Xdp),
            (2, Action::Allow | Action::Count) if readable => Some(Hook::SkLookup),
            _ => None,
        }
    }

    /// A policy for packets that leave.
    pub(crate) fn leaving(&mut self, rules: usize) -> Policy {
        let mut policy = Policy::default();
        for _ in 0..rules {
            policy.rules.push(Rule {
                matches: self.matches(2),
                direction: Direction::Out,
                ..rule(self.pick(&[Action::Allow, Action::Drop, Action::Count]))
            });
        }
        policy
            .defaults
            .push(default(Direction::Out, self.one_in(2)));
        policy
    }

    /// A policy for what processes write, with two groups.
    pub(crate) fn sending(&mut self, rules: usize) -> Policy {
        let mut policy = Policy::default();
        for name in ["pods", "jobs"] {
            policy.groups.push(group(name));
        }
        let fed = Socket {
            fed: true,
            ..socket(self.one_in(2))
        };
        let socket = policy.sockets.push(fed);
        for _ in 0..rules {
            let queue = self.pick(&Queue::ALL);
            let feed = Feed { socket, queue };
            let [group, to] = [(); 2].map(|()| GroupId::from_u32(self.below(2) as u32));
            let mut matches = self.matches(0);
            matches.protocols.retain(|wanted| wanted.icmp.is_empty());
            if self.one_in(2) {
                matches.from = Some(Side::Group(group));
            }
            policy.rules.push(Rule {
                matches,
                direction: Direction::Send,
                ..rule(self.pick(&[
                    Action::Allow,
                    Action::Drop,
                    Action::Count,
                    Action::Shortcut(Shortcut { from: group, to }),
                    Action::Feed(feed),
                ]))
            });
        }
        policy
            .defaults
            .push(default(Direction::Send, self.one_in(2)));
        policy
    }
}
