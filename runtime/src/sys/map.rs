//! Maps: create, read, write, describe.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_map_info, bpf_map_type};

use sockc_compiler::bpf::constant::BPF_F_NO_PREALLOC;

use super::bpf::{address, attr, call, call_fd, info, name, number, text};
use super::token;

/// The shape of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Its type.
    pub(crate) kind: u32,
    /// Bytes of a key.
    pub(crate) key: u32,
    /// Bytes of a value.
    pub(crate) value: u32,
    /// The maximum number of entries.
    pub(crate) entries: u32,
}

impl Shape {
    /// An array of values with 4-byte indices.
    pub(crate) const fn array(value: u32, entries: u32) -> Self {
        Self {
            kind: bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
            key: 4,
            value,
            entries,
        }
    }

    /// A preallocated hash table.
    pub(crate) fn hash(key: u32, value: u32, entries: u32) -> Self {
        Self {
            kind: bpf_map_type::BPF_MAP_TYPE_HASH as u32,
            key,
            value,
            entries,
        }
    }

    /// A trie of prefixes, whose nodes are made as they are needed.
    pub(crate) fn trie(key: u32, value: u32, entries: u32) -> Self {
        Self {
            kind: bpf_map_type::BPF_MAP_TYPE_LPM_TRIE as u32,
            key,
            value,
            entries,
        }
    }

    /// A SOCKHASH.
    pub(crate) const fn sockets(key: u32, entries: u32) -> Self {
        Self {
            kind: bpf_map_type::BPF_MAP_TYPE_SOCKHASH as u32,
            key,
            value: 8,
            entries,
        }
    }

    /// Whether it is an array of programs.
    pub(crate) fn is_of_programs(self) -> bool {
        self.kind == bpf_map_type::BPF_MAP_TYPE_PROG_ARRAY as u32
    }

    /// Whether it is an array of rings for events.
    pub(crate) fn is_of_events(self) -> bool {
        self.kind == bpf_map_type::BPF_MAP_TYPE_PERF_EVENT_ARRAY as u32
    }

    /// An array of programs to tail-call.
    pub(crate) fn programs(entries: u32) -> Self {
        Self {
            kind: bpf_map_type::BPF_MAP_TYPE_PROG_ARRAY as u32,
            key: 4,
            value: 4,
            entries,
        }
    }
}

/// Makes a map.
pub(crate) fn create(title: &str, shape: Shape) -> io::Result<OwnedFd> {
    // The kernel makes no other kind of trie.
    let is_trie = shape.kind == bpf_map_type::BPF_MAP_TYPE_LPM_TRIE as u32;
    create_with(title, shape, if is_trie { BPF_F_NO_PREALLOC } else { 0 })
}

/// Makes a map with these flags.
pub(crate) fn create_with(title: &str, shape: Shape, flags: u32) -> io::Result<OwnedFd> {
    create_typed(title, shape, flags, None)
}

/// What the keys and values of a map are: by their numbers in loaded types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typed<'a> {
    /// The types.
    pub(crate) types: BorrowedFd<'a>,
    /// The type of a key.
    pub(crate) key: u32,
    /// The type of a value.
    pub(crate) value: u32,
}

/// Makes a map with these flags whose keys and values are known.
pub(crate) fn create_typed(
    title: &str,
    shape: Shape,
    flags: u32,
    typed: Option<Typed<'_>>,
) -> io::Result<OwnedFd> {
    let mut a = attr();
    a.__bindgen_anon_1.map_type = shape.kind;
    a.__bindgen_anon_1.key_size = shape.key;
    a.__bindgen_anon_1.value_size = shape.value;
    a.__bindgen_anon_1.max_entries = shape.entries;
    a.__bindgen_anon_1.map_name = name(title);
    a.__bindgen_anon_1.map_flags = flags;
    if let Some(typed) = typed {
        a.__bindgen_anon_1.btf_fd = number(typed.types);
        a.__bindgen_anon_1.btf_key_type_id = typed.key;
        a.__bindgen_anon_1.btf_value_type_id = typed.value;
    }
    make(a)
}

