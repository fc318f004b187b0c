//! Constant tables, packed into few read-only maps.
//!
//! A program may use 64 maps, and a policy may have many more tables: those of large sets, those of a decision that is
//! kept as data. So tables share maps, each at a place of its own. Takes the bytes of one table after another; gives the
//! map and the offset where code finds it (`Inst::MapValue`). The same tables in the same order get the same places. Equal tables
//! are one, and small ones that every packet looks into have maps of their own, which lie in large pages.
//!
//! Not here: what a table means, and cutting one that is larger than a map can be, which its owner knows how to do.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};

use cranelift_entity::PrimaryMap;

use crate::artifact::{MapId, MapSpec};

/// Where a table begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRef {
    /// The map that holds it.
    pub map: MapId,
    /// Its first byte in the map's only value.
    pub offset: u32,
}

/// A table that has its place, for those who read listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedTable {
    /// What it is, such as `set0_v4_0`.
    pub name: String,
    /// Where it begins.
    pub place: TableRef,
    /// Its length in bytes.
    pub size: usize,
}

/// The tables as text, one a line: what reads a map's name and an offset in a listing finds here what is there.
#[must_use]
pub fn listing(tables: &[PlacedTable], maps: &PrimaryMap<MapId, MapSpec>) -> String {
    let mut text = String::new();
    for table in tables {
        let TableRef { map, offset } = table.place;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "table   {}  {} + {offset}  bytes {}",
            table.name, maps[map].name, table.size
        );
    }
    text
}

/// Tables on their way into maps.
#[derive(Debug)]
pub(crate) struct Tables<'m> {
    maps: &'m mut PrimaryMap<MapId, MapSpec>,
    /// The maximum number of bytes of a map's value.
    limit: usize,
    /// The maps that hold tables, in the order they were begun.
    shared: Vec<MapId>,
    /// Those of small tables.
    near: Vec<MapId>,
    /// Places by a hash of what is there.
    known: HashMap<u64, Vec<TableRef>>,
    placed: Vec<PlacedTable>,
    /// Whether a table went beyond what a map can hold: a bug of who pushed it.
    beyond: bool,
}

/// Where tables of no special wish begin: at a cache line, so that none is touched for nothing.
pub(crate) const LINE: usize = 64;

/// Bytes of a map of small tables. The kernel takes up to 32 KiB, its own head included, from memory that it has mapped in
/// large pages; what is larger it puts together from pages of 4 KiB, each of which may be one more miss of the TLB.
const NEAR: usize = (32 << 10) - 512;

/// The maximum number of maps of small tables: a program may use 64 maps in all.
const NEAR_MAPS: usize = 8;

impl<'m> Tables<'m> {
    /// No tables yet; maps that are needed for them go after `maps` and hold at most `limit` bytes each.
    pub(crate) fn new(maps: &'m mut PrimaryMap<MapId, MapSpec>, limit: usize) -> Self {
        Self {
            maps,
            limit,
            shared: Vec::new(),
            near: Vec::new(),
            known: HashMap::new(),
            placed: Vec::new(),
            beyond: false,
        }
    }

    /// The maps of a policy, for those that are not made of tables.
    pub(crate) fn maps(&mut self) -> &mut PrimaryMap<MapId, MapSpec> {
        self.maps
    }

    /// The maximum number of bytes of a table.
    #[must_use]
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Puts a table of 1 to [`Self::limit`] bytes into the first map that has room after what it holds, at a multiple
    /// of `align` (a power of two).
    pub(crate) fn push(&mut self, name: impl Into<String>, bytes: &[u8], align: usize) -> TableRef {
        self.push_to(name.into(), bytes, align, false)
    }

    /// The same for a table that nearly every packet looks into: a small one goes into a map of small tables.
    pub(crate) fn push_near(
        &mut self,
        name: impl Into<String>,
        bytes: &[u8],
        align: usize,
    ) -> TableRef {
        self.push_to(name.into(), bytes, align, true)
    }

    fn push_to(&mut self, name: String, bytes: &[u8], align: usize, near: bool) -> TableRef {
        let hash = digest(bytes);
        let known = self.equal(hash, bytes, align);
        let place = known.unwrap_or_else(|| self.place(bytes, align, near));
        if known.is_none() {
            self.known.entry(hash).or_default().push(place);
        }
        self.placed.push(PlacedTable {
            name,
            place,
            size: bytes.len(),
        });
        place
    }

    /// Where the same bytes stand already.
    fn equal(&self, hash: u64, bytes: &[u8], align: usize) -> Option<TableRef> {
        let mut places = self.known.get(&hash)?.iter().copied();
        places.find(|place| {
            let begin = place.offset as usize;
            let data = self.maps[place.map].data.as_ref();
            begin.is_multiple_of(align)
                && data.and_then(|data| data.get(begin..begin + bytes.len())) == Some(bytes)
        })
    }

    fn place(&mut self, bytes: &[u8], align: usize, near: bool) -> TableRef {
        let small = near && bytes.len() <= NEAR.min(self.limit);
        let map = small.then(|| self.near_with_room(bytes.len(), align));
        let map = map.flatten();
        let map = map.unwrap_or_else(|| self.with_room(bytes.len(), align));
        let appended = append(&mut self.maps[map], bytes, align);
        self.beyond |= appended.is_none() || bytes.len() > self.limit;
        let offset = appended.unwrap_or_default();
        TableRef { map, offset }
    }

