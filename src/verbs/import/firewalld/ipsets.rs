//! Sets of firewalld.
//!
//! Takes the files of `ipsets`; gives what each set holds. Not here: the rules that name them, and how entries are written.

use sockc_compiler::policy::Family;

use super::elements;
use super::ends;
use super::xml::{self, Element, File, Known, Mistake, known};
use crate::verbs::import::addresses;
use crate::verbs::import::ipset::{Entry, Form, Holds, Members, Part, Set, Wrong, parts};
use crate::verbs::import::what::Remarks;

/// What to do about a set that a rule names and no file has.
pub(super) const MISSING: &str = "write a file for it";
/// The types whose entries a rule of firewalld can name.
const TYPES: [&str; 5] = [
    "hash:ip",
    "hash:net",
    "hash:mac",
    "hash:ip,port",
    "hash:net,port",
];
/// Protocols whose ports firewalld reads, and a rule here.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

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
    let kind = root.required("type");
    let known = parts(kind).filter(|_| TYPES.contains(&kind));
    let holds = match known {
        Some(parts) => members(root, parts, family)?,
        None => Holds::Unsaid(format!(
            "it is of the type {kind}; sets hold addresses, and ports stand with these"
        )),
    };
    let times_out = option("timeout").is_some_and(|time| time != "0");
    let is_of_frames = known == Some(&[Part::Hardware]);
    Ok(Set {
        family: (!is_of_frames).then_some(family),
        holds: match times_out {
            true => Holds::Unsaid(TIMES_OUT.to_owned()),
            false => holds,
        },
    })
}

/// What is said of a set that programs fill.
const TIMES_OUT: &str = "it changes while it is in force; declare `live set NAME max N`, write the rule with `from @NAME`, and have the program that fills it call `sockc set add`";

fn members(root: Element<'_>, parts: &'static [Part], family: Family) -> Result<Holds, Mistake> {
    let form = Form {
        parts,
        family,
        netmask: None,
        markmask: u32::MAX,
    };
    let mut entries = Vec::new();
    for entry in root.children().filter(|one| one.name() == "entry") {
        let read =
            is_taken(entry.text()).and_then(|()| Entry::read(entry.text(), &form, false, true));
        match read {
            Ok(read) => entries.extend(read),
            Err(Wrong::Mistake(why)) => return Err(entry.mistake(why)),
            Err(Wrong::Unsaid(why)) => return Ok(Holds::Unsaid(why)),
        }
    }
    let members = Members::new(&form, entries, Remarks::new());
    Ok(members.map_or_else(Holds::Unsaid, Holds::Members))
}

/// Refuses what ipset takes and firewalld does not: all addresses, and protocols without ports.
fn is_taken(text: &str) -> Result<(), Wrong> {
    let (address, port) = text.split_once(',').unwrap_or((text, ""));
    let range = addresses::range(address);
    if range.is_some_and(|(family, range)| ends::is_every(family, range)) {
        return Err(Wrong::Mistake(format!(
            "`{text}` is nothing that this set holds; write addresses of its family and type"
        )));
    }
    let protocol = port
        .split_once(':')
        .map(|(protocol, _)| elements::protocol(protocol));
    match protocol {
        Some(Ok(number)) if !WITH_PORTS.contains(&number) => Err(Wrong::Unsaid(
            "ports are those of TCP, UDP and SCTP".to_owned(),
        )),
        _ => Ok(()),
    }
}
