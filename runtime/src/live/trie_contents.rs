//! What programs find in the trie of a live map whose table cannot hold its entries.
//!
//! Takes entries; gives the contents of a trie and the classes of ports. Not here: the kernel's maps.

use std::collections::{BTreeMap, BTreeSet};

use sockc_compiler::protocol::IpProtocol;

use super::entries::{ALL, Entry};
use super::port_classes::{PortClasses, Range};
use crate::prefix::Prefix;

/// The class under which entries for every port stand.
pub(crate) const EVERY_PORT: u32 = u32::MAX;
/// Bits of a key before the address.
const HEAD: u32 = 64;
/// Where the side stands in a key, after length, class, protocol and family.
const SIDE_BYTE: usize = 10;

/// What programs look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TrieKey {
    pub(crate) class: u32,
    pub(crate) protocol: IpProtocol,
    pub(crate) prefix: Prefix,
}

impl TrieKey {
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
pub(crate) fn side_of(key: &[u8]) -> Option<u32> {
    key.get(SIDE_BYTE).copied().map(u32::from)
}

/// What a side of the maps of a live map should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The trie: one more than the numbers of sockets.
    pub(crate) sockets: BTreeMap<TrieKey, u16>,
    /// The array.
    pub(crate) ports: PortClasses,
}

impl Contents {
    /// The contents that entries make.
    pub(crate) fn new(entries: &[Entry]) -> Self {
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        let ranges: BTreeSet<Range> = entries.iter().map(|entry| entry.ports).collect();
        let ranges = ranges.into_iter().filter(|range| *range != ALL).collect();
        let ports = PortClasses::new(&ranges);
        // The last one to be written stays.
        sorted.sort_by_key(|entry| entry.rank());
        let mut sockets = BTreeMap::new();
        for entry in sorted {
            let every = [EVERY_PORT];
            let classes = ports.within.get(&entry.ports);
            let protocols = IpProtocol::WITH_SOCKETS.into_iter().zip(entry.speaks);
            let protocols = protocols.filter(|(_, speaks)| *speaks);
            for class in classes.map_or(every.as_slice(), Vec::as_slice) {
                for (protocol, _) in protocols.clone() {
                    let key = TrieKey {
                        class: *class,
                        protocol,
                        prefix: entry.prefix,
                    };
                    sockets.insert(key, entry.number());
                }
            }
        }
        Self { sockets, ports }
    }

    /// A value of the trie.
    pub(crate) fn value(key: TrieKey, number: u16) -> Vec<u8> {
        let mut value = u32::from(number).to_ne_bytes().to_vec();
        value.extend(u32::from(key.prefix.length()).to_ne_bytes());
        value
    }
}
