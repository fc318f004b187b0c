//! One thing that is said of a region.

use super::super::space::{Built, Space};
use super::super::topic::Topic;
use crate::field::Field;
use crate::policy::{
    AddressSet, ClassId, Condition, Endpoint, Match, ProtocolMatch, RuleId, SetId, Side, SocketId,
};
use crate::ranges::RangeSet;

/// A side of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    From,
    To,
}

/// One thing that is said of a region; all of them hold.
#[derive(Clone, Debug)]
pub(super) enum Constraint {
    /// One of these protocols.
    Protocols(Vec<ProtocolMatch>),
    /// The address is one of these.
    Addresses(End, AddressSet),
    /// The port is one of these.
    Ports(End, RangeSet<u16>),
    /// The address is in a live set, or not.
    Member(End, SetId, bool),
    /// One of these classes of interfaces.
    On(Vec<ClassId>),
    /// Of the interface by which what passes through leaves.
    Leaves(Vec<ClassId>),
    /// This holds.
    Condition(Condition),
    /// The rate of a rule, by the number it is known by, has tokens left, or not.
    Rate(RuleId, bool),
}

impl Constraint {
    /// The named socket of which it says that it is there, or that it is not.
    pub(super) fn presence(&self) -> Option<SocketId> {
        let Self::Condition(condition) = self else {
            return None;
        };
        match condition {
            Condition::SockAbsent(socket) => Some(*socket),
            Condition::No(inner) => match **inner {
                Condition::SockAbsent(socket) => Some(socket),
                _ => None,
            },
            _ => None,
        }
    }

    /// 1 where it holds.
    pub(super) fn draw(&self, space: &mut Space<'_, '_>, topic: Topic) -> Built {
        if let Self::Rate(rule, conforms) = self {
            return space.is(Field::Conforms(*rule), u32::from(*conforms));
        }
        let node = space.of_match(topic.group, &self.as_match())?;
        match self {
            Self::Member(_, _, false) => space.store.not(node),
            _ => Ok(node),
        }
    }

    /// The match that says it.
    fn as_match(&self) -> Match {
        let mut matches = Match::default();
        match self {
            Self::Protocols(protocols) => matches.protocols.clone_from(protocols),
            Self::Addresses(end, addresses) => {
                set(&mut matches, *end, endpoint(addresses.clone(), None));
            }
            Self::Ports(end, ports) => {
                set(
                    &mut matches,
                    *end,
                    endpoint(AddressSet::any(), Some(ports.clone())),
                );
            }
            Self::Member(end, live, _) => set(
                &mut matches,
                *end,
                Endpoint {
                    addresses: crate::policy::Addresses::Set(*live),
                    ports: None,
                },
            ),
            Self::On(classes) => matches.on = Some(classes.clone()),
            Self::Leaves(classes) => matches.leaves = Some(classes.clone()),
            Self::Condition(condition) => matches.conditions.push(condition.clone()),
            Self::Rate(..) => {}
        }
        matches
    }
}

fn endpoint(addresses: AddressSet, ports: Option<RangeSet<u16>>) -> Endpoint {
    Endpoint {
        addresses: addresses.into(),
        ports,
    }
}

fn set(matches: &mut Match, end: End, endpoint: Endpoint) {
    let side = Some(Side::Endpoints {
        negated: false,
        endpoints: vec![endpoint],
    });
    match end {
        End::From => matches.from = side,
        End::To => matches.to = side,
    }
}
