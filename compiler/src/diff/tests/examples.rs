//! What both policies say of the packets that are shown, and policies that mean the same.

use sockc_grammar::parse_packet;
use sockc_grammar::source::{SourceMap, Span};

use super::oracle::{edited, resolved};
use super::policy;
use crate::decide::decide;
use crate::diff::report::{About, Change};
use crate::diff::{Options, compare};
use crate::event::Verdict;
use crate::observer::Silent;
use crate::packet::text::{self, DescribedWorld};
use crate::policy::Policy;
use crate::testing::Rng;
use crate::testing::{self, random_policy};

/// What a policy says of a packet in words; an error where it does not know a name in it.
fn explained(policy: &Policy, packet: &str) -> Result<&'static str, String> {
    let mut sources = SourceMap::default();
    let id = sources.add("<packet>", packet);
    let tree = parse_packet(&sources, id).map_err(|all| format!("{all:?}"))?;
    let whole = Span {
        source: id,
        start: 0,
        end: packet.len() as u32,
    };
    let said = text::read(&tree, policy, whole).map_err(|one| one.message)?;
    let decision = decide(policy, &said.event, &DescribedWorld::new(policy, &said));
    Ok(match decision.verdict {
        Verdict::Allow => "allow",
        Verdict::Drop => "drop",
        Verdict::Reject => "reject",
        Verdict::Redirect(_) | Verdict::Forward(_) | Verdict::Feed(_) => "redirect",
        Verdict::Shortcut(_) => "shortcut",
    })
}

/// Whether both policies say of a change's packet what the change says.
fn holds(old: &Policy, new: &Policy, change: &Change) -> bool {
    explained(old, &change.example) == Ok(change.from.verdict)
        && explained(new, &change.example) == Ok(change.to.verdict)
}

#[test]
fn explain_says_of_each_example_what_the_change_says() {
    let (mut told, mut beyond_words) = (0, 0);
    // Some edits touch only interfaces that neither policy is on, which is no change.
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let options = testing::Options::whole(15);
        let text = random_policy(seed, options);
        let old = resolved(&text).unwrap();
        let Some(new) = edited(&text, &mut rng) else {
            continue;
        };
        let report = compare(&old, &new, Options::default(), &mut Silent);
        assert!(report.is_complete(), "seed {seed}: {report:#?}");
        for change in &report.scopes[0].changes {
            if change.about == About::Lookup {
                continue;
            }
            told += 1;
            beyond_words += usize::from(change.unsaid.is_some());
            assert!(
                change.unsaid.is_some() || holds(&old, &new, change),
                "seed {seed}: {change:#?} {:?} {:?}",
                explained(&old, &change.example),
                explained(&new, &change.example)
            );
        }
    }
    // Most of these policies have a live map and several rates, which words say little of.
    assert!(
        told > 200 && beyond_words * 2 < told,
        "{beyond_words} of {told}"
    );
}

/// The same policy in other words: rules doubled, after what decides all of it, with other labels, and counted.
fn reworded(text: &str, rng: &mut Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let rules: Vec<usize> = (0..lines.len())
        .filter(|&at| is_plain_rule(&lines[at]))
        .collect();
    let Some(&at) = rng.pick(&rules) else {
        return text.to_owned();
    };
    let rule = lines[at].clone();
    match rng.below(4) {
        0 => lines.insert(at, rule),
        1 => lines[at] = format!("{rule} # as ever"),
        2 => lines.insert(at, format!("count {}", direction(&rule))),
        _ => lines.push(rule),
    }
    lines.join("\n")
}

fn direction(rule: &str) -> &str {
    ["out", "send"]
        .into_iter()
        .find(|word| rule.split_whitespace().any(|one| one == *word))
        .unwrap_or("")
}

fn is_plain_rule(line: &str) -> bool {
    let plain = ["above", "up to", "log", "mark", "by @"];
    (line.starts_with("allow ") || line.starts_with("drop "))
        && !plain.iter().any(|word| line.contains(word))
}

#[test]
fn equal_meanings_in_other_words_do_not_differ() {
    let mut compared = 0;
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let text = random_policy(seed, testing::Options::whole(12));
        let old = resolved(&text).unwrap();
        let other = reworded(&text, &mut rng);
        let Some(new) = resolved(&other) else {
            continue;
        };
        compared += usize::from(other != text);
        let report = compare(&old, &new, Options::default(), &mut Silent);
        let told = !report.differs() && report.is_complete();
        assert!(told, "seed {seed}:\n{text}\n---\n{other}\n{report:#?}");
    }
    assert!(compared > 150, "{compared}");
}

/// Whoever takes an example to `explain` means the block: without its name it is a packet of the policy around.
#[test]
fn each_example_of_a_block_says_in_which() {
    let [old, new] = ["allow", "drop"].map(|default| {
        policy(&format!(
            "interfaces lo\ndefault in allow\nfor netns \"blue\" {{ interfaces v0 default in {default} }}\n"
        ))
    });
    let report = compare(&old, &new, Options::default(), &mut Silent);
    let changes = report.scopes.iter().flat_map(|scope| &scope.changes);
    let examples: Vec<&str> = changes.map(|change| change.example.as_str()).collect();
    let is_malformed = |example: &&&str| example.contains("malformed");
    assert_eq!(examples.iter().filter(is_malformed).count(), 1);
    assert!(examples.len() > 1, "{examples:?}");
    for example in examples {
        assert!(example.contains("in netns \"blue\""), "{example}");
    }
}

/// A live set of the policy around that a block begins or ceases to use: each example can be asked of both policies.
#[test]
fn an_example_names_a_set_around_that_only_one_of_the_blocks_uses() {
    let text = |rules: &str| {
        let around =
            "interfaces lo\ndefault in allow\nlive set banned max 10\nlive set vips max 10\n";
        policy(&format!(
            "{around}for netns \"blue\" {{ interfaces v0\ndefault in allow\n{rules} }}\n"
        ))
    };
    let without = text("");
    let banned = text("drop from @banned");
    let vips = text("drop from @vips");
    for (old, new) in [(&without, &banned), (&banned, &without), (&banned, &vips)] {
        let report = compare(old, new, Options::default(), &mut Silent);
        let scope = &report.scopes[1];
        assert!(!scope.changes.is_empty(), "{report:#?}");
        for change in &scope.changes {
            assert_eq!(change.unsaid, None, "{change:#?}");
            assert!(
                change.example.contains("with in netns \"blue\", @"),
                "{}",
                change.example
            );
            let example = change.example.replace("in netns \"blue\", ", "");
            let said = [old, new].map(|policy| explained(&policy.netns[0].policy, &example));
            let [from, to] = [&change.from, &change.to].map(|fate| Ok(fate.verdict));
            assert_eq!(said, [from, to], "{example}");
        }
    }
    // It is a set of the policy around all the same: a name that is none is refused.
    let packet = "tcp from 1.1.1.1:1 to 2.2.2.2:2 with @bannde { 1.1.1.1 }";
    assert!(explained(&without.netns[0].policy, packet).is_err());
    let twice = "tcp from 1.1.1.1:1 to 2.2.2.2:2 with @banned { 1.1.1.1 }, @banned { }";
    assert!(explained(&without.netns[0].policy, twice).is_err());
}
