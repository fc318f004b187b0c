//! What stands in a zone or a policy, in the order in which firewalld asks it.
//!
//! Takes settings; puts their rules into a chain: rich rules below priority 0, what is written, what is refused, what is let in, and rich
//! rules above it. Not here: which packets are meant, and what becomes of the rest.

use serde_json::json;

use super::always::ANSWER;
use super::elements::About;
use super::ends;
use super::making::Making;
use super::meant::{self, Meant};
use super::rich::{Limit, Rich, Verdict};
use super::xml::Spot;
use super::zones::Settings;
use crate::verbs::import::goal::{Goal, PLAIN_ANSWER};
use crate::verbs::import::limits;
use crate::verbs::import::rule::Rule;
use crate::verbs::import::what::{Of, What};

/// Where a rule stands: the earlier, the less.
type Rank = (Phase, i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Ahead,
    Written,
    Refused,
    LetIn,
    Behind,
}

/// The rules of settings; `inverted` is whether types of ICMP that are blocked are let in.
pub(super) fn lines(making: &mut Making<'_>, chain: &str, settings: &Settings, inverted: bool) {
    let mut rules: Vec<(Rank, Spot, Rule)> = Vec::new();
    for (spot, about) in &settings.plain {
        let (phase, goal) = match about {
            About::IcmpBlock(_) if !inverted => (Phase::Refused, Goal::Reject(ANSWER.to_owned())),
            _ => (Phase::LetIn, Goal::Accept),
        };
        let parts = meant::parts(making.config, about, making.family, false);
        for part in parts {
            rules.push(((phase, 0), spot.clone(), of_part(making, part, &goal)));
        }
    }
    for rich in &settings.rules {
        rules.extend(of_rich(making, rich));
    }
    rules.sort_by_key(|(rank, ..)| *rank);
    for (_, spot, rule) in rules {
        making.line(chain, &spot, rule);
    }
}

/// A rule about a part of what is meant.
fn of_part(making: &Making<'_>, meant: Meant, goal: &Goal) -> Rule {
    let mut rule = making.rule(goal.clone(), Vec::new());
    rule.comment = meant.comment;
    rule.changed.extend(meant.changed);
    match meant.part {
        Ok(what) => rule.cases.push(what),
        Err(why) => {
            rule.cases.push(What::any(making.family));
            rule.refuse(why);
        }
    }
    rule
}

/// The rules that a rich rule is: for each part what is written, and what becomes of it.
fn of_rich(making: &Making<'_>, rich: &Rich) -> Vec<(Rank, Spot, Rule)> {
    let mut rules = Vec::new();
    let is_changing = matches!(rich.about, Some(About::Changing(_)));
    let marks = matches!(rich.verdict, Some((Verdict::Mark, _)));
    if rich.family.is_some_and(|family| family != making.family) || is_changing || marks {
        return rules;
    }
    for meant in parts(making, rich) {
        let Meant {
            part,
            comment,
            changed,
        } = meant;
        let of = |goal: &Goal| {
            let meant = Meant {
                part: part.clone(),
                comment: comment.clone(),
                changed: changed.clone(),
            };
            let mut rule = of_part(making, meant, goal);
            if let Err(why) = sides(making, rich, &mut rule) {
                rule.refuse(why);
            }
            rule
        };
        if let Some(log) = &rich.log {
            let mut rule = of(&Goal::Log(log.prefix.clone()));
            rule.changed.clear();
            limited(&mut rule, log.limit);
            rules.push((
                (phase(rich, Phase::Written), rich.priority),
                rich.spot.clone(),
                rule,
            ));
        }
        if let Some((at, goal, limit)) = decides(rich) {
            let mut rule = of(&goal);
            answered_by(&goal, &mut rule);
            limited(&mut rule, limit);
            if limit.is_some() && rich.family.is_none() {
                rule.changed.push(
                    "firewalld counts both families in one bucket, and each has its own here"
                        .to_owned(),
                );
            }
            if rich.audits {
                rule.changed
                    .push("no audit record is written for it".to_owned());
            }
            rules.push(((phase(rich, at), rich.priority), rich.spot.clone(), rule));
        }
    }
    rules
}

/// The packets of a rich rule. Each port has a limit of its own there.
fn parts(making: &Making<'_>, rich: &Rich) -> Vec<Meant> {
    let written = rich.log.as_ref().and_then(|log| log.limit);
    let decided = rich.verdict.as_ref().and_then(|(_, limit)| *limit);
    let is_limited = written.is_some() || decided.is_some();
    let Some(about) = &rich.about else {
        return vec![Ok(What::any(making.family)).into()];
    };
    meant::parts(making.config, about, making.family, is_limited)
}

fn phase(rich: &Rich, plain: Phase) -> Phase {
    match rich.priority {
        ..0 => Phase::Ahead,
        0 => plain,
        1.. => Phase::Behind,
    }
}

/// What becomes of its packets, if anything does.
fn decides(rich: &Rich) -> Option<(Phase, Goal, Option<Limit>)> {
    let refused = |answer: &str| Goal::Reject(answer.to_owned());
    match (&rich.verdict, &rich.about) {
        (Some((Verdict::Accept, limit)), _) => Some((Phase::LetIn, Goal::Accept, *limit)),
        (Some((Verdict::Drop, limit)), _) => Some((Phase::Refused, Goal::Drop, *limit)),
        (Some((Verdict::Reject(with), limit)), _) => {
            let with = with.as_deref().map_or(PLAIN_ANSWER, answer);
            Some((Phase::Refused, refused(with), *limit))
        }
        (None, Some(About::IcmpBlock(_))) => Some((Phase::Refused, refused(ANSWER), None)),
        (Some((Verdict::Mark, _)) | None, _) => None,
    }
}

/// An answer by the name that nftables has for it.
fn answer(name: &str) -> &str {
    match name {
        "icmp-port-unreachable" | "icmp6-port-unreachable" | "port-unreach" => PLAIN_ANSWER,
        "tcp-reset" | "tcp-rst" => "tcp-reset",
        other => other,
    }
}

/// A reset is an answer to TCP, so a rule with that is about nothing else.
fn answered_by(goal: &Goal, rule: &mut Rule) {
    if *goal == Goal::Reject("tcp-reset".to_owned()) {
        let cases = rule.cases.first().map(|case| case.family);
        let tcp = cases.map(|family| What::protocol(family, 6));
        if let Err(why) = rule.met(tcp.as_slice()) {
            rule.refuse(why);
        }
    }
}

/// Who sends and who receives.
fn sides(making: &Making<'_>, rich: &Rich, rule: &mut Rule) -> Result<(), String> {
    let named = (&making.config.sets, making.family, making.list);
    for (end, of) in [(&rich.source, Of::From), (&rich.destination, Of::To)] {
        if let Some((end, negated)) = end {
            rule.asks(ends::asks(end, *negated, of, named)?)?;
        }
    }
    Ok(())
}

/// Gives a rule the limit that stands with it, as nftables has it.
fn limited(rule: &mut Rule, limit: Option<Limit>) {
    let Some(limit) = limit else {
        return;
    };
    let burst = limit.burst.unwrap_or_default();
    let stated = json!({"rate": limit.count, "per": limit.period, "burst": burst});
    match limits::rate(&stated, "", None) {
        Ok(rate) => rule.limit(&rate, false),
        Err(why) => rule.refuse(why),
    }
}
