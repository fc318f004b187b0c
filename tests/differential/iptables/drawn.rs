//! Random rule sets of iptables.
//!
//! Chains call only chains behind them, so there are no loops; what is drawn is what is carried over, and a little that is not. Not here: their text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockc_compiler::policy::Family;
use sockc_testing::Rng;

/// The built-in chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    In,
    Forward,
    Out,
}

pub(crate) const LISTS: [List; 3] = [List::In, List::Forward, List::Out];

impl List {
    fn name(self) -> &'static str {
        match self {
            Self::In => "INPUT",
            Self::Forward => "FORWARD",
            Self::Out => "OUTPUT",
        }
    }
}

/// What a rule asks.
#[derive(Clone, Debug)]
pub(crate) enum Match {
    Protocol(bool, u8),
    /// Addresses from one to another: of the sender, or of the receiver.
    Address {
        of_sender: bool,
        negated: bool,
        low: u128,
        high: u128,
        text: String,
    },
    /// Interfaces: that by which it came in, or that by which it leaves. `+` is at the end, or nowhere.
    Interface {
        came_in: bool,
        negated: bool,
        name: &'static str,
    },
    /// Ports of the sender, of the receiver, or of any of both.
    Ports {
        sides: Sides,
        negated: bool,
        ports: Vec<(u16, u16)>,
    },
    Flags {
        negated: bool,
        mask: u8,
        set: u8,
    },
    Icmp(u8, Option<u8>),
    Length(bool, u16, u16),
    Ttl(bool, char, u8),
    Dscp(bool, u8),
    Ecn(bool, u8),
    Mark(bool, u32, u32),
    State(bool, Vec<&'static str>),
    /// The sender's hardware address is that of [`OTHER_CARD`].
    Card(bool),
    /// The receiver is this machine.
    Local(bool),
    /// It is about every packet, and says something.
    Comment,
    /// It has a rate.
    Rate,
    /// Something that nobody knows.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sides {
    Sender,
    Receiver,
    Any,
}

/// What is answered to what is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of TCP alone.
    Reset,
    Prohibited,
    Port,
}

/// A card that is not the one of most packets.
pub(crate) const OTHER_CARD: [u8; 6] = [0x02, 0x73, 0x6b, 0, 0, 0x99];

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    Accept,
    Drop,
    /// With an answer of this kind; `None` for what is said where nothing is.
    Reject(Option<Kind>),
    Log,
    Nothing,
    Return,
    Jump(usize),
    Goto(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) line: usize,
    pub(crate) matches: Vec<Match>,
    pub(crate) goal: Goal,
}

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) name: String,
    /// Whose packets come here; `None` for any.
    list: Option<List>,
    pub(crate) drops: bool,
    pub(crate) rules: Vec<Rule>,
}

/// A rule set of a family: the built-in chains, then the others.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) family: Family,
    pub(crate) chains: Vec<Chain>,
}

/// Chains that users made.
const OWN: usize = 5;

impl Set {
    pub(crate) fn random(rng: &mut Rng, family: Family) -> Self {
        let mut chains: Vec<Chain> = LISTS
            .into_iter()
            .map(|list| Chain {
                name: list.name().to_owned(),
                list: Some(list),
                drops: rng.one_in(2),
                rules: Vec::new(),
            })
            .collect();
        for number in 0..OWN {
            chains.push(Chain {
                name: format!("own-{number}"),
                list: (!rng.one_in(3)).then(|| *rng.one_of(&LISTS)),
                drops: false,
                rules: Vec::new(),
            });
        }
        let mut set = Self { family, chains };
        for number in 0..set.chains.len() {
            let most = if number < LISTS.len() { 9 } else { 5 };
            let mut rules: Vec<Rule> = (0..rng.below(most))
                .map(|_| set.rule(rng, number))
                .collect();
            if rng.one_in(4) {
                let at = rng.below(rules.len() + 1);
                rules.splice(at..at, set.run(rng, number));
            }
            set.chains[number].rules = rules;
        }
        set.numbered()
    }

