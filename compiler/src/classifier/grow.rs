//! Cut trees: nodes that look at a few bits of one dimension, down to short lists of boxes.
//!
//! Takes boxes of one family; gives nodes and lists, equal ones stored once. A list is always compared in full, so a node
//! may look at any bits, and leave out others: a box that says nothing about them is in every child. Not here: which boxes
//! share a tree, which bits, and the bytes.
//!
//! These are HiCuts trees (Gupta and McKeown, 1999) whose cuts take any bits, not the highest ones alone.

use super::cube::{Cube, Spans, children, clipped, low_bits};
use super::cut::{self, Chosen, Cut, Limits};
use super::flat::{Flat, Plane};
use super::intern::Index;

/// Boxes that a list has where cutting on could hardly shorten it.
const SHORT: usize = 4;

/// The maximum number of boxes in a list: the code compares with each in turn.
pub(crate) const MAX_LIST: usize = 24;

/// The maximum number of boxes that are compared with each other to find those that can never be the first.
const MAX_PAIRED: usize = 32;

/// The maximum number of children of all nodes together: an index has 20 bits.
pub(super) const MAX_CHILDREN: usize = 1 << 20;

/// Deepest a tree may be.
const MAX_DEPTH: u32 = 14;

/// Bytes that a node may add where a list would be too long.
const FORCED: usize = 4096;

/// Where a child leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// To a list, by number.
    List(u32),
    /// To a node: what it looks at, and its first child.
    Node(Cut, u32),
}

/// Trees of one family that share their nodes and lists.
#[derive(Clone, Debug, Default)]
pub struct Grown {
    /// The children of all nodes.
    pub children: Vec<Word>,
    /// The lists: boxes by rank. The first is empty.
    pub lists: Vec<Vec<u32>>,
    /// The maximum number of nodes on a way.
    pub depth: u32,
    /// Different nodes.
    pub nodes: usize,
}

/// The trees cannot be made within their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

/// How much room trees get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Boxes in all lists.
    pub records: usize,
    /// Bytes of a box in a list.
    pub record: usize,
}

/// Trees in the making.
pub(super) struct Grower<'a, F> {
    flats: &'a [F],
    grown: Grown,
    lists: Index,
    nodes: Index,
    room: Room,
    /// Lists of the nodes that are being made, one after the other.
    stack: Vec<u32>,
    scratch: Vec<(u64, u64)>,
}

/// A part of the stack.
type StackRange = std::ops::Range<usize>;

