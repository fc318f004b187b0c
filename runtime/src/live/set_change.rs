//! Changes of single elements of a live set: the work is that of the elements that are named and of what has expired,
//! however many there are.
//!
//! Elements inside others carry the times of these. They are looked for only where something in the set expires, and then
//! only inside the prefix that changes. While a change is under way the state says so; what a kill leaves of it, the next one
//! sets right. Not here: changes of a whole set.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use super::members::{Members, NEVER, Times, due_key, foreign, key, read_due_key, read_key};
use super::set_maps::{Condition, Home, SetMaps};
use crate::prefix::Prefix;
use crate::sys::map;

/// A change of single elements.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    maps: &'a SetMaps,
    condition: Condition,
    /// The elements that were changed, and their own times before.
    done: Vec<(Prefix, Option<u64>)>,
}

impl<'a> Change<'a> {
    /// Begins one: what a killed command left is set right, and what has expired goes. There is room for as many more in the table
    /// as it can have.
    pub(crate) fn begin(maps: &'a SetMaps, now: u64, coming: usize) -> io::Result<Self> {
        let mut there = maps.mend()?;
        if let Some(table) = &maps.table
            && table.is_worn(there.side, coming)?
        {
            maps.replace(&maps.members(now)?)?;
            there = maps.mend()?;
        }
        let begun = Condition {
            unfinished: true,
            ..there
        };
        maps.set_condition(begun)?;
        let mut change = Self {
            maps,
            condition: begun,
            done: Vec::new(),
        };
        change.purge(now)?;
        Ok(change)
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        self.condition.count
    }

    /// How many of these are not in the set.
    pub(crate) fn missing(&self, elements: &BTreeSet<Prefix>) -> io::Result<usize> {
        let mut missing = 0;
        for element in elements {
            missing += usize::from(!self.has(*element)?);
        }
        Ok(missing)
    }

    /// Whether this is an element.
    pub(crate) fn has(&self, element: Prefix) -> io::Result<bool> {
        Ok(self.maps.time(self.condition.side, element)?.is_some())
    }

    /// Puts an element in, or gives it another time; gives the one that it had.
    pub(crate) fn put(&mut self, element: Prefix, until: u64) -> io::Result<Option<u64>> {
        let before = self.maps.time(self.condition.side, element)?;
        self.done.push((element, before));
        self.set(element, Some(until))?;
        Ok(before)
    }

    /// Takes an element out; `false` if it was not in.
    pub(crate) fn take(&mut self, element: Prefix) -> io::Result<bool> {
        let Some(before) = self.maps.time(self.condition.side, element)? else {
            return Ok(false);
        };
        self.done.push((element, Some(before)));
        self.set(element, None)?;
        Ok(true)
    }

    /// Ends the change. Gives how many elements there are.
    pub(crate) fn finish(mut self) -> usize {
        // Where this is refused, programs ask a trie in which nothing is.
        let _ = self.maps.settle_trie(self.condition.side);
        self.condition.unfinished = false;
        // Packets meet the change already. Where this is refused, the next change looks at all of it once more.
        let _ = self.maps.set_condition(self.condition);
        self.condition.count
    }

    /// Back to what was, as far as the kernel lets us. Where anything was changed, the next change looks at all of it once
    /// more.
    pub(crate) fn undo(mut self) -> io::Result<usize> {
        let done = std::mem::take(&mut self.done);
        if done.is_empty() {
            return Ok(self.finish());
        }
        for (element, before) in done.into_iter().rev() {
            self.set(element, before)?;
        }
        Ok(self.condition.count)
    }

    /// The element that covers an address for longest.
    pub(crate) fn covering(&self, address: IpAddr, now: u64) -> io::Result<Option<(Prefix, u64)>> {
        self.maps.covering(address, now)
    }

