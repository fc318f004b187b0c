//! Matches as boxes of protocols, addresses and ports: when one surely holds another.
//!
//! The answer is certain when it is yes; no means "not seen this way". Not here: what conditions say, and when two share nothing (`apart`).

use crate::policy::{Addresses, Endpoint, IcmpMatch, Match, Policy, ProtocolMatch, Rule, Side};
use crate::ranges::{Bound, RangeSet};

/// Whether every packet that `inner` matches is one that `outer` matches, in every world.
pub(super) fn contains(policy: &Policy, outer: &Rule, inner: &Rule) -> bool {
    let limited = outer.rate.is_some() || outer.in_lookup() && !inner.in_lookup();
    let (wide, narrow) = (&outer.matches, &inner.matches);
    !limited
        && protocols_contain(&wide.protocols, &narrow.protocols)
        && side_contains(policy, wide.to.as_ref(), narrow.to.as_ref())
        && side_contains(policy, wide.from.as_ref(), narrow.from.as_ref())
        && interfaces_contain(wide, narrow)
        && wide
            .conditions
            .iter()
            .all(|condition| narrow.conditions.contains(condition))
}

fn interfaces_contain(wide: &Match, narrow: &Match) -> bool {
    let holds = |(wide, narrow): (&Option<Vec<_>>, &Option<Vec<_>>)| match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow.iter().all(|class| wide.contains(class)),
    };
    [(&wide.on, &narrow.on), (&wide.leaves, &narrow.leaves)]
        .into_iter()
        .all(holds)
}

fn protocols_contain(wide: &[ProtocolMatch], narrow: &[ProtocolMatch]) -> bool {
    let holds = |inner: &ProtocolMatch| wide.iter().any(|outer| protocol_contains(outer, inner));
    wide.is_empty() || !narrow.is_empty() && narrow.iter().all(holds)
}

fn protocol_contains(wide: &ProtocolMatch, narrow: &ProtocolMatch) -> bool {
    let type_holds = |inner: &IcmpMatch| {
        let holds = |outer: &IcmpMatch| {
            outer.kind == inner.kind && (outer.code.is_none() || outer.code == inner.code)
        };
        wide.icmp.iter().any(holds)
    };
    wide.number == narrow.number
        && (wide.family.is_none() || wide.family == narrow.family)
        && (wide.icmp.is_empty() || !narrow.icmp.is_empty() && narrow.icmp.iter().all(type_holds))
}

fn side_contains(policy: &Policy, wide: Option<&Side>, narrow: Option<&Side>) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(wide), Some(narrow)) if wide == narrow => true,
        (
            Some(Side::Endpoints {
                negated: false,
                endpoints: wide,
            }),
            narrow,
        ) => match narrow {
            Some(Side::Endpoints {
                negated: false,
                endpoints: narrow,
            }) => narrow.iter().all(|inner| {
                wide.iter()
                    .any(|outer| endpoint_contains(policy, outer, inner))
            }),
            _ => wide.iter().any(is_everything),
        },
        _ => false,
    }
}

fn is_everything(endpoint: &Endpoint) -> bool {
    let addresses = endpoint.addresses.ranges();
    endpoint.ports.is_none() && addresses.is_some_and(|set| set.v4.is_full() && set.v6.is_full())
}

fn endpoint_contains(policy: &Policy, wide: &Endpoint, narrow: &Endpoint) -> bool {
    let ports = match (&wide.ports, &narrow.ports) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => ranges_contain(wide, narrow),
    };
    ports && addresses_contain(policy, &wide.addresses, &narrow.addresses)
}

fn addresses_contain(policy: &Policy, wide: &Addresses, narrow: &Addresses) -> bool {
    if wide == narrow {
        return true;
    }
    match (wide.constant(policy), narrow.constant(policy)) {
        (Some(wide), Some(narrow)) => {
            ranges_contain(&wide.v4, &narrow.v4) && ranges_contain(&wide.v6, &narrow.v6)
        }
        // A live set may hold any address.
        (Some(wide), None) => wide.v4.is_full() && wide.v6.is_full(),
        (None, _) => false,
    }
}

/// Ranges do not touch, so that each range of a subset lies inside one of the other's.
fn ranges_contain<T: Bound>(wide: &RangeSet<T>, narrow: &RangeSet<T>) -> bool {
    let wide = wide.ranges();
    narrow.ranges().iter().all(|&(low, high)| {
        let at = wide.partition_point(|&(_, end)| end < low);
        wide.get(at)
            .is_some_and(|&(start, end)| start <= low && high <= end)
    })
}
