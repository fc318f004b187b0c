//! `sockc import iptables-save`: what `iptables-save` prints as a policy.
//!
//! Takes the text of iptables-save, and with it that of ip6tables-save; gives a policy whose lists decide as the chains of the table
//! `filter` do, and says line by line what was left out and what means something else. Nothing of the machine is read or changed.

mod chains;
mod goal;
mod header;
mod list;
mod options;
mod policy;
mod rates;
mod report;
mod rule;
mod sample;
mod saved;
mod sides;
mod states;
mod text;
mod what;
mod whole;
mod words;

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use sockc_compiler::files::Texts;
use sockc_compiler::pipeline;
use sockc_compiler::policy::Family;
use sockc_grammar::diagnostic::Severity;
use sockc_grammar::source::SourceMap;

use super::{canonical, fits};
use crate::cli::IptablesSave;
use crate::exit::Exit;
use crate::files::input::{self, is_stream, title};
use crate::files::written;
use crate::output::Output;

use chains::{Flattening, Step};
use list::List;
use policy::{Lists, Side};
use report::{Entry, Kind};
use saved::Saved;

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    /// The file that was written; null where the text is in `text`, or nothing was written.
    output: Option<String>,
    /// The policy, where no file was written.
    text: Option<&'a str>,
    /// How many rules it has.
    rules: usize,
    /// What is said of the files.
    report: &'a [Entry],
}

/// What was read of a file.
struct Read {
    name: String,
    family: Family,
    saved: Saved,
}

/// Reads, and writes the policy.
pub(super) fn run(arguments: &IptablesSave, output: &mut Output) -> Result<(), Exit> {
    let read = read_all(arguments, output)?;
    let mut report = Vec::new();
    for one in &read {
        report.extend(whole::of_file(one));
    }
    let mut lists = Vec::new();
    for list in List::ALL {
        lists.push(of_list(&read, list, &mut report, output)?);
    }
    in_order(&mut report, &read);
    report.extend(whole::of_lists(&lists, &read));
    let text = canonical(policy::draft(&lists), output)?;
    fits(&text, "leave rules out", output)?;
    report.extend(refusal(&text, &read));
    said(&report, output);
    let is_refused = arguments.strict && report.iter().any(|one| one.kind != Kind::Note);
    let path = arguments.output.as_deref().filter(|path| !is_stream(path));
    if let (Some(path), false) = (path, is_refused) {
        if let Some(ip6) = &arguments.ip6 {
            written::is_another(path, ip6, output)?;
        }
        written::result(path, text.as_bytes(), &arguments.file, output)?;
    }
    let shown = Shown {
        path: path.filter(|_| !is_refused),
        text: Some(text.as_str()).filter(|_| path.is_none() && !is_refused),
        rules: lists.iter().map(rules).sum(),
    };
    show(&shown, &report, output);
    match is_refused {
        true => {
            output
                .error("nothing was written: `--strict` takes only what is carried over as it is");
            Err(Exit::Policy)
        }
        false => Ok(()),
    }
}

/// What `check` says of the policy, if it refuses it: a program may not have room for all that the chains ask.
fn refusal(text: &str, read: &[Read]) -> Option<Entry> {
    let mut sources = SourceMap::default();
    let id = sources.add("imported.sk", text.to_owned());
    let checked = pipeline::check_also(&mut sources, id, "imported", &mut Texts::default(), &[]);
    let mut mistakes = checked.diagnostics.iter();
    let mistake = mistakes.find(|one| one.severity == Severity::Error)?;
    Some(Entry {
        kind: Kind::Changed,
        file: read
            .first()
            .map_or_else(String::new, |one| one.name.clone()),
        line: None,
        rule: None,
        said: format!(
            "`sockc check` refuses the policy that this becomes, so it cannot be put in force as it is ({}: {}); leave rules out, or write them as fewer",
            mistake.code.0, mistake.message
        ),
        packet: None,
    })
}

/// The entries as their lines stand in the files, and what is worth knowing of many rules once.
fn in_order(report: &mut Vec<Entry>, read: &[Read]) {
    let place = |entry: &Entry| read.iter().position(|one| one.name == entry.file);
    report.sort_by_key(|entry| (place(entry), entry.line));
    let mut noted = BTreeSet::new();
    report.retain(|entry| {
        let is_again = !noted.insert((entry.file.clone(), entry.said.clone()));
        entry.kind != Kind::Note || !is_again
    });
}

/// What is printed at the end.
struct Shown<'a> {
    path: Option<&'a Path>,
    text: Option<&'a str>,
    rules: usize,
}

/// Reads the file of each family.
fn read_all(arguments: &IptablesSave, output: &mut Output) -> Result<Vec<Read>, Exit> {
    if arguments.ip6.as_deref().is_some_and(is_stream) && is_stream(&arguments.file) {
        output.error("standard input is one file; name a file for one of both families");
        return Err(Exit::Usage);
    }
    let mut read = vec![read_one(&arguments.file, Family::V4, output)?];
    if let Some(ip6) = &arguments.ip6 {
        read.push(read_one(ip6, Family::V6, output)?);
    }
    Ok(read)
}

fn read_one(path: &Path, family: Family, output: &mut Output) -> Result<Read, Exit> {
    let text = input::list(path, output)?;
    let name = title(path);
    match saved::read(&text, family == Family::V6) {
        Ok(saved) => Ok(Read {
            name,
            family,
            saved,
        }),
        Err((line, why)) => {
            output.error(format!("{name}, line {line}: {why}"));
            output.note("nothing was written");
            Err(Exit::Policy)
        }
    }
}

/// A list of both families.
fn of_list(
    read: &[Read],
    list: List,
    report: &mut Vec<Entry>,
    output: &mut Output,
) -> Result<Lists, Exit> {
    let mut sides = [Family::V4, Family::V6].map(|family| Side {
        family,
        steps: Vec::new(),
        drops: false,
        is_known: false,
    });
    for one in read {
        let flat = Flattening::of(&one.saved, &one.name, one.family, list).map_err(|why| {
            output.error(format!("{}, {}: {why}", one.name, list.chain()));
            output.note("nothing was written");
            Exit::Policy
        })?;
        report.extend(flat.report);
        let side = sides.iter_mut().find(|side| side.family == one.family);
        if let Some(side) = side {
            side.drops = one.saved.drops(list);
            side.steps = flat.steps;
            side.is_known = true;
        }
    }
    Ok(Lists { list, sides })
}

/// How many rules a list has, of both families together.
fn rules(lists: &Lists) -> usize {
    let steps = lists.sides.iter().flat_map(|side| &side.steps);
    steps.filter(|step| matches!(step, Step::Rule(_))).count()
}

/// Says what was found, and how much of it.
fn said(report: &[Entry], output: &mut Output) {
    for entry in report {
        output.note(entry.text());
    }
    let count = |kind: Kind| report.iter().filter(|one| one.kind == kind).count();
    let (left_out, changed) = (count(Kind::LeftOut), count(Kind::Changed));
    if left_out + changed > 0 {
        output.note(format!(
            "of this, {left_out} left out and {changed} changed; look at each before the policy is put in force"
        ));
    }
}

fn show(shown: &Shown<'_>, report: &[Entry], output: &mut Output) {
    if output.is_json() {
        output.value(&Report {
            format: "sockc.import-iptables/1",
            output: shown.path.map(|path| path.display().to_string()),
            text: shown.text,
            rules: shown.rules,
            report,
        });
    } else if let Some(path) = shown.path {
        output.line(format!("wrote {}", path.display()));
    } else if let Some(text) = shown.text {
        output.bytes(text.as_bytes());
    }
}
