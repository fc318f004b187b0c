//! An explained packet, for a person and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use sockc_compiler::event::{Decider, Decision, Event, Verdict};
use sockc_compiler::explain::{Miss, RuleAnswer, Step};
use sockc_compiler::packet::text::{Described, describe_case, describe_in};
use sockc_compiler::policy::{Direction, Feed, Policy, SourceLocation};
use sockc_compiler::spread;

use super::{Answer, Question};
use crate::output::Output;
use crate::policies::outside::{Outside, beyond};
use crate::verbs::trial::words;

/// The JSON of one packet.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) format: &'static str,
    /// The packet in words.
    pub(super) packet: String,
    #[serde(flatten)]
    pub(super) verdict: Said<'a>,
    /// Of what passes through: what the lists of what arrives and of what leaves say of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) around: Vec<Around<'a>>,
    pub(super) steps: Vec<Row<'a>>,
}

/// What another list says of a packet that passes through.
#[derive(Serialize)]
pub(super) struct Around<'a> {
    direction: &'static str,
    #[serde(flatten)]
    verdict: Said<'a>,
}

/// The verdict in JSON.
#[derive(Serialize)]
pub(super) struct Said<'a> {
    /// `drop`, `allow`, `reject` or `redirect`.
    verdict: &'static str,
    /// The socket of a redirect.
    socket: Option<&'a str>,
    /// The member of that socket which gets it where all are there, counted from 1; null where it has but one.
    member: Option<u32>,
    /// The interface of a redirect.
    interface: Option<&'a str>,
    /// The label of the rule that decides.
    rule: Option<&'a str>,
    /// The file and line of what decides; 0 where no statement does.
    file: &'a str,
    line: u32,
    /// Whether the default decides, or its absence.
    default: bool,
    /// The packet mark that is set.
    mark: Option<u32>,
    /// The interface or zone of the packet, if the policy is not on it: only socket lookups look at its packets.
    outside: Option<String>,
}

/// What one rule says, in JSON.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    rule: Option<&'a str>,
    text: &'a str,
    line: u32,
    outcome: &'static str,
    reason: Option<&'a str>,
}

/// What becomes of what no list of the policy meets.
pub(super) const NOBODY: Decision = Decision {
    verdict: Verdict::Allow,
    decider: Decider::Unmatched,
    counted: Vec::new(),
    mark: None,
    member: None,
};

/// Shows that the list which a packet is asked of does not meet it; of what passes through, what that met which is asked before.
pub(super) fn unseen(
    question: &Question<'_>,
    (outside, before): (&Outside, Option<&super::Around>),
    output: &mut Output,
) {
    let (policy, described) = (question.subject.policy, &question.described);
    let packet = asked(question);
    if output.is_json() {
        output.value(&Report {
            format: "sockc.explain/1",
            packet,
            verdict: Said {
                outside: Some(outside.place.clone()),
                ..said(policy, &described.event, &NOBODY)
            },
            around: before.map(|one| around(policy, one)).into_iter().collect(),
            steps: Vec::new(),
        });
        return;
    }
    output.line(packet);
    output.line(format_args!("=> not looked at: {}", outside.words(policy)));
    if let Some(before) = before {
        output.line(around_words(policy, before));
    }
}

/// What another list says of it, in words.
fn around_words(policy: &Policy, one: &super::Around) -> String {
    let place = match one.event.direction() {
        Direction::In => "where it came in",
        Direction::Forward => "where it leaves, passing through",
        _ => "where it leaves",
    };
    if let Some(outside) = &one.outside {
        return format!("   {place}: not looked at: {}", outside.words(policy));
    }
    let verdict = words::verdict(policy, one.decision.verdict);
    let by = decider(policy, &one.event, one.decision.decider);
    format!("   {place}: {verdict}, by {by}")
}

