//! The text of a placement, for `--emit placement`: for every rule, its hooks and the reasons.

use std::fmt::Write;

use super::{Chain, Effect};
use crate::hook::Hook;
use crate::policy::{DefaultVerdict, Direction, Policy, RuleId, SourceLocation};

/// For each rule in source order, then each default: what it is at each hook, where it counts, and why.
#[must_use]
pub fn describe(policy: &Policy, chains: &[Chain]) -> String {
    let mut text = String::new();
    for (id, rule) in &policy.rules {
        title(&mut text, &rule.place);
        describe_rule(&mut text, policy, chains, id);
    }
    for line in &policy.defaults {
        title(&mut text, &line.place);
        let own = |chain: &&Chain| runs(chain.hook, line.direction);
        for chain in chains.iter().filter(own) {
            let default = chain.default;
            let effect = match (default.verdict, line.verdict) {
                (DefaultVerdict::Allow, DefaultVerdict::Drop | DefaultVerdict::Reject) => "pass",
                (verdict, _) => verdict.word(),
            };
            let reason = default_reason(chain, chains);
            row(&mut text, policy, chain, effect, default.counts, reason);
        }
    }
    text
}

/// Whether a default of the direction holds at the hook: of `in`, at the packet hooks only.
fn runs(hook: Hook, direction: Direction) -> bool {
    hook.direction() == direction && !hook.is_lookup()
}

fn describe_rule(text: &mut String, policy: &Policy, chains: &[Chain], id: RuleId) {
    let before = text.len();
    for chain in chains {
        for entry in chain.entries.iter().filter(|entry| entry.rule == id) {
            let effect = effect_word(entry.effect);
            row(text, policy, chain, effect, entry.counts, entry.reason);
        }
    }
    if text.len() == before {
        text.push_str("  nowhere\n");
    }
}

fn title(text: &mut String, place: &SourceLocation) {
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "{}:{}  {}", place.file, place.line, place.text);
}

fn row(
    text: &mut String,
    policy: &Policy,
    chain: &Chain,
    effect: &str,
    counts: bool,
    reason: &str,
) {
    let group = chain.group.map(|group| policy.groups[group].name.as_str());
    let title = chain.hook.spec().title;
    let hook = group.map_or(title.to_owned(), |group| format!("{title} {group}"));
    let counts = if counts { "counts" } else { "" };
    let _ = writeln!(text, "  {hook:<12} {effect:<9} {counts:<7} {reason}");
}

fn effect_word(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Drop => "drop",
        Effect::Reject => "reject",
        Effect::Forward => "redirect",
        Effect::Intercept => "redirect",
        Effect::Count => "count",
        Effect::Pass => "pass",
        Effect::RedirectPass => "watch",
        Effect::Redirect => "redirect",
        Effect::Shortcut => "shortcut",
        Effect::Feed => "redirect",
    }
}

fn default_reason(chain: &Chain, chains: &[Chain]) -> &'static str {
    let ends = &chain.hook.spec().ends;
    let before =
        |other: &Chain| other.hook < chain.hook && other.hook.direction() == chain.hook.direction();
    match chain.default.counts {
        true if chains.iter().any(before) => ends.after,
        true => ends.first,
        false => ends.uncounted,
    }
}
