//! `sockc show`: the texts that come with sockc, as `include <NAME>` puts them into a policy.

use serde::Serialize;
use sockc_compiler::files::BUILTINS;

use crate::cli;
use crate::exit::Exit;
use crate::output::Output;

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    name: &'a str,
    text: &'a str,
}

/// Prints a text as it is.
pub(crate) fn run(arguments: &cli::Show, output: &mut Output) -> Exit {
    let found = BUILTINS.iter().find(|(name, _)| *name == arguments.name);
    let Some((_, text)) = found else {
        let names: Vec<&str> = BUILTINS.iter().map(|(name, _)| *name).collect();
        output.error(format!(
            "sockc has no text `{}`; there is {}",
            arguments.name,
            names.join(", ")
        ));
        return Exit::Usage;
    };
    if output.is_json() {
        output.value(&Report {
            format: "sockc.show/1",
            name: &arguments.name,
            text,
        });
    } else {
        output.bytes(text.as_bytes());
    }
    Exit::Done
}
