//! Which bits a node of a cut tree looks at.
//!
//! Takes the boxes of a node; gives the [`Cut`] that shortens their lists most for the room it takes, if any does. The bits
//! may stand anywhere: a box that says nothing about them is in every child. Long lists are judged by a sample first.

use super::cube::{Cube, children, clipped, low_bits};
use super::flat::{Flat, Plane};
use super::items::Dimension;

/// A few neighbouring bits of one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cut {
    /// The dimension.
    pub dimension: Dimension,
    /// Bits after the last one looked at.
    pub shift: u8,
    /// How many are looked at: 1, 2, 4 or 8.
    pub bits: u8,
}

/// A cut of a plane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    /// The plane's number.
    pub plane: usize,
    /// Bits of the plane after the last one looked at.
    pub shift: u32,
    /// How many are looked at.
    pub bits: u32,
}

impl Chosen {
    /// What the code looks at.
    pub(super) fn cut(self, plane: Plane) -> Cut {
        Cut {
            dimension: plane.dimension,
            shift: plane.shift + self.shift as u8,
            bits: self.bits as u8,
        }
    }
}

/// Bytes of a child.
const CHILD: usize = 4;

/// Boxes of a longer list that are looked at first.
const SAMPLE: usize = 256;

/// Cuts that are the best by the sample and then judged by all boxes.
const FINALISTS: usize = 4;

/// Lists up to this length are cut by four bits at most: more would mostly be empty.
const FEW: usize = 64;

/// Nanoseconds of a node, and of a box in a list that is met.
pub(super) const NODE: f64 = 4.0;
const MET: f64 = 2.3;

/// Nanoseconds that a cut may cost more where it takes all the room there is.
const TIGHT: f64 = 4.0;

/// What it costs to come to the end from a list of this length on.
pub(super) fn ahead(length: f64) -> f64 {
    match length <= 4.0 {
        true => MET * length,
        false => MET * 4.0 + NODE / 2.5 * roughly_log2(length / 4.0),
    }
}

/// The logarithm, with a straight line between powers of two.
fn roughly_log2(value: f64) -> f64 {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as f64 - 1023.0;
    exponent + (bits & low_bits(52)) as f64 / (1u64 << 52) as f64
}

/// What a cut is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes that it may add.
    pub allowed: usize,
    /// Bytes of a box in a list.
    pub record: usize,
    /// Whether a list is out of the question.
    pub must: bool,
}

/// The best cut of these boxes.
pub(super) fn best<F: Flat>(
    flats: &[F],
    list: &[u32],
    cube: &Cube,
    limits: Limits,
    scratch: &mut Vec<(u64, u64)>,
) -> Option<Chosen> {
    let stay = match limits.must {
        true => f64::MAX,
        false => MET * list.len() as f64,
    };
    if list.len() <= SAMPLE {
        let mut best = (stay, None);
        let mut keep = |score: f64, chosen| {
            if score < best.0 {
                best = (score, Some(chosen));
            }
        };
        try_all(
            flats,
            list.iter(),
            list.len(),
            cube,
            limits,
            scratch,
            &mut keep,
        );
        return best.1;
    }
    let mut finalists: Vec<(f64, Chosen)> = Vec::with_capacity(FINALISTS + 1);
    let mut keep = |score: f64, chosen| {
        let place = finalists.partition_point(|(other, _)| *other <= score);
        if place < FINALISTS {
            finalists.insert(place, (score, chosen));
            finalists.truncate(FINALISTS);
        }
    };
    let sample = list.iter().step_by(list.len().div_ceil(SAMPLE));
    try_all(flats, sample, list.len(), cube, limits, scratch, &mut keep);
    let mut best = (stay, None);
    for (_, chosen) in finalists {
        let within = cube.within(chosen.plane, F::PLANES[chosen.plane]);
        let ranges = list
            .iter()
            .map(|&index| clipped(flats[index as usize].bounds(chosen.plane), within));
        let edges = Edges::<256>::of(ranges, chosen.shift, chosen.bits);
        if let Some(score) = edges.score(chosen.bits, list.len(), limits)
            && score < best.0
        {
            best = (score, Some(chosen));
        }
    }
    best.1
}

/// Judges cuts in every plane.
fn try_all<'a, F: Flat>(
    flats: &[F],
    sample: impl Iterator<Item = &'a u32> + Clone,
    length: usize,
    cube: &Cube,
    limits: Limits,
    scratch: &mut Vec<(u64, u64)>,
    keep: &mut impl FnMut(f64, Chosen),
) {
    for (plane, kind) in F::PLANES.iter().enumerate() {
        let within = cube.within(plane, *kind);
        scratch.clear();
        scratch.extend(
            sample
                .clone()
                .map(|&index| clipped(flats[index as usize].bounds(plane), within)),
        );
        let Some(varied) = varied(scratch, within) else {
            continue;
        };
        let known = cube.known(plane) | !low_bits(kind.bits.into());
        let most = most_windows(scratch, length);
        for (shift, bits) in windows(varied, known, length).take(most) {
            let mut keep = |score, fewer| {
                let shift = shift + bits - fewer;
                let bits = fewer;
                keep(score, Chosen { plane, shift, bits });
            };
            let ranges = scratch.iter().copied();
            match bits {
                8 => Edges::<256>::of(ranges, shift, bits).widths(length, bits, limits, &mut keep),
                _ => Edges::<16>::of(ranges, shift, bits).widths(length, bits, limits, &mut keep),
            }
        }
    }
}

