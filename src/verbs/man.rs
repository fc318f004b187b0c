//! `sockc man`: the manual pages of sockc and of its verbs, as `man` reads them (`man-pages(7)`).
//!
//! They are made of what `--help` is made of, so that both say the same.

use std::fs;
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use serde::Serialize;

use crate::cli::{self, Arguments};
use crate::exit::Exit;
use crate::files::written;
use crate::output::Output;

/// The JSON of this verb.
#[derive(Serialize)]
struct Report {
    format: &'static str,
    /// The files that were written.
    files: Vec<PathBuf>,
}

/// Writes every page into a folder, which is made if need be: `sockc.1`, `sockc-apply.1`, and so on.
pub(crate) fn run(arguments: &cli::Man, output: &mut Output) -> Exit {
    let mut root = Arguments::command().disable_help_subcommand(true);
    // Names each verb by the whole way to it, and gives it the options of all verbs.
    root.build();
    if let Err(error) = fs::create_dir_all(&arguments.folder) {
        let folder = arguments.folder.display();
        output.error(format!("cannot make the folder {folder}: {error}"));
        return Exit::Refused;
    }
    let mut files = Vec::new();
    for command in all(&root) {
        let name = command.get_display_name().unwrap_or("sockc");
        let file = arguments.folder.join(format!("{name}.1"));
        if let Err(error) = written::file(&file, &page(command)) {
            return written::refused(&file, &error, output);
        }
        files.push(file);
    }
    if output.is_json() {
        output.value(&Report {
            format: "sockc.man/1",
            files,
        });
    }
    Exit::Done
}

/// A command and the verbs below it.
fn all(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().flat_map(all);
    std::iter::once(command).chain(below).collect()
}

fn page(command: &Command) -> Vec<u8> {
    let source = concat!("sockc ", env!("CARGO_PKG_VERSION"));
    let mut text = Vec::new();
    // Writing into memory is never refused.
    let _ = Man::new(command.clone()).source(source).render(&mut text);
    text
}
