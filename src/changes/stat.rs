//! A comparison as a few counts.

use std::collections::BTreeMap;

use sockc_compiler::diff::Report;
use sockc_compiler::diff::report::{About, Change, Impact, Scope};

use super::summary;
use super::words;
use crate::output::count;

/// One line for each direction and kind of change, then one of the edits, then one of everything else.
pub(crate) fn text(report: &Report) -> String {
    let changes: Vec<&Change> = report.scopes.iter().flat_map(|one| &one.changes).collect();
    let mut rows: BTreeMap<About, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        rows.entry(change.about).or_default().push(change);
    }
    let mut lines = Vec::new();
    for (about, changes) in rows {
        for (kind, number) in summary::by_kind(&changes) {
            let malformed = about.is_malformed();
            lines.push(format!(
                " {:6} {kind:18} {:>12}{}",
                about.name(),
                count::of(number, "region"),
                if malformed {
                    "   of malformed packets"
                } else {
                    ""
                }
            ));
        }
    }
    let sum = |of: fn(&Scope) -> usize| report.scopes.iter().map(of).sum();
    let rest: [(usize, &str); 2] = [
        (
            sum(|one| one.untold - one.undescribed),
            "(--all counts them)",
        ),
        (sum(|one| one.undescribed), "of which the kind is not known"),
    ];
    for (regions, why) in rest.into_iter().filter(|(regions, _)| *regions > 0) {
        lines.push(format!(" and {} {why}", count::of(regions, "more region")));
    }
    lines.extend(edits(report));
    let data = report.scopes.iter().flat_map(|one| &one.data);
    lines.extend(data.map(|data| format!(" {}", words::data(data))));
    lines.push(format!(" {}", summary::effect(report)));
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// ` 3 edits: 2 with an effect, 1 without`
fn edits(report: &Report) -> Option<String> {
    let edits = || report.scopes.iter().flat_map(|one| &one.edits);
    let number = |of: fn(&Impact) -> bool| edits().filter(|edit| of(&edit.impact)).count();
    let kinds = [
        (
            number(|effect| matches!(effect, Impact::Some | Impact::Rate)),
            "with an effect",
        ),
        (
            number(|effect| matches!(effect, Impact::None(_))),
            "without",
        ),
        (
            number(|effect| *effect == Impact::Unknown),
            "of which nobody knows",
        ),
    ];
    let kinds = kinds.iter().filter(|(number, _)| *number > 0);
    let words: Vec<String> = kinds
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    let all = edits().count();
    (all > 0).then(|| format!(" {}: {}", count::of(all, "edit"), words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::fixtures;

    #[test]
    fn counts_are_a_few_lines() {
        let expected = "
 in     drop -> allow          1 region
 1 edit: 1 with an effect
 1 change of effect: drop -> allow.
";
        assert_eq!(format!("\n{}", text(&fixtures::one())), expected);
        assert!(text(&fixtures::many(1_000)).lines().count() == 3);
        assert_eq!(
            text(&fixtures::nothing()),
            " 2 edits: 2 without\n No change in effect.\n"
        );
    }
}
