//! The sets of ipset that rules ask for: where they are read, and what is said of them.
//!
//! Takes the command line and the rules; gives the sets, and entries of the report. Not here: what `ipset save` prints, and what a rule means.

use std::collections::{BTreeMap, BTreeSet};

use super::options::options;
use super::{Read, sets};
use crate::cli::IptablesSave;
use crate::exit::Exit;
use crate::output::Output;
use crate::verbs::import::ipset::{Holds, Sets};
use crate::verbs::import::lists::{self, Lists};
use crate::verbs::import::report::{Entry, Kind};
use crate::verbs::import::source::{self, Source};

/// The command that prints the sets in force.
const SAVE: &[&str] = &["ipset", "save"];
/// What to do about a set that was not given.
const GIVE: &str = "give what `ipset save` prints by `--ipset`";
/// What to do about a set where none were printed.
const GIVE_FILES: &str =
    "give what iptables-save prints as a file, and what `ipset save` prints by `--ipset`";
/// What to do about a set that does not stand in what was given.
const GIVE_ALL: &str = "give all that `ipset save` prints where these rules are in force";

/// Sets, and what they were read of.
pub(super) struct Given {
    pub(super) sets: Sets,
    /// How the report calls what they were read of, if anything was.
    pub(super) file: Option<String>,
}

impl Given {
    /// Nothing, where it is said what to do about that.
    pub(super) fn nothing(remedy: &str) -> Self {
        Self {
            sets: Sets::new(BTreeMap::new(), remedy.to_owned()),
            file: None,
        }
    }

    /// Reads the file that is named, or asks `ipset` where the rules in force name sets.
    pub(super) fn read(
        arguments: &IptablesSave,
        rules: &[Read],
        report: &mut Vec<Entry>,
        output: &mut Output,
    ) -> Result<Self, Exit> {
        let read = match &arguments.ipset {
            Some(file) => Source::File(file).read(output)?,
            None if arguments.live && !asked(rules).is_empty() => match source::printed(SAVE) {
                Ok(read) => read,
                Err(why) => {
                    report.push(Entry::of_file(Kind::LeftOut, &SAVE.join(" "), why));
                    return Ok(Self::nothing(GIVE_FILES));
                }
            },
            None => return Ok(Self::nothing(GIVE)),
        };
        report.extend(read.said);
        let sets = sets::read(&read.text).map_err(|(line, why)| {
            output.error(format!("{}, line {line}: {why}", read.name));
            output.note("nothing was written");
            Exit::Policy
        })?;
        Ok(Self {
            sets: Sets::new(sets, GIVE_ALL.to_owned()),
            file: Some(read.name),
        })
    }

    /// What is said of the sets beside what is said of rules.
    pub(super) fn said(&self, rules: &[Read], lists: &[Lists]) -> Vec<Entry> {
        let Some(file) = &self.file else {
            return Vec::new();
        };
        let asked = self.with_held(asked(rules));
        let said = [self.unasked(&asked), self.kept(&asked)]
            .into_iter()
            .flatten();
        let said = said.map(|said| (Kind::Note, said));
        // A live set begins empty, so that what its rules take away gets through until it is filled.
        let filled = self.filled(lists).into_iter();
        let said = said.chain(filled.map(|said| (Kind::Changed, said)));
        said.map(|(kind, said)| Entry::of_file(kind, file, said))
            .collect()
    }

    /// Those that are asked for, with those that they hold.
    fn with_held(&self, mut asked: BTreeSet<String>) -> BTreeSet<String> {
        let held = self.sets.all().filter(|(name, _)| asked.contains(*name));
        let held = held.filter_map(|(_, set)| match &set.holds {
            Holds::Sets(names) => Some(names),
            Holds::Members(_) | Holds::Filled(_) | Holds::Unsaid(_) => None,
        });
        let held: Vec<String> = held.flatten().cloned().collect();
        asked.extend(held);
        asked
    }

    fn unasked(&self, asked: &BTreeSet<String>) -> Option<String> {
        let names = self.sets.all().map(|(name, _)| name);
        let names: Vec<&str> = names.filter(|name| !asked.contains(*name)).collect();
        (!names.is_empty()).then(|| {
            format!(
                "no rule asks for {}, so nothing is written for {}",
                listed(&names),
                if names.len() == 1 { "it" } else { "them" }
            )
        })
    }

    /// What is said of sets that are a part of the policy.
    fn kept(&self, asked: &BTreeSet<String>) -> Option<String> {
        let is_kept =
            |holds: &Holds| matches!(holds, Holds::Members(members) if !members.is_empty());
        let kept = self
            .sets
            .all()
            .filter(|(name, set)| asked.contains(*name) && is_kept(&set.holds));
        let names: Vec<&str> = kept.map(|(name, _)| name).collect();
        (!names.is_empty()).then(|| {
            format!(
                "what is written of {} is what was held when this was printed: what ipset is told later is not in the policy. Where a program fills one of them with addresses, write `live set NAME max N` in place of `set NAME`, and have that program call `sockc set add NAME`; else import again",
                listed(&names)
            )
        })
    }

    /// What is said of the live sets that the policy has.
    fn filled(&self, lists: &[Lists]) -> Vec<String> {
        let declared = lists::live(lists);
        let filled = self.sets.all().filter_map(|(name, set)| match &set.holds {
            Holds::Filled(filled) => Some((name, self.sets.name_of(name), filled)),
            Holds::Members(_) | Holds::Sets(_) | Holds::Unsaid(_) => None,
        });
        let filled = filled.filter(|(_, called, _)| declared.contains_key(called));
        filled
            .map(|(name, called, filled)| filled.said(name, called))
            .collect()
    }
}

fn listed(names: &[&str]) -> String {
    let word = if names.len() == 1 {
        "the set"
    } else {
        "the sets"
    };
    format!("{word} {}", names.join(", "))
}

/// The sets that rules of the table `filter` ask for.
fn asked(rules: &[Read]) -> BTreeSet<String> {
    let chains = rules.iter().flat_map(|one| one.saved.chains.values());
    let lines = chains.flat_map(|chain| &chain.rules);
    let lines = lines.filter(|line| line.text.contains("--match-set"));
    let given = lines.filter_map(|line| options(&line.text).ok()).flatten();
    let named = given.filter(|given| given.name == "--match-set");
    named
        .filter_map(|given| given.values.first().cloned())
        .collect()
}
