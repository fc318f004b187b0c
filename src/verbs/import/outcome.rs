//! How the import of a firewall ends: what is said is told, and the policy is checked and written.
//!
//! Takes the lists that became of the chains, and the report; writes what the arguments ask for. Not here: how the lists came about.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use sockc_compiler::files::Texts;
use sockc_compiler::pipeline;
use sockc_grammar::diagnostic::Severity;
use sockc_grammar::source::SourceMap;

use super::chains::Step;
use super::lists::{Lists, draft};
use super::report::{Entry, Kind, lines, weighed};
use super::{canonical, fits, runs};
use crate::cli::Written;
use crate::exit::Exit;
use crate::files::input::is_stream;
use crate::files::written;
use crate::output::Output;

/// The JSON of these verbs.
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

/// What was asked for.
pub(super) struct Asked<'a> {
    /// The name of the report's form.
    pub(super) format: &'static str,
    /// The files that were read, which are never written to.
    pub(super) read: Vec<&'a Path>,
    /// How what was read is called in the report, in its order. What is said of the whole is said of the first.
    pub(super) names: Vec<String>,
    /// What becomes of the policy.
    pub(super) written: &'a Written,
}

impl Asked<'_> {
    /// An entry about the whole.
    pub(super) fn entry(&self, kind: Kind, said: String) -> Entry {
        let file = self.names.first().map_or("", String::as_str);
        Entry::of_file(kind, file, said)
    }

    /// The entries as their lines stand in the files, and what is worth knowing of many rules once.
    pub(super) fn in_order(&self, report: &mut Vec<Entry>) {
        let place = |entry: &Entry| self.names.iter().position(|one| *one == entry.file);
        report.sort_by_key(|entry| (place(entry), entry.order));
        let mut noted = BTreeSet::new();
        report.retain(|entry| {
            let is_again = !noted.insert((entry.file.clone(), entry.said.clone()));
            entry.kind != Kind::Note || !is_again
        });
    }

    /// Tells what is said of the lists, and writes the policy that they are; `of` is what they became of.
    pub(super) fn end(
        &self,
        mut lists: Vec<Lists>,
        of: &str,
        mut report: Vec<Entry>,
        output: &mut Output,
    ) -> Result<(), Exit> {
        report.extend(
            runs::join(&mut lists)
                .said()
                .map(|said| self.entry(Kind::Note, said)),
        );
        let text = canonical(draft(&lists, of), output)?;
        fits(&text, "leave rules out", output)?;
        report.extend(refusal(&text).map(|said| self.entry(Kind::Changed, said)));
        said(&report, output);
        let is_refused = self.written.strict && report.iter().any(|one| one.kind != Kind::Note);
        let path = self.written.output.as_deref();
        let path = path.filter(|path| !is_stream(path));
        if let (Some(path), false) = (path, is_refused) {
            self.write(path, &text, output)?;
        }
        let shown = Shown {
            format: self.format,
            path: path.filter(|_| !is_refused),
            text: Some(text.as_str()).filter(|_| path.is_none() && !is_refused),
            rules: lists.iter().map(rules).sum(),
        };
        show(&shown, &report, output);
        match is_refused {
            true => {
                output.error(
                    "nothing was written: `--strict` takes only what is carried over as it is",
                );
                Err(Exit::Policy)
            }
            false => Ok(()),
        }
    }

    fn write(&self, path: &Path, text: &str, output: &mut Output) -> Result<(), Exit> {
        for read in &self.read {
            written::is_another(path, read, output)?;
            is_outside(path, read, output)?;
        }
        let done = written::file(path, text.as_bytes());
        done.map_err(|error| written::refused(path, &error, output))
    }
}

/// Refuses to write into a folder that was read: its tool would read that file, too.
fn is_outside(path: &Path, read: &Path, output: &mut Output) -> Result<(), Exit> {
    let place = path.parent().filter(|one| !one.as_os_str().is_empty());
    let place = place.unwrap_or(Path::new(".")).canonicalize();
    let folder = read.canonicalize();
    let (Ok(place), Ok(folder)) = (place, folder) else {
        return Ok(());
    };
    if !folder.is_dir() || !place.starts_with(&folder) {
        return Ok(());
    }
    output.error(format!(
        "{} is in the folder that this is made from; name a file elsewhere",
        path.display()
    ));
    Err(Exit::Usage)
}

/// What `check` says of the policy, if it refuses it: a program may not have room for all that the chains ask.
fn refusal(text: &str) -> Option<String> {
    let mut sources = SourceMap::default();
    let id = sources.add("imported.sk", text.to_owned());
    let checked = pipeline::check_also(&mut sources, id, "imported", &mut Texts::default(), &[]);
    let mut mistakes = checked.diagnostics.iter();
    let mistake = mistakes.find(|one| one.severity == Severity::Error)?;
    Some(format!(
        "`sockc check` refuses the policy that this becomes, so it cannot be put in force as it is ({}: {}); leave rules out, or write them as fewer",
        mistake.code.0, mistake.message
    ))
}

/// What is printed at the end.
struct Shown<'a> {
    format: &'static str,
    path: Option<&'a Path>,
    text: Option<&'a str>,
    rules: usize,
}

/// How many rules a list has, of both families together.
fn rules(lists: &Lists) -> usize {
    let steps = lists.sides.iter().flat_map(|side| &side.steps);
    steps.filter(|step| matches!(step, Step::Rule(_))).count()
}

/// Says what was found, and how much of it.
fn said(report: &[Entry], output: &mut Output) {
    for said in lines(report) {
        output.note(said);
    }
    for said in weighed(report) {
        output.note(said);
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
            format: shown.format,
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
