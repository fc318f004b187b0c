//! Bytes that are kept in a pinned map: an array of chunks, after the number of the bytes.
//!
//! The bpf file system holds no ordinary files, and a file elsewhere could tell something else than the kernel.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::sys::{batch, bpffs, map};

/// Bytes in an element of the map.
const CHUNK: u32 = 16 << 10;
/// The same, to count with.
const SIZE: usize = CHUNK as usize;
/// Bytes of the length.
const HEAD: usize = 8;

/// Writes bytes, which are the `parts` one behind the other, into a new map and pins it at `path`; gives the map's id.
pub(crate) fn write(title: &str, parts: &[&[u8]], path: &Path) -> io::Result<u32> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let whole = HEAD + length;
    let mut bytes = Vec::with_capacity(whole.next_multiple_of(SIZE));
    bytes.extend((length as u64).to_le_bytes());
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.resize(whole.next_multiple_of(SIZE), 0);
    let chunks = u32::try_from(bytes.len() / SIZE).map_err(io::Error::other)?;
    let kept = map::create(title, map::Shape::array(CHUNK, chunks))?;
    batch::write_run(kept.as_fd(), 0, &bytes)?;
    // What was written is read back later as what we left: nobody is to change it in place.
    map::freeze(kept.as_fd())?;
    bpffs::pin(kept.as_fd(), path)?;
    map::id(kept.as_fd())
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

    /// The bytes from `from` on, so many at most. Only as many elements are read as that needs and as the length in the first one
    /// says, so that a map that somebody else put there costs no more than it holds.
    pub(crate) fn read(&self, from: usize, most: usize) -> io::Result<Vec<u8>> {
        let first = self.chunk(0)?;
        let end = end(&first).filter(|end| end.div_ceil(SIZE) <= self.entries as usize);
        let end = end.ok_or_else(|| io::Error::other("it is cut short"))?;
        let from = HEAD.saturating_add(from).min(end);
        let until = from.saturating_add(most).min(end);
        let mut bytes = vec![0; until - from];
        // Of the first element and of the last one only a part may be asked for.
        let (head, rest) =
            bytes.split_at_mut((from.next_multiple_of(SIZE) - from).min(until - from));
        let whole = rest.len() / SIZE * SIZE;
        let (body, tail) = rest.split_at_mut(whole);
        let mut element = from / SIZE;
        if !head.is_empty() {
            let there = match element {
                0 => first,
                _ => self.chunk(element)?,
            };
            copy(&there, from % SIZE, head);
            element += 1;
        }
        let index = u32::try_from(element).map_err(io::Error::other)?;
        batch::read_run(self.map.as_fd(), index, body)?;
        if !tail.is_empty() {
            copy(&self.chunk(element + whole / SIZE)?, 0, tail);
        }
        Ok(bytes)
    }

    fn chunk(&self, index: usize) -> io::Result<Vec<u8>> {
        let index = u32::try_from(index).map_err(io::Error::other)?;
        let mut chunk = vec![0; SIZE];
        match map::lookup(self.map.as_fd(), &index.to_ne_bytes(), &mut chunk)? {
            true => Ok(chunk),
            // An array has all its elements.
            false => Err(io::Error::other("an element of it is not there")),
        }
    }
}

/// Copies what stands in an element from a place on.
fn copy(element: &[u8], from: usize, into: &mut [u8]) {
    for (to, byte) in into.iter_mut().zip(element.iter().skip(from)) {
        *to = *byte;
    }
}

/// Where the bytes end that begin with their length.
fn end(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(*bytes.first_chunk::<HEAD>()?);
    HEAD.checked_add(usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{BPFFS, Space, permitted};

    /// Lengths around those of elements and of what goes into one call, and every kind of part of them.
    #[test]
    fn what_was_written_is_read_back_in_whole_and_in_parts() {
        if !permitted() {
            return;
        }
        let space = Space::with_bpffs().unwrap();
        space.run(written_and_read).unwrap();
    }

    fn written_and_read() {
        for (number, length) in [
            0,
            1,
            SIZE - HEAD,
            SIZE - HEAD + 1,
            130 * SIZE,
            130 * SIZE + 7,
        ]
        .into_iter()
        .enumerate()
        {
            let bytes: Vec<u8> = (0..length).map(|at| (at / 7 % 251) as u8).collect();
            let path = Path::new(BPFFS).join(number.to_string());
            let (one, other) = bytes.split_at(length / 3);
            write("chunks", &[one, other], &path).unwrap();
            let kept = Kept::open(&path).unwrap();
            for from in [0, 1, SIZE - HEAD, SIZE, 3 * SIZE + 5, length] {
                for most in [0, 1, SIZE, 2 * SIZE + 9, 129 * SIZE, usize::MAX] {
                    let from = from.min(length);
                    let until = from.saturating_add(most).min(length);
                    let read = kept.read(from, most).unwrap();
                    assert!(read == bytes[from..until], "{length}: {most} from {from}");
                }
            }
        }
    }

    #[test]
    fn what_is_cut_short_is_told() {
        if !permitted() {
            return;
        }
        let space = Space::with_bpffs().unwrap();
        space.run(cut_short).unwrap();
    }

    fn cut_short() {
        let path = Path::new(BPFFS).join("short");
        let open = map::create("short", map::Shape::array(CHUNK, 2)).unwrap();
        bpffs::pin(open.as_fd(), &path).unwrap();
        let kept = Kept::open(&path).unwrap();
        for (length, sound) in [
            (2 * SIZE - HEAD, true),
            (2 * SIZE - HEAD + 1, false),
            (usize::MAX, false),
        ] {
            let mut first = (length as u64).to_le_bytes().to_vec();
            first.resize(SIZE, 0);
            map::update(open.as_fd(), &[0; 4], &first).unwrap();
            for most in [1, usize::MAX] {
                assert_eq!(kept.read(0, most).is_ok(), sound, "{length}");
            }
        }
    }
}
