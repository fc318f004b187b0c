//! A comparison in one line.
//!
//! Takes a report; gives what changes in effect, by kind, and what else is not the same. Not here: the changes
//! themselves.

use std::cmp::Reverse;
use std::fmt::{self, Display, Formatter};

use sockc_compiler::diff::Report;
use sockc_compiler::diff::report::{Change, Data, Edit, EditKind, Impact, Scope};

use crate::output::count;

/// What is said of policies that do the same to every packet.
pub(crate) const SAME: &str = "No change in effect.";

/// The whole comparison on one line.
pub(crate) fn line(report: &Report) -> String {
    let mut parts = vec![effect(report)];
    let besides = besides(report);
    if !besides.is_empty() {
        parts.push(format!("{}.", besides.join(", ")));
    }
    parts.join(" ")
}

/// A policy where none runs: `No policy runs. New: 3 rules, 1 default. 1 change of effect: allow -> drop.`
pub(crate) fn first(report: &Report) -> String {
    let edits = || report.scopes.iter().flat_map(|one| &one.edits);
    let new = edits().filter_map(|edit| edit.new.as_ref());
    let defaults = new.clone().filter(|line| line.is_default).count();
    let things = [(new.count() - defaults, "rule"), (defaults, "default")];
    let things = things.iter().filter(|(number, _)| *number > 0);
    let come: Vec<String> = things
        .map(|(number, thing)| count::of(*number, thing))
        .collect();
    let new = match come.is_empty() {
        true => "no rule".to_owned(),
        false => come.join(", "),
    };
    format!("No policy runs. New: {new}. {}", effect(report))
}

/// What changes in effect: `3 changes of effect: 2 drop -> allow, 1 allow -> drop.`
pub(super) fn effect(report: &Report) -> String {
    let changes: Vec<&Change> = report.scopes.iter().flat_map(|one| &one.changes).collect();
    let untold: usize = report.scopes.iter().map(|one| one.untold).sum();
    match (changes.len() + untold, report.is_complete()) {
        (0, false) => "Not everything could be compared; no change of effect was found.".into(),
        (0, true) if report.scopes.iter().any(|one| rates(one).next().is_some()) => {
            "Only rates change: how many packets fit, not which.".into()
        }
        (0, true) if report.differs() => {
            "No rule has another effect, but what is declared changes.".into()
        }
        (0, true) => SAME.into(),
        (many, complete) => {
            let more = if complete { "" } else { ", and perhaps more" };
            let many = count::of(many, "change");
            if changes.is_empty() {
                return format!("{many} of effect{more}.");
            }
            let such = if untold == 0 { ":" } else { ", among them" };
            format!("{many} of effect{such} {}{more}.", kinds(&changes, untold))
        }
    }
}

/// How many changes there are of each kind, those of which there are most first.
pub(super) fn by_kind<'a>(changes: &[&'a Change]) -> Vec<(Kind<'a>, usize)> {
    let mut kinds = Vec::new();
    for change in changes {
        tally(&mut kinds, Kind::of(change));
    }
    kinds.sort_by_key(|(_, count)| Reverse(*count));
    kinds
}

/// What a change is, without names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Another verdict.
    Verdict(&'a str, &'a str),
    /// The same verdict with another target.
    Target(&'a str),
    /// The same verdict with another mark, or without one.
    Mark(&'a str),
}

impl<'a> Kind<'a> {
    pub(super) fn of(change: &'a Change) -> Self {
        let Change { from, to, .. } = change;
        if from.verdict != to.verdict {
            Self::Verdict(from.verdict, to.verdict)
        } else if from.target != to.target {
            Self::Target(to.verdict)
        } else {
            Self::Mark(to.verdict)
        }
    }
}

impl Display for Kind<'_> {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Verdict(old, new) => format!("{old} -> {new}"),
            Self::Target(verdict) => format!("{verdict} elsewhere"),
            Self::Mark(verdict) => format!("{verdict}, other mark"),
        };
        to.pad(&text)
    }
}

/// Counts one more of what it is.
fn tally<T: PartialEq>(counts: &mut Vec<(T, usize)>, what: T) {
    match counts.iter_mut().find(|(known, _)| *known == what) {
        Some((_, count)) => *count += 1,
        None => counts.push((what, 1)),
    }
}

/// The kinds of change; how many of each if there are several, and if that is known.
fn kinds(changes: &[&Change], untold: usize) -> String {
    let kinds = by_kind(changes);
    let alone = kinds.len() == 1 || untold > 0;
    let words = kinds.iter().map(|(kind, count)| match alone {
        true => kind.to_string(),
        false => format!("{count} {kind}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What else is not the same: `2 rules reworded`, `1 set or map changed`.
pub(super) fn besides(report: &Report) -> Vec<String> {
    let mut words = edits(report);
    let sum = |of: fn(&Scope) -> usize| report.scopes.iter().map(of).sum::<usize>();
    let things: [(usize, &str, &str); 6] = [
        (sum(|one| rates(one).count()), "rate", "changed"),
        (sum(|one| one.moved.len()), "count", "moved to another rule"),
        (
            sum(|one| {
                one.data
                    .iter()
                    .filter(|data| data.was_called.is_some())
                    .count()
            }),
            "set",
            "renamed",
        ),
        (
            sum(|one| one.data.iter().filter(|data| is_changed_set(data)).count()),
            "set",
            "changed",
        ),
        (
            sum(|one| one.data.iter().filter(|data| is_map(data)).count()),
            "map",
            "changed",
        ),
        (sum(|one| one.settings.len()), "declaration", "changed"),
    ];
    let there = things.into_iter().filter(|(number, ..)| *number > 0);
    words.extend(there.map(|(number, thing, done)| format!("{} {done}", count::of(number, thing))));
    words
}

/// Edits of rates.
pub(super) fn rates(scope: &Scope) -> impl Iterator<Item = &Edit> {
    let edits = scope.edits.iter();
    edits.filter(|edit| edit.impact == Impact::Rate)
}

fn is_changed_set(data: &Data) -> bool {
    !is_map(data) && data.was_called.is_none() && !data.stays
}

fn is_map(data: &Data) -> bool {
    data.name.contains("map ")
}

/// What became of the rules and defaults that change nothing in effect.
fn edits(report: &Report) -> Vec<String> {
    let mut counts = Vec::new();
    for edit in report.scopes.iter().flat_map(|one| &one.edits) {
        if matches!(edit.impact, Impact::None(_)) {
            tally(&mut counts, fate(edit));
        }
    }
    let without = if report.differs() {
        " without effect"
    } else {
        ""
    };
    let words = counts
        .into_iter()
        .map(|((thing, done), number)| format!("{} {done}{without}", count::of(number, thing)));
    words.collect()
}

/// What is edited, and how.
fn fate(edit: &Edit) -> (&'static str, &'static str) {
    let lines = [&edit.old, &edit.new];
    let labels = lines.map(|line| line.as_ref().and_then(|line| line.label.as_deref()));
    let is_default = lines
        .iter()
        .any(|line| line.as_ref().is_some_and(|line| line.is_default));
    let thing = if is_default { "default" } else { "rule" };
    match edit.kind {
        EditKind::Added => (thing, "added"),
        EditKind::Removed => (thing, "removed"),
        EditKind::Moved => (thing, "moved"),
        EditKind::Changed => (thing, "reworded"),
        EditKind::Named => (thing, "with another set, map or socket"),
        EditKind::Relabelled if labels[0] != labels[1] => ("label", "renamed"),
        EditKind::Relabelled => (thing, "reworded"),
    }
}
