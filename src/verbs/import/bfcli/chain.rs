//! The chains of a rule set that become lists, with what their rules name.
//!
//! Takes chains as they were read; gives those that a list can say, and why others are left out. Not here: what rules mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::hook::Sees;
use super::read::{Chain, Mistake, Part};
use super::sets::{self, Set};
use super::values::number;
use crate::cli::is_interface;
use crate::verbs::import::names::Names;
use crate::verbs::import::report::{Effect, Entry, Kind};

/// The names of interfaces, by the numbers that the machine has for them.
pub(super) type Interfaces = BTreeMap<u128, String>;

/// What rules of a chain name.
pub(super) struct Known<'a> {
    pub(super) chain: &'a str,
    pub(super) interfaces: &'a Interfaces,
    /// Its sets; or why one cannot be read.
    pub(super) sets: BTreeMap<&'a str, Result<Set, String>>,
    /// The names of sets in the policy.
    pub(super) names: BTreeMap<&'a str, String>,
}

impl Known<'_> {
    /// The name in the policy of a set of the chain.
    pub(super) fn name_of(&self, set: &str) -> String {
        self.names
            .get(set)
            .cloned()
            .unwrap_or_else(|| set.to_owned())
    }

    /// The interface that is meant by a name or a number.
    pub(super) fn interface(&self, text: &str) -> Result<String, String> {
        match decimal(text) {
            None if is_interface(text) => Ok(text.to_owned()),
            None => Err(format!("`{text}` is the name of no interface")),
            Some(number) => {
                let name = self.interfaces.get(&number).cloned();
                name.ok_or_else(|| format!("interface {number} has no name here"))
            }
        }
    }
}

fn decimal(text: &str) -> Option<u128> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number(text))?
}

/// A name for each chain that no other one has.
pub(super) fn keys(chains: &[Chain<'_>]) -> Vec<String> {
    let key = |(number, chain): (usize, &Chain<'_>)| {
        let before = chains.iter().take(number);
        match before.filter(|one| one.name == chain.name).count() {
            0 => chain.name.clone(),
            same => format!("{}-{}", chain.name, same + 1),
        }
    };
    chains.iter().enumerate().map(key).collect()
}

/// How the policy calls the sets of each chain: as the chain does, where no other chain has a set of this name and the language takes it.
pub(super) fn names<'a>(
    chains: &'a [Chain<'_>],
    keys: &[String],
) -> Vec<BTreeMap<&'a str, String>> {
    let own = |chain: &'a Chain<'_>| {
        let names = chain.sets.iter().filter_map(|set| set.words.first());
        names.map(|name| name.text).collect::<BTreeSet<&str>>()
    };
    let all: Vec<BTreeSet<&str>> = chains.iter().map(own).collect();
    let label = |key: &str, name: &str| {
        let is_shared = all.iter().filter(|sets| sets.contains(name)).count() > 1;
        if is_shared {
            format!("{name} {key}")
        } else {
            name.to_owned()
        }
    };
    let labelled: Vec<BTreeMap<&str, String>> = (all.iter().zip(keys))
        .map(|(sets, key)| sets.iter().map(|name| (*name, label(key, name))).collect())
        .collect();
    let labels = labelled.iter().flat_map(BTreeMap::values);
    let names = Names::new(labels.map(String::as_str));
    let named = |sets: &BTreeMap<&'a str, String>| {
        let named = sets
            .iter()
            .map(|(name, label)| (*name, names.of(label).to_owned()));
        named.collect()
    };
    labelled.iter().map(named).collect()
}

/// The sets of a chain by name; of two with one name, the first.
pub(super) fn sets_of<'a>(chain: &'a Chain<'_>) -> BTreeMap<&'a str, Result<Set, String>> {
    let mut sets = BTreeMap::new();
    for part in &chain.sets {
        if let Some(name) = part.words.first() {
            sets.entry(name.text).or_insert_with(|| set(part));
        }
    }
    sets
}

fn set(part: &Part<'_>) -> Result<Set, String> {
    let words: Vec<&str> = part.words.iter().map(|word| word.text).collect();
    match words.as_slice() {
        [_, key, room @ .., "in", braces] if key.starts_with('(') && braces.starts_with('{') => {
            Ok(Set::read(sets::key(key)?, braces)?.with_room(min_size(room)?))
        }
        _ => Err(format!("it is not written as {SET}")),
    }
}

/// How a set is written.
const SET: &str = "`set NAME (KEY) [min-size=NUMBER] in { … }`";

/// For how many elements a set says that it has room.
fn min_size(words: &[&str]) -> Result<u32, String> {
    let room = match words {
        [] => Some(0),
        [word] => word
            .strip_prefix("min-size=")
            .and_then(|number| number.parse().ok()),
        _ => None,
    };
    room.ok_or_else(|| {
        format!(
            "`{}` is no room of a set, which is written as {SET}",
            words.join(" ")
        )
    })
}

/// Which of the packets of its list a chain is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// All.
    All,
    /// Those of an interface.
    Interface(String),
    /// Those of sockets.
    Sockets,
}

/// The root of control groups.
const ROOT: &str = "/sys/fs/cgroup";

