//! Lines about interfaces that the policy is not on: only socket lookups meet what arrives there, and nobody what leaves, also of what passes through.
//!
//! Takes a line and the packets of it that no packet hook sees; gives a packet that breaks it. Not here: which interfaces
//! these are (`coverage`).

use super::region::{disjoint, malformed, with_constant_sets};
use super::{Broken, verdict};
use crate::decide::{Lookups, decide};
use crate::diagram::classify::{Scope, new_flow, rule_diagram};
use crate::diagram::plain::plainest;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::event::{Decider, Decision, SocketAnswer, Verdict};
use crate::packet::text::{Described, describe_case, describe_on, interface};
use crate::policy::{ClassId, Direction, Expect, Policy};
use crate::witness::Witness;

/// A packet of these, none of which a packet hook sees, that does not get what the line expects.
pub(super) fn breaks(
    policy: &Policy,
    expect: &Expect,
    store: &mut Store,
    packets: Node,
) -> Result<Option<Broken>, BudgetExceeded> {
    let looked_up = match expect.region.direction {
        Direction::In => new_flow(store)?,
        _ => Node::FALSE,
    };
    let asked = store.and(packets, looked_up)?;
    if let Some(witness) = wrong_lookup(policy, expect, store, asked)? {
        let described = witness.described(policy);
        return Ok(Some(Broken {
            packet: words(policy, expect, &described),
            decision: decide(policy, &witness.event, &witness),
            rate_exceeded: described.rate_exceeded,
        }));
    }
    if verdict::fulfils(expect.verdict, Verdict::Allow) {
        return Ok(None);
    }
    let unasked = store.not(looked_up)?;
    let unasked = store.and(packets, unasked)?;
    let Some(witness) = found(policy, expect, store, unasked, Witness::new)? else {
        return Ok(None);
    };
    let described = Described::plain(witness.event.clone(), witness.socket);
    Ok(Some(Broken {
        packet: words(policy, expect, &described),
        decision: nobody(),
        rate_exceeded: false,
    }))
}

/// A packet for which the lookup does not give what the line expects.
fn wrong_lookup(
    policy: &Policy,
    expect: &Expect,
    store: &mut Store,
    packets: Node,
) -> Result<Option<Witness>, BudgetExceeded> {
    let mut left = packets;
    let make = |values, _, _| Witness::of_lookup(values);
    let lookups = Lookups::of(policy);
    for (id, rule) in policy.rules_of(Direction::In) {
        if left == Node::FALSE {
            return Ok(None);
        }
        if !rule.action.decides() || !lookups.ask(id, rule) || disjoint(rule, expect) {
            continue;
        }
        let matched = rule_diagram(store, id, rule, Scope::default())?;
        let hit = store.and(left, matched)?;
        let wrong = verdict::wrong_lookup(store, policy, expect.verdict, rule, hit)?;
        if let Some(witness) = found(policy, expect, store, wrong, make)? {
            return Ok(Some(witness));
        }
        let others = store.not(matched)?;
        left = store.and(left, others)?;
    }
    if verdict::fulfils(expect.verdict, Verdict::Allow) {
        return Ok(None);
    }
    found(policy, expect, store, left, make)
}

fn found(
    policy: &Policy,
    expect: &Expect,
    store: &mut Store,
    packets: Node,
    make: impl Fn(crate::diagram::FieldValues, Direction, Option<crate::policy::GroupId>) -> Witness,
) -> Result<Option<Witness>, BudgetExceeded> {
    let real = with_constant_sets(store, policy, packets)?;
    let values = plainest(store, policy, real)?;
    Ok(values.map(|values| make(values, expect.region.direction, None)))
}

/// A malformed packet there, which nobody looks at.
pub(super) fn unseen_malformed(policy: &Policy, expect: &Expect, class: ClassId) -> Broken {
    let event = malformed(policy, &expect.region, class);
    let described = Described::plain(event, SocketAnswer::None);
    Broken {
        packet: words(policy, expect, &described),
        decision: nobody(),
        rate_exceeded: false,
    }
}

/// The packet in words, on the interface that the line names.
fn words(policy: &Policy, expect: &Expect, described: &Described) -> String {
    let named = expect.region.outside.as_ref();
    let packet = match named {
        Some(name) => {
            let on = interface::named(policy, &described.event, name);
            describe_on(policy, described, Some(on), None)
        }
        None => describe_case(policy, described),
    };
    packet.unwrap_or_default()
}

/// What becomes of what no program of the policy meets.
fn nobody() -> Decision {
    Decision {
        verdict: Verdict::Allow,
        decider: Decider::Unmatched,
        counted: Vec::new(),
        mark: None,
        member: None,
    }
}
