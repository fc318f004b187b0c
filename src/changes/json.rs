//! A comparison as JSON: flat lists over all scopes, each item with the network namespace that it is of.
//!
//! Not here: the format's name and what else a verb puts next to it.

use serde::Serialize;
use sockc_compiler::diff::Report;
use sockc_compiler::diff::report::{
    Change, Data, Decider, Edit, EditKind, Fate, Impact, Line, Moved, Only, Scope,
};

/// The comparison.
#[derive(Serialize)]
pub(crate) struct Body<'a> {
    /// Whether anything gets another fate, or may.
    differs: bool,
    /// Whether everything was compared.
    complete: bool,
    incomplete: Vec<Incomplete<'a>>,
    /// Changes that were found and are not among `changes`: it would take too long to describe them.
    untold: usize,
    changes: Vec<ChangeRow<'a>>,
    edits: Vec<EditRow<'a>>,
    counters: Vec<MovedRow<'a>>,
    data: Vec<DataRow<'a>>,
    settings: Vec<SettingRow<'a>>,
}

impl<'a> Body<'a> {
    /// The JSON of a report.
    pub(crate) fn new(report: &'a Report) -> Self {
        let mut body = Self {
            differs: report.differs(),
            complete: report.is_complete(),
            incomplete: Vec::new(),
            untold: report.scopes.iter().map(|one| one.untold).sum(),
            changes: Vec::new(),
            edits: Vec::new(),
            counters: Vec::new(),
            data: Vec::new(),
            settings: Vec::new(),
        };
        for scope in &report.scopes {
            body.add(scope);
        }
        body
    }

    fn add(&mut self, scope: &'a Scope) {
        let netns = scope.netns.as_deref();
        let before = self.edits.len();
        let changes = scope.changes.iter();
        self.changes
            .extend(changes.map(|one| change(one, netns, before)));
        self.edits
            .extend(scope.edits.iter().map(|one| edit(one, netns)));
        self.counters
            .extend(scope.moved.iter().map(|one| moved(one, netns)));
        self.data
            .extend(scope.data.iter().map(|one| data(one, netns)));
        let settings = scope.settings.iter();
        self.settings
            .extend(settings.map(|text| SettingRow { netns, text }));
        self.incomplete
            .extend(scope.incomplete.iter().map(|one| Incomplete {
                netns,
                why: &one.why,
                unknown_edits: one.unknown_edits,
            }));
    }
}

/// Why something is missing.
#[derive(Serialize)]
struct Incomplete<'a> {
    netns: Option<&'a str>,
    why: &'a str,
    unknown_edits: usize,
}

/// A region whose fate changes.
#[derive(Serialize)]
struct ChangeRow<'a> {
    netns: Option<&'a str>,
    /// `in`, `out`, `send` or `lookup`.
    direction: &'static str,
    /// Whether it is about malformed packets.
    malformed: bool,
    from: &'static str,
    to: &'static str,
    from_target: Option<&'a str>,
    to_target: Option<&'a str>,
    from_mark: Option<u32>,
    to_mark: Option<u32>,
    /// The region in words; what is not in it is in them too.
    region: String,
    /// What it lies in, without what is not in it.
    within: &'a str,
    except: &'a [String],
    /// Whether more is not in it than `except` says.
    and_more: bool,
    /// A packet that `explain` takes.
    example: &'a str,
    /// Whether the words of the example say all that decides it.
    exact: bool,
    /// Of everything of the direction, above 0 and up to 1; 0 for malformed packets, which have no fields to count.
    share: f64,
    old: By<'a>,
    new: By<'a>,
    /// The place in `edits` of the edit that it comes from.
    edit: Option<usize>,
}

/// Who decides.
#[derive(Serialize)]
pub(crate) struct By<'a> {
    /// `rule`, `default`, `nobody` (no rule matches and there is no default), `not attached` (not on this interface) or `no
    /// group` (of no group of the policy).
    by: &'static str,
    #[serde(flatten)]
    line: Option<LineRow<'a>>,
}

/// A statement.
#[derive(Serialize)]
struct LineRow<'a> {
    label: Option<&'a str>,
    file: &'a str,
    line: u32,
    text: &'a str,
}

/// A rule or default that is not the same.
#[derive(Serialize)]
struct EditRow<'a> {
    netns: Option<&'a str>,
    direction: &'static str,
    kind: &'static str,
    old: Option<LineRow<'a>>,
    new: Option<LineRow<'a>>,
    /// Whether it changes the fate of anything; null where nobody knows.
    effect: Option<bool>,
    /// Why it does not, if there is something to say; or that it changes how much fits into a rate.
    why: Option<&'a str>,
}

/// What is counted by another rule.
#[derive(Serialize)]
struct MovedRow<'a> {
    netns: Option<&'a str>,
    direction: &'static str,
    old: By<'a>,
    new: By<'a>,
    example: &'a str,
}

/// A set or map.
#[derive(Serialize)]
struct DataRow<'a> {
    netns: Option<&'a str>,
    name: &'a str,
    gained: usize,
    lost: usize,
    old_size: usize,
    new_size: usize,
    gained_examples: &'a [String],
    lost_examples: &'a [String],
    settings: &'a [String],
    /// `old` or `new` where only one policy has it.
    only: Option<&'static str>,
    /// Whether it is a live set of the policy around in both, which the block ceases (`old`) or begins (`new`) to use.
    stays: bool,
    /// What the old policy calls it, where it holds the same under another name.
    was_called: Option<&'a str>,
    live: bool,
}

