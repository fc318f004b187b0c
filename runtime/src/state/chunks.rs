//! Bytes that are kept in a pinned map: an array of chunks, after the number of the bytes.
//!
//! The bpf file system holds no ordinary files, and a file elsewhere could tell something else than the kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use crate::sys::{bpffs, map};

/// Bytes in an element of the map.
const CHUNK: u32 = 16 << 10;
/// Bytes of the length.
const HEAD: usize = 8;

/// Writes bytes into a new map and pins it at `path`.
pub(crate) fn write(title: &str, bytes: &[u8], path: &Path) -> io::Result<()> {
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
    bpffs::pin(kept.as_fd(), path)
}

/// Reads the bytes of the map pinned at `path`. Only as many elements are read as the length in the first one says, so that a
/// map that somebody else put there costs no more than it holds.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let kept = bpffs::open(path)?;
    let shape = map::shape(kept.as_fd())?;
    if shape != map::Shape::array(CHUNK, shape.entries) {
        return Err(io::Error::other("it is not a map that sockc made"));
    }
    let short = || io::Error::other("it is cut short");
    let mut bytes = chunk(kept.as_fd(), 0)?;
    let end = end(&bytes).ok_or_else(short)?;
    let chunks = end.div_ceil(CHUNK as usize);
    if chunks > shape.entries as usize {
        return Err(short());
    }
    for index in 1..u32::try_from(chunks).map_err(io::Error::other)? {
        bytes.extend(chunk(kept.as_fd(), index)?);
    }
    cut(bytes).ok_or_else(short)
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

fn cut(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let end = end(&bytes)?;
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
        assert_eq!(cut(bytes.clone()), Some(vec![1, 2, 3]));
        bytes.truncate(10);
        assert_eq!(cut(bytes), None);
        assert_eq!(cut(vec![1]), None);
    }
}
