//! What the hook of a rule can evaluate: `at`, redirects at the socket lookup, rules on sends.
//!
//! Only what one rule says by itself is looked at; how the rules of a list stand to each other is placement's.

use sockc_grammar::ast::{Condition, HookName, Protocol, Verb};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::report::Report;
use crate::hook::Hook;
use crate::policy::Direction;

/// The hook that `at` names in a direction, or why there is none.
fn hook_of(name: HookName, direction: Direction) -> Result<Hook, &'static str> {
    match (name, direction) {
        (HookName::Xdp, Direction::In) => Ok(Hook::Xdp),
        (HookName::Tc, Direction::In) => Ok(Hook::TcIn),
        (HookName::SkLookup, Direction::In) => Ok(Hook::SkLookup),
        (HookName::Tc, Direction::Out) => Ok(Hook::TcOut),
        (HookName::SkMsg, Direction::Send) => Ok(Hook::SkMsg),
        (HookName::Xdp, Direction::Out) => Err("XDP sees only packets that arrive"),
        (HookName::SkLookup, Direction::Out) => {
            Err("the kernel looks a socket up only for packets that arrive")
        }
        (HookName::Xdp | HookName::Tc | HookName::SkLookup, Direction::Send) => {
            Err("it sees packets, not what a process writes")
        }
        (HookName::SkMsg | HookName::SkSkb, Direction::In | Direction::Out) => {
            Err("it sees the data of connections, not packets")
        }
        (HookName::SkSkb, Direction::Send) => Err("it sees data that arrives on a socket"),
    }
}

fn hooks_that_fit(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "`at xdp`, `at tc` or `at sk_lookup`",
        Direction::Out => "`at tc`",
        Direction::Send => "`at sk_msg`",
    }
}

/// What a rule with an `at` says, as far as its hook is concerned.
pub(super) struct AtRule<'a> {
    /// The hook as written.
    pub(super) at: &'a Spanned<HookName>,
    /// Its list.
    pub(super) direction: Direction,
    /// Its verb, unless that has no meaning.
    pub(super) verb: Option<Verb>,
    /// Its protocols.
    pub(super) protocols: &'a [Spanned<Protocol>],
    /// Its conditions.
    pub(super) conditions: &'a [Spanned<Condition>],
}

impl AtRule<'_> {
    /// The hook, if it can evaluate the rule; else the reason is reported.
    pub(super) fn hook(&self, report: &mut Report) -> Option<Hook> {
        let hook = match hook_of(self.at.value, self.direction) {
            Ok(hook) => hook,
            Err(reason) => {
                let help = format!(
                    "leave `at` out, or write {}",
                    hooks_that_fit(self.direction)
                );
                report.push(self.cannot(self.at.span, reason).help(help));
                return None;
            }
        };
        match self.first_obstacle(hook) {
            Some(obstacle) => {
                report.push(obstacle);
                None
            }
            None => Some(hook),
        }
    }

    /// The first thing in the rule that the hook cannot do.
    fn first_obstacle(&self, hook: Hook) -> Option<Diagnostic> {
        match (hook, self.verb) {
            (Hook::Xdp | Hook::TcIn, Some(Verb::Redirect)) => Some(
                self.cannot(
                    self.at.span,
                    "which socket gets a packet is decided later, by the socket lookup",
                )
                .help("leave `at` out, or write `at sk_lookup`"),
            ),
            // The lookup's only refusal is answered with a reset or an ICMP error.
            (Hook::SkLookup, Some(Verb::Drop)) => Some(
                self.cannot(self.at.span, "a socket lookup cannot drop in silence")
                    .help("write `reject`, or leave `at sk_lookup` out"),
            ),
            // Redirects have a message of their own, whether or not `at` says where they run.
            (Hook::SkLookup, Some(Verb::Redirect)) => None,
            (Hook::SkLookup, _) => self.unreadable_at_lookup(),
            _ => None,
        }
    }

    fn unreadable_at_lookup(&self) -> Option<Diagnostic> {
        let protocol = self.protocols.iter().find(|protocol| {
            !matches!(protocol.value, Protocol::Tcp | Protocol::Udp)
                && !matches!(&protocol.value, Protocol::Number(number) if matches!(number.value, 6 | 17))
        });
        if let Some(protocol) = protocol {
            return Some(
                self.cannot(protocol.span, "sockets are looked up for TCP and UDP only")
                    .help("leave `at sk_lookup` out, or name only `tcp` and `udp`"),
            );
        }
        let (span, reason) = unreadable(self.conditions)?;
        Some(
            self.cannot(span, reason)
                .help("leave `at sk_lookup` out, or the condition"),
        )
    }

    fn cannot(&self, span: Span, reason: &str) -> Diagnostic {
        let hook = word(self.at.value);
        let error = Diagnostic::error(
            codes::HOOK_CANNOT,
            format!("the rule cannot run at {hook}"),
            span,
            reason,
        );
        if span == self.at.span {
            error
        } else {
            error.also(self.at.span, "the hook is named here")
        }
    }
}

fn word(hook: HookName) -> &'static str {
    match hook {
        HookName::Xdp => "xdp",
        HookName::Tc => "tc",
        HookName::SkLookup => "sk_lookup",
        HookName::SkMsg => "sk_msg",
        HookName::SkSkb => "sk_skb",
    }
}

/// Refuses a redirect on something that the socket lookup, where it runs, cannot read.
pub(super) fn redirect_reads(conditions: &[Spanned<Condition>], report: &mut Report) {
    let Some((span, reason)) = unreadable(conditions) else {
        return;
    };
    report.error(
        codes::LOOKUP_CANNOT_READ,
        "a redirect cannot depend on this condition",
        span,
        reason,
        "choose by address, protocol and port; drop what is unwanted with a rule ahead of it",
    );
}

/// Refuses conditions on packets in a rule on sends.
pub(super) fn send_conditions(conditions: &[Spanned<Condition>], report: &mut Report) {
    if let Some((span, _)) = unreadable(conditions) {
        report.error(
            codes::SEND_CONDITION,
            "a rule on sends cannot depend on this condition",
            span,
            "sk_msg sees the data of a connection, not packets",
            "choose by group, address and port",
        );
    }
}

/// The first condition that neither the socket lookup nor sk_msg can read, and why the lookup cannot.
fn unreadable(conditions: &[Spanned<Condition>]) -> Option<(Span, &'static str)> {
    conditions.iter().find_map(|condition| {
        let reason = match &condition.value {
            Condition::No(inner) => return unreadable(std::slice::from_ref(&**inner)),
            Condition::AnyOf(any) => return unreadable(any),
            Condition::Socket { netns: None, .. } => {
                "the socket lookup, where redirects run, is what finds the socket"
            }
            Condition::TcpFlags { .. } => {
                "a socket lookup is given addresses and ports, not the TCP header"
            }
            Condition::Length(..) => {
                "a socket lookup is given addresses and ports, not the packet's length"
            }
            Condition::Fragment => "datagrams are whole again when their socket is looked up",
            // These have no meaning yet, which is said elsewhere.
            Condition::Socket { netns: Some(_), .. }
            | Condition::Ttl(..)
            | Condition::Dscp(_)
            | Condition::Mark { .. }
            | Condition::Vlan(_)
            | Condition::SockAbsent(_) => return None,
        };
        Some((condition.span, reason))
    })
}
