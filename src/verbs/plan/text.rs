//! A plan as text for a person: what runs and what comes, what changes for packets, what is done to the kernel, what those who
//! are connected notice, and how the guards stand.

use std::fmt::Write;

use sockc_compiler::diff::Report;
use sockc_compiler::diff::report::{About, Change};
use sockc_compiler::guard::Line;
use sockc_compiler::policy::Direction;
use sockc_runtime::{
    Carried, DataForecast, Fill, Forecast, HookForecast, LinkFate, ProgramFate, SlotKind, SlotState,
};

use super::reach::{HEADINGS, Reach};
use super::{Planned, has_other_code};
use crate::changes::text as changes;
use crate::machine::place;
use crate::machine::slots::fill;
use crate::output::columns;
use crate::output::count;

/// The whole plan; `suggested` gives words with the commands in them as they have to be written.
pub(super) fn text(
    planned: &Planned<'_>,
    look: changes::Look,
    suggested: impl Fn(&str) -> String,
) -> String {
    let mut page = String::new();
    head(planned, &mut page);
    page.push('\n');
    let tell = match planned.forecast.running {
        Some(_) => changes::text,
        None => changes::first,
    };
    page.push_str(&tell(&planned.report, &planned.summary(), look));
    let mut done = String::new();
    actions(planned.forecast, &planned.notes, &planned.reach, &mut done);
    page.push_str(&suggested(&done));
    match planned.counting() {
        Some(true) => page.push_str("  the rules begin to count\n"),
        Some(false) => page.push_str("  the rules count no more\n"),
        None => {}
    }
    noticed(&planned.report, planned.forecast, &mut page);
    guards(planned, &mut page);
    if let Some(words) = planned.lockout.planned() {
        let _ = writeln!(page, "\nssh\n  {words}");
    }
    let _ = writeln!(page, "\n{}", last(planned));
    page
}

/// Which interfaces and sockets it comes to or goes from, and what is done to the kernel.
pub(super) fn actions(forecast: &Forecast, notes: &[String], reach: &[Reach], page: &mut String) {
    reached(reach, page);
    page.push_str("\nkernel\n");
    kernel(forecast, page);
    for (netns, inner) in &forecast.netns {
        let _ = writeln!(page, "  in the network namespace \"{netns}\"");
        kernel(inner, page);
    }
    for one in &forecast.departing {
        let _ = writeln!(page, "  {}", one.words());
    }
    for note in notes {
        let _ = writeln!(page, "  {note}");
    }
}

fn reached(all: &[Reach], page: &mut String) {
    for heading in HEADINGS {
        let of_these = |one: &&Reach| one.part.heading() == heading;
        let words: Vec<String> = all.iter().filter(of_these).map(Reach::words).collect();
        if !words.is_empty() {
            let _ = writeln!(page, "\n{heading}\n  {}", words.join("\n  "));
        }
    }
}

fn head(planned: &Planned<'_>, page: &mut String) {
    let rows = match (&planned.forecast.running, &planned.digests.0) {
        (Some(running), Some(digest)) => vec![
            "running".to_owned(),
            format!("\"{}\"", running.policy),
            format!("generation {}", running.generation),
            format!("sha256 {digest}"),
        ],
        _ => vec!["running".to_owned(), "no policy".to_owned()],
    };
    let file = vec![
        "file".to_owned(),
        planned.file.clone(),
        format!("generation {}", planned.forecast.generation),
        format!("sha256 {}", planned.digests.1),
    ];
    table(&[rows, file], "", page);
}

fn kernel(forecast: &Forecast, page: &mut String) {
    let mut rows: Vec<Vec<String>> = forecast.hooks.iter().map(hook).collect();
    rows.extend(forecast.data.iter().map(data));
    let counters = forecast.counters;
    if counters.kept + counters.new + counters.gone > 0 {
        rows.push(vec![
            "counters".to_owned(),
            String::new(),
            format!(
                "{} go on, {} begin at 0, {} go",
                counters.kept, counters.new, counters.gone
            ),
        ]);
    }
    if rows.is_empty() {
        rows.push(vec!["nothing is attached".to_owned()]);
    }
    table(&rows, "  ", page);
    for hook in &forecast.hooks {
        for foreign in &hook.foreign {
            let _ = writeln!(page, "  {}", foreign.beside(&hook.hook, &hook.target));
        }
    }
    for (name, now) in &forecast.renamed {
        let _ = writeln!(
            page,
            "  the interface \"{name}\" is called \"{now}\" now: the policy stays on it, and should name it so"
        );
    }
    for one in &forecast.two_zones {
        let _ = writeln!(page, "  {}", one.words());
    }
    for name in &forecast.skipped {
        let _ = writeln!(
            page,
            "  the interface \"{name}\" carries no Ethernet frames: packet rules do not hold there"
        );
    }
}

