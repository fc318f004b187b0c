//! Changes of single entries of a live map, in place: the work is that of the entries that are named, however many there are.
//!
//! Takes records to remove and entries to add, which were checked; writes them into the view that does not hold, and then the
//! word that says which view holds. So all of a change is in force at once, for programs and for whoever lists the map.
//! After that the other view is made the same. While that goes on the state says so; what a kill leaves of it, the next
//! change sets right. Where the side has no room, or programs would not find a key, nothing is done and the whole map has to be
//! written anew (`entry_whole`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use sockc_compiler::entry_table::{DEPTH, Key, PLANS, Plan, head_bits, pieces, side_nodes, value};

use super::entries::{Entry, Names, winners};
use super::image::{EntryRecord, Image, Node, Now};
use crate::prefix::Prefix;

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edit {
    /// Records that go, by their numbers.
    pub(crate) removed: BTreeMap<u32, EntryRecord>,
    /// Entries that come.
    pub(crate) added: Vec<Entry>,
}

/// What is to be written.
struct Steps {
    now: Now,
    next: Now,
    plan: Plan,
    /// The bytes of the plan after, where a kind of keys comes to it.
    new_plan: Option<Vec<u8>>,
    /// The nodes that are there and what they lead to then.
    nodes: Vec<(u32, u32)>,
    /// The nodes that come.
    new_nodes: Vec<(Key, u32)>,
    count: u32,
}

/// What was written into one view and is to be in the other one too.
struct Touched {
    nodes: Vec<(u32, u32)>,
    records: Vec<(u32, EntryRecord)>,
}

impl Touched {
    fn settle(&self, image: &Image, steps: &Steps) -> io::Result<()> {
        let (side, old) = (steps.now.side(), steps.now.view);
        // A program that still goes by the old view may have read some of what it is to find.
        if self.nodes.len() > 1 {
            (image.wait)()?;
        }
        for (id, value) in &self.nodes {
            image.set_value(*id, old, *value)?;
        }
        for (number, record) in &self.records {
            image.set_views(side, *number, record)?;
        }
        image.set_count(old, steps.count)?;
        image.set_unsettled(false)
    }
}

impl Edit {
    /// The prefixes of all that changes.
    pub(crate) fn prefixes(&self) -> BTreeSet<Prefix> {
        let removed = self.removed.values().map(|record| record.prefix);
        let added = self.added.iter().map(|entry| entry.prefix);
        removed.chain(added).collect()
    }

    /// The entries of a prefix that are there and stay.
    pub(crate) fn staying(
        &self,
        image: &Image,
        names: &Names<'_>,
        prefix: Prefix,
    ) -> io::Result<Vec<Entry>> {
        let now = image.now()?;
        let there = image.of_prefix(now.side(), prefix)?.into_iter();
        let stays = |(number, record): &(u32, EntryRecord)| {
            record.views >> now.view & 1 == 1 && !self.removed.contains_key(number)
        };
        there
            .filter(stays)
            .map(|(_, record)| names.of_record(&record))
            .collect()
    }

    /// Changes the map, which is settled; `false` if that cannot be done in place, and nothing was done.
    pub(crate) fn make(&self, image: &Image, names: &Names<'_>) -> io::Result<bool> {
        let Some(steps) = self.steps(image, names)? else {
            return Ok(false);
        };
        image.set_unsettled(true)?;
        let touched = self.write(image, &steps)?;
        image.set_now(steps.next)?;
        // Packets meet the change. Where the rest is refused, the next change does it.
        let _ = touched.settle(image, &steps);
        Ok(true)
    }

    /// Writes the change into the view that does not hold.
    fn write(&self, image: &Image, steps: &Steps) -> io::Result<Touched> {
        let (side, new) = (steps.now.side(), steps.next.view);
        let mut nodes = steps.nodes.clone();
        for (id, value) in &steps.nodes {
            image.set_value(*id, new, *value)?;
        }
        for (key, value) in &steps.new_nodes {
            let mut node = Node {
                key: *key,
                values: [0; 2],
            };
            node.values[new as usize % 2] = *value;
            nodes.push((image.add_node(&steps.plan, &node)?, *value));
        }
        let mut records = Vec::new();
        for (number, record) in &self.removed {
            let views = record.views & !(1 << new);
            image.set_views(side, *number, &record.in_views(views))?;
            records.push((*number, record.in_views(0)));
        }
        for entry in &self.added {
            let record = EntryRecord::new(entry, 1 << new);
            let number = image.add_record(side, &record)?;
            records.push((number, record.in_views(3)));
        }
        image.set_count(new, steps.count)?;
        if let Some(bytes) = &steps.new_plan {
            image.set_plan(steps.next.plan, bytes)?;
        }
        Ok(Touched { nodes, records })
    }

