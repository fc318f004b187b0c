//! The kernel's maps of a live set, and changes to them that no packet and no kill sees half done.
//!
//! An element is in the table (`member_table`) or, where that cannot hold it, in the trie. Both have two sides; one word of the
//! state says which one programs ask. A whole set is put into the other side, and the word is its last write. The state also holds how many elements there are, and whether a change was begun and not
//! finished; what a killed command left, the next change sets right first. A third map, which no program reads, has the
//! elements that expire in the order of their times, so that nothing need be searched for what is due.
//!
//! Not here: changes of single elements (`set_change`), which policy is in force, and who may change what.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sockc_compiler::artifact::{MapKind, SetPlan};
use sockc_compiler::member_table;

use super::beside::Beside;
use super::member_table::MemberTable;
use super::members::{
    DUE_KEY, KEY, Members, NEVER, Times, VALUE, due_key, foreign, key, read_due_key, read_key,
    read_value, value,
};
use crate::error::Error;
use crate::prefix::Prefix;
use crate::sys::batch::{self, Element};
use crate::sys::map::{self, Shape};
use crate::sys::{bpffs, caps};

/// The key of the only value of the state.
const STATE_KEY: [u8; 4] = [0; 4];
/// Bytes of it that say something.
const STATE: usize = 24;
/// Bytes of it where the set has a table.
const STATE_OF_BOTH: usize = member_table::STATE as usize;
/// The sides of a trie.
const SIDES: [u8; 2] = [0, 1];

/// What the state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// The side that programs ask.
    pub(crate) side: u8,
    /// How many elements it has, with those whose time has come.
    pub(crate) count: usize,
    /// Whether a change was begun and not finished.
    pub(crate) unfinished: bool,
}

/// Where an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// In this node of the table, or it was.
    Node(u32),
    /// In the trie.
    Trie,
    /// Nowhere.
    Nowhere,
}

/// The maps of a live set.
#[derive(Debug)]
pub(crate) struct SetMaps {
    pub(crate) table: Option<MemberTable>,
    pub(crate) trie: OwnedFd,
    state: OwnedFd,
    pub(crate) due: OwnedFd,
}

/// The map of due times, beside a set's trie.
pub(crate) const DUE: Beside = Beside {
    word: "due",
    title: "due_",
};

/// Makes the map of due times of a set and pins it.
pub(crate) fn make_due(plan: &SetPlan, path: &Path) -> io::Result<()> {
    let room = plan.max.saturating_mul(2).saturating_add(1);
    let shape = Shape::trie(DUE_KEY as u32, 1, room);
    let due = map::create(&DUE.titled(&plan.name), shape)?;
    bpffs::pin(due.as_fd(), path)
}

impl SetMaps {
    /// Opens the maps of a set; `open` finds them by name and kind.
    pub(crate) fn open(
        plan: &SetPlan,
        writable: bool,
        open: impl Fn(&str, MapKind) -> Result<OwnedFd, Error>,
    ) -> Result<Self, Error> {
        let table = plan.table.as_ref();
        let table = table.map(|table| MemberTable::open(plan, table, writable, &open));
        Ok(Self {
            table: table.transpose()?,
            trie: open(&plan.map, MapKind::LpmTrie)?,
            state: open(&plan.state, MapKind::Array)?,
            due: DUE.open(&plan.map, |name| open(name, MapKind::LpmTrie))?,
        })
    }

    fn state_size(&self) -> usize {
        self.table.as_ref().map_or(STATE, |_| STATE_OF_BOTH)
    }

    fn condition(&self) -> io::Result<Condition> {
        let mut bytes = vec![0; self.state_size()];
        map::lookup(self.state.as_fd(), &STATE_KEY, &mut bytes)?;
        let mut words = bytes
            .chunks_exact(8)
            .filter_map(|word| word.first_chunk().map(|word| u64::from_ne_bytes(*word)));
        let (side, count, mark) = (words.next(), words.next(), words.next());
        let side = side
            .and_then(|side| u8::try_from(side).ok())
            .filter(|side| SIDES.contains(side));
        let count = count.and_then(|count| usize::try_from(count).ok());
        match (side, count, mark) {
            (Some(side), Some(count), Some(mark)) => Ok(Condition {
                side,
                count,
                unfinished: mark != 0,
            }),
            _ => Err(foreign()),
        }
    }

