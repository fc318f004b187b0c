use super::*;
use crate::changes::fixtures;

fn plain(report: &Report) -> String {
    text(report, &summary::line(report), Look::default())
}

#[test]
fn a_change_stands_below_its_edit() {
    let expected = "\
- web.sk:19  ssh: allow tcp from @office to port ssh
+ web.sk:19  ssh: allow tcp to port ssh
  1  drop -> allow     tcp from any to any:22 except from 10.20.0.0/16, from 192.0.2.7
     for example       tcp from 8.8.8.8:40000 to 192.0.2.1:22
     was               drop, by web.sk:3 default in drop
     will be           allow, by web.sk:19 ssh
     reaches           senders: all of IPv4 but 65,537 IPv4 addresses and all of IPv6; receivers: all; 1 port

1 change of effect: drop -> allow.
";
    assert_eq!(plain(&fixtures::one()), expected);
}

#[test]
fn an_example_that_is_not_exact_says_so() {
    let shown = plain(&fixtures::inexact());
    let remark = "
     for example       tcp from 8.8.8.8:40000 to 192.0.2.1:22
                       (and some rates are exceeded, others not: words know one state of all)
     was ";
    assert!(shown.contains(remark), "{shown}");
}

/// The first plan of a machine says what the policy does; against nothing every `allow` is without effect.
#[test]
fn a_first_policy_is_told_as_it_is() {
    let statement = |number, text: &str| sockc_compiler::diff::report::Edit {
        old: None,
        new: Some(fixtures::line(number, None, text)),
        impact: Impact::None(Some("what no rule decides is allowed anyway".into())),
        ..fixtures::edited()
    };
    let mut report = fixtures::nothing();
    report.scopes[0].edits = vec![
        statement(4, "ssh: allow tcp to port ssh"),
        statement(1, "default in drop"),
    ];
    let expected = "\
what arrives: the first rule that matches decides
  web.sk:4  ssh: allow tcp to port ssh
  web.sk:1  default in drop, whatever no rule decides

No policy runs. New: 1 rule, 1 default. No change in effect.
";
    assert_eq!(
        first(&report, &summary::first(&report), Look::default()),
        expected
    );
}

#[test]
fn a_label_that_is_another_is_named() {
    let mut report = fixtures::nothing();
    let edit = &mut report.scopes[0].edits[0];
    edit.kind = sockc_compiler::diff::report::EditKind::Relabelled;
    edit.new.as_mut().unwrap().label = Some("echo".into());
    let shown = plain(&report);
    assert!(shown.contains("other labels\n  ping -> echo\n"), "{shown}");
}

/// What is counted as without effect stands there to be read, with a reason or without.
#[test]
fn an_edit_without_effect_and_reason_is_listed() {
    let mut report = fixtures::nothing();
    let edit = &mut report.scopes[0].edits[0];
    edit.kind = EditKind::Removed;
    edit.new = None;
    edit.impact = Impact::None(None);
    let shown = plain(&report);
    assert!(shown.contains("without effect\n- web.sk:"), "{shown}");
}

#[test]
fn malformed_packets_reach_nobody_by_fields() {
    let shown = plain(&fixtures::malformed());
    assert!(
        shown.contains("drop -> allow     malformed packets that arrive\n"),
        "{shown}"
    );
    assert!(!shown.contains("reaches"), "{shown}");
}

#[test]
fn no_change_is_one_line() {
    assert_eq!(plain(&Report::default()), "No change in effect.\n");
    assert_eq!(
        plain(&fixtures::nothing()),
        "No change in effect. 2 rules reworded.\n"
    );
}

#[test]
fn everything_is_said_once() {
    let shown = plain(&fixtures::all());
    for part in [
        "by no single rule\n",
        "redirect to sock recursor -> redirect to sock authority",
        "as no rule matches and there is no default",
        "senders: all; receivers: all\n",
        "line 4 decides all of it before",
        "web.sk:19 ssh -> web.sk:7 allow icmp 8",
        "set office +2,000 -1 (12 -> 2,011)",
        "+ 192.0.2.0/24, 198.51.100.0/24, …",
        "interfaces: eth1 is new",
        "in netns \"blue\"\n",
        "established connections keep their old socket",
        "incomplete in netns \"blue\": the diagrams grew past 20 million nodes; of 2 edits it is not known",
        "and perhaps more.",
    ] {
        assert_eq!(shown.matches(part).count(), 1, "{part}\n{shown}");
    }
    assert!(
        shown.lines().all(|line| line.chars().count() <= 110),
        "{shown}"
    );
}

#[test]
fn what_is_incomplete_is_never_no_change() {
    let mut report = fixtures::all();
    for scope in &mut report.scopes {
        scope.changes.clear();
        scope.settings.clear();
    }
    let shown = plain(&report);
    assert!(!shown.contains("No change"), "{shown}");
    assert!(
        shown.contains("Not everything could be compared"),
        "{shown}"
    );
}

#[test]
fn long_lists_are_cut_unless_all_is_asked_for() {
    let shown = plain(&fixtures::many(40));
    assert!(
        shown.contains("and 26 more changes (--all shows them)"),
        "{shown}"
    );
    assert!(shown.lines().count() <= 30, "{shown}");
    let all = Look {
        all: true,
        ..Look::default()
    };
    let many = fixtures::many(40);
    let shown = text(&many, &summary::line(&many), all);
    assert!(!shown.contains("--all"), "{shown}");
    assert!(shown.contains(" 40  drop -> allow"), "{shown}");
}

#[test]
fn many_edits_are_cut_with_their_changes() {
    let mut report = fixtures::one();
    let scope = &mut report.scopes[0];
    scope.edits = vec![fixtures::edited(); 20];
    scope.changes = (0..20)
        .map(|edit| Change {
            edit: Some(edit),
            ..fixtures::opened()
        })
        .collect();
    let shown = plain(&report);
    assert!(
        shown.contains("and 6 more edits and 6 more changes (--all shows them)"),
        "{shown}"
    );
    assert!(
        shown.ends_with("20 changes of effect: drop -> allow.\n"),
        "{shown}"
    );
}

#[test]
fn edits_whose_changes_are_not_told_are_counted() {
    let mut report = fixtures::one();
    let scope = &mut report.scopes[0];
    scope.edits = vec![fixtures::edited(); 500];
    scope.untold = 499;
    let shown = plain(&report);
    assert!(
        shown.contains("and 499 more edits and 499 more changes (--all"),
        "{shown}"
    );
    assert!(
        shown.contains("500 changes of effect, among them drop -> allow."),
        "{shown}"
    );
    assert!(shown.lines().count() < 20, "{shown}");
}

/// An edit without a described change is shown all the same where all are asked for.
#[test]
fn what_would_take_too_long_to_describe_is_no_promise_of_all() {
    let mut report = fixtures::one();
    let scope = &mut report.scopes[0];
    scope.edits = vec![fixtures::edited(); 2];
    (scope.untold, scope.undescribed) = (499, 499);
    let shown = plain(&report);
    let more = "and 499 more changes, which it would take too long to describe";
    assert!(shown.contains(more), "{shown}");
    assert!(
        shown.contains("has an effect that it would take too long to describe"),
        "{shown}"
    );
    assert!(!shown.contains("(--all"), "{shown}");
}
