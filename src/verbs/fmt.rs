//! `sockc fmt`: policies in their canonical form.

use std::path::Path;

use serde::Serialize;
use similar::TextDiff;
use sockc_grammar::print;

use crate::cli;
use crate::exit::Exit;
use crate::files::input::{Text, is_stream, title};
use crate::files::written;
use crate::output::Output;

/// The JSON of this verb.
#[derive(Serialize)]
struct Report {
    format: &'static str,
    files: Vec<Formatted>,
}

/// One file.
#[derive(Serialize)]
struct Formatted {
    file: String,
    /// Whether it was, or with `--check` would be, changed.
    changed: bool,
    /// The lines that would change, if they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

/// Formats each file; ends as the worst of them does.
pub(crate) fn run(arguments: &cli::Fmt, output: &mut Output) -> Exit {
    let mut exit = Exit::Done;
    let mut files = Vec::new();
    for path in &arguments.files {
        match format(path, arguments, output) {
            Ok(formatted) => {
                if formatted.changed && arguments.check {
                    exit = exit.max(Exit::Policy);
                }
                files.push(formatted);
            }
            Err(failed) => exit = exit.max(failed),
        }
    }
    report(arguments, files, output);
    exit
}

fn report(arguments: &cli::Fmt, files: Vec<Formatted>, output: &mut Output) {
    if output.is_json() && !output.has_error() {
        output.value(&Report {
            format: "sockc.fmt/1",
            files,
        });
    } else if arguments.check {
        for formatted in files.iter().filter(|one| one.changed) {
            match &formatted.diff {
                Some(diff) => output.bytes(diff.as_bytes()),
                None => output.line(&formatted.file),
            }
        }
    }
}

/// Formats one file; whether that changes it.
fn format(path: &Path, arguments: &cli::Fmt, output: &mut Output) -> Result<Formatted, Exit> {
    let text = Text::read(path, output)?;
    let before = &text.sources.get(text.id).text;
    let after = print::format(&text.sources, text.id).map_err(|diagnostics| {
        output.diagnostics(&text.sources, &diagnostics);
        Exit::Policy
    })?;
    let changed = *before != after;
    let name = title(path);
    if before.contains("\r\n") {
        let tense = if arguments.check { "would end" } else { "end" };
        output.note(format!(
            "{name}: lines that end with CR and LF {tense} with LF"
        ));
    }
    let diff = (arguments.diff && changed).then(|| difference(&name, before, &after));
    let formatted = Formatted {
        file: path.display().to_string(),
        changed,
        diff,
    };
    if arguments.check || output.is_json() && is_stream(path) {
        return Ok(formatted);
    }
    if is_stream(path) {
        output.bytes(after.as_bytes());
    } else if changed {
        written::file(path, after.as_bytes())
            .map_err(|error| written::refused(path, &error, output))?;
    }
    Ok(formatted)
}

/// The lines that change, as `diff -u` shows them; what only ends otherwise is no other line.
fn difference(name: &str, before: &str, after: &str) -> String {
    let before = before.replace("\r\n", "\n");
    let difference = TextDiff::from_lines(before.as_str(), after);
    let mut unified = difference.unified_diff();
    unified
        .header(name, &format!("{name}, formatted"))
        .to_string()
}
