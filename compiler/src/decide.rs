//! The reference meaning: what a policy says of one event, written to be read next to the language page.
//!
//! Takes a resolved [`Policy`], an [`Event`] and a [`World`] that answers for sockets, live sets and rates; gives a
//! [`Decision`]. It is slow and obvious on purpose: everything else (diagram, bytecode, kernel) is tested against it. Not
//! here: which hook runs a rule, since placement does not change meaning.

mod asked;
mod lookup;
mod matching;
#[cfg(test)]
mod tests;

pub(crate) use lookup::{Lookups, is_at_home};
#[cfg(test)]
pub(crate) use matching::covers;
pub(crate) use matching::{Seen, matches};
pub(crate) use matching::{
    covers_class, covers_protocol, covers_side, from_port, holds, readable_at_lookup, to_port,
};

use asked::{is_for, is_new_flow, is_of_lookup};

use crate::event::{
    Decider, Decision, Event, Fragment, Header, Parsed, SocketAnswer, Verdict, World,
};
use crate::policy::{
    Action, ClassId, DefaultVerdict, Direction, GroupId, Policy, Rule, RuleId, SocketId,
};

/// What the policy says of the event.
///
/// A rule that says `at sk_lookup` is limited to new flows: seen with a packet it matches only TCP and UDP that are not
/// later fragments and whose socket is not an established one.
#[must_use]
pub fn decide(policy: &Policy, event: &Event, world: &dyn World) -> Decision {
    decide_by(policy, event, world, |direction| policy.rules_of(direction))
}

/// What a packet that passes through meets next, where its list has let it go: the list of what leaves, with the mark that it goes
/// on with. What arrives and is to pass through meets its list only once the machine has routed it, so nothing follows there.
#[must_use]
pub fn next(event: &Event, decision: &Decision) -> Option<Event> {
    let (Event::Passing { leaves, packet, .. }, Verdict::Allow) = (event, decision.verdict) else {
        return None;
    };
    let packet = match packet {
        Parsed::Ip(header) => Parsed::Ip(Header {
            mark: decision.mark.unwrap_or(header.mark),
            ..header.clone()
        }),
        other => other.clone(),
    };
    Some(Event::Packet {
        direction: Direction::Out,
        class: *leaves,
        packet,
    })
}

/// What a packet that passes through met before, where it came in: the list of what arrives, with a time to live that was one
/// higher. Addresses are taken for those that it came with.
#[must_use]
pub fn before(event: &Event) -> Option<Event> {
    let Event::Passing {
        came_in, packet, ..
    } = event
    else {
        return None;
    };
    let packet = match packet {
        Parsed::Ip(header) => Parsed::Ip(Header {
            ttl: header.ttl.saturating_add(1),
            ..header.clone()
        }),
        other => other.clone(),
    };
    Some(Event::Packet {
        direction: Direction::In,
        class: *came_in,
        packet,
    })
}

/// The same, asking only `candidates`: rules of the event's direction in order, among them every one that matches it.
pub(crate) fn decide_among(
    policy: &Policy,
    event: &Event,
    world: &dyn World,
    candidates: &[RuleId],
) -> Decision {
    let rules = candidates.iter().map(|id| (*id, &policy.rules[*id]));
    decide_by(policy, event, world, |_| rules.clone())
}

/// What the policy says, given the rules to ask of a direction.
fn decide_by<'a, I: Iterator<Item = (RuleId, &'a Rule)>>(
    policy: &Policy,
    event: &Event,
    world: &dyn World,
    rules: impl Fn(Direction) -> I,
) -> Decision {
    match event {
        Event::Packet {
            direction,
            class,
            packet,
        } => decide_packet(
            policy,
            (*direction, [Some(*class), None]),
            packet,
            world,
            rules(*direction),
        ),
        Event::Passing {
            came_in,
            leaves,
            packet,
        } => decide_packet(
            policy,
            (Direction::Forward, [Some(*came_in), Some(*leaves)]),
            packet,
            world,
            rules(Direction::Forward),
        ),
        Event::Lookup { class, header } => {
            decide_lookup(policy, *class, header, world, rules(Direction::In))
        }
        Event::Process {
            direction,
            group,
            header,
        } => decide_process(
            policy,
            (*direction, *group),
            header,
            world,
            rules(*direction),
        ),
    }
}