/// What else is declared otherwise.
#[derive(Serialize)]
struct SettingRow<'a> {
    netns: Option<&'a str>,
    text: &'a str,
}

fn change<'a>(change: &'a Change, netns: Option<&'a str>, edits_before: usize) -> ChangeRow<'a> {
    let Change {
        from, to, region, ..
    } = change;
    let target = |fate: &'a Fate| fate.target.as_deref();
    ChangeRow {
        netns,
        direction: change.about.name(),
        malformed: change.about.is_malformed(),
        from: from.verdict,
        to: to.verdict,
        from_target: target(from),
        to_target: target(to),
        from_mark: from.mark,
        to_mark: to.mark,
        region: region.line(),
        within: &region.within,
        except: &region.except,
        and_more: region.and_more,
        example: &change.example,
        exact: change.unsaid.is_none(),
        share: change.share,
        old: by(&change.was),
        new: by(&change.will_be),
        edit: change.edit.map(|edit| edits_before + edit),
    }
}

pub(crate) fn by(decider: &Decider) -> By<'_> {
    let (by, found) = match decider {
        Decider::Line(found) if found.is_default => ("default", Some(found)),
        Decider::Line(found) => ("rule", Some(found)),
        Decider::Nobody => ("nobody", None),
        Decider::NotAttached => ("not attached", None),
        Decider::NoGroup => ("no group", None),
    };
    By {
        by,
        line: found.map(line),
    }
}

fn line(line: &Line) -> LineRow<'_> {
    LineRow {
        label: line.label.as_deref(),
        file: &line.location.file,
        line: line.location.line,
        text: &line.location.text,
    }
}

fn edit<'a>(edit: &'a Edit, netns: Option<&'a str>) -> EditRow<'a> {
    let (effect, why) = match &edit.impact {
        Impact::Some => (Some(true), None),
        Impact::Rate => (Some(true), Some("its rate is another")),
        Impact::None(why) => (Some(false), why.as_deref()),
        Impact::Unknown => (None, None),
    };
    EditRow {
        netns,
        direction: edit.direction.word(),
        kind: kind(edit.kind),
        old: edit.old.as_ref().map(line),
        new: edit.new.as_ref().map(line),
        effect,
        why,
    }
}

fn kind(kind: EditKind) -> &'static str {
    match kind {
        EditKind::Added => "added",
        EditKind::Removed => "removed",
        EditKind::Moved => "moved",
        EditKind::Changed => "changed",
        EditKind::Named => "named",
        EditKind::Relabelled => "relabelled",
    }
}

fn moved<'a>(moved: &'a Moved, netns: Option<&'a str>) -> MovedRow<'a> {
    MovedRow {
        netns,
        direction: moved.about.name(),
        old: by(&moved.was),
        new: by(&moved.will_be),
        example: &moved.example,
    }
}

fn data<'a>(data: &'a Data, netns: Option<&'a str>) -> DataRow<'a> {
    DataRow {
        netns,
        name: &data.name,
        gained: data.gained,
        lost: data.lost,
        old_size: data.sizes.0,
        new_size: data.sizes.1,
        gained_examples: &data.gained_examples,
        lost_examples: &data.lost_examples,
        settings: &data.settings,
        only: data.only.map(|only| match only {
            Only::Old => "old",
            Only::New => "new",
        }),
        stays: data.stays,
        was_called: data.was_called.as_deref(),
        live: data.live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::fixtures;
    use serde_json::{Value, json};

    #[test]
    fn changes_are_flat_over_all_scopes() {
        let report = fixtures::all();
        let value = serde_json::to_value(Body::new(&report)).unwrap();
        let Value::Array(changes) = &value["changes"] else {
            panic!("{value}")
        };
        assert_eq!(changes.len(), 3);
        let first = json!({
            "netns": null, "direction": "in", "malformed": false, "from": "drop", "to": "allow",
            "from_target": null, "to_target": null, "from_mark": null, "to_mark": null,
            "region": "tcp from any to any:22 except from 10.20.0.0/16, from 192.0.2.7",
            "within": "tcp from any to any:22", "except": ["from 10.20.0.0/16", "from 192.0.2.7"],
            "and_more": false, "example": "tcp from 8.8.8.8:40000 to 192.0.2.1:22",
            "exact": true, "share": 1.0 / 65_536.0 / 256.0,
            "old": {"by": "default", "label": null, "file": "web.sk", "line": 3, "text": "default in drop"},
            "new": {"by": "rule", "label": "ssh", "file": "web.sk", "line": 19, "text": "ssh: allow tcp to port ssh"},
            "edit": 0,
        });
        assert_eq!(changes[0], first);
        let inexact = serde_json::to_value(Body::new(&fixtures::inexact())).unwrap();
        assert_eq!(inexact["changes"][0]["exact"], false);
        assert_eq!(changes[1]["to_target"], "sock authority");
        assert_eq!(changes[1]["new"], json!({"by": "nobody"}));
        assert_eq!(changes[2]["netns"], "blue");
        // After the three edits of the first scope.
        assert_eq!(changes[2]["edit"], 3);
        assert_eq!(value["edits"][3]["effect"], true);
        assert_eq!(value["edits"][1]["why"], "line 4 decides all of it before");
        assert_eq!(
            (&value["complete"], &value["differs"]),
            (&json!(false), &json!(true))
        );
    }
}
