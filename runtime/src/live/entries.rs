//! The entries of a live map: what they mean, which may stand next to each other, and where their packets go.
//!
//! Takes entries and the sockets of a manifest; says which entry is wrong. Not here: what is kept of them.
//!
//! Of the entries that match a packet the longest prefix wins, then the narrowest range of ports, then a named protocol. Who
//! looks for the longest prefix finds the first by itself; the others are settled here, for the entries of one prefix.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;

use sockc_compiler::artifact::{LiveEntryPlan, Manifest, SocketSlots};
use sockc_compiler::entry_table::{Piece, pieces};
use sockc_compiler::protocol::IpProtocol;

use super::image::{EntryRecord, foreign};
use super::port_classes::Range;
use crate::error::{Error, undeclared};
use crate::prefix::Prefix;

/// Every port.
pub(crate) const ALL: Range = (0, u16::MAX);

/// An entry that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) prefix: Prefix,
    pub(crate) ports: Range,
    /// The protocol that it names.
    pub(crate) protocol: Option<IpProtocol>,
    /// The number of its socket.
    pub(crate) socket: u16,
    /// Which protocols it is for, in the order of [`IpProtocol::WITH_SOCKETS`].
    pub(crate) speaks: [bool; 2],
}

impl Entry {
    /// Less for one that is less specific than another of its prefix.
    pub(crate) fn rank(&self) -> (Reverse<u16>, bool) {
        (
            Reverse(self.ports.1 - self.ports.0),
            self.protocol.is_some(),
        )
    }

    /// What a map holds of its socket: one more than its number.
    pub(crate) fn number(&self) -> u16 {
        self.socket + 1
    }

    /// Whether it is for the same packets as another one of its prefix.
    fn is_as(&self, other: &Self) -> bool {
        self.ports == other.ports && self.protocol == other.protocol
    }
}

/// Where the packets of a prefix go, by the pieces of its entries: for each protocol what a map holds of a socket, or 0.
pub(crate) fn winners(of_prefix: &[Entry]) -> BTreeMap<Piece, [u16; 2]> {
    let mut sorted: Vec<&Entry> = of_prefix.iter().collect();
    // The last one to be written stays.
    sorted.sort_by_key(|entry| entry.rank());
    let mut found: BTreeMap<Piece, [u16; 2]> = BTreeMap::new();
    for entry in sorted {
        for piece in pieces(entry.ports) {
            let numbers = found.entry(piece).or_default();
            for (number, speaks) in numbers.iter_mut().zip(entry.speaks) {
                if speaks {
                    *number = entry.number();
                }
            }
        }
    }
    found
}

