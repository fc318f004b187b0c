//! `sockc completions`: what makes a shell complete command lines of sockc.

use clap::CommandFactory;
use serde::Serialize;

use crate::cli::{Arguments, Completions};
use crate::exit::Exit;
use crate::output::Output;

/// The JSON of this verb.
#[derive(Serialize)]
struct Report {
    format: &'static str,
    shell: String,
    text: String,
}

/// Prints the script.
pub(crate) fn run(arguments: &Completions, output: &mut Output) -> Exit {
    let mut text = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "sockc", &mut text);
    if output.is_json() {
        output.value(&Report {
            format: "sockc.completions/1",
            shell: arguments.shell.to_string(),
            text: String::from_utf8_lossy(&text).into_owned(),
        });
    } else {
        output.bytes(&text);
    }
    Exit::Done
}
