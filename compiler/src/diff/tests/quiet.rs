//! What is said of edits that change nothing, and how far what changes reaches.

use super::between;
use crate::diff::report::{Addresses, Count, Edit, EditKind, End, Impact, Scope};
use crate::policy::Direction;

const GROUPS: &str = "group jobs = cgroup \"/jobs\"\ngroup more = cgroup \"/more\"\n";

/// What changes between two texts, whose `DO` is a direction, next to two groups.
fn compared(old: &str, new: &str, word: &str) -> Scope {
    let [old, new] = [old, new].map(|text| format!("{GROUPS}{}", text.replace("DO", word)));
    between(&old, &new)
}

/// The reasons of the edits that are without effect, those of rules only.
fn reasons(scope: &Scope) -> Vec<&str> {
    let of_rule = |edit: &&Edit| {
        edit.new
            .iter()
            .chain(&edit.old)
            .all(|line| !line.is_default)
    };
    let edits = scope.edits.iter().filter(of_rule);
    let reasons = edits.filter_map(|edit| match &edit.impact {
        Impact::None(why) => why.as_deref(),
        _ => None,
    });
    reasons.collect()
}

/// What is said of a rule holds in the policy that has it: whoever deletes a needed one opens or closes something.
#[test]
fn a_rule_that_is_needed_is_not_said_to_be_idle() {
    let ok = "ok: allow DO tcp to 127.0.0.7:7777\n";
    let closed = format!("default DO drop\n{ok}");
    let opened = "default DO allow\n";
    let wide = ok.replace("127.0.0.7:7777", "127.0.0.0/24");
    let late = format!("{opened}{wide}late: drop DO tcp to 127.0.0.7\n");
    let open = format!("{opened}{ok}");
    let table: [(&str, &str, &str); 8] = [
        (opened, &closed, "it keeps what the old default decided"),
        (&closed, opened, "the new default does the same"),
        ("", &closed, "it keeps allowed what no old rule decided"),
        (&closed, "", "what no new rule decides is allowed"),
        // Another new rule would decide it otherwise.
        ("", &late, "it keeps allowed what no old rule decided"),
        (&late, "", "what no new rule decides is allowed"),
        // Not needed in either.
        (&open, "", "what no rule decides is allowed anyway"),
        (opened, &open, "the default does the same"),
    ];
    for direction in Direction::ALL {
        let word = direction.word();
        for (old, new, reason) in table {
            let scope = compared(old, new, word);
            assert_eq!(reasons(&scope), [reason], "{word}: {old} {new}");
        }
    }
}

/// A rule in whose place another stood is told by the line that stood there.
#[test]
fn a_rule_in_the_place_of_another_is_needed() {
    let old = "default DO drop\nallow DO tcp to 192.0.2.0/24\n";
    let new =
        "default DO drop\na: allow DO tcp to 192.0.2.0/25\nb: allow DO tcp to 192.0.2.128/25\n";
    for direction in Direction::ALL {
        let scope = compared(old, new, direction.word());
        assert!(scope.changes.is_empty(), "{scope:#?}");
        for why in reasons(&scope) {
            assert!(!why.contains("does the same"), "{why}");
        }
    }
}

/// No process has, or reaches, an address that stands for another.
#[test]
fn a_rule_of_processes_that_grows_by_an_address_nobody_has_changes_nothing() {
    for direction in Direction::all_of_processes() {
        let ends = match direction.has_sender() {
            true => ["from", "to"].as_slice(),
            false => &["to"],
        };
        for end in ends {
            let unspecified = [("0.0.0.1", "0.0.0.0-0.0.0.1"), ("::1", "::/127")];
            // What arrives may be from an unspecified address.
            let names_receiver = direction.deed().is_some_and(|deed| deed.names_receiver);
            let nobodys = unspecified.into_iter().filter(|_| names_receiver);
            let mapped = ("::fffe:ffff:ffff", "::fffe:ffff:ffff-::ffff:0:0");
            for (narrow, wide) in nobodys.chain([mapped]) {
                let list = |one| format!("default DO allow\ndrop DO tcp {end} {one}\n");
                let scope = compared(&list(narrow), &list(wide), direction.word());
                assert!(scope.changes.is_empty(), "{end} {wide}: {scope:#?}");
            }
        }
    }
}

/// What is counted as without effect can be read.
#[test]
fn a_default_without_effect_says_why() {
    for direction in Direction::all_of_processes() {
        let word = direction.word();
        let allowed = (
            "default DO allow\n",
            "",
            "what no rule decides is allowed anyway",
        );
        let all = "default DO allow\ndrop DO\n";
        let closed = all.replace("allow", "drop");
        let table = [
            allowed,
            (&closed, all, "nothing that it decides gets another fate"),
        ];
        for (one, other, reason) in table {
            for (old, new) in [(one, other), (other, one)] {
                let scope = compared(old, new, word);
                let [edit] = scope.edits.as_slice() else {
                    panic!("{word}: {:?}", scope.edits)
                };
                assert_ne!(edit.kind, EditKind::Relabelled);
                assert_eq!(edit.impact, Impact::None(Some(reason.into())), "{word}");
            }
        }
    }
}

/// The ends of a region are counted one by one, which is more than the region where rules take something away.
#[test]
fn what_rules_take_away_is_not_reached() {
    let closed = "default DO drop\n";
    let ok = "ok: allow DO tcp to 127.0.0.7:7777\n";
    for direction in Direction::ALL {
        for (rules, expected) in [("", false), (ok, true)] {
            let scope = compared("", &format!("{closed}{rules}"), direction.word());
            let spans: Vec<_> = scope.changes.iter().filter_map(|one| one.spans).collect();
            assert!(!spans.is_empty());
            for spans in spans {
                assert_eq!(spans.at_most, expected, "{direction:?}");
                assert_eq!(spans.senders == End::Unknown, !direction.has_sender());
            }
        }
    }
}

/// No process reaches an address that stands for another: a region of all others is one of every receiver.
#[test]
fn a_default_of_what_processes_do_has_every_receiver() {
    for direction in Direction::all_of_processes() {
        let scope = compared("default DO allow\n", "default DO drop\n", direction.word());
        assert_eq!(scope.changes.len(), 2, "a group each");
        for change in scope.changes {
            let all = Addresses {
                v4: Count::All,
                v6: Count::All,
            };
            assert_eq!(change.spans.unwrap().receivers, End::Of(all));
        }
    }
}

/// Every group that comes under refusals is declared otherwise, whether or not it was a group before.
#[test]
fn each_group_that_comes_under_rules_is_named() {
    for deed in Direction::deeds() {
        let (word, does) = (deed.direction.word(), deed.does);
        let said =
            |fates: &str| ["jobs", "more"].map(|one| format!("what group {one} {does}: {fates}"));
        let closed = "default DO drop\n";
        let comes = compared("default DO allow\n", closed, word).settings;
        assert_eq!(comes, said("allow -> the policy's verdicts"));
        let goes = compared(closed, "", word).settings;
        assert_eq!(goes, said("the policy's verdicts -> allow"));
    }
}

/// What passes through is looked at where it leaves: it may come in by an interface that no policy is on.
#[test]
fn what_comes_in_elsewhere_and_leaves_by_a_covered_interface_changes() {
    let old = "interfaces eth1\ndefault forward allow\n";
    let new = format!("{old}drop forward on interface eth0\n");
    let scope = between(old, &new);
    assert_eq!(scope.changes.len(), 1, "{scope:#?}");
}
