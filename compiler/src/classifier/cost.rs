//! What a way to split boxes costs a packet.
//!
//! Takes strata and packets that their boxes match; gives nanoseconds by measured costs. Not here: the choice.

use super::bucket::held;
use super::cube::low_bits;
use super::flat::{Flat, MAX_PLANES};
use super::grow::Word;
use super::items::Dimension;
use super::stratum::{Boxes, Root, Stratum, hash, words};

/// Nanoseconds to begin a walk, to hash, for a node, and for a box that is compared (measured on Linux 6.18, x86-64).
const START: f64 = 3.0;
const HASH: f64 = 1.0;
const NODE: f64 = super::cut::NODE;
const COMPARE: f64 = 3.5;

/// Bytes of all tables, and what a load costs more where they take more than that (dependent loads of 64 KiB, 512 KiB, …).
pub(super) const BEYOND: [(usize, f64); 4] = [
    (64 << 10, 1.5),
    (512 << 10, 3.0),
    (1 << 20, 6.0),
    (2 << 20, 10.0),
];

/// Loads of a walk that are likely not to be in the nearest cache: the root's child and the list; or one bucket.
const FAR_LOADS: f64 = 1.5;
const BUCKET: f64 = 1.0;

/// Packets that boxes match, and other packets.
const MATCHING: usize = 384;
const OTHERS: usize = 128;

/// A packet: its values by plane.
pub(super) type Probe = [u64; MAX_PLANES];

/// Packets that boxes match, from all over the list, each at one corner of its box; then packets of any kind.
#[must_use]
pub(super) fn probes<F: Flat>(boxes: Boxes<'_, F>) -> Vec<Probe> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let step = boxes.flats.len().div_ceil(MATCHING).max(1);
    let classes = F::PLANES.len() - 1;
    let mut found = Vec::with_capacity(MATCHING + OTHERS);
    for flat in boxes.flats.iter().step_by(step) {
        let mut probe = [0; MAX_PLANES];
        for (plane, value) in probe.iter_mut().enumerate().take(classes) {
            let (low, high) = flat.bounds(plane);
            *value = if next() >> 32 & 1 == 0 { low } else { high };
        }
        probe[classes] = flat.classes().trailing_zeros().into();
        found.push(probe);
    }
    for _ in 0..OTHERS {
        let mut probe = [0; MAX_PLANES];
        for (value, plane) in probe.iter_mut().zip(F::PLANES) {
            *value = next() >> 7 & low_bits(plane.bits.into());
        }
        probe[classes] = next() % u64::from(64 - boxes.classes.leading_zeros()).max(1);
        found.push(probe);
    }
    found
}

/// What is found by a hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries {
    /// Records that a packet meets, on average.
    pub met: f64,
    /// The share of packets whose record stands elsewhere, where the entry says.
    pub elsewhere: f64,
}

/// Nanoseconds from a hash to the record that matches, beside what is the same for all; tables take so many bytes without buckets. The
/// code of a bucket takes as long as loading a child that is near, so that only far loads and records count. That buckets take more
/// room does not: tables that are far without them were measured to be faster with them, at twice the size.
#[must_use]
pub(super) fn slots(entries: Entries, bytes: usize) -> f64 {
    let far = BUCKET + entries.elsewhere * (FAR_LOADS - BUCKET);
    far * miss(bytes) + COMPARE * entries.met
}

/// Nanoseconds that buckets have to save: of tables that are near, measured programs were no faster with them.
pub(super) const WORTH: f64 = 1.5;

/// Nanoseconds of each load that may miss, where tables take so many bytes.
fn miss(bytes: usize) -> f64 {
    let beyond = BEYOND.iter().rev().find(|(size, _)| bytes > *size);
    beyond.map_or(0.0, |(_, miss)| *miss)
}

/// Strata whose walks are tried.
pub(super) struct Walks<'a, F> {
    boxes: Boxes<'a, F>,
    strata: Vec<&'a Stratum>,
    /// Nanoseconds of each load that may miss.
    miss: f64,
}

