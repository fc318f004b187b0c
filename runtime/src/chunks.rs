//! Bytes that are kept in a pinned map: an array of chunks, behind the number of the bytes.
//!
//! The bpf file system holds no ordinary files, and a file elsewhere could tell something else than the kernel.

use std::io;
use std::os::fd::AsFd;
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
    let chunks = u32::try_from(whole.len() / CHUNK as usize).unwrap_or(u32::MAX);
    let kept = map::create(title, map::Shape::array(CHUNK, chunks))?;
    for (index, chunk) in (0u32..).zip(whole.chunks(CHUNK as usize)) {
        map::update(kept.as_fd(), &index.to_ne_bytes(), chunk)?;
    }
    // What was written is read back later as what we left: nobody is to change it in place.
    map::freeze(kept.as_fd())?;
    bpffs::pin(kept.as_fd(), path)
}

/// Reads the bytes of the map pinned at `path`.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let kept = bpffs::open(path)?;
    let shape = map::shape(kept.as_fd())?;
    let mut bytes = Vec::new();
    for index in 0..shape.entries {
        let mut chunk = vec![0; shape.value as usize];
        map::lookup(kept.as_fd(), &index.to_ne_bytes(), &mut chunk)?;
        bytes.extend(chunk);
    }
    cut(bytes).ok_or_else(|| io::Error::other("it is cut short"))
}

fn cut(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let length = u64::from_le_bytes(*bytes.first_chunk::<HEAD>()?);
    let end = HEAD.checked_add(usize::try_from(length).ok()?)?;
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
