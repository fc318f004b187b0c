//! Packets of a rule, quickly: its own corners, with answers of the machine around it that fit few other rules.
//!
//! Takes one rule, or two for a packet that both match; gives packets that the reference meaning says they match. None
//! found does not mean that there is none. Not here: which other rules match the packet.

mod ends;

use std::net::IpAddr;

use self::ends::{Ends, ends};
use super::list::is_of;
use crate::decide::Seen;
use crate::event::{Event, Fragment, Header, Parsed, SocketAnswer, Transport, World};
use crate::header_field::{Exists, Row, row};
use crate::hook::Hook;
use crate::packet::text::Described;
use crate::packet::{longest_length, shortest_length};
use crate::policy::{
    AddressSet, ClassId, Condition, Direction, Family, FieldTest, LiveMapId, Match, NetnsId,
    Policy, ProtocolMatch, RateUnit, Rule, RuleId, SetId, SetKind, SocketId, SocketState,
};
use crate::protocol::IpProtocol;

/// A protocol that rules seldom name (RFC 3692).
const EXPERIMENTAL: IpProtocol = IpProtocol(253);

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// A packet, and what the machine says of it.
#[derive(Clone, Debug)]
pub(super) struct Sample<'a> {
    /// The packet.
    pub(super) header: Header,
    policy: &'a Policy,
    direction: Direction,
    class: ClassId,
    /// Of what passes through: that of the interface by which it leaves.
    leaves: ClassId,
    socket: SocketAnswer,
    elsewhere: SocketAnswer,
    absent: Vec<SocketId>,
    members: Vec<(SetId, IpAddr)>,
    entry: Option<(LiveMapId, SocketId)>,
    /// The rules that it is made for: their rates match it, other rates do not.
    made_for: &'a [(RuleId, &'a Rule)],
}

impl World for Sample<'_> {
    fn socket(&self, _: Direction, netns: Option<NetnsId>, _: &Header) -> SocketAnswer {
        match netns {
            None => self.socket,
            Some(_) => self.elsewhere,
        }
    }

    fn present(&self, socket: SocketId, _: Family, _: IpProtocol) -> bool {
        !self.absent.contains(&socket)
    }

    fn member(&self, set: SetId, address: IpAddr) -> bool {
        self.members.contains(&(set, address))
    }

    fn entry(&self, map: LiveMapId, _: &Header) -> Option<SocketId> {
        let named = self.entry.filter(|(named, _)| *named == map);
        named.map(|(_, socket)| socket)
    }

    fn conforms(&self, rule: RuleId, _: &Header) -> bool {
        let own = self.made_for.iter().any(|(id, _)| *id == rule);
        let rate = self.policy.rules[rule].rate;
        let above = rate.is_some_and(|rate| rate.above);
        own != above
    }
}

