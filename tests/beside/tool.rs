//! What the tools have in common: rule sets that they print and load, and what is said of them when they are imported.
//!
//! Not here: the tools themselves.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;
use sockc_runtime::lab::Space;
use sockc_testing::{Folder, Rng};

use crate::sockc;

/// A rule set as its tool prints it and loads it: a text for each family, or one for both.
#[derive(Clone, Debug)]
pub(crate) struct Printed(pub(crate) Vec<String>);

impl Printed {
    /// All of it, for people.
    pub(crate) fn shown(&self) -> String {
        self.0.join("\n")
    }
}

/// A rule of a rule set: the number of its text, and where it stands in there.
pub(crate) type Place = (usize, String);

/// What one rule becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    /// It is about no packet.
    Rule,
    /// It is about every state; of a map of states what an element of this number says is done.
    States(usize),
}

/// Rules, and what becomes of them.
pub(crate) type Cut<'a> = (&'a BTreeSet<Place>, Without);

/// A tool that filters packets.
pub(crate) trait Tool {
    /// A random rule set. Where it is open, it says nothing of what leaves.
    fn random(&self, rng: &mut Rng, is_open: bool) -> Printed;
    /// Puts a rule set in force in place of any other.
    fn load(&self, router: &Space, rules: &Printed);
    /// What is in force, as it prints that.
    fn listed(&self, router: &Space) -> Printed;
    /// Takes everything out of force.
    fn clear(&self, router: &Space);
    /// The arguments of `sockc` that import what stands in these files.
    fn imports(&self, files: &[String]) -> Vec<String>;
    /// Makes some rules of the rule set that is in force, and that it printed so, less. Of two cuts at one rule the first counts.
    fn cut(&self, router: &Space, rules: &Printed, cuts: &[Cut<'_>]);
    /// What may become of a rule that asks for states.
    fn ways(&self) -> &'static [Without];
    /// How many rules there are.
    fn rules(&self, rules: &Printed) -> usize;
}

/// A rule set, imported.
pub(crate) struct Imported {
    /// The policy, with what the report says to begin its lists with.
    pub(crate) text: String,
    pub(crate) left_out: BTreeSet<Place>,
    /// Rules of which it says that they are about other packets than there.
    pub(crate) changed: BTreeSet<Place>,
    /// Whether it says that no program has room for the policy.
    pub(crate) is_refused: bool,
}

impl Imported {
    pub(crate) fn of(tool: &dyn Tool, rules: &Printed, folder: &Folder) -> Self {
        let numbered = rules.0.iter().enumerate();
        let files: Vec<String> = numbered
            .map(|(number, text)| folder.file(&format!("rules-{number}"), text))
            .collect();
        let ran = sockc().args(tool.imports(&files)).output().unwrap();
        assert!(ran.status.success(), "{ran:?}\n{}", rules.shown());
        let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
        let report = said["report"].as_array().unwrap();
        let of_kind = |kind: &'static str| report.iter().filter(move |one| one["kind"] == kind);
        Self {
            text: begun(said["text"].as_str().unwrap(), report),
            left_out: of_kind("left-out").filter_map(place).collect(),
            changed: of_kind("changed")
                .filter(|one| is_of_packets(one))
                .filter_map(place)
                .collect(),
            is_refused: report.iter().any(is_about_room),
        }
    }
}

/// Whether an entry is about states of connections, about what stands in the place of ports in other protocols, or about a rule that stands
/// nowhere. What else means something else here does so for nothing that is sent: fragments, marks of what arrives, kinds of answers, which
/// are compared apart.
fn is_of_packets(entry: &Value) -> bool {
    let said = entry["said"].as_str().unwrap();
    let words = [
        "NEW",
        "ESTABLISHED",
        "RELATED",
        "INVALID",
        "UNTRACKED",
        "`th`",
        "it stands nowhere in the policy",
    ];
    words.into_iter().any(|word| said.contains(word))
}

/// Whether an entry says that no program has room for the policy.
fn is_about_room(entry: &Value) -> bool {
    let said = entry["said"].as_str().unwrap();
    said.contains("`sockc check` refuses the policy that this becomes") && said.contains("E0401")
}

/// The place of the rule that an entry of a report is about, if it is about one.
fn place(entry: &Value) -> Option<Place> {
    // Nothing that goes back where it came from is sent.
    if entry["said"].as_str().unwrap().contains("goes back out of") {
        return None;
    }
    let file = Path::new(entry["file"].as_str().unwrap());
    let number = file.file_name()?.to_str()?.strip_prefix("rules-")?;
    let place = match entry["place"].as_str() {
        Some(place) => place.to_owned(),
        None => entry["line"].as_u64()?.to_string(),
    };
    Some((number.parse().unwrap(), place))
}

/// The address by which all machines of the client's network are called.
const BROADCASTS: &str = "198.19.255.255";

/// A policy whose lists begin with what its report says that those of a router have to.
fn begun(text: &str, report: &[Value]) -> String {
    let said = report.iter().filter_map(|one| one["said"].as_str());
    let said = said.filter_map(|said| said.split_once("begin these lists with "));
    let rules = said.flat_map(|(_, rules)| rules.split('`').skip(1).step_by(2));
    let mut begins = String::new();
    for rule in rules {
        writeln!(begins, "{}", rule.replace("BROADCASTS", BROADCASTS)).unwrap();
    }
    let mut defaults = text.lines().filter(|line| line.starts_with("default "));
    let last = defaults.next_back().map_or(0, |line| {
        text.find(&format!("{line}\n")).unwrap() + line.len() + 1
    });
    format!("{}{begins}{}", &text[..last], &text[last..])
}
