//! Whether a rule by itself can run where it must: at the hook it names, else at the one its direction and verb leave.
//!
//! What hooks can do is the table of `hook`; here is what is said of a rule that asks for more. How the rules of a list
//! stand to each other is placement's.

use sockc_grammar::ast::{Condition, HookName, Protocol, RateUnit};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::report::Report;
use crate::field::FieldKind;
use crate::header_field::row;
use crate::hook::{Ability, Hook, Metering, Verb};
use crate::policy::Direction;
use crate::protocol::IpProtocol;

/// The hook that `at` names in a direction, or why there is none.
fn hook_of(name: HookName, direction: Direction) -> Result<Hook, &'static str> {
    let named = |hook: &Hook| hook.name() == name.word();
    if let Some(hook) = Hook::of(direction).find(named) {
        return Ok(hook);
    }
    match Hook::ALL.into_iter().find(named) {
        Some(hook) => Err((hook.spec().elsewhere)(direction)),
        None => Err("no hook is called so"),
    }
}

/// The hook that a `default` line names for its list. Only what arrives as packets meets one of two, by what a list asks.
pub(super) fn of_list(
    at: &Spanned<HookName>,
    direction: Direction,
    report: &mut Report,
) -> Option<Hook> {
    let reason = match hook_of(at.value, direction) {
        Ok(hook) if Hook::ARRIVING.contains(&hook) => return Some(hook),
        Ok(_) if direction == Direction::In => {
            "new flows come there, and the default is for all packets"
        }
        Ok(_) => "only a list of packets that arrive can run at one hook or another",
        Err(reason) => reason,
    };
    let help = match direction {
        Direction::In => "leave `at` out, or write `at xdp` or `at tc`",
        _ => "leave `at` out",
    };
    let word = at.value.word();
    let what = format!("the `default {}` cannot be at {word}", direction.word());
    report.push(Diagnostic::error(codes::HOOK_CANNOT, what, at.span, reason).help(help));
    None
}

/// What may stand in place of a hook that does not fit.
fn hooks_that_fit(direction: Direction) -> String {
    let mut names: Vec<String> = Hook::of(direction)
        .map(|hook| format!("`at {}`", hook.name()))
        .collect();
    // Several hooks may share a word.
    names.dedup();
    match names.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// The hook that can do most of what a rule without `at` may say; placement may find an earlier one that can do all.
fn usual(direction: Direction, verb: Verb) -> Option<Hook> {
    let says = |hook: &Hook| !matches!(hook.does(verb), Ability::No(_));
    let usual = Hook::of(direction).find(|hook| hook.spec().usual);
    usual
        .filter(says)
        .or_else(|| Hook::of(direction).find(says))
        .or(usual)
}

/// What a rule says, as far as its hook is concerned.
pub(super) struct AtHook<'a> {
    /// The hook as written.
    pub(super) at: Option<&'a Spanned<HookName>>,
    /// Its list.
    pub(super) direction: Direction,
    /// Its verb, as if there were no `audit`.
    pub(super) verb: Verb,
    /// Where the verb stands.
    pub(super) verb_span: Span,
    /// Its protocols.
    pub(super) protocols: &'a [Spanned<Protocol>],
    /// Its conditions.
    pub(super) conditions: &'a [Spanned<Condition>],
    /// What its rate counts, and where it stands.
    pub(super) rate: Option<(RateUnit, Span)>,
    /// Where it sets a mark.
    pub(super) mark: Option<Span>,
}

/// What a hook cannot do of a rule.
struct Obstacle {
    part: RulePart,
    span: Span,
    reason: &'static str,
}

/// The part of a rule that a hook cannot do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RulePart {
    Verb,
    Protocol,
    Condition,
    Rate,
    Mark,
}