    /// A set of IPv6 that has much of this one.
    pub(crate) fn alike(&self, rng: &mut Rng) -> Self {
        let mut set = Self {
            family: Family::V6,
            chains: self.chains.clone(),
        };
        for number in 0..set.chains.len() {
            if rng.one_in(6) {
                set.chains[number].drops = number < LISTS.len() && rng.one_in(2);
            }
            for at in 0..set.chains[number].rules.len() {
                let rule = &set.chains[number].rules[at];
                let of_family = |one: &Match| {
                    matches!(
                        one,
                        Match::Address { .. } | Match::Icmp(..) | Match::Protocol(..)
                    )
                };
                if rng.one_in(5) || rule.matches.iter().any(of_family) {
                    let drawn = set.rule(rng, number);
                    set.chains[number].rules[at] = drawn;
                }
            }
        }
        set.numbered()
    }

    pub(crate) fn len(&self) -> usize {
        self.chains.iter().map(|chain| chain.rules.len()).sum()
    }

    /// The lines of the text, counted.
    fn numbered(mut self) -> Self {
        let first = 2 + self.chains.len();
        let rules = self.chains.iter_mut().flat_map(|chain| &mut chain.rules);
        for (line, rule) in (first..).zip(rules) {
            rule.line = line;
        }
        self
    }

    fn rule(&self, rng: &mut Rng, chain: usize) -> Rule {
        let list = self.chains[chain].list;
        let goal = self.goal(rng, chain);
        let mut matches = Vec::new();
        self.protocols(rng, list, &mut matches);
        for _ in 0..rng.below(3) {
            matches.push(self.other(rng, list, chain < LISTS.len()));
        }
        let goal = with_kind(rng, goal, &matches);
        if list == Some(List::Forward) && rng.one_in(8) {
            matches.extend(through(rng));
        }
        let is_built_in = chain < LISTS.len();
        let may_rate = !matches!(goal, Goal::Jump(_) | Goal::Goto(_));
        if is_built_in && may_rate && rng.one_in(10) {
            matches.push(Match::Rate);
        }
        if rng.one_in(60) {
            matches.push(Match::Unknown);
        }
        Rule {
            line: 0,
            matches,
            goal,
        }
    }

    /// Rules that differ in one address alone: those of a list of addresses.
    fn run(&self, rng: &mut Rng, chain: usize) -> Vec<Rule> {
        let mut rule = self.rule(rng, chain);
        let of_run = rng.one_in(2);
        rule.matches.retain(|one| match one {
            Match::Address { of_sender, .. } => *of_sender != of_run,
            Match::Rate | Match::Unknown => false,
            _ => true,
        });
        let hosts = match self.family {
            Family::V4 => [
                "10.1.2.3",
                "10.1.2.5",
                "10.1.2.128",
                "192.0.2.1",
                "10.0.0.1",
                "192.0.2.255",
            ],
            Family::V6 => [
                "2001:db8:1::2",
                "2001:db8:1::4",
                "2001:db8:1::9",
                "fe80::1",
                "2001:db8::",
                "2001:db8:2::1",
            ],
        };
        let length = if self.family == Family::V4 { 32 } else { 128 };
        let of_host = |host: &&str| {
            let mut rule = rule.clone();
            let value = number(host.parse().unwrap());
            rule.matches.push(Match::Address {
                of_sender: of_run,
                negated: false,
                low: value,
                high: value,
                text: format!("{host}/{length}"),
            });
            rule
        };
        let mut rules: Vec<Rule> = hosts.iter().map(of_host).collect();
        if rng.one_in(3) {
            // One of them does something else, so that they are no run.
            let at = rng.below(rules.len());
            rules[at].goal = Goal::Return;
        }
        rules
    }

    /// Verdicts are the likeliest; a chain behind is called whose packets come from this list.
    fn goal(&self, rng: &mut Rng, chain: usize) -> Goal {
        let list = self.chains[chain].list;
        let callable: Vec<usize> = (LISTS.len().max(chain + 1)..self.chains.len())
            .filter(|other| {
                let its = self.chains[*other].list;
                its.is_none() || its == list
            })
            .collect();
        match (rng.below(12), rng.pick(&callable)) {
            (0 | 1, _) => Goal::Accept,
            (2 | 3, _) => Goal::Drop,
            (4, _) => Goal::Reject(None),
            (5, _) => Goal::Log,
            (6, _) => Goal::Nothing,
            (7 | 8, _) => Goal::Return,
            (9, Some(to)) => Goal::Goto(*to),
            (_, Some(to)) => Goal::Jump(*to),
            _ => Goal::Drop,
        }
    }

