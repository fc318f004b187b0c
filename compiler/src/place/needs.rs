//! What a rule has to read, and whether a hook can.

use crate::field::Field;
use crate::hook::{Ability, Hook};
use crate::policy::{Condition, Match, SocketTest};

/// Why a hook cannot evaluate the conditions of a match, if it cannot.
pub(super) fn unreadable(matches: &Match, hook: Hook) -> Option<&'static str> {
    matches
        .conditions
        .iter()
        .find_map(|condition| unreadable_condition(condition, hook))
}

fn unreadable_condition(condition: &Condition, hook: Hook) -> Option<&'static str> {
    let field = match condition {
        Condition::No(inner) => return unreadable_condition(inner, hook),
        Condition::AnyOf(list) => {
            return list.iter().find_map(|one| unreadable_condition(one, hook));
        }
        // No lookup is made for packets of an established socket, so the answer is known there: no.
        Condition::Socket {
            test: SocketTest::Established,
            netns: None,
        } if hook == Hook::SkLookup => return None,
        Condition::Socket { netns, .. } => netns.map_or(Field::Socket, Field::SocketIn),
        Condition::SockAbsent(socket) => Field::Absent(*socket),
        Condition::Entry { map, .. } => Field::Entry(*map),
        Condition::Ttl { .. } => Field::Ttl,
        Condition::Dscp(_) => Field::Dscp,
        Condition::Mark { .. } => Field::Mark,
        Condition::Vlan(_) => Field::Vlan,
        Condition::TcpFlags { .. } => Field::TcpFlags,
        Condition::Fragment => Field::Fragment,
        Condition::Length { .. } => Field::Length,
    };
    match hook.reads(field) {
        Ability::Yes | Ability::IfAsked(_) => None,
        Ability::No(reason) => Some(reason),
    }
}