impl<'a, F: Flat> Grower<'a, F> {
    /// Nothing yet.
    #[must_use]
    pub(super) fn new(flats: &'a [F], room: Room) -> Self {
        Self {
            flats,
            grown: Grown {
                lists: vec![Vec::new()],
                ..Grown::default()
            },
            lists: Index::default(),
            nodes: Index::default(),
            room,
            stack: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// What was grown.
    #[must_use]
    pub(super) fn finish(self) -> Grown {
        self.grown
    }

    /// Reserves children in a row, all of them the empty list; gives the first.
    pub(super) fn reserve(&mut self, count: usize) -> Result<u32, TooMuch> {
        let first = self.grown.children.len();
        if first + count > MAX_CHILDREN {
            return Err(TooMuch);
        }
        self.grown.children.resize(first + count, Word::List(0));
        Ok(first as u32)
    }

    /// Sets a reserved child.
    pub(super) fn set(&mut self, child: u32, word: Word) {
        if let Some(place) = self.grown.children.get_mut(child as usize) {
            *place = word;
        }
    }

    /// A tree for these boxes, which come by rank. It may take so many bytes more than a list of them would; more only where
    /// a list would be too long.
    pub(super) fn tree(
        &mut self,
        list: &[u32],
        cube: &Cube,
        budget: usize,
    ) -> Result<Word, TooMuch> {
        let start = self.stack.len();
        self.stack.extend_from_slice(list);
        let word = self.grow(start..start + list.len(), cube, 0, budget);
        self.stack.truncate(start);
        word
    }

    fn grow(
        &mut self,
        part: StackRange,
        cube: &Cube,
        depth: u32,
        budget: usize,
    ) -> Result<Word, TooMuch> {
        let start = self.stack.len();
        let boxes = self.stack[part.clone()].iter();
        let spans = cube.spans(boxes.map(|&index| &self.flats[index as usize]));
        self.needed(part, &spans);
        let list = start..self.stack.len();
        let word = match self.choose(list.clone(), cube, depth, budget) {
            Some((chosen, allowed)) => self.node(list, chosen, cube, depth, allowed),
            None => self.list(list),
        };
        self.stack.truncate(start);
        word
    }

    /// The best cut, and the bytes it may take; `None` where a list is better.
    fn choose(
        &mut self,
        list: StackRange,
        cube: &Cube,
        depth: u32,
        budget: usize,
    ) -> Option<(Chosen, usize)> {
        if list.len() <= SHORT || depth >= MAX_DEPTH {
            return None;
        }
        let must = list.len() > MAX_LIST;
        let limits = Limits {
            allowed: if must { budget.max(FORCED) } else { budget },
            record: self.room.record,
            must,
        };
        let list = &self.stack[list];
        let mut best = |limits| cut::best(self.flats, list, cube, limits, &mut self.scratch);
        if let Some(chosen) = best(limits) {
            return Some((chosen, limits.allowed));
        }
        // All that is left is to make many copies.
        let allowed = self.room.records * self.room.record;
        let chosen = best(Limits { allowed, ..limits }).filter(|_| must)?;
        Some((chosen, limits.allowed))
    }

    fn node(
        &mut self,
        list: StackRange,
        chosen: Chosen,
        cube: &Cube,
        depth: u32,
        budget: usize,
    ) -> Result<Word, TooMuch> {
        self.grown.depth = self.grown.depth.max(depth + 1);
        let plane = F::PLANES[chosen.plane];
        let cut = chosen.cut(plane);
        let (parts, same) = self.part(list.clone(), chosen, plane, cube);
        let stored: usize = parts.iter().map(StackRange::len).sum();
        let taken = cut::taken(stored, list.len(), parts.len(), self.room.record);
        let left = budget.saturating_sub(taken);
        let mut words: Vec<Word> = Vec::with_capacity(parts.len());
        for (value, part) in (0u32..).zip(parts) {
            let word = match words.last() {
                Some(&before) if same[value as usize] => before,
                _ if part.is_empty() => Word::List(0),
                _ => {
                    let inside =
                        cube.child(cut, chosen.plane, chosen.shift, value, F::PLANES.len() - 1);
                    let share = left * part.len() / stored.max(1);
                    self.grow(part, &inside, depth + 1, share)?
                }
            };
            words.push(word);
        }
        self.intern_node(cut, &words)
    }

    /// The boxes of each child, and which children have nothing that the one before has not: their parts are empty.
    fn part(
        &mut self,
        list: StackRange,
        chosen: Chosen,
        plane: Plane,
        cube: &Cube,
    ) -> (Vec<StackRange>, [bool; 256]) {
        let size = 1usize << chosen.bits;
        let within = cube.within(chosen.plane, plane);
        let mut counts = [0i32; 257];
        let mut fresh = [false; 258];
        // A box need not match all classes between its first and its last.
        fresh.fill(chosen.plane == F::PLANES.len() - 1);
        fresh[0] = true;
        self.scratch.clear();
        for &index in &self.stack[list.clone()] {
            let range = clipped(self.flats[index as usize].bounds(chosen.plane), within);
            let (first, last) = children(range, chosen.shift, chosen.bits);
            let (first, last) = (first as usize, last as usize);
            counts[first] += 1;
            counts[last + 1] -= 1;
            self.scratch.push((first as u64, last as u64));
            mark(&mut fresh[..], range, chosen, (first, last));
        }
        // Counts, then places.
        let mut here = 0;
        let mut next = self.stack.len();
        let mut parts = Vec::with_capacity(size);
        let mut same = [false; 256];
        for child in 0..size {
            here += counts[child];
            same[child] = !fresh[child];
            let length = if fresh[child] { here as usize } else { 0 };
            parts.push(next..next + length);
            next += length;
        }
        self.stack.resize(next, 0);
        let mut ends: Vec<usize> = parts.iter().map(|part| part.start).collect();
        for (place, &(first, last)) in list.zip(&self.scratch) {
            let index = self.stack[place];
            for child in first as usize..=last as usize {
                if !same[child] {
                    self.stack[ends[child]] = index;
                    ends[child] += 1;
                }
            }
        }
        (parts, same)
    }

    fn intern_node(&mut self, cut: Cut, words: &[Word]) -> Result<Word, TooMuch> {
        if words.iter().all(|word| *word == words[0]) {
            return Ok(words[0]);
        }
        let children = &self.grown.children;
        let known = self.nodes.find(&(cut, words), |first| {
            children.get(first as usize..first as usize + words.len()) == Some(words)
        });
        let first = match known {
            Some(first) => first,
            None => {
                let first = children.len();
                if first + words.len() > MAX_CHILDREN {
                    return Err(TooMuch);
                }
                self.grown.children.extend_from_slice(words);
                self.grown.nodes += 1;
                self.nodes.insert(&(cut, words), first as u32);
                first as u32
            }
        };
        Ok(Word::Node(cut, first))
    }

    /// Puts the boxes that can be the first to match on the stack: none after one that holds the whole cube and asks nothing, none
    /// inside an earlier one that asks nothing else.
    fn needed(&mut self, part: StackRange, spans: &Spans) {
        let start = self.stack.len();
        let paired = part.len() <= MAX_PAIRED;
        for place in part {
            let index = self.stack[place];
            let flat = &self.flats[index as usize];
            if !spans.meets(flat) {
                continue;
            }
            let earlier = |&one: &u32| {
                let one = &self.flats[one as usize];
                // What is answered with no takes nothing away from those that ask something else.
                [0, flat.question()].contains(&one.question()) && spans.covers(one, flat)
            };
            if paired && self.stack[start..].iter().any(earlier) {
                continue;
            }
            self.stack.push(index);
            if spans.inside(flat) && flat.question() == 0 {
                break;
            }
        }
    }

    fn list(&mut self, list: StackRange) -> Result<Word, TooMuch> {
        let list = &self.stack[list];
        if list.is_empty() {
            return Ok(Word::List(0));
        }
        if list.len() > MAX_LIST {
            return Err(TooMuch);
        }
        let lists = &self.grown.lists;
        if let Some(number) = self.lists.find(list, |one| lists[one as usize] == list) {
            return Ok(Word::List(number));
        }
        let room = &mut self.room;
        room.records = room.records.checked_sub(list.len()).ok_or(TooMuch)?;
        let number = self.grown.lists.len() as u32;
        self.lists.insert(list, number);
        self.grown.lists.push(list.to_vec());
        Ok(Word::List(number))
    }
}

/// Marks the children that differ from the one before by this box.
fn mark(fresh: &mut [bool], range: (u64, u64), chosen: Chosen, (first, last): (usize, usize)) {
    let free = low_bits(chosen.shift);
    let above = low_bits(chosen.shift + chosen.bits);
    let everywhere = range.0 > range.1 || (range.0 ^ range.1) & !above != 0;
    if everywhere {
        // A range that ends amid the bits looked at is another one in each child.
        if range.0 & above != 0 || range.1 & above != above {
            fresh.fill(true);
        }
        return;
    }
    fresh[first] = true;
    fresh[last + 1] = true;
    if range.0 & free != 0 {
        fresh[first + 1] = true;
    }
    if range.1 & free != free {
        fresh[last] = true;
    }
}

#[cfg(test)]
mod tests;
