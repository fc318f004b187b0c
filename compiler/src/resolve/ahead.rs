//! The later rules of a long list, resolved beside the earlier ones.
//!
//! What a plain rule means depends on its own text alone: it names protocols, addresses and ports, and nothing that is declared.
//! So such rules of the second half of a list are resolved while those of the first half are. Where anything is to be said of one, it
//! is left to be resolved in its turn, so that what is said, and in which order, does not depend on this. Not here: what a rule
//! means (`rules`), and what of it the rules before it decide, such as a label that is there already.

use std::slice;

use sockc_grammar::ast::{Clause, Direction, Rule as WrittenRule, Side, Statement, Verb};
use sockc_grammar::source::{SourceMap, Spanned};

use super::Resolver;
use super::report::Report;
use crate::beside::is_much;
use crate::policy::Rule;
use crate::reading::Lists;

/// So few statements are resolved in no time.
const FEW: usize = 4096;

/// The statements that are resolved in their turn, and those that are resolved beside them.
pub(super) fn split<'s, 'a>(
    statements: &'s [&'a Spanned<Statement>],
) -> (&'s [&'a Spanned<Statement>], &'s [&'a Spanned<Statement>]) {
    let all = statements.len();
    statements.split_at(if is_much(all, FEW) { all / 2 } else { all })
}

/// The rule of each statement that is a plain one of which nothing is to be said.
pub(super) fn plain(statements: &[&Spanned<Statement>], sources: &SourceMap) -> Vec<Option<Rule>> {
    let lists = Lists::new();
    let mut resolver = Resolver::new(sources, &lists, "");
    resolver.report = Report::counting();
    let rule = |statement: &&Spanned<Statement>| {
        let Statement::Rule(written) = &statement.value else {
            return None;
        };
        let rule = Some(written).filter(|written| is_plain(written));
        let rule = resolver.resolved(rule?, statement.span);
        if let Some(rule) = &rule {
            resolver.refuse_idle(slice::from_ref(rule), statement.span);
        }
        let is_sound = resolver.report.forget() == 0;
        rule.filter(|_| is_sound)
    };
    statements.iter().map(rule).collect()
}

/// Whether a rule names addresses, ports and protocols alone, and says what becomes of packets. That it names no set is seen where
/// no set is declared.
fn is_plain(written: &WrittenRule) -> bool {
    let verb = written.verb.value;
    let direction = written.direction.as_ref().map(|one| one.value);
    let endpoints = |clause: &Clause| match clause {
        Clause::From(side) | Clause::To { side, .. } => matches!(side, Side::Endpoints { .. }),
        _ => false,
    };
    let mut clauses = written.clauses.iter();
    written.audit.is_none()
        && matches!(verb, Verb::Allow | Verb::Drop | Verb::Reject | Verb::Count)
        && matches!(direction, None | Some(Direction::In | Direction::Out))
        && clauses.all(|clause| endpoints(&clause.value))
}