/// A packet that arrives, leaves or passes through: the first deciding rule of its list, else the default.
fn decide_packet<'a>(
    policy: &Policy,
    (direction, classes): (Direction, [Option<ClassId>; 2]),
    packet: &Parsed,
    world: &dyn World,
    rules: impl Iterator<Item = (RuleId, &'a Rule)>,
) -> Decision {
    let header = match packet {
        Parsed::NotIp => return undisturbed(Decider::NotIp),
        Parsed::Malformed => return malformed(policy, direction),
        Parsed::Ip(header) => header,
    };
    let seen = Seen::new(policy, direction, classes, header, world);
    let decision = first_match(
        policy,
        direction,
        rules,
        |id, rule| {
            (!is_of_lookup(rule) || is_new_flow(header, seen.socket(None)))
                && matches(&seen, id, rule)
        },
        |action| packet_verdict(&seen, action),
    );
    with_member(&seen, decision)
}

/// Which member of a name gets a flow that is steered there.
fn with_member(seen: &Seen<'_>, decision: Decision) -> Decision {
    let member = match decision.verdict {
        Verdict::Redirect(socket) => seen.member(socket),
        _ => None,
    };
    Decision { member, ..decision }
}

/// A malformed packet gets the default; one that cannot be read cannot be answered, so a reject is silent.
fn malformed(policy: &Policy, direction: Direction) -> Decision {
    let verdict = match default_verdict(policy, direction) {
        Verdict::Reject => Verdict::Drop,
        other => other,
    };
    Decision {
        verdict,
        ..undisturbed(Decider::Malformed)
    }
}

/// What a deciding rule does to a packet that it matches.
fn packet_verdict(seen: &Seen<'_>, action: Action) -> Verdict {
    match action {
        Action::Drop => Verdict::Drop,
        Action::Reject => Verdict::Reject,
        Action::Forward(port) => Verdict::Forward(port),
        Action::Allow | Action::Count | Action::Shortcut(_) | Action::Feed(_) => Verdict::Allow,
        // Connections that exist are not moved: the kernel asks no lookup program about them.
        Action::Redirect(_) if seen.socket(None) == SocketAnswer::Established => Verdict::Allow,
        // No lookup is made for a later fragment: it joins its datagram first.
        Action::Redirect(_) if seen.header.fragment == Fragment::Later => Verdict::Allow,
        Action::Redirect(socket) => steer(
            seen,
            socket,
            Verdict::of_absent(&seen.policy.sockets[socket]),
        ),
        Action::Intercept(socket) => intercept(seen, socket),
    }
}

/// What a redirect `at tc` does. What belongs to a connected socket goes on to it, and a later fragment to where its
/// datagram is put together. The kernel forgets the socket of a first fragment when it does that, and another one might be
/// bound to the address: what is new and comes in parts is dropped.
fn intercept(seen: &Seen<'_>, socket: SocketId) -> Verdict {
    match (seen.socket(None), seen.header.fragment) {
        (SocketAnswer::Established, _) | (_, Fragment::Later) => Verdict::Allow,
        (_, Fragment::First) => Verdict::Drop,
        (_, Fragment::Whole) => {
            let absent = Verdict::of_absent(&seen.policy.sockets[socket]);
            steer(seen, socket, absent)
        }
    }
}