impl AtHook<'_> {
    /// The hook that `at` names, if one is named. `None` if the rule cannot run, which is reported.
    pub(super) fn hook(&self, report: &mut Report) -> Option<Option<Hook>> {
        let hook = match self.at {
            None => return self.unnamed(report).map(|()| None),
            Some(at) => match hook_of(at.value, self.direction) {
                Ok(hook) => hook,
                Err(reason) => {
                    let fit = hooks_that_fit(self.direction);
                    let help = format!("leave `at` out, or write {fit}");
                    report.push(cannot(at, at.span, reason).help(help));
                    return None;
                }
            },
        };
        if let Some(obstacle) = self.first_obstacle(hook) {
            report.push(self.said(&obstacle, hook));
            return None;
        }
        Some(Some(hook))
    }

    /// Whether the hooks can do it that a rule comes to which names none. `None` if not, which is reported.
    fn unnamed(&self, report: &mut Report) -> Option<()> {
        let hooks: Vec<Hook> = match self.direction.of_processes() {
            true => self.met_by_processes(),
            false => usual(self.direction, self.verb).into_iter().collect(),
        };
        for hook in hooks {
            if let Some(obstacle) = self.first_obstacle(hook) {
                report.push(self.said(&obstacle, hook));
                return None;
            }
        }
        Some(())
    }

    /// What processes do meets each hook that sees its protocol.
    fn met_by_processes(&self) -> Vec<Hook> {
        let named: Vec<IpProtocol> = self
            .protocols
            .iter()
            .filter_map(|one| number(&one.value))
            .collect();
        Hook::of(self.direction)
            .filter(|hook| hook.sees_some(&named))
            .collect()
    }

    /// The first thing in the rule that the hook cannot do.
    fn first_obstacle(&self, hook: Hook) -> Option<Obstacle> {
        let obstacle = |part, span, reason| Obstacle { part, span, reason };
        if let Ability::No(reason) = hook.does(self.verb) {
            return Some(obstacle(RulePart::Verb, self.verb_span, reason));
        }
        // Those of a redirect are compared with its socket's.
        if hook == Hook::SkLookup && self.verb != Verb::Redirect {
            let other = self.protocols.iter().find(|one| !has_sockets(&one.value));
            if let Some(other) = other {
                let reason = "sockets are looked up for TCP and UDP only";
                return Some(obstacle(RulePart::Protocol, other.span, reason));
            }
        }
        if hook.is_process()
            && let Some(at) = self.at
        {
            let seen = Hook::protocols(self.direction);
            let foreign = |one: &&Spanned<Protocol>| {
                number(&one.value).is_some_and(|number| {
                    // One that no hook of the direction sees is refused by itself.
                    seen.contains(&number) && !hook.sees_some(&[number])
                })
            };
            if let Some(other) = self.protocols.iter().find(foreign) {
                let reason = (hook.spec().elsewhere)(self.direction);
                let span = if self.protocols.len() > 1 {
                    other.span
                } else {
                    at.span
                };
                return Some(obstacle(RulePart::Protocol, span, reason));
            }
        }
        if let Some((span, reason)) = unreadable(self.conditions, hook) {
            return Some(obstacle(RulePart::Condition, span, reason));
        }
        if let Some((span, reason)) = self.unmetered(hook) {
            return Some(obstacle(RulePart::Rate, span, reason));
        }
        match (self.mark, hook.sets_mark()) {
            (Some(span), Ability::No(reason)) => Some(obstacle(RulePart::Mark, span, reason)),
            _ => None,
        }
    }

    /// Where the rate stands and why the hook cannot meter, if it cannot.
    fn unmetered(&self, hook: Hook) -> Option<(Span, &'static str)> {
        let (unit, span) = self.rate?;
        let refuses = matches!(self.verb, Verb::Drop | Verb::Reject);
        let reason = match hook.reads_kind(FieldKind::Rate) {
            Ability::No(reason) => reason,
            _ => match (&hook.spec().meters, unit) {
                (
                    Metering {
                        refusals: Ability::No(reason),
                        ..
                    },
                    _,
                ) if refuses => reason,
                (
                    Metering {
                        connections: Ability::No(reason),
                        ..
                    },
                    RateUnit::Connections,
                ) => reason,
                _ => return None,
            },
        };
        Some((span, reason))
    }

    fn said(&self, obstacle: &Obstacle, hook: Hook) -> Diagnostic {
        // Where there is a choice of hooks, the one that is named is the mistake; else the rule is.
        let chosen = self.at.filter(|_| {
            obstacle.part == RulePart::Protocol
                || self.direction == Direction::In
                    && (self.verb != Verb::Redirect || obstacle.part == RulePart::Verb)
        });
        match chosen {
            Some(at) if obstacle.part == RulePart::Verb => {
                cannot(at, at.span, obstacle.reason).help(self.other_verb(hook))
            }
            Some(at) => cannot(at, obstacle.span, obstacle.reason).help(help_at(obstacle, hook)),
            None => self.nowhere(obstacle),
        }
    }

    fn other_verb(&self, hook: Hook) -> String {
        match self.verb {
            Verb::Redirect => "leave `at` out, or write `at tc` or `at sk_lookup`".to_owned(),
            // The lookup's only refusal is answered with a reset or an ICMP error.
            Verb::Drop => "write `reject`, or leave `at sk_lookup` out".to_owned(),
            _ => format!("leave `at {}` out", hook.name()),
        }
    }

    /// What to write in place of a rate that some hook cannot keep which the rule comes to.
    fn other_rate(&self) -> &'static str {
        let keeps =
            |hook: Hook| self.unmetered(hook).is_none() && hook.sees_some(&[IpProtocol::UDP]);
        match self.direction {
            Direction::Receive if Hook::of(self.direction).any(keeps) => {
                "name `udp` alone, of which this rate can be kept, or meter packets with a rule on `in`"
            }
            Direction::Receive => "leave the rate out, or meter packets with a rule on `in`",
            _ => "leave the rate out, or meter packets with a rule on `out`",
        }
    }

    /// What is said of a rule that no hook can run.
    fn nowhere(&self, obstacle: &Obstacle) -> Diagnostic {
        let redirect = self.direction == Direction::In;
        let (code, message, help) = match (obstacle.part, self.direction) {
            (RulePart::Condition, Direction::In) => (
                codes::LOOKUP_CANNOT_READ,
                "a redirect cannot depend on this condition".to_owned(),
                "choose by address, protocol and port; drop what is unwanted with a rule ahead of it",
            ),
            (RulePart::Condition, of) => (
                match of.of_processes() {
                    true => codes::SEND_CONDITION,
                    false => codes::OUT_CONDITION,
                },
                format!("{} cannot depend on this condition", of.spec().rule),
                of.spec().choose,
            ),
            (RulePart::Rate, _) if redirect => (
                codes::RATE_MISPLACED,
                "a redirect to a socket cannot have a rate".to_owned(),
                "write a `drop … above RATE` ahead of it",
            ),
            (RulePart::Rate, of) => (
                codes::RATE_MISPLACED,
                format!("this rate cannot be kept on {}s", of.word()),
                self.other_rate(),
            ),
            (RulePart::Verb, Direction::Out) if self.verb == Verb::Reject => (
                codes::VERB_MISPLACED,
                "`reject` is not possible in `out`".to_owned(),
                "write `drop`",
            ),
            (RulePart::Verb | RulePart::Protocol | RulePart::Mark, _) => (
                codes::VERB_MISPLACED,
                "the rule cannot run anywhere".to_owned(),
                "leave it out, or give it another verb",
            ),
        };
        Diagnostic::error(code, message, obstacle.span, obstacle.reason).help(help)
    }
}

