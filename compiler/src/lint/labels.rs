//! Labels that read like the verb that was meant: `audit: drop tcp` drops.
//!
//! Takes the statements of a file; gives a warning for each such label. Not here: labels that two rules have.

use sockc_grammar::VERBS;
use sockc_grammar::ast::{File, Rule, Statement};
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::SourceMap;

use super::VERB_AS_LABEL;

/// Reports such labels.
pub(super) fn check(file: &File, sources: &SourceMap, found: &mut Vec<Diagnostic>) {
    for statement in file.all() {
        if let Statement::Rule(rule) = &statement.value {
            found.extend(label(rule, sources.text(statement.span)));
        }
    }
}

/// What is odd about the label of a rule that was written so.
fn label(rule: &Rule, text: &str) -> Option<Diagnostic> {
    let label = rule.label.as_ref()?;
    let word = VERBS.iter().find(|verb| **verb == label.value)?;
    let rest = text.split_once(':').map_or("", |(_, rest)| rest.trim());
    let verb = rest.split_whitespace().next().unwrap_or("");
    let help = if *word == "audit" {
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
