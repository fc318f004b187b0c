//! `sockc import`: the configuration of another tool as a policy.
//!
//! Takes a file of that tool; gives a policy that decides as the tool does, or every mistake of the file with its place. Not
//! here: what the tool has in the kernel, which is neither read nor changed.

mod addresses;
mod alike;
mod beside;
mod bfcli;
mod binding;
mod chains;
mod firewalld;
mod flags;
mod foreign;
mod goal;
mod hardware;
mod interfaces;
mod ipset;
mod iptables;
mod json;
mod kinds;
mod limits;
mod line;
mod list;
mod listing;
mod lists;
mod marks;
mod names;
mod nft;
mod outcome;
mod place;
mod points;
mod policy;
mod ports;
mod protocols;
mod refused;
mod report;
mod rule;
mod runs;
mod sample;
mod source;
mod standing;
mod states;
mod text;
mod together;
mod types;
mod what;

use std::path::Path;

use serde::Serialize;
use sockc_compiler::pipeline::MAX_TEXT;

use crate::cli::{ImportVerb, Tubular};
use crate::exit::Exit;
use crate::files::input::{self, is_stream, title};
use crate::files::written;
use crate::output::Output;

use binding::Binding;
use place::Place;
use policy::{Form, Written};

/// How many mistakes are told one by one.
const TOLD: usize = 50;

/// The JSON of this verb.
#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    /// The file that was written; null where the text is in `text`.
    output: Option<String>,
    /// The policy or the entries, where no file was written.
    text: Option<&'a str>,
    bindings: usize,
    sockets: Vec<Named<'a>>,
}

/// A label in it.
#[derive(Serialize)]
struct Named<'a> {
    label: &'a str,
    socket: &'a str,
}

/// Reads, and writes the policy.
pub(crate) fn run(verb: &ImportVerb, output: &mut Output) -> Exit {
    let done = match verb {
        ImportVerb::Tubular(arguments) => tubular(arguments, output),
        ImportVerb::IptablesSave(arguments) => iptables::run(arguments, output),
        ImportVerb::Ufw(arguments) => iptables::ufw::run(arguments, output),
        ImportVerb::Nft(arguments) => nft::run(arguments, output),
        ImportVerb::Firewalld(arguments) => firewalld::run(arguments, output),
        ImportVerb::Bfcli(arguments) => bfcli::run(arguments, output),
    };
    done.err().unwrap_or(Exit::Done)
}

fn tubular(arguments: &Tubular, output: &mut Output) -> Result<(), Exit> {
    let bindings = bindings(&arguments.file, output)?;
    let form = match (arguments.entries, arguments.live) {
        (true, _) => Form::Entries,
        (false, true) => Form::LiveMap,
        (false, false) => Form::Map,
    };
    let written = Written::new(&bindings);
    let text = text(&written, form, output)?;
    if let Some(never) = &written.never {
        output.note(format!(
            "prefixes of IPv6 here cover ::ffff:0:0/96, by which tubular refuses IPv4 where no prefix of IPv4 is bound; so does the policy, by `{never}`: take its entries out if that was not meant"
        ));
    }
    let path = arguments.output.as_deref().filter(|path| !is_stream(path));
    if let Some(path) = path {
        written::result(path, text.as_bytes(), &arguments.file, output)?;
    }
    report(path, &text, bindings.len(), &written, output);
    Ok(())
}

/// What is written.
fn text(written: &Written, form: Form, output: &mut Output) -> Result<String, Exit> {
    let draft = written.draft(form);
    if form == Form::Entries {
        return Ok(draft);
    }
    fits(&draft, FEWER, output)?;
    let text = canonical(draft, output)?;
    fits(&text, FEWER, output)?;
    Ok(text)
}

/// The canonical form of a policy, which has no mistakes.
fn canonical(draft: String, output: &mut Output) -> Result<String, Exit> {
    policy::canonical(draft).map_err(|diagnostics| {
        let said: Vec<&str> = diagnostics.iter().map(|one| one.message.as_str()).collect();
        let said = said.join("; ");
        output.error(format!(
            "this is a bug in sockc: the policy has mistakes: {said}"
        ));
        Exit::Bug
    })
}

/// The set of bindings that a file holds.
fn bindings(path: &Path, output: &mut Output) -> Result<Vec<Binding>, Exit> {
    let text = input::list(path, output)?;
    let read = match listing::is_listing(&text) {
        true => listing::read(&text),
        false => json::read(&text),
    };
    let found = read.and_then(binding::set);
    let found = found.map_err(|mistakes| {
        let other = foreign::told(&text, "tubular");
        let other = other.map(|(line, said)| vec![(Place::line(line), said)]);
        told(path, &other.unwrap_or(mistakes), output)
    })?;
    if found.is_empty() {
        output.error(format!(
            "{} binds nothing; add a binding. (An empty file takes every binding away in tubular: that is `sockc unload`)",
            title(path)
        ));
        return Err(Exit::Policy);
    }
    Ok(found)
}

/// Tells what is wrong with a file.
fn told(path: &Path, mistakes: &[(Place, String)], output: &mut Output) -> Exit {
    let name = title(path);
    for (place, mistake) in mistakes.iter().take(TOLD) {
        output.error(format!("{name}, {place}: {mistake}"));
    }
    if let Some(more @ 1..) = mistakes.len().checked_sub(TOLD) {
        output.error(format!("{name}: there are {more} more mistakes"));
    }
    output.note("nothing was written");
    Exit::Policy
}

/// What to do where bindings are too many for a policy.
const FEWER: &str =
    "import fewer bindings with `--live`, and load all of them by `--entries` and `sockc map load`";

/// Refuses a policy that no command would read, and says what to do.
fn fits(text: &str, remedy: &str, output: &mut Output) -> Result<(), Exit> {
    if text.len() <= MAX_TEXT {
        return Ok(());
    }
    output.error(format!(
        "the policy would have {} bytes, and a policy may have {MAX_TEXT}; {remedy}",
        text.len()
    ));
    Err(Exit::Policy)
}

fn report(
    path: Option<&Path>,
    text: &str,
    bindings: usize,
    written: &Written,
    output: &mut Output,
) {
    if output.is_json() {
        let sockets = written.names.all();
        output.value(&Report {
            format: "sockc.import/1",
            output: path.map(|path| path.display().to_string()),
            text: path.is_none().then_some(text),
            bindings,
            sockets: sockets
                .map(|(label, socket)| Named { label, socket })
                .collect(),
        });
    } else if let Some(path) = path {
        output.line(format!("wrote {}", path.display()));
    } else {
        output.bytes(text.as_bytes());
    }
}
