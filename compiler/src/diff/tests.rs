//! Comparisons of policies written as text.

mod examples;
mod oracle;
mod words;

use sockc_grammar::source::SourceMap;

use super::report::{Change, Scope};
use super::{Options, compare};
use crate::files::Texts;
use crate::observer::Silent;
use crate::pipeline;
use crate::policy::Policy;

/// A policy from its text.
pub(super) fn policy(text: &str) -> Policy {
    let mut sources = SourceMap::default();
    let id = sources.add("test.sk", text);
    let outcome = pipeline::check(&mut sources, id, "test", &mut Texts::default());
    assert!(!outcome.failed(), "{text}\n{:#?}", outcome.diagnostics);
    outcome.policy.unwrap()
}

/// What changes between two texts.
pub(super) fn between(old: &str, new: &str) -> Scope {
    let report = compare(&policy(old), &policy(new), Options::default(), &mut Silent);
    report.scopes.into_iter().next().unwrap()
}

/// A change on one line.
pub(super) fn line(change: &Change) -> String {
    format!(
        "{} -> {}: {} | {}",
        change.from.words(),
        change.to.words(),
        change.region.line(),
        change.example
    )
}