    pub(crate) fn set_condition(&self, condition: Condition) -> io::Result<()> {
        let words = [
            u64::from(condition.side),
            condition.count as u64,
            condition.unfinished.into(),
        ];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.resize(self.state_size(), 0);
        map::update(self.state.as_fd(), &STATE_KEY, &bytes)
    }

    /// Has the next change take the due times from the elements.
    pub(crate) fn distrust_times(&self) -> io::Result<()> {
        let condition = self.condition()?;
        self.set_condition(Condition {
            unfinished: true,
            ..condition
        })
    }

    /// How many elements are in the set now.
    pub(crate) fn len(&self, now: u64) -> io::Result<usize> {
        let condition = self.condition()?;
        if condition.unfinished {
            return Ok(self.members(now)?.len());
        }
        let mut count = condition.count;
        let mut last: Option<Vec<u8>> = None;
        while let Some((key, until)) = self.due_after(last.as_deref())? {
            if until > now {
                break;
            }
            count = count.saturating_sub(1);
            last = Some(key);
        }
        Ok(count)
    }

    /// All that is in the set now.
    pub(crate) fn members(&self, now: u64) -> io::Result<Members> {
        let side = self.condition()?.side;
        let mut members = self.read(side)?;
        members.purge(now);
        Ok(members)
    }

    /// The elements of a side, also those that have expired.
    fn read(&self, side: u8) -> io::Result<Members> {
        let table = self.table.as_ref().map(|table| table.elements(side));
        let mut found = table.transpose()?.unwrap_or_default();
        found.extend(self.read_trie(side)?);
        Ok(found.into_iter().collect())
    }

    /// Those that are in the trie.
    fn read_trie(&self, side: u8) -> io::Result<Vec<(Prefix, u64)>> {
        let mut found = Vec::new();
        let mut wrong = false;
        batch::walk(self.trie.as_fd(), |key, value| {
            match (read_key(key), read_value(value)) {
                (Some((of, element)), Some((times, _))) if of == side && times.own > 0 => {
                    found.push((element, times.own));
                }
                (Some(_), Some(_)) => {}
                _ => wrong = true,
            }
        })?;
        if wrong {
            return Err(foreign());
        }
        Ok(found)
    }

    /// The element that covers an address for longest.
    pub(crate) fn covering(&self, address: IpAddr, now: u64) -> io::Result<Option<(Prefix, u64)>> {
        let side = self.condition()?.side;
        let in_table = self.in_table(side, Prefix::host(address))?;
        let in_trie = self.in_trie(side, address)?;
        let there = in_table.into_iter().chain(in_trie);
        Ok(there
            .filter(|(_, until)| *until > now)
            .max_by_key(|(element, until)| (*until, element.length())))
    }

    fn in_table(&self, side: u8, host: Prefix) -> io::Result<Vec<(Prefix, u64)>> {
        let found = self.table.as_ref().map(|table| table.covering(side, host));
        Ok(found.transpose()?.unwrap_or_default())
    }

    /// The element of the trie that covers an address for longest.
    fn in_trie(&self, side: u8, address: IpAddr) -> io::Result<Option<(Prefix, u64)>> {
        let mut longest: Option<(Prefix, u64)> = None;
        let mut next = Some(Prefix::host(address).length());
        while let Some(length) = next {
            let Some(prefix) = Prefix::truncate(address, length) else {
                return Err(foreign());
            };
            let Some((element, times)) = self.longest(side, prefix)? else {
                break;
            };
            let later = longest.is_none_or(|(_, until)| times.own > until);
            if later && times.own > 0 {
                longest = Some((element, times.own));
            }
            next = element.length().checked_sub(1);
        }
        Ok(longest)
    }

