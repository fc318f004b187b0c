//! `sockc check`: what is wrong with policies, and nothing else.

use std::path::Path;

use serde::Serialize;
use sockc_compiler::pipeline;

use crate::cli;
use crate::exit::Exit;
use crate::files::disk::Disk;
use crate::files::input::Text;
use crate::output::Output;
use crate::policies::compiled::outcome_exit;
use crate::policies::guards::{Guards, ending, judge, texts_of};
use crate::policies::lints::Lints;

/// The JSON of this verb; what was found stands next to it.
#[derive(Serialize)]
struct Report {
    format: &'static str,
}

/// Checks each file; ends as the worst of them does.
pub(crate) fn run(arguments: &cli::Check, output: &mut Output) -> Exit {
    let asked = match Asked::new(arguments, output) {
        Ok(asked) => asked,
        Err(failed) => return failed,
    };
    let mut exit = Exit::Done;
    for path in &arguments.files {
        let checked = asked.check(path, output);
        exit = exit.max(checked.err().unwrap_or(Exit::Done));
    }
    // A file that could not be read was not checked: then there is no result that could be taken for a clean one.
    if output.is_json() && !output.has_error() {
        output.value(&Report {
            format: "sockc.check/1",
        });
    }
    exit
}

/// What every file is asked.
struct Asked {
    lints: Lints,
    guards: Guards,
}

impl Asked {
    fn new(arguments: &cli::Check, output: &mut Output) -> Result<Self, Exit> {
        let lints = Lints::new(&arguments.lints, output)?;
        Ok(Self {
            lints: lints.warning(&arguments.warn, output)?,
            guards: Guards::of(&arguments.guards, output)?,
        })
    }

    /// Checks one file, then asks the guards about it; what is found is told, or kept for JSON.
    fn check(&self, path: &Path, output: &mut Output) -> Result<(), Exit> {
        let mut text = Text::read(path, output)?;
        let mut disk = Disk::new(output.watch());
        let mut outcome = pipeline::check_also(
            &mut text.sources,
            text.id,
            &text.stem,
            &mut disk,
            &self.lints.optional(),
        );
        self.lints.judge(&mut outcome.diagnostics);
        if output.is_json() {
            output.keep(&text.sources, &outcome.diagnostics);
        } else {
            output.diagnostics(&text.sources, &outcome.diagnostics);
        }
        match outcome_exit(&outcome, output) {
            Exit::Done if self.guards.is_empty() => Ok(()),
            Exit::Done => self.guard(&text, output),
            failed => Err(failed),
        }
    }

    fn guard(&self, text: &Text, output: &mut Output) -> Result<(), Exit> {
        let guarded = self.guards.check(&texts_of(text), output);
        if !output.is_json() {
            return judge(&guarded, output);
        }
        let violated = guarded.violations().map(|one| &one.diagnostic);
        let all: Vec<_> = guarded.mistakes.iter().chain(violated).cloned().collect();
        output.keep(&guarded.sources, &all);
        match ending(&guarded) {
            Exit::Done => Ok(()),
            failed => Err(failed),
        }
    }
}
