//! Rules of `send` that stop less than they seem to.

use sockc_grammar::diagnostic::Diagnostic;

use super::ONLY_DATA;
use crate::policy::{Action, Direction, Policy, Rule};

/// Reports rules that refuse what is sent and name no protocol.
pub(super) fn check(policy: &Policy, found: &mut Vec<Diagnostic>) {
    let rules = policy.rules_of(Direction::Send);
    let refusing = rules.filter(|(_, rule)| refuses(rule) && rule.matches.protocols.is_empty());
    found.extend(refusing.map(|(_, rule)| only_data(rule)));
}

/// Whether a rule refuses, or would if it were not audited.
fn refuses(rule: &Rule) -> bool {
    use crate::hook::Verb;
    matches!(rule.action, Action::Drop | Action::Reject)
        || matches!(rule.audit, Some(Verb::Drop | Verb::Reject))
}

fn only_data(rule: &Rule) -> Diagnostic {
    Diagnostic::warning(
        ONLY_DATA,
        "this rule names no protocol, and holds for data of TCP connections only",
        rule.place.span,
        "the connect itself, UDP, and what is read are not stopped",
    )
    .help(match with_tcp(&rule.place.text) {
        Some(text) => format!(
            "write `connect` for `send` to refuse the call; if data is meant, write `{text}`"
        ),
        None => "write `connect` for `send` to refuse the call; if data is meant, write `tcp`"
            .to_owned(),
    })
}

/// The rule's own words with the protocol after its direction.
fn with_tcp(text: &str) -> Option<String> {
    let (before, after) = text.split_once(" send")?;
    let apart = after.is_empty() || after.starts_with(' ');
    apart.then(|| format!("{before} send tcp{after}"))
}