/// A lookup for a packet that met no packet hook: only redirects, rules that say `at sk_lookup`, and the `allow`s ahead of
/// them that a lookup can evaluate are there. An absent socket is always a reject, since a lookup cannot drop in silence.
fn decide_lookup<'a>(
    policy: &Policy,
    class: ClassId,
    header: &Header,
    world: &dyn World,
    rules: impl Iterator<Item = (RuleId, &'a Rule)>,
) -> Decision {
    // Packets of established sockets get to no lookup; that the socket is not an established one is all that is known.
    let seen = Seen::unconnected(policy, class, header, world);
    if !is_new_flow(header, SocketAnswer::None) {
        return undisturbed(Decider::Unmatched);
    }
    let asked = Lookups::of(policy);
    let mut decision = first_match(
        policy,
        Direction::In,
        rules,
        |id, rule| matches(&seen, id, rule) && asked.ask(id, rule),
        |action| match action {
            Action::Redirect(socket) => steer(&seen, socket, Verdict::Reject),
            Action::Reject => Verdict::Reject,
            _ => Verdict::Allow,
        },
    );
    // The packet mark belongs to the packet hooks.
    decision.mark = None;
    if decision.decider == Decider::Default {
        decision.decider = Decider::Unmatched;
        decision.verdict = Verdict::Allow;
    }
    with_member(&seen, decision)
}

/// What a process does with a socket of a group.
fn decide_process<'a>(
    policy: &Policy,
    (direction, group): (Direction, GroupId),
    header: &Header,
    world: &dyn World,
    rules: impl Iterator<Item = (RuleId, &'a Rule)>,
) -> Decision {
    let seen = Seen::new(policy, direction, [None; 2], header, world);
    first_match(
        policy,
        direction,
        rules,
        |id, rule| is_for(rule, group) && matches(&seen, id, rule),
        |action| match action {
            Action::Drop => Verdict::Drop,
            Action::Reject => Verdict::Reject,
            Action::Shortcut(near) => Verdict::Shortcut(near.to),
            Action::Feed(feed) if seen.present(feed.socket) => Verdict::Feed(feed),
            Action::Feed(feed) => Verdict::of_absent(&policy.sockets[feed.socket]),
            _ => Verdict::Allow,
        },
    )
}

/// One ordered list, first match wins: the rules of the direction in source order, else its default.
fn first_match<'a>(
    policy: &Policy,
    direction: Direction,
    rules: impl Iterator<Item = (RuleId, &'a Rule)>,
    matched: impl Fn(RuleId, &Rule) -> bool,
    verdict: impl Fn(Action) -> Verdict,
) -> Decision {
    let mut counted = Vec::new();
    for (id, rule) in rules {
        if !matched(id, rule) {
            continue;
        }
        if rule.action.decides() {
            let verdict = verdict(rule.action);
            // Only a packet that goes on keeps a mark.
            let ends = matches!(verdict, Verdict::Drop | Verdict::Reject);
            return Decision {
                verdict,
                decider: Decider::Rule(id),
                counted,
                mark: rule.mark.filter(|_| !ends),
                member: None,
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
        mark: None,
        member: None,
    }
}

/// The `default` of a direction; without one, what nothing matches is allowed.
fn default_verdict(policy: &Policy, direction: Direction) -> Verdict {
    match policy.default_of(direction).map(|line| line.verdict) {
        Some(DefaultVerdict::Drop) => Verdict::Drop,
        Some(DefaultVerdict::Reject) => Verdict::Reject,
        Some(DefaultVerdict::Allow) | None => Verdict::Allow,
    }
}

/// The named socket if it is there, else what an absent one gets. Never another socket.
fn steer(seen: &Seen<'_>, socket: SocketId, absent: Verdict) -> Verdict {
    if seen.present(socket) {
        Verdict::Redirect(socket)
    } else {
        absent
    }
}

/// Goes on, decided by no rule.
fn undisturbed(decider: Decider) -> Decision {
    Decision {
        verdict: Verdict::Allow,
        decider,
        counted: Vec::new(),
        mark: None,
        member: None,
    }
}
