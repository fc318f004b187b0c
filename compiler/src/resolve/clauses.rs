//! A rule's clauses sorted by what they are; those without meaning are refused here.
//!
//! That each is there at most once is the parser's to see.

use sockc_grammar::ast::{Clause, Condition, HookName, Side, Target};
use sockc_grammar::source::{Span, Spanned};

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
        for clause in written {
            sorted.take(clause, report);
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