/// Shows what was found out about one packet.
pub(super) fn one(question: &Question<'_>, answer: &Answer, all: bool, output: &mut Output) {
    let (policy, described) = (question.subject.policy, &question.described);
    let outside = question.outside.as_ref();
    let packet = asked(question);
    let decision = &answer.trace.decision;
    if output.is_json() {
        let steps = answer.trace.steps.iter();
        output.value(&Report {
            format: "sockc.explain/1",
            packet,
            verdict: Said {
                outside: outside.map(|one| one.place.clone()),
                ..said(policy, &described.event, decision)
            },
            around: answer
                .around
                .iter()
                .map(|one| around(policy, one))
                .collect(),
            steps: steps.map(|step| row(policy, step)).collect(),
        });
        return;
    }
    output.line(packet);
    output.line(format_args!(
        "=> {}, by {}",
        words::verdict(policy, decision.verdict),
        decider(policy, &described.event, decision.decider)
    ));
    for one in &answer.around {
        output.line(around_words(policy, one));
    }
    if let Some(order) = order(policy, &described.event, decision) {
        output.line(format_args!("   {}", in_turn(&order)));
    }
    if let Some(outside) = outside {
        output.line(format_args!(
            "   by the socket lookup alone: {}",
            outside.words(policy)
        ));
    }
    steps(policy, &answer.trace.steps, all, output);
}

fn around<'a>(policy: &'a Policy, one: &super::Around) -> Around<'a> {
    let outside = one.outside.as_ref();
    Around {
        direction: one.event.direction().word(),
        verdict: Said {
            outside: outside.map(|outside| outside.place.clone()),
            ..said(policy, &one.event, &one.decision)
        },
    }
}

/// The members of the socket that a packet is redirected to, counted from 1, in the order of its flow; `None` where that has but
/// one.
fn order(policy: &Policy, event: &Event, decision: &Decision) -> Option<Vec<u32>> {
    let (Verdict::Redirect(socket), Some(_)) = (decision.verdict, decision.member) else {
        return None;
    };
    let header = event.header()?;
    let data = &policy.sockets[socket];
    let order = spread::order(header, data.spread, data.members)?;
    Some(order.map(|member| member + 1).collect())
}

/// So many members are told after the first.
const TOLD: usize = 3;

/// Which member gets it, and which ones while that is not there.
fn in_turn(order: &[u32]) -> String {
    let mut numbers = order.iter().map(u32::to_string);
    let first = numbers.next().unwrap_or_default();
    let next: Vec<String> = numbers.take(TOLD).collect();
    let more = if order.len() > TOLD + 1 { ", …" } else { "" };
    format!(
        "by member {first} of {}, and while that is not there by {}{more}",
        order.len(),
        next.join(", then ")
    )
}

/// So many rules are told one by one, whatever they miss.
const FEW: usize = 8;

/// Why the rules ahead of the decider do not match: those that match, and those that miss one thing only, one by one; the
/// others as so many for each reason. All of them one by one if that is asked for, or if they are few.
fn steps(policy: &Policy, steps: &[Step], all: bool, output: &mut Output) {
    let mut others: BTreeMap<Miss, usize> = BTreeMap::new();
    let mut near = 0;
    for step in steps {
        let is_near = step.misses.len() <= 1;
        let matches = step.misses.is_empty();
        near += usize::from(is_near && !matches);
        if all || steps.len() <= FEW || matches || (is_near && near <= FEW) {
            self::step(policy, step, output);
        } else if let Some(first) = step.misses.first() {
            *others.entry(*first).or_default() += 1;
        }
    }
    for (miss, count) in &others {
        let (rules, are) = if *count == 1 {
            ("rule", "is")
        } else {
            ("rules", "are")
        };
        output.line(format_args!(
            "  {count} more {rules} {are} {}",
            missed(*miss)
        ));
    }
    if !others.is_empty() {
        output.line("  (`--all` tells each of them)");
    }
}

fn step(policy: &Policy, step: &Step, output: &mut Output) {
    let rule = &policy.rules[step.rule];
    let text = match &step.outcome {
        RuleAnswer::Decides => "decides".to_owned(),
        RuleAnswer::Counts => "matches and counts; the list goes on".to_owned(),
        RuleAnswer::No(reason) => format!("no: {reason}"),
    };
    output.line(format_args!("  {} {}", at(&rule.place), rule.place.text));
    output.line(format_args!("      {text}"));
}

