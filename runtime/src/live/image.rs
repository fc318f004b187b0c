//! The memory of a live map: the table that programs search and the entries that it was made from, word by word.
//!
//! Takes the kernel's arrays; gives what they hold, and writes it. Every entry is a record, every key of the table a node. Both
//! stand on one of two sides, are only ever added to it, and carry what holds in either of two *views*. One word says
//! which side and which view hold, for programs and for `map list` alike: whatever is written elsewhere changes nothing before
//! that word is. Not here: the order of a change (`entry_change`), and what a whole map becomes (`entry_whole`).

use std::io;

use sockc_compiler::artifact::LiveEntryPlan;
use sockc_compiler::entry_table::{
    HEAD, IN_TRIE, Key, PLAN, PLAN_AT, PLANS, Piece, Plan, TRIE_SIDE, VALUES_AT, VIEW, head_bits,
    side_nodes,
};
use sockc_compiler::protocol::IpProtocol;

use super::entries::Entry;
use super::nodes::{self, node_at};
use crate::prefix::Prefix;
use crate::sys::shared::Words;

/// Bytes of a record.
pub(crate) const RECORD: usize = 32;
/// Where in a record its length, family, protocol and views stand, its ports, its socket, and the next one of its chain.
const HOW_AT: usize = 16;
const PORTS_AT: usize = 20;
const SOCKET_AT: usize = 24;
const AFTER_AT: usize = 28;
/// Where in the first of these words the views begin.
const VIEWS: u32 = 24;

/// Where in the state what holds stands, whether a change was begun and not finished, and the numbers that there are of each
/// view or side.
const NOW: usize = 0;
const UNSETTLED: usize = 4;
const COUNTS: usize = 8;
const NODES: usize = 16;
const RECORDS: usize = 24;
const IN_TRIES: usize = 32;

/// What holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Which value of a node, and which records: 0 or 1.
    pub(crate) view: u32,
    /// The number of the plan.
    pub(crate) plan: u32,
    /// Whether programs ask the trie.
    pub(crate) in_trie: bool,
}

impl Now {
    /// The side.
    pub(crate) fn side(self) -> u32 {
        self.plan / PLANS
    }

    /// The view that does not hold.
    pub(crate) fn other(self) -> u32 {
        1 - self.view
    }

    fn read(word: u32) -> io::Result<Self> {
        let now = Self {
            view: word & VIEW,
            plan: word >> PLAN_AT,
            in_trie: word & IN_TRIE != 0,
        };
        match now.side() < 2 {
            true => Ok(now),
            false => Err(foreign()),
        }
    }

    fn word(self) -> u32 {
        let trie = if self.in_trie { IN_TRIE } else { 0 };
        self.view | trie | (TRIE_SIDE * self.side()) | self.plan << PLAN_AT
    }
}

/// An entry as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryRecord {
    pub(crate) prefix: Prefix,
    pub(crate) ports: (u16, u16),
    pub(crate) protocol: Option<IpProtocol>,
    /// The number of its socket.
    pub(crate) socket: u32,
    /// The views that it is in, a bit each.
    pub(crate) views: u32,
    /// The next one in its chain; 0 for none.
    next: u32,
}

impl EntryRecord {
    /// That of an entry.
    pub(crate) fn new(entry: &Entry, views: u32) -> Self {
        Self {
            prefix: entry.prefix,
            ports: entry.ports,
            protocol: entry.protocol,
            socket: entry.socket.into(),
            views,
            next: 0,
        }
    }

    /// The same in these views.
    pub(crate) fn in_views(self, views: u32) -> Self {
        Self { views, ..self }
    }

    /// Whether it is for the packets of an entry.
    pub(crate) fn is_for(&self, entry: &LiveEntryPlan) -> bool {
        let prefix = (self.prefix.address(), self.prefix.length());
        (prefix, self.ports, self.protocol) == (entry.prefix, entry.ports, entry.protocol)
    }

    fn how(&self) -> u32 {
        let protocol = self.protocol.map_or(0, |protocol| u32::from(protocol.0));
        let (length, family) = (self.prefix.length(), self.prefix.family());
        u32::from(length) | u32::from(family) << 8 | protocol << 16 | self.views << VIEWS
    }
}

/// A key of the table and where it leads in both views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) key: Key,
    pub(crate) values: [u32; 2],
}

/// The memory of a live map.
pub(crate) struct Image {
    /// The maximum number of entries.
    pub(crate) max: u32,
    pub(crate) state: Box<dyn Words>,
    pub(crate) plans: Box<dyn Words>,
    pub(crate) heads: Box<dyn Words>,
    pub(crate) nodes: Box<dyn Words>,
    pub(crate) records: Box<dyn Words>,
    /// Waits until no program runs any more that runs now.
    pub(crate) wait: fn() -> io::Result<()>,
}

/// Bits of the number of a chain of records.
fn chain_bits(max: u32) -> u32 {
    (u32::BITS - max.leading_zeros()).clamp(3, 24)
}

