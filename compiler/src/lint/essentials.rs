//! Defaults that keep out what IP itself needs: neighbour discovery, and the errors of path MTU discovery.
//!
//! Decided on what the rules allow, not on how they say it. A family that nothing is allowed of needs nothing. Not here:
//! whether what is allowed is enough.

use sockc_grammar::diagnostic::{Code, Diagnostic};

use super::{NO_NEIGHBOURS, NO_PATH_MTU};
use crate::diagram::classify::{Scope, match_diagram};
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::field::Field;
use crate::packet::text::class_of;
use crate::policy::{
    Action, AddressSet, ClassId, Default, DefaultVerdict, Direction, Endpoint, Family, IcmpMatch,
    Match, Policy, ProtocolMatch, Rule, Side,
};
use crate::protocol::IpProtocol;
use crate::ranges::RangeSet;

/// Nodes for all of these questions; each is about one rule.
const BUDGET: usize = 200_000;

/// What must be let in: some packet of each of these.
struct Need {
    code: Code,
    family: Family,
    /// Type and code.
    kinds: &'static [(u8, Option<u8>)],
    what: &'static str,
    without: &'static str,
    write: &'static str,
}

const NEEDS: [Need; 3] = [
    Need {
        code: NO_NEIGHBOURS,
        family: Family::V6,
        kinds: &[(135, None), (136, None)],
        what: "this default keeps IPv6 neighbour discovery out",
        without: "no rule allows it, and without it no IPv6 packet finds this machine",
        write: "`allow icmp6 { neighbour-solicit, neighbour-advert }`",
    },
    Need {
        code: NO_PATH_MTU,
        family: Family::V4,
        kinds: &[(3, Some(4))],
        what: "this default keeps path MTU errors of IPv4 out",
        without: "no rule allows them, and without them connections over smaller links hang",
        write: "`allow icmp fragmentation-needed`",
    },
    Need {
        code: NO_PATH_MTU,
        family: Family::V6,
        kinds: &[(2, None)],
        what: "this default keeps path MTU errors of IPv6 out",
        without: "no rule allows them, and without them connections over smaller links hang",
        write: "`allow icmp6 packet-too-big`",
    },
];

/// Reports what the default of `in` keeps out.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    let Some(default) = policy.default_of(Direction::In) else {
        return;
    };
    if default.verdict == DefaultVerdict::Allow {
        return;
    }
    let loopback = class_of(policy, "lo");
    let mut asked = Asked {
        policy,
        loopback: Some(loopback).filter(|class| policy.is_one_interface(*class)),
        store: Store::with(BUDGET, &Field::of(policy)),
    };
    for need in &NEEDS {
        // Over the budget nothing is said.
        if asked.lacks(need) == Ok(true) {
            found.push(report(default, need));
        }
    }
}

struct Asked<'a> {
    policy: &'a Policy,
    /// The class of `lo`, if no other interface is in it.
    loopback: Option<ClassId>,
    store: Store,
}

impl Asked<'_> {
    /// Whether something of the family is allowed, and one of the kinds is not.
    fn lacks(&mut self, need: &Need) -> Result<bool, BudgetExceeded> {
        if !self.allows(&of_family(need.family))? {
            return Ok(false);
        }
        for &(kind, code) in need.kinds {
            let protocol = ProtocolMatch {
                family: Some(need.family),
                number: need.family.icmp(),
                icmp: vec![IcmpMatch { kind, code }],
            };
            let wanted = Match {
                protocols: vec![protocol],
                ..Match::default()
            };
            if !self.allows(&wanted)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a rule lets some packet of these through, whatever stands ahead of it.
    fn allows(&mut self, wanted: &Match) -> Result<bool, BudgetExceeded> {
        let node = match_diagram(&mut self.store, wanted, Scope::default())?;
        let policy = self.policy;
        for (_, rule) in policy.rules_of(Direction::In) {
            let lets = matches!(
                rule.action,
                Action::Allow | Action::Redirect(_) | Action::Intercept(_) | Action::Forward(_)
            );
            if !lets || self.is_of_loopback(rule) || !may_meet(rule, wanted) {
                continue;
            }
            let matched = match_diagram(&mut self.store, &rule.matches, Scope::default())?;
            if self.store.and(node, matched)? != Node::FALSE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a rule is about `lo` alone, by which nothing of this comes.
    fn is_of_loopback(&self, rule: &Rule) -> bool {
        let on = rule.matches.on.as_deref();
        self.loopback.is_some_and(|lo| on == Some(&[lo]))
    }
}

/// Every packet of a family.
fn of_family(family: Family) -> Match {
    let mut addresses = AddressSet::default();
    match family {
        Family::V4 => addresses.v4 = RangeSet::full(),
        Family::V6 => addresses.v6 = RangeSet::full(),
    }
    Match {
        to: Some(Side::Endpoints {
            negated: false,
            endpoints: vec![Endpoint {
                addresses: addresses.into(),
                ports: None,
            }],
        }),
        ..Match::default()
    }
}

/// Whether the protocols leave it open that both match something: most rules are for others.
fn may_meet(rule: &Rule, wanted: &Match) -> bool {
    let (ours, theirs) = (&rule.matches.protocols, &wanted.protocols);
    let named = |number: IpProtocol| theirs.iter().any(|one| one.number == number);
    ours.is_empty() || theirs.is_empty() || ours.iter().any(|one| named(one.number))
}

fn report(default: &Default, need: &Need) -> Diagnostic {
    Diagnostic::warning(need.code, need.what, default.place.span, need.without)
        .help(format!("write {}, or `include <essentials>`", need.write))
}
