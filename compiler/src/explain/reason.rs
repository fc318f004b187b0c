//! The first reason why a rule does not match, in words.

use super::{Miss, words};
use crate::decide::{
    Lookups, Seen, covers_class, covers_protocol, covers_side, from_port, holds, to_port,
};
use crate::event::{Event, Header};
use crate::packet::text::endpoint;
use crate::policy::{Condition, Endpoint, Rule, RuleId, Side};

/// What rules are asked about.
pub(super) struct Asked<'a> {
    /// What they look at.
    pub(super) seen: &'a Seen<'a>,
    /// What happens.
    pub(super) event: &'a Event,
    /// Which of them lookups ask.
    pub(super) lookups: Lookups,
}

/// Why a rule does not match. The caller knows that it does not.
pub(super) fn why_not(asked: &Asked<'_>, id: RuleId, rule: &Rule) -> String {
    let wanted = &rule.matches;
    let seen = asked.seen;
    if let Some(reason) = elsewhere(asked, id, rule) {
        return reason;
    }
    if !covers_protocol(&wanted.protocols, seen.header) {
        return format!(
            "it is for {}; this is {}",
            words::protocols(&wanted.protocols),
            words::protocol(seen.header)
        );
    }
    let sides = [
        (
            "from",
            &wanted.from,
            seen.header.from,
            from_port(seen.header),
        ),
        ("to", &wanted.to, seen.header.to, to_port(seen.header)),
    ];
    for (word, side, address, port) in sides {
        if !covers_side(seen, side.as_ref(), address, port) {
            return side_reason(seen, word, side.as_ref(), port);
        }
    }
    if !covers_class(seen, wanted) {
        return "it is for packets of another interface".into();
    }
    let failing = wanted
        .conditions
        .iter()
        .find(|condition| !holds(seen, condition));
    if let Some(condition) = failing {
        return condition_reason(seen, condition);
    }
    rate_reason(seen.header, rule)
}

/// Everything in which a rule does not fit. The caller knows that it does not match.
pub(super) fn misses(asked: &Asked<'_>, id: RuleId, rule: &Rule) -> Vec<Miss> {
    let wanted = &rule.matches;
    let seen = asked.seen;
    let header = seen.header;
    let from = covers_side(seen, wanted.from.as_ref(), header.from, from_port(header));
    let to = covers_side(seen, wanted.to.as_ref(), header.to, to_port(header));
    let parts = [
        (Miss::Place, elsewhere(asked, id, rule).is_none()),
        (Miss::Protocol, covers_protocol(&wanted.protocols, header)),
        (Miss::Sender, from),
        (Miss::Receiver, to),
        (Miss::Interface, covers_class(seen, wanted)),
    ];
    let mut misses: Vec<Miss> = parts
        .into_iter()
        .filter(|(_, conforms)| !conforms)
        .map(|(miss, _)| miss)
        .collect();
    let conditions = wanted.conditions.iter();
    let failing = conditions.filter(|condition| !holds(seen, condition));
    misses.extend(failing.map(|_| Miss::Condition));
    if misses.is_empty() {
        misses.push(Miss::Rate);
    }
    misses
}

/// Why a rule is not asked about this event at all.
fn elsewhere(asked: &Asked<'_>, id: RuleId, rule: &Rule) -> Option<String> {
    let seen = asked.seen;
    match asked.event {
        Event::Packet { .. } | Event::Passing { .. } => (rule.in_lookup()
            && !seen.header.is_looked_up(seen.socket(None)))
        .then(|| "it runs in the socket lookup, and none is made for this packet".into()),
        Event::Lookup { .. } => {
            (!asked.lookups.ask(id, rule)).then(|| "it does not run in the socket lookup".into())
        }
        Event::Process { group, .. } => {
            (!rule.is_for(*group)).then(|| "it is for another group".into())
        }
    }
}

fn side_reason(seen: &Seen<'_>, word: &str, side: Option<&Side>, port: Option<u16>) -> String {
    let here = match word {
        "from" => endpoint(seen.header.from, port),
        _ => endpoint(seen.header.to, port),
    };
    let Some(Side::Endpoints { negated, endpoints }) = side else {
        return "it is for another group".into();
    };
    let names_ports = endpoints.iter().any(|endpoint| endpoint.ports.is_some());
    if names_ports && port.is_none() {
        return "it names a port; this packet has none".into();
    }
    let list: Vec<String> = endpoints
        .iter()
        .map(|endpoint: &Endpoint| words::end(seen.policy, endpoint))
        .collect();
    let not = if *negated { "not " } else { "" };
    format!(
        "it wants {word} {not}{}; this is {word} {here}",
        words::short(list)
    )
}

fn condition_reason(seen: &Seen<'_>, condition: &Condition) -> String {
    let wanted = words::condition(seen.policy, condition);
    let found = words::found(seen, condition);
    if found.is_empty() {
        format!("it wants {wanted}")
    } else {
        format!("it wants {wanted}; {found}")
    }
}

/// Everything else holds, so it is the rate; which part it is for, the rule says.
fn rate_reason(header: &Header, rule: &Rule) -> String {
    match rule.rate {
        Some(rate) if rate.never_fits(rule.direction, header.length) => {
            return format!(
                "it is for what fits in its rate; these {} bytes never do, since a full bucket holds {}",
                header.length, rate.burst
            );
        }
        Some(rate) if rate.above => "it is for what is above its rate; this packet fits",
        _ => "it is for what fits in its rate; this packet is above it",
    }
    .into()
}
