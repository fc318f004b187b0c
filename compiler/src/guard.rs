//! Guards: `expect` lines that a policy must keep to, written in files that its authors may not own.
//!
//! Takes the texts of a policy and the guards; resolves each guard together with the policy, so that it sees the policy's
//! names, and asks [`crate::expect`] about its lines. The guard's own declarations are seen by nobody else. Not here: which
//! guards there are, and what becomes of a policy that violates one.

mod statements;
#[cfg(test)]
mod tests;

use sockc_grammar::ast::Statement;
use sockc_grammar::diagnostic::{Code, Diagnostic, Severity};
use sockc_grammar::source::{SourceId, SourceMap, Spanned};

use crate::diagram::Store;
use crate::expect::{self, Standing, Whereabouts};
use crate::files::Files;
use crate::kept::KeptTexts;
use crate::pipeline;
use crate::policy::{Expect, Policy, SourceLocation};
use crate::reading::{self, Lists, Reading};
use crate::resolve::resolve_statements;

sockc_grammar::codes! {
    VIOLATED = "E0503", "a guard that the policy violates";
    NOT_FOR_GUARDS = "E0504", "a statement that a guard cannot hold";
    NO_SUCH_BLOCK = "E0505", "a guard speaks of a network namespace that the policy has no block for";
}

/// A guard's text.
#[derive(Clone, Debug)]
pub struct GuardText {
    /// Its name, as messages show it.
    pub name: String,
    /// The text.
    pub text: String,
}

/// How a policy stands to its guards.
#[derive(Debug)]
pub struct Guarded {
    /// All texts that the diagnostics point into.
    pub sources: SourceMap,
    /// The lines of all guards, in order.
    pub lines: Vec<Line>,
    /// What is wrong with the guards themselves. Their lines prove nothing then.
    pub mistakes: Vec<Diagnostic>,
}

/// A line of a guard.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it stands.
    pub place: SourceLocation,
    /// How the policy violates it; `None` if it does not.
    pub violation: Option<Violation>,
}

/// How a policy violates a line.
#[derive(Clone, Debug)]
pub struct Violation {
    /// A packet, in the words that `explain` takes.
    pub packet: String,
    /// What it gets.
    pub verdict: String,
    /// The line of the policy that decides it; `None` if none does.
    pub decider: Option<SourceLocation>,
    /// All of it, as a message.
    pub diagnostic: Diagnostic,
}

impl Guarded {
    /// Whether the guards are sound and the policy keeps to all of them.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.is_sound() && self.violations().next().is_none()
    }

    /// Whether nothing is wrong with the guards themselves.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut mistakes = self.mistakes.iter();
        mistakes.all(|one| one.severity != Severity::Error)
    }

    /// What violates them.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.lines.iter().filter_map(|line| line.violation.as_ref())
    }

    /// Reads guards, and keeps their mistakes; those that say what no guard may say are left out.
    pub(crate) fn read(&mut self, guards: &[GuardText], files: &mut dyn Files) -> Vec<Reading> {
        let mut readings = Vec::new();
        for guard in guards {
            let id = self.sources.add(&guard.name, &guard.text);
            // Said of what is written, before includes bring more.
            let (file, _) = sockc_grammar::parse(&self.sources, id);
            let wrong = statements::check(&file.statements);
            if !wrong.is_empty() {
                self.mistakes.extend(wrong);
                continue;
            }
            let (reading, mistakes) = reading::read(&mut self.sources, id, files);
            self.mistakes.extend(mistakes);
            readings.push(reading);
        }
        readings
    }
}

/// Asks whether a policy keeps to guards. `files` are those around the guards; the policy's own come with it.
#[must_use]
pub fn check(policy: &KeptTexts, guards: &[GuardText], files: &mut dyn Files) -> Guarded {
    let mut guarded = Guarded {
        sources: SourceMap::default(),
        lines: Vec::new(),
        mistakes: Vec::new(),
    };
    let id = guarded.sources.add(&policy.name, &policy.text);
    let (read, mistakes) = reading::read(&mut guarded.sources, id, &mut policy.texts.clone());
    guarded.mistakes.extend(errors(mistakes));
    let readings = guarded.read(guards, files);
    if !guarded.is_sound() {
        return guarded;
    }
    for guard in &readings {
        let one = One {
            policy: &read,
            guard,
            sources: &guarded.sources,
            stem: &policy.stem,
        };
        match one.lines() {
            Ok(lines) => guarded.lines.extend(lines),
            Err(mistakes) => guarded.mistakes.extend(mistakes),
        }
    }
    guarded
}