    /// The longest element that covers a prefix, itself included.
    pub(crate) fn longest(&self, side: u8, prefix: Prefix) -> io::Result<Option<(Prefix, Times)>> {
        let mut bytes = [0; VALUE];
        if !map::lookup(self.trie.as_fd(), &key(side, prefix), &mut bytes)? {
            return Ok(None);
        }
        let (times, length) = read_value(&bytes).ok_or_else(foreign)?;
        let element = Prefix::truncate(prefix.address(), length).ok_or_else(foreign)?;
        Ok(Some((element, times)))
    }

    /// The own time of an element, if it is one.
    pub(crate) fn time(&self, side: u8, element: Prefix) -> io::Result<Option<u64>> {
        match (self.home(side, element)?, &self.table) {
            (Home::Node(node), Some(table)) => Ok(Some(table.time(node)?).filter(|time| *time > 0)),
            (Home::Nowhere, _) => Ok(None),
            _ => Ok(self.times(side, element)?.map(|times| times.own)),
        }
    }

    /// Where an element is, or was.
    pub(crate) fn home(&self, side: u8, element: Prefix) -> io::Result<Home> {
        let node = match &self.table {
            Some(table) => table.find(side, element)?.map(|node| (table, node)),
            None => None,
        };
        if let Some((table, node)) = node
            && table.time(node)? > 0
        {
            return Ok(Home::Node(node));
        }
        match (self.times(side, element)?, node) {
            (Some(_), _) => Ok(Home::Trie),
            (None, Some((_, node))) => Ok(Home::Node(node)),
            (None, None) => Ok(Home::Nowhere),
        }
    }

    /// The times of an element of the trie, if it is one.
    pub(crate) fn times(&self, side: u8, element: Prefix) -> io::Result<Option<Times>> {
        if let Some(table) = &self.table
            && table.is_alone(side)?
        {
            return Ok(None);
        }
        let found = self.longest(side, element)?;
        Ok(found
            .filter(|(longest, times)| *longest == element && times.own > 0)
            .map(|(_, times)| times))
    }

    /// Until when whatever covers an element, without itself, makes its addresses members.
    pub(crate) fn outer(&self, side: u8, element: Prefix) -> io::Result<u64> {
        let shorter = element.length().checked_sub(1);
        let Some(outer) = shorter.and_then(|length| Prefix::truncate(element.address(), length))
        else {
            return Ok(0);
        };
        Ok(self
            .longest(side, outer)?
            .map_or(0, |(_, times)| times.member))
    }

    /// The first key of the times after one, and its time.
    pub(crate) fn due_after(&self, key: Option<&[u8]>) -> io::Result<Option<(Vec<u8>, u64)>> {
        let mut next = vec![0; DUE_KEY];
        if !map::key_after(self.due.as_fd(), key, &mut next)? {
            return Ok(None);
        }
        let (_, until, _) = read_due_key(&next).ok_or_else(foreign)?;
        Ok(Some((next, until)))
    }

    pub(crate) fn write(&self, side: u8, element: Prefix, times: Times) -> io::Result<()> {
        let value = value(element, times);
        if let Some(table) = &self.table {
            table.set_alone(side, false)?;
        }
        map::update(self.trie.as_fd(), &key(side, element), &value)
    }

    /// Has programs ask the table alone once nothing is in the trie any more, on whichever side.
    pub(crate) fn settle_trie(&self, side: u8) -> io::Result<()> {
        let Some(table) = &self.table else {
            return Ok(());
        };
        let mut first = [0; KEY];
        if !table.is_alone(side)? && !map::key_after(self.trie.as_fd(), None, &mut first)? {
            table.set_alone(side, true)?;
        }
        Ok(())
    }

