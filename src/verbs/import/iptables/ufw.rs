//! `sockc import ufw`: what ufw keeps in its folder, as a policy.
//!
//! Takes the folder and the file of defaults; makes of them the chains that the start of ufw makes, and gives the policy that these become as
//! `import iptables-save` does, with what the user said in front of each rule. Nothing of the machine is read or changed. Not here: what
//! rules of iptables mean.

mod composed;
mod joined;
mod restored;
mod settings;
mod tuples;

use std::collections::BTreeSet;
use std::fs;
use std::iter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sockc_compiler::policy::Family;

use super::asked_sets::Given;
use super::{Read, lists_of, rule, told};
use crate::cli::Ufw;
use crate::exit::Exit;
use crate::files::input::{self, is_stream, title};
use crate::output::Output;
use crate::verbs::import::list::List;
use crate::verbs::import::lists::Lists;
use crate::verbs::import::outcome::Asked;
use crate::verbs::import::report::{Entry, Kind};
use crate::verbs::import::standing::Names;

use composed::{Rules, Text};
use settings::Settings;

/// What the standing of a policy is told by.
const NAMES: Names = Names {
    input: "INPUT",
    output: "OUTPUT",
    forward: "FORWARD",
    tool: "ufw",
};

/// What to do about sets of ipset, which stand in no file of ufw.
const BY_HAND: &str = "declare a set, or a live set, and write `from @name`";

/// The files of ufw.
struct Files {
    folder: PathBuf,
    defaults: PathBuf,
    /// All that were read, in the order of their reading.
    read: Vec<PathBuf>,
}

/// Reads, and writes the policy.
pub(in crate::verbs::import) fn run(arguments: &Ufw, output: &mut Output) -> Result<(), Exit> {
    let mut files = Files::of(arguments, output)?;
    let settings = files.settings(output)?;
    let read = [
        files.family(Family::V4, &settings, output)?,
        files.family(Family::V6, &settings, output)?,
    ];
    let paths = files.read.iter().map(PathBuf::as_path);
    let paths: Vec<&Path> = iter::once(arguments.folder.as_path())
        .chain(paths)
        .collect();
    let asked = Asked {
        format: "sockc.import-ufw/1",
        names: paths.iter().copied().map(title).collect(),
        read: paths,
        written: &arguments.written,
    };
    let mut report = beside(&files, &settings);
    report.extend(read.iter().flat_map(of_others));
    let lists = lists_of(&read, &Given::nothing(BY_HAND).sets, &mut report, output)?;
    let lists: Vec<Lists> = lists.into_iter().map(joined).collect();
    told(&read, &lists, &NAMES, &asked, &mut report);
    asked.end(lists, "What ufw puts in force", report, output)
}

/// Joins rules of one command.
fn joined(mut lists: Lists) -> Lists {
    for side in &mut lists.sides {
        side.steps = joined::join(std::mem::take(&mut side.steps));
    }
    lists
}

impl Files {
    /// Where the files are; or what to give instead.
    fn of(arguments: &Ufw, output: &mut Output) -> Result<Self, Exit> {
        let folder = &arguments.folder;
        let wanted = "give the folder of ufw, as `sockc import ufw /etc/ufw`";
        let why = if is_stream(folder) {
            Some(format!(
                "standard input is one file, and ufw has several; {wanted}"
            ))
        } else if !folder.exists() {
            Some(format!("{} is not there; {wanted}", title(folder)))
        } else if !folder.is_dir() {
            Some(format!(
                "{} is one file, and the rules of ufw stand in several that belong together; {wanted}",
                title(folder)
            ))
        } else if !folder.join("ufw.conf").exists() {
            Some(format!("{} has no ufw.conf; {wanted}", title(folder)))
        } else {
            None
        };
        if let Some(why) = why {
            return Err(refused(&why, output));
        }
        // A folder may be named from within, so its parent is asked of the whole name.
        let parent = || Some(fs::canonicalize(folder).ok()?.parent()?.join("default/ufw"));
        let defaults = arguments.defaults.clone().or_else(parent);
        let Some(defaults) = defaults.filter(|path| path.exists()) else {
            let why = format!(
                "the defaults of ufw are not there, without which it does not start: neither `--defaults` names a file that is, nor is there a default/ufw next to {}; give `--defaults /etc/default/ufw`",
                title(folder)
            );
            return Err(refused(&why, output));
        };
        Ok(Self {
            folder: folder.clone(),
            defaults,
            read: Vec::new(),
        })
    }

    fn settings(&mut self, output: &mut Output) -> Result<Settings, Exit> {
        let defaults = self.text(self.defaults.clone(), output)?;
        let conf = self.text(self.folder.join("ufw.conf"), output)?;
        let read = Settings::read((&defaults.file, &defaults.text), (&conf.file, &conf.text));
        read.map_err(|mistake| mistaken(&mistake, output))
    }

