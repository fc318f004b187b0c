//! `sockc import bfcli`: a rule set of bpfilter as a policy.
//!
//! Takes the text that `bfcli ruleset set` takes; gives a policy whose lists decide as the chains do at the hooks that see packets, and says
//! line by line what was left out and what means something else. Nothing of the machine is changed.

mod asking;
mod chain;
mod frames;
mod hook;
mod making;
mod matchers;
mod read;
mod rule;
mod scan;
mod sets;
mod told;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use sockc_compiler::policy::Family;

use super::chains::{Flattening, Source};
use super::foreign;
use super::list::List;
use super::lists::{Lists, Side};
use super::outcome::Asked;
use super::place::Place;
use super::report::{self, Entry, Kind};
use super::source as rules;
use super::standing::{self, Names};
use crate::cli::Bfcli;
use crate::exit::Exit;
use crate::output::Output;

use chain::{Interfaces, Known, Scope};
use hook::Sees;
use making::Carried;
use read::Chain;

/// What the standing of a policy is told by.
const NAMES: Names = Names {
    input: "NF_LOCAL_IN",
    output: "NF_LOCAL_OUT",
    forward: "NF_FORWARD",
    tool: "bpfilter",
};

/// Reads, and writes the policy.
pub(super) fn run(arguments: &Bfcli, output: &mut Output) -> Result<(), Exit> {
    let rules::Read { text, name, .. } = rules::Source::File(&arguments.file).read(output)?;
    let interfaces: Interfaces = arguments.interface_names.iter().cloned().collect();
    let wrong = |mistakes: Vec<read::Mistake>, output: &mut Output| {
        let mistakes = mistakes.into_iter();
        let placed: Vec<_> = mistakes
            .map(|(line, said)| (Place::line(line), said))
            .collect();
        super::told(&arguments.file, &placed, output)
    };
    let chains = read::read(&text).map_err(|(line, said)| {
        let other = foreign::told(&text, "bfcli");
        wrong(vec![other.unwrap_or((line, said))], output)
    })?;
    let nameless = chain::nameless(&chains, &interfaces);
    if !nameless.is_empty() {
        return Err(wrong(nameless, output));
    }
    let keys = chain::keys(&chains);
    let (carried, mut report) = carried(&chains, &keys, &interfaces, &name);
    let mut became = Became::default();
    let all: Vec<&Carried<'_>> = carried.iter().collect();
    let lists = became.lists(&all, &name).map_err(|why| {
        output.error(format!("{name}: {why}"));
        output.note("nothing was written");
        Exit::Policy
    })?;
    report.extend(chain::twins(&chains, &keys, &name));
    report.append(&mut became.report);
    report.extend(became.nowhere(&name));
    let takes_away = lists.iter().any(Lists::takes_away);
    report.extend(told::entries(&carried, &name, takes_away));
    let asked = Asked {
        format: "sockc.import-bfcli/1",
        read: vec![&arguments.file],
        names: vec![name.clone()],
        written: &arguments.written,
    };
    asked.in_order(&mut report);
    report::once(&mut report);
    let standing = standing(&carried, &name).into_iter();
    report.extend(standing.map(|(kind, said)| asked.entry(kind, said)));
    report.extend(chain::unused(&chains, &interfaces, &name));
    asked.end(lists, "What bpfilter was given", report, output)
}

