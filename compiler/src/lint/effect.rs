//! Rules that change nothing: without them, every packet that they match would get the same verdict.
//!
//! Only plain rules are looked at, which do nothing beside deciding. What they take from others must not change what
//! those count, log or meter, except by label. Not here: rules that are never reached.

use std::collections::BTreeSet;

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::SourceId;

use super::NO_EFFECT;
use super::boxes::{contains, disjoint};
use super::list::List;
use super::reach::CORNERS;
use super::sample::Sample;
use crate::diagram::{BudgetExceeded, Node};
use crate::policy::{Action, DefaultVerdict, Direction, Policy, Rule, RuleId};

/// Steps for one list, of which a comparison of two rules takes one: some hundredths of a second.
const BUDGET: usize = 1_500_000;

/// Steps that the corners of a rule take.
const CORNERS_COST: usize = 10;

/// Steps that the search for a packet of two rules takes.
const SHARED_COST: usize = 50;

/// So many rules behind one may stay undecided for the diagrams to be drawn.
const MOST_UNDECIDED: usize = 64;

/// Who gives a rule's packets the same verdict behind it.
#[derive(Clone, Copy)]
enum Same {
    /// One rule.
    Rule(RuleId),
    /// Several rules, or rules and the default.
    Several,
    /// The default.
    Default,
}

/// Reports the rules of a list that change nothing; those of included files may do so elsewhere.
pub(super) fn check(
    list: &mut List<'_>,
    own: SourceId,
    unreachable: &BTreeSet<RuleId>,
    found: &mut Vec<Diagnostic>,
) {
    if list.direction == Direction::Send {
        return;
    }
    let default = default_action(list.policy, list.direction);
    let mut left = BUDGET;
    let rules = list.rules.clone();
    for (at, &(id, rule)) in rules.iter().enumerate() {
        if rule.place.span.source != own
            || !is_plain(rule)
            || unreachable.contains(&id)
            || list.in_lookups(id, rule)
        {
            continue;
        }
        let behind = Behind {
            own: [(id, rule)],
            rules: &rules[at + 1..],
            default,
            unreachable,
        };
        if let Some(same) = behind.same(list, &mut left) {
            found.push(report(list.policy, rule, same));
        }
    }
}

/// What the default does, unless it does something beside.
fn default_action(policy: &Policy, direction: Direction) -> Option<Action> {
    let Some(line) = policy.default_of(direction) else {
        return Some(Action::Allow);
    };
    let action = match line.verdict {
        DefaultVerdict::Allow => Action::Allow,
        DefaultVerdict::Drop => Action::Drop,
        DefaultVerdict::Reject => Action::Reject,
    };
    line.log.is_none().then_some(action)
}

/// Whether a rule decides and does nothing else that anybody asked for.
fn is_plain(rule: &Rule) -> bool {
    matches!(rule.action, Action::Allow | Action::Drop | Action::Reject)
        && rule.label.is_none()
        && rule.log.is_none()
        && rule.mark.is_none()
        && rule.note.is_none()
        && rule.rate.is_none()
        && rule.at.is_none()
}

/// A rule, and what stands behind it.
struct Behind<'a> {
    own: [(RuleId, &'a Rule); 1],
    rules: &'a [(RuleId, &'a Rule)],
    default: Option<Action>,
    unreachable: &'a BTreeSet<RuleId>,
}

