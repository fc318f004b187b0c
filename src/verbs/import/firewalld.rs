//! `sockc import firewalld`: the configuration of firewalld as a policy.
//!
//! Takes the folder of a machine, and that of what the package ships; gives a policy whose lists decide as what firewalld makes of them
//! does, and says by file and line what was left out and what means something else. Nothing of the machine beside is read or changed.

mod always;
mod conf;
mod config;
mod direct;
mod dispatch;
mod elements;
mod ends;
mod folder;
mod icmp;
mod ipsets;
mod making;
mod meant;
mod rich;
mod services;
mod settings;
mod told;
mod xml;
mod zones;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sockc_compiler::policy::Family;

use super::chains::{Flattening, Source};
use super::list::List;
use super::lists::{Lists, Side};
use super::names::Names;
use super::outcome::Asked;
use super::report::{self, Entry};
use super::standing;
use crate::cli::Firewalld;
use crate::exit::Exit;
use crate::files::input::title;
use crate::output::Output;

use config::{Config, Stop};
use folder::Folder;
use xml::{Mistake, Spot};

/// What the standing of a policy is told by.
const NAMES: standing::Names = standing::Names {
    input: "INPUT",
    output: "OUTPUT",
    forward: "FORWARD",
    tool: "firewalld",
};

/// Reads, and writes the policy.
pub(super) fn run(arguments: &Firewalld, output: &mut Output) -> Result<(), Exit> {
    let mut folder = Folder::open(&arguments.folder, arguments.system.as_deref(), output)?;
    let name = title(&arguments.folder);
    let config = config::read(&mut folder, output).map_err(|stop| match stop {
        Stop::Told(exit) => exit,
        Stop::Mistake(mistake) => told(&mistake, output),
    })?;
    let made = all(&config, &name).map_err(|why| {
        output.error(format!("{name}: {why}"));
        output.note("nothing was written");
        Exit::Policy
    })?;
    let mut read: Vec<&Path> = vec![&arguments.folder];
    read.extend(folder.read.iter().map(PathBuf::as_path));
    let asked = Asked {
        format: "sockc.import-firewalld/1",
        read,
        names: vec![name.clone()],
        written: &arguments.written,
    };
    let leaves = made
        .lists
        .iter()
        .any(|one| one.list == List::Out && one.is_there());
    let mut report = made.report;
    report.extend(told::entries(&config, &name, &made.came, leaves));
    asked.in_order(&mut report);
    report::once(&mut report);
    let standing = standing::of_lists(&made.lists, &NAMES, told::is_translated(&config));
    report.extend(
        standing
            .into_iter()
            .map(|(kind, said)| asked.entry(kind, said)),
    );
    let source = format!("What firewalld does by {name}");
    asked.end(made.lists, &source, report, output)
}

/// Tells what is wrong with a file.
fn told(mistake: &Mistake, output: &mut Output) -> Exit {
    let place = mistake.place.map(|place| format!(", {place}"));
    let place = place.unwrap_or_default();
    output.error(format!("{}{place}: {}", mistake.file, mistake.said));
    output.note("nothing was written");
    Exit::Policy
}

/// What became of the configuration.
struct Became {
    lists: Vec<Lists>,
    report: Vec<Entry>,
    /// What stands in some list, or was told to stand in none.
    came: BTreeSet<Spot>,
}

/// The lists; or why one is too long.
fn all(config: &Config, file: &str) -> Result<Became, String> {
    let zones = config
        .has_apart()
        .then(|| Names::new(config.used().map(|zone| zone.name.as_str())));
    let mut became = Became {
        lists: Vec::new(),
        report: Vec::new(),
        came: BTreeSet::new(),
    };
    for list in List::ALL {
        let v4 = became.side(config, zones.as_ref(), file, (Family::V4, list))?;
        let v6 = became.side(config, zones.as_ref(), file, (Family::V6, list))?;
        became.lists.push(Lists {
            list,
            chain: list.built_in(),
            word: "",
            one_file: true,
            sides: [v4, v6],
        });
    }
    Ok(became)
}

impl Became {
    /// A list of one family.
    fn side(
        &mut self,
        config: &Config,
        zones: Option<&Names>,
        file: &str,
        (family, list): (Family, List),
    ) -> Result<Side, String> {
        let made = making::made(config, zones, (family, list));
        let came = made.rules.iter();
        let came = came.filter(|(_, rule)| rule.unread.is_some() || !rule.cases.is_empty());
        self.came.extend(came.map(|(spot, _)| spot.clone()));
        let base = list.built_in().to_owned();
        let source = Source {
            file,
            chains: &made.chains,
            bases: &[base],
            read: &|lines, at| {
                let rule = lines.get(at).and_then(|line| made.rules.get(line.number));
                rule.map(|(_, rule)| rule.clone()).into_iter().collect()
            },
        };
        let flat = Flattening::of(source, family, list)
            .map_err(|why| format!("the list `{}`: {why}", list.word()))?;
        self.report.extend(flat.report.into_iter().map(|entry| {
            let spot = entry.order.and_then(|number| made.rules.get(number));
            let order = spot.map(|(spot, _)| spot.order);
            Entry { order, ..entry }
        }));
        Ok(Side {
            family,
            steps: flat.steps,
            drops: flat.drops,
            is_known: true,
        })
    }
}