    /// All tables, in the order they came; `None` if one was larger than a map can be, which is a bug of who made it.
    #[must_use]
    pub(crate) fn finish(self) -> Option<Vec<PlacedTable>> {
        (!self.beyond).then_some(self.placed)
    }

    fn with_room(&mut self, size: usize, align: usize) -> MapId {
        if let Some(map) = self.fitting(&self.shared, (size, align), self.limit) {
            return map;
        }
        let map = self.begin();
        self.shared.push(map);
        map
    }

    /// A map of small tables; `None` where they are full.
    fn near_with_room(&mut self, size: usize, align: usize) -> Option<MapId> {
        let limit = NEAR.min(self.limit);
        if let Some(map) = self.fitting(&self.near, (size, align), limit) {
            return Some(map);
        }
        if self.near.len() >= NEAR_MAPS {
            return None;
        }
        let map = self.begin();
        self.near.push(map);
        Some(map)
    }

    /// The first map that has room after what it holds.
    fn fitting(
        &self,
        maps: &[MapId],
        (size, align): (usize, usize),
        limit: usize,
    ) -> Option<MapId> {
        let fits = |map: &&MapId| {
            let held = self.maps[**map].value_size as usize;
            held.next_multiple_of(align).saturating_add(size) <= limit
        };
        maps.iter().find(fits).copied()
    }

    fn begin(&mut self) -> MapId {
        let name = format!("tables_{}", self.shared.len() + self.near.len());
        self.maps.push(MapSpec::table(name, Vec::new()))
    }
}

/// A number by which equal tables are found.
fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Puts bytes after those of a map, at the next multiple of `align`; gives the place.
fn append(spec: &mut MapSpec, bytes: &[u8], align: usize) -> Option<u32> {
    let data = spec.data.get_or_insert_default();
    let start = data.len().next_multiple_of(align);
    data.resize(start, 0);
    data.extend(bytes);
    spec.value_size = u32::try_from(data.len()).ok()?;
    u32::try_from(start).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_share_a_map_until_it_is_full() {
        let mut maps = PrimaryMap::new();
        let mut tables = Tables::new(&mut maps, 256);
        let places: Vec<(u32, u32)> = [70, 60, 1, 200, 64]
            .map(|size| tables.push("t", &vec![size as u8; size], LINE))
            .iter()
            .map(|place| (place.map.as_u32(), place.offset))
            .collect();
        assert_eq!(places, [(0, 0), (0, 128), (0, 192), (1, 0), (2, 0)]);
        let sizes: Vec<u32> = maps.values().map(|map| map.value_size).collect();
        assert_eq!(sizes, [193, 200, 64]);
        assert_eq!(
            maps[MapId::from_u32(0)].data.as_ref().unwrap()[69..72],
            [70, 0, 0]
        );
    }

    #[test]
    fn equal_tables_are_one() {
        let mut maps = PrimaryMap::new();
        let mut tables = Tables::new(&mut maps, 4096);
        let one = tables.push("one", &[1, 2, 3, 4], 4);
        let other = tables.push("other", &[1, 2, 3, 5], 4);
        assert_eq!(tables.push_near("same", &[1, 2, 3, 4], 4), one);
        assert!(other != one && other.map == one.map);
        // At the place of the other one it would not begin at a line.
        let aligned = tables.push("aligned", &[1, 2, 3, 5], LINE);
        assert_eq!((aligned.map, aligned.offset), (one.map, 64));
        let placed = tables.finish().unwrap();
        assert_eq!(placed.len(), 4);
        assert_eq!(maps[one.map].value_size, 68);
    }

    #[test]
    fn small_tables_have_small_maps_while_there_are_few() {
        let mut maps = PrimaryMap::new();
        let mut tables = Tables::new(&mut maps, 1 << 20);
        let far = tables.push("far", &[1; 100], LINE);
        let large = tables.push_near("large", &vec![2; NEAR + 1], LINE);
        assert_eq!(large.map, far.map);
        let small = |number: usize| vec![3 + number as u8; NEAR / 2];
        let places: Vec<TableRef> = (0..2 * NEAR_MAPS + 1)
            .map(|number| tables.push_near("small", &small(number), LINE))
            .collect();
        assert_eq!(places[2 * NEAR_MAPS].map, far.map);
        let near = places[..2 * NEAR_MAPS].iter();
        assert!(near.clone().all(|place| place.map != far.map));
        let sizes: Vec<u32> = near.map(|place| maps[place.map].value_size).collect();
        assert!(sizes.iter().all(|&size| size as usize <= NEAR), "{sizes:?}");
        assert_eq!(maps.len(), 1 + NEAR_MAPS);
    }

    #[test]
    fn a_table_as_large_as_a_map_fits() {
        let mut maps = PrimaryMap::new();
        let mut tables = Tables::new(&mut maps, 128);
        tables.push("small", &[1], 4);
        let place = tables.push("large", &[2; 128], LINE);
        assert_eq!((place.map.as_u32(), place.offset), (1, 0));
        let names: Vec<String> = tables
            .finish()
            .unwrap()
            .into_iter()
            .map(|one| one.name)
            .collect();
        assert_eq!(names, ["small", "large"]);
        assert_eq!(maps[place.map].name, "tables_1");
    }
}
