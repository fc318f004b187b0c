//! Maps: arrays, per-CPU arrays (of one CPU), hashes, tries, SOCKMAPs, SOCKHASHes, socket storage, ring buffers, arrays of events
//! (of one CPU).
//!
//! Programs reach them through helpers; a test or a loader reaches them through the functions here.

mod table;

use std::collections::BTreeMap;

use cranelift_entity::PrimaryMap;

use super::fault::FaultKind;
use super::socket::SocketModel;
use super::value::Value;
use crate::artifact::{MapId, MapKind, MapSpec};
use crate::bpf::constant::{BPF_ANY, BPF_EXIST, BPF_F_RDONLY_PROG, BPF_NOEXIST};
use crate::counter_blocks;
use table::Table;

/// Why the kernel refuses something, as a positive number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub u16);

impl Errno {
    /// `ENOENT`
    pub const ENOENT: Self = Self(2);
    /// `E2BIG`
    pub const E2BIG: Self = Self(7);
    /// `EAGAIN`
    pub const EAGAIN: Self = Self(11);
    /// `ENOMEM`
    pub const ENOMEM: Self = Self(12);
    /// `EFAULT`
    pub const EFAULT: Self = Self(14);
    /// `EEXIST`
    pub const EEXIST: Self = Self(17);
    /// `EINVAL`
    pub const EINVAL: Self = Self(22);
    /// `ENOSPC`
    pub const ENOSPC: Self = Self(28);
    /// `EPROTOTYPE`
    pub(crate) const EPROTOTYPE: Self = Self(91);
    /// `ESOCKTNOSUPPORT`
    pub(crate) const ESOCKTNOSUPPORT: Self = Self(94);
    /// `EOPNOTSUPP`
    pub const EOPNOTSUPP: Self = Self(95);
    /// `EAFNOSUPPORT`
    pub(crate) const EAFNOSUPPORT: Self = Self(97);

    /// `ENOTSUPP`, the kernel's own
    pub const ENOTSUPP: Self = Self(524);

    /// What a helper returns: the negative number in 64 bits.
    #[must_use]
    pub fn value(self) -> u64 {
        u64::from(self.0).wrapping_neg()
    }
}

/// The maps of an object, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Maps {
    maps: PrimaryMap<MapId, Map>,
}

#[derive(Clone, Debug)]
struct Map {
    spec: MapSpec,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// Every value, one after the other.
    Array(Vec<u8>),
    /// Hash, trie or socket storage.
    Table(Table),
    /// SOCKMAP or SOCKHASH.
    Sockets(BTreeMap<Vec<u8>, SocketModel>),
    /// The records of a ring buffer that nobody took yet.
    Ring(Vec<Vec<u8>>),
    /// Events that nobody took yet; nothing while nobody reads them.
    Events(Option<Vec<Vec<u8>>>),
}

impl Maps {
    /// Maps as a loader makes them: tables are filled, arrays hold zeros, the others are empty.
    #[must_use]
    pub fn new(specs: &PrimaryMap<MapId, MapSpec>) -> Self {
        let mut maps = PrimaryMap::with_capacity(specs.len());
        for spec in specs.values() {
            maps.push(Map {
                content: Content::empty(spec),
                spec: spec.clone(),
            });
        }
        Self { maps }
    }

