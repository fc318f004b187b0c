//! What a rule does: its verb with its target, and the protocols that a redirect takes from its socket.

use sockc_grammar::ast::{Name, Protocol, Side, Target, Verb};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::clauses::Clauses;
use super::sockets::{is_feedable, is_steerable};
use super::{Resolver, codes};
use crate::policy::{Action, Feed, OutInterfaceId, ProtocolMatch, Queue, Shortcut, SocketId};
use crate::protocol::IpProtocol;
use crate::values::kernel_names;

impl Resolver<'_> {
    /// What the rule does; `span` is the verb's.
    pub(super) fn action(
        &mut self,
        verb: Verb,
        clauses: &Clauses<'_>,
        span: Span,
    ) -> Option<Action> {
        match (verb, clauses.target) {
            (Verb::Allow, None) => return Some(Action::Allow),
            (Verb::Drop, None) => return Some(Action::Drop),
            (Verb::Reject, None) => return Some(Action::Reject),
            (Verb::Count, None) => return Some(Action::Count),
            (Verb::Redirect, Some((Target::Sock(name), _))) => {
                let report = &mut self.report;
                let socket = (*self.sockets.look_up(&name.value, name.span, report)?)?;
                is_steerable(&self.policy.sockets[socket], name.span, report)?;
                return Some(Action::Redirect(socket));
            }
            (Verb::Redirect, Some((Target::InputOf(name), _))) => {
                return self.feed(name, Queue::Input);
            }
            (Verb::Redirect, Some((Target::OutputOf(name), _))) => {
                return self.feed(name, Queue::Output);
            }
            (Verb::Redirect, Some((Target::ByMap(name), _))) => {
                return self.map_action(name, clauses);
            }
            (Verb::Redirect, Some((Target::Interface(name), _))) => {
                self.report.checked(kernel_names::interface(name))?;
                return Some(Action::Forward(self.out_interface(&name.value)));
            }
            (Verb::Shortcut, Some((Target::WithinGroup(name), _))) => {
                let report = &mut self.report;
                let group = self.groups.look_up(&name.value, name.span, report)?;
                return group.map(Shortcut::within).map(Action::Shortcut);
            }
            (Verb::Shortcut, None) => match clauses.ends_of(verb) {
                Some(ends) => return self.between(ends),
                None => self.no_target(verb, span),
            },
            // A zone in the place of the target is told by itself.
            (Verb::Redirect, None) if clauses.leaves.is_some() => {}
            (_, None) => self.no_target(verb, span),
            (_, Some((_, at))) => self.misplaced_target(verb, at),
        }
        None
    }

    /// A shortcut from the sockets of a group to those of another.
    fn between(&mut self, (from, to): (Option<&Side>, &Name)) -> Option<Action> {
        let Some(Side::Group(from)) = from else {
            self.report.error(
                codes::NO_TARGET,
                "the shortcut does not say from which group",
                to.span,
                "both ends of a shortcut are groups",
                "write `from group NAME to group NAME`",
            );
            return None;
        };
        let report = &mut self.report;
        let mut named = |name: &Name| {
            let group = self.groups.look_up(&name.value, name.span, report);
            group.copied().flatten()
        };
        let (from, to) = (named(from), named(to));
        Some(Action::Shortcut(Shortcut {
            from: from?,
            to: to?,
        }))
    }

    /// Data into a queue of a socket.
    fn feed(&mut self, name: &Name, queue: Queue) -> Option<Action> {
        let report = &mut self.report;
        let socket = (*self.sockets.look_up(&name.value, name.span, report)?)?;
        is_feedable(&self.policy.sockets[socket], name.span, report)?;
        Some(Action::Feed(Feed { socket, queue }))
    }

    /// Each interface has one number, however many rules name it.
    fn out_interface(&mut self, name: &str) -> OutInterfaceId {
        let known = self
            .policy
            .out_interfaces
            .iter()
            .find(|(_, known)| *known == name);
        match known {
            Some((id, _)) => id,
            None => self.policy.out_interfaces.push(name.to_owned()),
        }
    }

    pub(super) fn no_target(&mut self, verb: Verb, span: Span) {
        let (missing, help) = match verb {
            Verb::Shortcut => (
                "among which sockets",
                "add `within group NAME`, or `from group NAME to group NAME`",
            ),
            Verb::Splice => ("which pairs", "add `pairs NAME`"),
            _ => ("where to", "add `to sock NAME` or `to interface NAME`"),
        };
        self.report.error(
            codes::NO_TARGET,
            format!("the {} does not say {missing}", verb.word()),
            span,
            "this verb needs a target",
            help,
        );
    }

    pub(super) fn misplaced_target(&mut self, verb: Verb, span: Span) {
        let help = match verb {
            Verb::Redirect => "write `to sock NAME` or `to interface NAME`",
            Verb::Shortcut => "write `within group NAME`, or `from group NAME to group NAME`",
            Verb::Splice => "write `pairs NAME`",
            _ => "leave the target out, or write `redirect … to sock NAME`",
        };
        self.report.error(
            codes::TARGET_MISPLACED,
            format!("`{}` has no such target", verb.word()),
            span,
            "does not belong to the verb",
            help,
        );
    }

    /// The protocols that a redirect matches: those it names, which its socket must hold, else those of its socket.
    pub(super) fn redirect_protocols(
        &mut self,
        named: Vec<ProtocolMatch>,
        written: &[Spanned<Protocol>],
        socket: SocketId,
    ) -> Option<Vec<ProtocolMatch>> {
        let socket = &self.policy.sockets[socket];
        let held = socket.origin.protocols();
        if named.is_empty() {
            let whole = |number| ProtocolMatch {
                family: None,
                number,
                icmp: Vec::new(),
            };
            return Some(held.into_iter().map(whole).collect());
        }
        let words: Vec<&str> = held.iter().map(|&number| protocol_word(number)).collect();
        let mut sound = true;
        for (protocol, written) in named.iter().zip(written) {
            if held.contains(&protocol.number) {
                continue;
            }
            sound = false;
            self.report.push(
                Diagnostic::error(
                    codes::SOCKET_PROTOCOL,
                    format!("the socket `{}` does not take this protocol", socket.name),
                    written.span,
                    match socket.origin.listen() {
                        Some(_) => format!("the socket listens on {} only", words.join(" and ")),
                        None => "a socket that is handed over is one of tcp or udp".to_owned(),
                    },
                )
                .also(socket.place.span, "declared here")
                .help(format!(
                    "write `{}`, or leave the protocols out: a redirect takes those of its socket",
                    words.join(", ")
                )),
            );
        }
        sound.then_some(named)
    }
}

fn protocol_word(number: IpProtocol) -> &'static str {
    if number == IpProtocol::TCP {
        "tcp"
    } else {
        "udp"
    }
}
