//! Lines and changes as JSON.

use serde::Serialize;
use sockc_compiler::diff::report::Fate;
use sockc_compiler::guard::Line;
use sockc_compiler::location::Location;
use sockc_compiler::mutation::{Change, Gap, Outcome, Unknown};

use super::Tested;
use crate::changes::words;

/// The JSON of this verb.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    format: &'static str,
    /// The policy's own lines.
    lines: Vec<Asked<'a>>,
    /// Those of guards.
    guards: Vec<Asked<'a>>,
    /// What became of changes; null where none were tried.
    changes: Option<Changes<'a>>,
}

/// A line, and how it stands.
#[derive(Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    line: Place<'a>,
    holds: bool,
    packet: Option<&'a str>,
    verdict: Option<&'a str>,
    decider: Option<Place<'a>>,
}

/// A statement.
#[derive(Serialize)]
struct Place<'a> {
    file: &'a str,
    line: u32,
    text: &'a str,
}

/// What became of changes.
#[derive(Serialize)]
struct Changes<'a> {
    made: usize,
    tried: usize,
    same: usize,
    refused: usize,
    noticed: usize,
    unnoticed: Vec<Missed<'a>>,
    /// Those that change only what no line can speak of.
    beyond: Vec<Missed<'a>>,
    unknown: Vec<NotKnown<'a>>,
    offered: Vec<Suggested<'a>>,
}

/// A change.
#[derive(Serialize)]
struct Changed<'a> {
    kind: &'static str,
    rule: Place<'a>,
    netns: Option<&'a str>,
    change: &'a str,
}

/// A change that no line notices.
#[derive(Serialize)]
struct Missed<'a> {
    #[serde(flatten)]
    change: Changed<'a>,
    packet: &'a str,
    /// What decides besides the words of the packet.
    remark: Option<&'static str>,
    from: String,
    to: String,
    /// A line that would notice it.
    expect: Option<&'a str>,
}

/// A change of which it is not known.
#[derive(Serialize)]
struct NotKnown<'a> {
    #[serde(flatten)]
    change: Changed<'a>,
    why: &'a str,
}

/// A line that is offered.
#[derive(Serialize)]
struct Suggested<'a> {
    netns: Option<&'a str>,
    expect: &'a str,
}

/// All of it.
pub(super) fn report(tested: &Tested) -> Report<'_> {
    Report {
        format: "sockc.test/1",
        lines: tested.own.lines.iter().map(asked).collect(),
        guards: tested.guarded.lines.iter().map(asked).collect(),
        changes: tested.outcome.as_ref().map(changes),
    }
}

fn place(location: &Location) -> Place<'_> {
    Place {
        file: &location.file,
        line: location.line,
        text: &location.text,
    }
}

fn asked(line: &Line) -> Asked<'_> {
    let violation = line.violation.as_ref();
    let decider = violation.and_then(|one| one.decider.as_ref());
    Asked {
        line: place(&line.place),
        holds: violation.is_none(),
        packet: violation.map(|one| one.packet.as_str()),
        verdict: violation.map(|one| one.verdict.as_str()),
        decider: decider.map(|one| place(one)),
    }
}

fn changes(outcome: &Outcome) -> Changes<'_> {
    let offered = outcome.offered.iter();
    Changes {
        made: outcome.made,
        tried: outcome.tried,
        same: outcome.same,
        refused: outcome.refused,
        noticed: outcome.noticed,
        unnoticed: outcome.unnoticed.iter().map(missed).collect(),
        beyond: outcome.beyond.iter().map(missed).collect(),
        unknown: outcome.unknown.iter().map(not_known).collect(),
        offered: offered
            .map(|one| Suggested {
                netns: one.netns.as_deref(),
                expect: &one.line,
            })
            .collect(),
    }
}

fn changed(change: &Change) -> Changed<'_> {
    Changed {
        kind: change.kind,
        rule: place(&change.rule),
        netns: change.netns.as_deref(),
        change: &change.words,
    }
}

fn missed(gap: &Gap) -> Missed<'_> {
    Missed {
        change: changed(&gap.change),
        packet: &gap.packet,
        remark: gap.unsaid.map(words::unsaid),
        from: Fate::words(&gap.from),
        to: Fate::words(&gap.to),
        expect: gap.line.as_deref(),
    }
}

fn not_known(unknown: &Unknown) -> NotKnown<'_> {
    NotKnown {
        change: changed(&unknown.change),
        why: &unknown.why,
    }
}
