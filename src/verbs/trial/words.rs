//! Cases, sightings and verdicts in words.

use sockc_compiler::event::{Decider, Verdict};
use sockc_compiler::packet::text;
use sockc_compiler::policy::{Policy, SourceLocation};

use super::choose::{Case, Owner};
use super::report;
use super::stage::Seen;

/// The packet as the command line takes it.
pub(crate) fn packet(policy: &Policy, case: &Case) -> String {
    text::describe_case(policy, case).unwrap_or_else(|| "a frame that is not IP".into())
}

/// What was seen.
pub(crate) fn seen(policy: &Policy, seen: &Seen) -> String {
    match seen {
        Seen::Dropped => "dropped".into(),
        Seen::Passed => "passed".into(),
        Seen::Reached(socket) => format!("reached sock {}", policy.sockets[*socket].name),
        Seen::Refused => "passed, nobody listens".into(),
        Seen::Answered => "refused by an answer".into(),
        Seen::Forwarded(port) => format!("left by interface {}", policy.out_interfaces[*port]),
        Seen::Denied(direction) => direction.spec().refused.into(),
        Seen::Done(direction) => direction.spec().done.into(),
        Seen::Fed(feed) => format!(
            "came out of the {} {}",
            feed.queue.words(),
            policy.sockets[feed.socket].words()
        ),
        Seen::NotSent(reason) => format!("nothing: {reason}"),
    }
}

/// What the rules say.
pub(crate) fn verdict(policy: &Policy, verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow | Verdict::Drop | Verdict::Reject => verdict.word().into(),
        Verdict::Redirect(socket) => format!("redirect to sock {}", policy.sockets[socket].name),
        Verdict::Forward(port) => format!("redirect to interface {}", policy.out_interfaces[port]),
        Verdict::Feed(feed) => format!("redirect to {}", policy.feed_words(feed)),
        Verdict::Shortcut(group) => format!("shortcut to group {}", policy.groups[group].name),
    }
}

/// The statement that decides, with its place.
pub(crate) fn decider(policy: &Policy, case: &Case, decider: Decider) -> report::Decider {
    match decider {
        Decider::Rule(rule) => statement(&policy.rules[rule].place),
        Decider::Default | Decider::Malformed => policy
            .default_of(case.event.direction())
            .map_or_else(no_statement, |line| statement(&line.place)),
        Decider::NotIp | Decider::Unmatched => no_statement(),
    }
}

/// The rule or default that a packet was to be found for.
pub(crate) fn owner(policy: &Policy, owner: Owner) -> String {
    let place = match owner {
        Owner::Rule(rule) => Some(&policy.rules[rule].place),
        Owner::Default(direction) => policy.default_of(direction).map(|line| &line.place),
    };
    place.map_or_else(
        || "what no rule matches".into(),
        |place| format!("{}:{} {}", place.file, place.line, place.text),
    )
}

/// A statement, with its place.
pub(super) fn statement(place: &SourceLocation) -> report::Decider {
    report::Decider {
        rule: place.text.to_string(),
        file: place.file.to_string(),
        line: place.line,
    }
}

fn no_statement() -> report::Decider {
    report::Decider {
        rule: "no rule".into(),
        ..report::Decider::default()
    }
}