/// The refusal of the hook that a rule names.
fn cannot(at: &Spanned<HookName>, span: Span, reason: &str) -> Diagnostic {
    let error = Diagnostic::error(
        codes::HOOK_CANNOT,
        format!("the rule cannot run at {}", at.value.word()),
        span,
        reason,
    );
    if span == at.span {
        error
    } else {
        error.also(at.span, "the hook is named here")
    }
}

fn help_at(obstacle: &Obstacle, hook: Hook) -> String {
    let leave = format!("leave `at {}` out, or", hook.name());
    match obstacle.part {
        RulePart::Protocol => {
            let seen = hook.spec().sees.protocols.first();
            match seen.filter(|_| hook.is_process()) {
                Some(&IpProtocol::UDP) => format!("{leave} name only `udp`"),
                Some(_) => format!("{leave} name only `tcp`"),
                None => format!("{leave} name only `tcp` and `udp`"),
            }
        }
        RulePart::Condition => format!("{leave} the condition"),
        RulePart::Rate => format!("{leave} the rate"),
        RulePart::Mark => format!("{leave} write `at tc`"),
        RulePart::Verb => format!("{leave} change the verb"),
    }
}

fn has_sockets(protocol: &Protocol) -> bool {
    number(protocol).is_some_and(|number| IpProtocol::WITH_SOCKETS.contains(&number))
}

/// The protocol's number, if it can be one that a socket speaks.
fn number(protocol: &Protocol) -> Option<IpProtocol> {
    match protocol {
        Protocol::Tcp => Some(IpProtocol::TCP),
        Protocol::Udp => Some(IpProtocol::UDP),
        Protocol::Number(number) => u8::try_from(number.value).ok().map(IpProtocol),
        _ => None,
    }
}

/// The first condition that a hook cannot read, and why.
fn unreadable(conditions: &[Spanned<Condition>], hook: Hook) -> Option<(Span, &'static str)> {
    conditions.iter().find_map(|condition| {
        let kind = match &condition.value {
            Condition::No(inner) => return unreadable(std::slice::from_ref(&**inner), hook),
            Condition::AnyOf(any) => return unreadable(any, hook),
            Condition::Socket { .. } => FieldKind::Socket,
            Condition::Header(field, _) => row(*field).variables[0].kind(),
            Condition::SockAbsent(_) => FieldKind::Absent,
        };
        match hook.reads_kind(kind) {
            Ability::No(reason) => Some((condition.span, reason)),
            Ability::Yes | Ability::IfAsked(_) => None,
        }
    })
}

#[cfg(test)]
mod tests;