fn hook(hook: &HookForecast) -> Vec<String> {
    let link = match hook.link {
        LinkFate::Kept => "stays attached",
        LinkFate::Mended => "our program comes back",
        LinkFate::Attached => "is attached",
        LinkFate::Ahead => "is put ahead of programs of others",
        LinkFate::Detached => "is taken off",
    };
    let program = match hook.program {
        ProgramFate::Same => "same code, loaded again",
        ProgramFate::Changed => "other code, swapped in at once",
        ProgramFate::New => "new code",
        ProgramFate::Gone => "its code goes",
    };
    // After the kind stands the number of a control group, whose path is told anyway.
    let kind = hook.hook.split('_').next().unwrap_or_default();
    vec![
        kind.to_owned(),
        place(&hook.target, hook.on.as_deref()),
        format!("{link}, {program}"),
    ]
}

fn data(data: &DataForecast) -> Vec<String> {
    let elements = match data.elements {
        None => "what is in it".to_owned(),
        Some(0) => "nothing".to_owned(),
        Some(number) => count::of(number, "element"),
    };
    let fate = match (data.kind, data.fate) {
        ("group", Carried::Kept) => "keeps its sockets".to_owned(),
        ("group", Carried::Begins) => {
            "takes sockets in from now on, those made before as well, where the kernel takes them; what arrives on these is not decided"
                .to_owned()
        }
        ("group", Carried::Refilled | Carried::Copied | Carried::Goes) => "lets its sockets go".to_owned(),
        ("pairs", Carried::Kept) => format!("goes on with {}", joined(data)),
        ("pairs", Carried::Begins) => {
            format!("is empty until `sockc socket pair {} …` runs", data.name)
        }
        ("pairs", _) => match data.elements {
            Some(1) => "goes; 1 pair is reset".to_owned(),
            _ => format!("goes; {} are reset", joined(data)),
        },
        ("connected socket", Carried::Emptied) => {
            "is put out: it is not of the owner, or cannot take what the rules put there then"
                .into()
        }
        ("socket" | "connected socket", Carried::Kept) if data.elements != Some(0) => {
            "keeps what was handed over".to_owned()
        }
        ("socket" | "connected socket", Carried::Kept | Carried::Begins) => {
            format!("is absent until `sockc socket register {} …`", data.name)
        }
        (_, Carried::Filled) => filled(data),
        (_, Carried::Emptied) => emptied(data),
        (_, Carried::Kept) => format!("goes on with {elements}"),
        (_, Carried::Refilled) => format!("is brought up to date, with {elements}"),
        (_, Carried::Copied) => {
            format!(
                "gets maps of another size or kind, with {elements}; commands that change it wait for the apply"
            )
        }
        (_, Carried::Begins) => format!("begins with {elements}"),
        (_, Carried::Goes) => format!("goes, with {elements}"),
    };
    vec![data.kind.to_owned(), data.name.clone(), fate]
}

fn joined(data: &DataForecast) -> String {
    match data.elements {
        Some(1) => "1 pair".to_owned(),
        Some(number) => format!("{number} pairs"),
        None => "its pairs".to_owned(),
    }
}

/// A slot that is empty, and that apply would fill.
fn filled(data: &DataForecast) -> String {
    let Some(state) = &data.slot else {
        return "is filled".to_owned();
    };
    let kind = SlotKind::of(&state.slot).name();
    let who = state.who.as_ref().and_then(|who| who.process.as_ref());
    who.map_or_else(
        || format!("{kind} is filled: somebody is bound there since"),
        |(pid, name)| format!("{kind} is filled: process {pid} ({name}) is bound there since"),
    )
}

/// A slot that holds a socket, and that apply would leave empty.
fn emptied(data: &DataForecast) -> String {
    let Some(state) = &data.slot else {
        return "is emptied".to_owned();
    };
    let kind = SlotKind::of(&state.slot).name();
    if state.state == Fill::Free {
        return leaves(state, &kind);
    }
    let stands = fill(state);
    let why = stands.strip_prefix("absent: ").unwrap_or(&stands);
    format!("{kind} is emptied: {why}")
}

/// A member that has no place any more; the others stay.
fn leaves(state: &SlotState, kind: &str) -> String {
    let place = state.member.map_or_else(
        || kind.to_owned(),
        |(member, members)| format!("{kind} {member}/{members}"),
    );
    let process = state.who.as_ref().and_then(|who| who.process.as_ref());
    let who = process.map_or_else(
        || "its socket".to_owned(),
        |(pid, name)| format!("process {pid} ({name})"),
    );
    format!("{place} goes: no place is left for {who}")
}

