//! `sockc import nft`: what `nft -j list ruleset` prints as a policy.
//!
//! Takes the JSON of nft, from a file or by running it; gives a policy whose lists decide as the chains of type filter at the hooks input, forward and output do, and
//! says of each rule, by its handle, what was left out and what means something else. Nothing of the machine is changed.

mod elsewhere;
mod fields;
mod listed;
mod rule;
mod statements;
mod values;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use sockc_compiler::policy::Family;

use super::beside;
use super::chains::{Flattening, Source};
use super::line::Line;
use super::list::List;
use super::lists::{Lists, Side};
use super::outcome::Asked;
use super::report::{self, Entry, Kind};
use super::source as rules;
use super::standing::{self, Names};
use crate::cli::Nft;
use crate::exit::Exit;
use crate::output::Output;

use listed::{Base, Listed};

/// What the standing of a policy is told by.
const NAMES: Names = Names {
    input: "input",
    output: "output",
    forward: "forward",
    tool: "nftables",
};

/// Reads, and writes the policy.
pub(super) fn run(arguments: &Nft, output: &mut Output) -> Result<(), Exit> {
    let file = arguments.file.as_deref();
    let from = rules::Source::of(file, &["nft", "-j", "list", "ruleset"]);
    let rules::Read { text, name, said } = from.read(output)?;
    let refused = |why: String, output: &mut Output| {
        output.error(format!("{name}: {why}"));
        output.note("nothing was written");
        Exit::Policy
    };
    let listed = listed::read(&text).map_err(|why| refused(why, output))?;
    let mut report = said;
    if arguments.live {
        report.extend(beside::nft(&name));
    }
    report.extend(elsewhere::entries(&listed, &name));
    let mut all = Vec::new();
    let read = RefCell::default();
    for list in List::ALL {
        let became = of_list((&listed, &read), &name, list, &mut report);
        all.push(became.map_err(|why| refused(why, output))?);
    }
    report.extend(of_none(&read.into_inner(), &name));
    let asked = Asked {
        format: "sockc.import-nft/1",
        read: file.into_iter().collect(),
        names: vec![name.clone()],
        written: &arguments.written,
    };
    asked.in_order(&mut report);
    report::once(&mut report);
    let standing = standing::of_lists(&all, &NAMES, elsewhere::is_translated(&listed));
    let whole = order(&listed).into_iter().chain(standing);
    report.extend(whole.map(|(kind, said)| asked.entry(kind, said)));
    asked.end(all, "What nft printed", report, output)
}

/// The rules that were read, by their numbers, with their places and whether anything came of them.
type Read = RefCell<BTreeMap<usize, (Line, bool)>>;

/// What is said of rules of which nothing came in any list.
fn of_none(read: &BTreeMap<usize, (Line, bool)>, file: &str) -> Vec<Entry> {
    let without = read.iter().filter(|(_, (_, came))| !came);
    let said = "it stands nowhere in the policy: no packet has all that it asks, as that is understood here";
    let entries = without.map(|(number, (line, _))| Entry {
        place: line.place.clone(),
        order: Some(*number),
        rule: Some(line.text.clone()),
        ..Entry::of_file(Kind::Changed, file, said.to_owned())
    });
    entries.collect()
}

/// The list that a chain belongs to, if any is.
fn list_of(base: &Base) -> Option<List> {
    let is_of_packets = matches!(base.table.0.as_str(), "ip" | "ip6" | "inet");
    match base.hook.as_str() {
        _ if base.kind != "filter" || !is_of_packets => None,
        "input" => Some(List::In),
        "forward" => Some(List::Forward),
        "output" => Some(List::Out),
        _ => None,
    }
}

/// The chains that the kernel asks for a list, in its order: by priority, and of two with the same the one that came later first
/// (nf_hook_entries_grow). One that says nothing is as if it were not there.
fn bases(listed: &Listed, family: Family, list: List) -> Vec<String> {
    let own = match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    };
    let is_asked = |key: &str, base: &Base| {
        let is_of_family = base.table.0 == "inet" || base.table.0 == own;
        let is_plain = listed.chains.get(key).is_none_or(elsewhere::is_plain);
        let is_in_force = !listed.dormant.contains(&base.table);
        is_of_family && is_in_force && !is_plain && list_of(base) == Some(list)
    };
    let mut bases: Vec<(&String, &Base)> = listed.bases.iter().collect();
    bases.retain(|(key, base)| is_asked(key, base));
    bases.sort_by_key(|(_, base)| (base.priority, std::cmp::Reverse(base.order)));
    bases.into_iter().map(|(key, _)| key.clone()).collect()
}

/// What is said where the order of chains does not stand in the text.
fn order(listed: &Listed) -> Option<(Kind, String)> {
    let mut seen = BTreeSet::new();
    let mut bases = listed.bases.values().filter_map(|base| {
        let is_in_force = !listed.dormant.contains(&base.table);
        is_in_force.then(|| list_of(base).map(|list| (list, base.priority)))?
    });
    bases.any(|place| !seen.insert(place)).then(|| {
        let said = "several chains have one hook and one priority, and which of them came last, and is asked first, is taken from the order of the text: whatever it is, the same packets get through, and it decides whether one that two of them take away is dropped or rejected";
        (Kind::Note, said.to_owned())
    })
}

/// A list of both families.
fn of_list(
    (listed, seen): (&Listed, &Read),
    file: &str,
    list: List,
    report: &mut Vec<Entry>,
) -> Result<Lists, String> {
    let mut side = |family: Family| -> Result<Side, String> {
        let bases = bases(listed, family, list);
        let source = Source {
            file,
            chains: &listed.chains,
            bases: &bases,
            read: &|lines, at| {
                let line = lines.get(at);
                let known = line.and_then(|line| Some((line, listed.rules.get(line.number)?)));
                let Some((line, rule)) = known else {
                    return Vec::new();
                };
                let rules = rule::read(listed, rule, family, list);
                let mut seen = seen.borrow_mut();
                let (_, came) = seen
                    .entry(line.number)
                    .or_insert_with(|| (line.clone(), false));
                *came |= !rules.is_empty();
                rules
            },
        };
        let flat = Flattening::of(source, family, list)
            .map_err(|why| format!("the chains at {}: {why}", hook(list)))?;
        report.extend(flat.report);
        Ok(Side {
            family,
            steps: flat.steps,
            drops: flat.drops,
            is_known: true,
        })
    };
    Ok(Lists {
        list,
        chain: hook(list),
        word: "chain ",
        one_file: true,
        sides: [side(Family::V4)?, side(Family::V6)?],
    })
}

/// The hook of a list.
fn hook(list: List) -> &'static str {
    match list {
        List::In => "input",
        List::Forward => "forward",
        List::Out => "output",
    }
}