impl<'a> Sample<'a> {
    /// A packet of the rules, which are of one direction; another `variant` (0 to 3) takes other corners.
    pub(super) fn of(
        policy: &'a Policy,
        rules: &'a [(RuleId, &'a Rule)],
        variant: usize,
    ) -> Option<Self> {
        let direction = rules.first()?.1.direction;
        let families = match variant % 2 {
            0 => [Family::V4, Family::V6],
            _ => [Family::V6, Family::V4],
        };
        families.into_iter().find_map(|family| {
            let (number, named) = protocol_of(rules, family, variant)?;
            let class = class_of(rules, |one| one.on.as_ref())?;
            let leaves = class_of(rules, |one| one.leaves.as_ref())?;
            if direction.passes() && !policy.lead_through(class, leaves) {
                return None;
            }
            let begins = variant >= 2 || rules.iter().any(|(_, rule)| counts_connections(rule));
            let mut sample = Self {
                header: Header {
                    protocol: number,
                    // Where it is another protocol, the addresses bring another transport header.
                    transport: Transport::Tcp {
                        from: 0,
                        to: 0,
                        flags: if begins { SYN } else { ACK },
                    },
                    ..Header::PLAIN
                },
                policy,
                direction,
                class,
                leaves,
                socket: SocketAnswer::None,
                elsewhere: SocketAnswer::None,
                absent: Vec::new(),
                members: Vec::new(),
                entry: None,
                made_for: rules,
            };
            for (_, rule) in rules {
                for condition in &rule.matches.conditions {
                    sample.meet(condition, variant);
                }
            }
            sample.fill(family, named, variant)
        })
    }

    /// Takes what a condition asks for, where that is simple.
    fn meet(&mut self, condition: &Condition, variant: usize) {
        match condition {
            Condition::No(_) => {}
            Condition::AnyOf(any) => {
                if let Some(one) = any.get(variant % any.len().max(1)) {
                    self.meet(one, variant);
                }
            }
            Condition::Socket { test, netns } => {
                let answer = match (test, variant % 2) {
                    (SocketState::Established, _) | (SocketState::Exists, 1) => {
                        SocketAnswer::Established
                    }
                    _ => SocketAnswer::Listening,
                };
                match netns {
                    None => self.socket = answer,
                    Some(_) => self.elsewhere = answer,
                }
            }
            Condition::Entry { map, socket } => self.entry = Some((*map, *socket)),
            Condition::SockAbsent(socket) => self.absent.push(*socket),
            Condition::Header { field, test } => self.meet_field(row(*field), *test, variant),
            Condition::FirstMatch(_) => {}
        }
    }

    /// Takes a value that a test asks for.
    fn meet_field(&mut self, row: &Row, test: FieldTest, variant: usize) {
        let now = (row.get)(&self.header);
        let value = match test {
            // Each of two kinds of packets gets its turn.
            FieldTest::Range { low, high } if row.shapes() => high.min(low + variant as u64 % 2),
            FieldTest::Range { .. } if now.is_some_and(|now| test.holds(now)) => return,
            FieldTest::Range { low, .. } => low,
            FieldTest::Masked { wanted, mask } => now.unwrap_or(0) & !mask | wanted,
        };
        (row.set)(&mut self.header, value);
    }

    /// Takes addresses and ports until the rules match.
    fn fill(
        mut self,
        family: Family,
        named: Option<&ProtocolMatch>,
        variant: usize,
    ) -> Option<Self> {
        let (number, fragment) = (self.header.protocol, self.header.fragment);
        self.header.length = self
            .header
            .length
            .max(shortest_length(family, number, fragment));
        if self.header.length > longest_length(family) {
            return None;
        }
        let rules = self.made_for;
        let froms = ends(self.policy, rules, |one| one.from.as_ref(), family, variant);
        let tos = ends(self.policy, rules, |one| one.to.as_ref(), family, variant);
        for from in &froms {
            for to in &tos {
                self.take(from, to, named);
                if rules.iter().all(|&(id, rule)| self.is_of(id, rule)) {
                    return Some(self);
                }
            }
        }
        None
    }

    fn take(&mut self, from: &Ends, to: &Ends, named: Option<&ProtocolMatch>) {
        self.header.from = from.address;
        self.header.to = to.address;
        self.header.transport = transport(&self.header, from.port, to.port, named);
        self.members.clear();
        for end in [from, to] {
            self.members
                .extend(end.member.map(|set| (set, end.address)));
        }
    }

    /// The same in words' terms. Rates and live maps may answer otherwise there: what is said of it has to be asked again.
    pub(super) fn described(&self) -> Described {
        let packet = Parsed::Ip(self.header.clone());
        let event = Event::of_packet(self.direction, [self.class, self.leaves], packet);
        let members = |set| {
            let inside = self.members.iter().filter(move |(named, _)| *named == set);
            AddressSet::of(inside.map(|(_, address)| *address))
        };
        let live = self.policy.sets.iter();
        let live = live.filter(|(_, set)| matches!(set.kind, SetKind::Live { .. }));
        // Rules see no socket of what has none, and words may not name one.
        let [here, there] = match self.header.has_socket() {
            true => [self.socket, self.elsewhere],
            false => [SocketAnswer::None; 2],
        };
        let elsewhere = self.policy.namespaces.keys();
        let found = |netns| (there != SocketAnswer::None).then_some((netns, there));
        Described {
            elsewhere: elsewhere.filter_map(found).collect(),
            absent: self.absent.clone(),
            members: live.map(|(set, _)| (set, members(set))).collect(),
            ..Described::plain(event, here)
        }
    }

    /// What rules see of it; whose writes they are, where it is about sends, the caller knows.
    pub(super) fn seen(&self) -> Seen<'_> {
        let class = (!self.direction.of_processes()).then_some(self.class);
        let leaves = self.direction.passes().then_some(self.leaves);
        Seen::new(
            self.policy,
            self.direction,
            [class, leaves],
            &self.header,
            self,
        )
    }

    /// Whether a rule of the list matches it.
    pub(super) fn is_of(&self, id: RuleId, rule: &Rule) -> bool {
        is_of(&self.seen(), id, rule)
    }
}

