//! The memory of a live map without a kernel, that stops taking writes when it is told to, and a program that asks it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use sockc_compiler::entry_table::{
    DEPTH, HEAD, KINDS, Key, Kind, NODE, PLAN, PLANS, Piece, SIDES, STATE, head_bits, heads, nodes,
};
use sockc_compiler::protocol::IpProtocol;

use super::super::entries::{Entry, Names};
use super::super::entry_trie::Sides;
use super::super::image::{EntryRecord, Image, RECORD, record_elements};
use super::super::trie_contents::{Contents, EVERY_PORT, TrieKey};
use super::manifest;
use crate::prefix::Prefix;
use crate::sys::shared::Words;

/// Writes that are still taken, and those that were.
#[derive(Clone, Debug)]
struct Fuse(Rc<Cell<(usize, usize)>>);

impl Fuse {
    fn burn(&self) -> io::Result<()> {
        let (left, done) = self.0.get();
        let left = left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
        self.0.set((left, done + 1));
        Ok(())
    }
}

struct Array(Rc<RefCell<Vec<u32>>>, Fuse);

impl Words for Array {
    fn word(&self, at: usize) -> io::Result<u32> {
        assert_eq!(at % 4, 0);
        Ok(self.0.borrow()[at / 4])
    }

    fn set_word(&self, at: usize, value: u32) -> io::Result<()> {
        self.1.burn()?;
        self.0.borrow_mut()[at / 4] = value;
        Ok(())
    }
}

/// The sides of a trie.
pub(super) struct Trie(RefCell<[Option<Contents>; 2]>, Fuse);

impl Trie {
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().iter().all(Option::is_none)
    }
}

impl Sides for Trie {
    fn fill(&self, side: u32, contents: &Contents) -> io::Result<()> {
        // The first half of it, and then all.
        for part in [true, false] {
            self.1.burn()?;
            let mut made = contents.clone();
            let half = made.sockets.len() / 2;
            let last = made.sockets.keys().nth(half).copied();
            made.sockets.retain(|key, _| !part || Some(*key) < last);
            self.0.borrow_mut()[side as usize] = Some(made);
        }
        Ok(())
    }

    fn empty(&self, side: u32) -> io::Result<()> {
        self.1.burn()?;
        self.0.borrow_mut()[side as usize] = None;
        Ok(())
    }
}

