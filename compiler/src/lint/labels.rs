//! Labels that read like the verb that was meant: `audit: drop tcp` drops.
//!
//! Takes the statements of a file; gives a warning for each such label. Not here: labels that two rules have.

use sockc_grammar::ast::{File, Rule, Statement};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::{SourceMap, Spanned};

use super::VERB_AS_LABEL;

/// Words that begin a rule.
const VERBS: [&str; 8] = [
    "allow", "drop", "reject", "count", "redirect", "shortcut", "splice", "audit",
];

/// Reports such labels.
pub(super) fn check(file: &File, sources: &SourceMap, found: &mut Vec<Diagnostic>) {
    statements(&file.statements, sources, found);
}

fn statements(statements: &[Spanned<Statement>], sources: &SourceMap, found: &mut Vec<Diagnostic>) {
    for statement in statements {
        match &statement.value {
            Statement::For(block) => self::statements(&block.statements, sources, found),
            Statement::Rule(rule) => {
                let text = sources.text(statement.span);
                found.extend(label(rule, text));
            }
            _ => {}
        }
    }
}

/// What is odd about the label of a rule that was written so.
fn label(rule: &Rule, text: &str) -> Option<Diagnostic> {
    let label = rule.label.as_ref()?;
    let word = VERBS.into_iter().find(|verb| *verb == label.value)?;
    let rest = text.split_once(':').map_or("", |(_, rest)| rest.trim());
    let verb = rest.split_whitespace().next().unwrap_or("");
    let help = if word == "audit" {
        format!("write `audit {rest}` if the rule is to count only, else choose another label")
    } else {
        format!("choose another label, such as `{word}-1: {rest}`")
    };
    Some(
        Diagnostic::warning(
            VERB_AS_LABEL,
            format!("`{word}:` is a label, and no verb"),
            label.span,
            format!("with the colon, the rule is a `{verb}`"),
        )
        .help(help),
    )
}
