//! Mutants of policies written as text: what is told of them is so.

use std::collections::BTreeSet;

use sockc_grammar::source::{SourceMap, Span};

use super::judge::{Became, all};
use super::*;
use crate::beside::ways::{Way, by};
use crate::decide::decide;
use crate::event::Verdict;
use crate::files::Texts;
use crate::guard;
use crate::observer::Silent;
use crate::packet::text::{DescribedWorld, read};
use crate::policy::Policy;
use crate::testing::{Options as Drawn, random_policy};

fn texts(text: &str) -> KeptTexts {
    KeptTexts {
        texts: Texts::default(),
        name: "edge.sk".into(),
        text: text.into(),
        stem: "edge".into(),
    }
}

fn guards(texts: &[&str]) -> Vec<GuardText> {
    let texts = texts.iter().map(|text| GuardText {
        name: "guard.sk".into(),
        text: (*text).to_owned(),
    });
    texts.collect()
}

fn with(text: &str, guard: &[&str], options: Options) -> Outcome {
    let found = run(&texts(text), &guards(guard), &mut Texts::default(), options);
    found.unwrap_or_else(|wrong| panic!("{wrong:?}\n{text}"))
}

fn of_text(text: &str) -> Outcome {
    with(text, &[], Options::default())
}

/// What would go unnoticed, as `line kind: words`.
fn unnoticed(text: &str) -> Vec<String> {
    let outcome = of_text(text);
    let gaps = outcome.unnoticed.iter();
    gaps.map(|gap| {
        let change = &gap.change;
        format!("{} {}: {}", change.rule.line, change.kind, change.words)
    })
    .collect()
}

const EDGE: &str = "\
default in drop
default out allow
set admins = { 10.20.0.0/16 }
live set banned max 10
drop from @banned
ssh: allow tcp from @admins to any:22
allow tcp, udp to 192.0.2.0/24:80-81 if socket exists
allow udp to any:53 up to 100 packets/second
reject tcp to 192.0.2.1:53
";

#[test]
fn each_row_shows_somewhere() {
    let found = unnoticed(EDGE);
    let kinds: BTreeSet<&str> = KINDS.into_iter().collect();
    let has = |kind: &str| found.iter().any(|one| one.contains(&format!(" {kind}: ")));
    let missing: Vec<_> = kinds.iter().filter(|kind| !has(kind)).collect();
    // What is moved down has to share packets with the next rule.
    let order = unnoticed("default in drop\ndrop tcp to any:22\nallow tcp from 10.0.0.0/8\n");
    assert!(
        order
            .contains(&"2 order: moved down, after line 3: `allow tcp from 10.0.0.0/8`".to_owned()),
        "{order:?}"
    );
    assert!(missing.is_empty(), "{missing:?}\n{found:#?}");
    for one in [
        "1 default: `allow` in place of `drop`",
        "2 default: `drop` in place of `allow`",
        "6 left out: left out",
        "6 verdict: `drop` in place of `allow`",
        "6 condition: without `from @admins`",
        "6 condition: to every port in place of `22`",
        "6 ports wider: to port `22-23` in place of `22`",
        "7 prefix wider: to `192.0.2.0/23` in place of `192.0.2.0/24`",
        "7 prefix narrower: to `192.0.2.0/25` in place of `192.0.2.0/24`",
        "7 ports narrower: to port `80` in place of `80-81`",
        "7 protocol: without `udp`",
        "7 condition: without `if socket exists`",
        "7 condition: to `any` in place of `192.0.2.0/24`",
        "8 condition: without `up to 100 packets/second`",
        "9 verdict: `allow` in place of `reject`",
    ] {
        assert!(found.iter().any(|found| found == one), "{one}\n{found:#?}");
    }
}

#[test]
fn what_a_line_says_is_noticed_by_policy_and_guard() {
    let policy = "default in drop\nallow tcp from 10.0.0.0/8 to any:22\n";
    let lines = "expect allow tcp from 10.0.0.0/8 to any:22
expect drop from not 10.0.0.0/8 to any
expect drop udp, icmp from any to any
expect drop tcp from any to any:0-21
expect drop tcp from any to any:23-65535
";
    let own = of_text(&format!("{policy}{lines}"));
    assert_eq!(own.unnoticed.len(), 0, "{:#?}", own.unnoticed);
    let guarded = with(policy, &[lines], Options::default());
    assert_eq!((own.noticed, own.same), (guarded.noticed, guarded.same));
    assert!(guarded.unnoticed.is_empty() && own.noticed > 5);
    let neither = of_text(policy);
    assert_eq!((neither.noticed, neither.unnoticed.len()), (0, own.noticed));
    assert_eq!(neither.differing(), own.differing());
    // One line that speaks of too little leaves the rest.
    let some = with(
        policy,
        &["expect allow tcp from 10.1.0.0 to any:22"],
        Options::default(),
    );
    assert!(some.noticed > 0 && !some.unnoticed.is_empty());
}

