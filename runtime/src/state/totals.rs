//! Counters: their totals, and how they come over from one generation to the next.
//!
//! A generation counts in its own per-CPU map `counters`. Its map `carried` holds what earlier generations counted for the
//! same rules, and in one more element whether that has been filled in; so an apply that is killed half-way neither loses
//! nor doubles anything. Values of both are blocks of counters ([`counter_blocks`]); an older sockc had one counter in each, which
//! the size of a value says.
//!
//! Between the blocks of the rules and that last element `carried` has those of [`gone`]: what statements without a label counted
//! that no policy has any more. So a sum over all of a kind never falls because a statement went. Behind those it has once more
//! blocks of the rules: what each had counted when somebody reset it, which those who show counters subtract. Totals themselves never
//! fall. An older sockc has none of either, which the number of elements says.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use sockc_compiler::artifact::Manifest;
use sockc_compiler::counter_blocks::{self, BLOCK, COUNTER};

use super::gone::{self, Gone};
use super::heirs::heirs;
use super::pins;
use super::record::Record;
use super::{State, pinned};
use crate::error::{Error, at};
use crate::sys::{batch, bpffs, map};

/// The map of the object that counts.
pub(crate) const COUNTERS: &str = counter_blocks::MAP;
/// The map of the runtime that holds older totals.
const CARRIED: &str = "carried";

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    /// Packets, lookups or writes.
    pub(crate) packets: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

impl Total {
    pub(super) const SIZE: usize = COUNTER as usize;