    /// Sets right what a killed command left: elements of the side that nobody asks, times and numbers.
    pub(crate) fn mend(&self) -> io::Result<Condition> {
        let condition = self.condition()?;
        if !condition.unfinished {
            return Ok(condition);
        }
        let side = condition.side;
        self.empty(1 - side)?;
        // A mark that was left inside a prefix is no element.
        let trie = self.trie.as_fd();
        let members = self.read(side)?;
        let mut strays = Vec::new();
        batch::walk(trie, |key, value| {
            if read_value(value).is_none_or(|(times, _)| times.own == 0) {
                strays.push(key.to_vec());
            }
        })?;
        batch::delete(trie, &strays)?;
        self.empty_due(|_| true)?;
        self.fill_trie(side, self.read_trie(side)?.into_iter().collect())?;
        self.fill_due(side, &members)?;
        if let Some(table) = &self.table {
            table.recount(side)?;
        }
        let mended = Condition {
            side,
            count: members.len(),
            unfinished: false,
        };
        self.set_condition(mended)?;
        Ok(mended)
    }

    /// Writes elements and their times into a side that no program asks.
    fn fill(&self, side: u8, members: &Members) -> io::Result<()> {
        let all: Vec<(Prefix, u64)> = members.iter().collect();
        let rest = match &self.table {
            Some(table) => table.fill(side, &all)?,
            None => all,
        };
        self.fill_trie(side, rest.into_iter().collect())?;
        self.fill_due(side, members)
    }

    /// Writes elements of the trie and their times into a side.
    fn fill_trie(&self, side: u8, members: Members) -> io::Result<()> {
        let times = members.times(0);
        let entries: Vec<Element> = times
            .iter()
            .map(|(element, times)| (key(side, *element), value(*element, *times)))
            .collect();
        batch::update(self.trie.as_fd(), &entries)
    }

    /// Writes the times of elements that expire.
    fn fill_due(&self, side: u8, members: &Members) -> io::Result<()> {
        let expiring = members.iter().filter(|(_, own)| *own != NEVER);
        let due: Vec<Element> = expiring
            .map(|(element, own)| (due_key(side, own, element), vec![0]))
            .collect();
        batch::update(self.due.as_fd(), &due)
    }

    /// Takes everything out of a side that programs do not ask any more.
    fn empty(&self, side: u8) -> io::Result<()> {
        // One that read the word before it was written still asks the side that it found.
        caps::wait_for_running_programs()?;
        let mut keys = Vec::new();
        batch::walk(self.trie.as_fd(), |key, _| {
            if read_key(key).is_none_or(|(of, _)| of == side) {
                keys.push(key.to_vec());
            }
        })?;
        batch::delete(self.trie.as_fd(), &keys)?;
        self.empty_due(|of| of == side)
    }

    fn empty_due(&self, which: impl Fn(u8) -> bool) -> io::Result<()> {
        let mut keys = Vec::new();
        batch::walk(self.due.as_fd(), |key, _| {
            if read_due_key(key).is_none_or(|(of, ..)| which(of)) {
                keys.push(key.to_vec());
            }
        })?;
        batch::delete(self.due.as_fd(), &keys)
    }

    /// Fills maps that no program asks yet.
    pub(crate) fn begin(&self, members: &Members) -> io::Result<()> {
        self.fill(0, members)?;
        self.set_condition(Condition {
            side: 0,
            count: members.len(),
            unfinished: false,
        })
    }

    /// Makes the set hold exactly these elements: one write changes all of it.
    pub(crate) fn replace(&self, members: &Members) -> io::Result<()> {
        let before = self.mend()?;
        let other = 1 - before.side;
        self.set_condition(Condition {
            unfinished: true,
            ..before
        })?;
        if let Err(error) = self.fill(other, members) {
            // What cannot be taken away now is removed by the next change.
            let _ = self.empty(other).and_then(|()| self.set_condition(before));
            return Err(error);
        }
        let after = Condition {
            side: other,
            count: members.len(),
            unfinished: true,
        };
        self.set_condition(after)?;
        // The new elements are in force; what is left of the old ones, the next change removes too.
        let _ = self.empty(before.side).and_then(|()| {
            self.set_condition(Condition {
                unfinished: false,
                ..after
            })
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