fn make(mut a: bpf_attr) -> io::Result<OwnedFd> {
    let (flag, token) = token::passed();
    // SAFETY: the whole block was zeros, and the command's fields are integers.
    unsafe { a.__bindgen_anon_1.map_flags |= flag };
    a.__bindgen_anon_1.map_token_fd = token;
    // SAFETY: as above.
    let kind = unsafe { a.__bindgen_anon_1.map_type };
    let refused = |error| token::explained(error, &[token::of_map(kind)]);
    call_fd(bpf_cmd::BPF_MAP_CREATE, &mut a).map_err(refused)
}

/// Waits for a grace period of RCU: an update of a map of maps ends with one (`maybe_wait_bpf_programs`, since Linux 4.15).
pub(crate) fn wait_for_readers() -> io::Result<()> {
    let inner = create("sockc_wait", Shape::array(4, 1))?;
    let mut a = attr();
    a.__bindgen_anon_1.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY_OF_MAPS as u32;
    a.__bindgen_anon_1.key_size = 4;
    a.__bindgen_anon_1.value_size = 4;
    a.__bindgen_anon_1.max_entries = 1;
    a.__bindgen_anon_1.inner_map_fd = number(inner.as_fd());
    let outer = make(a)?;
    update(outer.as_fd(), &[0; 4], &number(inner.as_fd()).to_ne_bytes())
}

/// The shape and the flags of a map.
pub(crate) fn shape(map: BorrowedFd<'_>) -> io::Result<Shape> {
    let block: bpf_map_info = info(map)?;
    Ok(Shape {
        kind: block.type_,
        key: block.key_size,
        value: block.value_size,
        entries: block.max_entries,
    })
}

/// A map, if it is of this type.
pub(crate) fn of_kind(map: OwnedFd, kind: u32) -> io::Result<OwnedFd> {
    match shape(map.as_fd())?.kind == kind {
        true => Ok(map),
        false => Err(another()),
    }
}

/// The name of a map.
pub(crate) fn title(map: BorrowedFd<'_>) -> io::Result<String> {
    info::<bpf_map_info>(map).map(|block| text(&block.name))
}

/// The id of a map.
pub(crate) fn id(map: BorrowedFd<'_>) -> io::Result<u32> {
    let block: bpf_map_info = info(map)?;
    Ok(block.id)
}

/// A map by its id.
pub(crate) fn by_id(id: u32) -> io::Result<OwnedFd> {
    let mut a = attr();
    a.__bindgen_anon_6.__bindgen_anon_1.map_id = id;
    call_fd(bpf_cmd::BPF_MAP_GET_FD_BY_ID, &mut a)
}

/// From now on nobody changes a map by bpf(2), not even we.
pub(crate) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut a = attr();
    a.__bindgen_anon_2.map_fd = number(map);
    call(bpf_cmd::BPF_MAP_FREEZE, &mut a).map(drop)
}

/// Whether nobody can change a map by bpf(2) any more; no where that cannot be looked at.
pub(crate) fn is_frozen(map: BorrowedFd<'_>) -> bool {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()));
    let frozen = |line: &str| {
        line.split_once(':')
            .is_some_and(|(key, value)| key == "frozen" && value.trim() == "1")
    };
    about.is_ok_and(|about| about.lines().any(frozen))
}

/// Bytes that the kernel reads or writes for one value: of a per-CPU map one value for every possible CPU.
pub(crate) fn buffer_size(shape: Shape) -> io::Result<usize> {
    let value = shape.value as usize;
    let per_cpu = [
        bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32,
        bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH as u32,
        bpf_map_type::BPF_MAP_TYPE_LRU_PERCPU_HASH as u32,
        bpf_map_type::BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED as u32,
    ];
    if !per_cpu.contains(&shape.kind) {
        return Ok(value);
    }
    Ok(value.next_multiple_of(8) * processors()? as usize)
}

/// How many processors there may be.
pub(crate) fn processors() -> io::Result<u32> {
    let processors = aya::util::nr_cpus().map_err(|(_, cause)| cause)?;
    u32::try_from(processors).map_err(io::Error::other)
}

