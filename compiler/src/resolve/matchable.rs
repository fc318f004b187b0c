//! Whether a rule can match anything at all, or names things that no packet has together.
//!
//! Looks at the few kinds of packets that rules tell apart, not at packets: a rule that passes here may still be
//! contradictory in ways that only the decision structure sees.

use crate::hook::Hook;
use crate::policy::{Action, Condition, Direction, Endpoint, Family, ProtocolMatch, Rule, Side};
use crate::ranges::{Bound, RangeSet};

/// A kind of packet.
#[derive(Clone, Copy)]
struct Kind {
    family: Family,
    protocol: u8,
    /// Not a fragment: 0, the first: 1, a later one: 2.
    part: u8,
}

impl Kind {
    fn has_ports(self) -> bool {
        matches!(self.protocol, 6 | 17 | 132) && self.part != 2
    }

    fn has_socket(self) -> bool {
        matches!(self.protocol, 6 | 17) && self.part != 2
    }
}

/// Whether anything can match the rule; the error says why nothing can. `any_group`: whether a group is declared.
pub(super) fn can_match(rule: &Rule, any_group: bool) -> Result<(), &'static str> {
    if rule.direction == Direction::Send {
        sends(rule, any_group)?;
    }
    let kinds = kinds(rule);
    let stages: [(&str, &dyn Fn(Kind) -> bool); 3] = [
        ("no packet has such a sender and such a receiver", &|kind| {
            sides_fit(rule, kind, false)
        }),
        (
            "packets of these protocols have no such addresses or ports",
            &|kind| sides_fit(rule, kind, true) && protocols_fit(&rule.matches.protocols, kind),
        ),
        (
            "no packet that the rest of the rule matches meets these conditions",
            &|kind| {
                sides_fit(rule, kind, true)
                    && protocols_fit(&rule.matches.protocols, kind)
                    && rule
                        .matches
                        .conditions
                        .iter()
                        .all(|condition| outcome(condition, kind) != Some(false))
            },
        ),
    ];
    for (reason, fits) in stages {
        if !kinds.iter().any(|&kind| fits(kind)) {
            return Err(reason);
        }
    }
    Ok(())
}

/// Sends have a group, and a shortcut one of its own.
fn sends(rule: &Rule, any_group: bool) -> Result<(), &'static str> {
    if !any_group {
        return Err("no group is declared, so there are no sockets whose sends it could decide");
    }
    match (rule.action, &rule.matches.from) {
        (Action::Shortcut(within), Some(Side::Group(from))) if within != *from => {
            Err("the sender is in another group than the shortcut")
        }
        _ => Ok(()),
    }
}

/// The kinds of packets that reach the rule. Protocols that nothing names stand for all others of their like.
fn kinds(rule: &Rule) -> Vec<Kind> {
    let mut protocols = vec![6, 17, 132, 1, 58, 47];
    protocols.extend(rule.matches.protocols.iter().map(|named| named.number));
    if rule.direction == Direction::Send {
        protocols = vec![6];
    } else if rule.at == Some(Hook::SkLookup) {
        protocols = vec![6, 17];
    }
    let parts = match (rule.direction, rule.at) {
        (Direction::Send, _) | (_, Some(Hook::SkLookup)) => 0..=1,
        _ => 0..=2,
    };
    let mut kinds = Vec::new();
    for family in [Family::V4, Family::V6] {
        for &protocol in &protocols {
            for part in parts.clone() {
                kinds.push(Kind {
                    family,
                    protocol,
                    part,
                });
            }
        }
    }
    kinds
}

fn protocols_fit(protocols: &[ProtocolMatch], kind: Kind) -> bool {
    protocols.is_empty()
        || protocols.iter().any(|named| {
            named.family.is_none_or(|family| family == kind.family) && named.number == kind.protocol
        })
}

fn sides_fit(rule: &Rule, kind: Kind, look_at_ports: bool) -> bool {
    [&rule.matches.from, &rule.matches.to]
        .into_iter()
        .flatten()
        .all(|side| side_fits(side, kind, look_at_ports))
}

fn side_fits(side: &Side, kind: Kind, look_at_ports: bool) -> bool {
    let Side::Endpoints { negated, endpoints } = side else {
        return true;
    };
    if !negated {
        return endpoints.iter().any(|endpoint| {
            let ports_fit = !look_at_ports || endpoint.ports.is_none() || kind.has_ports();
            ports_fit && has_family(endpoint, kind.family)
        });
    }
    let names_ports = endpoints.iter().any(|endpoint| endpoint.ports.is_some());
    if look_at_ports && names_ports && !kind.has_ports() {
        return false;
    }
    // Only endpoints with every port take whole addresses away.
    let taken = endpoints
        .iter()
        .filter(|endpoint| endpoint.ports.as_ref().is_none_or(RangeSet::is_full));
    match kind.family {
        Family::V4 => !covers(taken.filter_map(|endpoint| Some(&endpoint.addresses.ranges()?.v4))),
        Family::V6 => !covers(taken.filter_map(|endpoint| Some(&endpoint.addresses.ranges()?.v6))),
    }
}

/// A set that is asked as one question may hold any address.
fn has_family(endpoint: &Endpoint, family: Family) -> bool {
    endpoint.addresses.ranges().is_none_or(|set| match family {
        Family::V4 => !set.v4.is_empty(),
        Family::V6 => !set.v6.is_empty(),
    })
}

/// Whether the sets together hold every value.
fn covers<'a, T: Bound + 'a>(sets: impl Iterator<Item = &'a RangeSet<T>>) -> bool {
    RangeSet::from_ranges(sets.flat_map(|set| set.ranges().iter().copied())).is_full()
}

/// What a condition says of every packet of a kind; `None` if that depends on the packet.
fn outcome(condition: &Condition, kind: Kind) -> Option<bool> {
    match condition {
        Condition::No(inner) => outcome(inner, kind).map(|holds| !holds),
        Condition::AnyOf(any) => {
            let outcomes: Vec<_> = any.iter().map(|inner| outcome(inner, kind)).collect();
            if outcomes.contains(&Some(true)) {
                Some(true)
            } else if outcomes.contains(&None) {
                None
            } else {
                Some(false)
            }
        }
        Condition::Socket { .. } | Condition::Entry { .. } => (!kind.has_socket()).then_some(false),
        Condition::SockAbsent(_)
        | Condition::Mark { .. }
        | Condition::Dscp(_)
        | Condition::Vlan(_) => None,
        Condition::Ttl { low, high } => (low > high || *low > 255).then_some(false),
        Condition::TcpFlags { set, clear } => {
            let impossible = set & clear != 0 || kind.protocol != 6 || kind.part == 2;
            impossible.then_some(false)
        }
        Condition::Fragment => Some(kind.part != 0),
        Condition::Length { low, high } => match (low > high, *low, *high) {
            (true, ..) => Some(false),
            (_, 0, u32::MAX) => Some(true),
            _ => None,
        },
    }
}