    /// A protocol, and what asks for one.
    fn protocols(&self, rng: &mut Rng, list: Option<List>, matches: &mut Vec<Match>) {
        let icmp = if self.family == Family::V4 { 1 } else { 58 };
        match rng.below(10) {
            0..3 => {
                matches.push(Match::Protocol(false, 6));
                if rng.one_in(2) {
                    matches.push(flags_of(rng));
                }
                self.with_ports(rng, list, matches);
            }
            3..5 => {
                matches.push(Match::Protocol(false, 17));
                self.with_ports(rng, list, matches);
            }
            5 => {
                matches.push(Match::Protocol(false, icmp));
                let kinds: &[(u8, Option<u8>)] = match self.family {
                    Family::V4 => &[(8, None), (3, Some(4)), (3, None), (0, None), (11, Some(1))],
                    Family::V6 => &[(128, None), (1, Some(4)), (2, None), (129, None), (3, None)],
                };
                let (kind, code) = *rng.one_of(kinds);
                matches.push(Match::Icmp(kind, code));
            }
            6 => matches.push(Match::Protocol(false, *rng.one_of(&[132, 47, 89, icmp]))),
            7 if rng.one_in(3) => matches.push(Match::Protocol(true, *rng.one_of(&[6, 17]))),
            _ => {
                if let (Some(states), true) = (states(rng, list, false), rng.one_in(3)) {
                    matches.push(states);
                }
            }
        }
    }

    fn with_ports(&self, rng: &mut Rng, list: Option<List>, matches: &mut Vec<Match>) {
        if rng.one_in(2) {
            let count = 1 + rng.below(3);
            let mut ports = Vec::new();
            for _ in 0..count {
                ports.push(*rng.one_of(&[
                    (22, 22),
                    (80, 443),
                    (0, 1023),
                    (53, 53),
                    (1024, 65535),
                    (65535, 65535),
                ]));
            }
            matches.push(Match::Ports {
                sides: *rng.one_of(&[Sides::Sender, Sides::Receiver, Sides::Receiver, Sides::Any]),
                negated: rng.one_in(4),
                ports,
            });
        }
        if let (Some(states), true) = (states(rng, list, true), rng.one_in(3)) {
            matches.push(states);
        }
    }

    fn other(&self, rng: &mut Rng, list: Option<List>, is_built_in: bool) -> Match {
        let negated = rng.one_in(3);
        match rng.below(14) {
            0..5 => self.address(rng, negated),
            5..8 => interface(rng, list, is_built_in),
            12 if list == Some(List::In) && rng.one_in(2) => Match::Card(negated),
            12 if list == Some(List::In) => Match::Local(negated),
            12 => self.address(rng, negated),
            13 => Match::Comment,
            8 => {
                let (low, high) =
                    *rng.one_of(&[(0, 60), (61, 65535), (100, 100), (20, 1400), (0, 65535)]);
                Match::Length(negated, low, high)
            }
            9 => {
                // iptables takes no negation of the others.
                let sign = *rng.one_of(&['<', '>', '=']);
                let value = *rng.one_of(&[0, 1, 2, 64, 255]);
                Match::Ttl(negated && sign == '=', sign, value)
            }
            10 if rng.one_in(2) => Match::Dscp(negated, *rng.one_of(&[0, 46, 10])),
            10 => Match::Ecn(negated, rng.below(4) as u8),
            _ => {
                let mask = *rng.one_of(&[0x1, 0xff, 0xffff_ffff]);
                Match::Mark(negated, 0x11 & mask, mask)
            }
        }
    }