/// What rules are that do not fit, in words.
fn missed(miss: Miss) -> &'static str {
    match miss {
        Miss::Place => "not asked about this packet",
        Miss::Protocol => "for other protocols",
        Miss::Sender => "for other senders",
        Miss::Receiver => "for other receivers or ports",
        Miss::Interface => "for other interfaces",
        Miss::Condition => "for packets of which something else is known",
        Miss::Rate => "for the other part of a rate",
    }
}

/// The packet in words.
pub(super) fn packet(policy: &Policy, described: &Described) -> String {
    describe_case(policy, described).unwrap_or_else(|| "a frame that is not IP".into())
}

/// The packet of a question in words that ask the same again.
fn asked(question: &Question<'_>) -> String {
    let (policy, described) = (question.subject.policy, &question.described);
    let outside = question.outside.is_some();
    let [on, leaves] = &question.named;
    let ends = [
        (on, described.event.on()),
        (leaves, described.event.leaves()),
    ];
    // What no rule knows has no other name than the one that it was asked by.
    let named = ends.map(|(named, class)| {
        let unknown = class == Some(Policy::plain_class());
        let named = named.as_ref();
        named.filter(|one| outside || unknown || beyond(policy, Some(one)).is_some())
    });
    describe_in(policy, described, named, question.subject.netns)
        .unwrap_or_else(|| packet(policy, described))
}

/// What decides, in words.
pub(super) fn decider(policy: &Policy, event: &Event, decider: Decider) -> String {
    match (decider, statement(policy, event, decider)) {
        (Decider::Malformed, Some(place)) => {
            format!("{} {}: the packet is malformed", at(place), place.text)
        }
        (_, Some(place)) => format!("{} {}", at(place), place.text),
        (Decider::NotIp, None) => "no rule: frames that are not IP always pass".into(),
        (Decider::Malformed, None) => "no rule: malformed, and there is no default".into(),
        (_, None) if matches!(event, Event::Lookup { .. }) => {
            "no rule: none that lookups ask matches, and they know no default".into()
        }
        (_, None) => "no rule: nothing matches, and there is no default".into(),
    }
}

fn at(place: &SourceLocation) -> String {
    format!("{}:{}", place.file, place.line)
}

/// The statement that decides.
pub(super) fn statement<'a>(
    policy: &'a Policy,
    event: &Event,
    decider: Decider,
) -> Option<&'a SourceLocation> {
    match decider {
        Decider::Rule(rule) => Some(&policy.rules[rule].place),
        Decider::Default | Decider::Malformed => {
            policy.default_of(event.direction()).map(|line| &line.place)
        }
        Decider::NotIp | Decider::Unmatched => None,
    }
}

/// The verdict in JSON.
pub(super) fn said<'a>(policy: &'a Policy, event: &Event, decision: &Decision) -> Said<'a> {
    let (verdict, socket, interface) = match decision.verdict {
        Verdict::Allow => ("allow", None, None),
        Verdict::Drop => ("drop", None, None),
        Verdict::Reject => ("reject", None, None),
        Verdict::Redirect(socket) | Verdict::Feed(Feed { socket, .. }) => {
            ("redirect", Some(&*policy.sockets[socket].name), None)
        }
        Verdict::Forward(port) => ("redirect", None, Some(&*policy.out_interfaces[port])),
        Verdict::Shortcut(_) => ("shortcut", None, None),
    };
    let place = statement(policy, event, decision.decider);
    let rule = match decision.decider {
        Decider::Rule(rule) => policy.rules[rule].label.as_deref(),
        _ => None,
    };
    Said {
        verdict,
        socket,
        member: decision.member.map(|member| member + 1),
        interface,
        rule,
        file: place.map_or("", |place| &place.file),
        line: place.map_or(0, |place| place.line),
        default: !matches!(decision.decider, Decider::Rule(_)),
        mark: decision.mark,
        outside: None,
    }
}

fn row<'a>(policy: &'a Policy, step: &'a Step) -> Row<'a> {
    let rule = &policy.rules[step.rule];
    let (outcome, reason) = match &step.outcome {
        RuleAnswer::Decides => ("decides", None),
        RuleAnswer::Counts => ("counts", None),
        RuleAnswer::No(reason) => ("no", Some(&**reason)),
    };
    Row {
        rule: rule.label.as_deref(),
        text: &rule.place.text,
        line: rule.place.line,
        outcome,
        reason,
    }
}
