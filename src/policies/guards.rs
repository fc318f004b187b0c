//! The guards of a machine and of a command line: read, checked, told.
//!
//! Guards of the system folder are read always, so that a policy cannot be put in force past them by leaving an option out.
//! Not here: what a guard means.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sockc_compiler::files::Texts;
use sockc_compiler::guard::{self, GuardText, Guarded, Line};
use sockc_compiler::kept::KeptTexts;
use sockc_compiler::observer::Observer;

use crate::cli;
use crate::exit::Exit;
use crate::files::disk::Disk;
use crate::files::input::Text;
use crate::output::Output;

/// The folder that is always looked into.
const FOLDER: &str = "/etc/sockc/guards";
/// How the names of guards end there.
const ENDING: &str = "sk";

/// The texts of guards, in the order in which they are told.
#[derive(Debug)]
pub(crate) struct Guards(Vec<GuardText>);

/// A line of a guard in JSON.
#[derive(Serialize)]
pub(crate) struct Row<'a> {
    file: &'a str,
    line: u32,
    guard: &'a str,
    holds: bool,
    packet: Option<&'a str>,
    verdict: Option<&'a str>,
    decider: Option<Decider<'a>>,
}

/// Who decides a packet that violates a guard, in JSON.
#[derive(Serialize)]
struct Decider<'a> {
    file: &'a str,
    line: u32,
    text: &'a str,
}

impl Guards {
    /// Reads the guards of the system, then those that were named. One that cannot be read is no guard that holds.
    pub(crate) fn read(arguments: &cli::Guards, output: &mut Output) -> Result<Self, Exit> {
        let mut paths = match &arguments.folder {
            Some(folder) => {
                in_folder(folder).map_err(|error| unreadable(folder, &error, output))?
            }
            None => of_system(output)?,
        };
        paths.extend(arguments.files.iter().cloned());
        Self::of(&paths, output)
    }

    /// Reads these guards.
    pub(crate) fn of(paths: &[PathBuf], output: &mut Output) -> Result<Self, Exit> {
        let texts = paths.iter().map(|path| {
            let text = Text::read(path, output)?;
            let source = text.sources.get(text.id);
            Ok(GuardText {
                name: source.name.clone(),
                text: source.text.clone(),
            })
        });
        texts.collect::<Result<_, _>>().map(Self)
    }

    /// Their texts.
    pub(crate) fn texts(&self) -> &[GuardText] {
        &self.0
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks how a policy stands to them.
    pub(crate) fn check(&self, policy: &KeptTexts, output: &mut Output) -> Guarded {
        output.watch().stage("ask the guards");
        guard::check(policy, &self.0, &mut Disk::new(output.watch()))
    }
}

fn of_system(output: &mut Output) -> Result<Vec<PathBuf>, Exit> {
    let folder = Path::new(FOLDER);
    match in_folder(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found.map_err(|error| unreadable(folder, &error, output)),
    }
}

/// The guards of a folder, by name.
fn in_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
    paths.sort();
    Ok(paths)
}

/// Says that a folder cannot be read, and how that ends the command.
fn unreadable(folder: &Path, error: &io::Error, output: &mut Output) -> Exit {
    output.error(format!(
        "cannot read the guards in {}: {error}",
        folder.display()
    ));
    Exit::Refused
}

/// The texts of a policy that was read from files.
pub(crate) fn texts_of(text: &Text) -> KeptTexts {
    let source = text.sources.get(text.id);
    KeptTexts {
        texts: Texts::of_sources(&text.sources),
        name: source.name.clone(),
        text: source.text.clone(),
        stem: text.stem.clone(),
    }
}

/// Says what is wrong with guards, and what violates them; ends the command if anything does.
pub(crate) fn judge(guarded: &Guarded, output: &mut Output) -> Result<(), Exit> {
    output.diagnostics(&guarded.sources, &guarded.mistakes);
    let violated: Vec<_> = guarded
        .violations()
        .map(|one| one.diagnostic.clone())
        .collect();
    output.diagnostics(&guarded.sources, &violated);
    match ending(guarded) {
        Exit::Done => Ok(()),
        ending => Err(ending),
    }
}

/// How guards end a command: a guard that is wrong is no guard that is violated.
pub(crate) fn ending(guarded: &Guarded) -> Exit {
    match (guarded.is_sound(), guarded.holds()) {
        (false, _) => Exit::Policy,
        (true, true) => Exit::Done,
        (true, false) => Exit::Guard,
    }
}

/// The lines in JSON.
pub(crate) fn rows(guarded: &Guarded) -> Vec<Row<'_>> {
    guarded.lines.iter().map(row).collect()
}

fn row(line: &Line) -> Row<'_> {
    let violation = line.violation.as_ref();
    let decider = violation.and_then(|one| one.decider.as_ref());
    Row {
        file: &line.place.file,
        line: line.place.line,
        guard: &line.place.text,
        holds: violation.is_none(),
        packet: violation.map(|one| one.packet.as_str()),
        verdict: violation.map(|one| one.verdict.as_str()),
        decider: decider.map(|place| Decider {
            file: &place.file,
            line: place.line,
            text: &place.text,
        }),
    }
}