/// The chains that lists can say, and what is said of others.
fn carried<'a>(
    chains: &'a [Chain<'a>],
    keys: &'a [String],
    interfaces: &'a Interfaces,
    file: &str,
) -> (Vec<Carried<'a>>, Vec<Entry>) {
    let (mut carried, mut report): (Vec<Carried<'a>>, Vec<Entry>) = (Vec::new(), Vec::new());
    let names = chain::names(chains, keys).into_iter();
    for ((chain, key), names) in chains.iter().zip(keys).zip(names) {
        let scope = chain::scope(chain, interfaces).and_then(|scope| {
            let is_taken = carried.iter().any(|one| is_same_place(one, chain, &scope));
            match is_taken {
                true => Err("the kernel asks one program at XDP of an interface, so that bpfilter attaches no second one there".to_owned()),
                false => Ok(scope),
            }
        });
        match scope {
            Ok(scope) => carried.push(Carried {
                chain,
                scope,
                known: Known {
                    chain: key,
                    interfaces,
                    sets: chain::sets_of(chain),
                    names,
                },
            }),
            Err(why) => report.push(chain::left_out(file, chain, &why)),
        }
    }
    (carried, report)
}

/// Whether another chain has the place that only one can have.
fn is_same_place(other: &Carried<'_>, chain: &Chain<'_>, scope: &Scope) -> bool {
    let is_single = chain.hook.sees == Sees::Interface && !chain.hook.has_next;
    let is_same = other.chain.hook == chain.hook && other.scope == *scope;
    is_single && is_same && *scope != Scope::All
}

/// What is said of lists as a whole where chains see only the machine's own packets, or what passes through.
fn standing(carried: &[Carried<'_>], file: &str) -> Vec<(Kind, String)> {
    let of_machine = |one: &&Carried<'_>| matches!(one.chain.hook.sees, Sees::Own | Sees::Passing);
    let own: Vec<&Carried<'_>> = carried.iter().filter(of_machine).collect();
    if own.is_empty() {
        return Vec::new();
    }
    // They are fewer than all, which were not too many.
    let lists = Became::default().lists(&own, file).unwrap_or_default();
    let mut said = standing::of_lists(&lists, &NAMES, false);
    let is_mixed = List::ALL
        .into_iter()
        .any(|list| told::is_mixed(carried, list));
    said.extend(is_mixed.then(|| (Kind::Changed, told::MIXED.to_owned())));
    said
}

/// How the report calls the chains of a list.
fn of_list(list: List) -> &'static str {
    match list {
        List::In => "the chains of what arrives",
        List::Forward => "the chains of what passes through",
        List::Out => "the chains of what leaves",
    }
}

/// What became of the chains.
#[derive(Default)]
struct Became {
    report: Vec<Entry>,
    /// Rules by line and text, and whether they came to stand in a list or were told of.
    seen: BTreeMap<(usize, String), bool>,
}

impl Became {
    /// The lists; or why one is too long.
    fn lists(&mut self, carried: &[&Carried<'_>], file: &str) -> Result<Vec<Lists>, String> {
        let mut lists = Vec::new();
        for list in List::ALL {
            let v4 = self.side(carried, file, (Family::V4, list))?;
            let v6 = self.side(carried, file, (Family::V6, list))?;
            lists.push(Lists {
                list,
                chain: of_list(list),
                word: "chain ",
                one_file: true,
                sides: [v4, v6],
            });
        }
        Ok(lists)
    }

    /// A list of one family.
    fn side(
        &mut self,
        carried: &[&Carried<'_>],
        file: &str,
        (family, list): (Family, List),
    ) -> Result<Side, String> {
        let made = making::made(carried, (family, list));
        for line in made.chains.values().flat_map(|chain| &chain.rules) {
            if let Some((at, rule)) = made.rules.get(line.number) {
                let came =
                    rule.unread.is_some() || !rule.cases.is_empty() || !rule.notes.is_empty();
                *self.seen.entry((*at, line.text.clone())).or_default() |= came;
            }
        }
        let source = Source {
            file,
            chains: &made.chains,
            bases: &made.bases,
            read: &|lines, at| {
                let rule = lines.get(at).and_then(|line| made.rules.get(line.number));
                rule.map(|(_, rule)| rule.clone()).into_iter().collect()
            },
        };
        let flat = Flattening::of(source, family, list)
            .map_err(|why| format!("the list `{}`: {why}", list.word()))?;
        self.report.extend(flat.report.into_iter().map(|entry| {
            let line = entry.order.and_then(|number| made.rules.get(number));
            let line = line.map(|(line, _)| *line);
            Entry {
                line,
                order: line,
                place: None,
                ..entry
            }
        }));
        Ok(Side {
            family,
            steps: flat.steps,
            drops: flat.drops,
            is_known: true,
        })
    }

    /// What is said of rules of which nothing came.
    fn nowhere(&self, file: &str) -> Vec<Entry> {
        let seen: BTreeSet<&(usize, String)> = self
            .seen
            .iter()
            .filter(|(_, came)| !**came)
            .map(|(rule, _)| rule)
            .collect();
        let said = "no packet is all that it asks, there as here, so it stands nowhere";
        let entries = seen.into_iter().map(|(line, text)| Entry {
            line: Some(*line),
            order: Some(*line),
            rule: Some(text.clone()),
            ..Entry::of_file(Kind::Note, file, said.to_owned())
        });
        entries.collect()
    }
}
