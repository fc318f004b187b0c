//! Rejects of what passes through whose answers the policy's own `out` drops: they answer nobody.
//!
//! The answer leaves by the interface by which the packet came, and meets the rules of `out` there, as what this machine sends does.
//! Answers to packets at the rule's corners are asked of the reference meaning, by every interface by which they may leave. Where one of
//! them gets out nothing is said.

use sockc_grammar::diagnostic::Diagnostic;

use super::{UNANSWERED, decided};
use crate::coverage::Coverage;
use crate::decide::decide;
use crate::event::{Decision, Event, Fragment, Header, Parsed, Transport, Verdict};
use crate::packet::shortest_length;
use crate::packet::text::{Described, DescribedWorld, describe_case};
use crate::policy::{Action, ClassId, Direction, Family, Policy, Rule, RuleId};

const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const ECHO_REQUESTS: [(Family, u8); 2] = [(Family::V4, 8), (Family::V6, 128)];
/// The header of an ICMP message; what it quotes comes behind it.
const ICMP: u32 = 8;

/// Reports such rules.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    // Where no line says which interfaces the policy is on, it may not be on the one that answers leave by.
    if policy.interfaces.is_empty() || !policy.has_list(Direction::Out) {
        return;
    }
    let coverage = Coverage::of(policy);
    let rules = policy.rules_of(Direction::Forward);
    for (id, rule) in rules.filter(|(_, rule)| rule.action == Action::Reject) {
        let named = rule.matches.on.clone();
        let classes = named.unwrap_or_else(|| policy.classes.keys().collect());
        // By an interface that the policy is not on, an answer meets no list.
        if classes.iter().all(|class| coverage.covers(*class)) {
            let stop = stopped(policy, (id, rule), &classes);
            found.extend(stop.map(|stop| stop.told(policy, rule)));
        }
    }
}

/// The first answer of a rule that is stopped, if all are that are looked at.
fn stopped(policy: &Policy, own: (RuleId, &Rule), classes: &[ClassId]) -> Option<Stop> {
    let mut first = None;
    for (packet, _) in decided::packets(policy, own) {
        let Some(header) = packet.event.header().and_then(answer) else {
            continue;
        };
        let world = DescribedWorld::new(policy, &packet);
        for &class in classes {
            let event = Event::Packet {
                direction: Direction::Out,
                class,
                packet: Parsed::Ip(header.clone()),
            };
            let answer = Described {
                event,
                ..packet.clone()
            };
            let decision = decide(policy, &answer.event, &world);
            if !matches!(decision.verdict, Verdict::Drop | Verdict::Reject) {
                return None;
            }
            first.get_or_insert(Stop { answer, decision });
        }
    }
    first
}

/// The answer to a packet, as far as its header is known ahead of it; none for one that gets none.
fn answer(header: &Header) -> Option<Header> {
    let family = header.family();
    let (protocol, transport, quoted) = match header.transport {
        _ if header.fragment == Fragment::Later => return None,
        Transport::Tcp { flags, .. } if flags & RST != 0 => return None,
        Transport::Tcp { from, to, flags } => {
            // One that acknowledges names the number that the reset begins with (RFC 9293, 3.10.7.1).
            let flags = if flags & ACK == 0 { RST | ACK } else { RST };
            let (from, to) = (to, from);
            (header.protocol, Transport::Tcp { from, to, flags }, 0)
        }
        Transport::Icmp { kind, .. } if !ECHO_REQUESTS.contains(&(family, kind)) => return None,
        _ => {
            let (kind, code) = match family {
                Family::V4 => (3, 3),
                Family::V6 => (1, 4),
            };
            let transport = Transport::Icmp { kind, code };
            (family.icmp(), transport, header.length)
        }
    };
    let shortest = shortest_length(family, protocol, Fragment::Whole);
    Some(Header {
        from: header.to,
        to: header.from,
        protocol,
        transport,
        length: match quoted {
            0 => shortest,
            quoted => shortest.max(quoted + ICMP),
        },
        mark: header.mark,
        ..Header::PLAIN
    })
}

/// What becomes of an answer where it leaves.
struct Stop {
    answer: Described,
    decision: Decision,
}

impl Stop {
    fn told(&self, policy: &Policy, rule: &Rule) -> Diagnostic {
        let warning = Diagnostic::warning(
            UNANSWERED,
            "what this rejects gets no answer",
            rule.place.span,
            "its answers meet the list of `out` where the packets came in, which drops them",
        );
        let packet = describe_case(policy, &self.answer).unwrap_or_default();
        let place = decided::place(policy, Direction::Out, self.decision.decider);
        let warning = match place {
            Some(place) => warning.also(
                place.span,
                format!("this {}s one: `{packet}`", self.decision.verdict.word()),
            ),
            None => warning,
        };
        warning.help(
            "allow answers there, ahead of that (`allow out tcp if tcp flags rst`, `allow out icmp dest-unreachable`); or write `drop forward`",
        )
    }
}
