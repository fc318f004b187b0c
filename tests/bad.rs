//! Every policy in `rules/bad/` is refused (or warned of) exactly as its comments say, in the words of its golden.
//!
//! `#~ E0203` says that this line has this diagnostic, `#~^ E0203` that the line above has it (`^^`: two above).

use std::slice;

use sockc_compiler::files::Texts;
use sockc_compiler::guard::{self, GuardText};
use sockc_compiler::kept::KeptTexts;
use sockc_compiler::pipeline::Outcome;
use sockc_compiler::{codes, lint, packet};
use sockc_grammar::diagnostic::{Code, Diagnostic, Severity};
use sockc_grammar::render::render;
use sockc_grammar::source::{SourceId, SourceMap};

use crate::golden::compile;
use crate::repository::{Repository, compare_with_golden, fail_on, files_in, stem, text};

/// What a comment says of a line.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Annotation<'a> {
    /// The line, from 1.
    pub(crate) line: u32,
    /// The code.
    pub(crate) code: &'a str,
}

/// What a whole policy lacks, and an example that shows something else may lack too.
const OF_WHOLE_POLICIES: &[&str] = &["W0603", "W0604", "W0609", "W0617"];

/// Whether a diagnostic belongs to an example that says these codes.
pub(crate) fn counts(code: &str, said: &[&str]) -> bool {
    let optional = lint::OPTIONAL.iter().any(|one| one.0 == code);
    !optional && !OF_WHOLE_POLICIES.contains(&code) || said.contains(&code)
}

/// Adds what is told only if it is asked for.
pub(crate) fn add_optional(outcome: &mut Outcome, id: SourceId) {
    if let Some(policy) = outcome.policy.as_ref().filter(|_| !outcome.failed()) {
        let found = lint::also(policy, id, lint::OPTIONAL);
        outcome.diagnostics.extend(found);
    }
}

/// Every code of a policy.
pub(crate) fn codes() -> impl Iterator<Item = Code> {
    let of_packets = |code: &Code| {
        let mut packets = packet::text::codes::CODES.iter();
        packets.any(|(own, _)| own == code)
    };
    let codes = codes::all().into_iter().map(|(code, _)| code);
    codes.filter(move |code| !of_packets(code))
}

/// The comments of a policy that say what is wrong.
pub(crate) fn annotations(text: &str) -> Vec<Annotation<'_>> {
    let mut found = Vec::new();
    for (line, text) in (1u32..).zip(text.lines()) {
        for said in text.split("#~").skip(1) {
            let code = said.trim_start_matches('^');
            let above = u32::try_from(said.len() - code.len()).unwrap();
            found.push(Annotation {
                line: line - above,
                code: code.trim(),
            });
        }
    }
    found.sort();
    found
}

#[test]
fn bad_policies_are_refused_as_they_say() {
    let mut differences = Vec::new();
    for name in files_in("rules/bad", ".sk") {
        let (sources, mut outcome) = compile(&name);
        assert_eq!(outcome.internal, None, "{name}");
        add_optional(&mut outcome, SourceId(0));
        let text = text(&name);
        let codes: Vec<&str> = annotations(&text).iter().map(|one| one.code).collect();
        outcome.diagnostics.retain(|one| counts(one.code.0, &codes));
        let annotation = |one: &Diagnostic| Annotation {
            line: sources.place(one.primary.span).0,
            code: one.code.0,
        };
        let mut found: Vec<_> = outcome
            .diagnostics
            .iter()
            .map(|one| (one.primary.span.source, annotation(one)))
            .collect();
        found.sort();
        // Included files and lists say themselves what is wrong with them.
        let said: Vec<_> = sources
            .iter()
            .flat_map(|(id, source)| {
                annotations(&source.text)
                    .into_iter()
                    .map(move |one| (id, one))
            })
            .collect();
        if found != said || said.is_empty() {
            differences.push(format!(
                "{name}: its comments say {said:?}, found {found:?}"
            ));
        }
        let accepted = outcome
            .diagnostics
            .iter()
            .all(|one| one.severity != Severity::Error);
        assert_eq!(outcome.built.is_some(), accepted, "{name}");
        for one in &outcome.diagnostics {
            let advised = one.help.is_some() || one.message.contains("expected");
            assert!(advised, "{name}: {} does not say what to write", one.code.0);
        }
        let rendered = shown(&outcome.diagnostics, &sources);
        let golden = format!("golden/bad/{}.txt", stem(&name));
        differences.extend(compare_with_golden(&golden, &rendered));
    }
    fail_on(&differences);
}

/// More diagnostics than that are not all read by anybody.
const MOST_SHOWN: usize = 64;

/// Diagnostics as a user sees them; of very many, the first and the last.
fn shown(found: &[Diagnostic], sources: &SourceMap) -> String {
    let render = |some: &[Diagnostic]| render(some, sources, false);
    match found {
        [first, left_out @ .., last] if found.len() > MOST_SHOWN => {
            let count = left_out.len();
            let (first, last) = (slice::from_ref(first), slice::from_ref(last));
            format!("{}({count} more)\n\n{}", render(first), render(last))
        }
        _ => render(found),
    }
}

/// The policy that the bad guards are asked about.
const GUARDED: &str = "rules/bad/guarded/policy.sk";

#[test]
fn bad_guards_are_refused_as_they_say() {
    let mut differences = Vec::new();
    let policy = KeptTexts {
        texts: Texts::default(),
        name: GUARDED.to_owned(),
        text: text(GUARDED),
        stem: "policy".to_owned(),
    };
    for name in files_in("rules/bad/guarded", ".sk") {
        if name == GUARDED {
            continue;
        }
        let text = text(&name);
        let guard = GuardText {
            name: name.clone(),
            text: text.clone(),
        };
        let guarded = guard::check(&policy, &[guard], &mut Repository);
        let violated = guarded.violations().map(|one| &one.diagnostic);
        let found: Vec<_> = guarded.mistakes.iter().chain(violated).cloned().collect();
        let mut said: Vec<_> = found
            .iter()
            .map(|one| Annotation {
                line: guarded.sources.place(one.primary.span).0,
                code: one.code.0,
            })
            .collect();
        said.sort();
        if said != annotations(&text) {
            differences.push(format!("{name}: found {said:?}"));
        }
        let rendered = render(&found, &guarded.sources, false);
        let golden = format!("golden/bad/guarded/{}.txt", stem(&name));
        differences.extend(compare_with_golden(&golden, &rendered));
    }
    fail_on(&differences);
}

#[test]
fn annotations_name_lines() {
    let said = annotations("one\ntwo #~ E0101\n#~^^ E0102 #~^ W0501\n");
    let expected = [(1, "E0102"), (2, "E0101"), (2, "W0501")];
    let expected = expected.map(|(line, code)| Annotation { line, code });
    assert_eq!(said, expected);
}
