//! Rules that change nothing: without them, every packet that they match would get the same verdict.
//!
//! Packets that rules ahead of it decide are not its own. Only plain rules are looked at, which do nothing besides deciding.
//! What they take from others must not change what those count, log or meter, except by label. Not here: rules that are
//! never reached.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::SourceId;

use super::NO_EFFECT;
use super::boxes::contains;
use super::list::{Exhausted, List};
use super::reach::CORNERS;
use super::sample::Sample;
use crate::diagram::Node;
use crate::policy::{Action, DefaultVerdict, Direction, Policy, Rule, RuleId};

/// Looks that the search for a packet of two rules takes.
const SHARED_COST: u64 = 20;

/// So many rules after one are looked at first, since most rules are shown to be needed by one of few.
const FEW_UNDECIDED: usize = 64;

/// So many rules after one may share packets with it for diagrams to be drawn.
const MAX_UNDECIDED: usize = 4096;

/// So many rules may together take what is another's.
const MAX_COVERING: usize = 512;

/// Who gives a rule's packets the same verdict after it.
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
    if list.direction.of_processes() {
        return;
    }
    let default = default_action(list.policy, list.direction);
    let rules = list.rules.clone();
    let mut idle: BTreeMap<RuleId, Same> = BTreeMap::new();
    for (id, rule) in rules {
        if list.is_over(idle.len()) {
            list.stop(id);
        }
        if list.is_stopped(id) {
            break;
        }
        if rule.place.span.source != own
            || !is_plain(rule)
            || unreachable.contains(&id)
            || list.in_lookups(id, rule)
        {
            continue;
        }
        let after = After {
            own: [(id, rule)],
            default,
            unreachable,
        };
        if let Ok(Some(same)) = after.same(list) {
            idle.insert(id, same);
        }
    }
    for (id, same) in &idle {
        // Each is proved with the others in their places.
        let others = match same {
            Same::Rule(other) => idle.contains_key(other),
            Same::Several => idle.len() > 1,
            Same::Default => false,
        };
        found.push(report(list.policy, &list.policy.rules[*id], *same, others));
    }
}

/// What the default does, unless it does something besides.
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

