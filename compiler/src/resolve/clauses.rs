//! A rule's clauses sorted by what they are.
//!
//! That each is there at most once is the parser's to see.

use sockc_grammar::ast::{Clause, Condition, HookName, Log, Name, Rate, Side, Target, Verb};
use sockc_grammar::source::{Span, Spanned};

/// The clauses, with the span of each.
#[derive(Default)]
pub(super) struct Clauses<'a> {
    pub(super) from: Option<&'a Side>,
    pub(super) to: Option<&'a Side>,
    pub(super) conditions: &'a [Spanned<Condition>],
    pub(super) at: Option<&'a Spanned<HookName>>,
    pub(super) target: Option<(&'a Target, Span)>,
    /// True for `above`.
    pub(super) rate: Option<(bool, &'a Rate, Span)>,
    pub(super) mark: Option<(&'a Spanned<u64>, Span)>,
    pub(super) log: Option<(&'a Log, Span)>,
    pub(super) note: Option<&'a Spanned<String>>,
    /// `to zone` or `to interface`, where it is no target.
    pub(super) leaves: Option<&'a Spanned<Clause>>,
}

impl<'a> Clauses<'a> {
    /// Sorts the clauses of a rule.
    pub(super) fn sort(written: &'a [Spanned<Clause>]) -> Self {
        let mut sorted = Self::default();
        for clause in written {
            sorted.take(clause);
        }
        sorted
    }

    /// The sides of a `shortcut … from … to group NAME`: they are what it does, not what it matches.
    pub(super) fn ends_of(&self, verb: Verb) -> Option<(Option<&'a Side>, &'a Name)> {
        match (verb, self.target, self.to) {
            (Verb::Shortcut, None, Some(Side::Group(to))) => Some((self.from, to)),
            _ => None,
        }
    }

    fn take(&mut self, clause: &'a Spanned<Clause>) {
        let span = clause.span;
        match &clause.value {
            Clause::From(side) => self.from = Some(side),
            Clause::To { side, .. } => self.to = Some(side),
            Clause::If(conditions) => self.conditions = conditions,
            Clause::At(hook) => self.at = Some(hook),
            Clause::Target(target) => self.target = Some((target, span)),
            Clause::Note(note) => self.note = Some(note),
            // Looked at together with the block that the rule stands in.
            Clause::OnZone(_) | Clause::OnInterface(_) => {}
            Clause::ToZone(_) | Clause::ToInterface(_) => self.leaves = Some(clause),
            Clause::Above(rate) => self.rate = Some((true, rate, span)),
            Clause::UpTo(rate) => self.rate = Some((false, rate, span)),
            Clause::Mark(number) => self.mark = Some((number, span)),
            Clause::Log(log) => self.log = Some((log, span)),
        }
    }
}
