//! Bytes that are kept in a pinned map: an array of chunks, after the number of the bytes.
//!
//! The bpf file system holds no ordinary files, and a file elsewhere could tell something else than the kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::sys::{bpffs, map};

/// Bytes in an element of the map.
const CHUNK: u32 = 16 << 10;
/// Bytes of the length.
const HEAD: usize = 8;

/// Writes bytes into a new map and pins it at `path`; gives the map's id.
pub(crate) fn write(title: &str, bytes: &[u8], path: &Path) -> io::Result<u32> {
    let mut whole = Vec::with_capacity(HEAD + bytes.len());
    whole.extend((bytes.len() as u64).to_le_bytes());
    whole.extend(bytes);
    whole.resize(whole.len().next_multiple_of(CHUNK as usize), 0);
    let chunks = u32::try_from(whole.len() / CHUNK as usize).map_err(io::Error::other)?;
    let kept = map::create(title, map::Shape::array(CHUNK, chunks))?;
    for (index, chunk) in (0u32..).zip(whole.chunks(CHUNK as usize)) {
        map::update(kept.as_fd(), &index.to_ne_bytes(), chunk)?;
    }
    // What was written is read back later as what we left: nobody is to change it in place.
    map::freeze(kept.as_fd())?;
    bpffs::pin(kept.as_fd(), path)?;
    map::id(kept.as_fd())
}

/// Reads the bytes of the map pinned at `path`.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    Kept::open(path)?.read(usize::MAX)
}

/// A map of chunks.
pub(crate) struct Kept {
    map: OwnedFd,
    entries: u32,
}

impl Kept {
    /// The one that is pinned at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let map = bpffs::open(path)?;
        let shape = map::shape(map.as_fd())?;
        if shape != map::Shape::array(CHUNK, shape.entries) {
            return Err(io::Error::other("it is not a map that sockc made"));
        }
        Ok(Self {
            map,
            entries: shape.entries,
        })
    }

    /// By which its bytes are known for as long as this process lasts: nobody can change them, and the kernel gives no id twice
    /// before all others were given. Nothing of a map that is not frozen.
    pub(crate) fn id(&self) -> Option<u32> {
        let id = map::id(self.map.as_fd()).ok()?;
        map::is_frozen(self.map.as_fd()).then_some(id)
    }

    /// The first bytes, so many at most. Only as many elements are read as that needs and as the length in the first one says, so
    /// that a map that somebody else put there costs no more than it holds.
    pub(crate) fn read(&self, most: usize) -> io::Result<Vec<u8>> {
        let short = || io::Error::other("it is cut short");
        let mut bytes = chunk(self.map.as_fd(), 0)?;
        let end = end(&bytes).ok_or_else(short)?;
        let chunks = end.div_ceil(CHUNK as usize);
        if chunks > self.entries as usize {
            return Err(short());
        }
        let wanted = HEAD.saturating_add(most).min(end);
        let chunks = wanted.div_ceil(CHUNK as usize);
        bytes.reserve_exact(chunks.saturating_sub(1) * CHUNK as usize);
        for index in 1..u32::try_from(chunks).map_err(io::Error::other)? {
            bytes.extend(chunk(self.map.as_fd(), index)?);
        }
        cut(bytes, most).ok_or_else(short)
    }
}

fn chunk(kept: BorrowedFd<'_>, index: u32) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK as usize];
    match map::lookup(kept, &index.to_ne_bytes(), &mut chunk)? {
        true => Ok(chunk),
        // An array has all its elements.
        false => Err(io::Error::other("an element of it is not there")),
    }
}

/// Where the bytes end that begin with their length.
fn end(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(*bytes.first_chunk::<HEAD>()?);
    HEAD.checked_add(usize::try_from(length).ok()?)
}

fn cut(mut bytes: Vec<u8>, most: usize) -> Option<Vec<u8>> {
    let end = end(&bytes)?.min(HEAD.saturating_add(most));
    if end > bytes.len() {
        return None;
    }
    bytes.truncate(end);
    bytes.drain(..HEAD);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_is_told() {
        let mut bytes = 3_u64.to_le_bytes().to_vec();
        bytes.extend([1, 2, 3, 0, 0]);
        assert_eq!(cut(bytes.clone(), usize::MAX), Some(vec![1, 2, 3]));
        assert_eq!(cut(bytes.clone(), 2), Some(vec![1, 2]));
        bytes.truncate(10);
        assert_eq!(cut(bytes.clone(), usize::MAX), None);
        assert_eq!(cut(bytes, 2), Some(vec![1, 2]));
        assert_eq!(cut(vec![1], usize::MAX), None);
    }
}
