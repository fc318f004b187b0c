//! `sockc map`: what is in a live map of the policy in force, and changes to it.

use serde::Serialize;
use sockc_runtime::{Error, entry_text};

use crate::cli::{MapChange, MapList, MapVerb};
use crate::entry::{entries, removed};
use crate::exit::Exit;
use crate::output::Output;
use crate::place::{options, refused};

/// The JSON of changes.
#[derive(Serialize)]
struct Changed<'a> {
    format: &'static str,
    map: &'a str,
    /// How many entries are in it now.
    entries: usize,
}

/// The JSON of `list`.
#[derive(Serialize)]
struct List<'a> {
    format: &'static str,
    map: &'a str,
    max: u32,
    /// As the command takes them back.
    entries: Vec<String>,
}

/// Runs it.
pub(crate) fn run(verb: &MapVerb, output: &mut Output) -> Exit {
    let done = match verb {
        MapVerb::Add(arguments) => add(arguments, output),
        MapVerb::Del(arguments) => del(arguments, output),
        MapVerb::List(arguments) => show(arguments, output),
    };
    done.err().unwrap_or(Exit::Done)
}

fn add(arguments: &MapChange, output: &mut Output) -> Result<(), Exit> {
    let mut all = Vec::new();
    for text in &arguments.entries {
        all.extend(entries(text, output)?);
    }
    let done = sockc_runtime::map_add(&options(&arguments.place), &arguments.map, &all);
    changed(&arguments.map, done, output)
}

fn del(arguments: &MapChange, output: &mut Output) -> Result<(), Exit> {
    let mut all = Vec::new();
    for text in &arguments.entries {
        all.extend(removed(text, output)?);
    }
    let done = sockc_runtime::map_del(&options(&arguments.place), &arguments.map, &all);
    changed(&arguments.map, done, output)
}

fn changed(map: &str, done: Result<usize, Error>, output: &mut Output) -> Result<(), Exit> {
    let entries = done.map_err(|error| refused(&error, output))?;
    if output.is_json() {
        output.value(&Changed {
            format: "sockc.map/1",
            map,
            entries,
        });
    } else {
        output.line(format!("live map \"{map}\": {entries} entries"));
    }
    Ok(())
}

fn show(arguments: &MapList, output: &mut Output) -> Result<(), Exit> {
    let map = sockc_runtime::map_list(&options(&arguments.place), &arguments.map)
        .map_err(|error| refused(&error, output))?;
    let entries: Vec<String> = map.entries.iter().map(entry_text).collect();
    if output.is_json() {
        output.value(&List {
            format: "sockc.map-list/1",
            map: &map.name,
            max: map.max,
            entries,
        });
        return Ok(());
    }
    for entry in &entries {
        output.line(entry);
    }
    output.note(format!("{} of at most {} entries", entries.len(), map.max));
    Ok(())
}