/// Elements of the array of records.
pub(crate) fn record_elements(max: u32) -> u32 {
    let chains = (8 << chain_bits(max)) / RECORD as u32;
    side_nodes(max).saturating_mul(2).saturating_add(chains)
}

impl Image {
    pub(crate) fn now(&self) -> io::Result<Now> {
        Now::read(self.state.word(NOW)?)
    }

    /// Puts what is written in force.
    pub(crate) fn set_now(&self, now: Now) -> io::Result<()> {
        self.state.set_word(NOW, now.word())
    }

    pub(crate) fn is_unsettled(&self) -> io::Result<bool> {
        Ok(self.state.word(UNSETTLED)? != 0)
    }

    pub(crate) fn set_unsettled(&self, unsettled: bool) -> io::Result<()> {
        self.state.set_word(UNSETTLED, unsettled.into())
    }

    /// How many entries a view has.
    pub(crate) fn count(&self, view: u32) -> io::Result<u32> {
        self.state.word(COUNTS + 4 * view as usize)
    }

    pub(crate) fn set_count(&self, view: u32, count: u32) -> io::Result<()> {
        self.state.set_word(COUNTS + 4 * view as usize, count)
    }

    /// How many nodes a side has, those without a value included.
    pub(crate) fn node_count(&self, side: u32) -> io::Result<u32> {
        self.within_side(self.state.word(NODES + 4 * side as usize)?)
    }

    pub(crate) fn set_node_count(&self, side: u32, count: u32) -> io::Result<()> {
        self.state.set_word(NODES + 4 * side as usize, count)
    }

    /// How many records a side has, those of no view included.
    pub(crate) fn record_count(&self, side: u32) -> io::Result<u32> {
        self.within_side(self.state.word(RECORDS + 4 * side as usize)?)
    }

    pub(crate) fn set_record_count(&self, side: u32, count: u32) -> io::Result<()> {
        self.state.set_word(RECORDS + 4 * side as usize, count)
    }

    /// Whether there may be something in a side of the trie.
    pub(crate) fn uses_trie(&self, side: u32) -> io::Result<bool> {
        Ok(self.state.word(IN_TRIES + 4 * side as usize)? != 0)
    }

    pub(crate) fn set_uses_trie(&self, side: u32, uses: bool) -> io::Result<()> {
        self.state
            .set_word(IN_TRIES + 4 * side as usize, uses.into())
    }

    fn within_side(&self, count: u32) -> io::Result<u32> {
        match count <= side_nodes(self.max) {
            true => Ok(count),
            false => Err(foreign()),
        }
    }

    pub(crate) fn plan(&self, number: u32) -> io::Result<Plan> {
        let bytes = read(&*self.plans, (number * PLAN) as usize, PLAN as usize)?;
        Ok(Plan::read(&bytes, number / PLANS))
    }

    pub(crate) fn set_plan(&self, number: u32, bytes: &[u8]) -> io::Result<()> {
        write(&*self.plans, (number * PLAN) as usize, bytes)
    }

    /// The place of the head of the chain that a key is in.
    fn head_at(&self, plan: &Plan, key: &Key) -> usize {
        let bits = head_bits(self.max);
        let head = plan.side << bits | key.hash(plan.seed, bits);
        (head * HEAD) as usize
    }

    /// The node that has a key, and how many there are in its chain.
    pub(crate) fn find(&self, plan: &Plan, key: &Key) -> io::Result<(Option<u32>, usize)> {
        let first = self.heads.word(self.head_at(plan, key))?;
        let most = side_nodes(self.max) as usize;
        let chain = nodes::find(&*self.nodes, first, key, most)?;
        let chain = chain.ok_or_else(foreign)?;
        Ok((chain.node, chain.length))
    }

    pub(crate) fn node(&self, id: u32) -> io::Result<Node> {
        let values = node_at(id) + usize::from(VALUES_AT);
        Ok(Node {
            key: nodes::key(&*self.nodes, id)?,
            values: [self.nodes.word(values)?, self.nodes.word(values + 4)?],
        })
    }

    pub(crate) fn set_value(&self, id: u32, view: u32, value: u32) -> io::Result<()> {
        let at = node_at(id) + usize::from(VALUES_AT);
        self.nodes.set_word(at + 4 * view as usize, value)
    }

    /// Adds a node to a side, at the head of its chain.
    pub(crate) fn add_node(&self, plan: &Plan, node: &Node) -> io::Result<u32> {
        let count = self.within_side(self.node_count(plan.side)? + 1)?;
        let id = plan.side * side_nodes(self.max) + count;
        let head = self.head_at(plan, &node.key);
        let next = self.heads.word(head)?;
        // What is counted is whole, and what is in a chain is counted: its number is not given out again.
        write(&*self.nodes, node_at(id), &node.key.node(next, node.values))?;
        self.set_node_count(plan.side, count)?;
        self.heads.set_word(head, id)?;
        Ok(id)
    }

