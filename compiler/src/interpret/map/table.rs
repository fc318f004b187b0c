//! What hashes, tries and socket storage hold: values by key, each with a number that stays its own.

use std::collections::BTreeMap;

use super::Errno;
use crate::artifact::MapKind;

/// Bytes of a trie's key that hold the prefix length, in host order.
const PREFIX: usize = 4;

/// Values by key.
#[derive(Clone, Debug)]
pub(super) struct Table {
    kind: MapKind,
    most: usize,
    /// The keys of a trie hold zeros beyond their prefix, so that the same prefix is the same key.
    keys: BTreeMap<Vec<u8>, usize>,
    /// By number, also after a key was deleted: a program may still have the address.
    values: Vec<Stored>,
    /// Counts uses.
    clock: u64,
}

#[derive(Clone, Debug)]
struct Stored {
    bytes: Vec<u8>,
    /// When it was used last.
    used: u64,
}

impl Table {
    /// An empty one.
    pub(super) fn new(kind: MapKind, most: usize) -> Self {
        Self {
            kind,
            most,
            keys: BTreeMap::new(),
            values: Vec::new(),
            clock: 0,
        }
    }

    /// What a lookup finds: in a trie the longest prefix that covers the key.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        if self.kind != MapKind::LpmTrie {
            return self.keys.get(key).copied();
        }
        let longest = bits(key)?;
        let mut lengths = (0..=longest).rev();
        lengths.find_map(|length| self.keys.get(&prefix(key, length)?).copied())
    }

    /// The value of exactly this key.
    pub(super) fn exact(&self, key: &[u8]) -> Option<usize> {
        self.keys.get(&self.stored(key)?).copied()
    }

    /// Writes a value. A full LRU hash forgets the entry that was not used for longest; the kernel forgets about that one.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<(), Errno> {
        let key = self.stored(key).ok_or(Errno::EINVAL)?;
        if let Some(&entry) = self.keys.get(&key) {
            self.touch(entry);
            let place = self.value_mut(entry).ok_or(Errno::EINVAL)?;
            place.copy_from_slice(value);
            return Ok(());
        }
        if self.keys.len() >= self.most {
            match self.kind {
                MapKind::LruHash => self.forget(),
                MapKind::LpmTrie => return Err(Errno::ENOSPC),
                _ => return Err(Errno::E2BIG),
            }
        }
        self.clock += 1;
        self.keys.insert(key, self.values.len());
        self.values.push(Stored {
            bytes: value.to_vec(),
            used: self.clock,
        });
        Ok(())
    }

    /// How many keys it has.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Takes a key out; whether it was there.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let key = self.stored(key);
        key.is_some_and(|key| self.keys.remove(&key).is_some())
    }

    /// Notes a use.
    pub(super) fn touch(&mut self, entry: usize) {
        self.clock += 1;
        if let Some(stored) = self.values.get_mut(entry) {
            stored.used = self.clock;
        }
    }

    pub(super) fn value(&self, entry: usize) -> Option<&[u8]> {
        self.values.get(entry).map(|stored| stored.bytes.as_slice())
    }

    pub(super) fn value_mut(&mut self, entry: usize) -> Option<&mut [u8]> {
        self.values
            .get_mut(entry)
            .map(|stored| stored.bytes.as_mut_slice())
    }

    /// The key as it is kept; `None` for a prefix longer than its address.
    fn stored(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.kind {
            MapKind::LpmTrie => prefix(key, bits(key)?),
            _ => Some(key.to_vec()),
        }
    }

    fn forget(&mut self) {
        let used = |entry: &usize| self.values.get(*entry).map(|stored| stored.used);
        let oldest = self.keys.iter().min_by_key(|(_, entry)| used(entry));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.keys.remove(&key);
        }
    }
}

/// The prefix length of a trie's key, if its address is that long.
fn bits(key: &[u8]) -> Option<usize> {
    let (length, address) = key.split_first_chunk::<PREFIX>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (length <= address.len() * 8).then_some(length)
}

/// The key with a shorter prefix, and zeros after it.
fn prefix(key: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut prefix = u32::try_from(length).ok()?.to_le_bytes().to_vec();
    for (index, &byte) in key.get(PREFIX..)?.iter().enumerate() {
        let kept = length.saturating_sub(index * 8).min(8);
        let mask = !(0xff_u16 >> kept) & 0xff;
        prefix.push(byte & u8::try_from(mask).unwrap_or(0));
    }
    Some(prefix)
}
