//! Whether a rule can match anything at all, or names things that no packet has together.
//!
//! Looks at the few kinds of packets that rules tell apart, not at packets: a rule that passes here may still be
//! contradictory in ways that only the decision structure sees.

use crate::event::Fragment;
use crate::header_field::{Exists, HeaderField, Row, row};
use crate::hook::Hook;
use crate::packet::shortest_length;
use crate::policy::{
    Action, Condition, Endpoint, Family, FieldTest, Policy, ProtocolMatch, RateUnit, Rule, Side,
};
use crate::protocol::IpProtocol;
use crate::ranges::{Bound, RangeSet};

/// A kind of packet.
#[derive(Clone, Copy)]
struct Kind {
    family: Family,
    protocol: IpProtocol,
    fragment: Fragment,
}

impl Kind {
    fn has_ports(self) -> bool {
        self.protocol.has_ports() && self.fragment != Fragment::Later
    }

    fn has_flags(self) -> bool {
        self.protocol == IpProtocol::TCP && self.fragment != Fragment::Later
    }

    /// The first and the last value of a field that packets of this kind have.
    fn values(self, row: &Row) -> (u64, u64) {
        match row.field {
            HeaderField::Length => {
                let shortest = shortest_length(self.family, self.protocol, self.fragment);
                (shortest.into(), row.max)
            }
            HeaderField::Fragment => {
                let fragment = self.fragment as u64;
                (fragment, fragment)
            }
            _ => (0, row.max),
        }
    }

    fn has_socket(self) -> bool {
        self.protocol.has_socket() && self.fragment != Fragment::Later
    }
}

/// Whether anything can match the rule; the error says why nothing can. `any_group`: whether a group is declared.
pub(super) fn can_match(rule: &Rule, policy: &Policy, any_group: bool) -> Result<(), &'static str> {
    if let Some(deed) = rule.direction.deed() {
        in_group(rule, any_group.then_some(()).ok_or(deed.idle))?;
    }
    let named = [&rule.matches.on, &rule.matches.leaves];
    if named.into_iter().flatten().any(Vec::is_empty) {
        return Err("no interface that is in one zone at most can have such a name");
    }
    if !rule.matches.leads_through(policy) {
        return Err("what goes back out of the interface by which it came does not pass through");
    }
    let kinds = kinds(rule);
    let fits =
        |kind: Kind| sides_fit(rule, kind, true) && protocols_fit(&rule.matches.protocols, kind);
    let meets = |kind: Kind| {
        let mut outcomes = rule.matches.conditions.iter();
        fits(kind) && outcomes.all(|one| outcome(one, kind, policy) != Some(false))
    };
    let stages: [(&str, &dyn Fn(Kind) -> bool); 4] = [
        ("no packet has such a sender and such a receiver", &|kind| {
            sides_fit(rule, kind, false)
        }),
        (
            "packets of these protocols have no such addresses or ports",
            &fits,
        ),
        (
            "no packet that the rest of the rule matches meets these conditions",
            &meets,
        ),
        (
            "no packet that the rest of the rule matches begins a connection, and others always fit",
            &|kind| meets(kind) && may_exceed(rule, kind),
        ),
    ];
    for (reason, fits) in stages {
        if !kinds.iter().any(|&kind| fits(kind)) {
            return Err(reason);
        }
    }
    Ok(())
}

/// Whether packets of a kind take tokens, where the rule wants those that find none left.
fn may_exceed(rule: &Rule, kind: Kind) -> bool {
    rule.rate
        .as_ref()
        .is_none_or(|rate| !rate.above || rate.unit != RateUnit::Connections || kind.has_socket())
}

/// What processes do has a group, and a shortcut one of its own.
fn in_group(rule: &Rule, any_group: Result<(), &'static str>) -> Result<(), &'static str> {
    any_group?;
    match (rule.action, &rule.matches.from) {
        (Action::Shortcut(near), Some(Side::Group(from))) if near.from != *from => {
            Err("the sender is in another group than the shortcut")
        }
        _ => Ok(()),
    }
}

/// The kinds of packets that reach the rule. Protocols that nothing names stand for all others of their like.
fn kinds(rule: &Rule) -> Vec<Kind> {
    let named = rule.matches.protocols.len();
    let mut protocols = Vec::with_capacity(IpProtocol::WITH_PORTS.len() + 3 + named);
    protocols.extend(IpProtocol::WITH_PORTS);
    protocols.extend([IpProtocol::ICMP, IpProtocol::ICMP6, IpProtocol::GRE]);
    protocols.extend(rule.matches.protocols.iter().map(|named| named.number));
    let only = Hook::protocols(rule.direction);
    if !only.is_empty() {
        protocols = only.to_vec();
    } else if rule.in_lookup() {
        protocols = IpProtocol::WITH_SOCKETS.to_vec();
    }
    let parts = match rule.direction.of_processes() || rule.in_lookup() {
        true => &[Fragment::Whole, Fragment::First][..],
        false => &[Fragment::Whole, Fragment::First, Fragment::Later],
    };
    let mut kinds = Vec::with_capacity(2 * protocols.len() * parts.len());
    for family in [Family::V4, Family::V6] {
        for &protocol in &protocols {
            for &fragment in parts {
                kinds.push(Kind {
                    family,
                    protocol,
                    fragment,
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
fn outcome(condition: &Condition, kind: Kind, policy: &Policy) -> Option<bool> {
    match condition {
        Condition::No(inner) => outcome(inner, kind, policy).map(|holds| !holds),
        Condition::AnyOf(any) => {
            let outcomes: Vec<_> = any.iter().map(|one| outcome(one, kind, policy)).collect();
            if outcomes.contains(&Some(true)) {
                Some(true)
            } else if outcomes.contains(&None) {
                None
            } else {
                Some(false)
            }
        }
        Condition::Socket { .. } | Condition::Entry { .. } => (!kind.has_socket()).then_some(false),
        Condition::SockAbsent(socket) => {
            let may_be_there = policy.sockets[*socket].may_hold(kind.family, kind.protocol);
            (!may_be_there).then_some(true)
        }
        Condition::Header { field, test } => field_outcome(row(*field), *test, kind),
        Condition::FirstMatch(_) => None,
    }
}

fn field_outcome(row: &Row, test: FieldTest, kind: Kind) -> Option<bool> {
    if row.exists == Exists::InTcp && !kind.has_flags() {
        return Some(false);
    }
    let every = match test {
        FieldTest::Range { low, high } => {
            let (first, last) = kind.values(row);
            within(low, high, first, last)
        }
        FieldTest::Masked { wanted, mask } if wanted & !mask != 0 => Some(false),
        FieldTest::Masked { mask: 0, .. } => Some(true),
        FieldTest::Masked { .. } => None,
    };
    match row.exists {
        // Some packets do not have it, whatever the value of others.
        Exists::Optional => every.filter(|holds| !holds),
        Exists::Always | Exists::InTcp => every,
    }
}

/// Whether values from `first` to `last` all lie in a range, or none; `None` if some do.
fn within(low: u64, high: u64, first: u64, last: u64) -> Option<bool> {
    if low > high || high < first || low > last {
        Some(false)
    } else if low <= first && last <= high {
        Some(true)
    } else {
        None
    }
}