/// A rule, and what stands after it.
struct After<'a> {
    own: [(RuleId, &'a Rule); 1],
    default: Option<Action>,
    unreachable: &'a BTreeSet<RuleId>,
}

impl After<'_> {
    /// Who does what the rule does; nothing if somebody does otherwise, or if that cannot be told.
    fn same(&self, list: &mut List<'_>) -> Result<Option<Same>, Exhausted> {
        let (_, rule) = self.own[0];
        if self.corner_differs(list)? {
            return Ok(None);
        }
        let container = self.container(list)?;
        let end = container.map_or(u32::MAX, |id| id.as_u32());
        let Some(undecided) = self.undecided(list, self.after(end))? else {
            return Ok(None);
        };
        let agrees = |id: &RuleId| self.agrees(&list.policy.rules[*id]);
        let differs = !undecided.iter().all(agrees);
        Ok(match (container, differs) {
            // A rule that matches nothing has been reported as such.
            (_, false) if !self.matches_some(list) => None,
            (Some(id), false) => Some(Same::Rule(id)),
            (None, false) if self.default == Some(rule.action) => Some(Same::Default),
            (None, false) if undecided.is_empty() => None,
            (end, _) => self
                .drawn(list, &undecided, end)
                .unwrap_or(false)
                .then_some(Same::Several),
        })
    }

    /// The rules among `ids` that may share packets with this one; nothing if a packet of one of them shows already that
    /// this rule is needed.
    fn undecided(
        &self,
        list: &List<'_>,
        ids: Range<u32>,
    ) -> Result<Option<BTreeSet<RuleId>>, Exhausted> {
        let counts = |id, other: &Rule| !self.idle(id, other);
        for most in [FEW_UNDECIDED, MAX_UNDECIDED] {
            let (found, all) = list.sharing(self.own[0].1, ids.clone(), most, counts)?;
            for &id in &found {
                let other = &list.policy.rules[id];
                if self.agrees(other) {
                    continue;
                }
                list.look(SHARED_COST)?;
                if self.shared(list, id, other)? {
                    return Ok(None);
                }
            }
            if all {
                return Ok(Some(found));
            }
        }
        list.give_up()
    }

    /// The rules after this one, up to `end`.
    fn after(&self, end: u32) -> Range<u32> {
        self.own[0].0.as_u32() + 1..end
    }

    /// The first rule after this one that does the same for all of its packets.
    fn container(&self, list: &List<'_>) -> Result<Option<RuleId>, Exhausted> {
        let (_, rule) = self.own[0];
        // It matches every packet of this rule, so any packet finds it.
        let Some(sample) = self.samples(list).next() else {
            return Ok(None);
        };
        list.first_decider(&sample, self.after(u32::MAX), |id| {
            let other = &list.policy.rules[id];
            !self.idle(id, other) && self.agrees(other) && contains(list.policy, other, rule)
        })
    }

    fn samples<'s>(&'s self, list: &'s List<'_>) -> impl Iterator<Item = Sample<'s>> {
        (0..CORNERS).filter_map(|variant| Sample::of(list.policy, &self.own, variant))
    }

    /// Whether a rule after this one does the same and is never reached: it is not what takes this one's place.
    fn idle(&self, id: RuleId, other: &Rule) -> bool {
        self.unreachable.contains(&id) && self.agrees(other)
    }

    /// Whether the rule matches some packet, as far as corners show.
    fn matches_some(&self, list: &List<'_>) -> bool {
        self.samples(list).next().is_some()
    }

    /// Whether a corner of the rule gets another verdict after it.
    fn corner_differs(&self, list: &List<'_>) -> Result<bool, Exhausted> {
        for sample in self.samples(list) {
            if self.taken_before(list, &sample)? {
                continue;
            }
            let asked = |other| !self.idle(other, &list.policy.rules[other]);
            let agrees = match list.first_decider(&sample, self.after(u32::MAX), asked)? {
                Some(first) => self.agrees(&list.policy.rules[first]),
                None => self.default == Some(self.own[0].1.action),
            };
            if !agrees {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a rule ahead of this one decides a packet: then this rule does nothing for it.
    fn taken_before(&self, list: &List<'_>, sample: &Sample<'_>) -> Result<bool, Exhausted> {
        let ahead = 0..self.own[0].0.as_u32();
        Ok(list.first_decider(sample, ahead, |_| true)?.is_some())
    }

    /// Whether a rule after this one does the same and nothing that this one's packets would change.
    fn agrees(&self, other: &Rule) -> bool {
        other.action == self.own[0].1.action
            && other.log.is_none()
            && other.mark.is_none()
            && other.rate.is_none()
    }

    /// Whether some packet of this rule is the other's, as far as corners show, and none ahead of either takes it.
    fn shared(&self, list: &List<'_>, id: RuleId, other: &Rule) -> Result<bool, Exhausted> {
        let both = [self.own[0], (id, other)];
        for variant in 0..CORNERS {
            let Some(sample) = Sample::of(list.policy, &both, variant) else {
                continue;
            };
            let between = self.after(id.as_u32());
            let gets_there = list.first_decider(&sample, between, |_| true)?.is_none();
            if gets_there && !self.taken_before(list, &sample)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same by diagrams, for the later rules that may share packets with this one; `end` takes all that is left.
    ///
    /// First that no packet of this rule is the first of a rule after that does otherwise; then, if the default does
    /// otherwise, that none gets there.
    fn drawn(
        &self,
        list: &mut List<'_>,
        others: &BTreeSet<RuleId>,
        end: Option<RuleId>,
    ) -> Result<bool, Exhausted> {
        let (id, rule) = self.own[0];
        list.forget_diagrams();
        let own = list.diagram(id, None)?;
        let possible = list.possible()?;
        let all = list.both(own, possible)?;
        if all == Node::FALSE {
            return Ok(false);
        }
        for &other in others {
            if self.agrees(&list.policy.rules[other]) {
                continue;
            }
            let matched = list.diagram(other, None)?;
            let shared = list.both(all, matched)?;
            if !self.covered(list, shared, other.as_u32())? {
                return Ok(false);
            }
        }
        if end.is_some() || self.default == Some(rule.action) {
            return Ok(true);
        }
        self.covered(list, all, u32::MAX)
    }

    /// Whether rules ahead of this one decide all of `left`, or rules after it and ahead of `end` that do the same.
    fn covered(&self, list: &mut List<'_>, mut left: Node, end: u32) -> Result<bool, Exhausted> {
        let mut covering = BTreeSet::new();
        while left != Node::FALSE {
            let Some(first) = self.first(list, left, end) else {
                return Ok(false);
            };
            let Some(rest) = list.take_away(left, first, &mut covering, MAX_COVERING)? else {
                return Ok(false);
            };
            left = rest;
        }
        Ok(true)
    }

    /// Who decides some packet of a diagram in this rule's place or ahead of it, if it is nobody who does otherwise.
    fn first(&self, list: &List<'_>, left: Node, end: u32) -> Option<RuleId> {
        let rules = &list.policy.rules;
        let decides = |id: RuleId| rules[id].action.decides();
        let ahead = 0..self.own[0].0.as_u32();
        if let Some(first) = list.first_in(left, None, ahead, decides)? {
            return Some(first);
        }
        let asked = |id: RuleId| !self.idle(id, &rules[id]);
        let first = list.first_in(left, None, self.after(end), asked)??;
        self.agrees(&rules[first]).then_some(first)
    }
}

/// `others`: whether what takes the rule's place may be reported itself.
fn report(policy: &Policy, rule: &Rule, same: Same, others: bool) -> Diagnostic {
    let warning = |label: &str| {
        let title = "without this rule, nothing would be decided otherwise";
        Diagnostic::warning(NO_EFFECT, title, rule.place.span, label)
    };
    let warning = match same {
        Same::Rule(id) => {
            warning("a rule after it does the same").also(policy.rules[id].place.span, "this one")
        }
        Same::Several => warning("what comes after it does the same"),
        Same::Default => match policy.default_of(rule.direction) {
            Some(line) => warning("the default does the same").also(line.place.span, "this one"),
            None => warning("what no rule matches is allowed anyway"),
        },
    };
    warning.help(if others {
        "leave the rule out, or give it a label if it is there to count; then check again, since a rule that takes its place is reported too, and both together may be needed"
    } else {
        "leave the rule out, or give it a label if it is there to count"
    })
}