impl Behind<'_> {
    /// Who does what the rule does; nothing if somebody does otherwise, or if that cannot be told.
    fn same(&self, list: &mut List<'_>, left: &mut usize) -> Option<Same> {
        let (_, rule) = self.own[0];
        *left = left.checked_sub(CORNERS_COST)?;
        if self.default != Some(rule.action) && self.corner_differs(list) {
            return None;
        }
        let mut container = None;
        let mut undecided = Vec::new();
        for &(id, other) in self.rules {
            *left = left.checked_sub(1)?;
            if self.idle(id, other) || disjoint(list.policy, &rule.matches, &other.matches) {
                continue;
            }
            if !self.agrees(other) {
                *left = left.checked_sub(SHARED_COST)?;
                if self.shared(list, id, other) {
                    return None;
                }
            } else if contains(list.policy, other, rule) {
                container = Some(id);
                break;
            }
            if undecided.len() == MOST_UNDECIDED {
                return None;
            }
            undecided.push((id, other));
        }
        let differs = undecided.iter().any(|(_, other)| !self.agrees(other));
        match (container, differs) {
            // A rule that matches nothing has been reported as such.
            (_, false) if !self.matches_some(list) => None,
            (Some(id), false) => Some(Same::Rule(id)),
            (None, false) if self.default == Some(rule.action) => Some(Same::Default),
            (None, false) if undecided.is_empty() => None,
            (end, _) => self
                .drawn(list, &undecided, end)
                .ok()?
                .then_some(Same::Several),
        }
    }

    /// Whether a rule behind this one does the same and is never reached: it is not what takes this one's place.
    fn idle(&self, id: RuleId, other: &Rule) -> bool {
        self.unreachable.contains(&id) && self.agrees(other)
    }

    /// Whether the rule matches some packet, as far as corners show.
    fn matches_some(&self, list: &List<'_>) -> bool {
        (0..CORNERS).any(|variant| Sample::of(list.policy, &self.own, variant).is_some())
    }

    /// Whether a corner of the rule gets another verdict behind it.
    fn corner_differs(&self, list: &List<'_>) -> bool {
        (0..CORNERS).any(|variant| {
            let Some(sample) = Sample::of(list.policy, &self.own, variant) else {
                return false;
            };
            let (id, _) = self.own[0];
            let behind = list
                .deciders(&sample, None)
                .filter(|other| *other > id && !self.idle(*other, &list.policy.rules[*other]));
            match behind.min() {
                Some(first) => !self.agrees(&list.policy.rules[first]),
                None => true,
            }
        })
    }

    /// Whether a rule behind this one does the same and nothing that this one's packets would change.
    fn agrees(&self, other: &Rule) -> bool {
        other.action == self.own[0].1.action
            && other.log.is_none()
            && other.mark.is_none()
            && other.rate.is_none()
    }

    /// Whether some packet of this rule is the other's, as far as corners show, and none before takes it.
    fn shared(&self, list: &List<'_>, id: RuleId, other: &Rule) -> bool {
        let (own, rule) = self.own[0];
        let both = [(own, rule), (id, other)];
        (0..CORNERS).any(|variant| {
            Sample::of(list.policy, &both, variant).is_some_and(|sample| {
                let mut between = list.deciders(&sample, None);
                !between.any(|third| own < third && third < id)
            })
        })
    }

    /// The same by diagrams, for the rules behind that may share packets with this one; `end` takes all that is left.
    fn drawn(
        &self,
        list: &mut List<'_>,
        others: &[(RuleId, &Rule)],
        end: Option<RuleId>,
    ) -> Result<bool, BudgetExceeded> {
        let (id, rule) = self.own[0];
        let own = list.diagram(id, None)?;
        let possible = list.possible()?;
        let mut left = list.both(own, possible)?;
        if left == Node::FALSE {
            return Ok(false);
        }
        for (other, data) in others {
            let matched = list.diagram(*other, None)?;
            if self.agrees(data) {
                left = list.without(left, matched)?;
            } else if list.both(left, matched)? != Node::FALSE {
                return Ok(false);
            }
        }
        Ok(left == Node::FALSE || end.is_some() || self.default == Some(rule.action))
    }
}

fn report(policy: &Policy, rule: &Rule, same: Same) -> Diagnostic {
    let warning = |label: &str| {
        let title = "without this rule, nothing would be decided otherwise";
        Diagnostic::warning(NO_EFFECT, title, rule.place.span, label)
    };
    let warning = match same {
        Same::Rule(id) => {
            warning("a rule behind it does the same").also(policy.rules[id].place.span, "this one")
        }
        Same::Several => warning("what stands behind it does the same"),
        Same::Default => match policy.default_of(rule.direction) {
            Some(line) => warning("the default does the same").also(line.place.span, "this one"),
            None => warning("what no rule matches is allowed anyway"),
        },
    };
    warning.help("leave the rule out, or give it a label if it is there to count")
}
