//! What a comparison says, in words.

use super::{between, line, policy};
use crate::diff::report::Effect;
use crate::diff::{Options, compare};
use crate::observer::Silent;

fn lines(old: &str, new: &str) -> Vec<String> {
    let scope = between(old, new);
    assert_eq!(scope.incomplete, None);
    scope.changes.iter().map(line).collect()
}

const HOST: &str = "
set admins = { 10.20.0.0/16, 192.0.2.7 }
default in drop
established: allow tcp if socket established
ssh: allow tcp from @admins to any:22
web: allow tcp to any:{80, 443}
";

#[test]
fn a_wider_rule_shows_what_it_adds() {
    let new = HOST.replace("from @admins to any:22", "to any:22");
    assert_eq!(
        lines(HOST, &new),
        [
            "drop -> allow: tcp from not @admins to any:22 if no socket established | tcp from 198.51.100.7:40000 to 192.0.2.1:22"
        ]
    );
}

/// The changes of a host whose text is edited in one place.
fn edited(from: &str, to: &str) -> Vec<String> {
    assert!(HOST.contains(from));
    lines(HOST, &HOST.replacen(from, to, 1))
}

#[test]
fn regions_are_said_in_the_words_of_the_language() {
    let table: [(&str, &str, &[&str]); 6] = [
        (
            "web: allow",
            "web: reject",
            &[
                "allow -> reject: tcp to any:{80, 443} if no socket established | tcp from 198.51.100.7:40000 to 192.0.2.1:80",
            ],
        ),
        (
            "192.0.2.7 }",
            "192.0.2.8 }",
            &[
                "allow -> drop: tcp from 192.0.2.7 to any:22 if no socket established | tcp from 192.0.2.7:40000 to 192.0.2.1:22",
                "drop -> allow: tcp from 192.0.2.8 to any:22 if no socket established | tcp from 192.0.2.8:40000 to 192.0.2.1:22",
            ],
        ),
        (
            "web: allow",
            "out-there: drop tcp from 10.20.1.0/24\nweb: allow",
            &[
                "allow -> drop: tcp from 10.20.1.0/24 to any:{80, 443} if no socket established | tcp from 10.20.1.1:40000 to 192.0.2.1:80",
            ],
        ),
        (
            "ssh: allow tcp from @admins to any:22\n",
            "",
            &[
                "allow -> drop: tcp from @admins to any:22 if no socket established | tcp from 10.20.0.1:40000 to 192.0.2.1:22",
            ],
        ),
        (
            "default in drop",
            "default in allow",
            &[
                "drop -> allow: everything that no rule decides | tcp from 198.51.100.7:40000 to 192.0.2.1:8080",
                "drop -> allow: malformed packets | with malformed",
            ],
        ),
        (
            "web: allow tcp",
            "web: allow tcp, sctp",
            &[
                "drop -> allow: sctp to any:{80, 443} | sctp from 198.51.100.7:40000 to 192.0.2.1:80",
            ],
        ),
    ];
    for (from, to, expected) in table {
        assert_eq!(edited(from, to), expected, "{to}");
    }
}

#[test]
fn an_edit_without_effect_says_who_decides_instead() {
    let table = [
        (
            "web: allow",
            "early: allow tcp to any:22 if socket established\nweb: allow",
            "line 4 decides all of it before",
        ),
        (
            "web: allow",
            "late: drop udp\nweb: allow",
            "the default does the same",
        ),
        (
            "web: allow",
            "seen: count tcp\nweb: allow",
            "it only counts",
        ),
    ];
    for (from, to, reason) in table {
        let scope = between(HOST, &HOST.replacen(from, to, 1));
        assert!(scope.changes.is_empty(), "{to}");
        let effects: Vec<&Effect> = scope.edits.iter().map(|edit| &edit.effect).collect();
        assert_eq!(effects, [&Effect::None(Some(reason.into()))], "{to}");
    }
}

