//! `sockc test`: whether the `expect` lines of a policy and of guards hold, one by one, and which small changes they miss.
//!
//! The lines and the changes are the compiler's; here they are asked for. Not here: how they are shown.

mod json;
mod told;

use std::path::Path;

use sockc_compiler::expect;
use sockc_compiler::files::Texts;
use sockc_compiler::guard::{self, GuardText, Guarded};
use sockc_compiler::kept::KeptTexts;
use sockc_compiler::mutation::{self, Offered, Options, Outcome};
use sockc_compiler::pipeline;

use crate::cli;
use crate::exit::Exit;
use crate::files::disk::Disk;
use crate::files::input::{Text, is_stream};
use crate::files::written;
use crate::output::Output;
use crate::output::count;
use crate::policies::compiled::outcome_exit;
use crate::policies::guards::{Guards, ending, texts_of};
use crate::policies::lints::Lints;

/// Asks the lines of a policy and its guards, and tries changes if that is wanted.
pub(crate) fn run(arguments: &cli::Test, output: &mut Output) -> Exit {
    test(arguments, output).unwrap_or_else(|failed| failed)
}

fn test(arguments: &cli::Test, output: &mut Output) -> Result<Exit, Exit> {
    refuse_twice(arguments, output)?;
    let text = sound(&arguments.file, output)?;
    let guards = Guards::of(&arguments.guards, output)?;
    if let Some(path) = &arguments.write_expects {
        refuse_loss(path, output)?;
    }
    let policy = texts_of(&text);
    let tested = Tested {
        own: mutation::own(&policy),
        guarded: guards.check(&policy, output),
        outcome: None,
    };
    for asked in [&tested.own, &tested.guarded] {
        output.diagnostics(&asked.sources, &asked.mistakes);
    }
    if !tested.own.is_sound() || !tested.guarded.is_sound() {
        return Err(Exit::Policy);
    }
    let outcome = match arguments.mutate && tested.lines() == Exit::Done {
        true => Some(mutate(arguments, &policy, &guards, output)?),
        false => None,
    };
    let tested = Tested { outcome, ..tested };
    match output.is_json() {
        true => output.value(&json::report(&tested)),
        false => told::tell(&tested, output),
    }
    if arguments.mutate && tested.outcome.is_none() {
        output.note("no change was tried: that is for a policy all of whose lines hold");
    }
    if let (Some(path), Some(outcome)) = (&arguments.write_expects, &tested.outcome) {
        write(path, &arguments.file, &policy, &outcome.offered, output)?;
    }
    Ok(tested.exit())
}

/// What was found.
struct Tested {
    /// The policy's own lines.
    own: Guarded,
    guarded: Guarded,
    /// What became of changes, if they were tried.
    outcome: Option<Outcome>,
}

impl Tested {
    /// How the lines end the command.
    fn lines(&self) -> Exit {
        match self.own.holds() {
            true => ending(&self.guarded),
            false => Exit::Policy,
        }
    }

    fn exit(&self) -> Exit {
        let changes = self.outcome.as_ref().map_or(Exit::Done, |outcome| {
            match (outcome.unknown.is_empty(), outcome.unnoticed.is_empty()) {
                (false, _) => Exit::Policy,
                (true, false) => Exit::Differs,
                (true, true) => Exit::Done,
            }
        });
        match self.lines() {
            Exit::Done => changes,
            failed => failed,
        }
    }
}

/// Standard input can be read once.
fn refuse_twice(arguments: &cli::Test, output: &mut Output) -> Result<(), Exit> {
    let paths = std::iter::once(&arguments.file).chain(&arguments.guards);
    if paths.filter(|path| is_stream(path)).count() < 2 {
        return Ok(());
    }
    output.error("only one of the policy and its guards can come from standard input");
    Err(Exit::Usage)
}

/// Lines are written over no file that is there: it may be a guard, or what they are made from.
fn refuse_loss(path: &Path, output: &mut Output) -> Result<(), Exit> {
    if !path.is_file() {
        return Ok(());
    }
    output.error(format!(
        "{} is there already; name another file to write into",
        path.display()
    ));
    Err(Exit::Usage)
}

/// Reads a policy in which nothing is wrong but that lines may not hold.
fn sound(path: &Path, output: &mut Output) -> Result<Text, Exit> {
    let mut text = Text::read(path, output)?;
    let mut disk = Disk::new(output.watch());
    let mut outcome = pipeline::check_soundness(&mut text.sources, text.id, &text.stem, &mut disk);
    Lints::silent().judge(&mut outcome.diagnostics);
    let exit = outcome_exit(&outcome, output);
    outcome.diagnostics.retain(|one| one.code != expect::BROKEN);
    output.diagnostics(&text.sources, &outcome.diagnostics);
    match exit {
        Exit::Policy if outcome.diagnostics.is_empty() => Ok(text),
        Exit::Done => Ok(text),
        failed => Err(failed),
    }
}

fn mutate(
    arguments: &cli::Test,
    policy: &KeptTexts,
    guards: &Guards,
    output: &mut Output,
) -> Result<Outcome, Exit> {
    let options = Options {
        at_most: arguments.at_most.map(Into::into),
        ..Options::default()
    };
    let mut disk = Disk::new(output.watch());
    mutation::run(policy, guards.texts(), &mut disk, options).map_err(|_| {
        // All of it was read and resolved before.
        output.error("this is a bug in sockc: the policy cannot be changed");
        Exit::Bug
    })
}

/// Writes the lines that are offered; none are no file.
fn write(
    path: &Path,
    source: &Path,
    policy: &KeptTexts,
    offered: &[Offered],
    output: &mut Output,
) -> Result<(), Exit> {
    if offered.is_empty() {
        output.note(format!(
            "no line is offered: {} was not written",
            path.display()
        ));
        return Ok(());
    }
    let text = mutation::text(offered);
    let guard = GuardText {
        name: path.display().to_string(),
        text: text.clone(),
    };
    if !guard::check(policy, &[guard], &mut Texts::default()).holds() {
        output.error("this is a bug in sockc: the lines that are offered do not hold");
        return Err(Exit::Bug);
    }
    written::result(path, text.as_bytes(), source, output)?;
    let lines = count::of(offered.len(), "line");
    output.note(format!("{lines} written to {}", path.display()));
    Ok(())
}