    /// The chains of a family.
    fn family(
        &mut self,
        family: Family,
        settings: &Settings,
        output: &mut Output,
    ) -> Result<Read, Exit> {
        let is_closed = family == Family::V6 && !settings.ipv6.value;
        let saved = match is_closed {
            true => composed::closed(&settings.ipv6),
            false => composed::chains(family, settings, &self.rules(family, output)?),
        };
        Ok(Read {
            name: title(&self.folder),
            family,
            saved: saved.map_err(|mistake| mistaken(&mistake, output))?,
        })
    }

    fn rules(&mut self, family: Family, output: &mut Output) -> Result<Rules, Exit> {
        let digit = match family {
            Family::V4 => "",
            Family::V6 => "6",
        };
        let mut text = |name| self.text(self.folder.join(format!("{name}{digit}.rules")), output);
        Ok(Rules {
            before: text("before")?,
            user: text("user")?,
            after: text("after")?,
        })
    }

    /// The text of a file. ufw takes one that is empty as one that is not there, and goes on without.
    fn text(&mut self, path: PathBuf, output: &mut Output) -> Result<Text, Exit> {
        let is_there = fs::metadata(&path).is_ok_and(|meta| meta.len() > 0);
        if !is_there {
            let why = format!(
                "{} is not there or is empty, and ufw is not whole without it; give the folder with all of its files (ufw before 0.35 keeps user.rules and user6.rules in /lib/ufw: copy them into it)",
                title(&path)
            );
            return Err(refused(&why, output));
        }
        let text = input::list(&path, output)?;
        let file = title(&path);
        self.read.push(path);
        Ok(Text { file, text })
    }
}

/// What is said of the files beside their rules.
fn beside(files: &Files, settings: &Settings) -> Vec<Entry> {
    let of_line = |kind, file: &str, line: usize, said: String| Entry {
        line: Some(line),
        order: Some(line),
        ..Entry::of_file(kind, file, said)
    };
    let mut report = Vec::new();
    let enabled = &settings.enabled;
    if !enabled.value {
        let said = "ufw is disabled (ENABLED=no), so these rules are not in force there; the policy is what they are once `ufw enable` has been said";
        report.push(of_line(
            Kind::Changed,
            &enabled.file,
            enabled.line,
            said.to_owned(),
        ));
    }
    if let Some(modules) = &settings.modules {
        let said = format!(
            "IPT_MODULES={}: there is no table of connections whose helpers would know what belongs to another one",
            modules.value
        );
        report.push(of_line(Kind::LeftOut, &modules.file, modules.line, said));
    }
    for name in ["before.init", "after.init"] {
        let path = files.folder.join(name);
        let runs = |meta: fs::Metadata| meta.is_file() && meta.permissions().mode() & 0o111 != 0;
        if fs::metadata(&path).is_ok_and(runs) {
            let said =
                "ufw runs this program when it starts, and what rules it sets is not known here";
            report.push(Entry::of_file(
                Kind::LeftOut,
                &title(&path),
                said.to_owned(),
            ));
        }
    }
    let sysctl = files.folder.join("sysctl.conf");
    if sysctl.exists() {
        let said = "ufw sets these settings of the kernel when it starts; a policy sets none, so keep them, as in a file of /etc/sysctl.d";
        report.push(Entry::of_file(Kind::Note, &title(&sysctl), said.to_owned()));
    }
    report
}

/// What is said of chains that ufw's files fill and none of its rules calls, as those of Docker: others call them, whose rules do not stand
/// there.
fn of_others(read: &Read) -> Vec<Entry> {
    let chains = &read.saved.chains;
    let all = chains.values().flat_map(|chain| &chain.rules);
    let called = all.filter_map(|line| rule::led_to(&line.text, &["-j", "-g"]));
    let called: BTreeSet<String> = called.collect();
    let is_called = |name: &str| called.contains(name) || List::is_built_in(name);
    let others = chains.iter().filter(|(name, chain)| {
        !name.starts_with("ufw") && !chain.rules.is_empty() && !is_called(name)
    });
    let entries = others.map(|(name, chain)| {
        let said = format!(
            "the chain {name} is called by no rule of ufw: where another program calls it, what it drops gets through here"
        );
        let file = chain.rules.first().and_then(|line| line.file());
        Entry::of_file(Kind::LeftOut, file.unwrap_or(&read.name), said)
    });
    entries.collect()
}

/// Tells what is wrong with a line.
fn mistaken((file, line, why): &settings::Mistake, output: &mut Output) -> Exit {
    refused(&format!("{file}, line {line}: {why}"), output)
}

fn refused(why: &str, output: &mut Output) -> Exit {
    output.error(why);
    output.note("nothing was written");
    Exit::Policy
}
