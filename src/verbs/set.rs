//! `sockc set`: what is in a live set of the policy in force, and changes to it.

use std::net::IpAddr;

use serde::Serialize;
use sockc_compiler::policy::OWN;
use sockc_runtime::{Element, Expiry, Missing, Options, Prefix};

use crate::cli::duration;
use crate::cli::element::{all, elements};
use crate::cli::{Deployment, SetLoad, SetVerb};
use crate::exit::Exit;
use crate::files::input;
use crate::machine::losses::note_losses;
use crate::machine::{options, refused};
use crate::output::{Output, count};
use crate::policies::lockout::{self, Change, Changed, Looked};

/// The JSON of changes.
#[derive(Serialize)]
struct Done<'a> {
    format: &'static str,
    set: &'a str,
    /// How many elements are in it now.
    elements: usize,
}

/// The JSON of `list` without a name.
#[derive(Serialize)]
struct Names {
    format: &'static str,
    sets: Vec<Name>,
}

/// A live set in it.
#[derive(Serialize)]
struct Name {
    set: String,
    elements: usize,
    max: u32,
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
        SetVerb::Add(add) => named(&add.elements, output).and_then(|elements| {
            let expires = declared(add.expires);
            let mut ending = 0;
            let change = |options: &Options| {
                let added = sockc_runtime::set_add(options, &add.set, &elements, expires)?;
                ending = added.ending;
                Ok(added.elements)
            };
            let asked = asked(&add.set, Change::Add(&elements, expires));
            let done = changed(&add.place, (&asked, add.lock_me_out), change, output)?;
            say_ending(ending, output);
            Ok(done)
        }),
        SetVerb::Clear(clear) => {
            let change = |options: &Options| {
                sockc_runtime::set_load(options, &clear.set, &[], Expiry::Never)
            };
            let asked = asked(&clear.set, Change::Load(&[], Expiry::Never));
            changed(&clear.place, (&asked, clear.lock_me_out), change, output)
        }
        SetVerb::Del(del) => named(&del.elements, output).and_then(|elements| {
            let missing = match del.ignore_missing {
                true => Missing::Ignored,
                false => Missing::Refused,
            };
            let change =
                |options: &Options| sockc_runtime::set_del(options, &del.set, &elements, missing);
            let asked = asked(&del.set, Change::Del(&elements));
            changed(&del.place, (&asked, del.lock_me_out), change, output)
        }),
        SetVerb::Load(load) => read(load, output).and_then(|elements| {
            let expires = declared(load.expires);
            let change =
                |options: &Options| sockc_runtime::set_load(options, &load.set, &elements, expires);
            let asked = asked(&load.set, Change::Load(&elements, expires));
            changed(&load.place, (&asked, load.lock_me_out), change, output)
        }),
        SetVerb::List(list) => match &list.set {
            Some(set) => show(&list.place, set, output),
            None => names(&list.place, output),
        },
        SetVerb::Test(test) => ask(test, output),
    };
    if done.is_ok() {
        note_losses(&options(verb.place()), output);
    }
    done.unwrap_or_else(|exit| exit)
}

/// What the policy says holds where the command line says nothing.
fn declared(expires: Option<Expiry>) -> Expiry {
    expires.unwrap_or(Expiry::Declared)
}

fn asked<'a>(set: &'a str, change: Change<'a>) -> Changed<'a> {
    Changed { set, change }
}

