//! `sockc check`: what is wrong with policies, and nothing else.

use serde::Serialize;
use sockc_compiler::pipeline;
use sockc_grammar::diagnostic::{Diagnostic, Severity};
use sockc_grammar::source::SourceMap;

use crate::cli;
use crate::compile::outcome_exit;
use crate::disk::Disk;
use crate::exit::Exit;
use crate::guards::{Guards, ending, judge, texts_of};
use crate::input::Text;
use crate::lints::Lints;
use crate::output::Output;

/// The JSON of this verb.
#[derive(Serialize)]
struct Report {
    format: &'static str,
    diagnostics: Vec<Found>,
}

/// A diagnostic in JSON.
#[derive(Serialize)]
struct Found {
    code: &'static str,
    severity: &'static str,
    message: String,
    file: String,
    line: u32,
    column: u32,
    help: Option<String>,
}

/// Checks each file; ends as the worst of them does.
pub(crate) fn run(arguments: &cli::Check, output: &mut Output) -> Exit {
    let lints = Lints::new(&arguments.lints, output);
    let lints = match lints.and_then(|lints| lints.warning(&arguments.warn, output)) {
        Ok(lints) => lints,
        Err(failed) => return failed,
    };
    let guards = match Guards::of(&arguments.guards, output) {
        Ok(guards) => guards,
        Err(failed) => return failed,
    };
    let mut exit = Exit::Done;
    let mut found = Vec::new();
    for path in &arguments.files {
        let mut text = match Text::read(path, output) {
            Ok(text) => text,
            Err(failed) => {
                exit = exit.max(failed);
                continue;
            }
        };
        let mut disk = Disk::new(output.watch());
        let mut outcome = pipeline::check_also(
            &mut text.sources,
            text.id,
            &text.stem,
            &mut disk,
            &lints.optional(),
        );
        lints.judge(&mut outcome.diagnostics);
        if output.is_json() {
            found.extend(in_json(&outcome.diagnostics, &text.sources));
        } else {
            output.diagnostics(&text.sources, &outcome.diagnostics);
        }
        let ended = outcome_exit(&outcome, output);
        exit = exit.max(ended);
        if ended != Exit::Done || guards.is_empty() {
            continue;
        }
        let guarded = guards.check(&texts_of(&text), output);
        if output.is_json() {
            let violated = guarded.violations().map(|one| &one.diagnostic);
            let all: Vec<_> = guarded.mistakes.iter().chain(violated).cloned().collect();
            found.extend(in_json(&all, &guarded.sources));
            exit = exit.max(ending(&guarded));
        } else {
            exit = exit.max(judge(&guarded, output).err().unwrap_or(Exit::Done));
        }
    }
    if output.is_json() {
        output.value(&Report {
            format: "sockc.check/1",
            diagnostics: found,
        });
    }
    exit
}

fn in_json(diagnostics: &[Diagnostic], sources: &SourceMap) -> impl Iterator<Item = Found> {
    diagnostics.iter().map(|diagnostic| {
        let span = diagnostic.primary.span;
        let (line, column) = sources.place(span);
        Found {
            code: diagnostic.code.0,
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            },
            message: diagnostic.message.clone(),
            file: sources.get(span.source).name.clone(),
            line,
            column,
            help: diagnostic.help.clone(),
        }
    })
}
