//! `sockc show`: the text of what is in force or was, and the texts that come with sockc, as `include <NAME>` puts them into a
//! policy.

mod folder;

use serde::Serialize;
use sockc_compiler::artifact::Manifest;
use sockc_compiler::faithful::{self, Unfaithful};
use sockc_compiler::files::BUILTINS;
use sockc_compiler::object;
use sockc_compiler::observer::Observer;

use crate::cli;
use crate::exit::Exit;
use crate::machine::options;
use crate::output::Output;
use crate::policies::kept::{Kept, RUNNING, Which, read};

/// The JSON of a text that comes with sockc.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    name: &'a str,
    text: &'a str,
}

/// The JSON of a policy that the kernel keeps.
#[derive(Serialize)]
struct Running<'a> {
    format: &'static str,
    name: &'static str,
    generation: u32,
    policy: &'a str,
    /// Why it is not known that the code is what the text says; null if it is.
    unverified: Option<&'a str>,
    parts: &'a [Part],
    /// The policy's file in the folder that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    main: Option<String>,
}

/// A text that a policy was compiled from.
#[derive(Debug, Serialize)]
struct Part {
    /// As it was named then.
    name: String,
    kind: Kind,
    text: String,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// The policy itself.
    Policy,
    /// A file that it includes.
    Include,
    /// A text that comes with sockc.
    Builtin,
    /// The list of a set.
    List,
}

/// Prints a text as it is.
pub(crate) fn run(arguments: &cli::Show, output: &mut Output) -> Exit {
    if arguments.name == RUNNING {
        return running(arguments, output).unwrap_or_else(|failed| failed);
    }
    if arguments.generation.is_some() || arguments.out.is_some() {
        output.error("a generation and --out are for `sockc show running`");
        return Exit::Usage;
    }
    builtin(&arguments.name, output)
}

fn builtin(name: &str, output: &mut Output) -> Exit {
    let found = BUILTINS.iter().find(|(known, _)| *known == name);
    let Some((_, text)) = found else {
        let names: Vec<&str> = BUILTINS.iter().map(|(name, _)| *name).collect();
        output.error(format!(
            "sockc has no text `{name}`; there is {}, and `{RUNNING}` is the text of what is in force",
            names.join(", ")
        ));
        return Exit::Usage;
    };
    if output.is_json() {
        output.value(&Report {
            format: "sockc.show/1",
            name,
            text,
        });
    } else {
        output.bytes(text.as_bytes());
    }
    Exit::Done
}

/// Prints what is in force, or a generation that was; ends with 5 where its code is not known to be what the text says.
fn running(arguments: &cli::Show, output: &mut Output) -> Result<Exit, Exit> {
    let which = match arguments.generation {
        Some(generation) => Which::Generation(generation),
        None => Which::Running,
    };
    let kept = read(which, &options(&arguments.place), output)?;
    let parts = parts(&kept, output)?;
    let unverified = verify(&kept, output)?;
    let main = match &arguments.out {
        Some(folder) => Some(folder::write(folder, &parts, output)?),
        None => None,
    };
    output.watch().clear();
    if output.is_json() {
        output.value(&Running {
            format: "sockc.show/1",
            name: RUNNING,
            generation: kept.generation.about.generation,
            policy: &kept.generation.manifest.policy,
            unverified: unverified.as_deref(),
            parts: &parts,
            main: main.map(|path| path.display().to_string()),
        });
    } else if let Some(main) = main {
        output.line(format!(
            "`sockc check {}` reads what was written",
            main.display()
        ));
    } else {
        print(&parts, output);
    }
    match unverified {
        None => Ok(Exit::Done),
        Some(why) => {
            output.error(why);
            Ok(Exit::Changed)
        }
    }
}

/// Everything that it was compiled from, the policy itself first.
fn parts(kept: &Kept, output: &mut Output) -> Result<Vec<Part>, Exit> {
    let manifest: &Manifest = &kept.generation.manifest;
    let lists = object::read_lists(&kept.generation.object).map_err(|error| {
        output.error(format!("{}: {error}", kept.name));
        Exit::Changed
    })?;
    let kind = |place: usize, name: &str| match place {
        0 => Kind::Policy,
        _ if name.starts_with('<') => Kind::Builtin,
        _ => Kind::Include,
    };
    let part = |kind: Kind, name: &str, text: &str| Part {
        name: name.to_owned(),
        kind,
        text: text.to_owned(),
    };
    let sources = manifest.sources.iter().enumerate();
    let sources = sources.map(|(place, (name, text))| part(kind(place, name), name, text));
    let lists = lists
        .iter()
        .map(|(name, text)| part(Kind::List, name, text));
    let parts: Vec<Part> = sources.chain(lists).collect();
    if parts.is_empty() {
        output.error(format!("{}: its object carries no text", kept.name));
        return Err(Exit::Changed);
    }
    Ok(parts)
}

/// Compares the code with the text; gives why that is not what it says, or is not known.
fn verify(kept: &Kept, output: &mut Output) -> Result<Option<String>, Exit> {
    output.watch().stage("compare the object with its text");
    let found = faithful::policy_of(&kept.generation.object, &kept.generation.manifest);
    match found {
        Ok(_) => Ok(None),
        Err(Unfaithful::Bug { what }) => {
            output.error(format!("this is a bug in sockc: {what}"));
            Err(Exit::Bug)
        }
        Err(error) => Ok(Some(kept.unverified(&error))),
    }
}

/// One text as it is; several each below its name.
fn print(parts: &[Part], output: &mut Output) {
    if let [only] = parts {
        output.bytes(only.text.as_bytes());
        return;
    }
    for (place, part) in parts.iter().enumerate() {
        let gap = if place == 0 { "" } else { "\n" };
        output.line(format!("{gap}==> {} <==", part.name));
        output.bytes(part.text.as_bytes());
        if !part.text.ends_with('\n') && !part.text.is_empty() {
            output.line("");
        }
    }
}
