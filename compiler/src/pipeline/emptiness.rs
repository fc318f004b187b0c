//! Whether a policy says anything at all.
//!
//! Takes the statements of a file with everything that it includes; gives the diagnostic where neither a rule nor a
//! default nor a declaration is among them. What is empty is most often what was cut off: a copy that did not end, a
//! template or a pipe that failed. In force it would let everything pass. Not here: what statements mean.

use sockc_grammar::ast::{File, ForBlock, Scope, Statement};
use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::source::{Span, Spanned};

use super::compilation::{DECIDES_NOTHING, SAYS_NOTHING, Stop, start};

/// What is wrong where the file, or a `for netns` block of it, says nothing; what is odd where it decides nothing.
pub(super) fn of(file: &File) -> Option<Diagnostic> {
    if !file.statements.iter().any(says) {
        return Some(whole(start(file.source)));
    }
    if !file.statements.iter().any(decides) {
        return Some(idle(start(file.source)));
    }
    let mut blocks = file.statements.iter().filter_map(namespace);
    blocks
        .find(|(block, _)| !block.statements.iter().any(says))
        .map(|(_, span)| inner(span))
}

/// A policy that says nothing is refused; one that decides nothing is warned of.
pub(super) fn refuse(found: Option<Diagnostic>) -> Result<Option<Diagnostic>, Stop> {
    match found {
        Some(found) if found.severity == Severity::Error => Err(Stop::Diagnostics(vec![found])),
        found => Ok(found),
    }
}

/// Whether a statement is a rule, a default or a declaration, or a block with one.
fn says(statement: &Spanned<Statement>) -> bool {
    match &statement.value {
        Statement::Version(_)
        | Statement::Policy(_)
        | Statement::Include(_)
        | Statement::Expect(_) => false,
        Statement::For(block) => block.statements.iter().any(says),
        _ => true,
    }
}

/// Whether a statement is a rule or a default, or a block with one.
fn decides(statement: &Spanned<Statement>) -> bool {
    match &statement.value {
        Statement::Rule(_) | Statement::Default(_) => true,
        Statement::For(block) => block.statements.iter().any(decides),
        _ => false,
    }
}

fn namespace(statement: &Spanned<Statement>) -> Option<(&ForBlock, Span)> {
    match &statement.value {
        Statement::For(block) if matches!(block.scope, Scope::Netns(_)) => {
            Some((block, statement.span))
        }
        _ => None,
    }
}

fn whole(span: Span) -> Diagnostic {
    Diagnostic::error(
        SAYS_NOTHING,
        "this policy says nothing",
        span,
        "no rule, no default, no declaration: in force, it would let everything pass",
    )
    .help("write a rule or a `default`; `sockc unload` takes everything away")
}

/// A text that was cut off after its declarations looks like this one, too.
fn idle(span: Span) -> Diagnostic {
    Diagnostic::warning(
        DECIDES_NOTHING,
        "this policy decides nothing",
        span,
        "it declares names, and has no rule and no default: everything passes",
    )
    .help("write a rule or a `default`")
}

fn inner(span: Span) -> Diagnostic {
    Diagnostic::error(
        SAYS_NOTHING,
        "this block says nothing",
        span,
        "no rule, no default, no declaration: in force, it would let everything pass there",
    )
    .help("write a rule or a `default` in it, or leave the block out")
}