    fn address(&self, rng: &mut Rng, negated: bool) -> Match {
        let texts: &[(&str, &str, &str)] = match self.family {
            Family::V4 => &[
                ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
                ("10.1.0.0/255.255.0.0", "10.1.0.0", "10.1.255.255"),
                ("10.1.2.0/25", "10.1.2.0", "10.1.2.127"),
                ("10.1.2.3/32", "10.1.2.3", "10.1.2.3"),
                ("192.0.2.0/24", "192.0.2.0", "192.0.2.255"),
                ("224.0.0.0/4", "224.0.0.0", "239.255.255.255"),
                ("10.1.2.3-10.1.2.128", "10.1.2.3", "10.1.2.128"),
            ],
            Family::V6 => &[
                (
                    "2001:db8::/32",
                    "2001:db8::",
                    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                ),
                (
                    "2001:db8:1::/48",
                    "2001:db8:1::",
                    "2001:db8:1:ffff:ffff:ffff:ffff:ffff",
                ),
                (
                    "fe80::/10",
                    "fe80::",
                    "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                ),
                ("2001:db8:1::2/128", "2001:db8:1::2", "2001:db8:1::2"),
                (
                    "2001:db8:1::2-2001:db8:1::9",
                    "2001:db8:1::2",
                    "2001:db8:1::9",
                ),
            ],
        };
        let (text, low, high) = *rng.one_of(texts);
        Match::Address {
            of_sender: rng.one_in(2),
            negated,
            low: number(low.parse().unwrap()),
            high: number(high.parse().unwrap()),
            text: text.to_owned(),
        }
    }
}

/// Interfaces: a rule names some, or all but one. What arrives leaves by none, and what leaves came in by none.
/// In a built-in chain iptables takes no rule about the interface that no packet there has.
fn interface(rng: &mut Rng, list: Option<List>, is_built_in: bool) -> Match {
    let came_in = match list {
        Some(List::Out) if is_built_in => false,
        Some(List::In) if is_built_in => true,
        Some(List::Out) => rng.one_in(5),
        Some(List::In) => !rng.one_in(5),
        _ => rng.one_in(2),
    };
    let negated = rng.one_in(4);
    let name = *rng.one_of(&["eth0", "eth1", "eth+", "wlan0", "e+", "lo", "+"]);
    Match::Interface {
        came_in,
        negated,
        name,
    }
}

/// A kind of answer for what is rejected. A reset is one for TCP alone.
fn with_kind(rng: &mut Rng, goal: Goal, matches: &[Match]) -> Goal {
    let mut matches = matches.iter();
    let is_tcp = matches.any(|one| matches!(one, Match::Protocol(false, 6)));
    match (goal, rng.below(4)) {
        (Goal::Reject(_), 0 | 1) if is_tcp => Goal::Reject(Some(Kind::Reset)),
        (Goal::Reject(_), 2) => Goal::Reject(Some(Kind::Prohibited)),
        (Goal::Reject(_), 3) => Goal::Reject(Some(Kind::Port)),
        (goal, _) => goal,
    }
}

/// By one interface in, and not back out of it; or the other way round.
fn through(rng: &mut Rng) -> [Match; 2] {
    let name = *rng.one_of(&["eth0", "eth1"]);
    let came_in = rng.one_in(2);
    [(came_in, false), (!came_in, true)].map(|(came_in, negated)| Match::Interface {
        came_in,
        negated,
        name,
    })
}

/// States that mean the same here: of every protocol those that follow; of TCP and UDP others too.
fn states(rng: &mut Rng, list: Option<List>, has_ports: bool) -> Option<Match> {
    let all: &[(bool, &[&str])] = match (list?, has_ports) {
        (List::In, true) => &[
            (false, &["NEW"]),
            (false, &["NEW", "UNTRACKED"]),
            (false, &["ESTABLISHED"]),
            (false, &["RELATED", "ESTABLISHED", "DNAT"]),
            (false, &["NEW", "ESTABLISHED"]),
            (true, &["ESTABLISHED"]),
            (true, &["NEW"]),
        ],
        (List::In, false) => &[
            (false, &["NEW"]),
            (false, &["NEW", "UNTRACKED"]),
            (false, &["RELATED", "ESTABLISHED"]),
            (false, &["ESTABLISHED"]),
            (false, &["RELATED"]),
            (false, &["NEW", "RELATED", "ESTABLISHED"]),
            (true, &["NEW"]),
            (true, &["INVALID"]),
        ],
        (List::Out, _) => &[
            (false, &["NEW"]),
            (false, &["ESTABLISHED"]),
            (false, &["RELATED", "ESTABLISHED"]),
        ],
        (List::Forward, _) => &[
            (true, &["INVALID"]),
            (false, &["NEW", "RELATED", "ESTABLISHED"]),
        ],
    };
    let (negated, states) = *rng.one_of(all);
    Some(Match::State(negated, states.to_vec()))
}

fn flags_of(rng: &mut Rng) -> Match {
    let (mask, set) = *rng.one_of(&[
        (0x17, 0x02),
        (0x3f, 0x00),
        (0x3f, 0x29),
        (0x10, 0x10),
        (0x03, 0x03),
        (0x00, 0x00),
        (0x02, 0x10),
    ]);
    Match::Flags {
        negated: rng.one_in(3),
        mask,
        set,
    }
}

/// An address as a number of its family.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => Ipv4Addr::to_bits(address).into(),
        IpAddr::V6(address) => Ipv6Addr::to_bits(address),
    }
}
