//! Lines and changes as text.

use sockc_compiler::guard::Line;
use sockc_compiler::mutation::{Change, Gap, Outcome};

use super::Tested;
use crate::changes::words;
use crate::output::Output;
use crate::output::count;

/// Says how each line stands, then what became of changes.
pub(super) fn tell(tested: &Tested, output: &mut Output) {
    let lines = || tested.own.lines.iter().chain(&tested.guarded.lines);
    for one in lines() {
        line(one, output);
    }
    let all = lines().count();
    let held = lines().filter(|line| line.violation.is_none()).count();
    output.line(match (all, held) {
        (0, _) => "There is no line to ask.".to_owned(),
        (1, 1) => "The line holds.".to_owned(),
        _ if all == held => format!("All {} hold.", count::of(all, "line")),
        _ => format!("{held} of {} hold.", count::of(all, "line")),
    });
    if let Some(outcome) = &tested.outcome {
        output.line("");
        changes(outcome, output);
    }
}

fn line(line: &Line, output: &mut Output) {
    let place = &line.place;
    let stands = match line.violation {
        None => "holds ",
        Some(_) => "broken",
    };
    output.line(format!(
        "{stands} {}:{}  {}",
        place.file, place.line, place.text
    ));
    let Some(violation) = &line.violation else {
        return;
    };
    output.line(format!(
        "       {} gets {}",
        violation.packet, violation.verdict
    ));
    if let Some(by) = &violation.decider {
        output.line(format!("       by {}:{}  {}", by.file, by.line, by.text));
    }
}

fn changes(outcome: &Outcome, output: &mut Output) {
    let unnoticed = outcome.unnoticed.len();
    output.line(match outcome.differing() {
        0 => "No change was found that a line could notice.".to_owned(),
        all => {
            let all = count::of(all, "change");
            format!("{} of {all} would go unnoticed.", count::grouped(unnoticed))
        }
    });
    for note in notes(outcome) {
        output.line(note);
    }
    for one in &outcome.unnoticed {
        gap(one, output);
    }
    for one in &outcome.beyond {
        gap(one, output);
        output.line("  no `expect` line speaks of marks, or of which interface");
    }
    for one in &outcome.unknown {
        head(&one.change, output);
        output.line(format!("  not known: {}", one.why));
    }
}

/// What else became of changes.
fn notes(outcome: &Outcome) -> Vec<String> {
    let mut notes = Vec::new();
    if outcome.tried < outcome.made {
        let [tried, made] = [outcome.tried, outcome.made].map(count::grouped);
        notes.push(format!(
            "{tried} of {made} changes were tried, spread evenly over them."
        ));
    }
    let mut others = Vec::new();
    let mut other = |number: usize, what: &str| {
        if number > 0 {
            others.push(format!("{} {what}", count::grouped(number)));
        }
    };
    other(outcome.same, "mean the same");
    other(outcome.refused, "are refused as no policy");
    other(outcome.beyond.len(), "are beyond `expect` lines");
    other(outcome.unknown.len(), "are not known");
    if !others.is_empty() {
        notes.push(format!("Not counted: {}.", others.join(", ")));
    }
    notes
}

fn head(change: &Change, output: &mut Output) {
    let rule = &change.rule;
    output.line("");
    output.line(format!("{}:{}  {}", rule.file, rule.line, rule.text));
    output.line(format!("  {}: {}", change.kind, change.words));
}

fn gap(gap: &Gap, output: &mut Output) {
    head(&gap.change, output);
    let remark = gap.unsaid.map(words::unsaid);
    let remark = remark.map(|words| format!(" {words}")).unwrap_or_default();
    output.line(format!("  {}{remark}", gap.packet));
    output.line(format!(
        "  gets {}, and would get {}",
        gap.from.words(),
        gap.to.words()
    ));
    match &gap.line {
        Some(line) => output.line(format!("  would notice it: {line}")),
        None => output.line("  no line was found that would notice it"),
    }
}
