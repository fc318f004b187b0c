//! `sockc map`: what is in a live map of the policy in force, and changes to it.

use std::collections::BTreeSet;

use serde::Serialize;
use sockc_compiler::artifact::LiveEntryPlan;
use sockc_runtime::{Error, Missing, entry_text};

use crate::cli::{Deployment, MapChange, MapClear, MapDel, MapLoad, MapVerb};
use crate::exit::Exit;
use crate::files::input;
use crate::machine::entries::{entries, lines, removed};
use crate::machine::{options, refused};
use crate::output::Output;

/// The JSON of changes.
#[derive(Serialize)]
struct Changed<'a> {
    format: &'static str,
    map: &'a str,
    /// How many entries are in it now.
    entries: usize,
}

/// The JSON of `list` without a name.
#[derive(Serialize)]
struct Names {
    format: &'static str,
    maps: Vec<Name>,
}

/// A live map in it.
#[derive(Serialize)]
struct Name {
    map: String,
    entries: usize,
    max: u32,
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
        MapVerb::Clear(arguments) => clear(arguments, output),
        MapVerb::Del(arguments) => del(arguments, output),
        MapVerb::List(arguments) => match &arguments.map {
            Some(map) => show(&arguments.place, map, output),
            None => names(&arguments.place, output),
        },
        MapVerb::Load(arguments) => load(arguments, output),
    };
    done.err().unwrap_or(Exit::Done)
}

fn add(arguments: &MapChange, output: &mut Output) -> Result<(), Exit> {
    let mut all = Vec::new();
    for text in &arguments.entries {
        all.extend(entries(text, output)?);
    }
    let put = match arguments.replace {
        true => sockc_runtime::map_put,
        false => sockc_runtime::map_add,
    };
    let done = put(&options(&arguments.place), &arguments.map, &all);
    changed(&arguments.map, done, output)
}

fn clear(arguments: &MapClear, output: &mut Output) -> Result<(), Exit> {
    let done = sockc_runtime::map_load(&options(&arguments.place), &arguments.map, &[]);
    changed(&arguments.map, done, output)
}

fn load(arguments: &MapLoad, output: &mut Output) -> Result<(), Exit> {
    let all = input::items(&arguments.file, lines, output)?;
    if all.is_empty() && !arguments.empty {
        let (file, map) = (input::title(&arguments.file), &arguments.map);
        output.error(format!(
            "{file} holds no entry; `--empty` says that the map is to be emptied, and so does `sockc map clear {map}`"
        ));
        output.note("nothing was changed");
        return Err(Exit::Policy);
    }
    let (lines, entries): (Vec<usize>, Vec<LiveEntryPlan>) = all.into_iter().unzip();
    let done = sockc_runtime::map_load(&options(&arguments.place), &arguments.map, &entries);
    let file = input::title(&arguments.file);
    let done = done.map_err(|error| with_lines(error, &file, (&lines, &entries)));
    changed(&arguments.map, done, output)
}

/// Which lines of a file the entries stand in that a refusal names.
fn with_lines(error: Error, file: &str, (numbers, entries): (&[usize], &[LiveEntryPlan])) -> Error {
    let (map, entry, cause) = match error {
        Error::Entry { map, entry, cause } => (map, entry, cause),
        error => return error,
    };
    let named = |text: &str| text == entry || cause.contains(&format!("`{text}`"));
    let all = numbers.iter().zip(entries);
    let lines = all.filter(|(_, one)| named(&entry_text(one)));
    let lines: BTreeSet<usize> = lines.map(|(line, _)| *line).collect();
    let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
    let cause = match lines.as_slice() {
        [] => cause,
        [line] => format!("{cause} ({file}, line {line})"),
        lines => format!("{cause} ({file}, lines {})", lines.join(", ")),
    };
    Error::Entry { map, entry, cause }
}

fn del(arguments: &MapDel, output: &mut Output) -> Result<(), Exit> {
    let mut all = Vec::new();
    for text in &arguments.entries {
        all.extend(removed(text, output)?);
    }
    let missing = match arguments.ignore_missing {
        true => Missing::Ignored,
        false => Missing::Refused,
    };
    let place = options(&arguments.place);
    let done = sockc_runtime::map_del(&place, &arguments.map, &all, missing);
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
        output.line(format!("live map \"{map}\": {}", entries_of(entries)));
    }
    Ok(())
}

/// Names the live maps.
fn names(place: &Deployment, output: &mut Output) -> Result<(), Exit> {
    let maps =
        sockc_runtime::map_names(&options(place)).map_err(|error| refused(&error, output))?;
    if output.is_json() {
        let maps = maps.into_iter().map(|map| Name {
            map: map.name,
            entries: map.entries,
            max: map.max,
        });
        output.value(&Names {
            format: "sockc.map-names/1",
            maps: maps.collect(),
        });
        return Ok(());
    }
    if maps.is_empty() {
        output.note("the policy in force declares no live map");
    }
    let rows = maps.into_iter().map(|map| {
        let size = format!("{} of at most {}", map.entries, entries_of(map.max));
        vec![map.name, size]
    });
    output.table(&rows.collect::<Vec<_>>());
    Ok(())
}

/// So many entries, in words.
fn entries_of(number: impl ToString) -> String {
    match number.to_string().as_str() {
        "1" => "1 entry".to_owned(),
        many => format!("{many} entries"),
    }
}

fn show(place: &Deployment, map: &str, output: &mut Output) -> Result<(), Exit> {
    let map =
        sockc_runtime::map_list(&options(place), map).map_err(|error| refused(&error, output))?;
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
    let (there, most) = (entries.len(), entries_of(map.max));
    output.note(format!("{there} of at most {most}"));
    Ok(())
}