#[test]
fn what_means_the_same_or_nothing_is_no_gap() {
    let outcome = of_text(
        "default in drop\ndefault out allow\ndrop tcp to any:22\nallow tcp to any:80 mark 7\ncount tcp to any:81\ninclude <essentials>\n",
    );
    let touched: BTreeSet<u32> = outcome
        .unnoticed
        .iter()
        .map(|gap| gap.change.rule.line)
        .collect();
    // What comes with sockc is left as it is, and what only counts.
    assert_eq!(touched, BTreeSet::from([1, 2, 3, 4]));
    let lines: Vec<_> = outcome
        .unnoticed
        .iter()
        .map(|gap| &*gap.change.rule.file)
        .collect();
    assert!(lines.iter().all(|file| *file == "edge.sk"), "{lines:?}");
    assert!(
        outcome.same > 0,
        "rules that share no packet may change places: {outcome:?}"
    );
    let marks = of_text(
        "default in drop\nallow tcp from 10.0.0.0/8 to any:80 mark 7\nallow tcp to any:80\n",
    );
    let beyond: Vec<_> = marks.beyond.iter().map(|gap| gap.change.kind).collect();
    assert!(beyond.contains(&"left out") && !marks.unnoticed.is_empty());
    let refused = of_text(
        "group a = cgroup \"/a\"\ndefault send allow\nshortcut tcp from group a to group a\n",
    );
    assert!(refused.refused > 0, "{refused:?}");
}

#[test]
fn a_sample_is_spread_evenly_and_always_the_same() {
    assert_eq!(sample(10, Some(3)), [0, 3, 6]);
    assert_eq!(sample(3, Some(10)), [0, 1, 2]);
    assert_eq!(sample(4, None), [0, 1, 2, 3]);
    assert_eq!(sample(0, Some(1)), [0; 0]);
    let few = |_| {
        let options = Options {
            at_most: Some(9),
            ..Options::default()
        };
        let outcome = with(EDGE, &[], options);
        assert_eq!(outcome.tried, 9);
        assert!(outcome.made > 30);
        format!("{outcome:?}")
    };
    assert_eq!(few(0), few(1));
    let whole = |way| by(way, || format!("{:?}", of_text(EDGE)));
    assert_eq!(whole(Way::Alone), whole(Way::Always));
}

#[test]
fn what_takes_too_long_is_not_known() {
    let options = Options {
        work: 1,
        ..Options::default()
    };
    let outcome = with(
        &format!("{EDGE}expect drop udp from any to any:54\n"),
        &[],
        options,
    );
    assert!(!outcome.unknown.is_empty(), "{outcome:?}");
    let whole = of_text(EDGE);
    let sum = |one: &Outcome| {
        let told = one.unnoticed.len() + one.beyond.len() + one.unknown.len();
        told + one.same + one.refused + one.noticed
    };
    assert_eq!((sum(&outcome), sum(&whole)), (outcome.tried, whole.tried));
    // Nothing passes for the same that was not found out.
    assert!(outcome.same <= whole.same);
}

#[test]
fn lines_for_a_namespace_stand_in_its_block() {
    let text = "default in drop\nallow tcp to any:22\nfor netns \"blue\" {\n    default in drop\n    allow tcp to any:80\n}\nallow udp to any:53\n";
    let outcome = of_text(text);
    let blue = Some("blue".to_owned());
    assert!(outcome.offered.iter().any(|one| one.netns == blue));
    let inner = outcome
        .unnoticed
        .iter()
        .filter(|gap| gap.change.netns == blue);
    let inner: Vec<_> = inner.collect();
    assert!(!inner.is_empty());
    assert!(
        inner
            .iter()
            .all(|gap| gap.packet.contains("in netns \"blue\""))
    );
    assert!(inner.iter().all(|gap| gap.line.is_some()), "{inner:#?}");
    // All lines together are a guard that the policy keeps to, and that leaves nothing unnoticed.
    let guard = super::text(&outcome.offered);
    let kept = guard::check(&texts(text), &guards(&[&guard]), &mut Texts::default());
    assert!(kept.holds(), "{guard}\n{:?}", kept.mistakes);
    let again = with(text, &[&guard], Options::default());
    assert_eq!(again.unnoticed.len(), 0, "{guard}\n{:#?}", again.unnoticed);
    assert_eq!(again.noticed, outcome.unnoticed.len());
}

#[test]
fn a_line_takes_no_more_for_given_than_it_needs() {
    let outcome = of_text(EDGE);
    let of = |line: u32, kind: &str| {
        let mut gaps = outcome.unnoticed.iter();
        let gap = gaps.find(|gap| gap.change.rule.line == line && gap.change.kind == kind);
        gap.and_then(|gap| gap.line.clone())
    };
    let ssh = of(6, "left out");
    let ssh = ssh.unwrap_or_default();
    assert!(
        ssh.starts_with("expect allow tcp from ") && ssh.ends_with(" with @banned { }"),
        "{ssh}"
    );
    assert!(!ssh.contains("rate") && !ssh.contains("no socket"), "{ssh}");
    let rate = of(8, "left out").unwrap_or_default();
    assert!(rate.contains("no rate exceeded"), "{rate}");
    let without = outcome.unnoticed.iter().filter(|gap| gap.line.is_none());
    assert!(
        without.clone().count() < 3,
        "{:#?}",
        without.collect::<Vec<_>>()
    );
}

