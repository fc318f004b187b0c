//! Whether a packet is one that a rule speaks of.
//!
//! Takes a rule and what is [`Seen`] of a packet; gives yes or no. Not here: what then becomes of the packet, and whether
//! a socket belongs to a group, which the caller knows.

use std::net::IpAddr;

use super::asked::has_socket;
use crate::event::{Fragment, Header, SocketAnswer, Transport, World};
use crate::header_field::HeaderField;
use crate::policy::{
    Addresses, ClassId, Condition, Direction, Endpoint, FieldTest, IcmpMatch, Match, NetnsId,
    Policy, ProtocolMatch, Rate, RateUnit, Rule, RuleId, SetKind, Side, SocketId, SocketState,
};
use crate::protocol::IpProtocol;
use crate::spread;

/// A packet, and whom to ask about it.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The policy, for what its sets hold.
    pub policy: &'a Policy,
    /// The packet.
    pub header: &'a Header,
    direction: Direction,
    /// The class of the interface, and of what passes through that of the one by which it leaves; `None` for what is written,
    /// which has no interface yet.
    classes: [Option<ClassId>; 2],
    world: &'a dyn World,
    /// Whether the own namespace is known to hold no established socket for it, and nothing else is known.
    unconnected: bool,
}

impl<'a> Seen<'a> {
    /// A packet of a direction.
    pub(crate) fn new(
        policy: &'a Policy,
        direction: Direction,
        classes: [Option<ClassId>; 2],
        header: &'a Header,
        world: &'a dyn World,
    ) -> Self {
        Self {
            policy,
            header,
            direction,
            classes,
            world,
            unconnected: false,
        }
    }

    /// A packet as a socket lookup sees it.
    pub(crate) fn unconnected(
        policy: &'a Policy,
        class: ClassId,
        header: &'a Header,
        world: &'a dyn World,
    ) -> Self {
        Self {
            unconnected: true,
            ..Self::new(policy, Direction::In, [Some(class), None], header, world)
        }
    }

    /// Whose list it is asked about.
    pub(crate) fn direction(&self) -> Direction {
        self.direction
    }

    /// What the lookup for it finds. There is one for TCP and UDP, except in later fragments; `send` asks for none, and what
    /// passes through has none here.
    pub(crate) fn socket(&self, netns: Option<NetnsId>) -> SocketAnswer {
        let without = self.direction.of_processes() || self.direction.passes();
        let looked_up = has_socket(self.header) && !without;
        if looked_up && !self.unconnected {
            self.world.socket(self.direction, netns, self.header)
        } else {
            SocketAnswer::None
        }
    }

    /// Whether the named socket holds one for it.
    pub(super) fn present(&self, socket: SocketId) -> bool {
        let (family, protocol) = (self.header.family(), self.header.protocol);
        self.policy.sockets[socket].may_hold(family, protocol)
            && self.world.present(socket, family, protocol)
    }

    /// The member of the named socket that gets it; `None` where the name has but one.
    pub(super) fn member(&self, socket: SocketId) -> Option<u32> {
        let data = &self.policy.sockets[socket];
        if data.members == 1 {
            return None;
        }
        let (family, protocol) = (self.header.family(), self.header.protocol);
        let mut order = spread::order(self.header, data.spread, data.members)?;
        order.find(|member| self.world.holds(socket, family, protocol, *member))
    }

    fn contains(&self, addresses: &Addresses, address: IpAddr) -> bool {
        match addresses {
            Addresses::Ranges(ranges) => ranges.contains(address),
            Addresses::Set(set) => match &self.policy.sets[*set].kind {
                SetKind::Constant(ranges) => ranges.contains(address),
                SetKind::Live { .. } => self.world.member(*set, address),
            },
        }
    }
}

/// Whether every part of a rule holds for the packet. The rate comes last: its tokens are taken only when everything
/// else holds.
///
/// `from group G` holds here for every packet: whose socket it is, the header does not say.
#[must_use]
pub(crate) fn matches(seen: &Seen<'_>, id: RuleId, rule: &Rule) -> bool {
    covers(seen, &rule.matches)
        && rule
            .rate
            .as_ref()
            .is_none_or(|rate| rate_matches(seen, id, rate))
}