/// A live map.
pub(super) struct Memory {
    pub(super) image: Image,
    pub(super) trie: Trie,
    arrays: Vec<Rc<RefCell<Vec<u32>>>>,
    fuse: Fuse,
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Probe {
    pub(crate) protocol: IpProtocol,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

/// Packets at the edges of entries.
pub(super) fn probes(entries: &[Vec<Entry>]) -> Vec<Probe> {
    let all: Vec<&Entry> = entries.iter().flatten().collect();
    let mut addresses = BTreeSet::from([IpAddr::from(Ipv4Addr::new(203, 0, 113, 9))]);
    let mut ports = BTreeSet::from([0, u16::MAX]);
    for entry in all {
        let first = entry.prefix.address();
        addresses.extend([first, last(entry.prefix)]);
        let (from, to) = entry.ports;
        ports.extend([from, to, from.saturating_sub(1), to.saturating_add(1)]);
    }
    let mut found = Vec::new();
    for address in &addresses {
        for port in &ports {
            found.extend(IpProtocol::WITH_SOCKETS.map(|protocol| Probe {
                protocol,
                address: *address,
                port: *port,
            }));
        }
    }
    found
}

/// The last address of a prefix.
fn last(prefix: Prefix) -> IpAddr {
    let free = u32::from(Prefix::host(prefix.address()).length() - prefix.length());
    match prefix.address() {
        IpAddr::V4(address) => {
            let free = u32::MAX.checked_shl(free).map_or(u32::MAX, |kept| !kept);
            Ipv4Addr::from_bits(address.to_bits() | free).into()
        }
        IpAddr::V6(address) => {
            let free = u128::MAX.checked_shl(free).map_or(u128::MAX, |kept| !kept);
            std::net::Ipv6Addr::from_bits(address.to_bits() | free).into()
        }
    }
}

impl Memory {
    pub(super) fn new(max: u32) -> Self {
        let sizes = [
            STATE,
            PLAN * PLANS * SIDES,
            HEAD * heads(max),
            NODE * nodes(max),
            RECORD as u32 * record_elements(max),
        ];
        let arrays = sizes.map(|bytes| vec![0; bytes as usize / 4]);
        Self::of(max, arrays.to_vec(), [None, None])
    }

    fn of(max: u32, arrays: Vec<Vec<u32>>, sides: [Option<Contents>; 2]) -> Self {
        let fuse = Fuse(Rc::new(Cell::new((usize::MAX, 0))));
        let arrays: Vec<_> = arrays
            .into_iter()
            .map(|words| Rc::new(RefCell::new(words)))
            .collect();
        let words = |number: usize| -> Box<dyn Words> {
            Box::new(Array(Rc::clone(&arrays[number]), fuse.clone()))
        };
        let image = Image {
            max,
            state: words(0),
            plans: words(1),
            heads: words(2),
            nodes: words(3),
            records: words(4),
            wait: || Ok(()),
        };
        Self {
            image,
            trie: Trie(RefCell::new(sides), fuse.clone()),
            arrays,
            fuse,
        }
    }

    pub(super) fn copy(&self) -> Self {
        let arrays = self.arrays.iter().map(|words| words.borrow().clone());
        Self::of(
            self.image.max,
            arrays.collect(),
            self.trie.0.borrow().clone(),
        )
    }

    /// Takes so many more writes, and refuses all after them.
    pub(super) fn stop_after(&self, writes: usize) {
        self.fuse.0.set((writes, 0));
    }

    /// How many writes were taken.
    pub(super) fn written(&self) -> usize {
        self.fuse.0.get().1
    }

    /// The records that hold.
    pub(super) fn records(&self) -> Vec<(u32, EntryRecord)> {
        let now = self.image.now().unwrap();
        let all = 1..=self.image.record_count(now.side()).unwrap();
        all.map(|number| (number, self.image.record(now.side(), number).unwrap()))
            .filter(|(_, record)| record.views >> now.view & 1 == 1)
            .collect()
    }

    /// What is listed.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let manifest = manifest();
        let names = Names::new("m", &manifest);
        let records = self.records().into_iter();
        records
            .map(|(_, record)| names.of_record(&record).unwrap())
            .collect()
    }

    pub(super) fn answers_are(&self, probes: &[Probe], answers: &[u16]) {
        for (probe, answer) in probes.iter().zip(answers) {
            assert_eq!(self.asked(probe), *answer, "{probe:?}");
        }
    }

    /// What a program finds.
    fn asked(&self, probe: &Probe) -> u16 {
        let now = self.image.now().unwrap();
        if now.in_trie {
            let sides = self.trie.0.borrow();
            return in_trie(sides[now.side() as usize].as_ref().unwrap(), probe);
        }
        let plan = self.image.plan(now.plan).unwrap();
        let v6 = probe.address.is_ipv6();
        let kinds = plan.kinds.iter().filter(|kind| kind.v6 == v6);
        let mut kinds: Vec<&Kind> = kinds.collect();
        assert!(kinds.len() <= KINDS);
        kinds.sort_by(|one, other| other.cmp(one));
        let mut found = kinds.into_iter().map(|kind| {
            let piece = Piece {
                port: probe.port,
                bits: kind.bits,
            };
            let key = Key::new(probe.address, kind.length, piece);
            let head = plan.side << head_bits(self.image.max)
                | key.hash(plan.seed, head_bits(self.image.max));
            let mut id = self.image.heads.word((head * HEAD) as usize).unwrap();
            for _ in 0..DEPTH {
                if id == 0 {
                    break;
                }
                let node = self.image.node(id).unwrap();
                if node.key == key {
                    let [a, b, c, d] = node.values[now.view as usize].to_ne_bytes();
                    let values = [[a, b], [c, d]].map(u16::from_ne_bytes);
                    return values[usize::from(probe.protocol == IpProtocol::UDP)];
                }
                id = self.image.nodes.word((id * NODE) as usize + 20).unwrap();
            }
            0
        });
        found.find(|number| *number != 0).unwrap_or_default()
    }
}

/// What a program finds in the trie: with the class of the port and with that of every port, the longer prefix.
pub(crate) fn in_trie(contents: &Contents, probe: &Probe) -> u16 {
    let longest = |class: u32| {
        let lengths = (0..=Prefix::host(probe.address).length()).rev();
        let mut prefixes = lengths.filter_map(|length| Prefix::truncate(probe.address, length));
        prefixes.find_map(|prefix| {
            let key = TrieKey {
                class,
                protocol: probe.protocol,
                prefix,
            };
            let number = contents.sockets.get(&key);
            number.map(|number| (prefix.length(), *number))
        })
    };
    let by_port = longest(contents.ports.of[usize::from(probe.port)]);
    match (by_port, longest(EVERY_PORT)) {
        (Some(one), Some(other)) if other.0 > one.0 => other.1,
        (one, other) => one.or(other).map_or(0, |(_, number)| number),
    }
}
