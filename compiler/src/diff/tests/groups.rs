//! Groups that come, go, move and are renamed: what a policy that has them not says of their processes.

use super::{between, line, policy};
use crate::diff::report::{Change, Decider, EditKind, Impact, Unsaid};
use crate::diff::{Options, compare};
use crate::observer::Silent;
use crate::policy::{Direction, lies_in};
use crate::testing::of_direction;

/// Both groups have a rule; what follows is about one direction, whose word stands for `DO`.
const BOTH: &str = "
group jobs = cgroup \"/jobs\"
group tmp = cgroup \"/tmp\"
default DO allow
j: drop DO tcp from group jobs to 10.50.0.10:80
t: drop DO tcp from group tmp to 10.50.0.10:22
";

/// One of them has gone, and its rule.
const ONE: &str = "
group jobs = cgroup \"/jobs\"
default DO allow
j: drop DO tcp from group jobs to 10.50.0.10:80
";

/// For each direction of processes its word, and what a group does.
fn directions() -> impl Iterator<Item = (&'static str, &'static str)> {
    Direction::deeds().map(|deed| (deed.direction.word(), deed.does))
}

/// The protocol as a region says it, which need not be said where the direction is about no other.
fn tcp(word: &str) -> String {
    let mut all = Direction::deeds();
    let deed = all.find(|deed| deed.direction.word() == word).unwrap();
    match deed.about {
        "TCP" => word.to_owned(),
        _ => format!("{word} tcp"),
    }
}

/// The declarations and the regions that change, for a direction.
fn told(old: &str, new: &str, word: &str) -> (Vec<String>, Vec<String>) {
    let [old, new] = [old, new].map(|text| of_direction(text, word));
    let scope = between(&old, &new);
    assert_eq!(scope.incomplete, None);
    let regions = scope.changes.iter().map(|one| {
        let (from, to) = (one.from.words(), one.to.words());
        format!("{from} -> {to}: {}", one.region.line())
    });
    let regions = regions.collect();
    (scope.settings, regions)
}

#[test]
fn a_group_that_leaves_with_its_rules_is_opened() {
    for (word, does) in directions() {
        let region = format!("{} from group tmp to 10.50.0.10:22", tcp(word));
        let region = of_direction(&region, word);
        let what = format!("what group tmp {does}");
        assert_eq!(
            told(BOTH, ONE, word),
            (
                vec![format!("{what}: the policy's verdicts -> allow")],
                vec![format!("drop -> allow: {region}")]
            )
        );
        assert_eq!(
            told(ONE, BOTH, word),
            (
                vec![format!("{what}: allow -> the policy's verdicts")],
                vec![format!("allow -> drop: {region}")]
            )
        );
        let scope = between(&of_direction(BOTH, word), &of_direction(ONE, word));
        assert_eq!(scope.edits.len(), 1);
        assert_eq!(scope.edits[0].impact, Impact::Some);
        assert_eq!(scope.changes[0].will_be, Decider::NoGroup);
        assert_eq!(scope.changes[0].unsaid, Some(Unsaid::Names));
        assert!(scope.changes[0].example.ends_with("with group tmp"));
    }
}

#[test]
fn a_group_whose_path_is_another_is_two() {
    for (word, does) in directions() {
        let moved = BOTH.replace("\"/tmp\"", "\"/tmp2\"");
        let (settings, regions) = told(BOTH, &moved, word);
        assert_eq!(
            settings,
            [
                format!("what group tmp (/tmp) {does}: the policy's verdicts -> allow"),
                format!("what group tmp (/tmp2) {does}: allow -> the policy's verdicts"),
            ]
        );
        let mut expected =
            [("drop -> allow", "/tmp"), ("allow -> drop", "/tmp2")].map(|(fates, path)| {
                let region = format!(
                    "{fates}: {} from group tmp ({path}) to 10.50.0.10:22",
                    tcp(word)
                );
                of_direction(&region, word)
            });
        let mut regions = regions;
        regions.sort();
        expected.sort();
        assert_eq!(regions, expected);
    }
}

#[test]
fn another_name_for_the_same_control_group_is_no_change() {
    for (word, _) in directions() {
        let old = of_direction(BOTH, word);
        let renamed = BOTH
            .replace("tmp =", "temp =")
            .replace("group tmp to", "group temp to");
        let new = of_direction(&renamed, word);
        assert_ne!(old, new);
        let report = compare(
            &policy(&old),
            &policy(&new),
            Options::default(),
            &mut Silent,
        );
        assert!(!report.differs(), "{report:#?}");
        // Of two that take each other's names each is known by its path, and called as it is now.
        let swapped = old
            .replace("\"/jobs\"", "\"/x\"")
            .replace("\"/tmp\"", "\"/jobs\"")
            .replace("\"/x\"", "\"/tmp\"");
        let scope = between(&old, &swapped);
        let lines: Vec<String> = scope.changes.iter().map(line).collect();
        assert_eq!(lines.len(), 4, "{lines:#?}");
        let tmp = format!(
            "allow -> drop: {} from group jobs (/tmp) to 10.50.0.10:80",
            tcp(word)
        );
        let tmp = of_direction(&tmp, word);
        assert!(lines.iter().any(|one| one.starts_with(&tmp)), "{lines:#?}");
        assert!(
            scope
                .changes
                .iter()
                .all(|one| one.unsaid == Some(Unsaid::Names))
        );
    }
}