/// The bits in which boxes differ that do not hold the whole range; `None` where they do not differ.
fn varied(ranges: &[(u64, u64)], within: (u64, u64)) -> Option<u64> {
    let mut some = None;
    let mut differing = 0;
    for &(low, high) in ranges {
        if (low, high) == within {
            continue;
        }
        let first = *some.get_or_insert(low);
        differing |= (low ^ first) | (high ^ first);
    }
    (differing != 0).then_some(differing)
}

/// Groups of neighbouring unknown bits that tell boxes apart, from the highest on: their shifts and widths.
fn windows(varied: u64, known: u64, length: usize) -> impl Iterator<Item = (u32, u32)> {
    let widest = if length > FEW { 8 } else { 4 };
    let mut left = varied & !known;
    std::iter::from_fn(move || {
        let top = left.checked_ilog2()? + 1;
        // Only widths that the code knows. The last bits may stand below some that all boxes have in common.
        let window = |width: u32| (top.saturating_sub(width), width);
        let unknown = |(shift, width): &(u32, u32)| known >> shift & low_bits(*width) == 0;
        let wide = [8, 4, 2, 1].map(window).into_iter();
        let fits = |(_, width): &(u32, u32)| *width <= widest && *width < 2 * top;
        let found = wide.filter(fits).find(unknown)?;
        left &= low_bits(top.saturating_sub(found.1.min(4)));
        Some(found)
    })
}

/// How many windows are worth a look: only the highest where many ranges begin or end at odd values, since a lower one would
/// have them in every child.
fn most_windows(ranges: &[(u64, u64)], length: usize) -> usize {
    let odd = ranges.iter().filter(|(low, high)| {
        let free = low ^ high;
        free & free.wrapping_add(1) != 0 || low & free != 0
    });
    match (odd.count() * 4 > ranges.len(), length > FEW) {
        (true, _) => 1,
        (false, true) => 5,
        (false, false) => 3,
    }
}

/// How many boxes begin and end at each child.
struct Edges<const N: usize> {
    begin: [u32; N],
    end: [u32; N],
    boxes: u32,
}

impl<const N: usize> Edges<N> {
    fn of(ranges: impl Iterator<Item = (u64, u64)>, shift: u32, bits: u32) -> Self {
        let mut edges = Self {
            begin: [0; N],
            end: [0; N],
            boxes: 0,
        };
        for range in ranges {
            let (first, last) = children(range, shift, bits);
            edges.begin[first as usize & (N - 1)] += 1;
            edges.end[last as usize & (N - 1)] += 1;
            edges.boxes += 1;
        }
        edges
    }

    /// Judges the cut and those that look at its first half, quarter and eighth of bits only.
    fn widths(mut self, length: usize, bits: u32, limits: Limits, keep: &mut impl FnMut(f64, u32)) {
        let mut bits = bits;
        loop {
            if let Some(score) = self.score(bits, length, limits) {
                keep(score, bits);
            }
            if bits == 1 {
                return;
            }
            let less = bits / 2;
            self.fold(bits, less);
            bits = less;
        }
    }

    fn fold(&mut self, bits: u32, less: u32) {
        let step = 1 << (bits - less);
        for child in 0..1usize << less {
            let all = child * step..(child + 1) * step;
            self.begin[child] = self.begin[all.clone()].iter().sum();
            self.end[child] = self.end[all].iter().sum();
        }
    }

    /// What a packet pays after this cut; `None` where it brings nothing or takes too much room. The edges may be those of
    /// some boxes of `length`.
    fn score(&self, bits: u32, length: usize, limits: Limits) -> Option<f64> {
        let size = 1usize << bits;
        if size * CHILD > limits.allowed {
            return None;
        }
        let sample = f64::from(self.boxes);
        let (mut here, mut met, mut all, mut stored, mut ended) = (0u32, 0u64, 0u64, 0u64, 1);
        for (&begin, &end) in self.begin[..size].iter().zip(&self.end[..size]) {
            here += begin;
            // Packets are taken to lie at the ends of boxes.
            met += u64::from(here) * u64::from(begin + end);
            all += u64::from(here);
            // A child with the same boxes as the one before takes no room.
            if begin + ended > 0 {
                stored += u64::from(here);
            }
            here -= end;
            ended = end;
        }
        let scale = length as f64 / sample;
        let expected = (met as f64 / (2.0 * sample) - 1.0) * scale + 1.0;
        // Ranges that overlap have ends where few others end.
        let mean = all as f64 * scale / size as f64;
        let reached = if limits.must {
            expected.min(mean)
        } else {
            expected
        };
        if reached > 0.9 * length as f64 {
            return None;
        }
        let stored = (stored as f64 * scale) as usize;
        let taken = taken(stored, length, size, limits.record);
        if taken > limits.allowed {
            return None;
        }
        Some(NODE + ahead(expected) + TIGHT * taken as f64 / limits.allowed as f64)
    }
}

/// Bytes that a node adds: its children, and the boxes that stand in several of them.
pub(super) fn taken(stored: usize, before: usize, children: usize, record: usize) -> usize {
    stored.saturating_sub(before) * record + children * CHILD
}