#[test]
fn what_grows_past_the_budget_is_never_no_change() {
    let rules: String = (0..200)
        .map(|number| {
            format!(
                "allow tcp from 10.{number}.0.0/16:{number} to 172.16.{number}.0/24:{number}-9000\n"
            )
        })
        .collect();
    let old = format!("default in drop\n{rules}");
    let new = format!("default in drop\ndrop tcp from any to any:100-8000\n{rules}");
    let options = Options {
        budget: 2_000,
        ..Options::default()
    };
    let report = compare(&policy(&old), &policy(&new), options, &mut Silent);
    assert!(report.differs() && !report.is_complete());
    let scope = &report.scopes[0];
    assert!(
        scope
            .edits
            .iter()
            .all(|edit| edit.effect == Effect::Unknown),
        "{scope:#?}"
    );
    // With room it is told.
    let report = compare(
        &policy(&old),
        &policy(&new),
        Options::default(),
        &mut Silent,
    );
    assert!(report.is_complete() && !report.scopes[0].changes.is_empty());
}

#[test]
fn a_rule_that_moves_keeps_its_counter() {
    let ssh = "ssh: allow tcp from @admins to any:22\n";
    let unlabelled = ssh.replace("ssh: ", "");
    let old = HOST.replace(ssh, &unlabelled);
    let new = format!("{}{unlabelled}", HOST.replace(ssh, ""));
    let scope = between(&old, &new);
    assert!(
        scope.changes.is_empty() && scope.moved.is_empty(),
        "{scope:#?}"
    );
    let reason = "it decides the same from its new place";
    let effects: Vec<&Effect> = scope.edits.iter().map(|edit| &edit.effect).collect();
    assert_eq!(effects, [&Effect::None(Some(reason.into()))]);
}

#[test]
fn what_was_found_before_the_budget_ended_is_told() {
    let rules: String = (0..200)
        .map(|number| {
            format!(
                "allow tcp from 10.{number}.0.0/16:{number} to 172.16.{number}.0/24:{number}-9000\n"
            )
        })
        .collect();
    let old = format!("default in drop\n{rules}allow udp to 192.0.2.1:53\n");
    let wide = "drop tcp from any to any:100-8000\n";
    let new = format!("default in drop\n{wide}{rules}allow udp to 192.0.2.2:53\n");
    let options = Options {
        budget: 6_000,
        ..Options::default()
    };
    let report = compare(&policy(&old), &policy(&new), options, &mut Silent);
    assert!(report.differs() && !report.is_complete());
    let told: Vec<String> = report.scopes[0].changes.iter().map(line).collect();
    assert!(told.iter().any(|line| line.contains("udp")), "{told:#?}");
    assert!(told.iter().all(|line| !line.contains("tcp")), "{told:#?}");
}

/// Whatever the budget: where it is not known what a rule does, it is not known what is left to the default.
#[test]
fn a_changed_default_is_not_told_beside_what_grew_past_the_budget() {
    let rules: String = (0..60)
        .map(|number| {
            format!(
                "allow tcp from 10.{number}.0.0/16:{number} to 172.16.{number}.0/24:{number}-9000\n"
            )
        })
        .collect();
    let old = policy(&format!("default in drop\n{rules}"));
    let wide = "drop tcp from any to any:100-8000\n";
    let new = policy(&format!("default in allow\n{wide}{rules}"));
    let mut seen = [0, 0];
    let budgets = std::iter::successors(Some(1_000usize), |budget| Some(budget + budget / 8));
    for budget in budgets.take(40) {
        let options = Options {
            budget,
            ..Options::default()
        };
        let report = compare(&old, &new, options, &mut Silent);
        let scope = &report.scopes[0];
        let told = scope
            .changes
            .iter()
            .any(|change| change.region.within == "everything that no rule decides");
        let unknown = scope
            .edits
            .iter()
            .any(|edit| edit.effect == Effect::Unknown);
        assert!(!(told && unknown), "{budget}: {scope:#?}");
        seen[usize::from(unknown)] += 1;
    }
    assert!(seen[0] > 5 && seen[1] > 5, "{seen:?}");
}
