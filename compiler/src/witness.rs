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
use crate::packet::text::{Described, DescribedWorld};
use crate::passage::asked;
use crate::policy::{
    ClassId, Direction, Family, GroupId, LiveMapId, NetnsId, Policy, RuleId, SetId, SocketId,
};
use crate::protocol::IpProtocol;

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
            _ => {
                let classes = [Field::Interface, Field::Leaving];
                let classes = classes.map(|field| ClassId::from_u32(values.get(field)));
                Event::of_packet(direction, classes, Parsed::Ip(header.clone()))
            }
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

    /// What the reference meaning says of it. Of what passes through, the mark is the one with which it arrives.
    #[must_use]
    pub(crate) fn decide(&self, policy: &Policy) -> Decision {
        decide(policy, &asked(policy, &self.event, self), self)
    }

    /// The event and what must be said of the machine around it so that the policy decides as it does here.
    ///
    /// A text knows one state of all rates only: where some fit and others do not, the decision may be another.
    #[must_use]
    pub(crate) fn described(&self, policy: &Policy) -> Described {
        let wanted = self.decide(policy);
        shortest(policy, self.everything(policy), |said| {
            let world = DescribedWorld::new(policy, said);
            let found = decide(policy, &asked(policy, &said.event, &world), &world);
            (found.verdict, found.decider) == (wanted.verdict, wanted.decider)
        })
    }

    /// All that the values say, as far as there are words for it.
    pub(crate) fn everything(&self, policy: &Policy) -> Described {
        Described {
            rate_exceeded: true,
            ..Described::of_world(policy, self.event.clone(), &self.header, self.socket, self)
        }
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
        self.values.socket(netns)
    }

    fn present(&self, socket: SocketId, _: Family, _: IpProtocol) -> bool {
        self.values.is_there(socket)
    }

    fn member(&self, set: SetId, address: IpAddr) -> bool {
        self.values.is_member(&self.header, set, address)
    }

    fn entry(&self, map: LiveMapId, _: &Header) -> Option<SocketId> {
        self.values.entry(map)
    }

    fn conforms(&self, rule: RuleId, _: &Header) -> bool {
        self.values.conforms(rule)
    }
}
