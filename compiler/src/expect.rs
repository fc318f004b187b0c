//! Whether the `expect` lines of a policy hold, for every packet they cover.
//!
//! Takes a policy; walks its list with the region of each line as a diagram, so that only rules which meet the region
//! cost anything. What is not said is free: other fields, sockets, live sets, rates; named sockets are there unless the
//! line says that they are not. A redirect stands for the connections that it does not move, too: of those a line may
//! say `redirect` or `allow`. A packet that breaks a line is asked of the reference meaning before it is shown. Not
//! here: how the line was written.

mod command;
mod outside;
pub(crate) mod region;
#[cfg(test)]
mod tests;
mod verdict;

use sockc_grammar::diagnostic::Diagnostic;

use crate::coverage::Coverage;
use crate::decide::decide;
use crate::diagram::classify::{Scope, rule_diagram};
use crate::diagram::plain::plainest;
use crate::diagram::{BudgetExceeded, Node, Store};
use crate::event::{Decider, Decision, SocketAnswer, Verdict};
use crate::packet::text::{Described, describe_case};
use crate::passage::Marking;
use crate::policy::{Expect, GroupId, Policy, Rule, SourceLocation};
use crate::witness::Witness;

pub(crate) use command::Whereabouts;

sockc_grammar::codes! {
    BROKEN = "E0501", "an `expect` line that does not hold";
    EMPTY = "E0502", "an `expect` line that speaks of no packet";
}

/// How an `expect` line stands.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// It holds for every packet it covers.
    Holds,
    /// No packet can break it, since it covers none.
    Empty,
    /// A packet breaks it.
    Broken(Broken),
}

/// A packet that breaks an `expect` line.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    /// The packet in the words that `explain` takes.
    pub packet: String,
    /// What the reference meaning says of it.
    pub decision: Decision,
    /// Whether it gets that only while rates are exceeded.
    pub rate_exceeded: bool,
}

/// What is wrong with the `expect` lines, in order.
pub(crate) fn check(
    policy: &Policy,
    place: Whereabouts<'_>,
    store: &mut Store,
) -> Result<Vec<Diagnostic>, BudgetExceeded> {
    let mut found = Vec::new();
    for expect in &policy.expects {
        match standing(policy, expect, store)? {
            Standing::Holds => {}
            Standing::Empty => found.push(empty(expect)),
            Standing::Broken(broken) => found.push(told(policy, expect, &broken, place)),
        }
    }
    Ok(found)
}

/// How a line stands.
pub(crate) fn standing(
    policy: &Policy,
    expect: &Expect,
    store: &mut Store,
) -> Result<Standing, BudgetExceeded> {
    if expect.region.malformed {
        return Ok(malformed(policy, expect));
    }
    let mut covered = false;
    let coverage = Coverage::of(policy);
    let marking = Marking::of(store, policy, expect.region.direction)?;
    for group in groups(policy, expect) {
        let whole = region::region(store, policy, &expect.region, group)?;
        covered |= whole != Node::FALSE;
        let within = match &expect.region.outside {
            Some(_) => Node::FALSE,
            None => region::covered(store, policy, expect.region.direction, &coverage)?,
        };
        let region = store.and(whole, within)?;
        let direction = expect.region.direction;
        let named = expect.region.matches.held_on(direction).is_some();
        if named && !direction.of_processes() {
            let beyond = store.not(within)?;
            let beyond = store.and(whole, beyond)?;
            if let Some(broken) = outside::breaks(policy, expect, store, beyond)? {
                return Ok(Standing::Broken(broken));
            }
        }
        let mut walk = Walk {
            policy,
            expect,
            group,
            marking: &marking,
            store,
        };
        if let Some(witness) = walk.breaks(region)? {
            let decision = witness.decide(policy);
            let described = witness.described(policy);
            let packet = describe_case(policy, &described);
            return Ok(Standing::Broken(Broken {
                packet: packet.unwrap_or_default(),
                decision,
                rate_exceeded: described.rate_exceeded,
            }));
        }
    }
    Ok(if covered {
        Standing::Holds
    } else {
        Standing::Empty
    })
}

/// The groups whose writes a line speaks of; for packets, one that is none.
fn groups(policy: &Policy, expect: &Expect) -> Vec<Option<GroupId>> {
    match (expect.region.direction.of_processes(), expect.region.group) {
        (true, None) => policy.groups.keys().map(Some).collect(),
        (_, group) => vec![group],
    }
}

/// Malformed packets all get the same; on interfaces that the policy is not on nobody looks at them.
fn malformed(policy: &Policy, expect: &Expect) -> Standing {
    let coverage = Coverage::of(policy);
    let classes = region::classes(&expect.region);
    let named = expect.region.outside.is_some();
    if let Some(beyond) = classes
        .iter()
        .find(|class| named || !coverage.covers(**class))
        && !verdict::fulfils(expect.verdict, Verdict::Allow)
    {
        return Standing::Broken(outside::unseen_malformed(policy, expect, *beyond));
    }
    if named || !classes.is_empty() && !classes.iter().any(|class| coverage.covers(*class)) {
        return Standing::Holds;
    }
    let event = {
        let first = classes.first().copied();
        region::malformed(
            policy,
            &expect.region,
            first.unwrap_or(Policy::plain_class()),
        )
    };
    let nothing = Witness::new(Default::default(), expect.region.direction, None);
    let decision = decide(policy, &event, &nothing);
    let packet = describe_case(policy, &Described::plain(event, SocketAnswer::None));
    if verdict::fulfils(expect.verdict, decision.verdict) {
        return Standing::Holds;
    }
    Standing::Broken(Broken {
        packet: packet.unwrap_or_default(),
        decision,
        rate_exceeded: false,
    })
}