/// Refuses a map whose keys or values are larger than these. The kernel goes by the map alone when it copies them, and anybody
/// with rights may have put another map where ours was pinned.
fn fits(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let shape = shape(map)?;
    if shape.key as usize > key.len() || buffer_size(shape)? > value.len() {
        return Err(another());
    }
    Ok(())
}

/// What is said of a map that cannot be the one that is meant. The kernel itself never says so.
pub(super) fn another() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "it is not the map that sockc left there",
    )
}

/// Reads the value of a key into `value`, which must be as large as [`buffer_size`] says; `false` if there is none.
pub(crate) fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    fits(map, key, value)?;
    let mut a = attr();
    a.__bindgen_anon_2.map_fd = number(map);
    a.__bindgen_anon_2.key = address(key);
    a.__bindgen_anon_2.__bindgen_anon_1.value = address(value);
    match call(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut a) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes the value of a key, whether it was there or not.
pub(crate) fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    fits(map, key, value)?;
    let mut a = attr();
    a.__bindgen_anon_2.map_fd = number(map);
    a.__bindgen_anon_2.key = address(key);
    a.__bindgen_anon_2.__bindgen_anon_1.value = address(value);
    call(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut a).map(drop)
}

/// Puts an open socket into a SOCKMAP or SOCKHASH with values of 8 bytes.
pub(crate) fn put_socket(
    map: BorrowedFd<'_>,
    key: &[u8],
    socket: BorrowedFd<'_>,
) -> io::Result<()> {
    let value = u64::from(number(socket));
    update(map, key, &value.to_ne_bytes())
}

/// Removes a key; `false` if it was not there.
pub(crate) fn delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
    if shape(map)?.key as usize > key.len() {
        return Err(another());
    }
    let mut a = attr();
    a.__bindgen_anon_2.map_fd = number(map);
    a.__bindgen_anon_2.key = address(key);
    match call(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut a) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the socket out of a slot of a SOCKMAP; `false` if none was in it.
pub(crate) fn empty_slot(map: BorrowedFd<'_>, index: u32) -> io::Result<bool> {
    match delete(map, &index.to_ne_bytes()) {
        // What a SOCKMAP says of an empty slot.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        deleted => deleted,
    }
}

/// The cookie of the socket in a slot of a SOCKMAP; `None` if none is in it.
pub(crate) fn cookie_in(map: BorrowedFd<'_>, index: u32) -> io::Result<Option<u64>> {
    let mut cookie = [0; 8];
    let there = lookup(map, &index.to_ne_bytes(), &mut cookie)?;
    Ok(there.then(|| u64::from_ne_bytes(cookie)))
}

/// Every key of a map, in the kernel's order. A map that others change meanwhile may give a key twice or not at all.
pub(crate) fn keys(map: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let shape = shape(map)?;
    let mut keys: Vec<Vec<u8>> = Vec::new();
    // A key that vanishes under the walk starts it anew; the bound ends that.
    for _ in 0..shape.entries {
        let mut next = vec![0u8; shape.key as usize];
        if !next_key(map, keys.last().map(Vec::as_slice), &mut next)? {
            break;
        }
        keys.push(next);
    }
    Ok(keys)
}

/// Writes the key that stands after `key` in the kernel's order, or the first one, into `next`, which is as long as a key;
/// `false` if there is none. A trie's order has the left branch first, then the right one, then what covers both; a key that
/// is not there has none after it that could be relied on.
pub(crate) fn key_after(
    map: BorrowedFd<'_>,
    key: Option<&[u8]>,
    next: &mut [u8],
) -> io::Result<bool> {
    let size = shape(map)?.key as usize;
    if size > next.len() || key.is_some_and(|key| size > key.len()) {
        return Err(another());
    }
    next_key(map, key, next)
}

/// The same where both are known to be as long as a key of this map.
fn next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let mut a = attr();
    a.__bindgen_anon_2.map_fd = number(map);
    a.__bindgen_anon_2.key = key.map_or(0, |key| address(key));
    a.__bindgen_anon_2.__bindgen_anon_1.next_key = address(next);
    match call(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut a) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