/// Carries a change out, unless it cuts the SSH connection that the command comes over and nobody wants that, as `apply` does.
fn changed(
    place: &Deployment,
    (asked, lock_me_out): (&Changed<'_>, bool),
    change: impl FnOnce(&Options) -> Result<usize, sockc_runtime::Error>,
    output: &mut Output,
) -> Result<Exit, Exit> {
    let options = options(place);
    for lockout in lockout::look_at_set(asked, &options) {
        // A trial that ends takes no change of a set back.
        lockout.settle(lock_me_out, "", Looked::refusal_of_set, output)?;
    }
    let elements = change(&options).map_err(|error| refused(&error, output))?;
    let set = asked.set;
    if output.is_json() {
        output.value(&Done {
            format: "sockc.set/1",
            set,
            elements,
        });
    } else {
        output.line(format!(
            "live set \"{set}\": {}",
            count::of(elements, "element")
        ));
    }
    Ok(Exit::Done)
}

/// Says that elements have an end now that had none: who adds what is there already may not know that it was there for good.
fn say_ending(ending: usize, output: &mut Output) {
    if ending > 0 {
        output.note(format!(
            "{} {} in it for good before, and will leave it now; `--expires never` keeps elements in it",
            count::of(ending, "element"),
            if ending == 1 { "was" } else { "were" }
        ));
    }
}

/// The elements of a command line.
fn named(texts: &[String], output: &mut Output) -> Result<Vec<Prefix>, Exit> {
    all(texts).map_err(|mistakes| {
        mistakes.iter().for_each(|mistake| output.error(mistake));
        output.note("nothing was changed");
        Exit::Usage
    })
}

fn read(load: &SetLoad, output: &mut Output) -> Result<Vec<Prefix>, Exit> {
    let found = input::items(&load.file, elements, output)?;
    // Of `self` it would be the wrong advice: whoever loads it refuses that.
    if found.is_empty() && !load.empty && load.set != OWN {
        let set = &load.set;
        let file = input::title(&load.file);
        output.error(format!(
            "{file} holds no element; `--empty` says that the set is to be emptied, and so does `sockc set clear {set}`"
        ));
        output.note("nothing was changed");
        return Err(Exit::Policy);
    }
    Ok(found)
}

/// Names the live sets.
fn names(place: &Deployment, output: &mut Output) -> Result<Exit, Exit> {
    let sets =
        sockc_runtime::set_names(&options(place)).map_err(|error| refused(&error, output))?;
    if output.is_json() {
        let sets = sets.into_iter().map(|set| Name {
            set: set.name,
            elements: set.elements,
            max: set.max,
        });
        output.value(&Names {
            format: "sockc.set-names/1",
            sets: sets.collect(),
        });
        return Ok(Exit::Done);
    }
    if sets.is_empty() {
        output.note("the policy in force declares no live set");
    }
    let rows = sets.into_iter().map(|set| {
        let size = of_most(set.elements, set.max);
        vec![set.name, size]
    });
    output.table(&rows.collect::<Vec<_>>());
    Ok(Exit::Done)
}

/// How full a live set is.
fn of_most(elements: usize, max: impl ToString) -> String {
    format!("{elements} of at most {}", count::of(max, "element"))
}

fn show(place: &Deployment, set: &str, output: &mut Output) -> Result<Exit, Exit> {
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
    output.note(of_most(set.elements.len(), set.max));
    Ok(Exit::Done)
}

/// Ends with 1 if the address is no member.
fn ask(test: &crate::cli::SetTest, output: &mut Output) -> Result<Exit, Exit> {
    let address: IpAddr = test.address.parse().map_err(|_| {
        output.error(format!(
            "`{}` is no address; write for instance `192.0.2.7` or `2001:db8::1`",
            test.address
        ));
        Exit::Usage
    })?;
    let by = sockc_runtime::set_test(&options(&test.place), &test.set, address)
        .map_err(|error| refused(&error, output))?;
    if output.is_json() {
        output.value(&Test {
            format: "sockc.set-test/1",
            set: &test.set,
            address: address.to_string(),
            member: by.is_some(),
            by: by.as_ref().map(row),
        });
    } else {
        output.line(match &by {
            Some(by) => format!(
                "{address} is in \"{}\" by the element {}, {}",
                test.set,
                by.prefix,
                until(by)
            ),
            None => format!("{address} is not in \"{}\"", test.set),
        });
    }
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        let set = &test.set;
        output.note(format!(
            "to rules on `connect` and `send` it is {v4}: ask `sockc set test {set} {v4}`"
        ));
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
