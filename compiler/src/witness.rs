//! A packet found in a diagram, and the world in which it was found.
//!
//! Takes the values of a diagram's fields; gives the event they stand for and a [`World`] that answers as they say, so
//! that whatever a diagram claims of a packet can be asked of the reference meaning too. Not here: finding the values.

use std::net::IpAddr;

use crate::decide::decide;
use crate::diagram::FieldValues;
use crate::diagram::values::header_of;
use crate::event::{Decision, Event, Header, Parsed, SocketAnswer, World};
use crate::field::Field;
use crate::packet::text::{Described, DescribedWorld, contents};
use crate::policy::{
    AddressSet, ClassId, Direction, Family, GroupId, LiveEntry, LiveMapId, NetnsId, Policy, RuleId,
    SetId, SetKind, SocketId,
};
use crate::protocol::IpProtocol;
use crate::ranges::RangeSet;

/// An event, and what the world says of it.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    /// What happens.
    pub event: Event,
    /// The packet or connection.
    pub header: Header,
    /// What the lookup in the interface's own namespace finds.
    pub socket: SocketAnswer,
    values: FieldValues,
}

impl Witness {
    /// The event of a direction (for `send`: written by a socket of the group) with these values.
    #[must_use]
    pub(crate) fn new(values: FieldValues, direction: Direction, group: Option<GroupId>) -> Self {
        let (header, socket) = header_of(&values);
        let event = match group {
            Some(group) if direction.of_processes() => Event::Process {
                direction,
                group,
                header: header.clone(),
            },
            _ => Event::Packet {
                direction,
                class: ClassId::from_u32(values.get(Field::Interface)),
                packet: Parsed::Ip(header.clone()),
            },
        };
        Self {
            event,
            header,
            socket,
            values,
        }
    }

    /// The lookup for a packet with these values that met no packet hook.
    #[must_use]
    pub(crate) fn of_lookup(values: FieldValues) -> Self {
        let (header, socket) = header_of(&values);
        let event = Event::Lookup {
            class: ClassId::from_u32(values.get(Field::Interface)),
            header: header.clone(),
        };
        Self {
            event,
            header,
            socket,
            values,
        }
    }

    /// What the reference meaning says of it.
    #[must_use]
    pub(crate) fn decide(&self, policy: &Policy) -> Decision {
        decide(policy, &self.event, self)
    }

    /// The event and what must be said of the machine around it so that the policy decides as it does here.
    ///
    /// A text knows one state of all rates only: where some fit and others do not, the decision may be another.
    #[must_use]
    pub(crate) fn described(&self, policy: &Policy) -> Described {
        let wanted = self.decide(policy);
        shortest(policy, self.everything(policy), |said| {
            let found = decide(policy, &said.event, &DescribedWorld::new(policy, said));
            (found.verdict, found.decider) == (wanted.verdict, wanted.decider)
        })
    }

    /// All that the values say, as far as there are words for it.
    pub(crate) fn everything(&self, policy: &Policy) -> Described {
        let mut said = Described::plain(self.event.clone(), self.socket);
        let looked_up = self.header.has_socket();
        said.elsewhere = policy
            .namespaces
            .keys()
            .map(|netns| (netns, self.socket(Direction::In, Some(netns), &self.header)))
            .filter(|&(_, answer)| looked_up && answer != SocketAnswer::None)
            .collect();
        let absent = |socket: &SocketId| self.values.get(Field::Absent(*socket)) == 1;
        said.absent = policy.sockets.keys().filter(absent).collect();
        said.members = policy
            .sets
            .iter()
            .filter(|(_, set)| matches!(set.kind, SetKind::Live { .. }))
            .map(|(set, _)| (set, self.members(set)))
            .collect();
        if looked_up {
            said.contents = policy
                .live_maps
                .keys()
                .map(|map| (map, self.contents(map)))
                .collect();
        }
        said.rate_exceeded = true;
        said
    }

    /// Those of the two addresses that are in a set.
    fn members(&self, set: SetId) -> AddressSet {
        let ends = [
            (self.header.to, Field::ToIn(set)),
            (self.header.from, Field::FromIn(set)),
        ];
        let inside = ends
            .into_iter()
            .filter(|&(_, field)| self.values.get(field) == 1);
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (address, _) in inside {
            match address {
                IpAddr::V4(address) => v4.push((address.to_bits(), address.to_bits())),
                IpAddr::V6(address) => v6.push((address.to_bits(), address.to_bits())),
            }
        }
        AddressSet {
            v4: RangeSet::from_ranges(v4),
            v6: RangeSet::from_ranges(v6),
        }
    }

    /// What a live map holds for this packet: one entry, or none.
    fn contents(&self, map: LiveMapId) -> Vec<LiveEntry> {
        let socket = self.entry(map, &self.header);
        contents::of_packet(&self.header, socket)
    }
}

/// What must be said of the machine so that something still holds, without what need not be said.
pub(crate) fn shortest(
    policy: &Policy,
    mut said: Described,
    holds: impl Fn(&Described) -> bool,
) -> Described {
    let mut without = |shorten: &dyn Fn(&mut Described)| {
        let mut shorter = said.clone();
        shorten(&mut shorter);
        if holds(&shorter) {
            said = shorter;
        }
    };
    without(&|said| said.rate_exceeded = false);
    for netns in policy.namespaces.keys() {
        without(&|said| said.elsewhere.retain(|(other, _)| *other != netns));
    }
    for socket in policy.sockets.keys() {
        without(&|said| said.absent.retain(|other| *other != socket));
    }
    for map in policy.live_maps.keys() {
        without(&|said| said.contents.retain(|(other, _)| *other != map));
    }
    for set in policy.sets.keys() {
        without(&|said| said.members.retain(|(other, _)| *other != set));
    }
    said
}

impl World for Witness {
    fn socket(&self, _: Direction, netns: Option<NetnsId>, _: &Header) -> SocketAnswer {
        let field = netns.map_or(Field::Socket, Field::SocketIn);
        SocketAnswer::from_value(self.values.get(field))
    }

    fn present(&self, socket: SocketId, _: Family, _: IpProtocol) -> bool {
        self.values.get(Field::Absent(socket)) == 0
    }

    /// An address that is both ends' is a member if it is asked for at either end and is one there.
    fn member(&self, set: SetId, address: IpAddr) -> bool {
        let ends = [
            (self.header.to, Field::ToIn(set)),
            (self.header.from, Field::FromIn(set)),
        ];
        let mut asked = ends.into_iter().filter(|(end, _)| *end == address);
        asked.any(|(_, field)| self.values.get(field) == 1)
    }

    fn entry(&self, map: LiveMapId, _: &Header) -> Option<SocketId> {
        let number = self.values.get(Field::Entry(map)).checked_sub(1)?;
        Some(SocketId::from_u32(number))
    }

    fn conforms(&self, rule: RuleId, _: &Header) -> bool {
        self.values.get(Field::Conforms(rule)) == 1
    }
}