fn counts_connections(rule: &Rule) -> bool {
    let rate = rule.rate.as_ref();
    rate.is_some_and(|rate| rate.above && rate.unit == RateUnit::Connections)
}

/// A class of interfaces that all of the rules are for, as far as they name any.
fn class_of(
    rules: &[(RuleId, &Rule)],
    names: impl Fn(&Match) -> Option<&Vec<ClassId>>,
) -> Option<ClassId> {
    let mut named = rules.iter().filter_map(|(_, rule)| names(&rule.matches));
    let Some(first) = named.next() else {
        return Some(Policy::plain_class());
    };
    let others: Vec<_> = named.collect();
    let shared = |class: &&ClassId| others.iter().all(|other| other.contains(class));
    first.iter().find(shared).copied()
}

/// A protocol that all of the rules are for, and what the narrowest of them says of it.
fn protocol_of<'a>(
    rules: &[(RuleId, &'a Rule)],
    family: Family,
    variant: usize,
) -> Option<(IpProtocol, Option<&'a ProtocolMatch>)> {
    let lists = || rules.iter().map(|(_, rule)| &rule.matches.protocols);
    let fits = |one: &ProtocolMatch, number: IpProtocol| {
        one.number == number && one.family.is_none_or(|named| named == family)
    };
    let mut named = lists().filter(|list| !list.is_empty());
    let Some(first) = named.next() else {
        return Some((unnamed(rules, variant), None));
    };
    let mut shared = first.iter().filter(|one| {
        fits(one, one.number)
            && lists()
                .all(|list| list.is_empty() || list.iter().any(|other| fits(other, one.number)))
            && !(family == Family::V6 && one.number.is_extension())
    });
    let chosen = match variant {
        0 | 1 => shared.next(),
        _ => shared.next_back(),
    }?;
    // Types are named by at most one of two rules, else this one has them.
    let narrow = lists()
        .flatten()
        .find(|one| fits(one, chosen.number) && !one.icmp.is_empty());
    Some((chosen.number, Some(narrow.unwrap_or(chosen))))
}

/// A protocol for rules that name none.
fn unnamed(rules: &[(RuleId, &Rule)], variant: usize) -> IpProtocol {
    fn needs(condition: &Condition) -> Option<&'static [IpProtocol]> {
        match condition {
            Condition::Header { field, .. } if row(*field).exists == Exists::InTcp => {
                Some(&[IpProtocol::TCP])
            }
            Condition::Socket { .. } | Condition::Entry { .. } | Condition::SockAbsent(_) => {
                Some(&[IpProtocol::UDP, IpProtocol::TCP])
            }
            Condition::AnyOf(any) => any.iter().find_map(needs),
            _ => None,
        }
    }
    let conditions = rules.iter().flat_map(|(_, rule)| &rule.matches.conditions);
    let direction = rules.first().map(|(_, rule)| rule.direction);
    let only = direction.map(Hook::protocols).unwrap_or_default();
    let lookup = rules
        .iter()
        .any(|(_, rule)| rule.in_lookup() || counts_connections(rule));
    let needed = conditions.filter_map(needs).min_by_key(|list| list.len());
    let choice: &[IpProtocol] = match needed {
        Some(list) => list,
        None if lookup => &[IpProtocol::UDP, IpProtocol::TCP],
        None if !only.is_empty() => &only,
        None if rules
            .iter()
            .any(|(_, rule)| ends::names_ports(&rule.matches)) =>
        {
            &[IpProtocol::SCTP, IpProtocol::UDP, IpProtocol::TCP]
        }
        None => &[
            EXPERIMENTAL,
            IpProtocol::SCTP,
            IpProtocol::UDP,
            IpProtocol::TCP,
        ],
    };
    choice[variant % choice.len()]
}

fn transport(header: &Header, from: u16, to: u16, named: Option<&ProtocolMatch>) -> Transport {
    let icmp = header.family().icmp();
    match header.protocol {
        _ if header.fragment == Fragment::Later => Transport::None,
        IpProtocol::TCP => {
            let flags = match header.transport {
                Transport::Tcp { flags, .. } => flags,
                _ => 0,
            };
            Transport::Tcp { from, to, flags }
        }
        number if number.has_ports() => Transport::Ports { from, to },
        number if number == icmp => {
            let wanted = named.and_then(|named| named.icmp.first());
            Transport::Icmp {
                kind: wanted.map_or(100, |one| one.kind),
                code: wanted.and_then(|one| one.code).unwrap_or(0),
            }
        }
        _ => Transport::None,
    }
}
