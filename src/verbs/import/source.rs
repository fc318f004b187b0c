//! Where the rules to import come from: a file, or the command that prints those in force.
//!
//! Takes what the command line names; gives the text and what it is called. Not here: what the text means.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output as Ran};

use super::report::{Entry, Kind};
use crate::exit::Exit;
use crate::files::input::{self, title};
use crate::output::Output;

/// Where rules come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// A file; `-` is standard input.
    File(&'a Path),
    /// A command, with its arguments, that prints what is in force where it is called.
    Running(&'static [&'static str]),
}

/// What was read.
pub(super) struct Read {
    /// The text.
    pub(super) text: String,
    /// How the report calls it.
    pub(super) name: String,
    /// What the command said beside it.
    pub(super) said: Vec<Entry>,
}

impl Source<'_> {
    /// The file, or the command that is run where none is named.
    pub(super) fn of<'a>(file: Option<&'a Path>, command: &'static [&'static str]) -> Source<'a> {
        file.map_or(Source::Running(command), Source::File)
    }

    /// Reads all of it.
    pub(super) fn read(self, output: &mut Output) -> Result<Read, Exit> {
        match self {
            Self::File(path) => Ok(Read {
                text: input::list(path, output)?,
                name: title(path),
                said: Vec::new(),
            }),
            Self::Running(command) => printed(command).map_err(|why| {
                output.error(why);
                output.note("nothing was written");
                Exit::Refused
            }),
        }
    }
}

/// What a command prints; or why there is nothing.
pub(super) fn printed(command: &[&str]) -> Result<Read, String> {
    let name = command.join(" ");
    let mut words = command.iter().map(OsStr::new);
    let mut run = Command::new(words.next().unwrap_or_default());
    let ran = run.args(words).env("LC_ALL", "C").output();
    let ran = ran.map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => format!(
            "there is no `{name}` here, which prints what is in force; run it where it is, and give what it prints as a file"
        ),
        _ => format!("`{name}` cannot be run: {cause}"),
    })?;
    let warnings = String::from_utf8_lossy(&ran.stderr).into_owned();
    if !ran.status.success() {
        return Err(failed(&name, &ran, &warnings));
    }
    let text = String::from_utf8(ran.stdout)
        .map_err(|_| format!("what `{name}` prints is not UTF-8 text"))?;
    let warnings = warnings.lines().map(str::trim);
    let said = warnings.filter(|line| !line.is_empty()).map(|line| {
        let said = format!("`{name}` says: {}", line.trim_start_matches("# "));
        Entry::of_file(Kind::LeftOut, &name, said)
    });
    Ok(Read {
        said: said.collect(),
        text,
        name,
    })
}

fn failed(name: &str, ran: &Ran, said: &str) -> String {
    let said = said.trim().replace('\n', "; ");
    match said.is_empty() {
        true => format!("`{name}` failed ({})", ran.status),
        false => format!("`{name}` failed: {said}"),
    }
}
