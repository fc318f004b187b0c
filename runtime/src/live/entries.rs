//! The entries of a live map: which may stand next to each other, and what programs find by them.
//!
//! Takes entries and the sockets of a manifest; gives the contents of a trie and the classes of ports, or says which entry is
//! wrong. Not here: the kernel's maps.
//!
//! Of the entries that match a packet the longest prefix wins, then the narrowest range of ports, then a named protocol. The
//! trie finds the first by itself; the others are settled here, for each prefix, class of ports and protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use sockc_compiler::artifact::{LiveEntryPlan, Manifest, SocketSlots};
use sockc_compiler::protocol::IpProtocol;

use super::port_classes::{PortClasses, Range};
use crate::error::{Error, undeclared};
use crate::prefix::Prefix;

/// Every port.
const ALL: Range = (0, u16::MAX);
/// The class under which entries for every port stand.
const EVERY_PORT: u32 = u32::MAX;
/// Bits of a key before the address.
const HEAD: u32 = 64;
/// Where the side stands in a key, after length, class, protocol and family.
const SIDE_BYTE: usize = 10;

/// What programs look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    class: u32,
    protocol: IpProtocol,
    prefix: Prefix,
}

impl Key {
    /// As the trie has it in one of its sides.
    pub(crate) fn bytes(self, side: u8) -> Vec<u8> {
        let mut bytes = (HEAD + u32::from(self.prefix.length()))
            .to_ne_bytes()
            .to_vec();
        bytes.extend(self.class.to_ne_bytes());
        bytes.extend([self.protocol.0, self.prefix.family(), side, 0]);
        bytes.extend(self.prefix.bytes());
        bytes
    }
}

/// The side of the trie that bytes of a key are in.
pub(crate) fn side_of(key: &[u8]) -> Option<usize> {
    key.get(SIDE_BYTE).copied().map(usize::from)
}

/// What a side of the maps of a live map should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The trie: the numbers of sockets.
    pub(crate) sockets: BTreeMap<Key, u32>,
    /// The array.
    pub(crate) ports: PortClasses,
}

impl Contents {
    /// The contents that entries of the map `name` make, of which the first `kept` are in it already.
    pub(crate) fn new(
        name: &str,
        entries: &[LiveEntryPlan],
        kept: usize,
        manifest: &Manifest,
    ) -> Result<Self, Error> {
        let read = entries
            .iter()
            .map(|entry| Entry::read(name, entry, manifest));
        let mut read = read.collect::<Result<Vec<_>, _>>()?;
        check(name, &read, kept)?;
        let ranges: BTreeSet<Range> = read.iter().map(|entry| entry.plan.ports).collect();
        let ranges = ranges.into_iter().filter(|range| *range != ALL).collect();
        let ports = PortClasses::new(&ranges);
        // The last one to be written stays: the narrowest, and of these the one that names a protocol.
        read.sort_by_key(|entry| {
            let width = entry.plan.ports.1 - entry.plan.ports.0;
            (std::cmp::Reverse(width), entry.plan.protocol.is_some())
        });
        let mut sockets = BTreeMap::new();
        for entry in &read {
            let every = [EVERY_PORT];
            let classes = ports.within.get(&entry.plan.ports);
            for class in classes.map_or(every.as_slice(), Vec::as_slice) {
                for protocol in &entry.protocols {
                    let key = Key {
                        class: *class,
                        protocol: *protocol,
                        prefix: entry.prefix,
                    };
                    sockets.insert(key, entry.socket);
                }
            }
        }
        Ok(Self { sockets, ports })
    }

    /// A value of the trie.
    pub(crate) fn value(key: Key, socket: u32) -> Vec<u8> {
        let mut value = (socket + 1).to_ne_bytes().to_vec();
        value.extend(u32::from(key.prefix.length()).to_ne_bytes());
        value
    }
}

/// An entry that was looked at.
#[derive(Clone, Debug)]
struct Entry<'a> {
    plan: &'a LiveEntryPlan,
    prefix: Prefix,
    /// The number of its socket.
    socket: u32,
    /// The protocols that it is for.
    protocols: Vec<IpProtocol>,
}