/// By that name its sockets are looked for, of which some are in its maps already.
#[test]
fn what_changes_for_a_renamed_group_is_told_by_its_new_name() {
    let new = ONE.replace("jobs =", "tasks =");
    let new = new.replace("group jobs to 10.50.0.10:80", "group tasks to any:80");
    let names = |old: &str, new: &str, word: &str| {
        let scope = between(&of_direction(old, word), &of_direction(new, word));
        let names = scope.changes.into_iter().map(|one| one.group);
        names.collect::<Vec<_>>()
    };
    for (word, _) in directions() {
        assert_eq!(names(ONE, &new, word), [Some("tasks".to_owned())]);
        assert_eq!(names(BOTH, ONE, word), [Some("tmp".to_owned())]);
    }
}

/// Not of the default, which is another one for the groups that stay.
#[test]
fn what_a_group_that_leaves_may_do_is_told_of_its_rule() {
    let closed = ONE.replace("default DO allow", "default DO drop");
    for (word, _) in directions() {
        let scope = between(&of_direction(BOTH, word), &of_direction(&closed, word));
        let leaves = |one: &&Change| one.will_be == Decider::NoGroup;
        let opened: Vec<&Change> = scope.changes.iter().filter(leaves).collect();
        let [opened] = opened.as_slice() else {
            panic!("{:#?}", scope.changes)
        };
        let edit = &scope.edits[opened.edit.unwrap()];
        let rule = edit.old.as_ref().and_then(|line| line.label.as_deref());
        assert_eq!((edit.kind, rule), (EditKind::Removed, Some("t")));
    }
}

#[test]
fn a_rule_that_goes_with_its_group_and_refused_nothing_says_why() {
    let allowed = BOTH.replace("t: drop", "t: allow");
    for (word, _) in directions() {
        let scope = between(&of_direction(&allowed, word), &of_direction(ONE, word));
        let why = "what no rule decides is allowed anyway";
        let impacts = scope.edits.into_iter().map(|one| one.impact);
        let impacts: Vec<Impact> = impacts.collect();
        assert_eq!(impacts, [Impact::None(Some(why.into()))]);
    }
}

#[test]
fn a_group_without_rules_is_under_none() {
    let declared = ONE.replace("default", "group idle = cgroup \"/idle\"\ndefault");
    for (word, _) in directions() {
        assert_eq!(told(ONE, &declared, word), (vec![], vec![]));
        let allowed = format!("{declared}allow DO tcp from group idle to 192.0.2.1:1\n");
        assert_eq!(told(ONE, &allowed, word), (vec![], vec![]));
    }
}

#[test]
fn rules_that_name_no_group_are_about_every_one() {
    let declared = "group tmp = cgroup \"/tmp\"\n";
    for (word, does) in directions() {
        for (rule, region) in [
            (
                "default DO allow\ndrop DO tcp to 10.50.0.10:22",
                "TCP from group tmp to 10.50.0.10:22",
            ),
            (
                "default DO drop",
                "DO everything from group tmp that no rule decides",
            ),
        ] {
            let old = format!("group jobs = cgroup \"/jobs\"\n{rule}\n");
            assert_eq!(
                told(&old, &format!("{declared}{old}"), word),
                (
                    vec![format!(
                        "what group tmp {does}: allow -> the policy's verdicts"
                    )],
                    vec![format!(
                        "allow -> drop: {}",
                        of_direction(&region.replace("TCP", &tcp(word)), word)
                    )]
                )
            );
        }
    }
}

#[test]
fn what_lies_in_a_group_that_was_there_stays_under_its_rules() {
    for (word, does) in directions() {
        let inner = ONE.replace("\"/jobs\"", "\"/jobs/of\"");
        let region = format!(
            "drop -> allow: {} from group jobs (/jobs) to 10.50.0.10:80 except what lies in /jobs/of",
            tcp(word)
        );
        assert_eq!(
            told(ONE, &inner, word),
            (
                vec![format!(
                    "what group jobs (/jobs) {does} (except what lies in /jobs/of): the policy's verdicts -> allow"
                )],
                vec![of_direction(&region, word)]
            )
        );
    }
}

#[test]
fn where_nothing_ran_a_policy_that_only_refuses_has_an_effect() {
    for (word, _) in directions() {
        let old = crate::policy::Policy::default();
        let new = policy(&of_direction(BOTH, word));
        let report = compare(&old, &new, Options::default(), &mut Silent);
        let changes = &report.scopes[0].changes;
        assert_eq!(changes.len(), 2, "{changes:#?}");
        assert!(
            changes
                .iter()
                .all(|one| one.was == Decider::NoGroup && one.to.verdict == "drop")
        );
    }
}

#[test]
fn paths_lie_in_each_other_by_whole_names() {
    for (inner, outer, expected) in [
        ("/a", "/a", true),
        ("/a", "/a/b", false),
        ("/a/b", "/a", true),
        ("/a", "/", true),
        ("/ab", "/a", false),
        ("/a/b", "/a/c", false),
    ] {
        assert_eq!(lies_in(inner, outer), expected, "{inner} {outer}");
    }
}
