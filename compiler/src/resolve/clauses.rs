//! A rule's clauses, each at most once, sorted by what they are; those without meaning are refused here.

use sockc_grammar::ast::{Clause, Condition, HookName, Side, Target};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::codes;
use super::pending::{self, Pending};
use super::report::Report;

/// The clauses that have a meaning, with the span of each.
#[derive(Default)]
pub(super) struct Clauses<'a> {
    pub(super) from: Option<&'a Side>,
    pub(super) to: Option<&'a Side>,
    pub(super) conditions: &'a [Spanned<Condition>],
    pub(super) at: Option<&'a Spanned<HookName>>,
    pub(super) target: Option<(&'a Target, Span)>,
}

impl<'a> Clauses<'a> {
    /// Sorts the clauses of a rule.
    pub(super) fn sort(written: &'a [Spanned<Clause>], report: &mut Report) -> Self {
        let mut sorted = Self::default();
        let mut seen: Vec<(&'static str, Span)> = Vec::new();
        for clause in written {
            let word = word(&clause.value);
            match seen.iter().find(|(earlier, _)| *earlier == word) {
                Some(&(_, first)) => report.push(twice(word, clause.span, first)),
                None => {
                    seen.push((word, clause.span));
                    sorted.take(clause, report);
                }
            }
        }
        sorted
    }

    fn take(&mut self, clause: &'a Spanned<Clause>, report: &mut Report) {
        let span = clause.span;
        let mut refuse = |pending: Pending| pending::refuse(pending, span, report);
        match &clause.value {
            Clause::From(side) => self.from = Some(side),
            Clause::To { side, .. } => self.to = Some(side),
            Clause::If(conditions) => self.conditions = conditions,
            Clause::At(hook) if hook.value == HookName::SkSkb => refuse(pending::SK_SKB),
            Clause::At(hook) => self.at = Some(hook),
            Clause::Target(target) => self.target = Some((target, span)),
            // A note is for people; it changes nothing.
            Clause::Note(_) => {}
            Clause::OnZone(_) | Clause::OnInterface(_) => refuse(pending::ON),
            Clause::Above(_) | Clause::UpTo(_) => refuse(pending::RATE),
            Clause::Mark(_) => refuse(pending::MARK),
            Clause::Log(_) => refuse(pending::LOG),
        }
    }
}

/// The word that tells clauses apart, of which each may be there once.
fn word(clause: &Clause) -> &'static str {
    match clause {
        Clause::From(_) => "from",
        Clause::To { .. } => "to",
        Clause::OnZone(_) | Clause::OnInterface(_) => "on",
        Clause::If(_) => "if",
        Clause::Above(_) | Clause::UpTo(_) => "above` or `up to",
        Clause::Mark(_) => "mark",
        Clause::Log(_) => "log",
        Clause::At(_) => "at",
        Clause::Note(_) => "note",
        Clause::Target(_) => "target",
    }
}

fn twice(word: &str, second: Span, first: Span) -> Diagnostic {
    let (message, help) = match word {
        "target" => (
            "the rule has two targets".to_owned(),
            "write a rule for each target",
        ),
        "if" => (
            "the rule has two clauses `if`".to_owned(),
            "join the conditions: `if C and C`",
        ),
        "from" | "to" => (
            format!("the rule has two clauses `{word}`"),
            "join the endpoints with commas",
        ),
        _ => (
            format!("the rule has two clauses `{word}`"),
            "leave one of them out",
        ),
    };
    Diagnostic::error(codes::CLAUSE_TWICE, message, second, "the second")
        .also(first, "the first")
        .help(help)
}