/// The packets that a chain is asked about; or why no list is.
pub(super) fn scope(chain: &Chain<'_>, interfaces: &Interfaces) -> Result<Scope, String> {
    let place = chain.attached();
    match (chain.hook.sees, place) {
        (Sees::Interface, Some(place)) => {
            let name = index(place).and_then(|number| interfaces.get(&number));
            let name = name.ok_or_else(|| format!("`ifindex={place}` is no interface"))?;
            Ok(Scope::Interface(name.clone()))
        }
        (Sees::Group, Some(place)) if place.trim_end_matches('/') == ROOT => Ok(Scope::Sockets),
        (Sees::Group, Some(place)) => Err(format!(
            "it is asked about packets of processes in the control group {place}, and `in` and `out` are about those of all: `connect`, `send` and `receive` know groups"
        )),
        (Sees::Group, None) => Err(
            "it says no control group whose packets it is asked about (`cgpath=`)".to_owned(),
        ),
        (Sees::Calls, _) => Err(
            "it is asked about calls of processes: write `drop connect from group NAME to …` with a group of theirs by hand".to_owned(),
        ),
        (_, _) => Ok(Scope::All),
    }
}

fn index(place: &str) -> Option<u128> {
    number(place).filter(|number| *number != 0)
}

/// An entry about a chain as a whole.
pub(super) fn entry(kind: Kind, file: &str, chain: &Chain<'_>, said: String) -> Entry {
    Entry {
        line: Some(chain.head.line),
        order: Some(chain.head.line),
        rule: Some(chain.head.text.clone()),
        ..Entry::of_file(kind, file, said)
    }
}

/// What is said of a chain that is left out with its rules.
pub(super) fn left_out(file: &str, chain: &Chain<'_>, why: &str) -> Entry {
    let said = format!("{why}; it is left out with its rules: what it drops may get through here");
    Entry {
        effect: Some(Effect::Opens),
        ..entry(Kind::LeftOut, file, chain, said)
    }
}

/// The numbers of interfaces that chains and rules name.
fn numbers<'a>(chains: &'a [Chain<'_>]) -> impl Iterator<Item = (usize, u128)> + 'a {
    chains.iter().flat_map(|chain| {
        let at = (chain.hook.sees == Sees::Interface)
            .then(|| chain.attached())
            .flatten();
        let at = at.and_then(index).map(|number| (chain.head.line, number));
        at.into_iter().chain(chain.rules.iter().flat_map(asked))
    })
}

/// The numbers of interfaces that a rule names.
fn asked<'a>(rule: &'a Part<'_>) -> impl Iterator<Item = (usize, u128)> + 'a {
    let places = rule.words.iter().enumerate();
    let places = places.filter(|(_, word)| word.text == "meta.iface");
    places.filter_map(|(at, _)| {
        let mut behind = rule.words.iter().skip(at + 1);
        let value = behind.find(|word| !matches!(word.text, "not" | "eq"))?;
        Some((value.line, decimal(value.text)?))
    })
}

/// Numbers that no name is known of, as mistakes with a remedy.
pub(super) fn nameless(chains: &[Chain<'_>], interfaces: &Interfaces) -> Vec<Mistake> {
    let mut seen = BTreeSet::new();
    let unknown = numbers(chains).filter(|(_, number)| !interfaces.contains_key(number));
    let unknown = unknown.filter(|(_, number)| seen.insert(*number));
    let said = |(line, number)| {
        let here = running(number).map(|name| format!("; here, {number} is {name}"));
        let here = here.unwrap_or_default();
        let said = format!(
            "interface {number} is a number of the machine that the rules are for; say its name with `--interface-name {number}=NAME`, as `ip link` shows it there{here}"
        );
        (line, said)
    };
    unknown.map(said).collect()
}

/// Numbers with a name that nothing in the file has, which may be a slip for one that it has.
pub(super) fn unused(chains: &[Chain<'_>], interfaces: &Interfaces, file: &str) -> Vec<Entry> {
    let named: BTreeSet<u128> = numbers(chains).map(|(_, number)| number).collect();
    let unused = interfaces
        .iter()
        .filter(|(number, _)| !named.contains(number));
    let said = |(number, name): (&u128, &String)| {
        let said = format!(
            "`--interface-name {number}={name}` says nothing: no chain and no rule names interface {number}"
        );
        Entry::of_file(Kind::Note, file, said)
    };
    unused.map(said).collect()
}

/// Chains with the name of another one ahead of them. bpfilter has one of each name.
pub(super) fn twins(chains: &[Chain<'_>], keys: &[String], file: &str) -> Vec<Entry> {
    let twins = chains
        .iter()
        .zip(keys)
        .filter(|(chain, key)| chain.name != **key);
    let said = |(chain, key): (&Chain<'_>, &String)| {
        let said = format!(
            "another chain ahead of it is called {}, and bpfilter has one of a name; here both are asked, this one as {key}: give it another name, or take out the one that is not in force",
            chain.name
        );
        entry(Kind::Changed, file, chain, said)
    };
    twins.map(said).collect()
}

/// What the machine where the command runs calls an interface.
fn running(number: u128) -> Option<String> {
    let entries = fs::read_dir("/sys/class/net").ok()?.flatten();
    let mut names = entries.filter_map(|entry| {
        let held = fs::read_to_string(entry.path().join("ifindex")).ok()?;
        let is_it = held.trim().parse() == Ok(number);
        is_it.then(|| entry.file_name().into_string().ok())?
    });
    names.next()
}
