//! When two matches surely share no packet, by protocols, interfaces, addresses and ports.
//!
//! The answer is certain when it is yes; no means "not seen this way". Not here: what conditions say, and which of many matches to ask
//! about (`candidates`).

use crate::policy::{Endpoint, Match, Policy, ProtocolMatch, Side};

/// Whether no packet is matched by both, by protocols, interfaces, addresses and ports alone.
pub(crate) fn disjoint(policy: &Policy, one: &Match, other: &Match) -> bool {
    protocols_disjoint(&one.protocols, &other.protocols)
        || interfaces_disjoint(one, other)
        || sides_disjoint(policy, one.to.as_ref(), other.to.as_ref())
        || sides_disjoint(policy, one.from.as_ref(), other.from.as_ref())
}

fn interfaces_disjoint(one: &Match, other: &Match) -> bool {
    let apart = |(one, other): (&Option<Vec<_>>, &Option<Vec<_>>)| match (one, other) {
        (Some(one), Some(other)) => !one.iter().any(|class| other.contains(class)),
        _ => false,
    };
    [(&one.on, &other.on), (&one.leaves, &other.leaves)]
        .into_iter()
        .any(apart)
}

fn protocols_disjoint(one: &[ProtocolMatch], other: &[ProtocolMatch]) -> bool {
    let meets = |left: &ProtocolMatch, right: &ProtocolMatch| {
        let families = left.family.zip(right.family);
        left.number == right.number && families.is_none_or(|(left, right)| left == right)
    };
    !one.is_empty()
        && !other.is_empty()
        && !one
            .iter()
            .any(|left| other.iter().any(|right| meets(left, right)))
}

fn sides_disjoint(policy: &Policy, one: Option<&Side>, other: Option<&Side>) -> bool {
    let (
        Some(Side::Endpoints {
            negated: false,
            endpoints: one,
        }),
        Some(Side::Endpoints {
            negated: false,
            endpoints: other,
        }),
    ) = (one, other)
    else {
        return false;
    };
    !one.iter().any(|left| {
        other
            .iter()
            .any(|right| !endpoints_disjoint(policy, left, right))
    })
}

fn endpoints_disjoint(policy: &Policy, one: &Endpoint, other: &Endpoint) -> bool {
    let ports = match (&one.ports, &other.ports) {
        (Some(one), Some(other)) => !one.meets(other),
        _ => false,
    };
    let addresses = || match (
        one.addresses.constant(policy),
        other.addresses.constant(policy),
    ) {
        (Some(one), Some(other)) => !one.v4.meets(&other.v4) && !one.v6.meets(&other.v6),
        _ => false,
    };
    ports || addresses()
}
