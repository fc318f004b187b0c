//! Comparisons of policies written as text.

mod examples;
mod groups;
mod oracle;
mod quiet;
mod streams;
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

#[test]
fn everything_is_new_where_nothing_was() {
    let texts = [
        "default in drop\ninterfaces v0\nssh: allow tcp to any:22\n",
        "interfaces v0\ndefault in drop\nsocket proxy = tcp listen 127.0.0.1:1234\nredirect tcp 3.3.3.3:80 to sock proxy\n",
    ];
    for text in texts {
        let mut sources = sockc_grammar::source::SourceMap::default();
        let id = sources.add("a.sk", text);
        let mut files = crate::files::Texts::default();
        let outcome = crate::pipeline::resolve(&mut sources, id, "a", &mut files);
        let policy = outcome.policy.unwrap();
        let nothing = crate::policy::Policy::default();
        let (options, observer) = (super::Options::default(), &mut crate::observer::Silent);
        let report = super::compare(&nothing, &policy, options, observer);
        assert!(report.differs(), "{text}");
        assert!(!report.scopes[0].changes.is_empty(), "{text}");
        let observer = &mut crate::observer::Silent;
        assert!(super::compare(&policy, &nothing, options, observer).differs());
    }
}
