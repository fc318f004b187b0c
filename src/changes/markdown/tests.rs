use super::*;
use crate::changes::fixtures;

#[test]
fn a_change_is_an_item_below_its_edit() {
    let expected = "\
### `a.sk` → `b.sk`

**1 change of effect: drop → allow.**

```diff
- ssh: allow tcp from @office to port ssh    # web.sk:19
+ ssh: allow tcp to port ssh    # web.sk:19
```

1. `drop` → `allow`: `tcp from any to any:22 except from 10.20.0.0/16, from 192.0.2.7`
   - for example `tcp from 8.8.8.8:40000 to 192.0.2.1:22`
   - was `drop, by web.sk:3 default in drop`
   - will be `allow, by web.sk:19 ssh`
   - senders: all of IPv4 but 65,537 IPv4 addresses and all of IPv6; receivers: all; 1 port
";
    assert_eq!(
        text(&title("a.sk", "b.sk"), &fixtures::one(), false),
        expected
    );
}

#[test]
fn an_example_that_is_not_exact_says_so() {
    let shown = text("", &fixtures::inexact(), false);
    let remark =
        "192.0.2.1:22` (and some rates are exceeded, others not: words know one state of all)\n";
    assert!(shown.contains(remark), "{shown}");
}

#[test]
fn malformed_packets_reach_nobody_by_fields() {
    let shown = text("", &fixtures::malformed(), false);
    assert!(
        shown.ends_with("will be `allow, by web.sk:19 ssh`\n"),
        "{shown}"
    );
}

#[test]
fn long_lists_are_folded_and_the_longest_cut() {
    let shown = text("", &fixtures::many(20), false);
    assert!(
        shown.contains("<details><summary>15 more changes</summary>"),
        "{shown}"
    );
    let shown = text("", &fixtures::many(150), false);
    assert!(shown.contains("And 50 more changes"), "{shown}");
    assert!(!text("", &fixtures::many(150), true).contains("And 50"));
}

#[test]
fn a_comment_holds_no_more_than_a_hundred_changes() {
    let mut report = fixtures::many(150);
    let scope = &mut report.scopes[0];
    scope.edits = vec![fixtures::edited(); 150];
    for (edit, change) in scope.changes.iter_mut().enumerate() {
        change.edit = Some(edit);
    }
    let shown = text("", &report, false);
    assert!(shown.contains("And 50 more edits"), "{shown}");
    // So long may a comment be where most people write one.
    assert!(shown.len() < 65_536, "{}", shown.len());
}

#[test]
fn no_text_of_a_policy_ends_its_code() {
    let evil = "drop ``` </details> @everyone `x`";
    let mut report = fixtures::all();
    let scope = &mut report.scopes[0];
    scope.edits[0].new = Some(fixtures::line(1, None, evil));
    scope.changes[0].region.within = evil.into();
    scope.settings = vec![evil.into()];
    scope.changes[0].to = fixtures::fate("redirect", Some("sock <b>`"));
    let shown = text("", &report, false);
    assert!(shown.contains("````diff\n"), "{shown}");
    assert!(shown.contains(&format!("- ```` {evil} ````")), "{shown}");
    assert!(shown.contains("`` redirect to sock <b>` ``"), "{shown}");
}

#[test]
fn every_fold_that_opens_closes() {
    let mut edits = fixtures::many(20);
    let scope = &mut edits.scopes[0];
    scope.edits = vec![fixtures::edited(); 20];
    for (edit, change) in scope.changes.iter_mut().enumerate() {
        change.edit = Some(edit);
    }
    for report in [fixtures::many(20), edits] {
        let shown = text("", &report, false);
        assert_eq!(shown.matches("<details>").count(), 1, "{shown}");
        assert_eq!(shown.matches("</details>").count(), 1, "{shown}");
        assert!(shown.contains("<summary>15 more "), "{shown}");
    }
}