    fn steps(&self, image: &Image, names: &Names<'_>) -> io::Result<Option<Steps>> {
        let now = image.now()?;
        if now.in_trie {
            return Ok(None);
        }
        let plan = image.plan(now.plan)?;
        let (mut nodes, mut new_nodes) = (Vec::new(), Vec::new());
        let mut chains: BTreeMap<u32, usize> = BTreeMap::new();
        for (key, value) in self.values(image, names)? {
            let (found, length) = image.find(&plan, &key)?;
            match found {
                Some(id) => nodes.push((id, value)),
                None if value == 0 => {}
                None => {
                    let head = key.hash(plan.seed, head_bits(image.max));
                    let chain = chains.entry(head).or_insert(length);
                    *chain += 1;
                    new_nodes.push((key, value));
                }
            }
        }
        let side = now.side();
        let room = |count: u32, more: usize| {
            (count as usize).saturating_add(more) <= side_nodes(image.max) as usize
        };
        let fits = room(image.node_count(side)?, new_nodes.len())
            && room(image.record_count(side)?, self.added.len())
            && chains.values().all(|length| *length <= DEPTH);
        let Some((new_plan, next)) = with_kinds(image, now, &plan, &new_nodes).filter(|_| fits)
        else {
            return Ok(None);
        };
        let count = image.count(now.view)? as usize + self.added.len();
        let count = count.saturating_sub(self.removed.len());
        Ok(Some(Steps {
            now,
            next,
            plan,
            new_plan,
            nodes,
            new_nodes,
            count: u32::try_from(count).map_err(io::Error::other)?,
        }))
    }

    /// The keys that change and what they lead to then.
    fn values(&self, image: &Image, names: &Names<'_>) -> io::Result<BTreeMap<Key, u32>> {
        let mut changed = BTreeMap::new();
        for prefix in self.prefixes() {
            let mut entries = self.staying(image, names, prefix)?;
            let added = self.added.iter().filter(|entry| entry.prefix == prefix);
            entries.extend(added);
            let after = winners(&entries);
            let removed = self.removed.values().map(|one| (one.prefix, one.ports));
            let added = self.added.iter().map(|one| (one.prefix, one.ports));
            let mine = removed.chain(added).filter(|(of, _)| *of == prefix);
            for piece in mine.flat_map(|(_, ports)| pieces(ports)) {
                let numbers = after.get(&piece).copied().unwrap_or_default();
                let key = Key::new(prefix.address(), prefix.length(), piece);
                changed.insert(key, value(numbers));
            }
        }
        Ok(changed)
    }
}

/// The plan and what holds after keys came; `None` if programs do not try so many kinds of them, or if the side has no plan left.
fn with_kinds(
    image: &Image,
    now: Now,
    plan: &Plan,
    keys: &[(Key, u32)],
) -> Option<(Option<Vec<u8>>, Now)> {
    let mut after = plan.clone();
    let kinds = keys.iter().map(|(key, _)| key.kind());
    after
        .kinds
        .extend(kinds.filter(|kind| !plan.kinds.contains(kind)));
    let view = now.other();
    if after.kinds.len() == plan.kinds.len() {
        return Some((None, Now { view, ..now }));
    }
    let next = Now {
        view,
        plan: now.plan + 1,
        ..now
    };
    let bytes = after.bytes(image.max)?;
    (next.plan / PLANS == now.side()).then_some((Some(bytes), next))
}

/// Sets right what a killed command left: the view that does not hold becomes the same as the one that does.
pub(crate) fn settle(image: &Image) -> io::Result<()> {
    if !image.is_unsettled()? {
        return Ok(());
    }
    let now = image.now()?;
    let side = now.side();
    (image.wait)()?;
    for id in image.node_ids(side)? {
        let values = image.node(id)?.values;
        let held = values[now.view as usize % 2];
        if values[now.other() as usize % 2] != held {
            image.set_value(id, now.other(), held)?;
        }
    }
    for number in 1..=image.record_count(side)? {
        let record = image.record(side, number)?;
        let views = if record.views >> now.view & 1 == 1 {
            3
        } else {
            0
        };
        if record.views != views {
            image.set_views(side, number, &record.in_views(views))?;
        }
    }
    image.set_count(now.other(), image.count(now.view)?)?;
    image.set_unsettled(false)
}
