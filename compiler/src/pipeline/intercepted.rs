//! What redirects `at tc` need of the machine: a mark that leads to a table, and sockets that answer for anybody.
//!
//! Takes a policy; gives addresses by which a runtime can ask whether the routes are so, of each family that such a rule is about.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cranelift_entity::EntityRef;

use crate::artifact::InterceptPlan;
use crate::policy::{Action, Addresses, Family, INTERCEPTED, Policy, Rule, Side, SocketId};

/// So many ranges of a rule are asked about, for each family.
const RANGES: usize = 8;

/// What stands for every address of a family: one that is for documents, and no machine's.
const ANYBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 77)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77)),
];

/// The plan; `None` for a policy without such redirects.
pub(super) fn plan(policy: &Policy) -> Option<InterceptPlan> {
    let mut sockets = BTreeSet::new();
    let mut samples = BTreeSet::new();
    let mut classes = Some(BTreeSet::new());
    for rule in policy.rules.values() {
        let Action::Intercept(socket) = rule.action else {
            continue;
        };
        sockets.insert(socket);
        classes = classes.zip(rule.matches.on.as_ref()).map(|(mut all, on)| {
            all.extend(on.iter().map(|class| class.index()));
            all
        });
        for family in [Family::V4, Family::V6] {
            if takes(policy, rule, socket, family) {
                samples.extend(receivers(rule, family));
            }
        }
    }
    (!sockets.is_empty()).then(|| InterceptPlan {
        mark: INTERCEPTED,
        table: INTERCEPTED,
        samples: samples.into_iter().collect(),
        sockets: sockets
            .into_iter()
            .map(|socket| policy.sockets[socket].name.clone())
            .collect(),
        classes: classes.map(|classes| classes.into_iter().collect()),
    })
}

/// Whether a rule hands packets of a family to its socket.
fn takes(policy: &Policy, rule: &Rule, socket: SocketId, family: Family) -> bool {
    let protocols = &rule.matches.protocols;
    let mut held = protocols
        .iter()
        .filter(|one| policy.sockets[socket].may_hold(family, one.number));
    held.next().is_some() && sides(rule).all(|side| !addresses(side, family).is_empty())
}

fn sides(rule: &Rule) -> impl Iterator<Item = Option<&Side>> {
    [rule.matches.from.as_ref(), rule.matches.to.as_ref()].into_iter()
}

/// Addresses in the ranges of receivers that a rule is for.
fn receivers(rule: &Rule, family: Family) -> Vec<IpAddr> {
    addresses(rule.matches.to.as_ref(), family)
}

/// An address of a family in each range of a side, the middle one; what stands for all where a side is for every address, or does
/// not say which.
fn addresses(side: Option<&Side>, family: Family) -> Vec<IpAddr> {
    let anybody = ANYBODY[family as usize];
    let Some(Side::Endpoints {
        negated: false,
        endpoints,
    }) = side
    else {
        return vec![anybody];
    };
    let mut found = Vec::new();
    for endpoint in endpoints {
        let Addresses::Ranges(set) = &endpoint.addresses else {
            found.push(anybody);
            continue;
        };
        match family {
            Family::V4 if set.v4.is_full() => found.push(anybody),
            Family::V6 if set.v6.is_full() => found.push(anybody),
            Family::V4 => {
                let ranges = set.v4.ranges().iter().take(RANGES);
                let middles = ranges.map(|(low, high)| low.midpoint(*high));
                found.extend(middles.map(|one| IpAddr::V4(Ipv4Addr::from_bits(one))));
            }
            Family::V6 => {
                let ranges = set.v6.ranges().iter().take(RANGES);
                let middles = ranges.map(|(low, high)| low.midpoint(*high));
                found.extend(middles.map(|one| IpAddr::V6(Ipv6Addr::from_bits(one))));
            }
        }
    }
    found
}