/// Whether a conjunction holds for the packet.
#[must_use]
pub(crate) fn covers(seen: &Seen<'_>, matches: &Match) -> bool {
    let header = seen.header;
    covers_protocol(&matches.protocols, header)
        && covers_side(seen, matches.from.as_ref(), header.from, from_port(header))
        && covers_side(seen, matches.to.as_ref(), header.to, to_port(header))
        && covers_class(seen, matches)
        && matches
            .conditions
            .iter()
            .all(|condition| holds(seen, condition))
}

/// Interfaces are named by class; what is written has none.
pub(crate) fn covers_class(seen: &Seen<'_>, matches: &Match) -> bool {
    let named = [&matches.on, &matches.leaves].into_iter().zip(seen.classes);
    let mut named = named.filter_map(|(named, class)| Some((named.as_ref()?, class)));
    named.all(|(named, class)| class.is_some_and(|class| named.contains(&class)))
}

/// `above` matches the excess, `up to` what conforms. What the unit does not count always does; what takes more tokens than
/// a full bucket holds never does, whatever the bucket holds.
fn rate_matches(seen: &Seen<'_>, id: RuleId, rate: &Rate) -> bool {
    let has_tokens = || {
        !rate.never_fits(seen.direction, seen.header.length) && seen.world.conforms(id, seen.header)
    };
    let conforms = !takes_tokens(seen, rate.unit) || has_tokens();
    conforms != rate.above
}

fn takes_tokens(seen: &Seen<'_>, unit: RateUnit) -> bool {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    match (unit, seen.header.transport) {
        (RateUnit::Packets | RateUnit::Bytes, _) => true,
        (RateUnit::Connections, Transport::Tcp { flags, .. }) => flags & (SYN | ACK) == SYN,
        (RateUnit::Connections, Transport::Ports { .. }) => {
            seen.header.protocol == IpProtocol::UDP
                && seen.socket(None) != SocketAnswer::Established
        }
        (RateUnit::Connections, Transport::Icmp { .. } | Transport::None) => false,
    }
}

/// No protocols named: every one.
pub(crate) fn covers_protocol(protocols: &[ProtocolMatch], header: &Header) -> bool {
    protocols.is_empty()
        || protocols.iter().any(|protocol| {
            protocol
                .family
                .is_none_or(|family| family == header.family())
                && protocol.number == header.protocol
                && icmp_matches(&protocol.icmp, header)
        })
}

/// No types named: every packet of the protocol, later fragments included. Else the type must be there to be read.
fn icmp_matches(types: &[IcmpMatch], header: &Header) -> bool {
    if types.is_empty() {
        return true;
    }
    let Transport::Icmp { kind, code } = header.transport else {
        return false;
    };
    types.iter().any(|wanted| {
        wanted.kind == kind && wanted.code.is_none_or(|wanted_code| wanted_code == code)
    })
}

/// A `from` or `to`; one that is left out matches everything.
pub(crate) fn covers_side(
    seen: &Seen<'_>,
    side: Option<&Side>,
    address: IpAddr,
    port: Option<u16>,
) -> bool {
    match side {
        None | Some(Side::Group(_)) => true,
        Some(Side::Endpoints {
            negated: false,
            endpoints,
        }) => endpoints
            .iter()
            .any(|endpoint| endpoint_matches(seen, endpoint, address, port)),
        // What no endpoint of the list matches; a list with ports still speaks only of packets that have ports.
        Some(Side::Endpoints {
            negated: true,
            endpoints,
        }) => {
            let names_ports = endpoints.iter().any(|endpoint| endpoint.ports.is_some());
            let none = !endpoints
                .iter()
                .any(|endpoint| endpoint_matches(seen, endpoint, address, port));
            none && (port.is_some() || !names_ports)
        }
    }
}