    /// Gives an element its own time, or takes it out.
    fn set(&mut self, element: Prefix, until: Option<u64>) -> io::Result<()> {
        let (maps, side) = (self.maps, self.condition.side);
        let before = maps.time(side, element)?;
        let due = maps.due.as_fd();
        if let Some(until) = until.filter(|until| *until != NEVER) {
            map::update(due, &due_key(side, until, element), &[0])?;
        }
        if self.set_in_table(element, until)? {
            self.count(until.is_some() && before.is_none(), 1);
            self.count(until.is_none() && before.is_some(), -1);
        } else {
            self.set_in_trie(element, until, before)?;
        }
        match before {
            Some(before) if before != NEVER && Some(before) != until => {
                map::delete(due, &due_key(side, before, element)).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// The same in the table; `false` if the element is in the trie or has to go there.
    fn set_in_table(&self, element: Prefix, until: Option<u64>) -> io::Result<bool> {
        let side = self.condition.side;
        let Some(table) = &self.maps.table else {
            return Ok(false);
        };
        match (self.maps.home(side, element)?, until) {
            (Home::Trie, _) => Ok(false),
            (Home::Node(node), _) => {
                table.set_time(side, node, until.unwrap_or(0))?;
                Ok(true)
            }
            (Home::Nowhere, Some(until)) => table.put(side, (element, until)),
            (Home::Nowhere, None) => Ok(true),
        }
    }

    /// The same in the trie.
    fn set_in_trie(
        &mut self,
        element: Prefix,
        until: Option<u64>,
        before: Option<u64>,
    ) -> io::Result<()> {
        let (maps, side) = (self.maps, self.condition.side);
        let outer = maps.outer(side, element)?;
        let member = until.unwrap_or(0).max(outer);
        // What is inside must have its times before what covers it goes.
        match until {
            Some(own) => {
                maps.write(side, element, Times { member, own })?;
                self.count(before.is_none(), 1);
                self.inside(element, member)
            }
            None => {
                self.inside(element, member)?;
                map::delete(maps.trie.as_fd(), &key(side, element))?;
                self.count(before.is_some(), -1);
                Ok(())
            }
        }
    }

    fn count(&mut self, changed: bool, by: isize) {
        if changed {
            self.condition.count = self.condition.count.saturating_add_signed(by);
        }
    }

    /// Gives what is inside a prefix the times that it has under it; `member` is until when the prefix's own addresses are
    /// members. Where nothing expires all have the same.
    fn inside(&self, element: Prefix, member: u64) -> io::Result<()> {
        let (maps, side) = (self.maps, self.condition.side);
        if element == Prefix::host(element.address()) || maps.due_after(None)?.is_none() {
            return Ok(());
        }
        let found = maps.inside(side, element, member)?;
        let members: Members = found
            .iter()
            .map(|(inner, times)| (*inner, times.own))
            .collect();
        let before: BTreeMap<Prefix, Times> = found.into_iter().collect();
        for (inner, times) in members.times(member) {
            if before.get(&inner) != Some(&times) {
                maps.write(side, inner, times)?;
            }
        }
        Ok(())
    }

    /// Takes out what has expired. Nothing inside it need be looked at: a time that has passed is as good as none.
    fn purge(&mut self, now: u64) -> io::Result<()> {
        let maps = self.maps;
        while let Some((due, until)) = maps.due_after(None)? {
            if until > now {
                break;
            }
            let (side, _, element) = read_due_key(&due).ok_or_else(foreign)?;
            let time = maps.time(side, element)?;
            if time.is_some_and(|time| time == until) {
                if !self.set_in_table(element, None)? {
                    map::delete(maps.trie.as_fd(), &key(side, element))?;
                }
                self.count(true, -1);
            }
            map::delete(maps.due.as_fd(), &due)?;
        }
        Ok(())
    }
}

impl SetMaps {
    /// The elements inside a prefix and their times. The kernel walks a trie from a key that is there: the first address of
    /// the prefix comes before all others inside it. Where it is no element it is put in as a mark, which changes no answer.
    fn inside(&self, side: u8, outer: Prefix, member: u64) -> io::Result<Vec<(Prefix, Times)>> {
        let mark = Prefix::host(outer.address());
        let times = self.times(side, mark)?;
        let marked = times.is_none();
        if marked {
            let longest = self.longest(side, mark)?;
            let member = longest.map_or(member, |(_, times)| times.member);
            self.write(side, mark, Times { member, own: 0 })?;
        }
        let mut found: Vec<(Prefix, Times)> =
            times.map(|times| (mark, times)).into_iter().collect();
        let mut place = key(side, mark);
        let mut next = place.clone();
        while map::key_after(self.trie.as_fd(), Some(&place), &mut next)? {
            let (of, element) = read_key(&next).ok_or_else(foreign)?;
            if of != side || element == outer || !outer.covers(element) {
                break;
            }
            let times = self.times(side, element)?.ok_or_else(foreign)?;
            found.push((element, times));
            place.clone_from(&next);
        }
        if marked {
            map::delete(self.trie.as_fd(), &key(side, mark))?;
        }
        Ok(found)
    }
}