    fn read(value: &[u8]) -> Option<Self> {
        let (packets, rest) = value.split_first_chunk::<8>()?;
        let (bytes, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            packets: u64::from_ne_bytes(*packets),
            bytes: u64::from_ne_bytes(*bytes),
        })
    }

    fn write(self) -> Vec<u8> {
        let mut value = self.packets.to_ne_bytes().to_vec();
        value.extend(self.bytes.to_ne_bytes());
        value
    }

    pub(super) fn add(&mut self, other: Self) {
        self.packets = self.packets.wrapping_add(other.packets);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

/// Makes the map `carried` of a generation, empty and marked so.
pub(crate) fn prepare(state: &State, generation: u32, manifest: &Manifest) -> Result<(), Error> {
    let what = "make the map of carried counters";
    let counters = u32::try_from(manifest.counters.len()).map_err(|_| Error::Object {
        cause: "it has more counters than a map has entries".to_owned(),
    })?;
    let blocks = 2 * counter_blocks::blocks(counters) + counter_blocks::blocks(gone::COUNT);
    let shape = map::Shape::array(BLOCK, blocks + 1);
    let carried = map::create(CARRIED, shape).map_err(at(what))?;
    bpffs::pin(carried.as_fd(), &state.map(generation, CARRIED)).map_err(at(what))
}

/// Brings the totals of the newest of the stale generations over to the one of `record`, once.
pub(crate) fn take_over(state: &State, record: &Record, stale: &[u32]) -> Result<(), Error> {
    let Some(before) = stale.iter().rev().find(|other| **other < record.generation) else {
        return Ok(());
    };
    let what = "carry the counters over";
    let carried = pinned(&state.map(record.generation, CARRIED))?;
    let shape = map::shape(carried.as_fd()).map_err(at(what))?;
    let last = shape.entries.saturating_sub(1);
    let mut mark = vec![0; map::buffer_size(shape).map_err(at(what))?];
    map::lookup(carried.as_fd(), &last.to_ne_bytes(), &mut mark).map_err(at(what))?;
    if mark.first() == Some(&1) {
        return Ok(());
    }
    // A generation whose record is gone was not in force when it was left: nothing was counted there.
    let old = match Record::read_alone(&state.record(*before)) {
        Err(Error::State { .. }) => return Ok(()),
        old => old?,
    };
    let totals = match totals(state, &old) {
        // What somebody else removed has no total any more; `apply` and `status` told so.
        Err(Error::State { .. }) => Vec::new(),
        totals => totals?,
    };
    let (counters, new) = (&old.manifest.counters, &record.manifest.counters);
    let heirs = heirs(counters, new);
    let given = assign(&heirs, &totals);
    let mut departed = match gone(state, &old) {
        Err(Error::State { .. }) => Gone::default(),
        departed => departed?,
    };
    departed.take_in(counters, &totals, &heirs);
    let reset = match resets(state, &old) {
        Err(Error::State { .. }) => Vec::new(),
        reset => reset?,
    };
    let reset = assign(&heirs, &reset);
    let [first, second] = parts(&record.manifest, shape);
    for (totals, indices) in [
        (&given[..], 0..first),
        (departed.totals(), first..second),
        (&reset[..], second..last),
    ] {
        for (block, index) in totals.chunks(in_value(shape)).zip(indices) {
            let mut value: Vec<u8> = block.iter().flat_map(|total| total.write()).collect();
            value.resize(mark.len(), 0);
            map::update(carried.as_fd(), &index.to_ne_bytes(), &value).map_err(at(what))?;
        }
    }
    mark.fill(0);
    if let Some(first) = mark.first_mut() {
        *first = 1;
    }
    map::update(carried.as_fd(), &last.to_ne_bytes(), &mark).map_err(at(what))
}

/// How many counters stand in a value of a map.
fn in_value(shape: map::Shape) -> usize {
    (shape.value as usize / Total::SIZE).max(1)
}

/// What statements without a label counted that are gone; nothing where an older sockc made the map.
pub(crate) fn gone(state: &State, record: &Record) -> Result<Gone, Error> {
    let what = "read the counters";
    let path = state.map(record.generation, CARRIED);
    if !was_pinned(state, record, &path) {
        return Ok(Gone::default());
    }
    let carried = pinned(&path)?;
    let shape = map::shape(carried.as_fd()).map_err(at(what))?;
    let [first, second] = parts(&record.manifest, shape);
    let mut gone = Gone::default();
    add_part(&carried, shape, first..second, gone.totals_mut())?;
    Ok(gone)
}

/// What each counter had counted when it was reset; nothing where it never was, and where an older sockc made the map.
pub(crate) fn resets(state: &State, record: &Record) -> Result<Vec<Total>, Error> {
    let mut resets = vec![Total::default(); record.manifest.counters.len()];
    let path = state.map(record.generation, CARRIED);
    if was_pinned(state, record, &path) {
        let carried = pinned(&path)?;
        let shape = map::shape(carried.as_fd()).map_err(at("read the counters"))?;
        let [_, second] = parts(&record.manifest, shape);
        let last = shape.entries.saturating_sub(1);
        add_part(&carried, shape, second..last, &mut resets)?;
    }
    Ok(resets)
}

/// Takes down what counters had counted when they were reset, of all counters.
pub(crate) fn reset(state: &State, record: &Record, resets: &[Total]) -> Result<(), Error> {
    let what = "reset the counters";
    let carried = pinned(&state.map(record.generation, CARRIED))?;
    let shape = map::shape(carried.as_fd()).map_err(at(what))?;
    let [_, second] = parts(&record.manifest, shape);
    let last = shape.entries.saturating_sub(1);
    let size = shape.value as usize;
    let mut values: Vec<u8> = resets.iter().flat_map(|total| total.write()).collect();
    values.resize(values.len().next_multiple_of(size), 0);
    if values.len() / size > last.saturating_sub(second) as usize {
        let older = "an older sockc put the policy in force; apply it again first";
        return Err(at(what)(std::io::Error::other(older)));
    }
    batch::write_run(carried.as_fd(), second, &values).map_err(at(what))
}

fn add_part(
    carried: &OwnedFd,
    shape: map::Shape,
    indices: Range<u32>,
    totals: &mut [Total],
) -> Result<(), Error> {
    let what = "read the counters";
    let mut value = vec![0; map::buffer_size(shape).map_err(at(what))?];
    for (index, block) in indices.zip(totals.chunks_mut(in_value(shape))) {
        map::lookup(carried.as_fd(), &index.to_ne_bytes(), &mut value).map_err(at(what))?;
        add_block(block, &value);
    }
    Ok(())
}

/// Where in `carried` the blocks of what is gone begin, and those of what was reset: behind the last where an older sockc made it.
fn parts(manifest: &Manifest, shape: map::Shape) -> [u32; 2] {
    let each = in_value(shape);
    let blocks = |count: usize| u32::try_from(count.div_ceil(each)).unwrap_or(u32::MAX);
    let last = shape.entries.saturating_sub(1);
    let first = blocks(manifest.counters.len()).max(1).min(last);
    let second = first.saturating_add(blocks(gone::COUNT as usize)).min(last);
    [first, second]
}

/// What each new counter inherits.
fn assign(heirs: &[Option<usize>], totals: &[Total]) -> Vec<Total> {
    let from = heirs.iter().copied();
    from.map(|from| {
        let total = from.and_then(|from| totals.get(from));
        total.copied().unwrap_or_default()
    })
    .collect()
}

/// The totals of a generation, by counter, older ones included.
pub(crate) fn totals(state: &State, record: &Record) -> Result<Vec<Total>, Error> {
    pins::check_maps(state, record, |name| [COUNTERS, CARRIED].contains(&name))?;
    let mut totals = vec![Total::default(); record.manifest.counters.len()];
    for name in [COUNTERS, CARRIED] {
        let path = state.map(record.generation, name);
        if was_pinned(state, record, &path) {
            add_map(&pinned(&path)?, &mut totals)?;
        }
    }
    Ok(totals)
}

/// The pin of a map of counts that somebody removed: what it counted, and with it all else, does not come over.
pub(crate) fn removed(state: &State, record: &Record) -> Option<PathBuf> {
    let mut maps = [COUNTERS, CARRIED]
        .map(|name| state.map(record.generation, name))
        .into_iter();
    maps.find(|path| was_pinned(state, record, path) && !path.exists())
}

/// Whether a pin was there when the policy was put in force: one that counts nothing has no map for it. Only the record of an
/// older sockc does not say.
fn was_pinned(state: &State, record: &Record, path: &Path) -> bool {
    match &record.pins {
        Some(pins) => pins.iter().any(|pin| state.root().join(&pin.path) == path),
        None => path.exists(),
    }
}

fn add_map(counters: &OwnedFd, totals: &mut [Total]) -> Result<(), Error> {
    let what = "read the counters";
    let shape = map::shape(counters.as_fd()).map_err(at(what))?;
    let mut value = vec![0; map::buffer_size(shape).map_err(at(what))?];
    let of_cpu = (shape.value as usize).next_multiple_of(8).max(1);
    for (index, block) in (0..shape.entries).zip(totals.chunks_mut(in_value(shape))) {
        map::lookup(counters.as_fd(), &index.to_ne_bytes(), &mut value).map_err(at(what))?;
        for counters in value.chunks(of_cpu) {
            add_block(block, counters);
        }
    }
    Ok(())
}

fn add_block(totals: &mut [Total], counters: &[u8]) {
    let parts = counters.chunks(Total::SIZE).filter_map(Total::read);
    for (total, part) in totals.iter_mut().zip(parts) {
        total.add(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{BPFFS, Space, permitted};
    use crate::state::make_folder;
    use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY;
    use sockc_compiler::artifact::{Counter, CounterKind};
    use sockc_compiler::location::Location;

    fn counter(label: Option<&str>, text: &str) -> Counter {
        Counter {
            kind: CounterKind::Rule,
            label: label.map(str::to_owned),
            location: Location::new("a.sk", 1, text),
            direction: "in".to_owned(),
            verdict: "drop".to_owned(),
            audit: false,
            log: None,
            counted: true,
        }
    }

    #[test]
    fn totals_follow_the_label_else_the_text_and_never_twice() {
        let total = |packets| Total { packets, bytes: 0 };
        let old = [
            counter(Some("a"), "x"),
            counter(None, "y"),
            counter(None, "y"),
        ];
        let new = [
            counter(None, "y"),
            counter(Some("a"), "z"),
            counter(None, "x"),
            counter(None, "y"),
            counter(None, "y"),
        ];
        let given = assign(&heirs(&old, &new), &[total(1), total(2), total(3)]);
        assert_eq!(given, [total(2), total(1), total(0), total(3), total(0)]);
    }

    /// A map of counters with a block in each value, as this sockc makes it, or with one counter, as an older one did.
    fn shapes(counters: u32) -> [map::Shape; 2] {
        [
            map::Shape::array(BLOCK, counter_blocks::blocks(counters)),
            map::Shape::array(COUNTER, counters),
        ]
    }

    #[test]
    fn counters_are_read_in_blocks_and_one_by_one() {
        if !permitted() {
            return;
        }
        for shape in shapes(300) {
            let per_cpu = map::Shape {
                kind: BPF_MAP_TYPE_PERCPU_ARRAY as u32,
                ..shape
            };
            for shape in [shape, per_cpu] {
                let made = map::create("counters", shape).unwrap();
                let mut value = vec![0; map::buffer_size(shape).unwrap()];
                let each = value.len() / shape.value as usize;
                let counted = [0, 1, 255, 256, 299];
                for slot in counted {
                    let (key, place) = (slot / in_value(shape), slot % in_value(shape));
                    let key = u32::try_from(key).unwrap().to_ne_bytes();
                    map::lookup(made.as_fd(), &key, &mut value).unwrap();
                    for cpu in value.chunks_mut(shape.value as usize) {
                        let total = Total {
                            packets: slot as u64 + 1,
                            bytes: 7,
                        };
                        cpu[Total::SIZE * place..][..Total::SIZE].copy_from_slice(&total.write());
                    }
                    map::update(made.as_fd(), &key, &value).unwrap();
                }
                let mut totals = vec![Total::default(); 300];
                add_map(&made, &mut totals).unwrap();
                for (slot, total) in totals.iter().enumerate() {
                    let wanted = if counted.contains(&slot) { each } else { 0 };
                    let packets = (wanted * (slot + 1)) as u64;
                    let bytes = (wanted * 7) as u64;
                    assert_eq!(*total, Total { packets, bytes }, "{slot} in {shape:?}");
                }
            }
        }
    }

    /// Whatever the shape of either map, and once.
    #[test]
    fn totals_come_over_from_an_older_sockc_too() {
        if !permitted() {
            return;
        }
        let space = Space::with_bpffs().unwrap();
        space.run(come_over).unwrap();
    }

    fn come_over() {
        let state = State::at(Path::new(BPFFS), 1).unwrap();
        let labels = || (0..300).map(|number| number.to_string());
        let counters = |labels: Vec<String>| Manifest {
            counters: labels
                .iter()
                .map(|one| counter(Some(one.as_str()), "x"))
                .collect(),
            ..Manifest::default()
        };
        let old = counters(labels().collect());
        let new = counters(labels().rev().collect());
        let mut generation = 0;
        for from in shapes(300) {
            for to in shapes(300) {
                generation += 2;
                let before = Record::new(generation - 1, old.clone(), None);
                let record = Record::new(generation, new.clone(), None);
                for (record, shape) in [(&before, from), (&record, to)] {
                    let path = state.map(record.generation, CARRIED);
                    make_folder(path.parent().unwrap()).unwrap();
                    // One more, for the mark.
                    let shape = map::Shape::array(shape.value, shape.entries + 1);
                    let made = map::create(CARRIED, shape).unwrap();
                    bpffs::pin(made.as_fd(), &path).unwrap();
                    record.write(b"", &state.record(record.generation)).unwrap();
                }
                let counted = bpffs::open(&state.map(before.generation, CARRIED)).unwrap();
                let mut value = vec![0; from.value as usize];
                for (slot, packets) in [(299, 5u64), (40, 7)] {
                    let key = u32::try_from(slot / in_value(from)).unwrap().to_ne_bytes();
                    map::lookup(counted.as_fd(), &key, &mut value).unwrap();
                    let place = Total::SIZE * (slot % in_value(from));
                    value[place..][..8].copy_from_slice(&packets.to_ne_bytes());
                    map::update(counted.as_fd(), &key, &value).unwrap();
                }
                for _ in 0..2 {
                    take_over(&state, &record, &[before.generation]).unwrap();
                    let totals = totals(&state, &record).unwrap();
                    let packets = totals.iter().map(|total| total.packets);
                    assert_eq!(packets.sum::<u64>(), 12, "{from:?}, {to:?}");
                    let [first, later] = [0, 299 - 40].map(|slot| totals[slot].packets);
                    assert_eq!((first, later), (5, 7), "{from:?}, {to:?}");
                    // What is counted there from now on is not carried any more.
                    map::update(counted.as_fd(), &0u32.to_ne_bytes(), &vec![1; value.len()])
                        .unwrap();
                }
            }
        }
    }

    #[test]
    fn what_could_not_be_taken_in_is_the_same_whatever_becomes_of_it() {
        for (kind, total) in [(CounterKind::Escaped, 1), (CounterKind::Rule, 0)] {
            let of = |verdict: &str| Counter {
                kind,
                verdict: verdict.to_owned(),
                ..counter(None, "sockets")
            };
            let one = Total {
                packets: 1,
                bytes: 0,
            };
            let given = assign(&heirs(&[of("allow")], &[of("drop")]), &[one]);
            assert_eq!(given[0].packets, total);
        }
    }
}
