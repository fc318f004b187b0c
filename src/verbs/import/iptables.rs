//! `sockc import iptables-save`: what `iptables-save` prints as a policy.
//!
//! Takes the text of iptables-save, and with it that of ip6tables-save and of `ipset save`, from files or by running them; gives a policy whose lists decide as the chains of the table
//! `filter` do, and says line by line what was left out and what means something else. Nothing of the machine is changed.

mod asked_sets;
mod header;
mod matched;
mod options;
mod rates;
mod recent;
mod rule;
mod saved;
mod sets;
mod sides;
mod target;
pub(super) mod ufw;
mod whole;
mod words;

use sockc_compiler::policy::Family;

use super::beside;
use super::chains::{Flattening, Source, Step};
use super::ipset::Sets;
use super::line::Line;
use super::list::List;
use super::lists::{Lists, Side};
use super::outcome::Asked;
use super::report::{Entry, Kind};
use super::rule::Rule;
use super::source as rules;
use super::standing::{self, Names};
use crate::cli::IptablesSave;
use crate::exit::Exit;
use crate::files::input::is_stream;
use crate::output::Output;

use asked_sets::Given;
use rule::Named;
use saved::Saved;

/// What was read of a file.
struct Read {
    name: String,
    family: Family,
    saved: Saved,
}

/// Reads, and writes the policy.
pub(super) fn run(arguments: &IptablesSave, output: &mut Output) -> Result<(), Exit> {
    let mut report = Vec::new();
    let read = read_all(arguments, &mut report, output)?;
    let given = Given::read(arguments, &read, &mut report, output)?;
    let files = [&arguments.file, &arguments.ip6, &arguments.ipset].map(Option::as_deref);
    let asked = Asked {
        format: "sockc.import-iptables/1",
        read: files.into_iter().flatten().collect(),
        names: (read.iter().map(|one| &one.name))
            .chain(&given.file)
            .cloned()
            .collect(),
        written: &arguments.written,
    };
    if arguments.live {
        report.extend(read.first().and_then(|one| beside::iptables(&one.name)));
    }
    let lists = lists_of(&read, &given.sets, &mut report, output)?;
    report.extend(given.said(&read, &lists));
    told(&read, &lists, &whole::NAMES, &asked, &mut report);
    asked.end(lists, "What iptables-save printed", report, output)
}

/// The lists that the built-in chains become, and what is said of their lines.
fn lists_of(
    read: &[Read],
    sets: &Sets,
    report: &mut Vec<Entry>,
    output: &mut Output,
) -> Result<Vec<Lists>, Exit> {
    for one in read {
        report.extend(whole::of_file(one));
    }
    let lists = List::ALL.into_iter();
    lists
        .map(|list| of_list(read, sets, list, report, output))
        .collect()
}

/// Puts what is said of lines in their order, and behind it what is said of the whole.
fn told(read: &[Read], lists: &[Lists], names: &Names, asked: &Asked<'_>, report: &mut Vec<Entry>) {
    asked.in_order(report);
    let standing = standing::of_lists(lists, names, whole::is_translated(read));
    let standing = standing.into_iter();
    report.extend(standing.map(|(kind, said)| asked.entry(kind, said)));
}

/// Reads the rules of each family: of the files that are named, or those in force.
fn read_all(
    arguments: &IptablesSave,
    report: &mut Vec<Entry>,
    output: &mut Output,
) -> Result<Vec<Read>, Exit> {
    use rules::Source::{File, Running};
    let (file, ip6) = (arguments.file.as_deref(), arguments.ip6.as_deref());
    let files = [file, ip6, arguments.ipset.as_deref()]
        .into_iter()
        .flatten();
    if files.filter(|one| is_stream(one)).count() > 1 {
        output.error("standard input is one file; name files for the others");
        return Err(Exit::Usage);
    }
    let sources = match file {
        Some(file) => [Some(File(file)), ip6.map(File)],
        None => [&["iptables-save"], &["ip6tables-save"]].map(|one| Some(Running(one))),
    };
    let families = [Family::V4, Family::V6].into_iter().zip(sources);
    let named = families.filter_map(|(family, source)| Some((family, source?)));
    named
        .map(|(family, source)| read_one(source, family, report, output))
        .collect()
}

fn read_one(
    source: rules::Source<'_>,
    family: Family,
    report: &mut Vec<Entry>,
    output: &mut Output,
) -> Result<Read, Exit> {
    let rules::Read { text, name, said } = source.read(output)?;
    report.extend(said);
    if matches!(source, rules::Source::Running(_)) && text.trim().is_empty() {
        let none = "no rules are in force, so the policy lets this family through".to_owned();
        report.push(Entry::of_file(Kind::Note, &name, none));
        return Ok(Read {
            name,
            family,
            saved: Saved::open(),
        });
    }
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
    sets: &Sets,
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
        let flat = flattened(one, sets, list).map_err(|why| {
            output.error(format!("{}, {}: {why}", one.name, list.built_in()));
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
        chain: list.built_in(),
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
fn flattened(one: &Read, sets: &Sets, list: List) -> Result<Became, String> {
    let Read {
        name: file,
        family,
        saved,
    } = one;
    let family = *family;
    let named = Named {
        is_chain: &|name: &str| saved.chains.contains_key(name),
        sets,
    };
    let source = Source {
        file,
        chains: &saved.chains,
        bases: &[list.built_in().to_owned()],
        read: &|lines, at| read_line(lines, at, (family, list), named),
    };
    let flat = Flattening::of(source, family, list)?;
    Ok(Became {
        steps: flat.steps,
        drops: flat.drops,
        report: flat.report,
    })
}

/// A rule of a chain.
fn read_line(
    lines: &[Line],
    at: usize,
    (family, list): (Family, List),
    named: Named<'_>,
) -> Vec<Rule> {
    let plain = || {
        let line = lines.get(at)?;
        Some(vec![rule::read(&line.text, family, list, named)])
    };
    let paired = recent::read(lines, at, (family, list), named);
    paired.or_else(plain).unwrap_or_default()
}

#[cfg(test)]
mod flattened;
