//! Lines and changes as text.

use sockc_compiler::guard::Line;
use sockc_compiler::location::Location;
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
    let mut last = None;
    for one in &outcome.unnoticed {
        head(&one.change, &mut last, output);
        gap(one, output);
        output.line(match &one.line {
            Some(line) => format!("    would notice it: {line}"),
            None => "    no line was found that would notice it".to_owned(),
        });
    }
    for one in &outcome.beyond {
        head(&one.change, &mut last, output);
        gap(one, output);
        output.line("    no line speaks of marks, or of which interface");
    }
    for one in &outcome.unknown {
        head(&one.change, &mut last, output);
        output.line(format!("    not known: {}", one.why));
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
    other(outcome.same, "without effect");
    other(outcome.refused, "refused as no policy");
    other(outcome.beyond.len(), "beyond what lines say");
    other(outcome.unknown.len(), "not known");
    if !others.is_empty() {
        notes.push(format!("Not counted: {}.", others.join(", ")));
    }
    notes
}

/// The rule, unless it is the one before, and what is done to it.
fn head<'a>(change: &'a Change, last: &mut Option<&'a Location>, output: &mut Output) {
    let rule = &change.rule;
    if last.replace(rule) != Some(rule) {
        output.line("");
        output.line(format!("{}:{}  {}", rule.file, rule.line, rule.text));
    }
    output.line(match change.words == change.kind {
        true => format!("  {}", change.kind),
        false => format!("  {}: {}", change.kind, change.words),
    });
}

fn gap(gap: &Gap, output: &mut Output) {
    let remark = gap.unsaid.map(words::unsaid);
    let remark = remark.map(|words| format!(" {words}")).unwrap_or_default();
    output.line(format!("    {}{remark}", gap.packet));
    let (from, to) = (gap.from.words(), gap.to.words());
    output.line(format!("    gets {from}, and would get {to}"));
}
