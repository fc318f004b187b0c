//! What a rule wants of a hook, and whether the hook can do it.

use std::iter;

use crate::field::Field;
use crate::header_field::row;
use crate::hook::{Ability, Hook};
use crate::policy::{Addresses, Condition, Match, Rule, RuleId, Side, SocketState};

/// Why a hook cannot evaluate a rule, if it cannot.
pub(super) fn unreadable(id: RuleId, rule: &Rule, hook: Hook) -> Option<&'static str> {
    fields(id, rule)
        .into_iter()
        .filter(|field| !known_unread(rule, hook, *field))
        .find_map(|field| match hook.reads(field) {
            Ability::Yes | Ability::IfAsked(_) => None,
            Ability::No(reason) => Some(reason),
        })
}

/// Whether a hook can do all that a rule wants, as it stands: what a hook can only if a rule asks for it, it can for a rule
/// that names the hook.
pub(super) fn can_unasked(id: RuleId, rule: &Rule, hook: Hook) -> bool {
    wants(id, rule, hook).all(|ability| match ability {
        Ability::Yes => true,
        Ability::IfAsked(_) => rule.at == Some(hook),
        Ability::No(_) => false,
    })
}

/// Why a hook cannot do all that a rule wants, or only if the rule asks for it.
pub(super) fn why_not(id: RuleId, rule: &Rule, hook: Hook) -> Option<&'static str> {
    wants(id, rule, hook).find_map(|ability| match ability {
        Ability::Yes => None,
        Ability::IfAsked(reason) | Ability::No(reason) => Some(reason),
    })
}

/// Whether a hook can say a rule's verb, set its mark and read each of its fields.
fn wants(id: RuleId, rule: &Rule, hook: Hook) -> impl Iterator<Item = Ability> {
    let mark = rule.mark.map(|_| hook.sets_mark());
    let fields = fields(id, rule).into_iter();
    iter::once(hook.does(rule.action.into()))
        .chain(mark)
        .chain(fields.map(move |field| hook.reads(field)))
}

/// Whether a hook need not read a field: nothing that has it comes there, or nothing of an established socket, where that
/// alone is asked.
fn known_unread(rule: &Rule, hook: Hook, field: Field) -> bool {
    fn only_established(condition: &Condition) -> bool {
        match condition {
            Condition::No(inner) => only_established(inner),
            Condition::AnyOf(list) => list.iter().all(only_established),
            Condition::Socket { test, netns: None } => *test == SocketState::Established,
            _ => true,
        }
    }
    let sees = &hook.spec().sees;
    match field {
        Field::Socket => {
            sees.unconnected
                && rule.rate.is_none()
                && rule.matches.conditions.iter().all(only_established)
        }
        other => sees.absent.contains(&other.kind()),
    }
}

/// The fields that a rule depends on besides family, protocol, addresses and ports.
pub(crate) fn fields(id: RuleId, rule: &Rule) -> Vec<Field> {
    let mut fields = fields_of_match(&rule.matches);
    if let Some(rate) = &rule.rate {
        fields.extend(rate.longest(rule.direction).map(|_| Field::Length));
        fields.push(Field::Conforms(id));
    }
    fields
}

/// The same of what a rule matches alone.
pub(crate) fn fields_of_match(matches: &Match) -> Vec<Field> {
    let mut fields = Vec::new();
    for (side, member) in [
        (&matches.to, Field::ToIn as fn(_) -> _),
        (&matches.from, Field::FromIn),
    ] {
        let Some(Side::Endpoints { endpoints, .. }) = side else {
            continue;
        };
        fields.extend(
            endpoints
                .iter()
                .filter_map(|endpoint| match endpoint.addresses {
                    Addresses::Set(set) => Some(member(set)),
                    Addresses::Ranges(_) => None,
                }),
        );
    }
    let types = matches.protocols.iter().any(|one| !one.icmp.is_empty());
    fields.extend(types.then_some(Field::Icmp));
    fields.extend(matches.on.is_some().then_some(Field::Interface));
    fields.extend(matches.leaves.is_some().then_some(Field::Leaving));
    for condition in &matches.conditions {
        of_condition(condition, &mut fields);
    }
    fields
}

fn of_condition(condition: &Condition, fields: &mut Vec<Field>) {
    fields.push(match condition {
        Condition::No(inner) => return of_condition(inner, fields),
        Condition::AnyOf(list) => {
            return list.iter().for_each(|one| of_condition(one, fields));
        }
        Condition::Socket { netns, .. } => netns.map_or(Field::Socket, Field::SocketIn),
        Condition::SockAbsent(socket) => Field::Absent(*socket),
        Condition::Entry { map, .. } => Field::Entry(*map),
        // Every variable of it is read alike.
        Condition::Header { field, .. } => row(*field).variables[0],
        Condition::FirstMatch(_) => Field::FirstMatch,
    });
}
