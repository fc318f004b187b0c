//! Cut trees: nodes that look at a few bits of one dimension, down to short lists of boxes.
//!
//! Takes boxes of one family; gives nodes and lists, equal ones stored once. A list is always compared in full, so a node
//! may leave out bits that its boxes have in common: a packet that differs in them matches nothing there but boxes that
//! every child has. Not here: which boxes share a tree, and the bytes.

use std::collections::HashMap;

use super::cut::{self, Chosen, Cut};
use super::items::{Dimension, Item, Range};
use crate::policy::Family;

/// Boxes that a list has where cutting on would still shorten it.
const SHORT: usize = 4;

/// Most boxes in a list: the code compares with each in turn.
pub const LONGEST: usize = 24;

/// Most children of all nodes together: an index has 20 bits.
pub const MOST_CHILDREN: usize = 1 << 20;

/// Deepest a tree may be.
const DEEPEST: u32 = 14;

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
    /// Most nodes on a way.
    pub depth: u32,
}

/// The trees cannot be made within their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

/// A part of all packets, in each dimension.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// What the boxes are cut within: all that differs between them lies in here.
    pub within: [Range; 5],
    /// What a packet that comes here is known to lie in.
    pub sure: [Range; 5],
}

impl Region {
    /// Every packet.
    #[must_use]
    pub fn whole(family: Family) -> Self {
        let mut all = [(0, 0); 5];
        for dimension in Dimension::ALL {
            all[dimension.index()] = (0, super::boxes::low_bits(dimension.bits(family)));
        }
        Self {
            within: all,
            sure: all,
        }
    }

    /// Whether a box holds all of it.
    fn inside(&self, item: &Item) -> bool {
        Dimension::ALL.into_iter().all(|dimension| {
            let (low, high) = item.range(dimension);
            let (first, last) = self.sure[dimension.index()];
            match dimension {
                Dimension::Class => (first..=last).all(|class| item.classes >> class & 1 == 1),
                _ => low <= first && last <= high,
            }
        })
    }
}

/// Trees in the making.
pub struct Grower<'a> {
    items: &'a [Item],
    family: Family,
    grown: Grown,
    lists: HashMap<Vec<u32>, u32>,
    nodes: HashMap<(Cut, Vec<Word>), Word>,
    /// Records that lists may still take.
    room: usize,
}

impl<'a> Grower<'a> {
    /// Nothing yet. Lists may take `room` boxes in all.
    #[must_use]
    pub fn new(items: &'a [Item], family: Family, room: usize) -> Self {
        Self {
            items,
            family,
            grown: Grown {
                lists: vec![Vec::new()],
                ..Grown::default()
            },
            lists: HashMap::from([(Vec::new(), 0)]),
            nodes: HashMap::new(),
            room,
        }
    }

    /// What was grown.
    #[must_use]
    pub fn finish(self) -> Grown {
        self.grown
    }

    /// Reserves children in a row, all of them the empty list; gives the first.
    pub fn reserve(&mut self, count: usize) -> Result<u32, TooMuch> {
        let first = self.grown.children.len();
        if first + count > MOST_CHILDREN {
            return Err(TooMuch);
        }
        self.grown.children.resize(first + count, Word::List(0));
        Ok(first as u32)
    }

    /// Sets a reserved child.
    pub fn set(&mut self, child: u32, word: Word) {
        if let Some(place) = self.grown.children.get_mut(child as usize) {
            *place = word;
        }
    }

    /// A tree for these boxes, which come by rank. It may take so many bytes more than a list of them would; more only where
    /// a list would be too long.
    pub fn tree(
        &mut self,
        list: &[u32],
        region: &Region,
        depth: u32,
        budget: usize,
    ) -> Result<Word, TooMuch> {
        let list = self.needed(list, region);
        if list.len() > SHORT && depth < DEEPEST {
            let list_of = |&index: &u32| &self.items[index as usize];
            let boxes: Vec<&Item> = list.iter().map(list_of).collect();
            let allowed = match list.len() > LONGEST {
                true => budget.max(4096),
                false => budget,
            };
            if let Some(chosen) = cut::best(&boxes, region, self.family, allowed) {
                return self.node(&list, chosen, region, depth, allowed);
            }
        }
        self.list(list)
    }

    fn node(
        &mut self,
        list: &[u32],
        chosen: Chosen,
        region: &Region,
        depth: u32,
        budget: usize,
    ) -> Result<Word, TooMuch> {
        self.grown.depth = self.grown.depth.max(depth + 1);
        let cut = chosen.cut;
        let mut parts = vec![Vec::new(); 1 << cut.bits];
        for &index in list {
            let (first, last) = cut::children(&self.items[index as usize], region, cut);
            for part in &mut parts[first as usize..=last as usize] {
                part.push(index);
            }
        }
        let total: usize = parts.iter().map(Vec::len).sum();
        let left = budget.saturating_sub(cut::taken(total, list.len(), parts.len()));
        let mut children = Vec::with_capacity(parts.len());
        for (value, part) in (0u32..).zip(parts) {
            let inside = cut::child(region, chosen, value);
            let share = left * part.len() / total.max(1);
            children.push(self.tree(&part, &inside, depth + 1, share)?);
        }
        if children.iter().all(|word| *word == children[0]) {
            return Ok(children[0]);
        }
        let key = (cut, children);
        if let Some(&word) = self.nodes.get(&key) {
            return Ok(word);
        }
        let first = self.grown.children.len();
        if first + key.1.len() > MOST_CHILDREN {
            return Err(TooMuch);
        }
        self.grown.children.extend_from_slice(&key.1);
        let word = Word::Node(cut, first as u32);
        self.nodes.insert(key, word);
        Ok(word)
    }

    /// The boxes that can be the first to match: none behind one that holds the whole region, none inside an earlier one.
    fn needed(&self, list: &[u32], region: &Region) -> Vec<u32> {
        let mut kept: Vec<u32> = Vec::with_capacity(list.len());
        for &index in list {
            let item = &self.items[index as usize];
            let hidden = list.len() <= 4 * LONGEST
                && kept
                    .iter()
                    .any(|&earlier| self.items[earlier as usize].covers(item));
            if hidden {
                continue;
            }
            kept.push(index);
            if region.inside(item) {
                break;
            }
        }
        kept
    }

    fn list(&mut self, list: Vec<u32>) -> Result<Word, TooMuch> {
        if list.len() > LONGEST {
            return Err(TooMuch);
        }
        if let Some(&number) = self.lists.get(&list) {
            return Ok(Word::List(number));
        }
        self.room = self.room.checked_sub(list.len()).ok_or(TooMuch)?;
        let number = self.grown.lists.len() as u32;
        self.grown.lists.push(list.clone());
        self.lists.insert(list, number);
        Ok(Word::List(number))
    }
}
