//! Sets of firewalld.
//!
//! Takes the files of `ipsets`; gives what each set holds, and how the policy calls it. Not here: the rules that name them.

use std::collections::BTreeMap;

use sockc_compiler::policy::Family;
use sockc_compiler::ranges::RangeSet;

use super::elements::{self, Port};
use super::ends;
use super::xml::{self, Element, File, Known, Mistake, known};
use crate::verbs::import::names::Names;

/// A set.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) family: Family,
    pub(super) holds: Holds,
    /// Whether what it holds goes away by itself.
    times_out: bool,
}

/// What a set holds.
#[derive(Debug)]
pub(super) enum Holds {
    Addresses(RangeSet<u128>),
    Hardware(Vec<String>),
    /// Addresses, each with ports of a protocol.
    Ports(Vec<((u128, u128), Port)>),
    /// What no rule can ask for, and why.
    Other(String),
}

impl Set {
    /// Why nothing is known of what it holds.
    pub(super) fn unknown(&self, name: &str) -> Option<String> {
        let is_empty = match &self.holds {
            Holds::Addresses(held) => held.is_empty(),
            Holds::Hardware(held) => held.is_empty(),
            Holds::Ports(held) => held.is_empty(),
            Holds::Other(_) => false,
        };
        let why = match (self.times_out, is_empty) {
            (true, _) => "changes while it is in force",
            (false, true) => "holds nothing in its file",
            (false, false) => return None,
        };
        Some(format!(
            "the set {name} {why}; declare `live set NAME max N`, write the rule with `from @NAME`, and have the program that fills it call `sockc set add`"
        ))
    }
}

/// All sets.
#[derive(Debug, Default)]
pub(super) struct Sets {
    all: BTreeMap<String, Set>,
    names: Names,
}

impl Sets {
    pub(super) fn new(all: BTreeMap<String, Set>) -> Self {
        let names = Names::new(all.keys().map(String::as_str));
        Self { all, names }
    }

    pub(super) fn of(&self, name: &str) -> Option<&Set> {
        self.all.get(name)
    }

    /// How the policy calls it.
    pub(super) fn name_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.names.of(name)
    }
}

const KNOWN: &[Known] = &[
    known("ipset", &[], &["type"], &["version"]),
    known("short", &["ipset"], &[], &[]),
    known("description", &["ipset"], &[], &[]),
    known("option", &["ipset"], &["name"], &["value"]),
    known("entry", &["ipset"], &[], &[]),
];

/// Reads a file of a set.
pub(super) fn read(file: &File) -> Result<Set, Mistake> {
    xml::read(file, "ipset", &[KNOWN], of_element)
}

fn of_element(root: Element<'_>) -> Result<Set, Mistake> {
    let option = |name: &str| {
        let mut options = root.children().filter(|one| one.name() == "option");
        let found = options.find(|one| one.required("name") == name);
        found.and_then(|one| one.attribute("value"))
    };
    let family = match option("family") {
        Some("inet6") => Family::V6,
        _ => Family::V4,
    };
    let entries = root.children().filter(|one| one.name() == "entry");
    let kind = root.required("type");
    let holds = match kind {
        "hash:ip" | "hash:net" => {
            let ranges: Result<Vec<_>, _> =
                entries.map(|one| host(one, one.text(), family)).collect();
            Holds::Addresses(RangeSet::from_ranges(ranges?))
        }
        "hash:mac" => Holds::Hardware(entries.map(hardware).collect::<Result<_, _>>()?),
        "hash:ip,port" | "hash:net,port" => Holds::Ports(
            entries
                .map(|one| with_port(one, family))
                .collect::<Result<_, _>>()?,
        ),
        other => Holds::Other(format!(
            "it is about a set of {other}; sets hold addresses, and ports stand with these"
        )),
    };
    Ok(Set {
        family,
        holds,
        times_out: option("timeout").is_some_and(|time| time != "0"),
    })
}

fn host(entry: Element<'_>, text: &str, family: Family) -> Result<(u128, u128), Mistake> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let ends = [low, high].map(ends::prefix);
    match ends {
        [Some((one, (low, _))), Some((other, (_, high)))]
            if one == family
                && other == family
                && low <= high
                && !ends::is_every(family, (low, high)) =>
        {
            Ok((low, high))
        }
        _ => Err(entry.mistake(format!(
            "`{text}` is nothing that this set holds; write addresses of its family and type"
        ))),
    }
}

fn hardware(entry: Element<'_>) -> Result<String, Mistake> {
    match ends::read(entry.text()) {
        Ok(ends::End::Hardware(address)) => Ok(address),
        _ => Err(entry.mistake(format!("`{}` is no hardware address", entry.text()))),
    }
}

/// An address with ports, of TCP where no protocol stands there.
fn with_port(entry: Element<'_>, family: Family) -> Result<((u128, u128), Port), Mistake> {
    let wrong = || {
        entry.mistake(format!(
            "`{}` is no address with a port; write one such as 192.0.2.1,tcp:80",
            entry.text()
        ))
    };
    let (address, port) = entry.text().split_once(',').ok_or_else(wrong)?;
    let (protocol, ports) = port.split_once(':').unwrap_or(("tcp", port));
    let protocol = elements::protocol(protocol).map_err(|_| wrong())?;
    let range = elements::range(ports).ok_or_else(wrong)?;
    let port = Port { protocol, range };
    Ok((host(entry, address, family)?, port))
}
