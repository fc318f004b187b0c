//! Why a packet gets its verdict: for each rule in turn, that it matches, or the first reason why it does not.
//!
//! Takes a policy, an event and a world; gives a [`Trace`] whose decision is that of the reference meaning. Reasons are
//! looked for in the order in which `decide` looks, so that a rule has a reason exactly if it does not match. Not here:
//! what the programs do, and printing.

mod reason;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use crate::decide::{Lookups, Seen, decide};
use crate::event::{Decider, Decision, Event, World};
use crate::policy::{Policy, RuleId};

/// The way of an event through its list.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The rules that were asked, in order, up to the one that decides.
    pub steps: Vec<Step>,
    /// What the reference meaning says.
    pub decision: Decision,
}

/// What one rule says of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule.
    pub rule: RuleId,
    /// Whether it matches.
    pub outcome: RuleAnswer,
    /// In what it does not fit, for a rule that does not match; who misses one thing only is near.
    pub misses: Vec<Miss>,
}

/// Whether a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleAnswer {
    /// It matches and decides.
    Decides,
    /// It matches, counts, and the list goes on.
    Counts,
    /// It does not match, for this reason: a clause of a sentence.
    No(String),
}

/// Asks every rule up to the one that decides.
///
/// The world is asked about the rules of the list once more than by [`decide`]; one that takes tokens of a rate has to
/// answer alike.
#[must_use]
pub fn explain(policy: &Policy, event: &Event, world: &dyn World) -> Trace {
    let decision = decide(policy, event, world);
    let steps = match seen(policy, event, world) {
        Some(seen) => steps(&seen, event, &decision),
        None => Vec::new(),
    };
    Trace { steps, decision }
}

/// Something in which a rule does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Miss {
    /// It is not asked here at all.
    Place,
    /// The protocol.
    Protocol,
    /// The sender, or the port there.
    Sender,
    /// The receiver, or the port there.
    Receiver,
    /// The interface.
    Interface,
    /// A condition.
    Condition,
    /// The rate.
    Rate,
}

/// What rules look at; `None` for what no rule is asked about.
fn seen<'a>(policy: &'a Policy, event: &'a Event, world: &'a dyn World) -> Option<Seen<'a>> {
    match event {
        Event::Packet { .. } | Event::Passing { .. } => {
            let classes = [event.on(), event.leaves()];
            let header = event.header()?;
            Some(Seen::new(policy, event.direction(), classes, header, world))
        }
        Event::Lookup { class, header } => Some(Seen::unconnected(policy, *class, header, world)),
        Event::Process {
            direction, header, ..
        } => Some(Seen::new(policy, *direction, [None; 2], header, world)),
    }
}

fn steps(seen: &Seen<'_>, event: &Event, decision: &Decision) -> Vec<Step> {
    let decider = match decision.decider {
        Decider::Rule(rule) => Some(rule),
        _ => None,
    };
    let asked = reason::Asked {
        seen,
        event,
        lookups: Lookups::of(seen.policy),
    };
    let mut steps = Vec::new();
    for (rule, data) in seen.policy.rules_of(seen.direction()) {
        let mut misses = Vec::new();
        let outcome = if Some(rule) == decider {
            RuleAnswer::Decides
        } else if decision.counted.contains(&rule) {
            RuleAnswer::Counts
        } else {
            misses = reason::misses(&asked, rule, data);
            RuleAnswer::No(reason::why_not(&asked, rule, data))
        };
        let decides = outcome == RuleAnswer::Decides;
        steps.push(Step {
            rule,
            outcome,
            misses,
        });
        if decides {
            break;
        }
    }
    steps
}