/// An endpoint that names ports never matches a packet without.
fn endpoint_matches(
    seen: &Seen<'_>,
    endpoint: &Endpoint,
    address: IpAddr,
    port: Option<u16>,
) -> bool {
    let port_fits = match (&endpoint.ports, port) {
        (None, _) => true,
        (Some(ports), Some(port)) => ports.contains(port),
        (Some(_), None) => false,
    };
    seen.contains(&endpoint.addresses, address) && port_fits
}

/// The sender's port: only in TCP, UDP and SCTP, unfragmented or in the first fragment.
pub(crate) fn from_port(header: &Header) -> Option<u16> {
    match header.transport {
        Transport::Tcp { from, .. } | Transport::Ports { from, .. } => Some(from),
        Transport::Icmp { .. } | Transport::None => None,
    }
}

/// The receiver's port, likewise.
pub(crate) fn to_port(header: &Header) -> Option<u16> {
    match header.transport {
        Transport::Tcp { to, .. } | Transport::Ports { to, .. } => Some(to),
        Transport::Icmp { .. } | Transport::None => None,
    }
}

/// Whether a condition holds.
pub(crate) fn holds(seen: &Seen<'_>, condition: &Condition) -> bool {
    let header = seen.header;
    match condition {
        Condition::No(inner) => !holds(seen, inner),
        Condition::AnyOf(any) => any.iter().any(|inner| holds(seen, inner)),
        Condition::Socket { test, netns } => {
            let answer = seen.socket(*netns);
            match test {
                SocketState::Exists => answer != SocketAnswer::None,
                SocketState::Established => answer == SocketAnswer::Established,
                SocketState::Listening => answer == SocketAnswer::Listening,
            }
        }
        Condition::SockAbsent(socket) => !seen.present(*socket),
        Condition::Entry { map, socket } => {
            to_port(header).is_some()
                && header.protocol.has_socket()
                && seen.world.entry(*map, header) == Some(*socket)
        }
        Condition::Header { field, test } => {
            let value = value_of(header, *field);
            value.is_some_and(|value| match *test {
                FieldTest::Range { low, high } => low <= value && value <= high,
                FieldTest::Masked { wanted, mask } => value & mask == wanted,
            })
        }
        // Policies that `bulk` makes are not decided: their rules do not say what they match.
        Condition::FirstMatch(_) => false,
    }
}

/// The value of a field of the header, if the packet has it.
fn value_of(header: &Header, field: HeaderField) -> Option<u64> {
    match field {
        HeaderField::Fragment => Some(match header.fragment {
            Fragment::Whole => 0,
            Fragment::First => 1,
            Fragment::Later => 2,
        }),
        HeaderField::TcpFlags => match header.transport {
            Transport::Tcp { flags, .. } => Some(flags.into()),
            Transport::Ports { .. } | Transport::Icmp { .. } | Transport::None => None,
        },
        HeaderField::Length => Some(header.length.into()),
        HeaderField::Ttl => Some(header.ttl.into()),
        HeaderField::Dscp => Some(header.dscp.into()),
        HeaderField::Ecn => Some(header.ecn.into()),
        HeaderField::Mark => Some(header.mark.into()),
        HeaderField::Vlan => header.vlan.map(u64::from),
        HeaderField::EtherFrom => Some(header.ether_from),
        HeaderField::EtherTo => Some(header.ether_to),
    }
}

/// Whether a socket lookup can tell if a rule matches: it reads addresses, protocol and ports, and knows that no
/// established socket was found.
pub(crate) fn readable_at_lookup(rule: &Rule) -> bool {
    fn readable(condition: &Condition) -> bool {
        match condition {
            Condition::No(inner) => readable(inner),
            Condition::AnyOf(any) => any.iter().all(readable),
            Condition::Socket {
                test: SocketState::Established,
                netns: None,
            }
            | Condition::SockAbsent(_)
            | Condition::Entry { .. }
            | Condition::FirstMatch(_) => true,
            Condition::Socket { .. } | Condition::Header { .. } => false,
        }
    }
    rule.rate.is_none() && rule.matches.conditions.iter().all(readable)
}