/// The verdict that a policy gives a packet in words.
fn verdict(policy: &Policy, words: &str) -> Verdict {
    let mut sources = SourceMap::default();
    let source = sources.add("packet", words);
    let packet = sockc_grammar::parse_packet(&sources, source);
    let packet = packet.unwrap_or_else(|wrong| panic!("{words}: {wrong:?}"));
    let whole = Span {
        source,
        start: 0,
        end: words.len() as u32,
    };
    let said = read(&packet, policy, whole).unwrap_or_else(|wrong| panic!("{words}: {wrong:?}"));
    decide(policy, &said.event, &DescribedWorld::new(policy, &said)).verdict
}

#[test]
fn on_random_policies_packets_and_lines_are_what_they_say() {
    let (mut packets, mut lines, mut none) = (0, 0, 0);
    for seed in 0..24u64 {
        let text = random_policy(seed, Drawn::whole(2 + seed as usize % 3));
        let policy = texts(&text);
        let none_around = &mut Texts::default();
        let subject = Subject::read(&policy, &[], none_around)
            .unwrap_or_else(|wrong| panic!("{wrong:?}\n{text}"));
        let options = Options {
            at_most: Some(24),
            ..Options::default()
        };
        let outcome = of(&subject, options, &mut Silent);
        let mutations = subject.mutations();
        for gap in outcome
            .unnoticed
            .iter()
            .filter(|gap| gap.change.netns.is_none())
        {
            let mutation = mutations
                .iter()
                .find(|one| one.change == gap.change)
                .unwrap();
            let mutated = mutation.done(subject.statements());
            let subject::Resolved::Whole(mutant) = subject.resolve(&mutated) else {
                panic!("{:?} is told of", gap.change);
            };
            if gap.unsaid.is_none() {
                packets += 1;
                let verdicts = [&subject.policy, &*mutant].map(|one| verdict(one, &gap.packet));
                assert_ne!(verdicts[0], verdicts[1], "{gap:?}\n{text}");
            }
            let Some(line) = &gap.line else {
                none += 1;
                continue;
            };
            lines += 1;
            let read = |statements: &[_]| {
                let mut sources = subject.sources.clone();
                let id = sources.add("line", line);
                let (file, wrong) = sockc_grammar::parse(&sources, id);
                assert!(wrong.is_empty(), "{line}: {wrong:?}");
                subject
                    .with_lines(statements, &file.statements, &sources)
                    .unwrap()
            };
            let standings = [read(subject.statements()), read(&mutated)].map(|policy| {
                let mut store = crate::diagram::Store::of(&policy);
                crate::expect::standing(&policy, &policy.expects[0], &mut store).unwrap()
            });
            assert!(
                matches!(
                    standings,
                    [
                        crate::expect::Standing::Holds,
                        crate::expect::Standing::Broken(_)
                    ]
                ),
                "{line}: {standings:?}\n{gap:?}\n{text}"
            );
        }
    }
    println!("{packets} packets, {lines} lines, {none} without a line");
    assert!(
        packets > 60 && lines > 60,
        "{packets} packets, {lines} lines, {none} without"
    );
}

/// Lines are left out of the asking only where they cannot break.
#[test]
fn on_random_policies_no_line_that_breaks_is_missed() {
    let (mut noticed, mut quiet) = (0, 0);
    for seed in 100..116u64 {
        let text = random_policy(seed, Drawn::whole(3));
        let few = Options {
            at_most: Some(6),
            ..Options::default()
        };
        // Lines that hold, and that some changes break.
        let offered = with(&text, &[], few).offered;
        let kept = offered.iter().filter(|one| one.netns.is_none());
        let kept: String = kept.map(|one| format!("{}\n", one.line)).collect();
        let text = format!("{text}\n{kept}");
        let policy = texts(&text);
        let Ok(subject) = Subject::read(&policy, &[], &mut Texts::default()) else {
            continue;
        };
        let mutations = subject.mutations();
        let mutations: Vec<_> = mutations.iter().step_by(3).collect();
        for one in all(&subject, &mutations, Options::default(), &mut Silent) {
            let said = match one.became {
                Became::Noticed => true,
                Became::Unnoticed(_) | Became::Beyond(_) => false,
                _ => continue,
            };
            let mutated = one.mutation.done(subject.statements());
            let broken = match subject.resolve(&mutated) {
                subject::Resolved::Whole(mutant) => {
                    let mut store = crate::diagram::Store::of(&mutant);
                    mutant.expects.iter().any(|expect| {
                        !matches!(
                            crate::expect::standing(&mutant, expect, &mut store),
                            Ok(crate::expect::Standing::Holds)
                        )
                    })
                }
                _ => true,
            };
            assert_eq!(said, broken, "{:?}\n{text}", one.mutation.change);
            *(if said { &mut noticed } else { &mut quiet }) += 1;
        }
    }
    assert!(noticed > 5 && quiet > 20, "{noticed} noticed, {quiet} not");
}
