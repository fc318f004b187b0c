//! What placement has to say of a policy that it cannot place.

use std::collections::{BTreeMap, HashSet};

use sockc_grammar::diagnostic::Diagnostic;

use crate::diagram::BudgetExceeded;
use crate::policy::{Action, Condition, Policy, Rule};

sockc_grammar::codes! {
    ALLOW_AHEAD = "E0310", "an allow that a socket lookup cannot evaluate, ahead of a redirect that it overlaps";
    COUNT_UNSEEN = "E0311", "a count at tc of packets that a rule at xdp drops";
    TOO_EARLY = "E0312", "a rule at xdp that would run ahead of one before it in the list";
    TOO_LARGE = "E0402", "the policy is too large to analyse";
}

/// `allow` stands ahead of `own`, a rule of the lookup for some of the same packets, which has to know whether the
/// allow matched and cannot, for this reason.
pub(super) fn allow_ahead(allow: &Rule, own: &Rule, reason: &str) -> Diagnostic {
    let (what, other) = match own.action {
        Action::Redirect(_) => ("a redirect", "this redirect"),
        _ => ("a rule at sk_lookup", "this rule"),
    };
    Diagnostic::error(
        ALLOW_AHEAD,
        format!("this allow cannot stand ahead of {what} that it overlaps"),
        allow.place.span,
        reason,
    )
    .also(
        own.place.span,
        format!("{other} runs in the socket lookup, for some of the same packets"),
    )
    .help(match own.action {
        Action::Redirect(_) => "put the redirect first, or allow by address and port",
        _ => "put the rule at sk_lookup first, or allow by address and port",
    })
}

/// `count` should see packets that `drop`, after it in the list, drops at an earlier hook.
pub(super) fn count_unseen(count: &Rule, drop: &Rule) -> Diagnostic {
    Diagnostic::error(
        COUNT_UNSEEN,
        "this count at tc cannot see packets that are dropped at xdp",
        count.place.span,
        "tc runs after xdp",
    )
    .also(drop.place.span, "this rule drops some of them at xdp")
    .help("leave `at tc` out, or `at xdp` out of the rule that drops")
}

/// `rule` says `at xdp`, and `ahead`, before it in the list, decides some of the same packets at tc.
pub(super) fn too_early(ahead: &Rule, rule: &Rule) -> Diagnostic {
    Diagnostic::error(
        TOO_EARLY,
        "this rule would run ahead of one that comes before it",
        rule.place.span,
        "xdp runs ahead of tc",
    )
    .also(
        ahead.place.span,
        "this rule is for some of the same packets, and can only run at tc",
    )
    .help("leave `at xdp` out, or put this rule first")
}

/// `rule` allows `at xdp` by something that is another at tc, and there is a chain at tc.
pub(super) fn asked_again(rule: &Rule) -> Diagnostic {
    Diagnostic::error(
        TOO_EARLY,
        "this rule would be asked twice, and not answered alike",
        rule.place.span,
        "other rules run at tc, where rates have taken their tokens and segments are joined",
    )
    .help("leave `at xdp` out")
}

/// The diagrams grew past the budget; `None` for a policy without rules, which makes none.
pub(super) fn too_large(policy: &Policy, exceeded: BudgetExceeded) -> Option<Diagnostic> {
    let rule = policy.rules.values().last()?;
    let error = Diagnostic::error(
        TOO_LARGE,
        "the policy is too large to analyse",
        rule.place.span,
        format!("{exceeded} before this rule, the last, was placed"),
    );
    Some(error.help(fewer(policy)))
}

/// What is to be done about a list that makes too many pieces: fewer of what its rules ask for in the most different ways.
pub(crate) fn fewer(policy: &Policy) -> String {
    let mut asked: BTreeMap<&str, HashSet<&Condition>> = BTreeMap::new();
    let mut sides = HashSet::new();
    for rule in policy.rules.values() {
        sides.extend([&rule.matches.from, &rule.matches.to].into_iter().flatten());
        for condition in &rule.matches.conditions {
            count(condition, &mut asked);
        }
    }
    let most = asked.into_iter().max_by_key(|(_, ways)| ways.len());
    match most.filter(|(_, ways)| ways.len() > sides.len()) {
        Some((word, _)) => {
            format!("split it, or use fewer different `{word}` conditions in one list")
        }
        None => "split it, or use fewer different address and port ranges in one list".to_owned(),
    }
}

/// Counts a condition by the word that begins it, or those in it.
fn count<'p>(condition: &'p Condition, asked: &mut BTreeMap<&'static str, HashSet<&'p Condition>>) {
    let word = match condition {
        Condition::No(inner) => return count(inner, asked),
        Condition::AnyOf(all) => return all.iter().for_each(|one| count(one, asked)),
        Condition::Header { field, .. } => field.word(),
        Condition::Socket { .. } => "socket",
        Condition::SockAbsent(_) => "sock",
        // They stand in rules that were made of others, not in what somebody wrote.
        Condition::Entry { .. } | Condition::FirstMatch(_) => return,
    };
    asked.entry(word).or_default().insert(condition);
}

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn codes_are_distinct_and_in_order() {
        assert!(CODES.is_sorted_by(|(left, _), (right, _)| left < right));
    }
}