    /// The map with this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<MapId> {
        let mut all = self.maps.iter();
        all.find(|(_, map)| map.spec.name == name).map(|(id, _)| id)
    }

    /// The value that a lookup of a key finds.
    #[must_use]
    pub fn get(&self, map: MapId, key: &[u8]) -> Option<&[u8]> {
        let entry = self.entry(map, key)?;
        self.value(map, entry).ok()
    }

    /// What a slot of the map of counters holds: packets and bytes.
    #[must_use]
    pub fn counted(&self, slot: u32) -> Option<[u64; 2]> {
        let (key, _) = counter_blocks::place(slot);
        let block = self.get(self.named(counter_blocks::MAP)?, &key.to_ne_bytes())?;
        counter_blocks::numbers(block, slot)
    }

    /// Writes a value.
    ///
    /// # Errors
    /// As the kernel's: wrong sizes, an index beyond the array, a full map (an LRU hash is never full), or flags that do
    /// not fit.
    pub fn update(
        &mut self,
        map: MapId,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        let map = self.maps.get_mut(map).ok_or(Errno::EINVAL)?;
        if !map.fits(key, value) {
            return Err(Errno::EINVAL);
        }
        let there = match &map.content {
            Content::Array(_) => true,
            Content::Table(table) => table.exact(key).is_some(),
            Content::Sockets(_) | Content::Ring(_) | Content::Events(_) => {
                return Err(Errno::EOPNOTSUPP);
            }
        };
        check_flags(flags, there)?;
        if map.spec.kind == MapKind::DevMap
            && index(key).is_none_or(|index| index >= most(&map.spec))
        {
            return Err(Errno::E2BIG);
        }
        if let Content::Table(table) = &mut map.content {
            return table.insert(key, value);
        }
        let entry = index(key).filter(|&index| index < most(&map.spec));
        let place = entry.and_then(|entry| map.value_mut(entry));
        place.ok_or(Errno::E2BIG)?.copy_from_slice(value);
        Ok(())
    }

    /// The records of a ring buffer that were not taken yet, oldest first.
    #[must_use]
    pub fn records(&self, map: MapId) -> &[Vec<u8>] {
        match self.maps.get(map).map(|map| &map.content) {
            Some(Content::Ring(records)) => records,
            _ => &[],
        }
    }

    /// From now on somebody reads the events of an array of them.
    pub fn read_events(&mut self, map: MapId) {
        if let Some(Content::Events(events)) = self.maps.get_mut(map).map(|map| &mut map.content) {
            events.get_or_insert_default();
        }
    }

    /// Takes the records out of a ring buffer, or the events that somebody reads, oldest first.
    pub fn take_records(&mut self, map: MapId) -> Vec<Vec<u8>> {
        match self.maps.get_mut(map).map(|map| &mut map.content) {
            Some(Content::Ring(records) | Content::Events(Some(records))) => {
                std::mem::take(records)
            }
            _ => Vec::new(),
        }
    }

    /// Takes a key out.
    ///
    /// # Errors
    /// As the kernel's: nothing is deleted from an array, and what is not there cannot be.
    pub fn delete(&mut self, map: MapId, key: &[u8]) -> Result<(), Errno> {
        let map = self.maps.get_mut(map).ok_or(Errno::EINVAL)?;
        let absent = match map.spec.kind {
            MapKind::SockMap => Errno::EINVAL,
            _ => Errno::ENOENT,
        };
        let gone = match &mut map.content {
            Content::Array(_) => return Err(Errno::EINVAL),
            Content::Ring(_) | Content::Events(_) => return Err(Errno::EOPNOTSUPP),
            Content::Table(table) => table.remove(key),
            Content::Sockets(sockets) => sockets.remove(key).is_some(),
        };
        if gone { Ok(()) } else { Err(absent) }
    }

    /// The socket of a key in a SOCKMAP or SOCKHASH.
    #[must_use]
    pub fn socket(&self, map: MapId, key: &[u8]) -> Option<SocketModel> {
        match &self.maps.get(map)?.content {
            Content::Sockets(sockets) => sockets.get(key).copied(),
            _ => None,
        }
    }

    /// How many sockets a SOCKMAP or SOCKHASH holds; how many of them have something in a socket storage.
    #[must_use]
    pub fn sockets(&self, map: MapId) -> usize {
        match self.maps.get(map).map(|map| &map.content) {
            Some(Content::Sockets(sockets)) => sockets.len(),
            Some(Content::Table(table)) => table.len(),
            _ => 0,
        }
    }

    /// Takes every socket out of a SOCKMAP or SOCKHASH; how many there were.
    pub fn take_sockets(&mut self, map: MapId) -> usize {
        match self.maps.get_mut(map).map(|map| &mut map.content) {
            Some(Content::Sockets(sockets)) => std::mem::take(sockets).len(),
            _ => 0,
        }
    }

    /// Puts a socket into a SOCKMAP or SOCKHASH.
    ///
    /// # Errors
    /// As the kernel's.
    pub fn update_socket(
        &mut self,
        map: MapId,
        key: &[u8],
        socket: SocketModel,
        flags: u64,
    ) -> Result<(), Errno> {
        let map = self.maps.get_mut(map).ok_or(Errno::EINVAL)?;
        let most = most(&map.spec);
        let is_slots = map.spec.kind == MapKind::SockMap;
        let Content::Sockets(sockets) = &mut map.content else {
            return Err(Errno::EINVAL);
        };
        if socket.multipath {
            return Err(Errno::EOPNOTSUPP);
        }
        let beyond = match is_slots {
            true => index(key).is_none_or(|index| index >= most),
            false => !sockets.contains_key(key) && sockets.len() >= most,
        };
        check_flags(flags, sockets.contains_key(key))?;
        if beyond {
            return Err(Errno::E2BIG);
        }
        sockets.insert(key.to_vec(), socket);
        Ok(())
    }

    /// One record more. A ring is full one byte early, and a record takes its length in 8 bytes and whole words.
    pub(super) fn output(&mut self, map: MapId, record: Vec<u8>) -> Result<(), Errno> {
        let map = self.maps.get_mut(map).ok_or(Errno::EINVAL)?;
        let most = most(&map.spec);
        let Content::Ring(records) = &mut map.content else {
            return Err(Errno::EINVAL);
        };
        let space = |record: &Vec<u8>| (record.len() + 8).next_multiple_of(8);
        let taken: usize = records.iter().map(space).sum();
        if taken + space(&record) >= most {
            return Err(Errno::EAGAIN);
        }
        records.push(record);
        Ok(())
    }

    /// One event more, if somebody reads them.
    pub(super) fn event(&mut self, map: MapId, event: Vec<u8>) -> Result<(), Errno> {
        let map = self.maps.get_mut(map).ok_or(Errno::EINVAL)?;
        match &mut map.content {
            Content::Events(Some(events)) => events.push(event),
            _ => return Err(Errno::ENOENT),
        }
        Ok(())
    }

    /// Notes that a program looked a value up.
    pub(super) fn touch(&mut self, map: MapId, entry: usize) {
        if let Some(Content::Table(table)) = self.maps.get_mut(map).map(|map| &mut map.content) {
            table.touch(entry);
        }
    }

    /// What a map is.
    pub(super) fn spec(&self, map: MapId) -> Result<&MapSpec, FaultKind> {
        let map = self.maps.get(map).ok_or(FaultKind::UnknownMap)?;
        Ok(&map.spec)
    }

    /// The number of the value that a lookup of a key finds.
    pub(super) fn entry(&self, map: MapId, key: &[u8]) -> Option<usize> {
        let map = self.maps.get(map)?;
        match &map.content {
            Content::Array(_) => index(key).filter(|&index| index < most(&map.spec)),
            Content::Table(table) => table.find(key),
            Content::Sockets(_) | Content::Ring(_) | Content::Events(_) => None,
        }
    }

    pub(super) fn value(&self, map: MapId, entry: usize) -> Result<&[u8], FaultKind> {
        let map = self.maps.get(map).ok_or(FaultKind::UnknownMap)?;
        let size = size(&map.spec);
        let value = match &map.content {
            Content::Array(bytes) => bytes.get(entry * size..).and_then(|it| it.get(..size)),
            Content::Table(table) => table.value(entry),
            Content::Sockets(_) | Content::Ring(_) | Content::Events(_) => None,
        };
        value.ok_or(FaultKind::UnknownMap)
    }

    pub(super) fn value_mut(&mut self, map: MapId, entry: usize) -> Result<&mut [u8], FaultKind> {
        let map = self.maps.get_mut(map).ok_or(FaultKind::UnknownMap)?;
        if is_read_only(&map.spec) {
            return Err(FaultKind::ReadOnly);
        }
        map.value_mut(entry).ok_or(FaultKind::UnknownMap)
    }

    /// The kernel gives the address of a value only for arrays of one entry.
    pub(super) fn direct_value(&self, map: MapId, offset: u32) -> Result<Value, FaultKind> {
        let spec = self.spec(map)?;
        if spec.kind != MapKind::Array || spec.max_entries != 1 || offset >= spec.value_size {
            return Err(FaultKind::UnknownMap);
        }
        Ok(Value::Entry {
            map,
            entry: 0,
            offset: i64::from(offset),
        })
    }
}