/// What established connections notice. That redirects do not move them, the changes say themselves.
fn noticed(report: &Report, forecast: &Forecast, page: &mut String) {
    let stops = |change: &Change| {
        let kept_out = ["drop", "reject"].contains(&change.to.verdict);
        // A region says in the language's words which packets of connections it leaves alone.
        let of_connections = !change.region.within.contains("no socket");
        kept_out && of_connections && !["drop", "reject"].contains(&change.from.verdict)
    };
    let of_scopes = report.scopes.iter().flat_map(|scope| {
        let within = within(forecast, scope.netns.as_deref());
        scope.changes.iter().map(move |change| (within, change))
    });
    let stopped = |about: &[About]| {
        let mut all = of_scopes.clone();
        all.any(|(within, change)| {
            about.contains(&change.about) && stops(change) && reaches(within, change)
        })
    };
    let mut told = Vec::new();
    if stopped(&[About::In, About::Out, About::Passing]) {
        told.push("what is dropped now and was not before is dropped at once, in connections that exist too");
    }
    if stopped(&[About::Process(Direction::Send)]) {
        told.push("what processes may no longer send fails at once, on connections that exist too, but for those that cannot be taken in (MPTCP, half closed, TLS of the kernel)");
    }
    if !report.is_complete() {
        told.push("not everything could be compared: more may be dropped or fail at once");
    }
    if told.is_empty() {
        return;
    }
    page.push_str("\nconnections that exist\n");
    for line in told {
        let _ = writeln!(page, "  {line}");
    }
}

/// What is foretold of the namespace of a block, or of the policy's own.
fn within<'f>(forecast: &'f Forecast, netns: Option<&str>) -> Option<&'f Forecast> {
    let Some(name) = netns else {
        return Some(forecast);
    };
    let mut inner = forecast.netns.iter();
    inner.find(|(other, _)| other == name).map(|(_, one)| one)
}

/// Whether a change reaches connections that exist: of a group those whose sockets are taken in already, or at the apply.
fn reaches(forecast: Option<&Forecast>, change: &Change) -> bool {
    let Some(group) = &change.group else {
        return true;
    };
    let data = forecast.into_iter().flat_map(|forecast| &forecast.data);
    let mut groups = data.filter(|one| one.kind == "group" && one.name == *group);
    groups.any(|one| matches!(one.fate, Carried::Kept | Carried::Begins))
}

fn guards(planned: &Planned<'_>, page: &mut String) {
    let Some(guarded) = &planned.guarded else {
        return;
    };
    page.push_str("\nguards\n");
    if !guarded.is_sound() {
        page.push_str("  a guard is wrong, so none was asked\n");
        return;
    }
    let rows: Vec<Vec<String>> = guarded.lines.iter().map(guard).collect();
    table(&rows, "  ", page);
    for line in &guarded.lines {
        if let Some(violation) = &line.violation {
            let by = violation.decider.as_ref().map_or_else(
                || "no rule".to_owned(),
                |place| format!("{}:{} {}", place.file, place.line, place.text),
            );
            let _ = writeln!(
                page,
                "  {}:{} is violated by {}: {}, by {by}",
                line.place.file, line.place.line, violation.packet, violation.verdict
            );
        }
    }
}

fn guard(line: &Line) -> Vec<String> {
    let word = if line.violation.is_some() {
        "FAIL"
    } else {
        "ok"
    };
    vec![
        word.to_owned(),
        format!("{}:{}", line.place.file, line.place.line),
        line.place.text.to_string(),
    ]
}

/// The last line: whether this can be applied, and that it was not.
fn last(planned: &Planned<'_>) -> String {
    let failing = planned
        .guarded
        .as_ref()
        .map_or(0, |one| one.violations().count());
    match (failing, planned.differs()) {
        (0, true) => "Nothing was applied.".to_owned(),
        (0, false) if has_other_code(planned.forecast) => {
            "No change by the rules: apply would load other code for them.".to_owned()
        }
        (0, false) => "No change: apply would load the same again.".to_owned(),
        (1, _) => "Nothing was applied, and it cannot be: 1 guard fails.".to_owned(),
        (many, _) => format!("Nothing was applied, and it cannot be: {many} guards fail."),
    }
}

/// Columns, as wide as their widest cell.
fn table(rows: &[Vec<String>], indent: &str, page: &mut String) {
    for line in columns::lines(rows) {
        let _ = writeln!(page, "{indent}{line}");
    }
}
