//! Every policy in `rules/` with one letter lost, changed or more, through the whole front: reading, names, places,
//! `expect` lines. It means something, or the first mistake is said at the changed line; never a panic, a hang or a bug.
//!
//! `SOCKC_CHANGES` sets how many changes of each policy are tried (12), by random numbers from `SOCKC_SEED`; `all` tries every
//! one: each letter lost, and each of a few letters in its place and before it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sockc_compiler::pipeline;
use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::source::{SourceMap, Span};
use sockc_testing::Rng;

use crate::repository::{Repository, files_in, text};

/// Letters that mean something.
const LETTERS: &[&str] = &[
    "{", "}", "\"", "#", ":", ",", "@", "-", "*", "0", "9", "a", "\n", " ", "é", "/", ".",
];

/// Longer than any policy here takes, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(20);

/// Mistakes that may stand elsewhere than the change that made them, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "E0102",
        "a list that lost its `{` is words on lines of their own",
    ),
    ("E0105", "a bracket that lost its partner is what is named"),
    ("E0106", "a bracket that lost its partner is what is named"),
    (
        "E0201",
        "a declaration that went, or changed its name, is missed where it is used",
    ),
    (
        "E0216",
        "a `default` that went is missed by the rules of its direction",
    ),
    (
        "E0501",
        "what changes the meaning breaks the `expect` lines that tell it",
    ),
];

/// A changed policy, and the lines that the change touches.
struct Changed {
    text: String,
    lines: std::ops::RangeInclusive<u32>,
}

/// The letter at `at` lost, or one of [`LETTERS`] in its place (`way` odd) or before it.
fn change(text: &str, at: usize, way: usize) -> Option<Changed> {
    let letter = text[at..].chars().next()?;
    let (before, rest) = text.split_at(at);
    let after = &rest[letter.len_utf8()..];
    let new = LETTERS.get(way.wrapping_sub(1) / 2).copied();
    let (text, new) = match (way, new) {
        (0, _) => (format!("{before}{after}"), ""),
        (_, None) => return None,
        (way, Some(new)) if way % 2 == 1 => (format!("{before}{new}{after}"), new),
        (_, Some(new)) => (format!("{before}{new}{rest}"), new),
    };
    let line = 1 + u32::try_from(before.matches('\n').count()).unwrap();
    // A line break lost joins two lines; a quote or a bracket more may run on to the next one.
    let more = u32::from(new == "\n" || letter == '\n') + 1;
    Some(Changed {
        text,
        lines: line..=line + more,
    })
}

/// What is wrong with the answer to a changed policy, if anything is.
fn wrong(name: &str, changed: &Changed) -> Option<String> {
    let mut sources = SourceMap::default();
    let id = sources.add(name, changed.text.clone());
    let begun = Instant::now();
    let outcome = pipeline::check(&mut sources, id, "changed", &mut Repository);
    if begun.elapsed() > PATIENCE {
        return Some(format!("took {:?}", begun.elapsed()));
    }
    if let Some(bug) = outcome.internal {
        return Some(format!("a bug: {bug}"));
    }
    let mut errors = outcome.diagnostics.iter();
    let first = errors.find(|found| found.severity == Severity::Error)?;
    let elsewhere = ELSEWHERE.iter().any(|(code, _)| *code == first.code.0);
    if elsewhere || points_to(&sources, first, changed) {
        return None;
    }
    let line = sources.place(first.primary.span).0;
    Some(format!(
        "{} at line {line}: {}",
        first.code.0, first.message
    ))
}

fn is_refused(name: &str, text: &str) -> bool {
    let mut sources = SourceMap::default();
    let id = sources.add(name, text);
    pipeline::check(&mut sources, id, "whole", &mut Repository).failed()
}

/// Whether a place that a mistake names is one of the changed lines, or a statement around them.
fn points_to(sources: &SourceMap, found: &Diagnostic, changed: &Changed) -> bool {
    let mut labels = std::iter::once(&found.primary).chain(&found.secondary);
    labels.any(|label| {
        let end = Span {
            start: label.span.end,
            ..label.span
        };
        let (first, last) = (sources.place(label.span).0, sources.place(end).0);
        first <= *changed.lines.end() && last >= *changed.lines.start()
    })
}

#[test]
fn a_changed_letter_is_found_where_it_was_changed() {
    let number = |name: &str| std::env::var(name).ok();
    let wanted = number("SOCKC_CHANGES").unwrap_or_else(|| "12".into());
    let seed = number("SOCKC_SEED").and_then(|seed| seed.parse().ok());
    let mut rng = Rng::new(seed.unwrap_or(1));
    let mut tried = 0;
    let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in files_in("rules", ".sk") {
        let text = text(&name);
        // What is refused as it stands, for a stage that this version lacks, would be refused for that.
        if is_refused(&name, &text) {
            continue;
        }
        for changed in changes(&text, &wanted, &mut rng) {
            tried += 1;
            let what = std::panic::catch_unwind(|| wrong(&name, &changed));
            let what = what.unwrap_or_else(|_| Some("a panic".into()));
            if let Some(what) = what {
                let line = *changed.lines.start() as usize;
                let written = changed.text.lines().nth(line - 1).unwrap_or("");
                let kind = what.split(' ').next().unwrap_or("").to_owned();
                let report = format!("{name}:{line}: {written}\n    {what}");
                failures.entry(kind).or_default().push(report);
            }
        }
    }
    println!("{tried} changes");
    let report = failures.iter().map(|(kind, all)| {
        let some: Vec<&str> = all.iter().take(6).map(String::as_str).collect();
        format!("{kind}: {}\n  {}\n", all.len(), some.join("\n  "))
    });
    assert!(failures.is_empty(), "{}", report.collect::<String>());
}

/// Some changes of a policy, or all of them. What stands in comments does not matter.
fn changes(text: &str, wanted: &str, rng: &mut Rng) -> Vec<Changed> {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let ways = 1 + 2 * LETTERS.len();
    let in_comment = |at: usize| {
        let line = text[..at].rsplit('\n').next().unwrap_or("");
        line.contains('#')
    };
    if let Ok(count) = wanted.parse::<usize>() {
        let mut found = Vec::new();
        while found.len() < count {
            let at = *rng.one_of(&places);
            if !in_comment(at) {
                found.extend(change(text, at, rng.below(ways)));
            }
        }
        return found;
    }
    let places = places.into_iter().filter(|at| !in_comment(*at));
    places
        .flat_map(|at| (0..ways).filter_map(move |way| change(text, at, way)))
        .collect()
}
