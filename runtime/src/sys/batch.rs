//! Many entries of a map in few calls, where the kernel has that for the map's kind; one by one elsewhere.
//!
//! Nothing here is atomic: a refusal in the middle leaves what was done before it, and says so by its error only.

use std::io;
use std::os::fd::BorrowedFd;

use aya_obj::generated::bpf_cmd;

use super::bpf::number;
use super::bpf::{address, attr, call};
use super::map;

/// A key and its value.
pub(crate) type Element = (Vec<u8>, Vec<u8>);

/// Entries in one call: some hundred kilobytes of buffers.
const CHUNK: usize = 4096;
/// `ENOTSUPP` of the kernel's own headers: what it says where a kind of map has no batches.
const ENOTSUPP: i32 = 524;

/// Every entry of a map that nobody changes meanwhile.
pub(crate) fn read(map: BorrowedFd<'_>) -> io::Result<Vec<Element>> {
    let mut found = Vec::new();
    walk(map, |key, value| found.push((key.to_vec(), value.to_vec())))?;
    Ok(found)
}

/// Hands over every entry of a map that nobody changes meanwhile.
pub(crate) fn walk(map: BorrowedFd<'_>, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    match walk_in_batches(map, &mut each) {
        // That is known before the first entry.
        Err(error) if is_unknown(&error) => walk_singly(map, &mut each),
        walked => walked,
    }
}

/// Writes entries, whether they were there or not.
pub(crate) fn update(map: BorrowedFd<'_>, entries: &[Element]) -> io::Result<()> {
    for chunk in entries.chunks(CHUNK) {
        let keys = joined(chunk.iter().map(|(key, _)| key));
        let values = joined(chunk.iter().map(|(_, value)| value));
        let done = batch(
            map,
            bpf_cmd::BPF_MAP_UPDATE_BATCH,
            &keys,
            Some(&values),
            chunk.len(),
        );
        match done {
            Err(error) if is_unknown(&error) => {
                for (key, value) in chunk {
                    map::update(map, key, value)?;
                }
            }
            done => done?,
        }
    }
    Ok(())
}

/// So many large elements of an array go into one call.
const RUN: usize = 64;

/// Writes the elements of an array from `first` on, whose values stand one behind the other.
pub(crate) fn write_run(array: BorrowedFd<'_>, first: u32, values: &[u8]) -> io::Result<()> {
    let size = size_in_run(array, values)?;
    for (from, run) in (first..).step_by(RUN).zip(values.chunks(RUN * size)) {
        let count = run.len() / size;
        let keys: Vec<u8> = (from..).take(count).flat_map(u32::to_ne_bytes).collect();
        match batch(
            array,
            bpf_cmd::BPF_MAP_UPDATE_BATCH,
            &keys,
            Some(run),
            count,
        ) {
            Err(error) if is_unknown(&error) => {
                for (index, value) in (from..).zip(run.chunks(size)) {
                    map::update(array, &index.to_ne_bytes(), value)?;
                }
            }
            done => done?,
        }
    }
    Ok(())
}

/// Reads the elements of an array from `first` on into `values`, one behind the other, as many as have room there.
pub(crate) fn read_run(array: BorrowedFd<'_>, first: u32, values: &mut [u8]) -> io::Result<()> {
    let size = size_in_run(array, values)?;
    for (from, run) in (first..).step_by(RUN).zip(values.chunks_mut(RUN * size)) {
        match lookup_run(array, from, run, size) {
            Err(error) if is_unknown(&error) => {
                for (index, value) in (from..).zip(run.chunks_mut(size)) {
                    if !map::lookup(array, &index.to_ne_bytes(), value)? {
                        return Err(map::another());
                    }
                }
            }
            done => done?,
        }
    }
    Ok(())
}

/// Bytes of an element of an array of which whole ones stand in `values`.
fn size_in_run(array: BorrowedFd<'_>, values: &[u8]) -> io::Result<usize> {
    let shape = map::shape(array)?;
    let size = shape.value as usize;
    match shape == map::Shape::array(shape.value, shape.entries)
        && values.len().is_multiple_of(size)
    {
        true => Ok(size),
        false => Err(map::another()),
    }
}

