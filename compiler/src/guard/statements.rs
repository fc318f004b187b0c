//! What may stand in a guard, and how it joins the statements of a policy.

use std::borrow::Cow;

use sockc_grammar::ast::{ForBlock, Scope, Statement};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Spanned;

use super::{NO_SUCH_BLOCK, NOT_FOR_GUARDS};

type Statements = [Spanned<Statement>];

/// What is wrong with the statements of a guard.
pub(super) fn check(statements: &Statements) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    for statement in statements {
        match &statement.value {
            Statement::For(block) if matches!(block.scope, Scope::Netns(_)) => {
                wrong.extend(check(&block.statements));
            }
            other => wrong.extend(kind(other).map(|kind| refused(statement, kind))),
        }
    }
    wrong
}

/// What a statement is that a guard cannot hold; `None` if it can.
fn kind(statement: &Statement) -> Option<&'static str> {
    Some(match statement {
        Statement::Expect(_) | Statement::Zone(_) | Statement::Version(_) => return None,
        Statement::Set(set) if set.live.is_none() => return None,
        Statement::Set(_) => "a live set",
        Statement::Policy(_) => "the name of a policy",
        Statement::Include(_) => "what another file holds",
        Statement::Interfaces(_) => "where a policy is attached",
        Statement::Default(_) => "a default",
        Statement::Socket(_) => "a socket",
        Statement::Map(_) => "a map",
        Statement::Group(_) => "a group",
        Statement::Pairs(_) => "pairs",
        Statement::For(_) => "a block of rules",
        Statement::Rule(_) => "a rule",
    })
}

fn refused(statement: &Spanned<Statement>, kind: &str) -> Diagnostic {
    Diagnostic::error(
        NOT_FOR_GUARDS,
        format!("{kind} in a guard"),
        statement.span,
        "a guard only says what a policy must keep to",
    )
    .help("write `expect` lines, with the sets and zones that only they need; everything else belongs to the policy")
}

/// The statements of a policy, without its own `expect` lines, and those of a guard; what stands in a `for netns` block of the
/// guard joins the policy's block.
pub(super) fn together<'a>(
    policy: &'a Statements,
    guard: &'a Statements,
) -> Result<Vec<Cow<'a, Spanned<Statement>>>, Box<Diagnostic>> {
    let own = policy.iter();
    let own = own.filter(|one| !matches!(one.value, Statement::Expect(_)));
    let mut all: Vec<Cow<'a, Spanned<Statement>>> = own.map(Cow::Borrowed).collect();
    for statement in guard {
        match &statement.value {
            Statement::For(block) => join(&mut all, block)?,
            _ => all.push(Cow::Borrowed(statement)),
        }
    }
    Ok(all)
}

fn join(all: &mut [Cow<'_, Spanned<Statement>>], guard: &ForBlock) -> Result<(), Box<Diagnostic>> {
    let Scope::Netns(name) = &guard.scope else {
        return Ok(());
    };
    let same = |statement: &&mut Cow<'_, Spanned<Statement>>| match &statement.value {
        Statement::For(block) => {
            matches!(&block.scope, Scope::Netns(other) if other.value == name.value)
        }
        _ => false,
    };
    let Some(there) = all.iter_mut().find(same) else {
        return Err(Box::new(Diagnostic::error(
            NO_SUCH_BLOCK,
            format!("the policy has no block `for netns \"{}\"`", name.value),
            name.span,
            "so nothing can be said of it",
        )
        .help("name a network namespace that the policy has a block for, or leave the block out of the guard")));
    };
    if let Statement::For(block) = &mut there.to_mut().value {
        block.statements.extend(guard.statements.iter().cloned());
    }
    Ok(())
}