impl<'a> Entry<'a> {
    fn read(map: &str, plan: &'a LiveEntryPlan, manifest: &Manifest) -> Result<Self, Error> {
        let wrong = |cause: String| wrong(map, plan, cause);
        let names = || manifest.sockets.iter().map(|socket| socket.name.as_str());
        let number = names().position(|name| name == plan.socket);
        let found = number.and_then(|number| Some((number, manifest.sockets.get(number)?)));
        let (number, socket) = found.ok_or_else(|| undeclared("socket", &plan.socket, names()))?;
        if socket.is_connected() {
            return Err(wrong(format!(
                "nothing can be steered to the socket \"{}\": rules put data into its queues",
                socket.name
            )));
        }
        let (address, length) = plan.prefix;
        let prefix = Prefix::new(address, length)
            .ok_or_else(|| wrong("its prefix has bits set beyond its length".to_owned()))?;
        if plan.ports.0 > plan.ports.1 {
            return Err(wrong("its ports end before they begin".to_owned()));
        }
        let mut declared = protocols_of(socket);
        if declared.is_empty() {
            // Where no rule steers there are only names, and nobody asks.
            declared = IpProtocol::WITH_SOCKETS.to_vec();
        }
        let protocols = match plan.protocol {
            Some(protocol) if !declared.contains(&protocol) => {
                return Err(wrong(format!(
                    "the socket \"{}\" has no {} socket",
                    plan.socket,
                    protocol_name(protocol)
                )));
            }
            Some(protocol) => vec![protocol],
            None => declared,
        };
        Ok(Self {
            plan,
            prefix,
            socket: u32::try_from(number)
                .map_err(|_| wrong("its socket has a number that no map holds".to_owned()))?,
            protocols,
        })
    }
}

fn protocols_of(socket: &SocketSlots) -> Vec<IpProtocol> {
    let protocols: BTreeSet<IpProtocol> = socket.slots.iter().map(|slot| slot.protocol).collect();
    protocols.into_iter().collect()
}

fn wrong(map: &str, entry: &LiveEntryPlan, cause: String) -> Error {
    Error::Entry {
        map: map.to_owned(),
        entry: text(entry),
        cause,
    }
}

/// Refuses entries of one prefix of which neither is the more specific.
fn check(map: &str, entries: &[Entry<'_>], kept: usize) -> Result<(), Error> {
    let mut of_prefix: BTreeMap<Prefix, Vec<(usize, &Entry<'_>)>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        let others = of_prefix.entry(entry.prefix).or_default();
        for (before, other) in others.iter() {
            // What is in the map can be removed; what comes along with the entry is a mistake of whoever wrote both.
            let remedy = match *before < kept {
                true => format!(
                    "remove it first with `sockc map del {map} '{}'`{}",
                    packets(other.plan),
                    match is_same(entry, other) {
                        true => ", or let `--replace` put this one in its place at once",
                        false => "",
                    }
                ),
                false => "both are to be put in: leave one of them out".to_owned(),
            };
            if let Some(cause) = conflict(entry, other, &remedy) {
                return Err(wrong(map, entry.plan, cause));
            }
        }
        others.push((place, entry));
    }
    Ok(())
}

/// Whether two entries of one prefix are for the same packets.
fn is_same(entry: &Entry<'_>, other: &Entry<'_>) -> bool {
    entry.plan.ports == other.plan.ports && entry.plan.protocol == other.plan.protocol
}

fn conflict(entry: &Entry<'_>, other: &Entry<'_>, remedy: &str) -> Option<String> {
    let (one, two) = (entry.plan.ports, other.plan.ports);
    let other_text = text(other.plan);
    if is_same(entry, other) {
        return Some(format!("`{other_text}` is for the same packets; {remedy}"));
    }
    let both = entry
        .protocols
        .iter()
        .any(|one| other.protocols.contains(one));
    let apart = one.1 < two.0 || two.1 < one.0;
    let nested = one.0 <= two.0 && two.1 <= one.1 || two.0 <= one.0 && one.1 <= two.1;
    (both && !apart && !nested).then(|| {
        format!("its ports overlap those of `{other_text}`, and neither range is inside the other")
    })
}

fn protocol_name(protocol: IpProtocol) -> &'static str {
    if protocol == IpProtocol::TCP {
        "tcp"
    } else {
        "udp"
    }
}

/// An entry as the language writes it.
#[must_use]
pub fn text(entry: &LiveEntryPlan) -> String {
    packets(entry) + " -> sock " + &entry.socket
}

/// The packets of an entry, as the language writes them.
pub(crate) fn packets(entry: &LiveEntryPlan) -> String {
    let mut text = String::new();
    if let Some(protocol) = entry.protocol {
        text += protocol_name(protocol);
        text.push(' ');
    }
    let (address, length) = entry.prefix;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = if length == most {
        String::new()
    } else {
        format!("/{length}")
    };
    // Writing to a string cannot fail.
    let _ = match address.is_ipv4() {
        true => write!(text, "{address}{length}"),
        false => write!(text, "[{address}{length}]"),
    };
    let _ = match entry.ports {
        ALL => write!(text, ":*"),
        (first, last) if first == last => write!(text, ":{first}"),
        (first, last) => write!(text, ":{first}-{last}"),
    };
    text
}

#[cfg(test)]
mod tests;