fn lookup_run(array: BorrowedFd<'_>, from: u32, run: &mut [u8], size: usize) -> io::Result<()> {
    let count = u32::try_from(run.len() / size).map_err(io::Error::other)?;
    let mut keys = vec![0u32; count as usize];
    let before = from.checked_sub(1);
    let mut next = [0u8; 4];
    let mut a = attr();
    a.batch.map_fd = number(array);
    a.batch.in_batch = before
        .as_ref()
        .map_or(0, |key| address(std::slice::from_ref(key)));
    a.batch.out_batch = address(next.as_mut_slice());
    a.batch.keys = address(keys.as_mut_slice());
    a.batch.values = address(run.as_mut_ptr());
    a.batch.count = count;
    match call(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut a) {
        // The end of the array; what was found on the way is told all the same.
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
        _ => {}
    }
    // SAFETY: the command just wrote this field of the union.
    let found = unsafe { a.batch.count };
    match found == count && keys.iter().copied().eq(from..from + count) {
        true => Ok(()),
        false => Err(map::another()),
    }
}

/// Removes keys, all of which are there.
pub(crate) fn delete(map: BorrowedFd<'_>, keys: &[Vec<u8>]) -> io::Result<()> {
    for chunk in keys.chunks(CHUNK) {
        let bytes = joined(chunk.iter());
        let done = batch(
            map,
            bpf_cmd::BPF_MAP_DELETE_BATCH,
            &bytes,
            None,
            chunk.len(),
        );
        match done {
            Err(error) if is_unknown(&error) => {
                for key in chunk {
                    map::delete(map, key)?;
                }
            }
            done => done?,
        }
    }
    Ok(())
}

/// Whether an error says that there are no batches for this map, or at all.
fn is_unknown(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(ENOTSUPP | libc::EINVAL | libc::EOPNOTSUPP)
    )
}

fn joined<'a>(parts: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    parts.flatten().copied().collect()
}

fn batch(
    map: BorrowedFd<'_>,
    command: bpf_cmd,
    keys: &[u8],
    values: Option<&[u8]>,
    count: usize,
) -> io::Result<()> {
    let shape = map::shape(map)?;
    let room = |size: usize, bytes: &[u8]| size.saturating_mul(count) <= bytes.len();
    let value_size = map::buffer_size(shape)?;
    if !room(shape.key as usize, keys) || values.is_some_and(|values| !room(value_size, values)) {
        return Err(map::another());
    }
    let mut a = attr();
    a.batch.map_fd = number(map);
    a.batch.keys = address(keys);
    a.batch.values = values.map_or(0, |values| address(values));
    a.batch.count = u32::try_from(count).map_err(io::Error::other)?;
    call(command, &mut a).map(drop)
}

fn walk_in_batches(map: BorrowedFd<'_>, each: &mut impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    let shape = map::shape(map)?;
    let (key_size, value_size) = (shape.key as usize, map::buffer_size(shape)?);
    let mut keys = vec![0; key_size * CHUNK];
    let mut values = vec![0; value_size * CHUNK];
    let mut place = vec![0; key_size.max(4)];
    let mut first = true;
    loop {
        let mut next = vec![0; place.len()];
        let mut a = attr();
        a.batch.map_fd = number(map);
        a.batch.in_batch = if first { 0 } else { address(place.as_slice()) };
        a.batch.out_batch = address(next.as_mut_slice());
        a.batch.keys = address(keys.as_mut_slice());
        a.batch.values = address(values.as_mut_slice());
        a.batch.count = CHUNK as u32;
        let done = match call(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut a) {
            Ok(_) => false,
            // The end, with what was found on the way to it.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        // SAFETY: the command just wrote this field of the union.
        let count = unsafe { a.batch.count } as usize;
        let read = keys.chunks(key_size).zip(values.chunks(value_size));
        read.take(count).for_each(|(key, value)| each(key, value));
        if done {
            return Ok(());
        }
        place = next;
        first = false;
    }
}

fn walk_singly(map: BorrowedFd<'_>, each: &mut impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    let shape = map::shape(map)?;
    let mut value = vec![0; map::buffer_size(shape)?];
    for key in map::keys(map)? {
        if map::lookup(map, &key, &mut value)? {
            each(&key, &value);
        }
    }
    Ok(())
}
