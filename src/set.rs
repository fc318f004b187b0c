//! `sockc set`: what is in a live set of the policy in force, and changes to it.

use serde::Serialize;
use sockc_runtime::{Element, Expiry, Options, Prefix};

use crate::cli::{Place, SetLoad, SetVerb};
use crate::duration;
use crate::element::elements;
use crate::exit::Exit;
use crate::input::{self, is_stream};
use crate::output::Output;
use crate::place::{options, refused};

/// The JSON of changes.
#[derive(Serialize)]
struct Changed<'a> {
    format: &'static str,
    set: &'a str,
    /// How many elements are in it now.
    elements: usize,
}

/// The JSON of `list`.
#[derive(Serialize)]
struct List<'a> {
    format: &'static str,
    set: &'a str,
    max: u32,
    elements: Vec<Row>,
}

/// The JSON of `test`.
#[derive(Serialize)]
struct Test<'a> {
    format: &'static str,
    set: &'a str,
    address: String,
    member: bool,
    by: Option<Row>,
}

/// An element in JSON.
#[derive(Serialize)]
struct Row {
    element: String,
    /// Seconds until it expires; null for never.
    expires_in: Option<f64>,
}

/// Runs it.
pub(crate) fn run(verb: &SetVerb, output: &mut Output) -> Exit {
    let done = match verb {
        SetVerb::Add(add) => {
            let change = |options: &Options| {
                sockc_runtime::set_add(options, &add.set, &add.elements, declared(add.expires))
            };
            changed(&add.place, &add.set, change, output)
        }
        SetVerb::Del(del) => {
            let change =
                |options: &Options| sockc_runtime::set_del(options, &del.set, &del.elements);
            changed(&del.place, &del.set, change, output)
        }
        SetVerb::Load(load) => read(load, output).and_then(|elements| {
            let change = |options: &Options| {
                sockc_runtime::set_load(options, &load.set, &elements, declared(load.expires))
            };
            changed(&load.place, &load.set, change, output)
        }),
        SetVerb::List(list) => show(&list.place, &list.set, output),
        SetVerb::Test(test) => ask(test, output),
    };
    done.unwrap_or_else(|exit| exit)
}

/// What the policy says holds where the command line says nothing.
fn declared(expires: Option<Expiry>) -> Expiry {
    expires.unwrap_or(Expiry::Declared)
}

fn changed(
    place: &Place,
    set: &str,
    change: impl FnOnce(&Options) -> Result<usize, sockc_runtime::Error>,
    output: &mut Output,
) -> Result<Exit, Exit> {
    let elements = change(&options(place)).map_err(|error| refused(&error, output))?;
    if output.is_json() {
        output.value(&Changed {
            format: "sockc.set/1",
            set,
            elements,
        });
    } else {
        output.line(format!("live set \"{set}\": {elements} elements"));
    }
    Ok(Exit::Done)
}

fn read(load: &SetLoad, output: &mut Output) -> Result<Vec<Prefix>, Exit> {
    let bytes = input::bytes(&load.file, output)?;
    let name = if is_stream(&load.file) {
        "<stdin>".to_owned()
    } else {
        load.file.display().to_string()
    };
    let text = String::from_utf8(bytes).map_err(|_| {
        output.error(format!("{name} is not UTF-8 text"));
        Exit::Policy
    })?;
    elements(&text).map_err(|mistakes| {
        for mistake in mistakes {
            output.error(format!("{name}, {mistake}"));
        }
        output.note("nothing was changed");
        Exit::Policy
    })
}

fn show(place: &Place, set: &str, output: &mut Output) -> Result<Exit, Exit> {
    let set =
        sockc_runtime::set_list(&options(place), set).map_err(|error| refused(&error, output))?;
    if output.is_json() {
        output.value(&List {
            format: "sockc.set-list/1",
            set: &set.name,
            max: set.max,
            elements: set.elements.iter().map(row).collect(),
        });
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = set
        .elements
        .iter()
        .map(|element| vec![element.prefix.to_string(), until(element)])
        .collect();
    output.table(&rows);
    output.note(format!(
        "{} of at most {} elements",
        set.elements.len(),
        set.max
    ));
    Ok(Exit::Done)
}

/// Ends with 1 if the address is no member.
fn ask(test: &crate::cli::SetTest, output: &mut Output) -> Result<Exit, Exit> {
    let by = sockc_runtime::set_test(&options(&test.place), &test.set, test.address)
        .map_err(|error| refused(&error, output))?;
    if output.is_json() {
        output.value(&Test {
            format: "sockc.set-test/1",
            set: &test.set,
            address: test.address.to_string(),
            member: by.is_some(),
            by: by.as_ref().map(row),
        });
    } else {
        output.line(match &by {
            Some(by) => format!(
                "{} is in \"{}\" by the element {}, {}",
                test.address,
                test.set,
                by.prefix,
                until(by)
            ),
            None => format!("{} is not in \"{}\"", test.address, test.set),
        });
    }
    Ok(if by.is_some() {
        Exit::Done
    } else {
        Exit::Policy
    })
}

fn row(element: &Element) -> Row {
    Row {
        element: element.prefix.to_string(),
        expires_in: element.left.map(|left| left.as_secs_f64()),
    }
}

fn until(element: &Element) -> String {
    match element.left {
        Some(left) => format!("expires in {}", duration::text(left)),
        None => "does not expire".into(),
    }
}
