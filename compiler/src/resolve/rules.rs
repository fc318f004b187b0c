//! One rule: its parts, and what verb, direction and target say to each other.

use sockc_grammar::ast::{Direction as WrittenDirection, Rule as WrittenRule, Target, Verb};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::clauses::Clauses;
use super::conditions::conditions;
use super::hooks::{AtRule, redirect_reads, send_conditions};
use super::matchable::can_match;
use super::protocols::protocols;
use super::sides::{End, side};
use super::targets::verb_word;
use super::{Resolver, codes, pending};
use crate::hook::Hook;
use crate::policy::{Action, Direction, Match, ProtocolMatch, Rule};

/// A direction that has a meaning.
pub(super) fn direction_of(written: WrittenDirection) -> Option<Direction> {
    match written {
        WrittenDirection::In => Some(Direction::In),
        WrittenDirection::Out => Some(Direction::Out),
        WrittenDirection::Send => Some(Direction::Send),
        WrittenDirection::Receive => None,
    }
}

/// A direction as it is written.
pub(super) fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
        Direction::Send => "send",
    }
}

impl Resolver<'_> {
    /// Resolves a rule and, if nothing is wrong with it, appends it to the policy.
    pub(super) fn rule(&mut self, written: &WrittenRule, span: Span) {
        self.label(written);
        let errors = self.report.errors();
        let Some(rule) = self.resolved(written, span) else {
            return;
        };
        if self.report.errors() > errors {
            return;
        }
        // Where something is not seen, a group may be among it.
        let any_group = self.report.incomplete || !self.groups.is_empty();
        if let Some(reason) = can_match(&rule, any_group).err() {
            self.report.push(
                Diagnostic::warning(
                    codes::MATCHES_NOTHING,
                    "the rule can match nothing",
                    span,
                    reason,
                )
                .help("leave the rule out, or correct what it names"),
            );
        }
        self.policy.rules.push(rule);
    }

    fn label(&mut self, written: &WrittenRule) {
        let Some(label) = &written.label else {
            return;
        };
        if let Some(first) = self.labels.get(&label.value) {
            self.report.push(
                Diagnostic::warning(
                    codes::LABEL_TWICE,
                    format!("two rules have the label `{}`", label.value),
                    label.span,
                    "the second",
                )
                .also(*first, "the first")
                .help("give one of them another label, so that their counters can be told apart"),
            );
        } else {
            self.labels.insert(label.value.clone(), label.span);
        }
    }

    /// Every part of a rule; all that is wrong is reported. The outcome is of use only if nothing was.
    fn resolved(&mut self, written: &WrittenRule, span: Span) -> Option<Rule> {
        if let Some(audit) = written.audit {
            pending::refuse(pending::AUDIT, audit, &mut self.report);
        }
        let clauses = Clauses::sort(&written.clauses, &mut self.report);
        let verb = self.verb(&written.verb);
        let direction = self.direction(written, &clauses)?;
        self.note_need_of_default(written, direction);
        let protocols = self.protocols(written, direction);
        let sets = &self.sets;
        let mut end = |written, end| match written {
            Some(written) => side(
                written,
                end,
                direction,
                sets,
                &self.groups,
                &mut self.report,
            )
            .map(Some),
            None => Some(None),
        };
        let from = end(clauses.from, End::From);
        let to = end(clauses.to, End::To);
        let conditions = conditions(clauses.conditions, &mut self.report);
        let at = self.hook(written, &clauses, verb, direction);
        let action = verb.and_then(|verb| self.action(verb, &clauses, written.verb.span));
        let (action, at) = (action?, at?);
        let mut protocols = protocols?;
        if let Action::Redirect(socket) = action {
            protocols = self.redirect_protocols(protocols, &written.protocols, socket)?;
        }
        let matches = Match {
            protocols,
            from: from?,
            to: to?,
            conditions: conditions?,
            on: None,
        };
        Some(Rule {
            label: written.label.as_ref().map(|label| label.value.clone()),
            at,
            ..Rule::plain(direction, action, matches, self.places.place(span))
        })
    }

    /// The verb, unless it has no meaning.
    fn verb(&mut self, written: &Spanned<Verb>) -> Option<Verb> {
        match written.value {
            Verb::Reject => pending::refuse(pending::REJECT, written.span, &mut self.report),
            Verb::Splice => pending::refuse(pending::SPLICE, written.span, &mut self.report),
            verb => return Some(verb),
        }
        None
    }

    /// The direction: `in` where none is written, `send` for a shortcut.
    fn direction(&mut self, written: &WrittenRule, clauses: &Clauses<'_>) -> Option<Direction> {
        let verb = written.verb.value;
        let only = match verb {
            // Joining has been refused as a whole.
            Verb::Splice => return None,
            Verb::Shortcut => Some((Direction::Send, "a shortcut takes what a process sends")),
            // Other targets have directions of their own, and have no meaning yet.
            Verb::Redirect if matches!(clauses.target, Some((Target::Sock(_), _)) | None) => {
                Some((Direction::In, "a socket is given to packets that arrive"))
            }
            _ => None,
        };
        let Some(direction) = &written.direction else {
            return Some(only.map_or(Direction::In, |(direction, _)| direction));
        };
        let found = direction_of(direction.value);
        match only {
            Some((only, reason)) if found != Some(only) => {
                let word = direction_word(only);
                self.report.error(
                    codes::VERB_MISPLACED,
                    format!("`{}` stands only in `{word}`", verb_word(verb)),
                    direction.span,
                    reason,
                    format!("write `{word}`, or leave the direction out"),
                );
                return Some(only);
            }
            _ => {}
        }
        if found.is_none() {
            pending::refuse(pending::RECEIVE, direction.span, &mut self.report);
        }
        found
    }

    fn note_need_of_default(&mut self, written: &WrittenRule, direction: Direction) {
        let decides = matches!(written.verb.value, Verb::Allow | Verb::Drop);
        let noted = self.needs_default.iter().any(|(of, _)| *of == direction);
        if decides && !noted {
            self.needs_default.push((direction, written.verb.span));
        }
    }

    /// The protocols; on sends there is only TCP.
    fn protocols(
        &mut self,
        written: &WrittenRule,
        direction: Direction,
    ) -> Option<Vec<ProtocolMatch>> {
        let found = protocols(&written.protocols, &mut self.report)?;
        let other = found.iter().position(|protocol| protocol.number != 6);
        if let (Direction::Send, Some(index)) = (direction, other) {
            self.report.error(
                codes::SEND_PROTOCOL,
                "a rule on sends is about TCP",
                written.protocols[index].span,
                "not a protocol of connections that can be decided",
                "write `tcp`, or leave the protocol out",
            );
            return None;
        }
        Some(found)
    }

    /// The hook that `at` names, and whether conditions can be read where the rule must run.
    fn hook(
        &mut self,
        written: &WrittenRule,
        clauses: &Clauses<'_>,
        verb: Option<Verb>,
        direction: Direction,
    ) -> Option<Option<Hook>> {
        if direction == Direction::Send {
            send_conditions(clauses.conditions, &mut self.report);
        } else if verb == Some(Verb::Redirect) {
            redirect_reads(clauses.conditions, &mut self.report);
        }
        let Some(at) = clauses.at else {
            return Some(None);
        };
        let rule = AtRule {
            at,
            direction,
            verb,
            protocols: &written.protocols,
            conditions: clauses.conditions,
        };
        rule.hook(&mut self.report).map(Some)
    }
}
