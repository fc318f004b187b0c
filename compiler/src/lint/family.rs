//! Redirects that also take packets of a family for which their socket holds none.

use sockc_grammar::diagnostic::Diagnostic;

use super::OTHER_FAMILY;
use crate::policy::{Direction, Family, Match, Policy, Rule, Side, Socket};

/// Reports redirects of a family that finds the socket absent, always.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    for (_, rule) in policy.rules_of(Direction::In) {
        let Some(socket) = rule.action.receiver() else {
            continue;
        };
        // By a map, one entry stands for many, and the destination is the entry's.
        if rule.head.is_some() {
            continue;
        }
        let socket = &policy.sockets[socket];
        for family in [Family::V4, Family::V6] {
            if never_holds(socket, rule, family) && takes(policy, &rule.matches, family) {
                found.push(report(rule, socket, family));
            }
        }
    }
}

/// Whether the socket holds nothing for the rule's protocols in this family.
fn never_holds(socket: &Socket, rule: &Rule, family: Family) -> bool {
    let protocols = &rule.matches.protocols;
    !protocols.is_empty()
        && protocols
            .iter()
            .all(|one| !socket.may_hold(family, one.number))
}

/// Whether the rule names, or leaves open, addresses of the family on both sides.
fn takes(policy: &Policy, matches: &Match, family: Family) -> bool {
    matches.conditions.is_empty()
        && [&matches.from, &matches.to]
            .into_iter()
            .flatten()
            .all(|side| has(policy, side, family))
}

fn has(policy: &Policy, side: &Side, family: Family) -> bool {
    let Side::Endpoints {
        negated: false,
        endpoints,
    } = side
    else {
        return false;
    };
    endpoints.iter().any(|endpoint| {
        endpoint
            .addresses
            .constant(policy)
            .is_some_and(|set| match family {
                Family::V4 => !set.v4.is_empty(),
                Family::V6 => !set.v6.is_empty(),
            })
    })
}

fn report(rule: &Rule, socket: &Socket, family: Family) -> Diagnostic {
    let name = &socket.name;
    let (word, listen) = match family {
        Family::V4 => ("IPv4", "127.0.0.1"),
        Family::V6 => ("IPv6", "[::1]"),
    };
    let absent = if socket.drop_if_absent {
        "drops"
    } else {
        "rejects"
    };
    Diagnostic::warning(
        OTHER_FAMILY,
        format!("the socket `{name}` takes nothing over {word}, and this redirect does"),
        rule.place.span,
        format!("over {word} it {absent} what it matches, since the socket is absent there"),
    )
    .also(socket.place.span, "no address of that family here")
    .help(format!(
        "give `{name}` an address such as `{listen}`, or name only addresses of the other family"
    ))
}