    /// The numbers of the nodes of a side.
    pub(crate) fn node_ids(&self, side: u32) -> io::Result<std::ops::RangeInclusive<u32>> {
        let before = side * side_nodes(self.max);
        Ok(before + 1..=before + self.node_count(side)?)
    }

    pub(crate) fn record(&self, side: u32, number: u32) -> io::Result<EntryRecord> {
        let at = self.record_at(side, number);
        let bytes = read(&*self.records, at, HOW_AT)?;
        let word = |place: usize| self.records.word(at + place);
        let [how, ports, socket] = [word(HOW_AT)?, word(PORTS_AT)?, word(SOCKET_AT)?];
        let [length, family, protocol, views] = how.to_le_bytes();
        let address = bytes.first_chunk().copied().unwrap_or_default();
        let prefix = Prefix::from_bytes(family, address, length.into());
        Ok(EntryRecord {
            prefix: prefix.ok_or_else(foreign)?,
            ports: (ports as u16, (ports >> 16) as u16),
            protocol: (protocol != 0).then_some(IpProtocol(protocol)),
            socket,
            views: views.into(),
            next: word(AFTER_AT)?,
        })
    }

    pub(crate) fn set_views(&self, side: u32, number: u32, record: &EntryRecord) -> io::Result<()> {
        let at = self.record_at(side, number) + HOW_AT;
        self.records.set_word(at, record.how())
    }

    /// Adds a record to a side, at the head of its chain. Gives its number.
    pub(crate) fn add_record(&self, side: u32, record: &EntryRecord) -> io::Result<u32> {
        let number = self.within_side(self.record_count(side)? + 1)?;
        let at = self.record_at(side, number);
        let chain = self.chain_at(side, record.prefix);
        let next = self.records.word(chain)?;
        write(&*self.records, at, &record.prefix.bytes())?;
        let ports = u32::from(record.ports.0) | u32::from(record.ports.1) << 16;
        for (place, word) in [
            (PORTS_AT, ports),
            (SOCKET_AT, record.socket),
            (AFTER_AT, next),
            (HOW_AT, record.how()),
        ] {
            self.records.set_word(at + place, word)?;
        }
        self.set_record_count(side, number)?;
        self.records.set_word(chain, number)?;
        Ok(number)
    }

    /// The records of a prefix, in the order in which they came.
    pub(crate) fn of_prefix(
        &self,
        side: u32,
        prefix: Prefix,
    ) -> io::Result<Vec<(u32, EntryRecord)>> {
        let mut number = self.records.word(self.chain_at(side, prefix))?;
        let mut found = Vec::new();
        let mut last = u32::MAX;
        while number != 0 {
            // Each stands before those that came after it.
            if number >= last || number > self.record_count(side)? {
                return Err(foreign());
            }
            let record = self.record(side, number)?;
            if record.prefix == prefix {
                found.push((number, record));
            }
            (last, number) = (number, record.next);
        }
        found.reverse();
        Ok(found)
    }

    /// Empties a side that nobody asks.
    pub(crate) fn clear(&self, side: u32) -> io::Result<()> {
        let bits = head_bits(self.max);
        for head in 0..1_usize << bits {
            let at = ((side as usize) << bits | head) * HEAD as usize;
            if self.heads.word(at)? != 0 {
                self.heads.set_word(at, 0)?;
            }
        }
        let chains = chain_bits(self.max);
        for chain in 0..1_usize << chains {
            let at = 4 * ((side as usize) << chains | chain);
            if self.records.word(at)? != 0 {
                self.records.set_word(at, 0)?;
            }
        }
        self.set_node_count(side, 0)?;
        self.set_record_count(side, 0)
    }

    /// Where the record of a number, from 1 on, stands.
    fn record_at(&self, side: u32, number: u32) -> usize {
        let first = 8 << chain_bits(self.max);
        let place = side as usize * side_nodes(self.max) as usize + number as usize - 1;
        first + RECORD * place
    }

    /// Where the number of the last record of a chain stands.
    fn chain_at(&self, side: u32, prefix: Prefix) -> usize {
        let bits = chain_bits(self.max);
        let every = Piece { port: 0, bits: 0 };
        let chain = Key::new(prefix.address(), prefix.length(), every).hash(0, bits);
        4 * ((side as usize) << bits | chain as usize)
    }
}

fn read(words: &dyn Words, at: usize, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    for place in (at..at + length).step_by(4) {
        bytes.extend(words.word(place)?.to_ne_bytes());
    }
    Ok(bytes)
}

fn write(words: &dyn Words, at: usize, bytes: &[u8]) -> io::Result<()> {
    for (place, word) in (at..).step_by(4).zip(bytes.chunks_exact(4)) {
        let word = word
            .first_chunk()
            .map_or(0, |word| u32::from_ne_bytes(*word));
        words.set_word(place, word)?;
    }
    Ok(())
}

/// What is said of memory that holds something else.
pub(crate) fn foreign() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "what the live map holds is none of sockc's",
    )
}