/// One line's way through the list.
struct Walk<'a> {
    policy: &'a Policy,
    expect: &'a Expect,
    group: Option<GroupId>,
    /// What the list of `in` does to the marks of what passes through: a line tells those with which packets arrive.
    marking: &'a Marking,
    store: &'a mut Store,
}

impl Walk<'_> {
    /// A packet of the region that does not get the verdict.
    fn breaks(&mut self, region: Node) -> Result<Option<Witness>, BudgetExceeded> {
        let mut left = region;
        let rules = self.policy.rules_of(self.expect.region.direction);
        for (id, rule) in rules {
            if left == Node::FALSE {
                return Ok(None);
            }
            if !rule.action.decides() || !self.concerns(rule) || region::disjoint(rule, self.expect)
            {
                continue;
            }
            let scope = Scope { group: self.group };
            let matched = rule_diagram(self.store, id, rule, scope)?;
            let matched = self.marking.arriving(self.store, matched)?;
            let hit = self.store.and(left, matched)?;
            if hit == Node::FALSE {
                continue;
            }
            let wrong = verdict::wrong(self.store, self.policy, self.expect.verdict, rule, hit)?;
            if let Some(witness) = self.witness(wrong)? {
                return Ok(Some(witness));
            }
            let others = self.store.not(matched)?;
            left = self.store.and(left, others)?;
        }
        let direction = self.expect.region.direction;
        let default = self.policy.default_of(direction).map(|line| line.verdict);
        if verdict::fulfils(
            self.expect.verdict,
            default.map_or(Verdict::Allow, Verdict::from),
        ) {
            return Ok(None);
        }
        self.witness(left)
    }

    fn concerns(&self, rule: &Rule) -> bool {
        self.group.is_none_or(|group| rule.is_for(group))
    }

    /// A packet of these, if there is one once the constant sets hold what they hold.
    fn witness(&mut self, packets: Node) -> Result<Option<Witness>, BudgetExceeded> {
        let real = region::with_constant_sets(self.store, self.policy, packets)?;
        let values = plainest(self.store, self.policy, real)?;
        Ok(values.map(|values| Witness::new(values, self.expect.region.direction, self.group)))
    }
}

fn told(policy: &Policy, expect: &Expect, broken: &Broken, place: Whereabouts<'_>) -> Diagnostic {
    let (packet, verdict) = (place.packet(&broken.packet), broken.verdict(policy));
    let message = format!("this is not so: {packet} gets {verdict}");
    broken.shown(
        Diagnostic::error(BROKEN, message, expect.place.span, expected(policy, expect)),
        policy,
        expect,
        place,
    )
}

/// What a line expects, in words.
pub(crate) fn expected(policy: &Policy, expect: &Expect) -> String {
    format!("expected {}", verdict::expected(policy, expect.verdict))
}

impl Broken {
    /// What the packet gets, in words.
    #[must_use]
    pub(crate) fn verdict(&self, policy: &Policy) -> String {
        verdict::words(policy, self.decision.verdict)
    }

    /// The line that decides the packet, and what it is; `None` if no line does.
    #[must_use]
    pub(crate) fn decider<'a>(
        &self,
        policy: &'a Policy,
        expect: &Expect,
    ) -> Option<(&'a SourceLocation, &'static str)> {
        match self.decision.decider {
            Decider::Rule(id) => Some((&policy.rules[id].place, "this rule decides")),
            Decider::Default | Decider::Malformed => {
                let line = policy.default_of(expect.region.direction)?;
                Some((&line.place, "the default decides"))
            }
            Decider::NotIp | Decider::Unmatched => None,
        }
    }

    /// The message with who decides, and how to see why.
    pub(crate) fn shown(
        &self,
        error: Diagnostic,
        policy: &Policy,
        expect: &Expect,
        place: Whereabouts<'_>,
    ) -> Diagnostic {
        let verdict = self.verdict(policy);
        let error = error
            .fact("packet", place.packet(&self.packet))
            .fact("verdict", verdict.trim_matches('`'));
        let error = match self.decider(policy, expect) {
            Some((place, what)) => error
                .also(place.span, what)
                .fact("rule", &*place.text)
                .fact("rule_file", &*place.file)
                .fact("rule_line", place.line.to_string()),
            None => error,
        };
        let explain = place.explain(&place.packet(&self.packet));
        let rate = if self.rate_exceeded {
            "; a rate decides here: a line that ends in `with no rate exceeded` speaks of packets that fit"
        } else {
            ""
        };
        error.help(format!("see why: `{explain}`{rate}"))
    }
}

pub(crate) fn empty(expect: &Expect) -> Diagnostic {
    Diagnostic::error(
        EMPTY,
        "this line speaks of no packet",
        expect.place.span,
        "no packet has all of this",
    )
    .help("correct the line: as it is, it proves nothing")
}
