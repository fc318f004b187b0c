//! Which boxes share a stratum.
//!
//! Takes the boxes of a family; tries several ways to split them and gives the one whose walk costs least by the measured
//! costs of [`super::cost`]. Not here: how a stratum is made, and which shapes of hashed keys are worth trying.

use super::choice::{Choice, Split, StratumSummary, Tried};
use super::cost::{Probe, Walks, probes};
use super::flat::{Flat, Narrow, Wide};
use super::items::{Dimension, Item};
use super::shapes::{self, best_shape};
use super::stratum::{Boxes, MAX_LIST_BYTES, Room, Stratum, Tuple, has_many_services};
use super::tables;
use crate::policy::Family;

/// The maximum number of strata: each is one more walk for every packet.
pub(crate) const MAX_STRATA: usize = 6;

/// The maximum number of hashed strata that are tried, before they are cut into parts.
const MAX_HASHED: usize = 4;

/// The maximum number of boxes that go to one tree where there is a choice: hashing is faster for more.
const MAX_TREE: usize = 4096;

/// Copies of each box in a tree, and bytes that nodes and copies may take in any case.
const MAX_COPIES: usize = 4;
const MIN_ROOM: usize = 32_768;

/// Where one stratum fewer costs so much more time, still fewer are not tried.
const HOPELESS: f64 = 1.2;

/// The maximum number of boxes for which several pairs of trees are tried.
const MAX_PAIRS: usize = 256;

/// Bytes of a record without ports, by which room is measured out.
fn record_size(family: Family) -> usize {
    tables::record_size(family, false)
}

/// How much room there is.
#[derive(Clone, Copy)]
struct Plenty {
    /// How many times the usual one.
    times: usize,
    /// Whether records may hold ports.
    ports: bool,
    /// Whether what is left for trees is split by rank, and by nothing else.
    by_rank: bool,
}

const fn plenty(times: usize, ports: bool, by_rank: bool) -> Plenty {
    Plenty {
        times,
        ports,
        by_rank,
    }
}

/// What is tried, until the boxes fit. Most sets do with little room; for the others speed goes before memory, then records become
/// small again, and in the end fewer boxes cross since each stratum has those of some ranks.
const ROOMS: [Plenty; 4] = [
    plenty(1, true, false),
    plenty(6, true, false),
    plenty(36, false, false),
    plenty(36, false, true),
];

/// How many trees by rank are tried, one after the other. Where one finds something, those after it are left out.
const RANK_PARTS: [usize; 4] = [2, 3, 4, 6];

/// What was found: the strata of a family, those of smaller ranks first, and what they were chosen from.
type Found = (Vec<Stratum>, Choice);

/// The strata of a family.
pub(super) fn strata(items: &[Item], family: Family) -> Option<Found> {
    match family {
        Family::V4 => strata_of::<Narrow>(items, family),
        Family::V6 => strata_of::<Wide>(items, family),
    }
}

fn strata_of<F: Flat>(items: &[Item], family: Family) -> Option<Found> {
    let flats: Vec<F> = items.iter().map(F::of).collect();
    let boxes = Boxes {
        items,
        flats: &flats,
        family,
        classes: items.iter().fold(0, |all, item| all | item.classes),
    };
    let probes = probes(boxes);
    ROOMS
        .into_iter()
        .find_map(|plenty| within(boxes, &probes, plenty))
}

/// The best strata that can be made in this room.
fn within<F: Flat>(boxes: Boxes<'_, F>, probes: &[Probe], plenty: Plenty) -> Option<Found> {
    let hashed = hashed(boxes, plenty);
    let mut tried = Tried::default();
    for count in (0..=hashed.strata.len()).rev() {
        if hashed.left[count].len() > MAX_TREE && tried.any() {
            break;
        }
        let least = tried.least();
        let time = trees(boxes, &hashed, count, (probes, plenty), &mut tried);
        if plenty.by_rank {
            break;
        }
        if time.is_some_and(|time| least.is_some_and(|least| time > HOPELESS * least)) {
            break;
        }
    }
    let (count, trees, choice) = tried.finish()?;
    let first = hashed.strata.into_iter().take(count).flatten();
    let mut found: Vec<Stratum> = first.chain(trees).collect();
    found.sort_by_key(|stratum| stratum.first_rank);
    Some((found, choice))
}

/// Hashed strata, the most useful first, and what the first so many of them leave.
struct Hashed {
    strata: Vec<Vec<Stratum>>,
    left: Vec<Vec<u32>>,
}

fn hashed<F: Flat>(boxes: Boxes<'_, F>, plenty: Plenty) -> Hashed {
    let all: Vec<u32> = (0..boxes.items.len() as u32).collect();
    let mut found = Hashed {
        strata: Vec::new(),
        left: vec![all],
    };
    while found.strata.len() < MAX_HASHED {
        let left = &found.left[found.strata.len()];
        let Some(shape) = best_shape(boxes, left) else {
            break;
        };
        let (taken, rest): (Vec<u32>, Vec<u32>) = left
            .iter()
            .partition(|&&index| shape.takes(&boxes.items[index as usize]));
        let Some(strata) = parts(boxes, &taken, shape, plenty) else {
            break;
        };
        found.strata.push(strata);
        found.left.push(rest);
    }
    found
}