impl<'a, F: Flat> Walks<'a, F> {
    /// These strata.
    #[must_use]
    pub(super) fn new(boxes: Boxes<'a, F>, mut strata: Vec<&'a Stratum>) -> Self {
        strata.sort_by_key(|stratum| stratum.first_rank);
        let bytes: usize = strata.iter().map(|one| one.bytes(boxes.family)).sum();
        Self {
            boxes,
            strata,
            miss: miss(bytes),
        }
    }

    /// Nanoseconds that these packets take on average.
    #[must_use]
    pub(super) fn time(&self, probes: &[Probe]) -> f64 {
        let all: f64 = probes.iter().map(|probe| self.walk(probe)).sum();
        all / probes.len().max(1) as f64
    }

    fn walk(&self, probe: &Probe) -> f64 {
        let mut best = u32::MAX;
        let mut time = 0.0;
        for stratum in &self.strata {
            if best < stratum.first_rank {
                break;
            }
            time += START + BUCKET * self.miss + self.through(stratum, probe, &mut best);
        }
        time
    }

    /// One stratum.
    fn through(&self, stratum: &Stratum, probe: &Probe, best: &mut u32) -> f64 {
        let children = &stratum.grown.children;
        let more = NODE + (FAR_LOADS - BUCKET) * self.miss;
        let mut time = 0.0;
        let mut word = match stratum.root {
            Root::Tree(word) => {
                time += more - NODE;
                word
            }
            Root::Hash {
                shape,
                count,
                first,
            } => {
                time += HASH + if stratum.buckets { NODE } else { more };
                let kept = words(
                    address::<F>(probe, Dimension::From),
                    address::<F>(probe, Dimension::To),
                    shape.family,
                )
                .into_iter()
                .zip(shape.masks())
                .map(|(word, mask)| word & mask);
                let kept: Vec<u64> = kept.collect();
                children[(first + hash(&kept, count)) as usize]
            }
        };
        let through_node = matches!(word, Word::Node(..));
        if stratum.buckets && through_node {
            time += more;
        }
        while let Word::Node(cut, first) = word {
            time += NODE;
            let value = value::<F>(probe, cut.dimension, cut.shift);
            let child = value as u32 & ((1 << cut.bits) - 1);
            word = children[(first + child) as usize];
        }
        let Word::List(list) = word else {
            return time;
        };
        let list = &stratum.grown.lists[list as usize];
        // Behind a node nothing of a list stands in the bucket.
        let within = match stratum.buckets && !through_node {
            true => held(list.len()),
            false => 0,
        };
        for (place, &index) in list.iter().enumerate() {
            let rank = self.boxes.items[index as usize].rank;
            if rank >= *best {
                break;
            }
            if place > 0 && place == within {
                time += more;
            }
            time += COMPARE;
            if holds(&self.boxes.flats[index as usize], probe) {
                *best = rank;
                break;
            }
        }
        time
    }
}

/// The bits of a dimension from `shift` on that are in the same plane.
fn value<F: Flat>(probe: &Probe, dimension: Dimension, shift: u8) -> u64 {
    let plane = F::PLANES.iter().position(|one| {
        one.dimension == dimension && (one.shift..one.shift + one.bits).contains(&shift)
    });
    plane.map_or(0, |plane| probe[plane] >> (shift - F::PLANES[plane].shift))
}

fn address<F: Flat>(probe: &Probe, dimension: Dimension) -> u128 {
    let planes = F::PLANES.iter().zip(probe);
    planes
        .filter(|(plane, _)| plane.dimension == dimension)
        .fold(0, |all, (plane, value)| {
            all | u128::from(*value) << plane.shift
        })
}

/// Whether a packet is in a box.
fn holds<F: Flat>(flat: &F, probe: &Probe) -> bool {
    let classes = F::PLANES.len() - 1;
    flat.classes() >> probe[classes] & 1 == 1
        && (0..classes).all(|plane| {
            let (low, high) = flat.bounds(plane);
            low <= probe[plane] && probe[plane] <= high
        })
}
