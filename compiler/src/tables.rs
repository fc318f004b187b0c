//! Constant tables, packed into few read-only maps.
//!
//! A program may use 64 maps, and a policy may have many more tables: those of large sets, those of a decision that is
//! kept as data. So tables share maps, each at a place of its own. Takes the bytes of one table after another; gives the
//! map and the offset where code finds it (`Inst::MapValue`). The same tables in the same order get the same places.
//!
//! Not here: what a table means, and cutting one that is larger than a map can be, which its owner knows how to do.

use std::fmt::Write as _;

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
    placed: Vec<PlacedTable>,
    /// Whether a table went beyond what a map can hold: a bug of who pushed it.
    beyond: bool,
}

/// Where tables of no special wish begin: at a cache line, so that none is touched for nothing.
pub(crate) const LINE: usize = 64;

impl<'m> Tables<'m> {
    /// No tables yet; maps that are needed for them go after `maps` and hold at most `limit` bytes each.
    pub(crate) fn new(maps: &'m mut PrimaryMap<MapId, MapSpec>, limit: usize) -> Self {
        Self {
            maps,
            limit,
            shared: Vec::new(),
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
        let map = self.with_room(bytes.len(), align);
        let appended = append(&mut self.maps[map], bytes, align);
        self.beyond |= appended.is_none() || bytes.len() > self.limit;
        let offset = appended.unwrap_or_default();
        let place = TableRef { map, offset };
        self.placed.push(PlacedTable {
            name: name.into(),
            place,
            size: bytes.len(),
        });
        place
    }

    /// All tables, in the order they came; `None` if one was larger than a map can be, which is a bug of who made it.
    #[must_use]
    pub(crate) fn finish(self) -> Option<Vec<PlacedTable>> {
        (!self.beyond).then_some(self.placed)
    }

    fn with_room(&mut self, size: usize, align: usize) -> MapId {
        let fits = |map: &&MapId| {
            let held = self.maps[**map].value_size as usize;
            held.next_multiple_of(align).saturating_add(size) <= self.limit
        };
        if let Some(&map) = self.shared.iter().find(fits) {
            return map;
        }
        let name = format!("tables_{}", self.shared.len());
        let map = self.maps.push(MapSpec::table(name, Vec::new()));
        self.shared.push(map);
        map
    }
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
            .map(|size| tables.push("t", &vec![7; size], LINE))
            .iter()
            .map(|place| (place.map.as_u32(), place.offset))
            .collect();
        assert_eq!(places, [(0, 0), (0, 128), (0, 192), (1, 0), (2, 0)]);
        let sizes: Vec<u32> = maps.values().map(|map| map.value_size).collect();
        assert_eq!(sizes, [193, 200, 64]);
        assert_eq!(
            maps[MapId::from_u32(0)].data.as_ref().unwrap()[69..72],
            [7, 0, 0]
        );
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
