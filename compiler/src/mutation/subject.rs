//! A policy with its guards, read once, so that many mutants of it can be made and asked.
//!
//! Takes their texts; gives every mutant as a policy, and lines together with it. Not here: what is asked.

use sockc_grammar::ast::Statement;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{SourceId, SourceMap, Span, Spanned};

use super::site::{self, Mutation};
use crate::files::Files;
use crate::guard::{self, GuardText, Guarded, errors};
use crate::kept::KeptTexts;
use crate::location::Location;
use crate::policy::Policy;
use crate::reading::{self, Lists, Reading};
use crate::resolve::resolve_statements;

/// Statements as they are changed.
pub(super) type Statements = Vec<Spanned<Statement>>;

/// A policy with its guards.
pub(super) struct Subject {
    reading: Reading,
    pub(super) guards: Vec<Guard>,
    pub(super) sources: SourceMap,
    stem: String,
    /// The policy as it is.
    pub(super) policy: Policy,
}

/// A guard, and the policy with its lines.
pub(super) struct Guard {
    pub(super) source: SourceId,
    statements: Statements,
    lists: Lists,
    pub(super) policy: Policy,
}

/// A mutant, as it is resolved.
pub(super) enum Resolved {
    /// With its own lines.
    Whole(Box<Policy>),
    /// A line is a mistake now.
    LineWrong,
    /// It is no policy.
    Refused,
}

impl Subject {
    /// Reads a policy and its guards.
    pub(super) fn read(
        policy: &KeptTexts,
        guards: &[GuardText],
        files: &mut dyn Files,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut guarded = Guarded {
            sources: SourceMap::default(),
            lines: Vec::new(),
            mistakes: Vec::new(),
        };
        let id = guarded.sources.add(&policy.name, &policy.text);
        let (reading, mistakes) =
            reading::read(&mut guarded.sources, id, &mut policy.texts.clone());
        guarded.mistakes.extend(errors(mistakes));
        let read = guarded.read(guards, files);
        if !guarded.is_sound() {
            return Err(guarded.mistakes);
        }
        let (stem, sources) = (policy.stem.clone(), guarded.sources);
        let all: Vec<_> = reading.file.statements.iter().collect();
        let (whole, found) = resolve_statements(&all, &reading.lists, &sources, &stem);
        let whole = whole.ok_or_else(|| errors(found).collect::<Vec<_>>())?;
        let mut subject = Self {
            reading,
            guards: Vec::new(),
            sources,
            stem,
            policy: whole,
        };
        for guard in read {
            let guard = subject.guard(guard)?;
            subject.guards.push(guard);
        }
        Ok(subject)
    }

    fn guard(&self, read: Reading) -> Result<Guard, Vec<Diagnostic>> {
        let mut lists = self.reading.lists.clone();
        lists.extend(read.lists);
        let own = &self.reading.file.statements;
        let statements = read.file.statements;
        let policy = guard::resolved(own, &statements, &lists, &self.sources, &self.stem)?;
        Ok(Guard {
            source: read.file.source,
            statements,
            lists,
            policy,
        })
    }

    /// The policy's own statements.
    pub(super) fn statements(&self) -> &[Spanned<Statement>] {
        &self.reading.file.statements
    }

    /// Every change that is made of it.
    pub(super) fn mutations(&self) -> Vec<Mutation> {
        site::all(self.statements(), &self.sources, &|span, netns| {
            location(scope(&self.policy, netns)?, span)
        })
    }

    /// What changed statements mean.
    pub(super) fn resolve(&self, statements: &[Spanned<Statement>]) -> Resolved {
        let all: Vec<_> = statements.iter().collect();
        let lists = &self.reading.lists;
        let (policy, _) = resolve_statements(&all, lists, &self.sources, &self.stem);
        match policy {
            Some(policy) => Resolved::Whole(Box::new(policy)),
            None => match guard::resolved(statements, &[], lists, &self.sources, &self.stem) {
                Ok(_) => Resolved::LineWrong,
                Err(_) => Resolved::Refused,
            },
        }
    }

    /// The same with the lines of a guard in place of its own; `None` where a line is a mistake.
    pub(super) fn guarded(
        &self,
        statements: &[Spanned<Statement>],
        guard: &Guard,
    ) -> Option<Policy> {
        let (lists, sources) = (&guard.lists, &self.sources);
        guard::resolved(statements, &guard.statements, lists, sources, &self.stem).ok()
    }

    /// The same with other lines, which stand in these sources.
    pub(super) fn with_lines(
        &self,
        statements: &[Spanned<Statement>],
        lines: &[Spanned<Statement>],
        sources: &SourceMap,
    ) -> Result<Policy, Vec<Diagnostic>> {
        guard::resolved(statements, lines, &self.reading.lists, sources, &self.stem)
    }
}

/// The policy itself, or that of a block of it.
pub(super) fn scope<'a>(policy: &'a Policy, netns: Option<&str>) -> Option<&'a Policy> {
    let Some(name) = netns else {
        return Some(policy);
    };
    let mut inner = policy.netns.iter();
    let found = inner.find(|one| one.name == name)?;
    Some(&found.policy)
}

/// The rule or default of a span, as it is shown.
fn location(policy: &Policy, span: Span) -> Option<Location> {
    let rules = policy.rules.values().map(|rule| &rule.place);
    let defaults = policy.defaults.iter().map(|line| &line.place);
    let mut places = rules.chain(defaults);
    let place = places.find(|place| place.span == span)?;
    Some(place.location.clone())
}
