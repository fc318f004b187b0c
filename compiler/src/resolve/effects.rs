//! What a rule does besides its verdict: mark, log, rate; and what `audit` makes of it.

use sockc_grammar::ast::{Rule as WrittenRule, Verb as WrittenVerb};

use super::clauses::Clauses;
use super::{Resolver, codes, rates};
use crate::hook::{Hook, Verb};
use crate::policy::{Action, Direction, Log, Rate, Rule, Side};
use crate::values::numbers;

/// What a rule does besides its verdict.
pub(super) struct Effects {
    pub(super) rate: Option<Rate>,
    pub(super) mark: Option<u32>,
    pub(super) log: Option<Log>,
    pub(super) note: Option<String>,
}

impl Resolver<'_> {
    /// The clauses of a rule that change no verdict, and its rate; every wrong one is reported.
    pub(super) fn effects(
        &mut self,
        written: &WrittenRule,
        clauses: &Clauses<'_>,
        direction: Direction,
    ) -> Option<Effects> {
        let report = &mut self.report;
        let rate = clauses
            .rate
            .map(|(above, rate, span)| rates::rate(rate, above, span, report));
        let log = clauses.log.map(|(log, span)| rates::log(log, span, report));
        let mark = self.mark(written, clauses, direction);
        Some(Effects {
            rate: all(rate)?,
            mark: all(mark)?,
            log: all(log)?,
            note: clauses.note.map(|note| note.value.clone()),
        })
    }

    fn mark(
        &mut self,
        written: &WrittenRule,
        clauses: &Clauses<'_>,
        direction: Direction,
    ) -> Option<Option<u32>> {
        let (number, span) = clauses.mark?;
        let allow = written.verb.value == WrittenVerb::Allow && written.audit.is_none();
        let reason = if direction.of_processes() {
            "what a process writes carries no mark"
        } else if allow {
            return Some(self.report.checked(numbers::mark(number)));
        } else {
            "only a packet that goes on keeps its mark"
        };
        self.report.error(
            codes::MARK_MISPLACED,
            "the rule cannot set a mark",
            span,
            reason,
            "leave it out, or write it on an `allow` of `in` or `out`",
        );
        Some(None)
    }

    /// What `audit` leaves of a rule: it counts (and logs) what it would have decided, and evaluation goes on.
    ///
    /// A redirect to a socket is counted where it would run, at the socket lookup; a shortcut for its own group.
    pub(super) fn audited(&mut self, mut rule: Rule, written: &WrittenRule) -> Rule {
        let Some(span) = written.audit else {
            return rule;
        };
        rule.audit = Some(Verb::from(rule.action));
        match (rule.action, &rule.matches.from) {
            (Action::Redirect(_), _) => rule.at = Some(Hook::LOOKUP),
            // What is only counted is delivered as it would be.
            (Action::Intercept(_), _) => rule.mark = None,
            (Action::Shortcut(near), None) => rule.matches.from = Some(Side::Group(near.from)),
            (Action::Shortcut(_), Some(Side::Endpoints { .. })) if self.policy.groups.len() > 1 => {
                self.report.error(
                    codes::VERB_MISPLACED,
                    "an audited shortcut cannot name the sender's addresses",
                    span,
                    "its group is all that tells which sends it counts",
                    "leave `from` out, or `audit`",
                );
            }
            _ => {}
        }
        rule.action = Action::Count;
        rule
    }
}

/// Nothing where a part was not written; `None` where it is wrong.
fn all<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    match part {
        None => Some(None),
        Some(part) => part.map(Some),
    }
}
