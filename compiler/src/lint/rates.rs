//! Rates that surprise: less than one a second without a burst, and connections of everybody in one bucket.
//!
//! Takes the statements of a file; gives a warning for each such rate. Not here: rates that no packet fits (W0520).

use sockc_grammar::ast::{Clause, File, Rate, RateUnit, Rule, Statement, Verb};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{Span, Spanned};

use super::{ONE_AT_A_TIME, SHARED_BUCKET};

/// Reports such rates.
pub(super) fn check(file: &File, found: &mut Vec<Diagnostic>) {
    statements(&file.statements, found);
}

fn statements(statements: &[Spanned<Statement>], found: &mut Vec<Diagnostic>) {
    for statement in statements {
        match &statement.value {
            Statement::For(block) => self::statements(&block.statements, found),
            Statement::Rule(rule) => self::rule(rule, found),
            _ => {}
        }
    }
}

fn rule(rule: &Rule, found: &mut Vec<Diagnostic>) {
    for clause in &rule.clauses {
        let (Clause::Above(rate) | Clause::UpTo(rate)) = &clause.value else {
            continue;
        };
        found.extend(slow(rate, clause.span));
        let lets_in = rule.verb.value == Verb::Allow && matches!(clause.value, Clause::UpTo(_));
        let of_some = rule
            .clauses
            .iter()
            .any(|clause| matches!(clause.value, Clause::From(_)));
        if lets_in && !of_some {
            found.extend(shared(rate, clause.span));
        }
    }
}

/// A bucket that holds one token, which takes longer than a second to come again.
fn slow(rate: &Rate, span: Span) -> Option<Diagnostic> {
    let count = rate.count.value;
    let counted = match rate.unit {
        RateUnit::Packets => "packet",
        RateUnit::Connections => "connection",
        RateUnit::Bytes => return None,
    };
    if rate.burst.is_some() || count == 0 || count >= rate.period {
        return None;
    }
    let seconds = rate.period.div_ceil(count);
    Some(
        Diagnostic::warning(
            ONE_AT_A_TIME,
            format!("this is one {counted} every {seconds} s, never two at once"),
            span,
            "without a burst, one second's worth fits at once, at least 1",
        )
        .help(format!(
            "write `burst {count}` after it if {count} may come at once, else `burst 1`"
        )),
    )
}

/// One bucket of connections for everybody who is let in.
fn shared(rate: &Rate, span: Span) -> Option<Diagnostic> {
    (rate.unit == RateUnit::Connections && rate.per.is_none()).then(|| {
        Diagnostic::warning(
            SHARED_BUCKET,
            "one sender can use up this rate for all",
            span,
            "one bucket for everybody",
        )
        .help("write `per source` after the rate, or say who may come with `from`")
    })
}
