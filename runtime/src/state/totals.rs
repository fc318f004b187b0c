//! Counters: their totals, and how they come over from one generation to the next.
//!
//! A generation counts in its own per-CPU map `counters`. Its map `carried` holds what earlier generations counted for the
//! same rules, and in one more element whether that has been filled in; so an apply that is killed half-way neither loses
//! nor doubles anything.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sockc_compiler::artifact::{Counter, CounterKind, Manifest};

use super::record::Record;
use super::{State, pinned};
use crate::error::{Error, at};
use crate::sys::{bpffs, map};

/// The map of the object that counts.
pub(crate) const COUNTERS: &str = "counters";
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
    const SIZE: u32 = 16;

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

    fn add(&mut self, other: Self) {
        self.packets = self.packets.wrapping_add(other.packets);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

/// Makes the map `carried` of a generation, empty and marked so.
pub(crate) fn prepare(state: &State, generation: u32, manifest: &Manifest) -> Result<(), Error> {
    let what = "make the map of carried counters";
    let entries = entries(manifest)? + 1;
    let carried =
        map::create(CARRIED, map::Shape::array(Total::SIZE, entries)).map_err(at(what))?;
    bpffs::pin(carried.as_fd(), &state.map(generation, CARRIED)).map_err(at(what))
}

fn entries(manifest: &Manifest) -> Result<u32, Error> {
    u32::try_from(manifest.counters.len()).map_err(|_| Error::Object {
        cause: "it has more counters than a map has entries".to_owned(),
    })
}

/// Brings the totals of the newest of the stale generations over to the one of `record`, once.
pub(crate) fn take_over(state: &State, record: &Record, stale: &[u32]) -> Result<(), Error> {
    let Some(before) = stale.iter().rev().find(|other| **other < record.generation) else {
        return Ok(());
    };
    let what = "carry the counters over";
    let carried = bpffs::open(&state.map(record.generation, CARRIED)).map_err(at(what))?;
    let done = entries(&record.manifest)?.to_ne_bytes();
    let mut mark = vec![0; Total::SIZE as usize];
    map::lookup(carried.as_fd(), &done, &mut mark).map_err(at(what))?;
    if mark.first() == Some(&1) {
        return Ok(());
    }
    // A generation whose record is gone was not in force when it was left: nothing was counted there.
    let Ok((old, _)) = Record::read(&state.record(*before)) else {
        return Ok(());
    };
    let totals = match totals(state, &old) {
        // What somebody else removed has no total any more; `status` told so as long as it was in force.
        Err(Error::State { .. }) => Vec::new(),
        totals => totals?,
    };
    for (index, value) in (0u32..).zip(assign(
        &old.manifest.counters,
        &totals,
        &record.manifest.counters,
    )) {
        map::update(carried.as_fd(), &index.to_ne_bytes(), &value.write()).map_err(at(what))?;
    }
    mark[0] = 1;
    map::update(carried.as_fd(), &done, &mark).map_err(at(what))
}

/// What each new counter inherits.
fn assign(old: &[Counter], totals: &[Total], new: &[Counter]) -> Vec<Total> {
    let from = heirs(old, new).into_iter();
    from.map(|from| {
        let total = from.and_then(|from| totals.get(from));
        total.copied().unwrap_or_default()
    })
    .collect()
}

/// The old counter, by its place, whose total each new one inherits. Each old total goes to at most one new counter.
pub(crate) fn heirs(old: &[Counter], new: &[Counter]) -> Vec<Option<usize>> {
    let mut taken = vec![false; old.len()];
    new.iter()
        .map(|counter| {
            let heir = old.iter().enumerate().find(|(index, other)| {
                !taken.get(*index).copied().unwrap_or(true) && inherits(counter, other)
            });
            let (index, _) = heir?;
            if let Some(taken) = taken.get_mut(index) {
                *taken = true;
            }
            Some(index)
        })
        .collect()
}

/// A label is the rule's identity; without one its meaning is, which its text stands for.
fn inherits(new: &Counter, old: &Counter) -> bool {
    if new.kind != old.kind || new.label != old.label || new.direction != old.direction {
        return false;
    }
    // What becomes of sockets that could not be taken in is not what they are.
    let same = new.verdict == old.verdict || new.kind == CounterKind::Escaped;
    new.label.is_some() || (same && new.location.text == old.location.text)
}

/// The totals of a generation, by counter, older ones included.
pub(crate) fn totals(state: &State, record: &Record) -> Result<Vec<Total>, Error> {
    let mut totals = vec![Total::default(); record.manifest.counters.len()];
    for name in [COUNTERS, CARRIED] {
        let path = state.map(record.generation, name);
        if was_pinned(state, record, &path) {
            add_map(&pinned(&path)?, &mut totals)?;
        }
    }
    Ok(totals)
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
    for (index, total) in (0u32..shape.entries).zip(totals) {
        map::lookup(counters.as_fd(), &index.to_ne_bytes(), &mut value).map_err(at(what))?;
        let each = value.chunks((shape.value as usize).next_multiple_of(8).max(1));
        each.filter_map(Total::read)
            .for_each(|part| total.add(part));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let given = assign(&old, &[total(1), total(2), total(3)], &new);
        assert_eq!(given, [total(2), total(1), total(0), total(3), total(0)]);
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
            let given = assign(&[of("allow")], &[one], &[of("drop")]);
            assert_eq!(given[0].packets, total);
        }
    }
}