/// The sockets that entries of a map may lead to.
pub(crate) struct Names<'a> {
    map: &'a str,
    sockets: &'a [SocketSlots],
    /// The numbers of the sockets.
    numbers: BTreeMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    /// Those of a manifest.
    pub(crate) fn new(map: &'a str, manifest: &'a Manifest) -> Self {
        let sockets = manifest.sockets.iter().enumerate();
        Self {
            map,
            sockets: &manifest.sockets,
            numbers: sockets
                .map(|(number, socket)| (socket.name.as_str(), number))
                .collect(),
        }
    }

    /// Reads entries.
    pub(crate) fn read_all(&self, plans: &[LiveEntryPlan]) -> Result<Vec<Entry>, Error> {
        plans.iter().map(|plan| self.read(plan)).collect()
    }

    /// Reads an entry.
    pub(crate) fn read(&self, plan: &LiveEntryPlan) -> Result<Entry, Error> {
        let wrong = |cause: String| self.wrong(text(plan), cause);
        let names = || self.sockets.iter().map(|socket| socket.name.as_str());
        let number = self.numbers.get(plan.socket.as_str()).copied();
        let found = number.and_then(|number| Some((number, self.sockets.get(number)?)));
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
        let speaks = speaks(socket, plan.protocol);
        if let Some(protocol) = plan.protocol
            && speaks == [false; 2]
        {
            return Err(wrong(format!(
                "the socket \"{}\" has no {} socket",
                plan.socket,
                protocol_name(protocol)
            )));
        }
        Ok(Entry {
            prefix,
            ports: plan.ports,
            protocol: plan.protocol,
            socket: held(number)
                .ok_or_else(|| wrong("its socket has a number that no map holds".to_owned()))?,
            speaks,
        })
    }

    /// The entry that was kept as a record.
    pub(crate) fn of_record(&self, record: &EntryRecord) -> io::Result<Entry> {
        let socket = self.sockets.get(record.socket as usize);
        Ok(Entry {
            prefix: record.prefix,
            ports: record.ports,
            protocol: record.protocol,
            socket: held(record.socket).ok_or_else(foreign)?,
            speaks: speaks(socket.ok_or_else(foreign)?, record.protocol),
        })
    }

    /// An entry as policies and commands have it.
    pub(crate) fn plan(&self, entry: &Entry) -> LiveEntryPlan {
        let socket = self.sockets.get(usize::from(entry.socket));
        LiveEntryPlan {
            prefix: (entry.prefix.address(), entry.prefix.length()),
            ports: entry.ports,
            protocol: entry.protocol,
            socket: socket.map(|socket| socket.name.clone()).unwrap_or_default(),
        }
    }

    pub(crate) fn wrong(&self, entry: String, cause: String) -> Error {
        Error::Entry {
            map: self.map.to_owned(),
            entry,
            cause,
        }
    }

    /// Refuses entries of one prefix of which neither is the more specific. The first `kept` are in the map already, and are
    /// not compared with each other.
    pub(crate) fn check(&self, entries: &[Entry], kept: usize) -> Result<(), Error> {
        let mut of_prefix: BTreeMap<Prefix, Vec<(usize, &Entry)>> = BTreeMap::new();
        for (place, entry) in entries.iter().enumerate() {
            let others = of_prefix.entry(entry.prefix).or_default();
            let new = place >= kept;
            for (before, other) in others.iter().filter(|_| new) {
                let is_kept = *before < kept;
                if let Some(cause) = self.conflict(entry, other, is_kept) {
                    return Err(self.wrong(text(&self.plan(entry)), cause));
                }
            }
            others.push((place, entry));
        }
        Ok(())
    }

    fn conflict(&self, entry: &Entry, other: &Entry, is_kept: bool) -> Option<String> {
        let (one, two) = (entry.ports, other.ports);
        if entry.is_as(other) {
            let (text, remedy) = (text(&self.plan(other)), self.remedy(other, is_kept));
            return Some(format!("`{text}` is for the same packets; {remedy}"));
        }
        let mut both = entry.speaks.iter().zip(other.speaks);
        let both = both.any(|(one, other)| *one && other);
        let apart = one.1 < two.0 || two.1 < one.0;
        let nested = one.0 <= two.0 && two.1 <= one.1 || two.0 <= one.0 && one.1 <= two.1;
        (both && !apart && !nested).then(|| {
            let text = text(&self.plan(other));
            format!("its ports overlap those of `{text}`, and neither range is inside the other")
        })
    }

    /// What to do about an entry for the same packets. What is in the map can be removed; what comes along with the entry is a
    /// mistake of whoever wrote both.
    fn remedy(&self, other: &Entry, is_kept: bool) -> String {
        match is_kept {
            true => format!(
                "remove it first with `sockc map del {} '{}'`, or let `--replace` put this one in its place at once",
                self.map,
                packets(&self.plan(other)),
            ),
            false => "both are to be put in: leave one of them out".to_owned(),
        }
    }
}

/// The number of a socket, if one more fits into what maps hold.
fn held<N: TryInto<u16>>(number: N) -> Option<u16> {
    number.try_into().ok().filter(|number| *number < u16::MAX)
}

/// Which protocols an entry of a socket is for: the one that it names, if the socket has it, or all that the socket has.
fn speaks(socket: &SocketSlots, named: Option<IpProtocol>) -> [bool; 2] {
    // Where no rule steers there are only names, and nobody asks.
    let any = socket.slots.is_empty();
    IpProtocol::WITH_SOCKETS.map(|protocol| {
        let has = any || socket.slots.iter().any(|slot| slot.protocol == protocol);
        has && named.is_none_or(|named| named == protocol)
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