impl Content {
    fn empty(spec: &MapSpec) -> Self {
        match spec.kind {
            MapKind::Array | MapKind::PerCpuArray => Self::Array(match &spec.data {
                Some(data) => data.clone(),
                None => vec![0; most(spec) * size(spec)],
            }),
            MapKind::Hash
            | MapKind::LruHash
            | MapKind::LpmTrie
            | MapKind::DevMap
            | MapKind::ProgArray
            | MapKind::SkStorage => Self::Table(Table::new(spec.kind, most(spec))),
            MapKind::RingBuf => Self::Ring(Vec::new()),
            MapKind::PerfEventArray => Self::Events(None),
            MapKind::SockMap | MapKind::SockHash => Self::Sockets(BTreeMap::new()),
        }
    }
}

impl Map {
    /// Socket storage is keyed by the socket, whatever its key size says, and has no limit.
    fn fits(&self, key: &[u8], value: &[u8]) -> bool {
        let key_fits = self.spec.kind == MapKind::SkStorage
            || u32::try_from(key.len()) == Ok(self.spec.key_size);
        key_fits && value.len() == size(&self.spec)
    }

    fn value_mut(&mut self, entry: usize) -> Option<&mut [u8]> {
        let size = size(&self.spec);
        match &mut self.content {
            Content::Array(bytes) => bytes.get_mut(entry * size..)?.get_mut(..size),
            Content::Table(table) => table.value_mut(entry),
            Content::Sockets(_) | Content::Ring(_) | Content::Events(_) => None,
        }
    }
}

/// Whether programs only read a map: the kernel sets the flag of a map of interfaces itself (`dev_map_init_map`).
pub(super) fn is_read_only(spec: &MapSpec) -> bool {
    spec.kind == MapKind::DevMap || spec.flags & BPF_F_RDONLY_PROG != 0
}

fn check_flags(flags: u64, there: bool) -> Result<(), Errno> {
    match (i32::try_from(flags), there) {
        (Ok(BPF_ANY), _) | (Ok(BPF_NOEXIST), false) | (Ok(BPF_EXIST), true) => Ok(()),
        (Ok(BPF_NOEXIST), true) => Err(Errno::EEXIST),
        (Ok(BPF_EXIST), false) => Err(Errno::ENOENT),
        _ => Err(Errno::EINVAL),
    }
}

fn index(key: &[u8]) -> Option<usize> {
    let bytes: [u8; 4] = key.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn most(spec: &MapSpec) -> usize {
    match spec.kind {
        MapKind::SkStorage => usize::MAX,
        _ => usize::try_from(spec.max_entries).unwrap_or(usize::MAX),
    }
}

fn size(spec: &MapSpec) -> usize {
    usize::try_from(spec.value_size).unwrap_or(usize::MAX)
}
