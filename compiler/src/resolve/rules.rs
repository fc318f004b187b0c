//! One rule: its parts, and what verb, direction and target say to each other.

use std::slice;

use sockc_grammar::ast::{HookName, Protocol, Rule as WrittenRule, Side, Target, Verb};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::clauses::Clauses;
use super::conditions::Names;
use super::hooks::AtHook;
use super::matchable::can_match;
use super::members::is_spread;
use super::protocols::protocols;
use super::sides::{End, side};
use super::through::{map_named, map_of};
use super::{Resolver, codes};
use crate::hook::{self, Hook};
use crate::policy::{Action, Direction, INTERCEPTED, Match, ProtocolMatch, Rule};
use crate::protocol::IpProtocol;
use crate::values::codes as values;

impl Resolver<'_> {
    /// Resolves a rule and, if nothing is wrong with it, appends it to the policy.
    pub(super) fn rule(&mut self, written: &WrittenRule, span: Span) {
        self.label(written);
        if written.verb.value == Verb::Splice {
            return self.splice(written, span);
        }
        let errors = self.report.errors();
        let Some(rule) = self.resolved(written, span) else {
            return;
        };
        if self.report.errors() > errors {
            return;
        }
        let rules = match map_named(written) {
            None if written.audit.is_none() && !matches!(rule.action, Action::Shortcut(_)) => {
                self.refuse_idle(slice::from_ref(&rule), span);
                self.policy.rules.push(rule);
                return;
            }
            Some(map) => {
                let rule = self.audited(rule, written);
                self.through_map(&rule, map, written)
            }
            None => {
                let halves = halves(rule).into_iter();
                halves.map(|half| self.audited(half, written)).collect()
            }
        };
        if self.report.errors() == errors {
            self.refuse_idle(&rules, span);
            self.append(rules);
        }
    }

    /// Takes a rule that was resolved beside those ahead of it.
    pub(super) fn take(&mut self, written: &WrittenRule, rule: Rule) {
        self.label(written);
        self.note_need_of_default(written, rule.direction);
        self.policy.rules.push(rule);
    }

    /// Warns of a rule that can match nothing, whichever of the rules it stands for is asked.
    pub(super) fn refuse_idle(&mut self, rules: &[Rule], span: Span) {
        // Where something is not seen, a group may be among it.
        let any_group = self.report.incomplete || !self.groups.is_empty();
        let reasons: Vec<_> = rules
            .iter()
            .map_while(|rule| can_match(rule, &self.policy, any_group).err())
            .collect();
        if let Some(reason) = reasons.first().filter(|_| reasons.len() == rules.len()) {
            self.report.push(
                Diagnostic::warning(
                    values::MATCHES_NOTHING,
                    "the rule can match nothing",
                    span,
                    *reason,
                )
                .help("leave the rule out, or correct what it names"),
            );
        }
    }

    /// Appends what a rule stands for; several count as the first of them.
    fn append(&mut self, rules: Vec<Rule>) {
        let head = (rules.len() > 1).then(|| self.policy.rules.next_key());
        for rule in rules {
            self.policy.rules.push(Rule { head, ..rule });
        }
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
    pub(super) fn resolved(&mut self, written: &WrittenRule, span: Span) -> Option<Rule> {
        let clauses = Clauses::sort(&written.clauses);
        let verb = written.verb.value;
        let errors = self.report.errors();
        let direction = self.direction(written, &clauses)?;
        let misplaced = self.report.errors() > errors;
        if direction.of_processes() {
            self.outside_of_namespaces(direction.spec().rule, span)?;
        }
        self.note_need_of_default(written, direction);
        let protocols = self.protocols(&written.protocols, direction);
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
        // The groups of a shortcut are what it does.
        let matched = |_: &&Side| clauses.ends_of(written.verb.value).is_none();
        let from = end(clauses.from.filter(matched), End::From);
        let to = end(clauses.to.filter(matched), End::To);
        let mut names = Names {
            sockets: &self.sockets,
            steered: Some(&self.policy.sockets),
            namespaces: &mut self.policy.namespaces,
        };
        let conditions = names.conditions(clauses.conditions, &mut self.report);
        let on = self.on(written, direction);
        let leaves = self.leaves(written, &clauses, direction);
        let effects = self.effects(written, &clauses, direction);
        // Which hook a verb in the wrong list runs at is no question.
        let at = match misplaced {
            true => None,
            false => self.hook(written, &clauses, verb, direction),
        };
        let action = self.action(verb, &clauses, written.verb.span);
        let at_tc = intercepts_at(&clauses, direction);
        let action = action.and_then(|action| match (action, at_tc) {
            (Action::Redirect(socket), Some(at)) => {
                self.are_spread(action, &clauses, at)?;
                Some(Action::Intercept(socket))
            }
            _ => Some(action),
        });
        let (action, at, effects) = (action?, at?, effects?);
        let mut protocols = protocols?;
        if let Some(hook) = at.filter(|hook| protocols.is_empty() && hook.is_process()) {
            protocols = seen_alone(hook);
        }
        if let (Some(socket), None) = (action.receiver(), map_of(&clauses)) {
            protocols = self.redirect_protocols(protocols, &written.protocols, socket)?;
        }
        let matches = Match {
            protocols,
            from: from?,
            to: to?,
            conditions: conditions?,
            on: on?,
            leaves: leaves?,
        };
        Some(Rule {
            label: written.label.as_ref().map(|label| label.value.clone()),
            at,
            rate: effects.rate,
            mark: match action {
                Action::Intercept(_) => Some(INTERCEPTED),
                _ => effects.mark,
            },
            log: effects.log,
            note: effects.note,
            ..Rule::plain(direction, action, matches, self.places.place(span))
        })
    }

    /// Whether every socket that a redirect `at tc` may lead to gets there what it says.
    fn are_spread(&mut self, action: Action, clauses: &Clauses<'_>, at: Span) -> Option<()> {
        let mut receivers = self.receivers(action, clauses);
        receivers.sort_unstable();
        receivers.dedup();
        let spread = receivers
            .into_iter()
            .map(|socket| is_spread(&self.policy.sockets[socket], at, &mut self.report));
        let spread: Vec<Option<()>> = spread.collect();
        spread.into_iter().collect()
    }

    /// The direction: `in` where none is written, `send` for a shortcut.
    fn direction(&mut self, written: &WrittenRule, clauses: &Clauses<'_>) -> Option<Direction> {
        let usual = match written.verb.value {
            Verb::Shortcut => Direction::Send,
            _ => Direction::In,
        };
        let Some(direction) = &written.direction else {
            return self.usual_direction(written, clauses, usual);
        };
        let found = Direction::of(direction.value);
        if let Some((fitting, reason)) = directions(written.verb.value, clauses.target)
            && !fitting.contains(&found)
        {
            if found.of_processes() && steers(written.verb.value, clauses) {
                self.no_queue(found, direction.span, reason);
                return None;
            }
            let reason = match found.passes() && written.verb.value == Verb::Redirect {
                true => {
                    "where it leaves is decided by then, and it has no socket here: steer it where it arrives"
                }
                false => reason,
            };
            self.misplaced_verb(written.verb.value, direction.span, fitting, reason);
            return Some(usual);
        }
        Some(found)
    }

    /// The direction of a rule that names none. Packets are never put into a queue, and which data is has to be said.
    fn usual_direction(
        &mut self,
        written: &WrittenRule,
        clauses: &Clauses<'_>,
        usual: Direction,
    ) -> Option<Direction> {
        if feeds(clauses) {
            self.report.error(
                codes::VERB_MISPLACED,
                "the redirect does not say what data it puts into the queue",
                written.verb.span,
                "without a direction it is about packets that arrive",
                "write `redirect send`: what processes of a group write, or `redirect receive`: what arrives for them",
            );
            return None;
        }
        Some(usual)
    }

    /// A redirect of data to a socket, and not to one of its queues.
    fn no_queue(&mut self, direction: Direction, span: Span, reason: &str) {
        let word = direction.word();
        let help = match direction {
            Direction::Connect => "leave the direction out".to_owned(),
            _ => format!(
                "write `to input of sock NAME` or `to output of sock NAME`: `redirect {word}` puts data into a queue of a connected socket; or leave `{word}` out"
            ),
        };
        let message = format!("`redirect {word}` leads to no socket that listens");
        self.report
            .error(codes::VERB_MISPLACED, message, span, reason, help);
    }

    fn misplaced_verb(&mut self, verb: Verb, span: Span, fitting: &[Direction], reason: &str) {
        let words: Vec<String> = fitting
            .iter()
            .map(|&direction| format!("`{}`", direction.word()))
            .collect();
        let words = words.join(" or ");
        self.report.error(
            codes::VERB_MISPLACED,
            format!("`{}` is possible only in {words}", verb.word()),
            span,
            reason,
            format!("write {words}, or leave the direction out"),
        );
    }

    fn note_need_of_default(&mut self, written: &WrittenRule, direction: Direction) {
        let decides = matches!(written.verb.value, Verb::Allow | Verb::Drop | Verb::Reject)
            && written.audit.is_none();
        let noted = self.needs_default.iter().any(|(of, _)| *of == direction);
        if decides && !noted {
            self.needs_default.push((direction, written.verb.span));
        }
    }

    /// The protocols; what processes do is about those that its hooks see.
    pub(super) fn protocols(
        &mut self,
        written: &[Spanned<Protocol>],
        direction: Direction,
    ) -> Option<Vec<ProtocolMatch>> {
        let found = protocols(written, &mut self.report)?;
        let seen = Hook::protocols(direction);
        let other = |protocol: &ProtocolMatch| !seen.contains(&protocol.number);
        let other = found.iter().position(other).filter(|_| !seen.is_empty());
        if let (Some(index), Some(deed)) = (other, direction.deed()) {
            let words = deed.about.to_lowercase().replace(" and ", "` or `");
            let is_written = (direction, found[index].number) == (Direction::Send, IpProtocol::UDP);
            let (reason, help) = match is_written {
                true => (
                    "the kernel runs no sk_msg program for what is written to a UDP socket",
                    "write `connect` for `send` to refuse whom it calls, or drop its packets with `out`"
                        .to_owned(),
                ),
                false => (
                    "its sockets are not looked at",
                    format!("write `{words}`, or leave the protocol out"),
                ),
            };
            self.report.error(
                codes::SEND_PROTOCOL,
                format!("{} is about {}", direction.spec().rule, deed.about),
                written[index].span,
                reason,
                help,
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
        verb: Verb,
        direction: Direction,
    ) -> Option<Option<Hook>> {
        let Some(verb) = verb_of(verb, clauses.target) else {
            return Some(None);
        };
        let verb = match verb {
            hook::Verb::Redirect if intercepts_at(clauses, direction).is_some() => {
                hook::Verb::Intercept
            }
            other => other,
        };
        // A mark elsewhere is refused wherever the rule runs.
        let mark = clauses
            .mark
            .filter(|_| verb == hook::Verb::Allow && !direction.of_processes());
        let rule = AtHook {
            at: clauses.at,
            direction,
            verb,
            verb_span: written.verb.span,
            protocols: &written.protocols,
            conditions: clauses.conditions,
            rate: clauses.rate.map(|(_, rate, span)| (rate.unit, span)),
            mark: mark.map(|(_, span)| span),
        };
        rule.hook(&mut self.report)
    }
}

/// The protocols that a rule is about which names a hook alone: those that come there, where others come to other hooks.
fn seen_alone(hook: Hook) -> Vec<ProtocolMatch> {
    let seen = hook.spec().sees.protocols;
    if seen.len() == Hook::protocols(hook.direction()).len() {
        return Vec::new();
    }
    let plain = |number: &IpProtocol| ProtocolMatch {
        family: None,
        number: *number,
        icmp: Vec::new(),
    };
    seen.iter().map(plain).collect()
}

/// A rule; for a shortcut between two groups what each of them writes to the other.
fn halves(rule: Rule) -> Vec<Rule> {
    let answers = match rule.action {
        Action::Shortcut(near) if near.from != near.to => Some(Rule {
            action: Action::Shortcut(near.back()),
            ..rule.clone()
        }),
        _ => None,
    };
    std::iter::once(rule).chain(answers).collect()
}

/// The directions that a verb with this target stands in, and why in no other; `None` for every one.
fn directions(
    verb: Verb,
    target: Option<(&Target, Span)>,
) -> Option<(&'static [Direction], &'static str)> {
    match (verb, target) {
        (Verb::Shortcut, _) => Some((&[Direction::Send], "a shortcut takes what a process sends")),
        (Verb::Redirect, None | Some((Target::Sock(_) | Target::ByMap(_), _))) => {
            Some((&[Direction::In], "a socket is given to packets that arrive"))
        }
        (Verb::Redirect, Some((Target::InputOf(_) | Target::OutputOf(_), _))) => Some((
            &[Direction::Send, Direction::Receive],
            "a queue of a socket takes data, not packets",
        )),
        (Verb::Redirect, Some((Target::Interface(_), _))) => Some((
            &[Direction::In, Direction::Out],
            "packets leave by an interface, not what a process writes",
        )),
        // Other targets come in a later version, and have directions of their own.
        _ => None,
    }
}

/// Whether a rule hands new flows to a socket.
fn steers(verb: Verb, clauses: &Clauses<'_>) -> bool {
    let target = clauses.target.map(|(target, _)| target);
    verb == Verb::Redirect && matches!(target, Some(Target::Sock(_) | Target::ByMap(_)))
}

/// Where it says that a redirect to a socket is done where packets are, and not left to the lookup; nowhere where it is left.
fn intercepts_at(clauses: &Clauses<'_>, direction: Direction) -> Option<Span> {
    let at = clauses.at.filter(|at| at.value == HookName::Tc)?;
    (direction == Direction::In).then_some(at.span)
}

/// Whether a rule puts data into a queue of a socket.
fn feeds(clauses: &Clauses<'_>) -> bool {
    let target = clauses.target.map(|(target, _)| target);
    matches!(target, Some(Target::InputOf(_) | Target::OutputOf(_)))
}

/// The verb with what its target makes of it; `None` for what comes in a later version.
fn verb_of(verb: Verb, target: Option<(&Target, Span)>) -> Option<hook::Verb> {
    Some(match (verb, target) {
        (_, Some((Target::Pairs(_), _))) | (Verb::Splice, _) => return None,
        (Verb::Redirect, Some((Target::InputOf(_) | Target::OutputOf(_), _))) => hook::Verb::Feed,
        (Verb::Redirect, Some((Target::Interface(_), _))) => hook::Verb::Forward,
        (Verb::Redirect, _) => hook::Verb::Redirect,
        (Verb::Allow, _) => hook::Verb::Allow,
        (Verb::Drop, _) => hook::Verb::Drop,
        (Verb::Reject, _) => hook::Verb::Reject,
        (Verb::Shortcut, _) => hook::Verb::Shortcut,
        (Verb::Count, _) => hook::Verb::Count,
    })
}