pub(crate) fn errors(diagnostics: Vec<Diagnostic>) -> impl Iterator<Item = Diagnostic> {
    let found = diagnostics.into_iter();
    found.filter(|one| one.severity == Severity::Error)
}

/// A policy and one guard.
struct One<'a> {
    policy: &'a Reading,
    guard: &'a Reading,
    sources: &'a SourceMap,
    stem: &'a str,
}

/// The policy that statements describe together with a guard's, or what is wrong with the guard.
pub(crate) fn resolved(
    policy: &[Spanned<Statement>],
    guard: &[Spanned<Statement>],
    lists: &Lists,
    sources: &SourceMap,
    stem: &str,
) -> Result<Policy, Vec<Diagnostic>> {
    let together = statements::together(policy, guard).map_err(|wrong| vec![*wrong])?;
    let together: Vec<&Spanned<Statement>> = together.iter().map(AsRef::as_ref).collect();
    let (policy, found) = resolve_statements(&together, lists, sources, stem);
    policy.ok_or_else(|| errors(found).collect())
}

impl One<'_> {
    /// How the policy stands to each line, or what is wrong with the guard.
    fn lines(&self) -> Result<Vec<Line>, Vec<Diagnostic>> {
        let id = self.guard.file.source;
        let mut lists = self.policy.lists.clone();
        lists.extend(self.guard.lists.clone());
        let policy = resolved(
            &self.policy.file.statements,
            &self.guard.file.statements,
            &lists,
            self.sources,
            self.stem,
        )?;
        let inner = policy.netns.iter();
        let inner = inner.map(|one| (Some(one.name.as_str()), &one.policy));
        let (mut lines, mut mistakes) = (Vec::new(), Vec::new());
        for (netns, policy) in std::iter::once((None, &policy)).chain(inner) {
            let place = Whereabouts {
                file: &self.sources.get(self.policy.file.source).name,
                netns,
            };
            for found in of_policy(policy, id, place) {
                match found {
                    Ok(line) => lines.push(line),
                    Err(mistake) => mistakes.push(*mistake),
                }
            }
        }
        lines.sort_by_key(|line| line.place.span.start);
        if mistakes.is_empty() {
            Ok(lines)
        } else {
            Err(mistakes)
        }
    }
}

/// The lines of a guard that speak of one policy.
fn of_policy(
    policy: &Policy,
    guard: SourceId,
    place: Whereabouts<'_>,
) -> Vec<Result<Line, Box<Diagnostic>>> {
    let mut store = Store::of(policy);
    let own = policy.expects.iter();
    let own = own.filter(|expect| expect.place.span.source == guard);
    own.map(|expect| line(policy, expect, place, &mut store, OF_GUARD))
        .collect()
}

/// How a line is spoken of that does not hold.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// Under which code.
    pub(crate) code: Code,
    /// What is wrong, ahead of the packet.
    pub(crate) what: &'static str,
}

/// A line of a guard.
const OF_GUARD: Manner = Manner {
    code: VIOLATED,
    what: "the policy violates this guard",
};

/// How a policy stands to a line.
pub(crate) fn line(
    policy: &Policy,
    expect: &Expect,
    place: Whereabouts<'_>,
    store: &mut Store,
    manner: Manner,
) -> Result<Line, Box<Diagnostic>> {
    let span = expect.place.span;
    let standing = expect::standing(policy, expect, store);
    let too_much = |exceeded| Box::new(pipeline::too_much(policy, &exceeded, span));
    let broken = match standing.map_err(too_much)? {
        Standing::Holds => None,
        Standing::Empty => return Err(Box::new(expect::empty(expect))),
        Standing::Broken(broken) => Some(broken),
    };
    let violation = broken.map(|broken| {
        let verdict = broken.verdict(policy);
        let packet = place.packet(&broken.packet);
        let message = format!("{}: {packet} gets {verdict}", manner.what);
        let error = Diagnostic::error(manner.code, message, span, expect::expected(policy, expect));
        Violation {
            decider: broken
                .decider(policy, expect)
                .map(|(place, _)| place.clone()),
            diagnostic: broken.shown(error, policy, expect, place),
            packet,
            verdict: verdict.trim_matches('`').to_owned(),
        }
    });
    Ok(Line {
        place: expect.place.clone(),
        violation,
    })
}
