//! `sockc import iptables-save`: what `iptables-save` prints as a policy.
//!
//! Takes the text of iptables-save, and with it that of ip6tables-save; gives a policy whose lists decide as the chains of the table
//! `filter` do, and says line by line what was left out and what means something else. Nothing of the machine is read or changed.

mod header;
mod options;
mod rates;
mod rule;
mod saved;
mod sides;
mod target;
mod whole;
mod words;

use std::path::Path;

use sockc_compiler::policy::Family;

use super::chains::{Flattening, Source, Step};
use super::list::List;
use super::lists::{self, Lists, Side};
use super::outcome::Asked;
use super::report::Entry;
use super::standing;
use crate::cli::IptablesSave;
use crate::exit::Exit;
use crate::files::input::{self, is_stream, title};
use crate::output::Output;

use saved::{Saved, built_in};

/// What was read of a file.
struct Read {
    name: String,
    family: Family,
    saved: Saved,
}

/// Reads, and writes the policy.
pub(super) fn run(arguments: &IptablesSave, output: &mut Output) -> Result<(), Exit> {
    let read = read_all(arguments, output)?;
    let mut files = vec![arguments.file.as_path()];
    files.extend(arguments.ip6.as_deref());
    let asked = Asked {
        format: "sockc.import-iptables/1",
        read: &files,
        names: read.iter().map(|one| one.name.clone()).collect(),
        output: arguments.output.as_deref(),
        strict: arguments.strict,
    };
    let mut report = Vec::new();
    for one in &read {
        report.extend(whole::of_file(one));
    }
    let mut lists = Vec::new();
    for list in List::ALL {
        lists.push(of_list(&read, list, &mut report, output)?);
    }
    asked.in_order(&mut report);
    let standing = standing::of_lists(&lists, &whole::NAMES, whole::is_translated(&read));
    let standing = standing.into_iter();
    report.extend(standing.map(|(kind, said)| asked.entry(kind, said)));
    asked.end(
        lists::draft(&lists, "What iptables-save printed"),
        &lists,
        report,
        output,
    )
}

/// Reads the file of each family.
fn read_all(arguments: &IptablesSave, output: &mut Output) -> Result<Vec<Read>, Exit> {
    if arguments.ip6.as_deref().is_some_and(is_stream) && is_stream(&arguments.file) {
        output.error("standard input is one file; name a file for one of both families");
        return Err(Exit::Usage);
    }
    let mut read = vec![read_one(&arguments.file, Family::V4, output)?];
    if let Some(ip6) = &arguments.ip6 {
        read.push(read_one(ip6, Family::V6, output)?);
    }
    Ok(read)
}

fn read_one(path: &Path, family: Family, output: &mut Output) -> Result<Read, Exit> {
    let text = input::list(path, output)?;
    let name = title(path);
    match saved::read(&text, family == Family::V6) {
        Ok(saved) => Ok(Read {
            name,
            family,
            saved,
        }),
        Err((line, why)) => {
            output.error(format!("{name}, line {line}: {why}"));
            output.note("nothing was written");
            Err(Exit::Policy)
        }
    }
}

/// A list of both families.
fn of_list(
    read: &[Read],
    list: List,
    report: &mut Vec<Entry>,
    output: &mut Output,
) -> Result<Lists, Exit> {
    let mut sides = [Family::V4, Family::V6].map(|family| Side {
        family,
        steps: Vec::new(),
        drops: false,
        is_known: false,
    });
    for one in read {
        let flat = flattened(&one.saved, &one.name, one.family, list).map_err(|why| {
            output.error(format!("{}, {}: {why}", one.name, built_in(list)));
            output.note("nothing was written");
            Exit::Policy
        })?;
        report.extend(flat.report);
        let side = sides.iter_mut().find(|side| side.family == one.family);
        if let Some(side) = side {
            side.drops = flat.drops;
            side.steps = flat.steps;
            side.is_known = true;
        }
    }
    Ok(Lists {
        list,
        chain: built_in(list),
        word: "chain ",
        one_file: false,
        sides,
    })
}

/// What a built-in chain becomes.
struct Became {
    steps: Vec<Step>,
    drops: bool,
    report: Vec<Entry>,
}

/// The rules of a built-in chain; or why they are too many.
fn flattened(saved: &Saved, file: &str, family: Family, list: List) -> Result<Became, String> {
    let is_chain = |name: &str| saved.chains.contains_key(name);
    let source = Source {
        file,
        chains: &saved.chains,
        bases: &[built_in(list).to_owned()],
        read: &|line| vec![rule::read(&line.text, family, list, &is_chain)],
    };
    let flat = Flattening::of(source, family, list)?;
    Ok(Became {
        steps: flat.steps,
        drops: flat.drops,
        report: flat.report,
    })
}

#[cfg(test)]
mod flattened;