/// Hashed strata of one shape: several where one cannot hold all lists. Those of later ranks are skipped for packets that
/// match earlier ones.
fn parts<F: Flat>(
    boxes: Boxes<'_, F>,
    taken: &[u32],
    shape: Tuple,
    Plenty { times, ports, .. }: Plenty,
) -> Option<Vec<Stratum>> {
    let holds_ports = ports && has_many_services(boxes.items, taken);
    let most = MAX_LIST_BYTES / tables::record_size(boxes.family, holds_ports) * 7 / 8;
    let room = |part: &[u32]| Room {
        records: times * (2 * part.len() + 8_192),
        bytes: times * (record_size(boxes.family) * part.len() + 32_768),
        ports,
    };
    let parts = taken.len().div_ceil(most);
    taken
        .chunks(taken.len().div_ceil(parts))
        .map(|part| Stratum::build(boxes, part, Some(shape), room(part)).ok())
        .collect()
}

/// Bytes that all tables of a family should take: some for each box, and some where there are few.
fn target(boxes: usize, family: Family) -> usize {
    (record_size(family) * 5 / 2) * boxes + 49_152
}

/// Tries what the first `count` hashed strata leave as trees: one, or two with the boxes apart that disturb each other.
/// Gives the time of the fastest way.
fn trees<F: Flat>(
    boxes: Boxes<'_, F>,
    hashed: &Hashed,
    count: usize,
    (probes, plenty): (&[Probe], Plenty),
    tried: &mut Tried,
) -> Option<f64> {
    let family = boxes.family;
    let left = &hashed.left[count];
    let first: Vec<&Stratum> = hashed.strata[..count].iter().flatten().collect();
    let used: usize = first.iter().map(|one| one.bytes(family)).sum();
    let bytes = target(boxes.items.len(), family)
        .saturating_sub(used)
        .saturating_sub(left.len() * record_size(family))
        .min(MAX_COPIES * record_size(family) * left.len())
        .max(MIN_ROOM)
        * plenty.times;
    let mut fastest: Option<f64> = None;
    for way in ways(plenty) {
        if fastest.is_some() && (left.len() > MAX_PAIRS || left.is_empty()) {
            break;
        }
        let groups = way.groups(boxes.items, left);
        if first.len() + groups.len() > MAX_STRATA {
            continue;
        }
        let built: Option<Vec<Stratum>> = groups
            .iter()
            .map(|group| {
                let room = Room {
                    records: bytes / record_size(family) + left.len(),
                    bytes: bytes / left.len() * group.len(),
                    ports: plenty.ports,
                };
                Stratum::build(boxes, group, None, room).ok()
            })
            .collect();
        let Some(built) = built else { continue };
        let all: Vec<&Stratum> = first.iter().copied().chain(&built).collect();
        let mut parts: Vec<StratumSummary> = all
            .iter()
            .map(|one| StratumSummary::of(one, family))
            .collect();
        parts.sort_by_key(|part| part.first_rank);
        let nanoseconds = Walks::new(boxes, all).time(probes);
        tried.add(Split { parts, nanoseconds }, count, built);
        fastest = Some(fastest.map_or(nanoseconds, |least| least.min(nanoseconds)));
    }
    fastest
}

/// A way to split what no hash takes.
enum Way {
    /// By these kinds.
    Kinds(&'static [Kind]),
    /// Into so many parts, those of smaller ranks first: a packet that matches in one need not look at the next.
    Ranks(usize),
}

fn ways(plenty: Plenty) -> Vec<Way> {
    if plenty.by_rank {
        return RANK_PARTS.map(Way::Ranks).into();
    }
    let kinds = [
        &[][..],
        &KINDS[0..1],
        &KINDS[1..2],
        &KINDS[2..3],
        &KINDS[3..4],
        &KINDS[0..2],
    ];
    kinds.map(Way::Kinds).into()
}

impl Way {
    fn groups(&self, items: &[Item], left: &[u32]) -> Vec<Vec<u32>> {
        match *self {
            Self::Kinds(kinds) => groups(items, left, kinds),
            Self::Ranks(parts) => {
                let size = left.len().div_ceil(parts).max(1);
                left.chunks(size).map(<[u32]>::to_vec).collect()
            }
        }
    }
}

/// Boxes by which of the kinds they are of; no group is empty.
fn groups(items: &[Item], left: &[u32], kinds: &[Kind]) -> Vec<Vec<u32>> {
    let mut groups = vec![Vec::new(); 1 << kinds.len()];
    for &index in left {
        let item = &items[index as usize];
        let number = kinds
            .iter()
            .fold(0, |number, kind| number << 1 | usize::from(kind(item)));
        groups[number].push(index);
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// A kind of boxes that disturb others in a tree.
type Kind = fn(&Item) -> bool;

/// Boxes that say little about one dimension stand in many children of nodes that look at it.
const KINDS: [Kind; 4] = [
    |item| item.from.length < shapes::SHORT,
    |item| item.to.length < shapes::SHORT,
    |item| item.range(Dimension::ToPort) == (0, 0xffff),
    |item| item.range(Dimension::FromPort) == (0, 0xffff),
];
