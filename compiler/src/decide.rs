//! The reference meaning: what a policy says of one event, written to be read beside the language page.
//!
//! Takes a resolved [`Policy`], an [`Event`] and a [`World`] that answers for sockets; gives a [`Decision`]. It is slow
//! and obvious on purpose: everything else (diagram, bytecode, kernel) is tested against it. Not here: which hook runs
//! a rule, since placement does not change meaning.

mod matching;
#[cfg(test)]
mod tests;

pub use matching::matches;

use crate::event::{Decider, Decision, Event, Header, Parsed, Part, SocketAnswer, Verdict, World};
use crate::hook::Hook;
use crate::policy::{Action, Direction, GroupId, Policy, Rule, Side, SocketId};

/// What the policy says of the event.
///
/// A rule that says `at sk_lookup` is limited to new flows: seen with a packet it matches only TCP and UDP that are not
/// later fragments and whose socket is not an established one.
#[must_use]
pub fn decide(policy: &Policy, event: &Event, world: &dyn World) -> Decision {
    match event {
        Event::Packet { direction, packet } => decide_packet(policy, *direction, packet, world),
        Event::Lookup(header) => decide_lookup(policy, header, world),
        Event::Send { group, header } => decide_send(policy, *group, header),
    }
}

/// A packet that arrives or leaves: the first deciding rule of its list, else the default.
fn decide_packet(
    policy: &Policy,
    direction: Direction,
    packet: &Parsed,
    world: &dyn World,
) -> Decision {
    let header = match packet {
        Parsed::NotIp => return undisturbed(Decider::NotIp),
        Parsed::Malformed => {
            return Decision {
                verdict: default_verdict(policy, direction),
                decider: Decider::Malformed,
                counted: Vec::new(),
            };
        }
        Parsed::Ip(header) => header,
    };
    let answer = world.socket(direction, header);
    first_match(
        policy,
        direction,
        |rule| {
            matches(&rule.matches, header, answer)
                && (rule.at != Some(Hook::SkLookup) || is_new_flow(header, answer))
        },
        |action| packet_verdict(policy, action, header, answer, world),
    )
}

/// What a deciding rule does to a packet that it matches.
fn packet_verdict(
    policy: &Policy,
    action: Action,
    header: &Header,
    answer: SocketAnswer,
    world: &dyn World,
) -> Verdict {
    match action {
        Action::Drop => Verdict::Drop,
        Action::Allow | Action::Count | Action::Shortcut(_) => Verdict::Allow,
        // Connections that exist are not moved: the kernel asks no lookup program about them.
        Action::Redirect(_) if answer == SocketAnswer::Established => Verdict::Allow,
        // No lookup is made for a later fragment: it joins its datagram first.
        Action::Redirect(_) if header.part == Part::Later => Verdict::Allow,
        Action::Redirect(socket) => {
            let silent = policy.sockets[socket].drop_if_absent;
            steer(
                socket,
                header,
                world,
                if silent {
                    Verdict::Drop
                } else {
                    Verdict::Reject
                },
            )
        }
    }
}

/// A lookup for a packet that met no packet hook: only redirects, the `allow`s that a lookup can evaluate, and counts
/// that say `at sk_lookup` are there. An absent socket is always a reject, since a lookup cannot drop in silence.
fn decide_lookup(policy: &Policy, header: &Header, world: &dyn World) -> Decision {
    // Packets of established sockets get to no lookup; that the socket is not an established one is all that is known.
    let answer = SocketAnswer::None;
    if !is_new_flow(header, answer) {
        return undisturbed(Decider::Unmatched);
    }
    let here = |rule: &Rule| match rule.action {
        Action::Redirect(_) => true,
        Action::Allow => matching::readable_at_lookup(&rule.matches),
        Action::Count => rule.at == Some(Hook::SkLookup),
        Action::Drop | Action::Shortcut(_) => false,
    };
    let mut decision = first_match(
        policy,
        Direction::In,
        |rule| here(rule) && matches(&rule.matches, header, answer),
        |action| match action {
            Action::Redirect(socket) => steer(socket, header, world, Verdict::Reject),
            _ => Verdict::Allow,
        },
    );
    if decision.decider == Decider::Default {
        decision.decider = Decider::Unmatched;
        decision.verdict = Verdict::Allow;
    }
    decision
}

/// Data that a process of a group writes.
fn decide_send(policy: &Policy, group: GroupId, header: &Header) -> Decision {
    let of_this_group = |rule: &Rule| {
        let within = match rule.action {
            Action::Shortcut(within) => within == group,
            _ => true,
        };
        let from = match rule.matches.from {
            Some(Side::Group(from)) => from == group,
            _ => true,
        };
        within && from
    };
    first_match(
        policy,
        Direction::Send,
        // Socket conditions have no meaning for `send`, so no answer is asked for.
        |rule| of_this_group(rule) && matches(&rule.matches, header, SocketAnswer::None),
        |action| match action {
            Action::Drop => Verdict::Drop,
            Action::Shortcut(within) => Verdict::Shortcut(within),
            _ => Verdict::Allow,
        },
    )
}

/// One ordered list, first match wins: the rules of the direction in source order, else its default.
fn first_match(
    policy: &Policy,
    direction: Direction,
    matched: impl Fn(&Rule) -> bool,
    verdict: impl Fn(Action) -> Verdict,
) -> Decision {
    let mut counted = Vec::new();
    for (id, rule) in policy.rules_of(direction) {
        if !matched(rule) {
            continue;
        }
        if rule.action.decides() {
            return Decision {
                verdict: verdict(rule.action),
                decider: Decider::Rule(id),
                counted,
            };
        }
        counted.push(id);
    }
    let decider = match policy.default_of(direction) {
        Some(_) => Decider::Default,
        None => Decider::Unmatched,
    };
    Decision {
        verdict: default_verdict(policy, direction),
        decider,
        counted,
    }
}

/// The `default` of a direction; without one, what nothing matches is allowed.
fn default_verdict(policy: &Policy, direction: Direction) -> Verdict {
    match policy.default_of(direction) {
        Some(line) if !line.allow => Verdict::Drop,
        _ => Verdict::Allow,
    }
}

/// The named socket if it is there, else what an absent one gets. Never another socket.
fn steer(socket: SocketId, header: &Header, world: &dyn World, absent: Verdict) -> Verdict {
    if world.present(socket, header.family(), header.protocol) {
        Verdict::Redirect(socket)
    } else {
        absent
    }
}

/// Whether the kernel would ask a lookup program about this packet.
fn is_new_flow(header: &Header, answer: SocketAnswer) -> bool {
    matches!(header.protocol, 6 | 17)
        && header.part != Part::Later
        && answer != SocketAnswer::Established
}

/// Goes on, decided by no rule.
fn undisturbed(decider: Decider) -> Decision {
    Decision {
        verdict: Verdict::Allow,
        decider,
        counted: Vec::new(),
    }
}
